"""Control messages over a data channel: the same conversation as over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

from aiortc import RTCDataChannel
from aiortc.exceptions import InvalidStateError

from vivace.messages import ServerMessage
from vivace.rtc.feed import Sent
from vivace.serve.control import ControlLimits, Conversation

_log = logging.getLogger(__name__)

MAX_UNREAD = 64
"""Messages of a client that wait their turn; one that sends more is cut off, as it cannot be told to wait."""
MAX_UNSENT_NOTES_BYTES = 4 * 1024
"""Notes beyond this are left out: they are of pictures that have been shown long since."""
MAX_UNSENT_BYTES = 512 * 1024
"""Most bytes a client may leave unread; statistics alone would take minutes to reach it."""


def send_note(channel: RTCDataChannel, rtp_timestamp: int, sent: Sent) -> None:
    """Say what the packets with an RTP timestamp hold, so that a client can match what it shows with what it sent.

    A client asks for it with a data channel `frames` (unordered, no retransmission); each note is a JSON array of RTP
    timestamp out, frame index, RTP timestamp in (null if it did not come over WebRTC) and control index.
    """
    if channel.readyState == "open" and channel.bufferedAmount < MAX_UNSENT_NOTES_BYTES:
        channel.send(json.dumps([rtp_timestamp, sent.index, sent.tag, sent.control_index]))


class ControlChannel:
    """One client's control channel, from the moment it is there. Used on the event loop."""

    def __init__(self, channel: RTCDataChannel, session: Any, limits: ControlLimits) -> None:
        """Begin to talk; `session` is what a `Conversation` needs."""
        self._channel = channel
        self._inbox: asyncio.Queue[str | bytes] = asyncio.Queue(MAX_UNREAD)
        self._conversation = Conversation(session, self._send, limits)
        channel.on("message", self._receive)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._answer(), name="vivace-rtc-control"),
            loop.create_task(self._conversation.pass_events(), name="vivace-rtc-events"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Close the channel and end what runs for it; safe to call twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._channel.close()

    def _receive(self, message: str | bytes) -> None:
        try:
            self._inbox.put_nowait(message)
        except asyncio.QueueFull:
            _log.warning("a control channel with %d unread messages is closed", MAX_UNREAD)
            self._hang_up()

    async def _answer(self) -> None:
        while await self._conversation.take(await self._inbox.get()):
            pass
        self._hang_up()

    async def _send(self, message: ServerMessage) -> None:
        if self._channel.bufferedAmount > MAX_UNSENT_BYTES:
            _log.warning("a client that reads nothing from its control channel is cut off")
            self._hang_up()
            return
        try:
            self._channel.send(message.model_dump_json())
        except InvalidStateError:
            self._hang_up()  # the other side closed it between two messages

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a control channel is closed after an internal error", exc_info=error)
            self._hang_up()

    def _hang_up(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._channel.close()
