"""The controls of a model that edits at places."""

from __future__ import annotations

from vivace.models.controls import ControlSpec

PLACE = ControlSpec(
    name="place",
    kind="choice",
    choices=("everything", "person", "background", "face", "hair", "clothes"),
    default="everything",
    beside_prompt=True,
    help="Where a prompt paints that names no place itself.",
)
CONTROLS = (PLACE,)
