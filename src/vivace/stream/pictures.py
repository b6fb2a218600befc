"""Pictures as values of controls: files, URLs, bytes and arrays, read once and checked before any control changes.

Pictures are rotated by their EXIF orientation and laid over black where they are transparent, like sources. The size is
checked in the file's header before decoding, so that a small file cannot expand into a huge picture.
"""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from vivace.checks import brief
from vivace.errors import ControlError, SourceNotFoundError
from vivace.media.convert import cover, cover_alpha
from vivace.media.frame import Rgb
from vivace.media.paths import naming
from vivace.models.controls import ControlSpec

Alpha = NDArray[np.uint8]
"""Opacity `uint8 [h w]`: 0 keeps the source, 255 is painted."""

MAX_PX = 64_000_000
"""Most pixels of a stored picture: enough for cameras and scanners."""
MAX_BYTES = 64 * 1024 * 1024
"""Largest size of a picture file, bytes."""

MAX_PAIRS = 16
"""Most pictures of a folder that is the value of one control."""
SOURCE_SUFFIX = ".source"
"""End of the name, before its extension, of the file of a picture before its edit."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
_SENT_FORMATS = ("PNG", "JPEG", "WEBP")
"""Formats accepted in a message: those that browsers produce, whose decoders are well tested."""
_FETCH_S = 10.0


def read_picture(control: ControlSpec, value: object) -> NDArray[np.uint8]:
    """Return a user's picture, read-only: `uint8 [h w 3]` for an image control, `uint8 [h w]` for a mask.

    Args:
        control: control that takes it; declares the size to fit it to, if any.
        value: a path, an `http` or `data:` URL, a file's bytes, a picture of Pillow, or an array of the shape above
            (`[h w 1]` also for a mask) of uint8, bool or float 0 to 1.

    Raises:
        ControlError: another value, or an unusable picture; names it and the remedy.
        SourceNotFoundError: no such file, or nothing to fetch at the URL.
    """
    if isinstance(value, np.ndarray):
        pixels = _bytes_of(control, value)
    elif isinstance(value, (bytes, bytearray)):
        pixels = _decode(control, io.BytesIO(value), "", MAX_PX, _FORMATS)
    elif isinstance(value, str) and value.startswith("data:"):
        return read_sent(control, value, MAX_PX)
    elif isinstance(value, str) and value.startswith(("http://", "https://")):
        pixels = _decode(control, io.BytesIO(_fetch(control, value)), f" {brief(value)}", MAX_PX, _FORMATS)
    elif isinstance(value, Path) or (isinstance(value, str) and value.strip() and "\0" not in value):
        with naming(value, SourceNotFoundError) as path:
            pixels = _read(control, path)
    elif (found := _pillow(control, value)) is not None:
        pixels = found
    else:
        raise ControlError(f"{control.name} is {brief(value)}; give a picture: a file, its address or bytes, an array")
    return _fitted(control, pixels)


def _pillow(control: ControlSpec, value: object) -> NDArray[np.uint8] | None:
    """Return the pixels of a picture of Pillow, as files are read; None for anything else."""
    from PIL.Image import Image

    from vivace.media.images import DAMAGED, upright

    if not isinstance(value, Image):
        return None
    try:
        return _pixels(control, upright(value).rgb)
    except DAMAGED as error:
        raise ControlError(f"{control.name} cannot be read as a picture ({error}); give a whole one") from error


def is_folder(value: object) -> TypeGuard[str | Path]:
    """Return whether a value is the path of a folder."""
    try:
        return isinstance(value, (str, Path)) and Path(value).expanduser().is_dir()
    except (OSError, ValueError, RuntimeError):  # an address too long for a name, a NUL, `~` of nobody
        return False


def read_pairs(control: ControlSpec, folder: str | Path) -> tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], ...]:
    """Return the pictures of a folder, by name, each after its source: `NAME.source.png` of `NAME.png`.

    Raises:
        ControlError: there is none, or one without its source; or more than `MAX_PAIRS`.
        SourceNotFoundError: the folder may not be looked into.
    """
    known = tuple(f".{name.lower()}" for name in (*_FORMATS, "JPG", "TIF"))
    with naming(folder, SourceNotFoundError) as place:
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in known)
    sources = {path.stem.removesuffix(SOURCE_SUFFIX): path for path in files if path.stem.endswith(SOURCE_SUFFIX)}
    edits = [path for path in files if not path.stem.endswith(SOURCE_SUFFIX)]
    if not 0 < len(edits) <= MAX_PAIRS:
        raise ControlError(f"{control.name}: {folder} has {len(edits)} pictures; give a folder of 1 to {MAX_PAIRS}")
    if alone := [path.name for path in edits if path.stem not in sources]:
        wanted = Path(alone[0])
        raise ControlError(
            f"{control.name}: {wanted} has no source in {folder}; put the picture before its edit there, as "
            f"{wanted.stem}{SOURCE_SUFFIX}{wanted.suffix}"
        )
    return tuple((read_picture(control, sources[path.stem]), read_picture(control, path)) for path in edits)


def read_sent(control: ControlSpec, url: str, max_px: int) -> NDArray[np.uint8]:
    """Return the picture in a `data:` URL; clients of a server cannot name files.

    Raises:
        ControlError: another kind of URL, damaged data, or more than `max_px` pixels.
    """
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise ControlError(
            f"{control.name} begins with {url[:32]!r}; give a PNG, JPEG or WebP as a data:image/png;base64,… address"
        )
    try:
        sent = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ControlError(f"{control.name} is not base64 ({error}); send the picture again") from error
    return _fitted(control, _decode(control, io.BytesIO(sent), "", max_px, _SENT_FORMATS))


def _read(control: ControlSpec, path: Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            return _decode(control, file, f" {path}", MAX_PX, _FORMATS)
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"{control.name} {path}: no such file; check the path") from error


def _fetch(control: ControlSpec, url: str) -> bytes:
    from http.client import HTTPException
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=_FETCH_S) as answer:
            found: bytes = answer.read(MAX_BYTES + 1)
            return found
    except (OSError, ValueError, HTTPException) as error:
        # HTTP exceptions quote the URL with any secrets in it.
        reason = type(error).__name__ if isinstance(error, HTTPException) else str(error)
        raise SourceNotFoundError(f"{control.name} {brief(url)} cannot be fetched ({reason})") from error


def _decode(
    control: ControlSpec, file: BinaryIO, name: str, max_px: int, formats: tuple[str, ...]
) -> NDArray[np.uint8]:
    from PIL import Image

    from vivace.media.images import DAMAGED, moves, upright

    what = f"{control.name}{name}"
    if (size := file.seek(0, io.SEEK_END)) > MAX_BYTES:
        raise ControlError(f"{what} has {size:,} bytes; the limit is {MAX_BYTES:,}: make it smaller")
    file.seek(0)
    try:
        with Image.open(file, formats=formats) as image:
            if image.width * image.height > max_px:
                raise ControlError(
                    f"{what} is {image.width}x{image.height} px; the limit is {max_px:,} pixels: make it smaller"
                )
            if moves(image):
                raise ControlError(f"{what} is animated; give a still picture")
            rgb = upright(image).rgb
    except Image.DecompressionBombError as error:
        raise ControlError(f"{what} is too large; the limit is {max_px:,} pixels: make it smaller") from error
    except DAMAGED as error:
        known = ", ".join(formats)
        raise ControlError(
            f"{what} cannot be read as a picture ({_reason(error)}); give a whole one of {known}"
        ) from error
    return _pixels(control, rgb)


def _pixels(control: ControlSpec, rgb: Rgb) -> NDArray[np.uint8]:
    return np.array(rgb) if control.kind == "image" else luma(rgb)


def _reason(error: Exception) -> str:
    """Return Pillow's message, without the memory address that stands for a file without a name."""
    return "none that is known" if "cannot identify image file" in str(error) else str(error)


def luma(rgb: Rgb) -> Alpha:
    """Return brightness, `uint8 [h w]`; black stays 0 and white 255."""
    wide = rgb.astype(np.uint16)
    return ((wide[..., 0] * 77 + wide[..., 1] * 150 + wide[..., 2] * 29) >> 8).astype(np.uint8)


def _bytes_of(control: ControlSpec, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a user's array as uint8, always a copy."""
    if control.kind == "mask" and array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    good = array.ndim == 2 if control.kind == "mask" else array.ndim == 3 and array.shape[2] == 3
    if not good or 0 in array.shape:
        wanted = "[h w]" if control.kind == "mask" else "[h w 3]"
        raise ControlError(f"{control.name} is an array of shape {array.shape}; give {wanted}")
    if array.dtype == np.uint8:
        return np.array(array, np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float64)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ControlError(f"{control.name} runs from {values.min():g} to {values.max():g}; floats are 0 to 1")
        return np.rint(values * 255).astype(np.uint8)
    raise ControlError(f"{control.name} is an array of {array.dtype}; give uint8 (0..255), bool, or float (0..1)")


def _fitted(control: ControlSpec, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if control.size is not None:
        pixels = cover(pixels, control.size) if pixels.ndim == 3 else cover_alpha(pixels, control.size)
    pixels.flags.writeable = False
    return pixels
