"""Receivers of network streams: FFmpeg listening in a separate process, behind a door held by Python."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from patience import PATIENCE_S

LISTENS: dict[str, dict[str, str]] = {
    "rtmp": {"listen": "1"},
    "rtsp": {"rtsp_flags": "listen", "rtsp_transport": "tcp", "listen_timeout": "100"},
    "udp": {},
}


@dataclass
class Received:
    """Received streams, after the block has been left."""

    address: str
    streams: dict[str, str] = field(default_factory=dict)
    """Codec by kind."""
    times_s: dict[str, list[float]] = field(default_factory=dict)
    """Times of the packets, s, by kind."""
    comment: str = ""
    error: str = ""
    over: Callable[[], bool] = lambda: False
    """Return whether nothing more is received."""


@contextlib.contextmanager
def receiving(
    scheme: str, *, door: bool = True, host: str = "127.0.0.1", query: str = "", enough: int = 0
) -> Iterator[Received]:
    """Receive one stream, or its first `enough` packets; `door` lets a sender connect before FFmpeg listens."""
    inner = (
        f"{scheme}://{host}:{free_port()}/live/key{query}" if scheme != "udp" else f"udp://{host}:{free_port()}{query}"
    )
    received = Received(inner)
    command = [sys.executable, __file__, inner, json.dumps(LISTENS[scheme]), str(enough)]
    with contextlib.ExitStack() as opened:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        opened.callback(process.kill)
        received.over = lambda: process.poll() is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "opening\n"
        if door:
            port = int(inner.split(":")[2].split("/")[0])
            outer = opened.enter_context(Door(port))
            received.address = inner.replace(f":{port}/", f":{outer.port}/")
        yield received
        said = process.communicate(timeout=PATIENCE_S)[0]
        told = json.loads(said)
        received.streams, received.times_s = told["streams"], told["times_s"]
        received.comment, received.error = told["comment"], told["error"]


class Door:
    """Door that accepts connections and forwards their data to another port, once somebody listens there."""

    def __init__(self, to: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._to = to
        self._tls = tls
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                outside, _ = self._server.accept()
                self._threads.append(threading.Thread(target=self._pass, args=(outside,), daemon=True))
                self._threads[-1].start()

    def _pass(self, outside: socket.socket) -> None:
        with contextlib.ExitStack() as opened, contextlib.suppress(OSError):
            opened.enter_context(outside)
            first = b""
            if self._tls is not None:
                outside = opened.enter_context(self._tls.wrap_socket(outside, server_side=True))
                if not (first := outside.recv(65536)):
                    return  # a visitor who only looks at the certificate says nothing
            inside = None
            while inside is None and not self._closed.wait(0.05):
                with contextlib.suppress(ConnectionRefusedError):
                    inside = opened.enter_context(socket.create_connection(("127.0.0.1", self._to)))
            if inside is not None:
                inside.sendall(first)
                back = threading.Thread(target=_copy, args=(inside, outside), daemon=True)
                back.start()
                _copy(outside, inside)
                back.join(PATIENCE_S)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def main(address: str, options: dict[str, str], enough: int) -> None:
    import av

    print("opening", flush=True)
    told: dict[str, Any] = {"streams": {}, "times_s": {}, "comment": "", "error": ""}
    try:
        with av.open(address, "r", options=options, timeout=PATIENCE_S) as container:
            told["comment"] = container.metadata.get("comment", "")
            told["streams"] = {each.type: each.codec_context.codec.canonical_name for each in container.streams}
            for packet in container.demux():
                if packet.pts is not None:
                    times: list[float] = told["times_s"].setdefault(packet.stream.type, [])
                    times.append(float(packet.pts * packet.time_base))
                    if len(times) == enough:
                        break
    except (av.FFmpegError, OSError) as error:  # how such a stream ends
        told["error"] = str(error)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
