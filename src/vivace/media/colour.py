"""Colours of wider primaries and of HDR, brought to BT.709, which is what models were trained on and screens show."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from vivace.media.filters import FilterChain

_D65 = (0.3127, 0.3290)
_BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_PRIMARIES = {
    9: ("BT.2020", ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)), _D65),
    11: ("DCI-P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), (0.314, 0.351)),
    12: ("Display P3", ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), _D65),
}
"""By the numbers of ITU-T H.273: name, chromaticities of red, green and blue, and of white."""
_SRGB, _PQ, _HLG = 13, 16, 18

_WHITE_NITS = 203
"""Of a white sheet in HDR (BT.2408), which becomes the white of the picture."""
_KNEE = 0.9
"""Linear light of HDR up to here stays; what is brighter is bent, so that highlights keep some of their shape."""
_PEAK = 4.0
"""Linear light of HDR that is told apart, in whites; what is brighter is as good as white once it is bent."""
_TOE, _SLOPE = 0.001, 0.001 ** (1 / 2.4 - 1)
"""Below this linear light levels rise straight: a steep beginning would show the rounding of dark levels."""

# Curves, as FFmpeg's expressions of {x}. SDR is what a display makes of it (BT.1886).
_GAMMA_LIGHT = f"if(lt({{x}},{_TOE * _SLOPE}),{{x}}/{_SLOPE},pow({{x}},2.4))"
_GAMMA_LEVEL = f"if(lt({{x}},{_TOE}),{{x}}*{_SLOPE},pow({{x}},1/2.4))"
_SRGB_LIGHT = "if(lte({x},0.04045),{x}/12.92,pow(({x}+0.055)/1.055,2.4))"
_SRGB_LEVEL = "if(lte({x},0.0031308),12.92*{x},1.055*pow({x},1/2.4)-0.055)"
_PQ_LIGHT = (  # SMPTE ST 2084
    f"pow(max(pow({{x}},32/2523)-107/128,0)/(2413/128-2392/128*pow({{x}},32/2523)),8192/1305)*{10_000 / _WHITE_NITS}"
)
# ARIB STD-B67 on a display of 1000 nits. The system gamma of 1.2 is applied to each channel, as zscale does.
_HLG_LIGHT = (
    f"pow(if(lte({{x}},0.5),{{x}}*{{x}}/3,(exp(({{x}}-0.55991073)/0.17883277)+0.28466892)/12),1.2)*{1000 / _WHITE_NITS}"
)
_BENT = f"if(gt({{x}},{_KNEE}),{_KNEE}+{1 - _KNEE}*(1-exp(({_KNEE}-{{x}})/{1 - _KNEE})),{{x}})"

_SATURATION = 0.006
"""Added, so that the rounding of chroma to 8 bits shows no tint where a colour is a pure one of BT.709."""

_WHITE = 255 << 8
"""What swscale makes of white in formats of 16 bits."""
_MAX = (1 << 16) - 1
_CLOCK = Fraction(1, 25)
"""Any: pictures come one by one, without time."""


class ColourMap:
    """Converts pictures of one kind of colour: levels to linear light, the matrix between primaries, light to levels.

    The curves are tables that FFmpeg makes once. HDR, whose light goes beyond white, is bent in the last one.
    """

    def __init__(self, name: str, light: str, matrix: NDArray[np.float64], level: str, *, hdr: bool) -> None:
        """See `colour_map_for`."""
        self.name = name
        """For people, e.g. `HDR (PQ, BT.2020)`."""
        self.hdr = hdr
        peak = _PEAK if hdr else 1.0
        seen = f"(val*{peak / _MAX})"
        if hdr:
            seen = f"({_BENT.replace('{x}', seen)})"
        self._light = light.replace("{x}", f"(val/{_WHITE})") + f"*{_MAX / peak}"
        self._level = "(" + level.replace("{x}", seen) + f")*{_WHITE}"
        names = [row + column for row in "rgb" for column in "rgb"]
        self._matrix = ":".join(f"{each}={share:.6f}" for each, share in zip(names, matrix.flat, strict=True))
        self._chain: FilterChain | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """Convert a picture of the format `gbrp16le` or `gbrap16le`, and keep its format."""
        if self._chain is None or not self._chain.fits(frame):
            self._chain = FilterChain(
                frame,
                _CLOCK,
                ("lutrgb", ":".join(f"{channel}='{self._light}'" for channel in "rgb")),
                ("colorchannelmixer", self._matrix),
                ("lutrgb", ":".join(f"{channel}='{self._level}'" for channel in "rgb")),
            )
        frame.pts, frame.time_base = 0, _CLOCK
        return self._chain(frame)


def colour_map_for(frame: av.VideoFrame) -> ColourMap | None:
    """Return what converts pictures like `frame` to BT.709, None where nothing is to be done or nothing is said."""
    transfer = int(frame.color_trc)
    primaries = _PRIMARIES.get(int(frame.color_primaries))
    if transfer in (_PQ, _HLG):
        name, wide, white = primaries or _PRIMARIES[9]
        kind, light = ("PQ", _PQ_LIGHT) if transfer == _PQ else ("HLG", _HLG_LIGHT)
        return ColourMap(f"HDR ({kind}, {name})", light, _to_bt709(wide, white), _GAMMA_LEVEL, hdr=True)
    if primaries is None:
        return None
    name, wide, white = primaries
    curves = (_SRGB_LIGHT, _SRGB_LEVEL) if transfer == _SRGB else (_GAMMA_LIGHT, _GAMMA_LEVEL)
    return ColourMap(name, curves[0], _to_bt709(wide, white), curves[1], hdr=False)


def _to_bt709(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> NDArray[np.float64]:
    matrix = np.linalg.inv(_to_xyz(_BT709, _D65)) @ _to_xyz(primaries, white)
    matrix = matrix + _SATURATION * (3 * np.eye(3) - 1)
    balanced: NDArray[np.float64] = matrix / matrix.sum(axis=1, keepdims=True)  # White stays white.
    return balanced


def _to_xyz(primaries: tuple[tuple[float, float], ...], white: tuple[float, float]) -> NDArray[np.float64]:
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in (*primaries, white)]).T
    scaled: NDArray[np.float64] = columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
    return scaled
