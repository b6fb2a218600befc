"""Folders of numbered pictures, read and written."""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from vivace.errors import DecodeError, SinkUnsupportedError, SinkWriteError, SourceNotFoundError, SourceUnsupportedError
from vivace.media.clock import Clock
from vivace.media.convert import cover
from vivace.media.frame import Frame, Rgb
from vivace.media.paths import NUMBERED, is_numbered_as
from vivace.media.picture import over_black
from vivace.media.sink import Sink
from vivace.media.size import Size
from vivace.media.source import PICTURE_SUFFIXES, Source, SourceInfo

DEFAULT_FPS = 25.0

_DIGITS = re.compile(r"(\d+)")
_DAMAGED = (UnidentifiedImageError, OSError, SyntaxError, ValueError)
"""What Pillow raises on damaged pictures (PNG: SyntaxError)."""


class ImagesSource(Source):
    """Pictures of a folder, a glob (`*.png`) or a numbered name (`%05d.png`), in natural order, `2` before `10`.

    Pictures are upright by their EXIF tag, over black where transparent, and scaled to cover the first one's size.
    Damaged ones are left out, with a warning.
    """

    def __init__(
        self, path: Path, *, size: Size | None = None, fps: float | None = None, clock: Clock = time.monotonic
    ):
        """Find the pictures and read the first.

        Args:
            path: folder, glob, numbered name, or one picture.
            size: `(width, height)` to deliver, px; None: the first picture's.
            fps: their rate, 25 by default.
            clock: stamps `capture_time_s` when a picture is read.

        Raises:
            SourceNotFoundError: no picture of that name.
            SourceUnsupportedError: the folder holds none.
            DecodeError: none of them can be read.
        """
        self._paths = _find(path)
        self._clock = clock
        rate = Fraction(fps or DEFAULT_FPS).limit_denominator(1001)
        self._time_base = 1 / rate
        super().__init__(SourceInfo(name=path.name or str(path), size=(0, 0)))
        first = next((rgb for rgb in map(self._load, self._paths) if rgb is not None), None)
        if first is None:
            raise DecodeError(f"{path}: not one of its {len(self._paths)} pictures can be read")
        self.warnings.clear()  # The damaged ones before the first are met again.
        self._size = size or (first.shape[1], first.shape[0])
        count = len(self._paths)
        self.info = SourceInfo(
            name=path.name or str(path),
            size=self._size,
            fps=float(rate),
            frames=count,
            duration_s=float(count * self._time_base),
        )

    @property
    def files(self) -> Sequence[Path]:
        """The pictures."""
        return self._paths

    def _read(self) -> Generator[Frame, None, None]:
        for index, path in enumerate(self._paths):
            rgb = self._load(path)
            if rgb is not None:
                yield Frame(cover(rgb, self._size), index, index, self._time_base, self._clock())

    def _load(self, path: Path) -> Rgb | None:
        try:
            return load_rgb(path)
        except _DAMAGED as error:
            self.warnings.append(f"{path}: left out, cannot be read ({error})")
            return None


class ImagesSink(Sink):
    """Numbered pictures: a folder (PNG named `00000.png` …) or a numbered name such as `out/%05d.jpg`.

    Each picture is complete once written. Presentation times are not kept.
    """

    def __init__(self, path: Path):
        """Write into a folder, which is created when its parent exists.

        Raises:
            SinkUnsupportedError: neither PNG nor JPEG.
            SinkWriteError: the folder cannot be created.
        """
        pattern = path if NUMBERED.search(path.name) else path / "%05d.png"
        if pattern.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise SinkUnsupportedError(f"{path}: pictures are written as .png or .jpg")
        self.name = str(path)
        self._pattern = pattern
        self._options: dict[str, Any] = (
            {"format": "PNG", "compress_level": 1}
            if pattern.suffix.lower() == ".png"
            else {"format": "JPEG", "quality": 92}
        )
        try:
            pattern.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise SinkWriteError(f"{pattern.parent}: cannot be created ({error.strerror})") from error

    def write(self, frame: Frame) -> None:
        """Write one picture."""
        name = NUMBERED.sub(lambda place: place[0] % self.frames_written, self._pattern.name, count=1)
        path = self._pattern.with_name(name)
        try:
            Image.fromarray(frame.rgb).save(path, **self._options)
        except OSError as error:
            path.unlink(missing_ok=True)
            reason = error.strerror or str(error)
            raise SinkWriteError(
                f"{path}: writing failed ({reason}); the {self.frames_written} pictures before it are kept"
            ) from error
        self.frames_written += 1

    def replaces(self, path: Path) -> bool:
        """Tell whether `path` has the name of one of the pictures."""
        return is_numbered_as(self._pattern, path)

    def close(self) -> None:
        """Do nothing: every picture is complete."""


def load_rgb(path: Path) -> Rgb:
    """Read a picture as upright `uint8 [h w 3]`, over black where transparent. Raises what Pillow raises."""
    with Image.open(path) as stored:
        image = ImageOps.exif_transpose(stored)
        if image.mode.startswith("I;16") or image.mode == "I":
            # 16-bit greys; Pillow would clip them.
            grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        if image.has_transparency_data:
            return over_black(np.asarray(image.convert("RGBA")))
        return cast(Rgb, np.asarray(image.convert("RGB")))


def is_animated(path: Path) -> bool:
    """Tell whether a picture file holds several frames, in which case it is read as a video."""
    try:
        with Image.open(path) as image:
            return bool(getattr(image, "is_animated", False)) and image.format in ("PNG", "WEBP", "GIF")
    except _DAMAGED:
        return False


def _find(path: Path) -> list[Path]:
    if path.is_dir():
        paths = [entry for entry in path.iterdir() if entry.suffix.lower() in PICTURE_SUFFIXES]
        if not paths:
            known = ", ".join(PICTURE_SUFFIXES)
            raise SourceUnsupportedError(
                f"{path}: a folder without pictures ({known}); name a video file in it instead"
            )
    elif path.exists():
        paths = [path]
    elif NUMBERED.search(path.name):
        folder = path.parent.iterdir() if path.parent.is_dir() else iter(())
        paths = [entry for entry in folder if is_numbered_as(path, entry)]
    else:
        # Not Path.glob, which refuses absolute patterns.
        paths = [Path(match) for match in glob.glob(str(path))]  # noqa: PTH207
    if not paths:
        raise SourceNotFoundError(f"{path}: no picture of that name")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key in which numbers count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(path.name)]
