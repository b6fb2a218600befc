"""Sources with precomputed pictures, so that only the measured system costs time."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from fractions import Fraction
from pathlib import Path
from threading import Event

from vivace.bench.systems.system import Clock
from vivace.media import open_source
from vivace.media.frame import Frame, Rgb
from vivace.media.source import Source, SourceInfo

SCENE = "city"
LOOP_FRAMES = 48


def render_loop(size: tuple[int, int], frames: int = LOOP_FRAMES, seed: int = 0) -> list[Rgb]:
    """Return the first pictures of a moving scene, `uint8 [h w 3]` at `(width, height)` px."""
    with open_source(f"scene:{SCENE}?frames={frames}&seed={seed}", size=size) as source:
        return [frame.rgb for frame in source]


def render_clip(path: Path, size: tuple[int, int], frames: int, seed: int = 0) -> None:
    """Write a clip of a moving scene at 30 fps."""
    from vivace.media import open_sink

    source = open_source(f"scene:{SCENE}?frames={frames}&seed={seed}", size=size)
    with source, open_sink(path, fps=source.info.fps) as sink:
        for frame in source:
            sink.write(frame)


def there_and_back(index: int, count: int) -> int:
    """Return the picture at `index` in an endless loop over `count` pictures without a cut: 0 1 2 3 2 1 0 1."""
    if count == 1:
        return 0
    place = index % (2 * count - 2)
    return place if place < count else 2 * count - 2 - place


class Loop(Source):
    """Source that plays pictures forth and back, `frames` in all, as fast as they are taken."""

    def __init__(self, pictures: Sequence[Rgb], frames: int, *, clock: Clock = time.monotonic) -> None:
        height, width = pictures[0].shape[:2]
        super().__init__(SourceInfo(name="loop", size=(width, height), fps=30.0, frames=frames))
        self._pictures = pictures
        self._frames = frames
        self._clock = clock

    def _read(self) -> Generator[Frame, None, None]:
        for index in range(self._frames):
            rgb = self._pictures[there_and_back(index, len(self._pictures))]
            yield Frame(rgb, index, index, Fraction(1, 30), self._clock())


class Cuttable(Source):
    """Wrapper of a source that can be ended early."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.info)
        self._source = source
        self._enough = False

    def deliver_at(self, size: tuple[int, int] | None) -> None:
        """Request scaled frames, so that they are converted and scaled in one pass."""
        self._source.deliver_at(size)

    def end(self) -> None:
        """Make the frame being read the last one; any thread."""
        self._enough = True

    def _read(self) -> Generator[Frame, None, None]:
        for frame in self._source:
            yield frame
            if self._enough:
                return

    def _release(self) -> None:
        self._source.close()


class Camera(Source):
    """Simulated camera: picture `k` is available from `start + k / fps` until the next one.

    `capture_time_s` is the time a picture was due. A picture not taken within its period is lost, as with a camera that
    has no queue, and counted in `lost`.
    """

    def __init__(
        self,
        pictures: Sequence[Rgb],
        fps: float,
        frames: int,
        *,
        clock: Clock = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Show `pictures` forth and back at `fps`, `frames` in all, by `clock`; `wait` sleeps, s."""
        height, width = pictures[0].shape[:2]
        super().__init__(SourceInfo(name="scripted camera", size=(width, height), fps=fps, frames=frames, live=True))
        self.start_s: float | None = None
        """Due time of picture 0, s: the first time one was requested."""
        self.lost = 0
        self._pictures = pictures
        self._fps = fps
        self._frames = frames
        self._clock = clock
        self._woken = Event()
        self._wait = wait or self._woken.wait

    def _read(self) -> Generator[Frame, None, None]:
        start_s = self.start_s = self._clock()
        time_base = 1 / Fraction(self._fps).limit_denominator(1001)
        index = 0
        while index < self._frames:
            newest = int((self._clock() - start_s) * self._fps + 1e-6)
            if newest > index:
                skipped = min(newest, self._frames - 1) - index
                self.lost += skipped
                index += skipped
            due_s = start_s + index / self._fps
            if (early_s := due_s - self._clock()) > 0:
                self._wait(early_s)
            rgb = self._pictures[there_and_back(index, len(self._pictures))]
            yield Frame(rgb, index, index, time_base, due_s)
            index += 1

    def close(self) -> None:
        """Stop; a wait in progress ends at once."""
        self._woken.set()
        super().close()
