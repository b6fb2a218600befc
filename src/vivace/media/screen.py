"""The main display: X11 on Linux, AVFoundation on macOS, GDI on Windows."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

import av
from av.container import InputContainer

from vivace.errors import SourceNotFoundError
from vivace.media.clock import Clock
from vivace.media.device import DeviceSource
from vivace.media.size import Size
from vivace.media.source import STALL_TIMEOUT_S

DEFAULT_FPS = 30.0

ScreenOpener = Callable[[str, str, dict[str, str]], InputContainer]
"""Takes FFmpeg's address, format and options."""


def open_screen(
    which: str = "",
    *,
    size: Size | None = None,
    fps: float | None = None,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    clock: Clock = time.monotonic,
    environ: Mapping[str, str] = os.environ,
    opener: ScreenOpener | None = None,
) -> DeviceSource:
    """Open the main display as a source.

    Args:
        which: nothing; other displays cannot be named.
        size: `(width, height)` to deliver, px; None: the display's.
        fps: to capture; None: 30.
        stall_timeout_s: longest wait for a picture.
        clock: stamps arrivals.
        environ: where `DISPLAY` is looked up.
        opener: opens the display; tests give their own.

    Raises:
        SourceNotFoundError: there is no display, or not the main one is named.
    """
    if which:
        raise SourceNotFoundError(f"screen:{which}: no such display; the main one is named `screen`")
    options = {"framerate": f"{fps or DEFAULT_FPS:g}"}
    platform: str = sys.platform
    if platform == "darwin":
        address, interface = "Capture screen 0:none", "avfoundation"
        options["capture_cursor"] = "1"
    elif platform == "win32":
        address, interface = "desktop", "gdigrab"
    else:
        address, interface = environ.get("DISPLAY", ""), "x11grab"
        if not address:
            wayland = (
                " (Wayland alone cannot be captured; start an X11 session)" if "WAYLAND_DISPLAY" in environ else ""
            )
            raise SourceNotFoundError(f"screen: no display, DISPLAY is not set{wayland}; use a file, camera or scene")
    open_one = opener or _open

    def open_device() -> InputContainer:
        try:
            return open_one(address, interface, options)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceNotFoundError(
                f"screen: display {address} cannot be captured ({error}); allow this program to record the screen"
            ) from error

    return DeviceSource("screen", open_device, size=size, stall_timeout_s=stall_timeout_s, clock=clock)


def _open(address: str, interface: str, options: dict[str, str]) -> InputContainer:
    return av.open(address, mode="r", format=interface, options=options)
