"""The controls of a model whose stream can be led by an edited key frame."""

from __future__ import annotations

from vivace.models.controls import ControlSpec

KEYFRAME = ControlSpec(
    name="keyframe",
    kind="image",
    encoded=True,
    several=True,
    help="A picture of the stream, edited in any program: what was done to it is carried to every frame from now on.",
)
SOURCE = ControlSpec(
    name="keyframe_source",
    kind="image",
    help="The same picture before its edit. Without it, the frame at which the key frame is set.",
)
CONTROLS = (KEYFRAME, SOURCE)
