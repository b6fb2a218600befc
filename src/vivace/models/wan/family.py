"""The causal Wan family, as the catalogue knows it before anything of it is imported."""

from __future__ import annotations

from vivace.errors import install_extra
from vivace.models.family import Family
from vivace.models.wan.controls import FADE_CHUNKS, LOADING, MASK_CACHE, MASK_SHARE, REGION_CACHE, SWITCH

FAMILY = Family(
    name="wan",
    runtimes=("compiled", "packed", "eager"),
    load="vivace.models.wan.load:load",
    inspector="vivace.models.wan.inspection:Inspector",
    profile="vivace.models.wan.profile:WanProfile",
    profiles="vivace.models.profiles",
    controls=(*LOADING, SWITCH, FADE_CHUNKS, REGION_CACHE, MASK_CACHE, MASK_SHARE),
    install=install_extra("gpu"),
)
