"""Look for the watermark in pictures, without the original: a payload, how sure, and in which seconds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice, pairwise

from vivace.media.frame import Frame, Rgb
from vivace.trust.watermark.evidence import evidence, reduced_luma
from vivace.trust.watermark.search import TOLERATED_FALSE_ALARM, Evidence, Place, Reading, search

SCALES = (0.48, 0.7, 1.03, 1.55)
"""From one to the next evidence is gathered once: its subbands are wide."""
_PX_BETWEEN = 4.2
"""Largest distance of two values of evidence, px of the original: a quarter of the shortest periods."""
FRAMES_A_SECOND = 12
"""Frames of a second that are looked at: neighbours differ by too little to tell more."""
LARGEST_PX = 2048
"""Largest side, px; of a larger picture the middle is looked at."""


class WatermarkDetector:
    """Gather evidence over pictures of one size, and say what it amounts to.

    Whatever was done to the pictures was done to all of them: the same scale, turn and crop.
    """

    def __init__(self) -> None:
        self._bands: list[Evidence] = []
        self.pictures = 0

    def add(self, rgb: Rgb) -> None:
        """Take a picture into account, `uint8 [h w 3]`."""
        height, width = rgb.shape[:2]
        top, left = (max(side - LARGEST_PX, 0) // 2 for side in (height, width))
        rgb = rgb[top : top + LARGEST_PX, left : left + LARGEST_PX]
        for index, (smallest, largest) in enumerate(pairwise(SCALES)):
            factor = max(int(_PX_BETWEEN * smallest), 1)
            px = factor / (smallest * largest) ** 0.5
            values = evidence(reduced_luma(rgb, factor), px)
            if self.pictures:
                self._bands[index].values[:] += values
            else:
                self._bands.append(Evidence(values, factor, (smallest, largest)))
        self.pictures += 1

    def add_all(self, other: WatermarkDetector) -> None:
        """Take into account what another one was given, pictures of the same size."""
        if self.pictures:
            for mine, theirs in zip(self._bands, other._bands, strict=True):
                mine.values[:] += theirs.values
        else:
            self._bands = [replace(band, values=band.values.copy()) for band in other._bands]
        self.pictures += other.pictures

    def read(self, near: Place | None = None) -> Reading:
        """Return what was found in the pictures so far, at least one: with `near` only about there."""
        return search(self._bands, near)


def detect_watermark(pictures: Iterable[Rgb]) -> Reading:
    """Return what is found in pictures of one size, at least one, all together."""
    detector = WatermarkDetector()
    for rgb in pictures:
        detector.add(rgb)
    return detector.read()


@dataclass(frozen=True, slots=True)
class MarkedSecond:
    """A second of a video in which the watermark was found."""

    second: int
    payload: int | None
    """None if it cannot be read."""
    false_alarm: float
    """Bound of the probability that anything is found in a video without a watermark."""


@dataclass(frozen=True, slots=True)
class WatermarkSearch:
    """Result of searching a video."""

    marked: tuple[MarkedSecond, ...]
    searched_s: int
    """Seconds looked at."""
    together: bool = False
    """True where it was read in all of them together and in none by itself."""

    @property
    def payload(self) -> int | None:
        """Payload of most seconds; None if none was read."""
        read = Counter(second.payload for second in self.marked if second.payload is not None)
        return read.most_common(1)[0][0] if read else None

    @property
    def false_alarm(self) -> float:
        """Bound of the probability that anything is found in a video without a watermark; 1 if nothing was."""
        return min((second.false_alarm for second in self.marked), default=1.0)


def search_watermark(frames: Iterable[Frame], *, limit_s: int = 10) -> WatermarkSearch:
    """Return in which of the first seconds the watermark is found, see `search_by_second`."""
    *_, last = WatermarkSearch((), 0), *search_by_second(frames, limit_s=limit_s)
    return last


def search_by_second(frames: Iterable[Frame], *, limit_s: int = 10) -> Iterator[WatermarkSearch]:
    """Yield, after each second, in which of those so far the watermark is found.

    Each is looked at by itself; where none is read, at the end all of them together: the pattern stands still while a
    picture moves, and what is too faint in each second may be read in their sum.

    Args:
        frames: of a video or a single picture, in the order of their presentation.
        limit_s: of how many seconds, at least one.
    """
    marked: list[MarkedSecond] = []
    place: Place | None = None
    whole = WatermarkDetector()
    seconds: list[int] = []
    searches = 2 * limit_s + 1
    for second, of_second in islice(groupby(frames, lambda frame: int(frame.pts_s)), limit_s):
        seconds.append(second)
        detector = WatermarkDetector()
        for frame in _spread(of_second):
            detector.add(frame.rgb)
        whole.add_all(detector)
        # Where it was last, it is found in little time, and adds no false alarm of its own: there was one before. Each
        # second is searched twice at most.
        reading = None if place is None else detector.read(place)
        if reading is None or reading.false_alarm * searches >= TOLERATED_FALSE_ALARM:
            reading = detector.read()
        if reading.false_alarm * searches < TOLERATED_FALSE_ALARM:
            place = reading.place
            marked.append(MarkedSecond(second, reading.payload, reading.false_alarm * searches))
        yield WatermarkSearch(tuple(marked), len(seconds))
    if len(seconds) > 1 and not any(second.payload is not None for second in marked):
        reading = whole.read(place)
        found = reading.payload is not None or not marked
        if found and reading.false_alarm * searches < TOLERATED_FALSE_ALARM:
            every = (MarkedSecond(second, reading.payload, reading.false_alarm * searches) for second in seconds)
            yield WatermarkSearch(tuple(every), len(seconds), together=True)


def _spread(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield at most `FRAMES_A_SECOND` of a second, as far apart as they are with the usual rates."""
    due_s = -math.inf
    for frame in frames:
        if frame.pts_s >= due_s - 1e-6:
            due_s = frame.pts_s + 1 / FRAMES_A_SECOND
            yield frame
