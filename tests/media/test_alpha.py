"""Alpha comes in with a picture, is carried along, and goes out wherever an output can store it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import FakeModel
from media.clips import write_clip
from vivace.cli import main
from vivace.errors import ControlError, StepError
from vivace.media.frame import Frame
from vivace.media.open import open_sink, open_source
from vivace.media.picture import over_black, straight
from vivace.stream import Stream

SIZE = (64, 48)


def cutout(size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return one colour that fades from transparent on the left to opaque on the right, `uint8 [h w 4]`."""
    width, height = size
    rgba = np.empty((height, width, 4), np.uint8)
    rgba[..., :3] = (200, 120, 40)
    rgba[..., 3] = np.linspace(0, 255, width).round()
    return rgba


def frame_of(rgba: np.ndarray, index: int = 0) -> Frame:
    rgb, alpha, _ = over_black(rgba)
    return Frame(rgb, index, index, Fraction(1, 25), 0.0, alpha=alpha)


def read(path: Path) -> list[Frame]:
    with open_source(path) as source:
        return list(source)


def test_straight_colours_come_back_as_far_as_they_are_seen() -> None:
    colour, alpha = (grid.astype(np.uint8) for grid in np.meshgrid(np.arange(256), np.arange(1, 256)))
    frame = frame_of(np.dstack([colour, colour, colour, alpha]))
    for back in (straight(replace(frame, alpha=alpha)), straight(replace(frame, alpha=alpha, source_rgb=frame.rgb))):
        assert np.array_equal(back[..., 3], alpha)
        assert np.array_equal(back[-1, :, 0], colour[-1])
        assert (np.abs(back[..., 0].astype(float) - colour) * alpha / 255).max() <= 1.0
        assert np.array_equal(over_black(back).rgb, frame.rgb)


@pytest.mark.parametrize(
    ("painted", "source", "wanted"),
    [
        (40, 50, 80),  # darker than the source: lifted by the share of black
        (50, 50, 100),
        (70, 50, 100),  # brighter: no further than the source was
        (120, 50, 120),
        (120, None, 240),
    ],
)
def test_a_painted_edge_is_lifted_no_further_than_its_source(painted: int, source: int | None, wanted: int) -> None:
    rgb, before = (None if value is None else np.full((1, 1, 3), value, np.uint8) for value in (painted, source))
    frame = replace(frame_of(cutout()), rgb=rgb, source_rgb=before, alpha=np.full((1, 1), 128, np.uint8))
    assert straight(frame)[0, 0, 0] == pytest.approx(wanted, abs=1)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_a_picture_keeps_it_from_source_to_output(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(cutout()).save(tmp_path / "in.png")
    [frame] = read(tmp_path / "in.png")
    assert np.array_equal(frame.alpha, cutout()[..., 3])
    with open_sink(tmp_path / "out" / f"%d.{suffix}") as sink:
        sink.write(frame)
    with Image.open(tmp_path / "out" / f"0.{suffix}") as image:
        written = np.asarray(image.convert("RGBA"))
    assert np.array_equal(written[..., 3], frame.alpha)
    assert np.abs(over_black(written).rgb.astype(int) - frame.rgb).max() <= (0 if suffix == "png" else 12)


@pytest.mark.parametrize("output", ["out/%d.jpg", "out.mp4", "out.gif"])
def test_where_an_output_cannot_hold_it_the_picture_is_over_black(tmp_path: Path, output: str) -> None:
    frames = [frame_of(cutout(), index) for index in range(3)]
    for name, alpha in (("with", True), ("without", False)):
        (tmp_path / name).mkdir()
        with open_sink(tmp_path / name / output, fps=25) as sink:
            for frame in frames:
                sink.write(frame if alpha else replace(frame, alpha=None))
    written = "out/0.jpg" if "%" in output else output
    assert (tmp_path / "with" / written).read_bytes() == (tmp_path / "without" / written).read_bytes()


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"), [("a.mov", "qtrle", "argb"), ("b.mov", "prores_ks", "yuva444p10le")]
)
def test_a_video_keeps_it_into_webm(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    write_clip(tmp_path / name, [cutout()] * 3, codec=codec, pix_fmt=pix_fmt, picture_format="rgba")
    frames = read(tmp_path / name)
    with open_sink(tmp_path / "out.webm", fps=25) as sink:
        for frame in frames:
            sink.write(frame)
    back = read(tmp_path / "out.webm")
    assert len(back) == len(frames) == 3
    for before, after in zip(frames, back, strict=True):
        assert np.abs(before.alpha.astype(int) - cutout()[..., 3]).max() <= 2
        assert np.abs(after.alpha.astype(int) - before.alpha).mean() <= 2
        assert np.abs(after.rgb.astype(int) - before.rgb).mean() <= 6


def test_a_video_in_which_one_picture_has_none_goes_on(tmp_path: Path) -> None:
    first = frame_of(cutout())
    with open_sink(tmp_path / "out.webm", fps=25) as sink:
        sink.write(first)
        sink.write(replace(first, index=1, pts=1, alpha=None))
        sink.write(frame_of(cutout((33, 25)), 2))
    faded, whole, scaled = read(tmp_path / "out.webm")
    assert faded.alpha.min() <= 2
    assert whole.alpha is None or whole.alpha.min() >= 250
    assert np.abs(scaled.alpha.astype(int) - faded.alpha).mean() <= 6


def test_what_is_opaque_has_none(tmp_path: Path) -> None:
    rgba = cutout()
    rgba[..., 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    write_clip(tmp_path / "a.mov", [rgba] * 3, codec="qtrle", pix_fmt="argb", picture_format="rgba")
    for path in (tmp_path / "a.png", tmp_path / "a.mov"):
        frame = read(path)[0]
        assert frame.alpha is None
        assert np.array_equal(frame.rgb, rgba[..., :3])


@pytest.mark.parametrize("way", ["push", "still", "run"])
@pytest.mark.parametrize("size", [SIZE, (32, 32)])
def test_it_comes_out_of_a_stream_at_the_size_of_the_picture(tmp_path: Path, way: str, size: tuple[int, int]) -> None:
    Image.fromarray(cutout()).save(tmp_path / "in.png")
    [frame] = read(tmp_path / "in.png")
    with Stream(FakeModel(), prompt="red", size=size) as stream:
        match way:
            case "push":
                [out] = stream.push(frame.rgb, alpha=frame.alpha)
            case "still":
                out = stream.still(frame.rgb, alpha=frame.alpha)
            case _:
                [out] = list(stream.run(tmp_path / "in.png"))
    assert out.alpha.shape == out.rgb.shape[:2]
    if size == SIZE:
        assert np.array_equal(out.alpha, frame.alpha)
    else:  # the middle 48 columns, scaled
        assert out.alpha[0, 0] == pytest.approx(255 * 8 / 63, abs=6)
        assert out.alpha[0, -1] == pytest.approx(255 * 55 / 63, abs=6)


@pytest.mark.parametrize("alpha", [np.zeros((47, 64), np.uint8), np.zeros((48, 64), np.float32)])
def test_an_alpha_that_does_not_fit_its_picture_is_refused(alpha: np.ndarray) -> None:
    with Stream(FakeModel()) as stream, pytest.raises(ControlError, match=r"the alpha is .*; give uint8 \(48, 64\)"):
        stream.push(np.zeros((48, 64, 3), np.uint8), alpha=alpha)


def test_a_finisher_can_draw_where_nothing_of_the_picture_is() -> None:
    def label(frame: Frame) -> Frame:
        assert frame.alpha is not None
        rgb, alpha = frame.rgb.copy(), frame.alpha.copy()
        rgb[:4, :8], alpha[:4, :8] = 255, 255
        return replace(frame, rgb=rgb, alpha=alpha)

    rgb, alpha, _ = over_black(cutout())
    with Stream(FakeModel(), finish=[label]) as stream:
        [out] = stream.push(rgb, alpha=alpha)
    assert (out.alpha[:4, :8] == 255).all()
    assert np.array_equal(out.alpha[4:], alpha[4:])
    broken = replace(out, alpha=alpha[:4])
    with Stream(FakeModel(), finish=[lambda _frame: broken]) as stream, pytest.raises(StepError, match="as alpha"):
        stream.push(rgb, alpha=alpha)


def test_a_cut_out_photograph_is_cut_out_when_painted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = cutout((96, 64))
    Image.fromarray(picture).save(tmp_path / "in.png")
    assert main(["run", str(tmp_path / "in.png"), "-p", "ink drawing", "-o", str(tmp_path / "out.png")]) == 0
    assert (
        main(["run", str(tmp_path / "in.png"), "-p", "ink drawing", "--compare", "-o", str(tmp_path / "two.png")]) == 0
    )
    capfd.readouterr()
    with Image.open(tmp_path / "out.png") as image:
        assert image.mode == "RGBA"
        assert np.array_equal(np.asarray(image)[..., 3], picture[..., 3])
    with Image.open(tmp_path / "two.png") as image:
        assert image.mode == "RGB"
