"""Broken streams are reopened, and complete ones end; order and times hold; errors have names."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
import traceback
from collections.abc import Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from patience import PATIENCE_S
from sounds import samples_of, tones_in
from stream_peers import free_port
from vivace.errors import (
    SourceError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
)
from vivace.media.network import NetworkSource
from vivace.media.open import open_sink, open_source
from web_server import served

from .clips import beep, frames_of, grey, write_clip


@pytest.fixture(scope="module")
def transport_stream() -> bytes:
    data = io.BytesIO()
    write_clip(data, [grey(20 * number) for number in range(1, 11)], muxer="mpegts")
    return data.getvalue()


class Breaking:
    """Container that gives some packets and then an error."""

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
    assert any("connected again" in warning for warning in source.warnings)


def test_nothing_that_is_said_of_a_stream_gives_its_password_away(transport_stream: bytes) -> None:
    """Names, warnings, errors and their causes, at every moment of a stream's life."""
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
    assert "connected again" in "".join(source.warnings)
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


def test_an_unknown_scheme_names_the_known_ones() -> None:
    with pytest.raises(SourceUnsupportedError, match=r"gopher.*rtsp"):
        open_source("gopher://host/clip")


def test_an_address_where_nobody_answers_is_not_found() -> None:
    # Port 1 is reserved and answers to nobody.
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
        with open_source(f"tcp://127.0.0.1:{port}", stall_timeout_s=PATIENCE_S) as source:
            assert source.info.live
            assert source.info.size == (64, 48)
            frames = list(islice(source, 10))
        thread.join(PATIENCE_S)
    assert len(frames) == 10


@pytest.mark.parametrize(("muxer", "codec"), [("mpegts", "aac"), ("mpegts", "mp2"), ("flv", "aac")])
def test_the_sound_of_a_live_stream_stays_with_its_pictures(muxer: str, codec: str, tmp_path: Path) -> None:
    data = io.BytesIO()
    pictures = [grey(250 if number == 30 else 20) for number in range(75)]
    write_clip(data, pictures, muxer=muxer, sound=beep(3.0, 1.2), sound_codec=codec)
    with NetworkSource("tcp://host", lambda: av.open(io.BytesIO(data.getvalue())), reconnect_delays_s=()) as source:
        assert source.info.live
        assert source.info.has_audio
        flashes_s = []
        with open_sink(tmp_path / "out.mp4", fps=25, audio_from=source) as sink, contextlib.suppress(SourceLostError):
            for frame in source:
                if frame.rgb.mean() > 128:
                    flashes_s.append(frame.pts_s)
                sink.write(frame)
    (flash_s,) = flashes_s
    (tone_s,) = tones_in(*samples_of(tmp_path / "out.mp4"))
    assert tone_s == pytest.approx(flash_s, abs=0.04)


def test_a_live_stream_without_sound_has_none(transport_stream: bytes) -> None:
    source = NetworkSource("tcp://host", lambda: av.open(io.BytesIO(transport_stream)))
    assert source.open_audio() is None
    assert not source.info.has_audio


class Web(ThreadingHTTPServer):
    """Web server without range requests, with one file and a given way of marking its end."""

    daemon_threads = True

    def __init__(
        self,
        data: bytes,
        ending: str = "length",
        cut: int | None = None,
        after: list[bytes] | None = None,
        kind: str = "application/octet-stream",
    ):
        super().__init__(("127.0.0.1", 0), Answer)
        self.kind = kind
        self.data, self.ending, self.cut = data, ending, cut
        self.after = after or []
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/clip"


class Answer(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        web = self.server
        data = web.after[min(web.requests, len(web.after)) - 1] if web.requests and web.after else web.data
        cut = None if web.requests and web.after else web.cut
        web.requests += 1
        self.protocol_version = "HTTP/1.0" if web.ending == "closing" else "HTTP/1.1"
        self.send_response(200)
        self.send_header("Content-Type", web.kind)
        self.close_connection = True
        if web.ending == "length":
            self.send_header("Content-Length", str(len(data)))
        elif web.ending == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(data[:cut]), 1000):
            piece = data[:cut][start : start + 1000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if web.ending == "chunked" else piece)
        if web.ending == "chunked":
            self.wfile.write(b"0\r\n\r\n" if cut is None else b"80\r\nno more")

    def log_message(self, *_: Any) -> None: ...


def recording(kind: str, tmp_path: Path) -> bytes:
    """Return ten pictures, recorded without their length, as web servers have them."""
    pictures = [grey(20 * number) for number in range(1, 11)]
    if kind == "gif":
        path = tmp_path / "clip.gif"
        write_clip(path, pictures, codec="gif", pix_fmt="rgb8", time_base=Fraction(1, 25))
        return path.read_bytes()
    data = io.BytesIO()
    codec = "libvpx" if kind == "webm" else "libx264"
    lengthless = {"webm": {"live": "1"}, "flv": {"flvflags": "no_duration_filesize"}}
    write_clip(data, pictures, codec=codec, muxer=kind, muxer_options=lengthless.get(kind))
    return data.getvalue()


@pytest.mark.parametrize("ending", ["length", "chunked", "closing"])
@pytest.mark.parametrize("kind", ["webm", "flv", "gif", "mpegts"])
def test_a_recording_from_a_web_server_plays_once(kind: str, ending: str, tmp_path: Path) -> None:
    with (
        served(Web(recording(kind, tmp_path), ending)) as web,
        open_source(web.url, stall_timeout_s=PATIENCE_S) as source,
    ):
        levels = [round(float(frame.rgb.mean()) / 20) for frame in source]
        assert levels == list(range(1, 11))
        assert source.ended
        # Without a length, only a restart distinguishes a recording from a broken stream.
        assert web.requests == (2 if ending == "closing" else 1)
        assert any("begins again" in warning for warning in source.warnings) == (ending == "closing")


@pytest.mark.parametrize("ending", ["chunked", "closing"])
def test_a_live_stream_of_a_web_server_that_breaks_off_is_opened_again(ending: str, transport_stream: bytes) -> None:
    later = io.BytesIO()
    write_clip(later, [grey(230)] * 5, muxer="mpegts")
    with (
        served(Web(transport_stream, ending, cut=len(transport_stream) * 2 // 3, after=[later.getvalue()])) as web,
        open_source(web.url, stall_timeout_s=PATIENCE_S) as source,
    ):
        levels = [float(frame.rgb.mean()) for frame in source]
        assert levels[0] < 30
        assert levels[-5:] == pytest.approx([230] * 5, abs=4)
        assert "connecting again" in source.warnings[0]
        assert "connected again" in source.warnings[1]


def test_a_stated_length_that_is_reached_is_an_end_however_the_server_hangs_up() -> None:
    data = io.BytesIO()
    write_clip(data, noise(25), muxer="matroska")
    with served(Web(data.getvalue(), "closing")) as web, open_source(web.url, stall_timeout_s=PATIENCE_S) as source:
        assert len(list(source)) == 25
        assert source.ended
    with (
        served(Web(data.getvalue(), "closing", cut=len(data.getvalue()) // 2)) as web,
        open_source(web.url, stall_timeout_s=PATIENCE_S) as source,
        pytest.raises(SourceLostError),
    ):
        list(source)


def test_a_web_page_is_refused_as_one_and_the_remedy_is_named() -> None:
    page = b"<!doctype html><title>A film</title><video src='film.mp4'></video>" * 50
    with (
        served(Web(page, kind="text/html; charset=utf-8")) as web,
        pytest.raises(SourceUnsupportedError, match=r"web page.*yt-dlp"),
    ):
        open_source(web.url, stall_timeout_s=PATIENCE_S)
    with served(Web(b"no film at all " * 500)) as web, pytest.raises(SourceUnsupportedError) as refusal:
        open_source(web.url, stall_timeout_s=PATIENCE_S)
    assert "web page" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://www.youtube.com/watch?v=abc", r"a web page, not a video; save .*yt-dlp -o clip.mp4"),
        ("https://youtu.be/abc?t=3", r"a web page, not a video"),
        ("http://no-such-host.invalid/film.mp4", "no machine called no-such-host.invalid can be found"),
        ("rtsp://no-such-host.invalid/live", "no machine called no-such-host.invalid can be found"),
        ("www.youtube.com/watch?v=abc", r"no such file; if it is an address, write https://www.youtube.com/watch"),
        ("camera.local:8080/video", "if it is an address, write https://camera.local:8080/video"),
    ],
)
def test_an_address_that_gives_no_video_is_refused_with_the_reason(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(av, "open", fail)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(SourceError, match=words):
        open_source(address, stall_timeout_s=PATIENCE_S)


def moving(count: int = 20) -> list[np.ndarray[Any, Any]]:
    """Return pictures that brighten from the left, a column block at a time."""
    pictures = []
    for number in range(count):
        picture = grey(30)
        picture[:, : 3 * (number + 1)] = 200
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize(
    ("codec", "muxer", "options"),
    [
        ("mpeg1video", "mpeg", {"bf": "2", "qmin": "2", "qmax": "4"}),
        ("mpeg2video", "mpegts", {"bf": "2", "qmin": "2", "qmax": "4"}),
        ("mpeg4", "avi", {"bf": "2", "qmin": "2", "qmax": "4"}),
        ("libx264", "matroska", {"bf": "2", "preset": "medium"}),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_pictures_come_in_the_order_of_presentation(
    codec: str, muxer: str, options: dict[str, str], live: bool
) -> None:
    data = io.BytesIO()
    write_clip(data, moving(), codec=codec, muxer=muxer, options=options)
    with served(Web(data.getvalue(), "chunked" if live else "length")) as web, open_source(web.url) as source:
        frames = list(source)
    bright = [float(frame.rgb.mean()) for frame in frames]
    assert len(frames) == 20
    assert all(later > earlier + 3 for earlier, later in pairwise(bright))
    steps = [later.pts_s - earlier.pts_s for earlier, later in pairwise(frames)]
    assert steps == pytest.approx([0.04] * 19, abs=0.0011)


def jpegs(count: int) -> list[bytes]:
    """Return pictures as sent by a camera's page, large enough for each to be noticed individually."""
    data = io.BytesIO()
    write_clip(data, noise(count), codec="mjpeg", pix_fmt="yuvj420p", muxer="mjpeg", options={"qmin": "2", "qmax": "2"})
    data.seek(0)
    with av.open(data, format="mjpeg") as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def noise(count: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(count)]


class Arriving:
    """Camera's page as FFmpeg reads it: pictures without time stamps, one per tick, some before the first read."""

    def __init__(self, data: bytes, clock: Clock, ticks_s: float, before: int):
        self._inner = av.open(io.BytesIO(data), format="mjpeg")
        self._clock, self._ticks_s, self._before = clock, ticks_s, before
        self.looked = threading.Event()
        self.gave_before = threading.Event()
        self.streams, self.format, self.duration = self._inner.streams, self._inner.format, None

    def demux(self, stream: Any) -> Iterator[Any]:
        for number, packet in enumerate(self._inner.demux(stream)):
            if number == self._before:
                self.gave_before.set()
                assert self.looked.wait(PATIENCE_S)
            yield packet
            self._clock.now_s += self._ticks_s

    def close(self) -> None:
        self._inner.close()


def test_pictures_without_time_stamps_are_shown_when_they_arrive() -> None:
    """A page with four pictures per second lasts as long; FFmpeg would say 25 per second."""
    clock = Clock()
    page = Arriving(b"".join(jpegs(12)), clock, 0.25, before=6)
    source = source_from([page], clock, url="tcp://camera/page", reconnect_delays_s=())
    assert page.gave_before.wait(PATIENCE_S), "a thread receives while a model is loading"
    frames = []
    assert source.info.fps is None
    with source, pytest.raises(SourceLostError):
        for frame in source:
            frames.append(frame)
            page.looked.set()
    times = [frame.pts_s for frame in frames]
    assert len(frames) == 7, "it begins with the newest that has come, the sixth"
    assert [round(later - earlier, 6) for earlier, later in pairwise(times)] == [0.25] * 6


def test_a_camera_s_page_is_recognised_among_the_formats_without_a_clock() -> None:
    pictures = jpegs(8)
    page = b"".join(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n%b\r\n" % picture for picture in pictures)
    with served(Web(page, "chunked")) as web, open_source(web.url, stall_timeout_s=PATIENCE_S) as source:
        assert source.info.live
        assert source.info.fps is None
        assert list(source)
        assert source.ended


def test_a_live_playlist_whose_server_was_away_goes_on_without_repeating_itself(tmp_path: Path) -> None:
    """The end that FFmpeg reports counts only once the playlist states it; read again, it begins some segments back."""
    with open_sink(tmp_path / "all.m3u8", fps=25) as sink:
        for frame in frames_of([grey(20 + number) for number in range(200)]):
            sink.write(frame)
    text = (tmp_path / "all.m3u8").read_text().replace("#EXT-X-PLAYLIST-TYPE:VOD\n", "")
    text = re.sub(r"(TARGETDURATION:)\d+", r"\g<1>1", text)  # which a player waits for before it asks again
    head, *segments = text.removesuffix("#EXT-X-ENDLIST\n").split("#EXTINF")
    assert len(segments) == 4

    def upto(count: int, end: str = "") -> str:
        return "#EXTINF".join([head, *segments[:count]]) + end

    asked: set[str] = set()
    """Segments that were asked for; when all that are listed were, there is one more, or the end."""
    two_asked, lost = threading.Event(), threading.Event()

    class Answers(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def do_GET(self) -> None:
            if self.path != "/live.m3u8":
                if re.search(r"-\d+\.m4s", self.path):
                    asked.add(self.path)
                super().do_GET()
                return
            listed = min(4, len(asked) + 1) if lost.is_set() else 2
            body = upto(listed, "#EXT-X-ENDLIST\n" if len(asked) == 4 else "").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            if len(asked) == 2:
                two_asked.set()

        def log_message(self, *_: Any) -> None: ...

    def serve() -> None:
        for over in (two_asked, done):
            with ThreadingHTTPServer(("127.0.0.1", port), Answers) as server:
                threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
                there.set()
                over.wait(PATIENCE_S)
                server.shutdown()
            lost.wait(PATIENCE_S)

    port, there, done = free_port(), threading.Event(), threading.Event()
    served_twice = threading.Thread(target=serve)
    served_twice.start()
    try:
        assert there.wait(PATIENCE_S)
        with open_source(f"http://127.0.0.1:{port}/live.m3u8", stall_timeout_s=PATIENCE_S) as source:
            assert source.info.live
            source.warnings.tell(lambda _text: lost.set())
            levels = [round(float(frame.rgb.mean())) for frame in source]
    finally:
        lost.set()
        done.set()
        served_twice.join(PATIENCE_S)
    assert "connecting again" in source.warnings[0]
    assert levels == sorted(levels)
    assert len(levels) == 200
    assert source.ended
