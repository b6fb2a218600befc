"""Style teachers as a system: the classical image filter that a learned model is compared with."""

from __future__ import annotations

import numpy as np
import torch

from vivace.errors import UsageError
from vivace.media.frame import Rgb
from vivace.models.mini.state import enlarge, geometry, textures_of
from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.mini.textures import screens
from vivace.train.teachers import TEACHERS, TeacherTextures


class ClassicFilter:
    """All teachers at one output size, with the textures of a stream of that size and seed.

    It has no memory: every picture is painted by itself, over textures that are fixed to the screen.
    """

    def __init__(self, size: tuple[int, int], seed: int = 0) -> None:
        """Make the textures.

        Args:
            size: `(width, height)` of the pictures, px, even.
            seed: seed of the stream it is compared with.
        """
        place = geometry(size)
        fields = textures_of(place.working_height, place.working_width, seed)
        height, width = place.height, place.width
        noise, bands, strokes = (
            torch.from_numpy(enlarge(f, height, width))[None] for f in (fields.noise, fields.bands, fields.strokes)
        )
        printed = torch.from_numpy(screens(height, width, place.scale_y, place.scale_x))[None]
        self._textures = TeacherTextures(noise, bands, strokes, printed, place.scale_y)
        self._size = size

    @torch.inference_mode()
    def paint(self, style: str, rgb: Rgb) -> Rgb:
        """Return `rgb`, `uint8 [h w 3]`, painted by the teacher of `style`, one of `STYLE_KEYS`.

        Raises:
            UsageError: no such style, or a picture of another size.
        """
        if style not in TEACHERS:
            raise UsageError(f"no style {style!r}; there are {', '.join(STYLE_KEYS)}")
        if (rgb.shape[1], rgb.shape[0]) != self._size:
            raise UsageError(
                f"the picture is {rgb.shape[1]}x{rgb.shape[0]} and the filter {self._size[0]}x{self._size[1]}; make "
                "a filter of the picture's size"
            )
        x = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255
        y = TEACHERS[style](x, self._textures)[0].clamp(0, 1)
        return np.ascontiguousarray((y * 255 + 0.5).byte().permute(1, 2, 0).numpy())
