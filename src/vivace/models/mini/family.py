"""Description of the embedded model's family."""

from __future__ import annotations

from vivace.errors import install_extra
from vivace.models.edits.controls import CONTROLS
from vivace.models.family import Family

FAMILY = Family(
    name="mini",
    runtimes=("openvino", "eager"),
    load="vivace.models.mini.load:load",
    profiles="vivace.models.profiles",
    files="vivace.models.mini",
    controls=CONTROLS,
    heavy=False,
    install=install_extra("train"),
)
