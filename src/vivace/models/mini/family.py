"""Description of the embedded model's family."""

from __future__ import annotations

from vivace.errors import install_extra
from vivace.models.edits.controls import CONTROLS
from vivace.models.family import Family
from vivace.models.keyframes.controls import CONTROLS as KEYFRAME_CONTROLS

FAMILY = Family(
    name="mini",
    runtimes=("openvino", "eager"),
    load="vivace.models.mini.load:load",
    profiles="vivace.models.profiles",
    files="vivace.models.mini",
    controls=(*CONTROLS, *KEYFRAME_CONTROLS),
    heavy=False,
    install=install_extra("train"),
)
