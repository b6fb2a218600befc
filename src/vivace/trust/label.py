"""The words in a picture that say it is AI-modified: small, in a corner, on what was repainted alone.

It is the one thing that changes pixels outside the edit, and nothing where no part of a picture is painted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vivace.errors import ControlError
from vivace.media.draw import Font, fitted, font
from vivace.media.frame import Frame
from vivace.media.size import Box, Size
from vivace.media.statement import Statement
from vivace.trust.manifest import VERSION, SourceType

Corner = Literal["top-left", "top-right", "bottom-left", "bottom-right"]
LabelSize = Literal["small", "medium", "large"]
Language = Literal["en", "de", "es", "fr", "it", "pt"]

WORDS: dict[Language, str] = {
    "en": "AI-modified",
    "de": "KI-bearbeitet",
    "es": "Modificado por IA",
    "fr": "Modifié par IA",
    "it": "Modificato con IA",
    "pt": "Modificado por IA",
}
OFF = "off"

_SHARES: dict[LabelSize, float] = {"small": 0.036, "medium": 0.055, "large": 0.08}
"""Height of the text as a share of the picture's shorter side."""
_SMALLEST_PX = 9
_INK, _PAPER, _PAPER_WEIGHT = 255, 12, 0.7


@dataclass(frozen=True, slots=True)
class LabelStyle:
    """Corner, size and language of the label.

    Raises:
        ControlError: a value that there is not; the message names those that there are.
    """

    corner: Corner = "top-left"
    size: LabelSize = "small"
    language: Language = "en"

    def __post_init__(self) -> None:
        for name, known in (("corner", Corner), ("size", LabelSize), ("language", Language)):
            value = getattr(self, name)
            if value not in get_args(known):
                raise ControlError(f"the label's {name} is {value!r}; give one of {', '.join(get_args(known))}")

    @property
    def words(self) -> str:
        """Text of the label."""
        return WORDS[self.language]

    @property
    def statement(self) -> Statement:
        """The same, for files and streams that have a place for it."""
        return Statement(f"{self.words} (Vivace {VERSION})", SourceType.REPAINTED)

    def __str__(self) -> str:
        """Return what credentials say of it."""
        return f"{self.words!r}, {self.corner}, {self.size}"


class _Drawn(NamedTuple):
    """A label for pictures of one size."""

    box: Box
    ink: NDArray[np.uint16]
    """Addend, `[h w 1]`, in 1/256 of a level."""
    rest: NDArray[np.uint16]
    """Weight of the picture below it, `[h w 1]`, of 256."""


class Label:
    """Draw the label on every frame that is painted: a finisher."""

    def __init__(self, style: LabelStyle = LabelStyle()) -> None:
        self.style = style

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame with the label; one that shows its source as it is, as it is."""
        if not frame.painted:
            return frame
        (x, y, width, height), ink, rest = _drawn(self.style, frame.size)
        place = np.s_[y : y + height, x : x + width]
        rgb = frame.rgb.copy()
        rgb[place] = (rgb[place] * rest + ink) >> 8
        if frame.alpha is None:
            return replace(frame, rgb=rgb)
        alpha = frame.alpha.copy()
        alpha[place] = np.maximum(alpha[place], np.where(rest[..., 0] < 256, 255, 0))
        return replace(frame, rgb=rgb, alpha=alpha)


@lru_cache(maxsize=16)
def _drawn(style: LabelStyle, size: Size) -> _Drawn:
    """Return the label for pictures of `(width, height)` px."""
    width, height = size
    text, with_font = _fitting(style, size)
    px = getattr(with_font, "size", _SMALLEST_PX)
    box_width = min(width, round(with_font.getlength(text) + px))
    box_height = min(height, round(1.7 * px))
    margin = min(round(0.7 * px), (width - box_width) // 2, (height - box_height) // 2)
    vertical, side = style.corner.split("-")
    x = margin if side == "left" else width - box_width - margin
    y = margin if vertical == "top" else height - box_height - margin
    shape = (box_width, box_height)
    paper, letters = Image.new("L", shape), Image.new("L", shape)
    ImageDraw.Draw(paper).rounded_rectangle((0, 0, box_width - 1, box_height - 1), radius=box_height // 2, fill=255)
    ImageDraw.Draw(letters).text((box_width / 2, box_height / 2), text, font=with_font, fill=255, anchor="mm")
    of_paper = np.asarray(paper, np.float32)[..., None] / 255 * _PAPER_WEIGHT
    of_ink = np.asarray(letters, np.float32)[..., None] / 255
    rest = np.rint(256 * (1 - of_paper) * (1 - of_ink)).astype(np.uint16)
    colour = _PAPER * of_paper * (1 - of_ink) + _INK * of_ink
    ink = np.minimum(np.rint(256 * colour), 255 * (256 - rest)).astype(np.uint16)
    return _Drawn(Box(x, y, box_width, box_height), ink, rest)


def _fitting(style: LabelStyle, size: Size) -> tuple[str, Font]:
    """Return the words and a font that fit into a picture; of words that do not, what does."""
    width, height = size
    px = max(_SMALLEST_PX, round(_SHARES[style.size] * min(size)))
    while px > 6 and (font(px).getlength(style.words) + px > width or 1.7 * px > height):
        px -= 1
    return fitted(style.words, font(px), max(1, width - px)) or style.words[:2], font(px)
