"""A client's side of the control channel, whatever carries it: reads its messages, answers, passes events on."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from vivace.errors import SessionClosedError, VivaceError, describe_invalid
from vivace.messages import (
    MAX_ID_CHARS,
    ClientMessage,
    End,
    Error,
    Pick,
    Picked,
    Ping,
    Pong,
    Record,
    Recorded,
    ServerMessage,
    Sound,
    Source,
    Update,
)
from vivace.serve.fanout import Listener
from vivace.serve.session import LiveSession

_log = logging.getLogger(__name__)

_CLIENT_MESSAGE: TypeAdapter[Update | Ping | Record | Sound | Source | Pick | End] = TypeAdapter(ClientMessage)

FLOOD_S = 10.0
"""A client that sends as much too much as it may send in this time is cut off: it does not listen."""


class Rate:
    """Rate limit of a client's messages: so many a second on average, twice as many at once."""

    def __init__(self, per_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._clock = clock
        self._left = 2 * per_s
        self._seen_s = clock()

    def take(self) -> bool:
        """Return whether one more is within the limit."""
        now_s = self._clock()
        self._left = min(2 * self._per_s, self._left + (now_s - self._seen_s) * self._per_s)
        self._seen_s = now_s
        if self._left < 1 - 1e-9:  # a whole one, but for rounding
            return False
        self._left -= 1
        return True


@dataclass(frozen=True, slots=True)
class ControlLimits:
    """Limits of what one client may send."""

    messages_per_s: float
    max_message_bytes: int


class Conversation:
    """Understands what a client says to its session and answers it. Used on the event loop."""

    def __init__(
        self,
        session: LiveSession,
        send: Callable[[ServerMessage], Awaitable[None]],
        limits: ControlLimits,
        *,
        guest: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin; a `guest` came by a link: they steer the session, which is somebody else's to keep, record and end."""
        self._session = session
        self._guest = guest
        self._send = send
        self._limits = limits
        self._clock = clock
        self._rate = Rate(limits.messages_per_s, clock=clock)
        self._refused = 0
        self._events: Listener | None = None
        self._picking: asyncio.Task[None] | None = None
        self._stopping: dict[str, str | None] = {}
        """Recordings that were asked to end, with the request's id."""

    async def take(self, text: str | bytes) -> bool:
        """Carry out one message of the client; return False when the channel should be closed.

        Whatever is wrong with a message is answered with an `error`, and the session goes on.
        """
        if not self._rate.take():
            return await self._refuse_flood()
        self._refused = max(0, self._refused - 1)  # who floods has some let through too, and is no better for it
        if len(text) > self._limits.max_message_bytes:
            await self._error(
                None,
                "too_large",
                f"a message of {len(text)} bytes is over the limit of {self._limits.max_message_bytes}; send less",
            )
            return True
        try:
            message = _CLIENT_MESSAGE.validate_json(text)
        except ValidationError as error:
            await self._error(_id_of(text), "invalid", describe_invalid(error.errors())[:500])
            return True
        if not self._guest:
            self._session.presence.touch()
        try:
            return await self._carry_out(message)
        except VivaceError as error:
            await self._error(getattr(message, "id", None), error.code, str(error))
            return not isinstance(error, SessionClosedError)

    async def pass_events(self) -> None:
        """Pass on what the server says, from `waiting` or `live` to `ended`; returns after that."""
        self._events = events = self._session.events()
        try:
            async for event in events:
                if isinstance(event, Recorded) and not event.on and event.name in self._stopping:
                    event = event.model_copy(update={"id": self._stopping.pop(event.name)})
                await self._send(event)
        finally:
            events.close()
            if self._picking is not None:
                self._picking.cancel()

    async def _carry_out(self, message: Update | Ping | Record | Sound | Source | Pick | End) -> bool:
        match message:
            case Update():
                await self._send(await self._session.update(message.controls, message.id, self._events))
            case Ping():
                if message.presented and not self._guest:
                    self._session.report_presented(message.presented)
                await self._send(Pong(id=message.id, server_time_s=self._clock()))
            case Record() | Source() | End() if self._guest:
                text = "by this link the session is steered; who opened it sends its pictures, may record and end it"
                await self._error(getattr(message, "id", None), "guest", text)
            case Record(on=True):
                # The events tell of it. In a thread: it looks at the folder, and a disk may be slow.
                await asyncio.to_thread(self._session.recorder.start, message.id)
            case Record():
                await self._stop_recording(message.id)
            case Sound():
                self._session.sound.mute(not message.on)
                self._session.tell(message)
            case Source():
                self._session.expect(message.size)
            case Pick():
                if self._picking is not None and not self._picking.done():
                    await self._error(message.id, "busy", "another pick is not answered yet; ask for one at a time")
                else:
                    self._picking = asyncio.create_task(self._pick(message))  # it takes its time, and pings go on
            case End():
                self._session.end("client", "You ended the session.")
        return True

    async def _pick(self, message: Pick) -> None:
        try:
            places = await self._session.places_at(message.x, message.y)
        except VivaceError as error:
            await self._error(message.id, error.code, str(error))
        else:
            await self._send(Picked(id=message.id, places=list(places)))

    async def _stop_recording(self, request_id: str | None) -> None:
        name = self._session.recorder.stop()
        if name is None:
            await self._error(request_id, "not_recording", "nothing is being recorded; begin with `on` true")
        else:
            self._stopping[name] = request_id  # the events tell when the file is complete

    async def _refuse_flood(self) -> bool:
        self._refused += 1
        if self._refused == 1:
            await self._error(
                None,
                "too_many_messages",
                f"over {self._limits.messages_per_s:g} messages a second; this one and what follows at this pace are "
                "left out, slow down",
            )
        if self._refused < FLOOD_S * self._limits.messages_per_s:
            await asyncio.sleep(0)  # others have their turn
            return True
        _log.warning("session %s: a client that floods its control channel is cut off", self._session.id)
        return False

    async def _error(self, request_id: str | None, code: str, message: str) -> None:
        await self._send(Error(id=request_id, code=code, message=message))


def _id_of(text: str | bytes) -> str | None:
    """Return the id of a message that cannot be used, so that whoever waits for its answer gets it."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = given.get("id") if isinstance(given, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_ID_CHARS else None
