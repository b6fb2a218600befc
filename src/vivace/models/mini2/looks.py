"""Named looks, in the order of the table of codes. New ones are appended: the table grows without being retrained."""

from __future__ import annotations

from typing import Literal, NamedTuple

from vivace.models.mini.styles import STYLES

Kind = Literal["source", "computed", "painting", "anime"]


class Look(NamedTuple):
    """A named look: its key, its name for people, and the kind of its teacher."""

    key: str
    title: str
    kind: Kind
    painting: int = -1
    """Index among the painting network's styles."""


_PAINTINGS: tuple[tuple[str, str, int], ...] = (
    ("pastel_sky", "ochre and sky pastel", 0),
    ("poster", "bold poster", 7),
    ("etching", "copper etching", 10),
    ("impressionist", "impressionist", 12),
    ("wash", "pale blue watercolour", 14),
    ("crayon", "blue crayon", 16),
    ("starry", "starry night", 19),
    ("fauve", "fauvist", 20),
    ("cubist", "cubist ink", 22),
    ("haze", "dark haze", 23),
    ("woodblock", "blue woodblock print", 24),
    ("grains", "mosaic grain", 25),
)

_COMPUTED: tuple[tuple[str, str], ...] = (
    ("stained_glass", "stained glass"),
    ("mosaic", "mosaic"),
    ("low_poly", "low-poly"),
    ("toy_bricks", "toy bricks"),
    ("pointillist", "pointillist"),
    ("charcoal", "charcoal"),
    ("chalk", "chalk on a blackboard"),
    ("pastel", "soft pastel"),
    ("paper_craft", "paper craft"),
    ("clay", "clay"),
    ("pop_art", "pop poster"),
    ("vaporwave", "vaporwave"),
    ("vhs", "VHS tape"),
    ("night_vision", "night vision"),
    ("hologram", "hologram"),
    ("x_ray", "x-ray"),
    ("marble", "marble"),
    ("gold", "gold"),
    ("underwater", "underwater"),
    ("fog", "fog"),
    ("rain", "rain"),
    ("autumn", "autumn"),
    ("blossom", "cherry blossom"),
    ("fire_light", "fire light"),
    ("martian", "Martian desert"),
    ("matrix", "matrix green"),
    ("handheld", "four-shade handheld console"),
    ("zombie", "zombie skin"),
)

LOOKS: tuple[Look, ...] = (
    Look("source", "as it is", "source"),
    *(Look(style.key, style.title, "computed") for style in STYLES),
    Look("anime", "anime", "anime"),
    *(Look(key, title, "painting", number) for key, title, number in _PAINTINGS),
    *(Look(key, title, "computed") for key, title in _COMPUTED),
)
LOOK_KEYS: tuple[str, ...] = tuple(look.key for look in LOOKS)
