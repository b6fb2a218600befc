"""WHIP out and WHEP in, against the real server: pictures and sound, tokens, refusals, and silent servers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from http_fakes import settings_for
from live_server import LiveServer, live_server
from media.clips import beep, frames_of, grey, write_clip
from patience import PATIENCE_S
from sounds import samples_of
from vivace.client import whip as module
from vivace.client.whip import WhepSource, WhipSink
from vivace.errors import (
    SinkWriteError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
    UsageError,
)
from vivace.media.frame import Frame
from vivace.media.open import open_sink, open_source
from vivace.serve.auth import make_secret, make_token
from vivace.serve.rtc import make_peer_factory

SIZE = (64, 48)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if "vivace" in name}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have lost connections made again at once, and given up soon."""
    monkeypatch.setattr(module, "SOURCE_DELAYS_S", (0.01, 0.01))


@pytest.fixture
def server() -> Iterator[LiveServer]:
    settings = settings_for(size=SIZE)
    with live_server(settings, peers=make_peer_factory(settings)) as served:
        yield served


def endlessly(sink: WhipSink, until: Callable[[], bool], level: int = 100) -> None:
    """Write pictures, 30 per second, until a condition holds."""
    end_s, index = time.monotonic() + PATIENCE_S, 0
    while not until():
        assert time.monotonic() < end_s, "it never happened"
        sink.write(frames_of([grey(level, SIZE)], [index])[0])
        index += 1


def test_pictures_and_sound_go_to_a_server_and_come_back_from_it(server: LiveServer, tmp_path: Path) -> None:
    clip = tmp_path / "in.mp4"
    write_clip(clip, [grey(40 + number % 100, SIZE) for number in range(25 * 8)], sound=beep(8.0, 6.0, length_s=0.5))
    sent = threading.Event()

    def publish() -> None:
        with open_source(clip) as source, open_sink(f"whip:{server.url}/whip", fps=25, audio_from=source) as sink:
            for frame in source:
                sink.write(frame)
                if sink.frames_written:
                    sent.set()

    publisher = threading.Thread(target=publish, name="publisher")
    publisher.start()
    assert sent.wait(PATIENCE_S)
    (session,) = server.manager.sessions()
    frames: list[Frame] = []
    with open_source(f"whep:{server.url}/v1/sessions/{session.id}/whep") as source:
        assert source.info.live
        assert source.info.size == SIZE
        with open_sink(tmp_path / "out.mp4", audio_from=source) as sink, contextlib.suppress(SourceLostError):
            for frame in source:  # until the publisher leaves
                frames.append(frame)
                sink.write(frame)
    publisher.join(PATIENCE_S)
    assert np.all(np.diff([frame.pts for frame in frames]) > 0)
    samples, rate, _ = samples_of(tmp_path / "out.mp4")
    loud = np.abs(samples[: len(samples) // 480 * 480].reshape(-1, 480)).max(axis=1) > 0.1
    assert 0.2 < loud.sum() * 480 / rate < 0.6, "half a second once, even where a busy machine broke it in two"
    assert session.state == "ended", "the publisher has told the server that it has left"


def test_sound_that_never_comes_is_none_in_the_file(server: LiveServer, tmp_path: Path) -> None:
    sink, ended = WhipSink(f"{server.url}/whip"), list[str]()

    def publish() -> None:
        with sink:
            try:
                endlessly(sink, lambda: False)
            except SinkWriteError as error:
                ended.append(str(error))

    publisher = threading.Thread(target=publish)
    publisher.start()
    while not server.manager.sessions() or not sink.frames_written:
        assert publisher.is_alive(), "nothing was sent"
        time.sleep(0.01)
    (session,) = server.manager.sessions()
    out = tmp_path / "out.mp4"
    with WhepSource(f"{server.url}/v1/sessions/{session.id}/whep") as source:
        source.deliver_at((32, 24))
        with open_sink(out, audio_from=source) as file:
            for frame, _ in zip(source, range(10), strict=False):
                file.write(frame)
        session.end("client")
        with pytest.raises(SourceLostError, match="lost"):
            list(source)
    publisher.join(PATIENCE_S)
    assert "the connection was lost after" in ended[0]
    import av

    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        assert (container.streams.video[0].width, container.streams.video[0].height) == (32, 24)


def test_a_connection_that_is_lost_is_made_again_until_the_source_is_closed(server: LiveServer) -> None:
    over = threading.Event()
    sink = WhipSink(f"{server.url}/whip")

    def publish() -> None:
        with sink:
            endlessly(sink, over.is_set)

    publisher = threading.Thread(target=publish)
    publisher.start()
    while not sink.frames_written:
        assert publisher.is_alive(), "nothing was sent"
        time.sleep(0.01)
    (session,) = server.manager.sessions()
    waiting = threading.Event()

    def wait(_seconds: float) -> None:
        if waiting.is_set():
            source.close()

    with WhepSource(f"{server.url}/v1/sessions/{session.id}/whep", wait=wait) as source:
        frames = iter(source)
        before = [next(frames) for _ in range(3)]
        lose(source)
        after = [next(frames) for _ in range(3)]
        assert [frame.index for frame in (*before, *after)] == list(range(6))
        assert np.all(np.diff([frame.pts for frame in (*before, *after)]) > 0)
        assert "connection was lost; connecting again" in source.warnings[0]
        assert "connected again" in source.warnings[1]
        waiting.set()
        lose(source)
        assert list(frames) == [], "closing ends the wait, too"
    over.set()
    publisher.join(PATIENCE_S)


def lose(source: WhepSource) -> None:
    assert source._line is not None
    source._thread.begin(source._line._session.close()).result(PATIENCE_S)


def test_a_token_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = make_secret()
    token = make_token(secret, frozenset(["publish", "view"]), expires_s=600, now_s=time.time())
    settings = settings_for(size=SIZE, token_secret=secret)
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        with WhipSink(f"{server.url}/whip#token=wrong-wrong") as sink, pytest.raises(SinkWriteError) as refused:
            endlessly(sink, lambda: False)
        assert "bearer token" in str(refused.value)
        assert "wrong-wrong" not in "".join(traceback.format_exception(refused.value))
        monkeypatch.setenv("VIVACE_WHIP_TOKEN", token)
        with WhipSink(f"{server.url}/whip") as sink:
            endlessly(sink, lambda: sink.frames_written > 3)
            with pytest.raises(SourceUnsupportedError, match="token"):
                WhepSource(f"{server.url}/v1/sessions/{server.manager.sessions()[0].id}/whep")
            monkeypatch.setenv("VIVACE_WHEP_TOKEN", token)
            with pytest.raises(SourceStalledError) as let_in:  # and nobody sends pictures meanwhile
                WhepSource(f"{server.url}/v1/sessions/{server.manager.sessions()[0].id}/whep", stall_timeout_s=2.0)
            assert token not in str(let_in.value)


@pytest.mark.parametrize("target", ["", "out.mp4", "rtmp://h/x", "https://", "//"])
def test_what_is_no_address_is_refused_at_once(target: str) -> None:
    for opener in (open_sink, open_source):
        with pytest.raises(UsageError, match="HOST"):
            opener(f"{'whip' if opener is open_sink else 'whep'}:{target}")


def test_nobody_there_is_said(server: LiveServer) -> None:
    with WhipSink("http://127.0.0.1:1/whip") as sink, pytest.raises(SinkWriteError, match="no connection"):
        endlessly(sink, lambda: False)
    short = WhipSink("http://127.0.0.1:1/whip")
    short.write(frames_of([grey(1, SIZE)])[0])
    with pytest.raises(SinkWriteError, match="no connection"):
        short.close()  # a stream that ends before it could connect has sent nothing, which is no success
    with pytest.raises(SourceNotFoundError, match="cannot connect"):
        WhepSource("http://127.0.0.1:1/whep")
    with pytest.raises(SourceUnsupportedError, match="404"):
        WhepSource(f"{server.url}/v1/sessions/nobody/whep")
    with WhipSink(f"{server.url}/healthz") as sink, pytest.raises(SinkWriteError, match="405"):
        endlessly(sink, lambda: False)


def test_a_server_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HTTP_S", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sink = WhipSink(f"http://127.0.0.1:{silent.getsockname()[1]}/whip")
        sink.write(frames_of([grey(1, SIZE)])[0])
        assert not sink._standing.done(), "the first picture did not wait for it"
        with sink, pytest.raises(SinkWriteError, match="no connection"):
            endlessly(sink, lambda: False)
        again = WhipSink(f"http://127.0.0.1:{silent.getsockname()[1]}/whip")
        again.write(frames_of([grey(1, SIZE)])[0])
        with pytest.raises(SinkWriteError, match="no connection"):
            again.close()
        again.close()
        with pytest.raises(SinkWriteError, match="closed"):
            again.write(frames_of([grey(1, SIZE)])[0])
