"""Output sizes: a few shapes for all sources, because each size is a network compiled once more, and kept.

A network compiled for 256x256 takes about 95 MiB and half a second, and its runtime lets go of none. What a client
could make a server compile is therefore limited: the output takes the nearest of five shapes, and of sizes that are
asked for by name there are only so many.
"""

from __future__ import annotations

import math
from dataclasses import replace
from threading import Lock

from vivace.media.size import Size
from vivace.models.base import ModelSpec
from vivace.serve.limits import RefusedError, check_pixels
from vivace.stream.fit import choose_size

ASPECTS: tuple[Size, ...] = ((1, 1), (4, 3), (16, 9), (3, 4), (9, 16))
"""Cameras, screens and phones. What does not fit is cut evenly on both sides."""
USUAL: tuple[Size, ...] = ((4, 3), (16, 9))
"""Shapes that most cameras send; compiled at start, so that a first picture comes half a second sooner."""
MAX_SIZES = 10
MAX_LARGER_SIZES = 4
"""Besides, that outputs grow to by themselves: one of 1280x720 takes 0.8 GiB of memory for good."""
GROWTH_STEP = 2.25
"""From one area to the next larger one: one and a half times each side, 342x192 and 512x288."""
LEAST_GROWTH = 1.25
"""A smaller one is not worth that the model's memory begins anew."""


def output_size(source: Size, area_px: int, spec: ModelSpec) -> Size:
    """Return the output size of about `area_px` pixels for a source, by its shape alone.

    Senders change their resolution with the network; what is painted must not follow them.
    """
    ratio = source[0] / source[1]
    width, height = min(ASPECTS, key=lambda aspect: abs(math.log(aspect[0] / aspect[1] / ratio)))
    ample = 4 * max(spec.max_size)  # so that only the area limits it
    return choose_size((width * ample, height * ample), replace(spec, default_area_px=area_px))


def larger_areas(base_px: int, most_px: int) -> tuple[float, ...]:
    """Return the areas that an output of `base_px` may grow to, in those, falling: `most_px` first."""
    most = most_px / base_px
    areas = [] if most <= LEAST_GROWTH else [most]
    area = GROWTH_STEP
    while area * LEAST_GROWTH < most:
        areas.insert(1, area)
        area *= GROWTH_STEP
    return tuple(areas)


class SizeList:
    """The sizes that a model has been opened at. Thread-safe."""

    def __init__(self, max_px: int, most: int = MAX_SIZES) -> None:
        """Allow `most` sizes of up to `max_px` pixels."""
        self._max_px = max_px
        self._most = most
        self._lock = Lock()
        self._sizes: list[Size] = []

    def __contains__(self, size: Size) -> bool:
        with self._lock:
            return size in self._sizes

    def allow(self, size: Size) -> None:
        """Note a size.

        Raises:
            ControlError: it is too large.
            RefusedError: there are too many others already.
        """
        check_pixels("the output", size, self._max_px)
        with self._lock:
            if size in self._sizes:
                return
            if len(self._sizes) >= self._most:
                known = ", ".join(f"{width}x{height}" for width, height in sorted(self._sizes))
                raise RefusedError("sizes", f"this server has opened {self._most} sizes, its limit; use one of {known}")
            self._sizes.append(size)
