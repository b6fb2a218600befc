"""The label in the picture: at its configured place, on painted pictures, with nothing beside it changed."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import numpy as np
import pytest

from vivace.errors import ControlError
from vivace.media.frame import Frame
from vivace.trust.label import WORDS, Corner, Label, LabelSize, LabelStyle, Language, _drawn


def frame(size: tuple[int, int] = (512, 288), *, painted: bool = True, grey: int = 128) -> Frame:
    width, height = size
    return Frame(np.full((height, width, 3), grey, np.uint8), 0, 0, Fraction(1, 25), 0.0, painted=painted)


@pytest.mark.parametrize("corner", get_args(Corner))
@pytest.mark.parametrize("size", [(512, 288), (288, 512), (1280, 720), (64, 64)])
def test_it_is_in_its_corner_and_nowhere_else(corner: Corner, size: tuple[int, int]) -> None:
    style = LabelStyle(corner)
    before, after = frame(size), Label(style)(frame(size))
    x, y, width, height = _drawn(style, size).box
    changed = (before.rgb != after.rgb).any(axis=2)
    assert changed[y : y + height, x : x + width].mean() > 0.5
    changed[y : y + height, x : x + width] = False
    assert not changed.any()
    assert (x + width / 2 < size[0] / 2) is corner.endswith("left") or size[0] < 100
    assert (y + height / 2 < size[1] / 2) is corner.startswith("top")
    assert width * height < 0.05 * size[0] * size[1] or size[0] < 100


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_it_can_be_read_on_any_picture(grey: int) -> None:
    style = LabelStyle(size="large")
    x, y, width, height = _drawn(style, (512, 288)).box
    box = Label(style)(frame(grey=grey)).rgb[y : y + height, x : x + width].astype(int)
    assert box.max() == 255
    assert np.percentile(box, 30) < 100


def test_what_is_not_painted_stays_as_it_is() -> None:
    untouched = frame(painted=False)
    assert Label()(untouched) is untouched


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("size", get_args(LabelSize))
def test_each_language_and_size_fits(language: Language, size: LabelSize) -> None:
    style = LabelStyle("bottom-right", size, language)
    small, large = _drawn(style, (160, 120)).box, _drawn(style, (1920, 1080)).box
    assert small.x >= 0
    assert small.y >= 0
    assert large.width > small.width
    assert style.words == WORDS[language]
    assert style.words in str(style)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 8), (8, 300), (300, 8), (33, 17)])
def test_a_picture_too_small_for_it_gets_what_fits(size: tuple[int, int]) -> None:
    after = Label(LabelStyle("bottom-right", "large"))(frame(size))
    assert after.rgb.shape == frame(size).rgb.shape
    assert (after.rgb != 128).any()


def test_it_is_seen_where_the_picture_is_transparent() -> None:
    plain = frame()
    clear = Frame(
        plain.rgb * 0, 0, 0, Fraction(1, 25), 0.0, painted=True, alpha=np.zeros(plain.rgb.shape[:2], np.uint8)
    )
    after = Label()(clear)
    assert after.alpha is not None
    x, y, width, height = _drawn(LabelStyle(), plain.size).box
    assert after.alpha[y + height // 2, x + width // 2] == 255
    assert after.alpha[-1, -1] == 0


@pytest.mark.parametrize("wrong", [{"corner": "middle"}, {"size": "huge"}, {"language": "xx"}])
def test_what_there_is_not_is_told(wrong: dict[str, str]) -> None:
    with pytest.raises(ControlError, match=next(iter(wrong))):
        LabelStyle(**wrong)  # type: ignore[arg-type]
