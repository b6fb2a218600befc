"""Description of the `mini2` family, the second embedded model."""

from __future__ import annotations

from vivace.errors import install_extra
from vivace.models.controls import ControlSpec
from vivace.models.edits.controls import CONTROLS
from vivace.models.family import Family
from vivace.models.keyframes.controls import CONTROLS as KEYFRAME_CONTROLS

PICTURE_PX = 256
"""Side at which a picture is read for its style, px."""
STYLE_SHARE = 0.5
OFF, AUDIT = "off", "audit"
"""Values of `REGION_CACHE` besides the default."""
REGION_CACHE = ControlSpec(
    name="region_cache",
    kind="choice",
    choices=("on", OFF, AUDIT),
    default="on",
    help="Paint only what changes of the picture, where camera and look stay; audit compares with painting it all.",
)
STYLE_IMAGE = ControlSpec(
    name="style_image",
    kind="image",
    size=(PICTURE_PX, PICTURE_PX),
    encoded=True,
    help="A picture to paint like: its colours and strokes. Without a prompt it is the whole look.",
)

OWN_CONTROLS = (
    STYLE_IMAGE,
    ControlSpec(
        name="style_share",
        default=STYLE_SHARE,
        help="The picture's part of the look, where there is a prompt, too; the prompt has the rest.",
    ),
    REGION_CACHE,
)
FAMILY = Family(
    name="mini2",
    runtimes=("openvino", "eager"),
    load="vivace.models.mini2.load:load",
    profiles="vivace.models.profiles",
    files="vivace.models.mini2",
    controls=(*OWN_CONTROLS, *CONTROLS, *KEYFRAME_CONTROLS),
    heavy=False,
    install=install_extra("train"),
)
