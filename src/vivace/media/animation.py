"""Picture files that move: animated WebP, which FFmpeg does not read, and which way the others go."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path

from PIL import Image

from vivace.media.clock import Clock
from vivace.media.convert import cover, cover_alpha
from vivace.media.file import FrameLimit, open_file
from vivace.media.frame import Frame
from vivace.media.images import DAMAGED, ImagesSource, is_animated, upright
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo

TIME_BASE = Fraction(1, 1000)
_TOO_QUICK, _INSTEAD = 10, 100
"""Milliseconds: a picture of at most ten lasts a hundred, as in browsers."""


class AnimationSource(Source):
    """The pictures of an animated WebP, each as long as the file says. Damage ends it, with a warning."""

    def __init__(self, path: Path, *, size: Size | None, max_fps: float | None, clock: Clock):
        """Open `path`.

        Args:
            path: the file.
            size: `(width, height)` to deliver, px; None: as stored.
            max_fps: leave out frames that come sooner; None: all frames.
            clock: stamps `capture_time_s` when a frame is decoded.

        Raises:
            OSError, ValueError, SyntaxError: what Pillow raises on a file that cannot be read.
        """
        self._clock = clock
        self._limit = FrameLimit(max_fps)
        self._image = Image.open(path)
        self._size = size or self._image.size
        self._count: int = getattr(self._image, "n_frames", 1)
        super().__init__(
            SourceInfo(
                name=path.name,
                size=self._size,
                frames=None if max_fps else self._count,
                codec="webp",
                path=path,
            )
        )

    def deliver_at(self, size: Size | None) -> None:
        """Deliver the next pictures at this size, None: as stored."""
        self._size = size or self._image.size

    def _read(self) -> Generator[Frame, None, None]:
        at = 0
        for index in range(self._count):
            try:
                self._image.seek(index)
                self._image.load()
                rgb, alpha, _ = upright(self._image)
            except DAMAGED as error:
                self.warnings.append(f"{self.info.name}: damaged; it ends after {index} pictures ({error})")
                return
            length = int(self._image.info.get("duration", 0))
            length = length if length > _TOO_QUICK else _INSTEAD
            if self._limit.takes(float(at * TIME_BASE)):
                alpha = None if alpha is None else cover_alpha(alpha, self._size)
                duration = max(length, self._limit.interval // TIME_BASE)
                rgb = cover(rgb, self._size)
                yield Frame(rgb, index, at, TIME_BASE, self._clock(), duration=duration, alpha=alpha)
            at += length

    def _release(self) -> None:
        self._image.close()


def open_images(path: Path, *, size: Size | None, fps: float | None, stall_timeout_s: float, clock: Clock) -> Source:
    """Open picture files as a source; one that moves is read as the video it is."""
    if not path.is_file() or not is_animated(path):
        return ImagesSource(path, size=size, fps=fps, clock=clock)
    with Image.open(path) as image:
        is_webp = image.format == "WEBP"
    if is_webp:
        return AnimationSource(path, size=size, max_fps=fps, clock=clock)
    return open_file(path, size=size, fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
