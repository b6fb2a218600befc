"""Limits of a server: pictures that it takes from clients, memory that it has, refusals with a code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from vivace.errors import CapacityError, ControlError
from vivace.media.frame import Rgb

RefusalCode = Literal[
    "loading",
    "draining",
    "queue_full",
    "too_many_sessions",
    "memory",
    "sizes",
    "recording_off",
    "recording_space",
    "busy",
    "no_worker",
    "directory_full",
]

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USED = Path("/sys/fs/cgroup/memory.current")


class RefusedError(CapacityError):
    """The server cannot take this on now; `code` is for programs, `retry_after_s` says when to ask again."""

    def __init__(self, code: RefusalCode, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


class SharedOptionError(ControlError):
    """A client wants to set what would change the pictures of all others, too."""

    code = "shared_option"


def check_frame(rgb: Rgb, max_px: int) -> None:
    """Refuse what is no picture, and pictures of more than `max_px` pixels.

    Raises:
        ControlError: says what was given and what may be.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ControlError(f"a frame is {rgb.dtype} {rgb.shape}; give uint8 [h w 3], RGB")
    check_pixels("a frame", (rgb.shape[1], rgb.shape[0]), max_px)


def check_pixels(what: str, size: tuple[int, int], max_px: int) -> None:
    """Refuse a picture of more than `max_px` pixels, by its `(width, height)`.

    Raises:
        ControlError: names the limit.
    """
    if size[0] * size[1] > max_px:
        raise ControlError(f"{what} is {size[0]}x{size[1]} px; this server takes {max_px:,} pixels: make it smaller")


def free_memory_bytes() -> int:
    """Return how much memory this process may still take: what the system has free, or its container allows."""
    free = _system_free_bytes()
    try:
        limit, used = _CGROUP_LIMIT.read_text().strip(), _CGROUP_USED.read_text().strip()
    except OSError:
        return free
    return free if limit == "max" else max(0, min(free, int(limit) - int(used)))


def _system_free_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 * 2**30  # the system does not say; a modest guess
