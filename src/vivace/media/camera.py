"""Cameras of this machine: V4L2 on Linux, AVFoundation on macOS, DirectShow on Windows."""

from __future__ import annotations

import errno
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer

from vivace.errors import SourceNotFoundError
from vivace.media.clock import Clock
from vivace.media.device import DeviceSource
from vivace.media.size import Size
from vivace.media.source import STALL_TIMEOUT_S

DEFAULT_SIZE = (640, 480)
"""Every webcam has it at 30 fps, and models work below it."""
DEFAULT_FPS = 30.0

_PLATFORM: str = sys.platform
_SYSFS = Path("/sys/class/video4linux")

Options = dict[str, str]
CameraOpener = Callable[["CameraDevice", Options], InputContainer]


@dataclass(frozen=True, slots=True)
class CameraDevice:
    """A camera of this machine."""

    number: int
    """N of `camera:N`."""
    name: str
    """For people, e.g. `HD Webcam`."""
    address: str
    """For FFmpeg, e.g. `/dev/video0`."""


def list_cameras(sysfs: Path = _SYSFS) -> list[CameraDevice]:
    """Return the cameras of this machine, in the order of their numbers. `sysfs` is where Linux lists them."""
    if _PLATFORM.startswith("linux"):
        return _linux_cameras(sysfs)
    import av.device

    interface = _interface()
    if interface not in {name for names in av.formats_available for name in names.split(",")}:
        return []
    devices = [device for device in av.device.enumerate_input_devices(interface) if "video" in device.media_types]
    devices = [device for device in devices if not device.description.startswith("Capture screen")]
    return [
        CameraDevice(number, device.description, f"video={device.description}" if interface == "dshow" else device.name)
        for number, device in enumerate(devices)
    ]


def _linux_cameras(sysfs: Path) -> list[CameraDevice]:
    cameras = [
        CameraDevice(int(node[1]), _line(entry / "name") or entry.name, f"/dev/{entry.name}")
        for entry in (sysfs.iterdir() if sysfs.is_dir() else ())
        # One camera has several nodes (pictures, metadata, …); pictures come from the one with index 0.
        if (node := re.fullmatch(r"video(\d+)", entry.name)) and _line(entry / "index") in ("", "0")
    ]
    return sorted(cameras, key=lambda camera: camera.number)


def _line(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def _interface() -> str:
    return {"darwin": "avfoundation", "win32": "dshow"}.get(_PLATFORM, "v4l2")


def find_camera(which: str, cameras: Sequence[CameraDevice]) -> CameraDevice:
    """Return the camera of that number, name or part of a name, or device path; the first for an empty text.

    Raises:
        SourceNotFoundError: there is none; the message names those there are.
    """
    if not which and cameras:
        return cameras[0]
    wanted = which.lower()
    for matches in (
        lambda camera: which.isdigit() and camera.number == int(which),
        lambda camera: wanted in (camera.name.lower(), camera.address.lower()),
        lambda camera: bool(wanted) and not which.isdigit() and wanted in camera.name.lower(),
    ):
        for camera in cameras:
            if matches(camera):
                return camera
    if which.startswith("/dev/") and Path(which).exists():
        return CameraDevice(-1, which, which)
    there = "; ".join(f"camera:{camera.number} is {camera.name}" for camera in cameras)
    raise SourceNotFoundError(
        f"camera{':' + which if which else ''}: not found; "
        + (
            f"there are: {there}"
            if there
            else "this machine has no camera (in a container, pass the device in); "
            "use a file, an address, `screen` or `scene`"
        )
    )


def open_camera(
    which: str = "",
    *,
    size: Size | None = None,
    fps: float | None = None,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    clock: Clock = time.monotonic,
    cameras: Sequence[CameraDevice] | None = None,
    opener: CameraOpener | None = None,
) -> DeviceSource:
    """Open a camera; see `find_camera` for `which`.

    Args:
        which: number, name, part of a name, or device path.
        size: `(width, height)` to ask for and to deliver, px; None: ask for 640x480, deliver what comes.
        fps: to ask for; None: 30.
        stall_timeout_s: longest wait for a picture.
        clock: stamps arrivals.
        cameras: those to choose from; None: this machine's.
        opener: opens the device with FFmpeg options; tests give their own.

    Raises:
        SourceNotFoundError, SourceUnsupportedError, SourceStalledError, SourceLostError: see `DeviceSource`.
    """
    camera = find_camera(which, list_cameras() if cameras is None else cameras)
    attempts = _requests(size or DEFAULT_SIZE, fps or DEFAULT_FPS)
    open_one = opener or _open

    def open_device() -> InputContainer:
        for options in attempts[:-1]:
            try:
                return open_one(camera, options)
            except (av.FFmpegError, OSError, ValueError) as error:
                if isinstance(error, (FileNotFoundError, PermissionError)) or getattr(error, "errno", 0) == errno.EBUSY:
                    raise
        return open_one(camera, attempts[-1])

    return DeviceSource(camera.name, open_device, size=size, stall_timeout_s=stall_timeout_s, clock=clock)


def _requests(size: Size, fps: float) -> list[Options]:
    """Return what to ask the driver for, best first: not every driver takes every wish, and the last is none."""
    wish = {"video_size": f"{size[0]}x{size[1]}", "framerate": f"{fps:g}"}
    if _PLATFORM.startswith("linux") and size[0] * size[1] > DEFAULT_SIZE[0] * DEFAULT_SIZE[1]:
        # Uncompressed, USB 2 carries 640x480 at 30 fps and not more.
        return [{**wish, "input_format": "mjpeg"}, wish, {}]
    return [wish, {}]


def _open(camera: CameraDevice, options: Options) -> InputContainer:
    return av.open(camera.address, mode="r", format=_interface(), options=options)
