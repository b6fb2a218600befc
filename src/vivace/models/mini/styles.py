"""Styles of the embedded model, in the order of its conditioning vector."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """A style: its key, its name for people, and a prompt that reaches it."""

    key: str
    title: str
    prompt: str


STYLES: tuple[Style, ...] = (
    Style("cel", "anime cel", "anime cel shading"),
    Style("ink", "ink", "black ink brush drawing"),
    Style("pencil", "pencil", "graphite pencil sketch"),
    Style("watercolour", "watercolour", "watercolour painting"),
    Style("oil", "oil", "oil painting with thick brush strokes"),
    Style("neon", "neon", "glowing neon lines, cyberpunk"),
    Style("pixel", "pixel art", "8-bit pixel art"),
    Style("comic", "comic", "comic book with halftone dots"),
    Style("night", "night", "a moonlit night"),
    Style("golden", "golden hour", "golden hour sunlight"),
    Style("snow", "snow", "covered in winter snow"),
    Style("swirl", "swirling impasto", "Van Gogh's starry night"),
    Style("noir", "film noir", "black and white film noir"),
    Style("blueprint", "blueprint", "white lines on a blueprint"),
    Style("thermal", "thermal", "thermal camera heat map"),
    Style("sepia", "old photo", "faded sepia photograph from 1900"),
)

STYLE_KEYS: tuple[str, ...] = tuple(style.key for style in STYLES)
STYLE_COUNT = len(STYLES)
