"""A session on the client's side: acknowledged updates, events, and a control channel that reconnects."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from vivace.client.api import ServerError, ServerUnreachableError, SessionInfo, read_message, write_message
from vivace.errors import (
    ControlError,
    PolicyError,
    SessionClosedError,
    UnknownPromptError,
    VivaceError,
    describe_invalid,
)
from vivace.messages import (
    Ack,
    ClientMessage,
    Controls,
    End,
    Ended,
    Error,
    Live,
    Notice,
    Pick,
    Picked,
    Ping,
    Pong,
    Record,
    Recorded,
    ServerMessage,
    Sound,
    Stats,
    Update,
    Waiting,
)

if TYPE_CHECKING:
    from vivace.client.http import Client
    from vivace.client.rtc import RtcSession
    from vivace.rtc.sound import OnSound

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.INFO)  # below INFO it logs headers, which hold the session's secret and the token

ACK_TIMEOUT_S = 15.0
BACKOFF_S = (0.2, 0.5, 1.0, 2.0)
MAX_UNREAD_EVENTS = 1_000
"""Most unread events; the oldest are dropped. Only the newest statistics are kept anyway."""
PERMANENT_CODES = (4401, 4403, 4404)
"""Close codes for which reconnecting is pointless."""


class ClientSession:
    """Session on a server, with its control channel. An async context manager: leaving it ends the session."""

    def __init__(self, client: Client, info: SessionInfo) -> None:
        self.client = client
        self.info = info
        self.stats: Stats | None = None
        """Newest statistics."""
        self.ended: Ended | None = None
        """Final message of the session, once it has ended."""
        self.state: str = info.state
        self._socket: ClientConnection | None = None
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._events: deque[ServerMessage] = deque(maxlen=MAX_UNREAD_EVENTS)
        self._news = asyncio.Event()
        self._closed = False
        self._presented: list[tuple[int, float]] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def id(self) -> str:
        """Id of the session on the server."""
        return self.info.id

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Requests left out at opening, such as a prompt that the model does not know."""
        return self.info.notices

    async def connect(self) -> None:
        """Open the control channel; `Client.open` has already done so.

        Raises:
            ServerError: the server refuses it.
            ServerUnreachableError: no answer.
        """
        self._socket = await self._dial()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._beat())]

    async def update(self, controls: Controls | None = None, **changes: Any) -> Ack:
        """Change controls, all at one frame boundary; return the server's answer, or raise its refusal.

        Args:
            controls: controls to change, or
            changes: the same by name: `prompt`, `strength`, `seed`, `mask`, `options`, …; None is a control's default.

        Raises:
            UnknownPromptError: a prompt that the model does not know, with the nearest styles; nothing was changed.
            PolicyError: a prompt or picture against the server's policy, with the reason; nothing was changed.
            ControlError: a value that cannot be used; nothing was changed.
            SessionClosedError: the session has ended.
            ServerError: refused for another reason (`code`), or the channel was lost before the answer: ask again.
        """
        wanted = controls or controls_of(changes)
        answer = await self._ask(lambda id_: Update(id=id_, controls=wanted))
        assert isinstance(answer, Ack)
        if not answer.accepted:
            raise _refusal(answer.code, answer.message, answer.matches, answer.reason)
        return answer

    async def record(self, on: bool) -> Recorded:
        """Start or stop a recording on the server.

        Raises:
            ServerError: the server does not record, or has no room.
            SessionClosedError: the session has ended.
        """
        answer = await self._ask(lambda id_: Record(id=id_, on=on))
        assert isinstance(answer, Recorded)
        return answer

    async def pick(self, x: float, y: float) -> list[str]:
        """Return the places at a point of the newest picture, values of the control `place`, the likeliest first.

        Args:
            x: share of the width, 0 at the left to 1.
            y: share of the height, 0 at the top to 1.

        Raises:
            ServerError: the model knows no places, or there is no picture yet.
            SessionClosedError: the session has ended.
        """
        answer = await self._ask(lambda id_: Pick(id=id_, x=x, y=y))
        assert isinstance(answer, Picked)
        return answer.places

    async def sound(self, on: bool) -> None:
        """Turn forwarding of audio to viewers and recordings on or off.

        Raises:
            SessionClosedError: the session has ended.
            ServerError: the channel was lost before the answer: ask again.
        """
        await self._ask(lambda id_: Sound(id=id_, on=on))

    async def ping(self) -> float:
        """Return the server's clock, s, and keep the session alive."""
        answer = await self._ask(lambda id_: Ping(id=id_, presented=self._take_presented()))
        assert isinstance(answer, Pong)
        return answer.server_time_s

    def media(
        self,
        *,
        publish: bool = True,
        play: bool = True,
        fps: float = 30.0,
        notes: bool = False,
        sound: bool = False,
        on_sound: OnSound | None = None,
    ) -> RtcSession:
        """Return a connection for pictures to and from the session, to be entered with `async with`.

        Args:
            publish: whether pictures are sent.
            play: whether repainted pictures are received.
            fps: frame rate of the published pictures.
            notes: whether the server reports the origin of each picture, see `RtcSession.note`.
            sound: whether audio is included, see `RtcSession`.
            on_sound: called with received audio.
        """
        from aiortc import RTCIceServer

        from vivace.client.rtc import RtcSession

        servers = [RTCIceServer(ice.urls, ice.username, ice.credential) for ice in self.info.ice_servers]
        return RtcSession(
            lambda sdp: self.client.offer(self.info, sdp),
            publish=publish,
            play=play,
            fps=fps,
            control=False,  # the session has one already
            notes=notes,
            sound=sound,
            on_sound=on_sound,
            ice_servers=servers,
        )

    def presented(self, shown: Sequence[tuple[int, float]]) -> None:
        """Report measured glass-to-glass times, `(frame index, ms)`, with the next ping."""
        self._presented = [*self._presented, *shown][-64:]

    async def events(self) -> AsyncIterator[ServerMessage]:
        """Yield the server's messages, in order, up to `Ended`. For one reader."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closed:
                return
            self._news.clear()
            await self._news.wait()

    async def wait_live(self, timeout_s: float = 30.0) -> None:
        """Wait until the session has a slot.

        Raises:
            SessionClosedError: it has ended instead.
            TimeoutError: no slot became free.
        """
        async with asyncio.timeout(timeout_s):
            while self.state == "waiting":
                self._news.clear()
                await self._news.wait()
        self._check_open()

    async def close(self) -> None:
        """End the session and the channel; safe to call twice."""
        if self._socket is not None and not self._closed:
            try:
                await self._send(End())
                async with asyncio.timeout(2):
                    await asyncio.shield(self._tasks[0])
            except (ServerError, SessionClosedError, TimeoutError):
                _log.debug("the session could not be told that it ends; the server finds out by itself")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._finish()
        if self._socket is not None:
            await self._socket.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # The channel

    async def _dial(self) -> ClientConnection:
        url = self.client.websocket_url(self.info.control_url)
        headers = {**self.client.authorization, "X-Session-Secret": self.info.secret}
        limit = self.info.limits.max_body_bytes
        tls = (self.client.tls or True) if url.startswith("wss:") else None
        try:
            return await connect_websocket(
                url, additional_headers=headers, max_size=limit, proxy=None, logger=_wire_log, ssl=tls
            )
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise ServerUnreachableError(
                f"the control channel of {self.client.url} cannot be opened ({error})", code="unreachable"
            ) from error

    async def _listen(self) -> None:
        """Take messages, reconnecting after losses, until the session has ended."""
        socket = self._socket
        while socket is not None:
            try:
                async for text in socket:
                    if (message := read_message(text)) is not None:
                        self._take(message)
            except ConnectionClosed as error:
                _log.info("the control channel of session %s was lost (%s)", self.id, error)
            self._fail_answers(ServerUnreachableError("the control channel was lost; ask again", code="lost"))
            socket = await self._find_back(socket.close_code)
        self._finish()

    async def _find_back(self, close_code: int | None) -> ClientConnection | None:
        """Reconnect for as long as the server keeps the session; return None if it is over."""
        if self.ended is not None or close_code in PERMANENT_CODES:
            return None
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.info.limits.grace_s
        for pause_s in itertools.chain(BACKOFF_S, itertools.repeat(BACKOFF_S[-1])):
            if loop.time() + pause_s > until_s:
                return None
            await asyncio.sleep(pause_s)
            try:
                self._socket = await self._dial()
            except ServerUnreachableError:
                continue
            return self._socket
        return None

    async def _beat(self) -> None:
        while not self._closed:
            await asyncio.sleep(self.info.limits.heartbeat_s / 3)
            try:
                await self._send(Ping(presented=self._take_presented()))
            except ServerError:
                _log.debug("no ping: the control channel is being found again")

    def _take(self, message: ServerMessage) -> None:
        match message:
            case Ack() | Picked() | Pong() | Error() if message.id is not None:
                self._answer(message.id, message)
                return
            case Pong():
                return
            case Recorded() | Sound() if message.id is not None:
                self._answer(message.id, message)
            case Stats():
                self.stats = message
                self._events = deque((e for e in self._events if not isinstance(e, Stats)), MAX_UNREAD_EVENTS)
            case Waiting():
                self.state = "waiting"
            case Live():
                self.state = "live"
            case Ended():
                self.ended = message
                self.state = "ended"
        self._events.append(message)
        self._news.set()

    # Requests and answers

    async def _ask(self, make: Callable[[str], Update | Pick | Ping | Record | Sound]) -> Any:
        self._check_open()
        id_ = str(next(self._ids))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[id_] = future
        try:
            await self._send(make(id_))
            async with asyncio.timeout(ACK_TIMEOUT_S):
                answer = await future
        except TimeoutError as error:
            raise ServerError(f"no answer within {ACK_TIMEOUT_S:g} s; ask again", code="timeout") from error
        finally:
            self._answers.pop(id_, None)
        if isinstance(answer, Error):
            raise _refusal(answer.code, answer.message)
        return answer

    async def _send(self, message: ClientMessage) -> None:
        assert self._socket is not None, "connect() first"
        try:
            await self._socket.send(write_message(message))
        except ConnectionClosed as error:
            raise ServerUnreachableError("the control channel was lost; ask again", code="lost") from error

    def _answer(self, id_: str, message: ServerMessage) -> None:
        future = self._answers.get(id_)
        if future is not None and not future.done():
            future.set_result(message)

    def _fail_answers(self, error: ServerError) -> None:
        for future in self._answers.values():
            if not future.done():
                future.set_exception(error)

    def _take_presented(self) -> list[tuple[int, float]]:
        shown, self._presented = self._presented, []
        return shown

    def _check_open(self) -> None:
        if self.ended is not None:
            raise SessionClosedError(f"the session has ended ({self.ended.reason}): {self.ended.message}")
        if self._closed:
            raise SessionClosedError("the connection to the session is closed; open a new one")

    def _finish(self) -> None:
        self._closed = True
        if self.state != "ended":
            self.state = "ended" if self.ended is not None else "lost"
        self._fail_answers(ServerUnreachableError("the session is over", code="lost"))
        self._news.set()


def controls_of(named: Mapping[str, Any]) -> Controls:
    """Return controls given by name.

    Raises:
        ControlError: an unknown name, or a value that no message can hold.
    """
    try:
        return Controls.model_validate(named)
    except ValidationError as error:
        raise ControlError(describe_invalid(error.errors())) from error


def _refusal(code: str, message: str, matches: Sequence[tuple[str, float]] = (), reason: str = "") -> VivaceError:
    """Return a refusal as the error class that the same mistake raises without a server."""
    match code:
        case UnknownPromptError.code:
            return UnknownPromptError(message, matches=tuple(matches))
        case PolicyError.code:
            return PolicyError(message, control="prompt", reason=reason)
        case ControlError.code | "invalid":
            return ControlError(message)
        case SessionClosedError.code:
            return SessionClosedError(message)
    return ServerError(message, code=code)
