"""The controls of a model that edits at places."""

from __future__ import annotations

from vivace.models.controls import ControlSpec
from vivace.models.edits.places import CHOICES

_USUAL = ("person", "background", "face", "hair", "clothes")
_NOT_CONFINED, _NO_MATTE = "everything", "nothing"

PLACE = ControlSpec(
    name="place",
    kind="choice",
    choices=(_NOT_CONFINED, *_USUAL, *(name for name in CHOICES if name not in _USUAL)),
    default=_NOT_CONFINED,
    beside_prompt=True,
    encoded=True,
    help="Where a prompt paints that names no place itself.",
)
BACKGROUND = ControlSpec(
    name="background",
    kind="image",
    help="Picture that is shown behind people instead of what is there.",
)
MATTE = ControlSpec(
    name="matte",
    kind="choice",
    choices=(_NO_MATTE, "person", "face", "hair", "clothes", "subject"),
    default=_NO_MATTE,
    encoded=True,
    help="What of the picture is kept where the output can be transparent; the rest is transparent, elsewhere black.",
)
CONTROLS = (PLACE, BACKGROUND, MATTE)
