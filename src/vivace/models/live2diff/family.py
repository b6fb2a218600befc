"""What the house knows of the Live2Diff family."""

from __future__ import annotations

from vivace.errors import install_extra
from vivace.models.family import Family

FAMILY = Family(
    name="live2diff",
    runtimes=("eager", "compiled"),
    load="vivace.models.live2diff.load:load",
    inspector="vivace.models.live2diff.inspection:Inspector",
    profile="vivace.models.live2diff.profile:Live2DiffProfile",
    profiles="vivace.models.profiles",
    files="vivace.models.live2diff",
    install=install_extra("gpu"),
)
