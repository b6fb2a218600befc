"""Colours of wider primaries and of HDR, brought to BT.709, which is what models were trained on and screens show."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from vivace.media.filters import FilterChain
from vivace.media.size import Size

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
"""Luminance of a white sheet in HDR (BT.2408), which becomes the white of the picture."""
_KNEE = 0.9
"""Linear light of HDR up to here stays; what is brighter is bent, so that highlights keep some of their shape."""
_PEAK = 4.0
"""Linear light of HDR that is told apart, in whites; what is brighter is as good as white once it is bent."""
_TOE, _SLOPE = 0.001, 0.001 ** (1 / 2.4 - 1)
"""Below this linear light levels rise straight: a steep beginning would show the rounding of dark levels."""

# Curves, as FFmpeg's expressions of what is stored in 0. SDR is what a display makes of it (BT.1886).
_X = "ld(0)"
_GAMMA_LIGHT = f"if(lt({_X},{_TOE * _SLOPE}),{_X}/{_SLOPE},pow({_X},2.4))"
_GAMMA_LEVEL = f"if(lt({_X},{_TOE}),{_X}*{_SLOPE},pow({_X},1/2.4))"
_SRGB_LIGHT = f"if(lte({_X},0.04045),{_X}/12.92,pow(({_X}+0.055)/1.055,2.4))"
_SRGB_LEVEL = f"if(lte({_X},0.0031308),12.92*{_X},1.055*pow({_X},1/2.4)-0.055)"
_PQ_POWER = f"pow(min({_X},1),32/2523)"
_PQ_LIGHT = (  # SMPTE ST 2084
    f"pow(max({_PQ_POWER}-107/128,0)/(2413/128-2392/128*{_PQ_POWER}),8192/1305)*{10_000 / _WHITE_NITS}"
)
_HLG_NITS, _HLG_GAMMA = 1000, 1.2
"""Peak of the display that HLG is shown on, and its system gamma (BT.2100, table 5)."""
_HLG_SCENE = (  # Light before the camera, in units of what such a display makes of the brightest.
    f"if(lte({_X},0.5),{_X}*{_X}/3,(exp(({_X}-0.55991073)/0.17883277)+0.28466892)/12)*{_HLG_NITS / _WHITE_NITS}"
)
_HLG_SYSTEM = f"pow({_X}*{_WHITE_NITS / _HLG_NITS},{_HLG_GAMMA - 1:.1f})"
"""The OOTF of BT.2100: what the light of a picture element is multiplied by, of its luminance."""
_LUMINANCE = (0.2627, 0.6780, 0.0593)
"""Shares of red, green and blue in the luminance, BT.2020."""
_BENT = f"if(gt({_X},{_KNEE}),{_KNEE}+{1 - _KNEE}*(1-exp(({_KNEE}-{_X})/{1 - _KNEE})),{_X})"

_SATURATION = 0.006
"""Added, so that the rounding of chroma to 8 bits shows no tint where a colour is a pure one of BT.709."""

_WHITE = 255 << 8
"""White in swscale's formats of 16 bits."""
_MAX = (1 << 16) - 1
_CLOCK = Fraction(1, 25)
"""Any: pictures come one by one, without time."""
_BLACK, _LUMA = 64, 940 - 64
"""Luma of black in 10 bits, and how much more it is of white."""
_BIAS = 1024
"""Keeps differences of luma positive, and is nothing once luma is cut to 8 of 10 bits."""


class ColourMap:
    """Converts pictures of one kind of colour: levels to linear light, the matrix between primaries, light to levels.

    This is done at the size of the chroma, a quarter of the work in 4:2:0. Luma has its curve, which is exact for
    greys, at its own size, and gets what the conversion of the colour under it adds to that (a 3-D table is no
    faster, and tens of levels off at the edge of BT.709, where levels rise steeply). The curves are tables that
    FFmpeg makes once. HDR, whose light goes beyond white, is bent in the last one.
    """

    def __init__(
        self, name: str, light: str, matrix: NDArray[np.float64], level: str, *, hdr: bool, system: str | None = None
    ) -> None:
        """See `colour_map_for`."""
        self.name = name
        """For people, e.g. `HDR (PQ, BT.2020)`."""
        self.hdr = hdr
        peak = _PEAK if hdr else 1.0
        seen = (_BENT, level) if hdr else (level,)
        names = [row + column for row in "rgb" for column in "rgb"]
        mixed: dict[str, float] = dict(zip(names, matrix.flat, strict=True))
        if system is not None:
            # The luminance is the alpha of the picture, and what comes of it is multiplied with the picture.
            mixed |= {"a" + column: share for column, share in zip("rgb", _LUMINANCE, strict=True)} | {"aa": 0.0}
        one = _MAX / peak  # The light of a white sheet.
        self._filters = [
            ("lutrgb", _lut("rgb", _WHITE, light, to=one)),
            ("colorchannelmixer", ":".join(f"{name}={share:.6f}" for name, share in mixed.items())),
        ]
        if system is not None:
            self._filters += [("lutrgb", _lut("a", one, system, to=_MAX)), ("premultiply", "inplace=1")]
        self._filters.append(("lutrgb", _lut("rgb", one, *seen, to=_WHITE)))
        self._rgb = "gbrp16le" if system is None else "gbrap16le"
        shown = (light,) if system is None else (light, f"{_X}*{system}")
        self._grey = ("lutyuv", _lut("y", _LUMA, *shown, *seen, to=_LUMA, black=_BLACK))
        self._scalers = [VideoReformatter() for _ in range(4)]
        self._kept: list[NDArray[np.uint16]] = []
        self._chains: dict[str, FilterChain] = {}

    def __call__(
        self, frame: av.VideoFrame, size: Size, space: Colorspace | int, interpolation: Interpolation
    ) -> av.VideoFrame:
        """Convert a picture whose colours are encoded by the matrix `space`, and scale it.

        It becomes BT.709 of 8 bits, 4:2:0, or 4:4:4 where its chroma is of `size`, too.
        """
        width, height = size
        stored = frame.format
        whole = stored.chroma_width(frame.width) >= width and stored.chroma_height(frame.height) >= height
        step, sampling = (1, "yuv444p") if whole else (2, "yuv420p")
        of_space: Any = {"src_colorspace": space, "dst_colorspace": space, "threads": 1}
        fine = self._scalers[0].reformat(
            frame,
            width,
            height,
            sampling + "10le",
            dst_color_range=ColorRange.MPEG,
            interpolation=interpolation,
            **of_space,
        )
        coarse = self._scalers[1].reformat(
            fine, -(-width // step), -(-height // step), "yuv444p10le", interpolation=Interpolation.AREA, **of_space
        )
        light = self._scalers[2].reformat(
            coarse, format=self._rgb, src_colorspace=space, dst_color_range=ColorRange.JPEG, threads=1
        )
        seen = self._scalers[3].reformat(
            self._filtered("colour", light, *self._filters),
            format="yuv444p10le",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        if self.hdr:
            fine, coarse = self._filtered("fine", fine, self._grey), self._filtered("coarse", coarse, self._grey)
        added, luma = self._scratch((coarse.height, width), (height, width))
        difference = _plane(seen, 0) + np.uint16(_BIAS + 2) - _plane(coarse, 0)  # 2 of 4 rounds to the nearest.
        for part in range(step):
            columns = added[:, part::step]
            columns[:] = difference[:, : columns.shape[1]]
        for part in range(step):
            lines = luma[part::step]
            np.add(_plane(fine, 0)[part::step], added[: len(lines)], out=lines)
        np.clip(luma, _BIAS + _BLACK, _BIAS + _BLACK + _LUMA + 3, out=luma)
        converted = av.VideoFrame(width, height, sampling)
        converted.colorspace, converted.color_range = Colorspace.ITU709, ColorRange.MPEG
        _plane(converted, 0)[:] = np.right_shift(luma, 2, out=luma)
        for number in (1, 2):
            _plane(converted, number)[:] = (_plane(seen, number) + np.uint16(2)) >> 2
        return converted

    def _scratch(self, *shapes: tuple[int, int]) -> list[NDArray[np.uint16]]:
        """Return arrays that stay: memory of their size is mapped anew each time, which takes longer than the work."""
        if [each.shape for each in self._kept] != list(shapes):
            self._kept = [np.empty(shape, np.uint16) for shape in shapes]
        return self._kept

    def _filtered(self, use: str, frame: av.VideoFrame, *filters: tuple[str, str]) -> av.VideoFrame:
        chain = self._chains.get(use)
        if chain is None or not chain.fits(frame):
            chain = self._chains[use] = FilterChain(frame, _CLOCK, *filters, threads=1)
        at, time_base = frame.pts, frame.time_base
        frame.pts, frame.time_base = 0, _CLOCK
        filtered = chain(frame)
        if time_base is not None:  # It is the decoder's.
            frame.pts, frame.time_base = at, time_base
        return filtered


def _lut(channels: str, unit: float, *curves: str, to: float, black: int = 0) -> str:
    """Return the arguments of a filter that applies curves, one after another, to levels of which `unit` are 1."""
    stored = "".join(f"st(0,{curve});" for curve in (f"max(val-{black},0)/{unit}", *curves))
    return ":".join(f"{channel}='{stored}{black}+{to}*{_X}'" for channel in channels)


def _plane(frame: av.VideoFrame, number: int) -> NDArray[Any]:
    """Return a view of a plane of 8 or 10 bits."""
    plane: Any = frame.planes[number]
    lines: NDArray[Any] = np.frombuffer(plane, np.uint16 if "10" in frame.format.name else np.uint8)
    return lines.reshape(plane.height, -1)[:, : plane.width]


def colour_map_for(frame: av.VideoFrame) -> ColourMap | None:
    """Return what converts pictures like `frame` to BT.709, None where nothing is to be done or nothing is said."""
    transfer = int(frame.color_trc)
    primaries = _PRIMARIES.get(int(frame.color_primaries))
    if transfer in (_PQ, _HLG):
        name, wide, white = primaries or _PRIMARIES[9]
        kind, light, system = ("PQ", _PQ_LIGHT, None) if transfer == _PQ else ("HLG", _HLG_SCENE, _HLG_SYSTEM)
        matrix = _to_bt709(wide, white)
        return ColourMap(f"HDR ({kind}, {name})", light, matrix, _GAMMA_LEVEL, hdr=True, system=system)
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
