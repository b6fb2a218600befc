"""Output to a WHIP server and source from a WHEP server (RFC 9725 and its draft for playback), over Vivace's WebRTC.

    vivace run camera -p ink -o whip:https://media.example/whip
    vivace run whep:https://media.example/whep/stage -p ink

The bearer token is `VIVACE_WHIP_TOKEN` or `VIVACE_WHEP_TOKEN` in the environment, or ends the address as `#token=…`,
where it is visible to everyone who may list processes.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import CancelledError, wait
from contextlib import suppress
from fractions import Fraction
from typing import Any, TypeVar
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2

from vivace.client.rtc import Received, RtcSession
from vivace.errors import (
    SinkWriteError,
    SourceError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
    UsageError,
    VivaceError,
)
from vivace.media.audio import Sound
from vivace.media.clock import Clock
from vivace.media.convert import cover
from vivace.media.frame import Frame
from vivace.media.live_sound import LiveSound, LiveTrack, SoundPacket
from vivace.media.mailbox import Latest
from vivace.media.network import with_remedy
from vivace.media.pacing import Timetable
from vivace.media.reconnect import SOURCE_DELAYS_S, Attempts, LineSink, ReconnectingSink, connected_again
from vivace.media.sink import SinkOptions
from vivace.media.size import Size
from vivace.media.source import STALL_TIMEOUT_S, Source, SourceInfo, on_error
from vivace.redaction import redact_address
from vivace.rtc.opus import OpusWriter
from vivace.rtc.sound import OnSound

SDP = "application/sdp"
HTTP_S = 15.0
CLOSE_S = 5.0
AHEAD_S = 0.05
"""Time that pictures are sent ahead of their presentation time, s: WebRTC receivers buffer next to nothing."""
SOUND_S = 1.0
"""Wait for audio after the first picture, s; if none arrives by then, outputs have no audio."""
TIME_BASE = Fraction(1, 1_000_000)

T = TypeVar("T")


class _Exchange:
    """HTTP requests that set up and end a connection."""

    def __init__(self, address: str, token: str | None) -> None:
        self._url, _, fragment = address.partition("#")
        token = parse_qs(fragment).get("token", [token])[0]
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._resource: str | None = None

    def _client(self) -> httpx2.AsyncClient:
        context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
        return httpx2.AsyncClient(headers=self._headers, timeout=HTTP_S, follow_redirects=True, verify=context)

    async def offer(self, sdp: str) -> str:
        """Post an offer and return the answer.

        Raises:
            UsageError: it was refused.
            OSError: no answer.
        """
        try:
            async with self._client() as client:
                answer = await client.post(self._url, content=sdp, headers={"Content-Type": SDP})
        except httpx2.HTTPError as error:
            raise ConnectionError(str(error) or type(error).__name__) from None
        if answer.status_code in (401, 403):
            raise UsageError(f"the server answers {answer.status_code}: it wants a (another) bearer token")
        if answer.status_code != 201:
            said = " ".join(answer.text.split())[:200]
            raise UsageError(f"the server answers {answer.status_code} {answer.reason_phrase} {said}".rstrip())
        if location := answer.headers.get("Location"):
            self._resource = urljoin(str(answer.url), location)
        return answer.text

    async def leave(self) -> None:
        """Delete the server's resource; a server that does not answer will notice by itself."""
        if self._resource is not None:
            with suppress(httpx2.HTTPError, TimeoutError):
                async with asyncio.timeout(CLOSE_S), self._client() as client:
                    await client.delete(self._resource)


class _LoopThread:
    """Thread that runs an event loop."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Any:
        """Run a coroutine; return its future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def close(self) -> None:
        """End the loop and its tasks; safe to call twice."""
        if self.loop.is_closed():
            return

        async def end() -> None:
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=CLOSE_S) if left else None
            await self.loop.shutdown_default_executor()

        self.begin(end()).result(2 * CLOSE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def _http_address(target: str) -> str:
    """Return the URL after `whip:` or `whep:`; `//…` alone means HTTPS.

    Raises:
        UsageError: not a URL.
    """
    address = f"https:{target}" if target.startswith("//") else target
    url = urlsplit(address)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise UsageError(f"{redact_address(target)!r} is no address; write whip:https://HOST/… or whep:https://HOST/…")
    return address


class WhipSink(LineSink):
    """Output of pictures and audio to a WHIP server, over one connection. `write` never waits for the network."""

    def __init__(
        self, target: str, options: SinkOptions | None = None, *, clock: Clock = time.monotonic, sleep: Any = time.sleep
    ) -> None:
        """Prepare; the connection is made for the first frame.

        Raises:
            UsageError: not a URL.
            SourceError: the audio cannot be read.
        """
        options = options or SinkOptions()
        address = _http_address(target)
        self.name = f"whip:{redact_address(address)}"
        self._exchange = _Exchange(address, os.environ.get("VIVACE_WHIP_TOKEN"))
        self._size = options.size
        self._fps = float(options.fps or 30)
        self._track: Sound | None = None if options.audio_from is None else options.audio_from.open_audio()
        self._voice: OpusWriter | None = None
        self._clock = clock
        self._timetable = Timetable(clock, sleep, ahead_s=AHEAD_S)
        self._thread: _LoopThread | None = None
        self._session: RtcSession | None = None
        self._standing: Any = None
        self._failed = False
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Send a frame, or skip it until the connection is established."""
        if self._closed:
            raise SinkWriteError(f"{self.name}: already closed")
        if self._session is None:
            self._begin()
        assert self._session is not None
        due_s = self._timetable.wait(frame.pts_s)
        if self._standing.done():
            self._check()
            self._size = self._size or frame.size
            if not self._session.publish(cover(frame.rgb, self._size)):
                self._failed = True
                raise SinkWriteError(f"{self.name}: the connection was lost after {self.frames_written} frames")
            self.connected = True
            self._speak(frame.pts_s, due_s - frame.pts_s)
            self.frames_written += 1

    def _begin(self) -> None:
        self._thread = _LoopThread("vivace-whip")
        sound = self._track is not None
        self._voice = None if self._track is None else OpusWriter(self._track)
        self._session = RtcSession(self._exchange.offer, play=False, fps=self._fps, control=False, sound=sound)
        self._standing = self._thread.begin(self._session.connect())

    def _check(self) -> None:
        try:
            self._standing.result()
        except (VivaceError, OSError, CancelledError) as error:
            self._failed = True
            raise SinkWriteError(f"{self.name}: no connection ({with_remedy(error) or 'no answer'})") from None

    def _speak(self, until_s: float, epoch_s: float) -> None:
        """Send the audio up to a picture; presentation time 0 is at `epoch_s` of the clock."""
        if self._voice is not None and self._session is not None:
            for packet in self._voice.packets_until(until_s):
                self._session.publish_sound(SoundPacket(packet.data, packet.time_s + epoch_s))

    def close(self) -> None:
        """End the connection, and tell the server. Raises SinkWriteError where nothing could be sent."""
        if self._closed:
            return
        self._closed = True
        unsent = self._session is not None and not self.frames_written and not self._failed
        try:
            if self._thread is not None and self._session is not None:
                if unsent:
                    wait([self._standing], CLOSE_S)
                self._standing.cancel()
                self._thread.begin(_end(self._session, self._exchange)).result(4 * CLOSE_S)
        finally:
            if self._thread is not None:
                self._thread.close()
            if self._track is not None:
                self._track.close()
        if unsent:
            self._check()
            raise SinkWriteError(f"{self.name}: connected when the pictures had ended, so nothing was sent")


async def _end(session: RtcSession, exchange: _Exchange) -> None:
    await session.close()
    await exchange.leave()


class WhepSource(Source):
    """Source of a WHEP server's newest pictures, and of its audio, if any, for outputs."""

    def __init__(
        self,
        target: str,
        *,
        size: Size | None = None,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        reconnect_delays_s: tuple[float, ...] | None = None,
        clock: Clock = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Connect and wait for the first picture.

        Args:
            target: address of the stream; `//…` alone is HTTPS.
            size: `(width, height)` to deliver, px; None: as sent.
            stall_timeout_s: longest wait for a picture.
            reconnect_delays_s: waits before each attempt to reconnect, s; a picture that arrives resets them. None:
                `SOURCE_DELAYS_S`.
            clock: stamps arrivals.
            wait: waits; the default one is cut short by `close()`.

        Raises:
            UsageError: not a URL.
            SourceNotFoundError: no answer.
            SourceUnsupportedError: the server refuses.
            SourceStalledError: no picture arrived in time.
        """
        self._address = _http_address(target)
        name = f"whep:{redact_address(self._address)}"
        super().__init__(SourceInfo(name=name, size=(0, 0), live=True))
        self._size = size
        self._stall_timeout_s = stall_timeout_s
        self._attempts = Attempts(SOURCE_DELAYS_S if reconnect_delays_s is None else reconnect_delays_s)
        self._clock = clock
        self._wait = wait or self._stop.wait
        self._line: _Playing | None = None
        self._heard = threading.Event()
        self._sound = LiveSound(name, warn=self.warnings.append)
        self._began_s: float | None = None
        self._thread = _LoopThread("vivace-whep")
        with on_error(self._release):
            self._first = self._connect()
            self._began_s = self._first.arrival_s
            self._heard.wait(SOUND_S)
        height, width = self._first.rgb.shape[:2]
        heard = self._heard.is_set()
        self.info = SourceInfo(name=name, size=size or (width, height), live=True, has_audio=heard)

    def _connect(self) -> Received:
        """Connect, in place of a connection that was lost, and return the first picture."""
        if self._line is not None:
            self._thread.begin(self._line.end())
        self._line = line = _Playing(self._address, self._hear, self._clock)
        name = self.info.name
        try:
            line.connecting = self._thread.begin(line.play(self._stall_timeout_s))
            if self._stop.is_set():
                line.stop()
            line.connecting.result(HTTP_S + self._stall_timeout_s)
        except SourceError as error:
            raise type(error)(f"{name}: {error}") from None
        except UsageError as error:
            raise SourceUnsupportedError(f"{name}: {error}") from None
        except OSError as error:
            raise SourceNotFoundError(f"{name}: cannot connect ({with_remedy(error)})") from None
        except CancelledError:
            raise SourceLostError(f"{name}: closed") from None
        return self._take(line)

    def _hear(self, packet: SoundPacket) -> None:
        self._heard.set()
        if self._began_s is not None:
            self._sound.put(SoundPacket(packet.data, packet.time_s - self._began_s))

    def open_audio(self) -> LiveTrack | None:
        """Return the audio from now on."""
        return self._sound.open_audio() if self.info.has_audio else None

    def deliver_at(self, size: Size | None) -> None:
        """Scale to `(width, height)` px from the next picture on."""
        self._size = size

    def _take(self, line: _Playing) -> Received:
        try:
            taken = line.arrivals.take(self._stall_timeout_s)
        except TimeoutError:
            raise SourceStalledError(f"{self.info.name}: no picture for {self._stall_timeout_s:g} s") from None
        if taken is None:
            raise SourceLostError(f"{self.info.name}: the connection was lost")
        self._attempts.succeeded()
        return taken

    def _read(self) -> Generator[Frame, None, None]:
        assert self._began_s is not None
        taken: Received | None = self._first
        index, pts = 0, -1
        while taken is not None:
            pts = max(pts + 1, round((taken.arrival_s - self._began_s) / TIME_BASE))
            rgb = taken.rgb if self._size is None else cover(taken.rgb, self._size)
            yield Frame(rgb, index, pts, TIME_BASE, taken.arrival_s)
            taken, index = self._next(), index + 1

    def _next(self) -> Received | None:
        """Wait for a picture, over another connection where this one is lost; None once the source is closed."""
        assert self._line is not None
        try:
            return self._take(self._line)
        except (SourceStalledError, SourceLostError) as error:
            if self._stop.is_set():
                return None
            return connected_again(
                self._connect,
                self._attempts,
                error,
                name=self.info.name,
                warn=self.warnings.append,
                wait=self._wait,
                stopped=self._stop.is_set,
            )

    def close(self) -> None:
        """Stop; a wait in progress ends at once."""
        self._stop.set()
        if self._line is not None:
            self._line.stop()
        super().close()

    def _release(self) -> None:
        if not self._thread.loop.is_closed():
            if self._line is not None:
                self._thread.begin(self._line.end()).result(4 * CLOSE_S)
            self._thread.close()


class _Playing:
    """One connection of a `WhepSource`; coroutines run on its loop."""

    def __init__(self, address: str, on_sound: OnSound, clock: Clock) -> None:
        self.arrivals: Latest[Received] = Latest()
        self.connecting: Any = None
        """Future of `play`."""
        self._exchange = _Exchange(address, os.environ.get("VIVACE_WHEP_TOKEN"))
        self._session = RtcSession(self._exchange.offer, publish=False, sound=True, on_sound=on_sound, clock=clock)

    async def play(self, timeout_s: float) -> None:
        """Connect, and have pictures arrive from then on. Raises what `RtcSession.connect` raises."""
        await self._session.connect(timeout_s)
        self._collecting = asyncio.get_running_loop().create_task(self._collect())

    async def _collect(self) -> None:
        async for picture in self._session.pictures():
            self.arrivals.put(picture)
        self.arrivals.close()

    def stop(self) -> None:
        """End whoever waits for the connection or for a picture. Any thread."""
        if self.connecting is not None:
            self.connecting.cancel()
        self.arrivals.close(discard=True)

    async def end(self) -> None:
        """End the connection, and tell the server."""
        await _end(self._session, self._exchange)


def open_whip(target: str, options: SinkOptions) -> ReconnectingSink:
    """Open a WHIP server as an output."""
    return ReconnectingSink(lambda: WhipSink(target, options), warn=options.warn)


def open_whep(
    target: str,
    *,
    size: Size | None,
    fps: float | None,  # noqa: ARG001  (WHEP has no rate to request)
    stall_timeout_s: float,
    clock: Callable[[], float],
) -> WhepSource:
    """Open a WHEP server as a source."""
    return WhepSource(target, size=size, stall_timeout_s=stall_timeout_s, clock=clock)
