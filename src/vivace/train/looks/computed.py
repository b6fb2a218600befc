"""Computed teachers, by look.

Each is a function `(x, tex) -> y` of pictures `[b 3 h w]` in [0, 1]. All randomness comes from `tex`, the fields that
the student sees, in px of the working size; `tex.base.scale` is picture px per working px. The first sixteen looks are
those of `train.teachers`, except where these lost a face or their subject.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from vivace.train.looks import crafts, lighting
from vivace.train.looks.operators import LookTeacher, LookTextures, keep_features
from vivace.train.teachers import TEACHERS, TeacherTextures, blur, flatten_regions


def _with_features(key: str, flat: LookTeacher) -> LookTeacher:
    return lambda x, tex: keep_features(TEACHERS[key](x, tex.base), x, flat(x, tex))


def _flattened(x: Tensor, tex: LookTextures) -> Tensor:
    return flatten_regions(x, tex.scale, 3, 0.12)


def _smeared(x: Tensor, tex: LookTextures) -> Tensor:
    return blur(x, 4 * tex.scale)


def _as_before(teacher: Callable[[Tensor, TeacherTextures], Tensor]) -> LookTeacher:
    return lambda x, tex: teacher(x, tex.base)


COMPUTED: dict[str, LookTeacher] = {
    "source": lambda x, _tex: x,
    **{key: _as_before(teacher) for key, teacher in TEACHERS.items()},
    "cel": _with_features("cel", _flattened),
    "watercolour": _with_features("watercolour", _flattened),
    "oil": _with_features("oil", _smeared),
    "swirl": _with_features("swirl", _smeared),
    **{
        f.__name__: f
        for f in (
            crafts.stained_glass, crafts.mosaic, crafts.low_poly, crafts.toy_bricks, crafts.pointillist,
            crafts.charcoal, crafts.chalk, crafts.pastel, crafts.paper_craft, crafts.clay, crafts.pop_art,
            crafts.marble, crafts.gold, crafts.pixel,
            lighting.vaporwave, lighting.vhs, lighting.night_vision, lighting.hologram, lighting.x_ray,
            lighting.underwater, lighting.fog, lighting.rain, lighting.autumn, lighting.blossom, lighting.fire_light,
            lighting.martian, lighting.matrix, lighting.handheld, lighting.zombie, lighting.night, lighting.snow,
        )
    },
}  # fmt: skip
"""All computed teachers; of the first sixteen, those that lose neither faces nor their subject are unchanged."""
