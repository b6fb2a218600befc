"""Streams that break off are opened again, a bounded number of times; what cannot be read is refused by name."""

from __future__ import annotations

import io
import socket
import threading
import traceback
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import av
import pytest

from vivace.errors import (
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
)
from vivace.media.network import NetworkSource
from vivace.media.open import open_source

from .clips import grey, write_clip


@pytest.fixture(scope="module")
def transport_stream() -> bytes:
    data = io.BytesIO()
    write_clip(data, [grey(20 * number) for number in range(1, 11)], muxer="mpegts")
    return data.getvalue()


class Breaking:
    """A container that gives some packets and then an error."""

    def __init__(self, data: bytes, packets: int, error: Exception):
        self._inner = av.open(io.BytesIO(data))
        self._packets, self._error = packets, error
        self.streams, self.format, self.duration = self._inner.streams, self._inner.format, None

    def demux(self, stream: Any) -> Iterator[Any]:
        for number, packet in enumerate(self._inner.demux(stream)):
            if number == self._packets:
                raise self._error
            yield packet

    def close(self) -> None:
        self._inner.close()


def stall() -> Exception:
    return av.error.ExitError(-1414092869, "Immediate exit requested")


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


def source_from(answers: list[Any], clock: Clock, url: str = "rtsp://camera/live", **how: Any) -> NetworkSource:
    """Return a live source whose openings give `answers` in turn: containers, or errors to raise."""
    waiting = iter(answers)

    def open_next() -> Any:
        answer = next(waiting)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return NetworkSource(url, open_next, clock=clock, sleep=clock.sleep, **how)


def refused(*address: str) -> Exception:
    return av.error.ConnectionRefusedError(111, "Connection refused", *address)


def test_a_broken_stream_goes_on_after_reconnecting(transport_stream: bytes) -> None:
    clock = Clock()
    broken = Breaking(transport_stream, 5, av.error.OSError(5, "Input/output error"))
    source = source_from(
        [broken, refused(), av.open(io.BytesIO(transport_stream)), *[refused()] * 9],
        clock,
        reconnect_delays_s=(1.0, 2.0),
    )
    frames = []
    with source, pytest.raises(SourceLostError, match="after 2 attempts"):
        for frame in source:
            frames.append(frame)
    assert len(frames) in (14, 15)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert source.reconnects == 1
    assert clock.slept_s == [1.0, 2.0, 1.0, 2.0]
    gaps = [later.pts_s - earlier.pts_s for earlier, later in pairwise(frames)]
    assert max(gaps) == pytest.approx(3.0, abs=0.01), "the time it was away is in the presentation times"
    assert min(gaps) > 0
    assert any("reconnected" in warning for warning in source.warnings)


def test_nothing_that_is_said_of_a_stream_gives_its_password_away(transport_stream: bytes) -> None:
    """Names, warnings, errors and what they came from, at every moment of a stream's life."""
    address = "rtsp://admin:hush@camera/live?token=hush"

    clock = Clock()
    answers = [
        Breaking(transport_stream, 5, av.error.OSError(5, "Input/output error", address)),
        *[refused(address), av.open(io.BytesIO(transport_stream)), *[refused(address)] * 3],
    ]
    source = source_from(answers, clock, url=address, reconnect_delays_s=(1.0, 2.0))
    assert source.info.name == "rtsp://***@camera/live?token=***"
    with source, pytest.raises(SourceLostError) as lost:
        list(source)
    with pytest.raises(SourceNotFoundError) as missing:
        source_from([refused(address)], clock, url=address)
    said = [source.info.name, *source.warnings]
    for error in (lost.value, missing.value):
        said += traceback.format_exception(error)
    assert "reconnected" in "".join(source.warnings)
    assert "hush" not in "".join(said)


def test_a_frame_that_arrives_gives_all_attempts_back(transport_stream: bytes) -> None:
    clock = Clock()
    pieces: list[Any] = [Breaking(transport_stream, 4, av.error.OSError(5, "gone")) for _ in range(4)]
    answers: list[Any] = []
    for piece in pieces:
        answers += [piece, refused()]
    source = source_from([*answers, refused(), refused()], clock, reconnect_delays_s=(1.0, 1.0))
    with source, pytest.raises(SourceLostError):
        list(source)
    assert source.reconnects == 3


def test_a_stall_is_told_from_a_loss(transport_stream: bytes) -> None:
    clock = Clock()
    with (
        source_from(
            [Breaking(transport_stream, 5, stall()), stall(), stall()], clock, reconnect_delays_s=(1.0, 1.0)
        ) as source,
        pytest.raises(SourceStalledError),
    ):
        list(source)


def test_closing_ends_the_reconnecting(transport_stream: bytes) -> None:
    clock = Clock()
    source = source_from([Breaking(transport_stream, 5, stall())], clock)

    def close_meanwhile(_seconds: float) -> None:
        source._stop.set()

    source._sleep = close_meanwhile
    assert len(list(source)) in (4, 5)


def test_the_first_opening_is_not_retried(transport_stream: bytes) -> None:
    clock = Clock()
    with pytest.raises(SourceNotFoundError, match="cannot connect"):
        source_from([refused()], clock)
    assert clock.slept_s == []


def test_a_web_file_ends_like_a_file(transport_stream: bytes) -> None:
    source = NetworkSource("http://host/clip.ts", lambda: av.open(io.BytesIO(transport_stream)))
    assert not source.info.live
    assert len(list(source)) == 10
    assert source.ended


@pytest.mark.parametrize("url", ["whep://host/x", "whep:https://host/x", "WHIPS://host/x"])
def test_webrtc_is_pointed_to_the_server(url: str) -> None:
    with pytest.raises(SourceUnsupportedError, match="vivace serve"):
        open_source(url)


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(SourceUnsupportedError, match=r"gopher.*rtsp"):
        open_source("gopher://host/clip")


def test_an_address_where_nobody_answers_is_not_found() -> None:
    # Port 1 is reserved and answers nobody.
    with pytest.raises(SourceNotFoundError, match="refused"):
        open_source("tcp://127.0.0.1:1")


def test_a_server_that_stays_silent_is_a_stall() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SourceStalledError, match=r"within 0\.05 s"):
            open_source(f"tcp://127.0.0.1:{port}", stall_timeout_s=0.05)


def test_a_stream_is_read_from_a_real_socket(transport_stream: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(transport_stream)

        thread = threading.Thread(target=serve)
        thread.start()
        with open_source(f"tcp://127.0.0.1:{port}", stall_timeout_s=5) as source:
            assert source.info.live
            assert source.info.size == (64, 48)
            frames = list(islice(source, 10))
        thread.join(5)
    assert len(frames) == 10
