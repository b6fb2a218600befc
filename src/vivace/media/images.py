"""Pictures as files, read and written: the frames of a video, or photographs that are each by themselves."""

from __future__ import annotations

import glob
import re
import struct
import time
from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from vivace.errors import DecodeError, SinkUnsupportedError, SinkWriteError, SourceNotFoundError, SourceUnsupportedError
from vivace.media.clock import Clock
from vivace.media.convert import cover, cover_alpha
from vivace.media.frame import Frame, Rgb
from vivace.media.paths import NUMBERED, is_numbered_as, is_same_file
from vivace.media.picture import Picture, over_black, straight
from vivace.media.registry import PICTURE_FORMATS, PICTURE_SUFFIXES
from vivace.media.sink import Sink, SinkOptions, check_place, written_name
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo

if TYPE_CHECKING:
    from vivace.media.statement import Statement

DEFAULT_FPS = 25.0

_QUALITY: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 1},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
}
"""Options of Pillow: colours of a line as sharp as the line, and no second spent on packing tighter."""

PNG_XMP = "XML:com.adobe.xmp"
"""Keyword of a PNG text chunk that holds XMP."""

_DIGITS = re.compile(r"(\d+)")
DAMAGED = (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
"""Errors of Pillow for pictures that are damaged (PNG: SyntaxError, EXIF: struct.error) or beyond 179 million
pixels."""


class ImagesSource(Source):
    """Pictures of a folder, a glob (`*.png`) or a numbered name (`%05d.png`), in natural order, `2` before `10`.

    Pictures are upright by their EXIF tag, over black where transparent, and scaled to cover the first one's size,
    unless `deliver_at(None)` asks for each at its own. Damaged ones are left out, with a warning.
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
        first = next((picture.rgb for picture in map(self._load, self._paths) if picture is not None), None)
        if first is None:
            raise DecodeError(f"{path}: not one of its {len(self._paths)} pictures can be read")
        self.warnings.clear()  # The damaged ones before the first are met again.
        own = (first.shape[1], first.shape[0])
        self._first = own
        self._size: Size | None = size or own
        """Size to deliver at, px; None is each picture's own."""
        count = len(self._paths)
        self.info = SourceInfo(
            name=path.name or str(path),
            size=size or own,
            fps=float(rate),
            frames=count,
            duration_s=float(count * self._time_base),
            stills=path.exists() or not NUMBERED.search(path.name),
        )

    @property
    def files(self) -> Sequence[Path]:
        """The pictures."""
        return self._paths

    def deliver_at(self, size: Size | None) -> None:
        """Deliver the next pictures at this size, or each at its own."""
        self._size = size

    def _read(self) -> Generator[Frame, None, None]:
        same = True
        for index, path in enumerate(self._paths):
            picture = self._load(path)
            if picture is None:
                continue
            rgb, alpha, _ = picture
            size, own = self._size, (rgb.shape[1], rgb.shape[0])
            if size is not None:
                if same and own != self._first:
                    same = False
                    self.warnings.append(
                        f"{path}: is {own[0]}x{own[1]} px and the first picture {self._first[0]}x{self._first[1]}; "
                        "all are scaled to cover one size"
                    )
                rgb, alpha = cover(rgb, size), None if alpha is None else cover_alpha(alpha, size)
            yield Frame(rgb, index, index, self._time_base, self._clock(), alpha=alpha)

    def _load(self, path: Path) -> Picture | None:
        try:
            return load_picture(path)
        except DAMAGED as error:
            self.warnings.append(f"{path}: left out, cannot be read ({error})")
            return None


class _PicturesSink(Sink):
    """A file for each frame, complete once written. Presentation times are not kept."""

    def __init__(self, name: str, folder: Path, statement: Statement | None):
        """Write into a folder, which is created when its parent exists; painted pictures have a statement.

        Raises:
            SinkWriteError: the folder cannot be created.
        """
        self.name = name
        self._statement = statement
        self._written: dict[Path, int] = {}
        self._made = None if folder.exists() else folder
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise SinkWriteError(f"{folder}: cannot be created ({error.strerror})") from error

    @abstractmethod
    def _path(self, frame: Frame) -> Path:
        """Return where a frame goes."""

    def write(self, frame: Frame) -> None:
        """Write one picture."""
        path = self._path(frame)
        try:
            save_picture(frame, path, self._statement if frame.painted else None)
        except OSError as error:
            reason = error.strerror or str(error)
            kept = "; the pictures before it are kept" if self.frames_written else ""
            raise SinkWriteError(f"{path}: writing failed ({reason}){kept}") from error
        self.frames_written += 1
        self._written[path] = frame.index

    def written(self) -> Mapping[Path, int]:
        """Return the pictures."""
        return self._written

    def close(self) -> None:
        """Take back the folder that was made for pictures of which none came; the others are complete."""
        if self._made is not None and not self.frames_written:
            with suppress(OSError):  # somebody else has put something in
                self._made.rmdir()


class ImagesSink(_PicturesSink):
    """Numbered pictures: a folder (PNG named `00000.png` …) or a numbered name such as `out/%05d.jpg`."""

    def __init__(self, path: Path, statement: Statement | None = None):
        """Write into a folder, which is created when its parent exists; painted pictures have a statement.

        Raises:
            SinkUnsupportedError: not a kind of picture that is written.
            SinkWriteError: the folder cannot be created.
        """
        self._pattern = path if NUMBERED.search(path.name) else path / "%05d.png"
        if self._pattern.suffix.lower() not in PICTURE_FORMATS:
            raise SinkUnsupportedError(f"{path}: pictures are written as {', '.join(PICTURE_FORMATS)}")
        super().__init__(str(path), self._pattern.parent, statement)

    def _path(self, frame: Frame) -> Path:  # noqa: ARG002
        name = NUMBERED.sub(lambda place: place[0] % self.frames_written, self._pattern.name, count=1)
        return self._pattern.with_name(name)

    def replaces(self, path: Path) -> bool:
        """Tell whether `path` has the name of one of the pictures."""
        return is_numbered_as(self._pattern, path)


class StillsSink(_PicturesSink):
    """Photographs under names of their own: one picture file, or a folder where each keeps the name it came with."""

    stills = True

    def __init__(self, path: Path, pictures: Sequence[Path], *, folder: bool, statement: Statement | None = None):
        """Choose a name for each of the pictures that will come, by frame index.

        Args:
            path: where they go.
            pictures: the files they are made of.
            folder: whether `path` is a folder, which is created when its parent exists. There a picture keeps its name
                if that is of a kind that is written, and becomes a PNG otherwise. If not, it is one picture file.
            statement: what painted pictures say of themselves.

        Raises:
            SinkUnsupportedError: one file for several pictures, or two that would have one name.
            SinkWriteError: the folder cannot be created.
        """
        if not folder and len(pictures) != 1:
            raise SinkUnsupportedError(
                f"{path}: is one picture, and the source has {len(pictures)}; name a folder, {path.stem}/"
            )
        self._paths = [path / written_name(picture) if folder else path for picture in pictures]
        made_of: dict[str, Path] = {}
        for target, picture in zip(self._paths, pictures, strict=True):
            other = made_of.setdefault(target.name.casefold(), picture)
            if other is not picture:
                raise SinkUnsupportedError(f"{target}: {other} and {picture} would both be written there; rename one")
        super().__init__(str(path), self._paths[0].parent, statement)

    def _path(self, frame: Frame) -> Path:
        return self._paths[frame.index]

    def replaces(self, path: Path) -> bool:
        """Tell whether `path` is one of the files to be written."""
        return any(is_same_file(path, target) for target in self._paths)


def open_pictures(path: Path, options: SinkOptions) -> Sink:
    """Open numbered pictures, or those of photographs, as an output."""
    numbered = NUMBERED.search(path.name) is not None
    if options.pictures and not numbered:
        if not options.folder:
            check_place(path)
        return StillsSink(path, options.pictures, folder=options.folder, statement=options.statement)
    if not options.folder and not numbered:
        raise SinkUnsupportedError(
            f"{path}: one picture cannot hold a stream; name a video, {path.stem}.mp4, a folder, {path.stem}/, "
            f"or numbered pictures, {path.stem}-%05d{path.suffix}"
        )
    return ImagesSink(path, options.statement)


def save_picture(frame: Frame, path: Path, statement: Statement | None = None) -> None:
    """Write a frame as the kind that the name says, over black where that holds no alpha, with a statement as XMP.

    Half of one is removed. Raises OSError.
    """
    encoded = BytesIO()
    kind = PICTURE_FORMATS[path.suffix.lower()]
    pixels = frame.rgb if frame.alpha is None or kind == "JPEG" else straight(frame)
    options = dict(_QUALITY[kind])
    if statement is not None and kind == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(PNG_XMP, statement.xmp().decode())
    elif statement is not None:
        options["xmp"] = statement.xmp()
    Image.fromarray(pixels).save(encoded, format=kind, **options)
    with path.open("wb") as file:
        try:
            file.write(encoded.getbuffer())
            file.flush()
        except OSError:
            path.unlink(missing_ok=True)
            raise


def load_picture(path: Path) -> Picture:
    """Read a picture, upright. Raises what Pillow raises."""
    with Image.open(path) as stored:
        return upright(stored)


def upright(stored: Image.Image) -> Picture:
    """Return an opened picture, upright, its colours those of sRGB. Raises what Pillow raises."""
    image = ImageOps.exif_transpose(stored)
    if image.mode.startswith("I;16") or image.mode == "I":
        # 16-bit greys; Pillow would clip them.
        grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return Picture(np.repeat(grey[..., None], 3, axis=2))
    profile = stored.info.get("icc_profile")
    has_alpha = image.has_transparency_data
    if image.mode != "CMYK" or not profile:
        image = image.convert("RGBA" if has_alpha else "RGB")
    if profile:
        image = _in_srgb(image, profile)
    return over_black(np.asarray(image)) if has_alpha else Picture(cast(Rgb, np.asarray(image)))


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert from an ICC profile; one that is damaged or for another kind of picture counts as sRGB, as elsewhere."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        stored = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(stored):
            return image.convert(mode)
        srgb = ImageCms.createProfile("sRGB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        return cast(Image.Image, ImageCms.profileToProfile(image, stored, srgb, intent, outputMode=mode))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert(mode)


def is_animated(path: Path) -> bool:
    """Tell whether a picture file holds several frames, in which case it is read as a video."""
    try:
        with Image.open(path) as image:
            return moves(image)
    except DAMAGED:
        return False


def moves(image: Image.Image) -> bool:
    """Tell whether an opened picture is one of several in time; other files hold previews, or pages."""
    return bool(getattr(image, "is_animated", False)) and image.format in ("PNG", "WEBP", "GIF")


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
        raise SourceNotFoundError(f"{path}: no picture has such a name; check the folder and the pattern")
    return sorted(paths, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sort key in which numbers count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _DIGITS.split(path.name)]
