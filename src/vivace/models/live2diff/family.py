"""Description of the Live2Diff family."""

from __future__ import annotations

from vivace.errors import install_extra
from vivace.models.family import Family
from vivace.models.live2diff.controls import GUIDED, LOADING, NEGATIVE_PROMPT, OPTIONS

FAMILY = Family(
    name="live2diff",
    runtimes=("eager", "compiled"),
    load="vivace.models.live2diff.load:load",
    inspector="vivace.models.live2diff.inspection:Inspector",
    profile="vivace.models.live2diff.profile:Live2DiffProfile",
    profiles="vivace.models.profiles",
    files="vivace.models.live2diff",
    controls=(*LOADING, NEGATIVE_PROMPT, *OPTIONS, *GUIDED),
    install=install_extra("gpu"),
)
