"""Recordings: playable after any end, within limits, and never at the stream's expense."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import pytest

from fakes import FakeClock, picture
from patience import PATIENCE_S
from serve_rig import grey, in_loop, next_of, opened, running_manager, until
from vivace import messages
from vivace.errors import SinkWriteError
from vivace.media.encode import VideoSink, open_plain
from vivace.media.frame import Frame
from vivace.media.sink import FILE_SLACK, NullSink, SinkOptions
from vivace.serve import recording as recording_module
from vivace.serve.limits import RefusedError
from vivace.serve.recording import NAME, About, Recording, RecordingLimits, RecordingStore, read_about

LIMITS = RecordingLimits(2**30, 3600.0, 2**34)
SIZE = (64, 48)


def frames(count: int) -> list[Frame]:
    return [Frame(picture(i, SIZE), i, i * 40_000, Fraction(1, 1_000_000), i / 25) for i in range(count)]


def decoded(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


class Closed:
    """Handler that waits for `on_closed`."""

    def __init__(self):
        self.reason = None
        self._event = threading.Event()

    def __call__(self, _recording, reason):
        self.reason = reason
        self._event.set()

    def wait(self):
        assert self._event.wait(PATIENCE_S)
        return self.reason


def record(path, limits=LIMITS, *, count=60, drops=None, **options):
    """Offer frames one by one, each after the last is written; return the reason of its end."""
    closed = Closed()
    recording = Recording(path, limits, on_closed=closed, on_drop=lambda: (drops or []).append(1), **options)
    for index, frame in enumerate(frames(count), start=1):
        if not recording.offer(frame):
            break
        while recording.frames < index and closed.reason is None:
            threading.Event().wait(0.0005)
    recording.stop()
    assert recording.join(PATIENCE_S)
    return closed.wait(), recording


def test_a_recording_plays_and_has_the_streams_times(tmp_path):
    reason, recording = record(tmp_path / "a.mp4", count=30)
    assert (reason, recording.frames) == ("", 30)
    with av.open(str(tmp_path / "a.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times == pytest.approx([i / 25 for i in range(30)], abs=1e-4)


def test_what_a_killed_process_leaves_plays(tmp_path):
    code = f"""
import os, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r}); sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from test_recording import LIMITS, Recording, frames
recording = Recording(Path({str(tmp_path)!r}) / "a.mp4", LIMITS, on_closed=lambda *_: None, on_drop=lambda: None)
for index, frame in enumerate(frames(60), start=1):
    recording.offer(frame)
    while recording.frames < index:
        threading.Event().wait(0.001)
os.kill(os.getpid(), {int(signal.SIGKILL)})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert decoded(tmp_path / "a.mp4") >= 60 - 15  # except for the last half second


def test_a_recording_ends_at_its_longest_time(tmp_path):
    clock = FakeClock()
    sink_clock = iter(range(10**6))
    reason, recording = record(
        tmp_path / "a.mp4", RecordingLimits(2**30, 10.0, 2**34), clock=lambda: clock() + next(sink_clock)
    )
    assert "it has reached 10 s" in reason
    assert recording.frames < 60
    assert decoded(tmp_path / "a.mp4") == recording.frames


def test_a_recording_ends_at_its_largest_size(tmp_path):
    reason, recording = record(tmp_path / "a.mp4", RecordingLimits(1, 3600.0, 2**34))
    assert "the most this server allows" in reason
    assert decoded(tmp_path / "a.mp4") == recording.frames == 25


def test_a_recording_ends_before_the_disk_is_full(tmp_path):
    reason, _ = record(tmp_path / "a.mp4", free_bytes=lambda: 1000)
    assert reason == "recording ended: the disk is full"


class FullDisk:
    """File on a disk that fills up."""

    def __init__(self, path, room):
        self._file, self._room = open_plain(path), room

    def write(self, data):
        self._room -= len(data)
        if self._room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_full_disk_ends_the_recording_and_says_so_without_the_path(tmp_path):
    def opener(path):
        return VideoSink(path, "mp4", SinkOptions(fps=25), open_file=lambda path: FullDisk(path, 30_000))

    reason, recording = record(tmp_path / "a.mp4", count=400, open_file=opener)
    assert "No space left on device" in reason
    assert str(tmp_path) not in reason
    assert 0 < recording.frames < 400
    assert decoded(tmp_path / "a.mp4") > 0


def test_a_slow_disk_costs_frames_of_the_recording_and_no_time(tmp_path):
    gate, began, closed, drops = threading.Event(), threading.Event(), Closed(), []

    class Slow(NullSink):
        def write(self, frame):
            began.set()
            assert gate.wait(PATIENCE_S)
            super().write(frame)

    recording = Recording(
        tmp_path / "a.mp4", LIMITS, on_closed=closed, on_drop=lambda: drops.append(1), open_file=lambda _: Slow()
    )
    (tmp_path / "a.mp4").touch()
    first, *others = frames(FILE_SLACK + 10)
    recording.offer(first)
    assert began.wait(PATIENCE_S)
    for frame in others:
        assert recording.offer(frame)  # returns although the disk does not
    gate.set()
    recording.stop()
    assert closed.wait() == ""
    assert (recording.frames, len(drops)) == (1 + FILE_SLACK, 9)
    assert not recording.offer(first)


def test_names_are_made_here_and_no_other_is_found(tmp_path):
    store = RecordingStore(tmp_path / "store", LIMITS)
    assert store.list() == []
    path = store.new_path()
    assert (path.parent, bool(NAME.fullmatch(path.name))) == (tmp_path / "store", True)
    path.write_bytes(b"12345")
    (tmp_path / "store" / "notes.txt").write_text("mine")
    (tmp_path / "secret.mp4").write_text("secret")
    link = store.new_path()
    link.symlink_to(tmp_path / "secret.mp4")
    assert [(info.name, info.bytes) for info in store.list()] == [(path.name, 5)]
    assert store.find(path.name) == path
    for name in ("../secret.mp4", "notes.txt", link.name, "", "/etc/passwd", f"{path.name}\n", "x" * 5000):
        assert store.find(name) is None


def test_a_full_shelf_begins_nothing_new(tmp_path):
    store = RecordingStore(tmp_path, RecordingLimits(2**30, 3600.0, 4))
    store.new_path().write_bytes(b"12345")
    with pytest.raises(RefusedError, match="delete some first") as caught:
        store.new_path()
    assert caught.value.code == "recording_space"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="no folder for recordings"):
        RecordingStore(tmp_path / "file" / "store", LIMITS).new_path()


@in_loop
async def test_a_session_records_its_output(tmp_path):
    async with running_manager(recordings=tmp_path, size=SIZE) as manager:
        session = await opened(manager)
        events, viewer = session.events(), session.subscribe()
        begun = session.recorder.start("r1")
        assert (begun.id, begun.on) == ("r1", True)
        assert session.recorder.start().name == begun.name
        for index in range(30):
            session.push(grey(100 + index, SIZE), 100 + index / 25)
            await anext(viewer)
            recording = session.recorder.current
            await until(lambda recording=recording, index=index: recording.frames > index)
        assert manager.snapshot().recordings == 1
        assert session.recorder.stop() == begun.name
        await next_of(events, messages.Recorded)
        await next_of(events, messages.Recorded)
        ended = await next_of(events, messages.Recorded)
        assert (ended.on, ended.name, ended.url) == (False, begun.name, f"/v1/recordings/{begun.name}")
        assert decoded(tmp_path / begun.name) == 30
        assert session.recorder.stop() is None
        assert session.state == "live"


@in_loop
async def test_a_new_recording_can_begin_while_the_last_one_is_closed(tmp_path, monkeypatch):
    gate = threading.Event()

    class Slow(NullSink):
        def close(self):
            assert gate.wait(PATIENCE_S)

    monkeypatch.setattr("vivace.serve.recording._open", lambda *_: Slow())
    async with running_manager(recordings=tmp_path) as manager:
        session = await opened(manager)
        events = session.events()
        first = session.recorder.start()
        session.recorder.stop()
        second = session.recorder.start()
        assert first.name != second.name
        session.end("client")
        told = [event async for event in events if event.type == "recorded"]
        assert [(each.name, each.on) for each in told] == [
            (first.name, True),
            (second.name, True),
            (first.name, False),
            (second.name, False),
        ]
        gate.set()


@in_loop
async def test_a_session_outlives_its_recording(tmp_path, monkeypatch):
    class Broken(NullSink):
        def write(self, frame):
            raise SinkWriteError("disk: writing failed (No space left on device); nothing was written")

    monkeypatch.setattr("vivace.serve.recording._open", lambda *_: Broken())
    async with running_manager(recordings=tmp_path) as manager:
        session = await opened(manager)
        events, viewer = session.events(), session.subscribe()
        session.recorder.start()
        session.push(grey())
        assert (await next_of(events, messages.Recorded)).on
        ended = await next_of(events, messages.Recorded)
        assert (ended.on, "No space left" in ended.message) == (False, True)
        session.push(grey())
        await anext(viewer)
        assert (session.state, session.recorder.current) == ("live", None)


@in_loop
async def test_recordings_are_complete_when_the_server_has_drained(tmp_path):
    async with running_manager(recordings=tmp_path, size=SIZE) as manager:
        session = await opened(manager)
        events = session.events()
        name = session.recorder.start().name
        session.push(grey(1, SIZE))
        recording = session.recorder.current
        await until(lambda: recording.frames == 1)
        await manager.drain(0.0)
        assert decoded(tmp_path / name) == 1
        kinds = [event.type async for event in events]
        assert kinds == ["live", "recorded", "error", "recorded", "ended"]


@in_loop
async def test_where_nobody_can_record_it_is_said():
    async with running_manager() as manager:
        session = await opened(manager)
        with pytest.raises(RefusedError, match="does not record") as caught:
            session.recorder.start()
        assert caught.value.code == "recording_off"


def test_a_disk_that_is_full_costs_nobody_what_was_known_of_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordingStore(tmp_path, LIMITS)
    path = store.new_path()
    path.write_bytes(b"pictures")
    recording_module._write_about(path, About(owner="ada", title="The rehearsal"))

    def full(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text.encode()[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        store.rename(path, "The first night")
    assert read_about(path) == About(owner="ada", title="The rehearsal")
    assert sorted(tmp_path.iterdir()) == sorted([path, path.with_suffix(".json")])
