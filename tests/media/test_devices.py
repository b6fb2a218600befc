"""Cameras and screens: found by name, newest picture first, and a named error for each kind of failure."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from patience import PATIENCE_S
from vivace.errors import SourceLostError, SourceNotFoundError, SourceStalledError, SourceUnsupportedError
from vivace.media.camera import CameraDevice, find_camera, list_cameras, open_camera
from vivace.media.device import DeviceSource
from vivace.media.reader import VideoReader
from vivace.media.screen import open_screen

from .clips import grey, write_clip

CAMERAS = [CameraDevice(0, "HD Webcam", "/dev/video0"), CameraDevice(2, "Capture Card", "/dev/video2")]


@pytest.fixture(scope="module")
def recording() -> bytes:
    data = io.BytesIO()
    write_clip(data, [grey(20 * number) for number in range(1, 11)], muxer="matroska")
    return data.getvalue()


class Device:
    """Container whose pictures come on the test's request, and which then breaks or hangs."""

    def __init__(self, data: bytes, *, error: BaseException | None = None, muxer: str | None = None):
        self._inner = av.open(io.BytesIO(data), format=muxer)
        self.streams, self.format = self._inner.streams, self._inner.format
        self._error = error
        self.allowed = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.closed = threading.Event()

    def demux(self, stream: Any) -> Iterator[Any]:
        for packet in self._inner.demux(stream):
            self.asked.release()
            self.allowed.acquire()
            if not packet.size:
                break
            yield packet
        if self._error is not None:
            raise self._error

    def give(self, count: int) -> None:
        """Let `count` pictures through, and wait until the reader has taken them."""
        for _ in range(count):
            assert self.asked.acquire(timeout=PATIENCE_S)
            self.allowed.release()
        assert self.asked.acquire(timeout=PATIENCE_S)
        self.asked.release()

    def close(self) -> None:
        self._inner.close()
        self.closed.set()


def opened(device: Device, *, first: int = 1, **how: Any) -> DeviceSource:
    giver = threading.Thread(target=device.give, args=(first,))
    giver.start()
    source = open_camera("0", cameras=CAMERAS, opener=lambda _camera, _options: device, **how)
    giver.join(PATIENCE_S)
    return source


def finish(device: Device) -> None:
    for _ in range(20):
        device.allowed.release()
    assert device.closed.wait(PATIENCE_S)


def test_the_newest_picture_wins_and_lost_ones_are_counted(recording: bytes) -> None:
    device = Device(recording)
    with opened(device) as source:
        frames = iter(source)
        assert next(frames).index == 0
        device.give(5)
        newest = next(frames)
        assert newest.index == 5
        assert round(newest.rgb.mean() / 20) == 6
        finish(device)


def test_capture_time_is_the_arrival_however_late_it_is_taken(recording: bytes) -> None:
    device = Device(recording)
    now_s = [10.0]
    with opened(device, clock=lambda: now_s[0]) as source:
        now_s[0] = 11.0
        device.give(1)
        now_s[0] = 50.0
        frames = iter(source)
        assert [next(frames).capture_time_s, next(frames).capture_time_s] == [10.0, 11.0]
        finish(device)


def test_an_unplugged_camera_is_lost_after_its_last_picture(recording: bytes) -> None:
    device = Device(recording, error=av.error.OSError(errno.ENODEV, "No such device"))
    with opened(device) as source:
        finish(device)
        frames = iter(source)
        assert next(frames).index == 0
        assert next(frames).index == 9
        with pytest.raises(SourceLostError, match=r"HD Webcam.*plugged in"):
            next(frames)


def test_a_camera_that_ends_is_lost_too(recording: bytes) -> None:
    device = Device(recording)
    with opened(device) as source:
        finish(device)
        with pytest.raises(SourceLostError):
            list(source)


def test_a_camera_that_gives_nothing_is_stalled(recording: bytes) -> None:
    device = Device(recording)
    with pytest.raises(SourceStalledError, match="HD Webcam"):
        open_camera("0", cameras=CAMERAS, opener=lambda _camera, _options: device, stall_timeout_s=0.02)
    finish(device)


def test_a_camera_that_stops_giving_is_stalled(recording: bytes) -> None:
    device = Device(recording)
    with opened(device) as source:
        source._stall_timeout_s = 0.02  # from now on: its first picture may take as long as a busy machine needs
        frames = iter(source)
        next(frames)
        with pytest.raises(SourceStalledError, match=r"0\.02 s"):
            next(frames)
        finish(device)


def test_closing_wakes_whoever_waits_and_lets_the_device_go(recording: bytes) -> None:
    device = Device(recording)
    source = opened(device)
    frames = iter(source)
    next(frames)
    ended = threading.Event()

    def wait_for_more() -> None:
        assert next(frames, None) is None
        ended.set()

    waiting = threading.Thread(target=wait_for_more)
    waiting.start()
    source.close()
    assert ended.wait(PATIENCE_S)
    device.allowed.release()
    assert device.closed.wait(PATIENCE_S)


def test_a_camera_whose_first_picture_cannot_be_converted_is_let_go(recording: bytes) -> None:
    device = Device(recording)
    with pytest.raises((OSError, ValueError)):
        opened(device, size=(0, 0))
    device.allowed.release()  # one more picture: a remaining reader would wait for the next
    assert device.closed.wait(PATIENCE_S)


@pytest.mark.parametrize("live", [False, True])
def test_what_holds_no_pictures_is_closed(live: bool) -> None:
    data = io.BytesIO()
    with av.open(data, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    device = Device(data.getvalue())
    with pytest.raises(SourceUnsupportedError, match="holds no video"):
        VideoReader(cast(Any, device), "sound", live=live)
    assert device.closed.is_set()


@pytest.mark.parametrize("muxer", ["matroska", "mjpeg"])
def test_what_a_receiving_thread_cannot_go_on_from_is_raised_where_pictures_are_read(muxer: str) -> None:
    """A camera, and pictures without time stamps; otherwise the reader would wait, or get another error."""
    data = io.BytesIO()
    pixels = {"codec": "mjpeg", "pix_fmt": "yuvj420p"} if muxer == "mjpeg" else {}
    write_clip(data, [grey(20 * number) for number in range(1, 4)], muxer=muxer, **pixels)
    device = Device(data.getvalue(), error=MemoryError("no room"), muxer=muxer)
    for _ in range(20):
        device.allowed.release()
    with pytest.raises(MemoryError, match="no room"):
        if muxer == "matroska":
            with DeviceSource("camera", lambda: cast(Any, device), stall_timeout_s=5) as source:
                list(source)
        else:
            list(VideoReader(cast(Any, device), "page", live=True).frames())


@pytest.mark.parametrize(
    ("which", "number"), [("", 0), ("0", 0), ("2", 2), ("hd webcam", 0), ("capture", 2), ("/dev/video2", 2)]
)
def test_cameras_are_found_by_number_name_part_of_it_or_path(which: str, number: int) -> None:
    assert find_camera(which, CAMERAS).number == number


@pytest.mark.parametrize("which", ["1", "phone", "/dev/video9"])
def test_an_absent_camera_is_not_found_and_the_present_ones_are_named(which: str) -> None:
    with pytest.raises(SourceNotFoundError, match=r"camera:0 is HD Webcam; camera:2 is Capture Card"):
        find_camera(which, CAMERAS)


def test_a_machine_without_cameras_says_so() -> None:
    with pytest.raises(SourceNotFoundError, match="no camera"):
        open_camera(cameras=[])


def test_linux_lists_one_camera_for_each_set_of_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, index, name in ((10, 0, "Capture Card"), (0, 0, "HD Webcam"), (1, 1, "HD Webcam")):
        node = tmp_path / f"video{number}"
        node.mkdir()
        (node / "index").write_text(f"{index}\n")
        (node / "name").write_text(f"{name}\n")
    (tmp_path / "v4l-subdev0").mkdir()
    monkeypatch.setattr("vivace.media.camera._PLATFORM", "linux")
    assert list_cameras(tmp_path) == [
        CameraDevice(0, "HD Webcam", "/dev/video0"),
        CameraDevice(10, "Capture Card", "/dev/video10"),
    ]
    assert list_cameras(tmp_path / "nowhere") == []


def test_a_driver_that_refuses_a_wish_is_asked_for_less(recording: bytes) -> None:
    device = Device(recording)
    asked: list[dict[str, str]] = []

    def open_choosy(_camera: CameraDevice, options: dict[str, str]) -> Any:
        asked.append(options)
        if options:
            raise av.error.ArgumentError(errno.EINVAL, "Invalid argument")
        return device

    giver = threading.Thread(target=device.give, args=(1,))
    giver.start()
    with open_camera("0", size=(320, 240), fps=15, cameras=CAMERAS, opener=open_choosy) as source:
        assert asked[0]["video_size"] == "320x240"
        assert asked[0]["framerate"] == "15"
        assert asked[-1] == {}
        assert source.info.size == (320, 240)
        giver.join(PATIENCE_S)
        finish(device)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (av.error.PermissionError(errno.EACCES, "Permission denied"), SourceUnsupportedError),
        (av.error.FileNotFoundError(errno.ENOENT, "No such file"), SourceNotFoundError),
        (av.error.OSError(errno.EBUSY, "Device or resource busy"), SourceUnsupportedError),
    ],
)
def test_each_way_a_camera_refuses_has_its_error(error: Exception, kind: type[Exception]) -> None:
    tries = []

    def refuse(_camera: CameraDevice, options: dict[str, str]) -> Any:
        tries.append(options)
        raise error

    with pytest.raises(kind, match="HD Webcam"):
        open_camera("0", cameras=CAMERAS, opener=refuse)
    assert len(tries) == 1, "asking for less does not help"


def test_no_display_is_not_found() -> None:
    with pytest.raises(SourceNotFoundError, match="DISPLAY"):
        open_screen(environ={})
    with pytest.raises(SourceNotFoundError, match="Wayland"):
        open_screen(environ={"WAYLAND_DISPLAY": "wayland-0"})


def test_a_display_that_refuses_is_not_found() -> None:
    def refuse(_address: str, _interface: str, _options: dict[str, str]) -> Any:
        raise av.error.OSError(errno.EIO, "Input/output error")

    with pytest.raises(SourceNotFoundError, match=":7"):
        open_screen(environ={"DISPLAY": ":7"}, opener=refuse)


@pytest.fixture
def display() -> Iterator[str]:
    """Start a virtual display, if one is installed."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "320x240x24", "-nolisten", "tcp"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        if not number:
            pytest.skip("Xvfb does not start here")
        yield f":{number}"
    finally:
        server.terminate()
        server.wait()


def test_a_real_display_is_captured(display: str) -> None:
    with open_screen(environ={"DISPLAY": display}, fps=30) as source:
        frames = list(islice(source, 3))
    assert source.info.live
    assert {frame.size for frame in frames} == {(320, 240)}
    assert frames[0].capture_time_s < frames[-1].capture_time_s


def test_a_preview_window_shows_frames_until_it_is_closed(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tkinter")
    monkeypatch.setenv("DISPLAY", display)
    from vivace.media.open import open_sink

    from .clips import frames_of, quarters

    with open_sink("window") as sink:
        for frame in frames_of([quarters(), quarters((1000, 700)), grey(9)]):
            sink.write(frame)
        assert sink.frames_written == 3
        assert not sink.finished
        # The window manager does so when a window is closed.
        sink._root.tk.call(sink._root.protocol("WM_DELETE_WINDOW"))  # type: ignore[attr-defined]
        assert sink.finished
        sink.write(frames_of([quarters()])[0])
        assert sink.frames_written == 3


def test_no_display_for_a_window_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from vivace.errors import SinkUnsupportedError
    from vivace.media.open import open_sink

    monkeypatch.delenv("DISPLAY", raising=False)
    if os.name == "nt" or os.uname().sysname == "Darwin":
        pytest.skip("there is always a display here")
    with pytest.raises(SinkUnsupportedError, match=r"out\.mp4"):
        open_sink("window")
