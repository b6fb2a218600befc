"""Pictures reach a model in BT.709, whatever primaries and transfer they came in, and greys stay as they are."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms

from vivace.media.open import open_source
from vivace.media.picture import PictureConverter

BARS = np.array(
    [
        *((255, 255, 255), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191)),
        *((191, 0, 0), (0, 0, 191), (16, 16, 16), (128, 128, 128), (235, 180, 150)),
    ],
    np.float64,
)

BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
"""Matrix from linear light of BT.709 to BT.2020 (ITU-R BT.2087)."""
DISPLAY_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])

Curve = Callable[[Any], Any]


def gamma(light: Any) -> Any:
    return light ** (1 / 2.4)


def srgb(light: Any) -> Any:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def pq(light: Any) -> Any:
    """Return the PQ signal; 203 nits are white."""
    power = (light * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light: Any) -> Any:
    """Return the HLG signal; 203 of 1000 nits are white, the system gamma of 1.2 acts on the luminance (BT.2100)."""
    shown = light * 203 / 1000
    luminance = np.maximum(shown @ [0.2627, 0.6780, 0.0593], 1e-9)[..., None]
    scene = shown * luminance ** (1 / 1.2 - 1)
    with np.errstate(invalid="ignore"):
        upper = 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def clip_of(
    path: Path,
    levels: np.ndarray[Any, Any],
    primaries: int,
    transfer: int,
    matrix: int,
    *,
    width: int = 32,
    pixels: str = "yuv444p10le",
) -> Path:
    """Write bars of these levels (of 1) and widths (px), losslessly."""
    picture = np.repeat(np.repeat((levels.clip(0, 1) * 65535).round().astype(np.uint16)[None], width, 1), 32, 0)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = pixels
        context = stream.codec_context
        context.colorspace, context.color_range = matrix, 1
        context.color_primaries, context.color_trc = primaries, transfer
        frame = av.VideoFrame.from_ndarray(picture, format="rgb48le").reformat(
            format=pixels, dst_colorspace=matrix, dst_color_range="MPEG"
        )
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("wide", "to_light", "curve", "primaries", "transfer", "matrix", "said"),
    [
        (BT2020, 2.4, gamma, 9, 14, 9, "BT.2020; they are converted"),
        (DISPLAY_P3, None, srgb, 12, 13, 1, "Display P3; they are converted"),
        (BT2020, 2.4, pq, 9, 16, 9, "HDR (PQ, BT.2020); they are tone mapped"),
        (BT2020, 2.4, hlg, 9, 18, 9, "HDR (HLG, BT.2020); they are tone mapped"),
    ],
    ids=["bt2020", "p3", "pq", "hlg"],
)
def test_wider_colours_come_as_bt709_and_that_is_said(
    tmp_path: Path,
    wide: np.ndarray[Any, Any],
    to_light: float | None,
    curve: Curve,
    primaries: int,
    transfer: int,
    matrix: int,
    said: str,
) -> None:
    levels = BARS / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = light if to_light is None else levels**to_light
    path = clip_of(tmp_path / "in.mkv", curve(light @ wide.T), primaries, transfer, matrix)
    with open_source(path) as source:
        seen = next(iter(source)).rgb[16, 16::32].astype(float)
    assert np.abs(seen - BARS).max() <= 8
    assert len(source.warnings) == 1
    assert said in source.warnings[0]


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
@pytest.mark.parametrize(("transfer", "curve"), [(16, pq), (18, hlg), (14, gamma)], ids=["pq", "hlg", "sdr"])
def test_grey_lines_of_one_pixel_stay_sharp(tmp_path: Path, pixels: str, transfer: int, curve: Curve) -> None:
    levels = np.array([0.0, 1.0, 0.2, 0.8, 0.1] * 7)  # An odd width, which has half a chroma pixel at its end.
    light = np.repeat(levels[:, None], 3, 1) ** 2.4
    path = clip_of(tmp_path / "in.mkv", curve(light), 9, transfer, 9, width=1, pixels=pixels)
    with open_source(path) as source:
        seen = next(iter(source)).rgb[16].astype(float)
    assert np.abs(seen - 255 * levels[:, None]).max() <= 4  # White of HDR is slightly compressed.


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p10le", "yuv444p10le"])
@pytest.mark.parametrize(("transfer", "curve"), [(16, pq), (18, hlg), (14, gamma)], ids=["pq", "hlg", "sdr"])
def test_colours_are_as_exact_whatever_the_chroma_is_sampled_at(
    tmp_path: Path, pixels: str, transfer: int, curve: Curve
) -> None:
    path = clip_of(tmp_path / "in.mkv", curve((BARS / 255) ** 2.4 @ BT2020.T), 9, transfer, 9, pixels=pixels)
    with open_source(path) as source:
        seen = next(iter(source)).rgb[16, 16::32].astype(float)
    assert np.abs(seen - BARS).max() <= 8


def test_lines_of_colour_stay_sharp_where_chroma_is_not_subsampled(tmp_path: Path) -> None:
    lines = np.tile(BARS[[5, 6]], (8, 1))
    path = clip_of(tmp_path / "in.mkv", pq((lines / 255) ** 2.4 @ BT2020.T), 9, 16, 9, width=1)
    with open_source(path) as source:
        seen = next(iter(source)).rgb[16].astype(float)
    assert np.abs(seen - lines).max() <= 8


def test_an_hdr_picture_is_encoded_as_it_was_converted_and_keeps_its_time() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24").reformat(format="yuv420p10le")
    frame.color_primaries, frame.color_trc = 9, 16
    frame.pts, frame.time_base = 7, Fraction(1, 30)
    decoded = PictureConverter()(frame).decoded
    assert (frame.pts, frame.time_base) == (7, Fraction(1, 30))
    assert decoded is not None
    assert (decoded.frame.format.name, decoded.frame.colorspace, decoded.frame.color_range) == ("yuv420p", 1, 1)


def test_highlights_of_hdr_are_told_apart_and_nothing_wraps(tmp_path: Path) -> None:
    whites = np.array([0.5, 0.9, 1.0, 1.2, 1.5, 3.0, 10.0, 49.0])
    path = clip_of(tmp_path / "in.mkv", pq(np.repeat(whites[:, None], 3, 1)), 9, 16, 9)
    with open_source(path) as source:
        seen = next(iter(source)).rgb[16, 16::32].astype(int)
    assert np.ptp(seen, axis=1).max() <= 1, "greys stay grey"
    assert list(seen[:, 0]) == sorted(seen[:, 0])
    assert seen[2, 0] < seen[3, 0] <= seen[-1, 0] <= 255


def test_bt709_is_left_alone(tmp_path: Path) -> None:
    with open_source(clip_of(tmp_path / "in.mkv", BARS / 255, 1, 1, 1)) as source:
        seen = next(iter(source)).rgb[16, 16::32].astype(float)
    assert np.abs(seen - BARS).max() <= 2
    assert source.warnings == []


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuva420p", "rgb24"])
@pytest.mark.parametrize("size", [(160, 96), (480, 288)])
def test_a_picture_that_is_scaled_is_not_darker(pixels: str, size: tuple[int, int]) -> None:
    ramp = np.linspace(40, 215, 320 * 192).reshape(192, 320)
    picture = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).round().astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    if pixels != "rgb24":
        frame = frame.reformat(format=pixels, dst_colorspace=1, dst_color_range=1)
    seen = PictureConverter(size=size)(frame).rgb
    assert np.abs(seen.mean(axis=(0, 1)) - picture.mean(axis=(0, 1))).max() <= 0.4


@pytest.mark.parametrize("matrix", [3, 8, 10, 11, 12, 13, 14])
@pytest.mark.parametrize("primaries", [1, 9])
def test_a_matrix_that_is_not_known_is_taken_for_a_likely_one_and_that_is_said(matrix: int, primaries: int) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24").reformat(format="yuv420p")
    frame.colorspace, frame.color_range, frame.color_primaries = matrix, 1, primaries
    warnings: list[str] = []
    seen = PictureConverter(warn=warnings.append)(frame).rgb
    assert np.abs(seen.astype(int) - 128).max() <= 2
    assert f"matrix {matrix} of H.273" in warnings[0]
    assert ("bt2020nc" if primaries == 9 else "bt470bg") in warnings[0]


def p3_profile() -> bytes:
    """Return an ICC profile of Display P3, matrix and curve (ICC.1:2010), with D50 colorants."""
    colorants = {
        b"rXYZ": (0.5151, 0.2412, -0.0011),
        b"gXYZ": (0.2920, 0.6922, 0.0419),
        b"bXYZ": (0.1571, 0.0666, 0.7841),
    }

    def fixed(values: Any) -> bytes:
        return b"".join(round(value * 65536).to_bytes(4, "big", signed=True) for value in values)

    # A parametric curve of type 3: sRGB's.
    curve = b"para\0\0\0\0\0\3\0\0" + fixed((2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
    words = b"Display P3"
    described = b"desc\0\0\0\0" + (len(words) + 1).to_bytes(4, "big") + words + b"\0" + bytes(78)
    tags = {name: b"XYZ \0\0\0\0" + fixed(xyz) for name, xyz in colorants.items()}
    tags |= {b"wtpt": b"XYZ \0\0\0\0" + fixed((0.9642, 1.0, 0.8249)), b"desc": described + bytes(-len(described) % 4)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    at = 128 + 4 + 12 * len(tags)
    table, body = len(tags).to_bytes(4, "big"), b""
    for name, data in tags.items():
        table += name + (at + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    header = bytearray(128)
    header[:4] = (at + len(body)).to_bytes(4, "big")
    header[8:12], header[12:24] = b"\x02\x40\0\0", b"mntrRGB XYZ "
    header[36:40], header[68:80] = b"acsp", fixed((0.9642, 1.0, 0.8249))
    return bytes(header) + table + body


@pytest.mark.parametrize("alpha", [False, True])
def test_the_profile_of_a_picture_is_applied(tmp_path: Path, alpha: bool) -> None:
    levels = BARS / 255
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) @ DISPLAY_P3.T
    picture = np.repeat(np.repeat((255 * srgb(light)).round().astype(np.uint8)[None], 8, 1), 8, 0)
    if alpha:
        picture = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    path = tmp_path / "in.png"
    Image.fromarray(picture).save(path, icc_profile=p3_profile())
    with open_source(path) as source:
        seen = next(iter(source)).rgb[4, 4::8].astype(float)
    assert np.abs(picture[4, 4::8, :3] - BARS).max() > 50
    assert np.abs(seen - BARS).max() <= 8


@pytest.mark.parametrize("profile", ["srgb", "damaged"])
def test_a_picture_in_srgb_or_with_a_damaged_profile_keeps_its_levels(tmp_path: Path, profile: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    srgb_profile = io.BytesIO(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    path = tmp_path / "in.png"
    data = srgb_profile.getvalue() if profile == "srgb" else b"no profile at all"
    Image.fromarray(picture).save(path, icc_profile=data)
    with open_source(path) as source:
        assert (next(iter(source)).rgb == picture).all()
