"""OSC as a control surface of a server: it steers all live sessions, or one by its id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError

from vivace import messages
from vivace.errors import ControlError, SessionClosedError
from vivace.serve.session import LiveSession
from vivace.serve.session_manager import SessionManager
from vivace.show.osc import OscReceiver, Target, parse_address

_log = logging.getLogger(__name__)

UPDATE_S = 10.0
"""Longest wait for a session to take an update, s: its model may encode a prompt."""


class OscSurface:
    """Receiver of OSC that steers the sessions of a server. Who reaches its port needs no token."""

    def __init__(self, address: str, manager: SessionManager) -> None:
        """Have the port `[HOST:]PORT` from now on.

        Raises:
            UsageError: it cannot be had.
        """
        self._manager = manager
        self._receiver = OscReceiver(*parse_address(address))
        self._closed = False

    def begin(self) -> None:
        """Steer from now on; on the event loop of the sessions."""
        loop = asyncio.get_running_loop()
        host, port = self._receiver.host, self._receiver.port
        _log.info("OSC on %s:%d: /vivace/NAME VALUE steers every live session, /vivace/SESSION/NAME one", host, port)

        def targets() -> list[Target]:
            self._tell()
            live = [session for session in self._manager.sessions() if session.state == "live"]
            return [Target(session.served.model.spec, _updates(session, loop), session.id) for session in live]

        self._receiver.begin(targets)

    def close(self) -> None:
        """Steer no more, and have said what was refused. Not on the event loop, whose answers are waited for."""
        self._receiver.close()
        self._tell()
        if self._receiver.summary and not self._closed:
            _log.warning("%s", self._receiver.summary)
        self._closed = True

    def _tell(self) -> None:
        for note in self._receiver.notes():
            _log.warning("%s", note)


def _updates(session: LiveSession, loop: asyncio.AbstractEventLoop) -> Callable[[messages.Controls], object]:
    """Return what puts an update in force in a session, and waits for that, from another thread."""

    def update(controls: messages.Controls) -> None:
        try:
            ack = asyncio.run_coroutine_threadsafe(session.update(controls), loop).result(UPDATE_S)
        except TimeoutError:
            raise ControlError(f"session {session.id} does not take an update within {UPDATE_S:g} s") from None
        except CancelledError:
            raise SessionClosedError("the server is ending") from None
        if not ack.accepted:
            raise ControlError(ack.message)

    return update
