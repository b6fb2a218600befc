"""Network streams (RTMP, RTSP, MPEG-TS over UDP and TCP): encoded here, sent by a process of their own.

Nothing here waits for the network. What the peer has not taken waits in a queue of limited length; while that is full,
frames are left out before they are encoded, and a peer that has taken nothing for `PATIENCE_S` has gone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from threading import Condition, Thread
from typing import Any
from urllib.parse import urlsplit

import av
from av.container import OutputContainer

from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media.clock import Clock, Sleep
from vivace.media.encode import KEYFRAME_S, VideoSink, flush_packets
from vivace.media.frame import Frame
from vivace.media.pacing import Timetable
from vivace.media.reconnect import LineSink, ReconnectingSink
from vivace.media.registry import ADDRESS_FORMATS
from vivace.media.sink import SinkOptions

AHEAD_S = 0.5
"""Lead of the sender, s: what a receiver buffers anyway, so that live frames, which come unevenly, are not held up."""
PATIENCE_S = 10.0
"""A peer that takes nothing for so long has gone."""
MAX_WAITING_BYTES = 1 << 20
"""A second and a half at the highest rate; while more waits, frames are left out."""
CLOSE_S = 5.0
"""For the peer to take what waits, at the end."""

_OPTIONS = {
    "flv": {"flvflags": "no_duration_filesize"},
    "rtsp": {"rtsp_transport": "tcp"},
    "mpegts": {"mpegts_flags": "resend_headers"},
}
_PORTS = {"rtmps": 443, "rtsps": 322}
"""Usual ports of protocols over TLS (FFmpeg's for RTMPS; RFC 7826)."""

RELAY = (sys.executable, "-m", "vivace.media.relay")


class Relay:
    """A process that sends a stream, with a queue in front. `write` is for one thread."""

    def __init__(self, order: dict[str, Any], *, command: Sequence[str] = RELAY, clock: Clock = time.monotonic) -> None:
        """Start the process; `order` is what `vivace.media.relay` is told."""
        self._clock = clock
        self._changed = Condition()
        self._queue: list[bytes] = [json.dumps(order).encode() + b"\n"]
        self._closed = False
        self._since_s: float | None = None
        """Since when the process has not taken what it was given."""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            # Ctrl-C is for who writes; this ends with its input.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        self.connected = False
        """True once the other side has taken something."""
        self._threads = [Thread(target=work, name="vivace-relay", daemon=True) for work in (self._feed, self._listen)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the process has not taken."""
        with self._changed:
            return sum(map(len, self._queue))

    def check(self) -> None:
        """Raise OSError once the process has ended, or has taken nothing for `PATIENCE_S`."""
        since_s = self._since_s
        if since_s is not None and self._clock() - since_s > PATIENCE_S:
            self.kill()
            raise TimeoutError(f"the other side takes nothing for {PATIENCE_S:g} s")
        if self._process.poll() is not None:
            raise ConnectionError(self._words())

    def write(self, data: bytes) -> int:
        """Leave bytes for the process; never waits."""
        with self._changed:
            self._queue.append(bytes(data))
            self._changed.notify()
        return len(data)

    def finish(self) -> None:
        """End after what was written. Raises OSError where the other side has not taken it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        try:
            code = self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise TimeoutError(f"the other side did not take the end within {CLOSE_S:g} s") from None
        if code:
            raise ConnectionError(self._words())
        self.kill()

    def kill(self) -> None:
        """End the process at once, whatever it waits for; safe to call twice."""
        with self._changed:
            self._closed = True
            self._queue.clear()
            self._changed.notify()
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _words(self) -> str:
        """Return what the process that has ended said, and know by then whether it was connected."""
        self._threads[1].join()
        assert self._process.stderr is not None
        said = "" if self._process.stderr.closed else self._process.stderr.read().decode(errors="replace").strip()
        lines = said.splitlines()
        return lines[-1] if lines else "the other side closed the connection"

    def _listen(self) -> None:
        """Wait for the byte by which the process says that it is connected."""
        assert self._process.stdout is not None
        with self._process.stdout as said:
            self.connected = bool(said.read(1))

    def _feed(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            while True:
                with self._changed:
                    while not self._queue and not self._closed:
                        self._changed.wait()
                    if not self._queue:
                        return
                    data = self._queue[0]
                    self._since_s = self._clock()
                left = memoryview(data)
                while left:
                    left = left[pipe.write(left) :]
                    self._since_s = self._clock()
                with self._changed:
                    self._since_s = None
                    if self._queue:
                        self._queue.pop(0)
        except OSError:
            pass  # it has ended, and has said why
        finally:
            pipe.close()


class NetworkSink(VideoSink, LineSink):
    """A network stream over one connection, sent as fast as it is shown, `AHEAD_S` ahead at most."""

    _bounds: Mapping[str, str] = {"maxrate": "6M", "bufsize": "6M"}

    def __init__(
        self,
        address: str,
        muxer: str,
        options: SinkOptions | None = None,
        *,
        start: Callable[[dict[str, Any]], Relay] = Relay,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Start what sends; it connects when the first frame is there.

        Args:
            address: where to.
            muxer: FFmpeg's name of the form in which the protocol carries streams.
            options: size, rate, time base and sound.
            start: starts the process.
            clock: what the stream is paced by.
            sleep: waits.
        """
        super().__init__(address, muxer, options)
        self.frames_left_out = 0
        """Frames that the line had no room for."""
        self._timetable = Timetable(clock, sleep, ahead_s=AHEAD_S)
        url = urlsplit(address)
        verified = url.scheme.lower() in _PORTS
        self._relay = start(
            {
                "address": address,
                "muxer": muxer,
                "options": _OPTIONS[muxer],
                "verify": [url.hostname, url.port or _PORTS[url.scheme.lower()]] if verified else None,
            }
        )

    @property
    def connected(self) -> bool:  # type: ignore[override]
        """True once the other side has taken something."""
        return self._relay.connected

    def write(self, frame: Frame) -> None:
        """Encode one frame and leave it to be sent; leave it out where the line has no room for it."""
        if not self._failed and not self._closed:
            try:
                self._relay.check()
            except OSError as error:
                raise self._failure(error) from None
            self._timetable.wait(frame.pts_s)
            if self._relay.waiting_bytes > MAX_WAITING_BYTES:
                self.frames_left_out += 1
                return
        super().write(frame)

    def close(self) -> None:
        """Send the end, and wait a moment for the other side to take it."""
        if self._closed:
            return
        try:
            super().close()
            if self._failed or not self.frames_written:
                return
            try:
                self._relay.finish()
            except OSError as error:
                raise self._failure(error) from None
        finally:
            self._relay.kill()

    def _open_container(self) -> OutputContainer:
        container = av.open(self._relay, "w", format="nut", options={"write_index": "0"})
        flush_packets(container)
        return container

    def _wants_keyframe(self, since_s: float) -> bool:
        return since_s >= KEYFRAME_S  # who joins waits for one, however few frames come

    def _failure(self, error: Exception) -> SinkWriteError:
        self._failed = True
        reason = getattr(error, "strerror", None) or str(error)
        if not self.connected:
            self.frames_written = 0
            return SinkWriteError(f"{self.name}: no connection ({reason})")
        return SinkWriteError(f"{self.name}: sending failed after {self.frames_written} frames ({reason})")


def check_address(address: str) -> None:
    """Refuse an address that nothing can be sent to.

    Raises:
        SinkUnsupportedError: it names no machine, or no port where there is no usual one.
    """
    url = urlsplit(address)
    try:
        host, port = url.hostname, url.port
    except ValueError as error:
        raise SinkUnsupportedError(f"the address of an output cannot be read ({error})") from None
    if not host:
        raise SinkUnsupportedError(f"{url.scheme}:// names no machine; write, e.g., {url.scheme}://media.example:9000")
    if url.scheme in ("udp", "tcp") and port is None:
        raise SinkUnsupportedError(f"{url.scheme}://{host} names no port; write, e.g., {url.scheme}://{host}:9000")


def is_multicast(host: str) -> bool:
    """Tell whether a host is the address of a multicast group."""
    try:
        return ip_address(host).is_multicast
    except ValueError:
        return False


def with_packet_size(address: str) -> str:
    """Return a UDP address with packets that an Ethernet frame holds (7 of MPEG-TS), unless it says how large.

    A multicast group is reached within the network of this machine, one hop, unless it says how far (`ttl`).
    """
    url = urlsplit(address)
    said = url.query
    for name, value in (("pkt_size", "1316"), ("ttl", "1")):
        if f"{name}=" not in said and (name != "ttl" or is_multicast(url.hostname or "")):
            said = f"{said}&{name}={value}" if said else f"{name}={value}"
    return url._replace(query=said).geturl()


def open_address(url: str, options: SinkOptions) -> ReconnectingSink:
    """Open a network stream as an output."""
    check_address(url)
    scheme = url.partition(":")[0].lower()
    address = with_packet_size(url) if scheme == "udp" else url
    return ReconnectingSink(lambda: NetworkSink(address, ADDRESS_FORMATS[scheme], options), warn=options.warn)
