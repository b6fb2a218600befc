"""A virtual camera: what is written to a v4l2loopback device is what other programs see of that camera.

Linux alone has such devices. Elsewhere OBS has one, which it fills with what it captures.
"""

from __future__ import annotations

import errno
import os
import re
import struct
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media.clock import Clock, Sleep
from vivace.media.convert import cover
from vivace.media.encode import even_size, pad_even
from vivace.media.frame import Frame
from vivace.media.pacing import Timetable
from vivace.media.sink import Sink, SinkOptions
from vivace.media.size import Size

PLATFORM: str = sys.platform
SYSFS = Path("/sys/class/video4linux")
MODULE = Path("/sys/module/v4l2loopback")
DEV = Path("/dev")

LOAD = "sudo modprobe v4l2loopback video_nr=10 card_label=Vivace exclusive_caps=1"
INSTALL = f"install v4l2loopback (Debian: apt-get install v4l2loopback-dkms) and load it with `{LOAD}`"
BRIDGE = (
    "capture a `window`, or the page `vivace serve` gives for OBS (`/clean/…`), in OBS and press its *Start Virtual "
    "Camera*"
)

# linux/videodev2.h; numbers and layouts of a 64-bit system.
QUERYCAP = 0x80685600
S_FMT = 0xC0D05605
S_PARM = 0xC0CC5616
CAP_VIDEO_OUTPUT = 0x2
CAP_DEVICE_CAPS = 0x8000_0000
BUF_TYPE_VIDEO_OUTPUT = 2
FIELD_NONE = 1
COLORSPACE_REC709 = 3
QUANTIZATION_LIM_RANGE = 2
YUYV, YU12 = (int.from_bytes(code, "little") for code in (b"YUYV", b"YU12"))
_FFMPEG = {YUYV: "yuyv422", YU12: "yuv420p"}
"""Pixels in the order in which they are offered to the device: every program that opens cameras reads YUYV."""
_FORMAT = struct.Struct("<II12I152x")
_CAPABILITY = struct.Struct("<16s32s32sIII12x")

Ioctl = Callable[[int, int, Any], int]


@dataclass(frozen=True, slots=True)
class VirtualCamera:
    """A device that takes pictures and gives them to other programs."""

    number: int
    name: str
    path: Path


def _ioctl(descriptor: int, request: int, argument: Any) -> int:
    from fcntl import ioctl  # not on Windows

    return int(ioctl(descriptor, request, argument))


def list_virtual_cameras(sysfs: Path = SYSFS, dev: Path = DEV) -> list[VirtualCamera]:
    """Return the virtual cameras of this machine, in the order of their numbers. `sysfs` is where Linux lists them."""
    found = []
    for entry in sysfs.iterdir() if sysfs.is_dir() else ():
        number = re.fullmatch(r"video(\d+)", entry.name)
        # A real camera has a bus below which it hangs.
        if number and "/devices/virtual/" in f"{entry.resolve()}/":
            name = (entry / "name").read_text("utf-8").strip() if (entry / "name").exists() else entry.name
            found.append(VirtualCamera(int(number[1]), name, dev / entry.name))
    return sorted(found, key=lambda camera: camera.number)


def lacking() -> str:
    """Return what is missing for a virtual camera, and what to do."""
    if not PLATFORM.startswith("linux"):
        return f"this system gives programs no virtual camera; {BRIDGE}"
    cameras = list_virtual_cameras()
    if not cameras:
        loaded = MODULE.exists()
        return f"there is none{'' if not loaded else ' although v4l2loopback is loaded'}; {INSTALL}"
    if not any(os.access(camera.path, os.W_OK) for camera in cameras):
        return f"no permission to write to {cameras[0].path}; join its group (`sudo usermod -aG video $USER`)"
    return ""


def hint(camera: VirtualCamera, module: Path = MODULE) -> str:
    """Return what to know of a camera before it is used; empty where all programs will see it."""
    parameter = module / "parameters" / "exclusive_caps"
    flags = parameter.read_text().strip().split(",") if parameter.exists() else []
    numbers = module / "parameters" / "video_nr"
    order = numbers.read_text().strip().split(",") if numbers.exists() else []
    at = order.index(str(camera.number)) if str(camera.number) in order else 0
    if not flags or (flags[at] if at < len(flags) else flags[0]) == "Y":
        return ""
    return (
        f"{camera.path}: Chromium, and what is made of it, lists this camera only with exclusive_caps=1: "
        f"`sudo modprobe -r v4l2loopback`, then `{LOAD}`"
    )


def find_virtual_camera(which: str, cameras: Iterable[VirtualCamera]) -> VirtualCamera:
    """Return the camera of that number, path, name or part of a name, in this order; the first for an empty text.

    Raises:
        SinkUnsupportedError: there is none; the message names those there are.
    """
    there = list(cameras)
    exact = [camera for camera in there if which in (str(camera.number), str(camera.path), camera.name)]
    if named := exact or [camera for camera in there if which.lower() in camera.name.lower()]:
        return named[0]
    listed = "; ".join(f"virtual:{camera.number} is {camera.name}" for camera in there)
    raise SinkUnsupportedError(f"virtual:{which}: there is no such virtual camera; there are: {listed or 'none'}")


class VirtualCameraSink(Sink):
    """A v4l2loopback device. Its size and pixels are settled by the first frame."""

    live = True

    def __init__(
        self,
        camera: VirtualCamera,
        options: SinkOptions | None = None,
        *,
        ioctl: Ioctl = _ioctl,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Open the device.

        Args:
            camera: the device.
            options: size and rate.
            ioctl: asks the driver; tests give their own.
            clock: what frames are paced by.
            sleep: waits.

        Raises:
            SinkWriteError: it is in use, or cannot be opened.
            SinkUnsupportedError: it takes no pictures.
        """
        options = options or SinkOptions()
        self.name = f"virtual:{camera.number} ({camera.name})"
        self._size: Size | None = options.size
        self._fps = options.fps or 30
        self._ioctl = ioctl
        self._timetable = Timetable(clock, sleep)
        self._reformatter = VideoReformatter()
        self._pixels = 0
        try:
            self._descriptor: int | None = os.open(camera.path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise SinkWriteError(f"{self.name}: cannot be opened ({error.strerror}){_remedy(error)}") from error
        try:
            self._check()
        except (SinkUnsupportedError, SinkWriteError):
            self.close()
            raise

    def _check(self) -> None:
        answer = bytearray(_CAPABILITY.size)
        self._ask(QUERYCAP, answer)
        *_, capabilities, device = _CAPABILITY.unpack(answer)
        if not (device if capabilities & CAP_DEVICE_CAPS else capabilities) & CAP_VIDEO_OUTPUT:
            raise SinkUnsupportedError(f"{self.name}: takes no pictures; is another program writing to it?")

    def write(self, frame: Frame) -> None:
        """Show a frame when it is due."""
        if self._descriptor is None:
            raise SinkWriteError(f"{self.name}: already closed")
        if self._size is None or not self._pixels:
            self._size = even_size(self._size or frame.size)
            self._settle(self._size)
        self._timetable.wait(frame.pts_s)
        data = memoryview(self._packed(frame))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            reason = f"writing failed ({error.strerror}){_remedy(error)}"
            raise SinkWriteError(f"{self.name}: {reason} after {self.frames_written} frames") from error
        self.frames_written += 1

    def _settle(self, size: Size) -> None:
        """Agree with the driver on size and pixels."""
        width, height = size
        for pixels in _FFMPEG:
            row = 2 * width if pixels == YUYV else width
            whole = row * height if pixels == YUYV else width * height * 3 // 2
            wish = _FORMAT.pack(
                *(BUF_TYPE_VIDEO_OUTPUT, 0, width, height, pixels, FIELD_NONE, row, whole, COLORSPACE_REC709),
                *(0, 0, 0, QUANTIZATION_LIM_RANGE, 0),
            )
            answer = bytearray(wish)
            self._ask(S_FMT, answer)
            got = _FORMAT.unpack(answer)
            if got[2:5] == (width, height, pixels):
                self._pixels = pixels
                self._tell_rate()
                return
        raise SinkUnsupportedError(
            f"{self.name}: does not take pictures of {width}x{height} px; another program holds it at "
            f"{got[2]}x{got[3]}: end that, or ask for its size with --size"
        )

    def _tell_rate(self) -> None:
        rate = round(1000 * float(self._fps))
        wish = bytearray(struct.pack("<I6I176x", BUF_TYPE_VIDEO_OUTPUT, 0, 0, 1000, rate, 0, 0))
        with suppress(SinkWriteError):  # a hint alone: not every driver takes it
            self._ask(S_PARM, wish)

    def _packed(self, frame: Frame) -> bytes:
        assert self._size is not None
        rgb = pad_even(cover(frame.rgb, self._size))
        picture = self._reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), "rgb24"),
            format=_FFMPEG[self._pixels],
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        return picture.to_ndarray().tobytes()

    def _ask(self, request: int, argument: bytearray) -> None:
        assert self._descriptor is not None
        try:
            self._ioctl(self._descriptor, request, argument)
        except OSError as error:
            raise SinkWriteError(f"{self.name}: the device refuses ({error.strerror}){_remedy(error)}") from error

    def close(self) -> None:
        """Let go of the device."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def _remedy(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return "; another program writes to it, end that first"
    if error.errno == errno.EACCES:
        return "; join its group (`sudo usermod -aG video $USER`)"
    if error.errno in (errno.ENODEV, errno.ENXIO, errno.ENOENT):
        return "; it has gone, load v4l2loopback again"
    return ""


def open_virtual(which: str, options: SinkOptions) -> VirtualCameraSink:
    """Open a virtual camera as an output."""
    camera = find_virtual_camera(which, list_virtual_cameras())
    if told := hint(camera):
        options.warn(told)
    return VirtualCameraSink(camera, options)
