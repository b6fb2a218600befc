"""Saved looks: small JSON files with a title and the shares of named looks and of pictures. They contain no codes.

    {"vivace_look": 1, "title": "tea time", "looks": {"oil": 0.7}, "pictures": [{"share": 0.3, "numbers": "…"}]}

The numbers of a picture are 100 half-precision floats, little-endian, in base64. The text of such a file is a valid
prompt.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, ValidationError, field_validator

from vivace.checks import Table, nearest
from vivace.errors import ControlError, SinkWriteError, SourceNotFoundError, UsageError, describe_invalid
from vivace.models.base import SAVED_LOOK
from vivace.models.controls import MAX_TEXT_CHARS
from vivace.models.mini2.config import PICTURE_NUMBERS
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.mixture import Mixture, PictureShare

VERSION = 1
SUFFIX = ".look"
_MOST_PICTURES = 4
_MOST_LOOKS = 16
_SLACK = 1e-3
"""Tolerance on the sum of shares in a file, which may be hand-written."""

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True, slots=True)
class Look:
    """Mixture with a title."""

    title: str
    mixture: Mixture


class _Picture(Table):
    share: Share
    numbers: str = Field(max_length=400)

    @field_validator("numbers")
    @classmethod
    def _check_numbers(cls, text: str) -> str:
        _from_text(text)
        return text


class _File(Table):
    title: str = Field(min_length=1, max_length=80)
    looks: dict[str, Share] = Field({}, max_length=_MOST_LOOKS)
    pictures: list[_Picture] = Field([], max_length=_MOST_PICTURES)

    @field_validator("looks")
    @classmethod
    def _check_looks(cls, looks: dict[str, float]) -> dict[str, float]:
        for key in looks:
            if key not in LOOK_KEYS:
                raise ValueError(f"there is no look {key[:40]!r}; {nearest(key, LOOK_KEYS)}")
        return looks


def read_look(text: str, what: str = "the saved look") -> Look:
    """Return the look that a text describes; `what` names the text in messages.

    Raises:
        ControlError: it is none, or of another version; says where.
    """
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"{what} is no saved look, or a damaged one ({str(error)[:80]}); save it again") from error
    if not isinstance(table, dict) or SAVED_LOOK not in table:
        raise ControlError(f"{what} is no saved look; `vivace looks save` writes one")
    version = table.pop(SAVED_LOOK)
    if type(version) is not int or version != VERSION:
        raise ControlError(f"{what} is not of version {VERSION}, which this vivace reads; update it, or save it again")
    try:
        file = _File.model_validate(table)
    except ValidationError as error:
        raise ControlError(f"{what}: {describe_invalid(error.errors())}") from error
    mixture = Mixture(file.looks, tuple(PictureShare(_from_text(each.numbers), each.share) for each in file.pictures))
    if not 0 < mixture.total <= 1 + _SLACK:
        raise ControlError(f"{what}: its shares sum to {mixture.total:.3g}; they sum to 1 at most, and to more than 0")
    return Look(file.title, mixture)


def look_text(look: Look) -> str:
    """Return the text of a look for saving and sharing.

    Raises:
        ControlError: it has no title, or more parts than a file may hold.
    """
    pictures = [{"share": each.share, "numbers": _to_text(each.numbers)} for each in look.mixture.pictures]
    table = {SAVED_LOOK: VERSION, "title": look.title, "looks": dict(look.mixture.looks), "pictures": pictures}
    text = json.dumps({name: value for name, value in table.items() if value}, ensure_ascii=False)
    read_look(text, "this look")
    if len(text) > MAX_TEXT_CHARS:
        raise ControlError(f"this look takes {len(text):,} characters of {MAX_TEXT_CHARS:,}; mix fewer looks")
    return text + "\n"


def check_place(path: Path, *, replace: bool = False) -> None:
    """Check that a look can be saved as a file of this name, before it is made.

    Raises:
        UsageError: the file is not called `NAME.look`, there is no folder for it, or, unless `replace`, it is there.
    """
    if path.suffix != SUFFIX:
        raise UsageError(f"{path}: a look is saved as NAME{SUFFIX}")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}; create it first")
    if path.exists() and not replace:
        raise UsageError(f"{path} is there already; give another name, or --replace to write over it")


def write_look(path: Path, look: Look) -> None:
    """Save a look as a file, in place of one that is there; `check_place` says beforehand what is wrong with the name.

    Raises:
        ControlError: it has no title, or more parts than a file may hold.
        SinkWriteError: the file cannot be written.
    """
    text = look_text(look)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SinkWriteError(f"{path} cannot be written ({error.strerror})") from error


def open_look(path: Path) -> Look:
    """Return the saved look in a file.

    Raises:
        SourceNotFoundError: no such file, or an unreadable one.
        ControlError: it holds no usable look.
    """
    try:
        with path.open("rb") as file:
            data = file.read(8 * MAX_TEXT_CHARS)
    except OSError as error:
        raise SourceNotFoundError(f"the look {path} cannot be read ({error.strerror})") from error
    return read_look(data.decode("utf-8", "replace"), str(path))


def _to_text(numbers: tuple[float, ...]) -> str:
    return base64.b64encode(np.array(numbers, "<f2").tobytes()).decode()


def _from_text(text: str) -> tuple[float, ...]:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the numbers of a picture are not base64") from error
    if len(data) != 2 * PICTURE_NUMBERS:
        raise ValueError(f"a picture has {PICTURE_NUMBERS} numbers, of 2 bytes each, not {len(data)} bytes")
    numbers = np.frombuffer(data, "<f2").astype(float)
    if not np.isfinite(numbers).all():
        raise ValueError("the numbers of a picture are not all finite")
    return tuple(numbers.tolist())
