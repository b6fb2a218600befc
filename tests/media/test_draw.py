"""Captions and sheets: readable, in place, and safe with any text."""

from __future__ import annotations

import numpy as np
import pytest

from vivace.media.draw import caption, contact_sheet, fitted, font, side_by_side

from .clips import grey, quarters


def test_a_caption_touches_the_lower_edge_only() -> None:
    rgb = grey(128, (320, 180))
    before = rgb.copy()
    shown = caption(rgb, "ink sketch", detail="30 fps")
    assert np.array_equal(rgb, before), "the argument is not changed"
    assert np.array_equal(shown[:140], rgb[:140])
    assert shown[150:].max() > 220, "there is writing"


def test_no_text_is_no_caption() -> None:
    rgb = grey(128)
    assert caption(rgb, "") is rgb


@pytest.mark.parametrize("text", ["x" * 1_000_000, "two\nlines\tand more", "日本語 émoji 🎨", " ", "\x00\x07"])
def test_any_text_can_be_a_caption(text: str) -> None:
    assert caption(quarters((320, 180)), text).shape == (180, 320, 3)


@pytest.mark.parametrize("size", [(8, 8), (16, 300), (300, 9)])
def test_any_picture_can_have_a_caption(size: tuple[int, int]) -> None:
    assert caption(grey(99, size), "ink sketch", detail="30 fps").shape == (size[1], size[0], 3)


def test_long_text_is_cut_to_the_room_with_an_ellipsis() -> None:
    cut = fitted("a very long prompt indeed", font(16), 90)
    assert cut.endswith("…")
    assert font(16).getlength(cut) <= 90
    assert fitted("short", font(16), 90) == "short"
    assert fitted("short", font(16), 1) == ""


def test_side_by_side_has_the_first_height_and_a_gap() -> None:
    joined = side_by_side([quarters(), quarters((128, 96))], gap_px=2)
    assert joined.shape == (48, 64 + 2 + 64, 3)
    assert np.array_equal(joined[:, :64], quarters())


def test_a_contact_sheet_holds_every_cell() -> None:
    rows = [[grey(200, (64, 48))] * 3, [grey(220, (64, 48))] * 2]
    sheet = contact_sheet(rows, ["one", "two"], columns=["a", "b", "c"], title="Sheet", cell_px=64, gap_px=4)
    assert (sheet == 200).all(axis=-1).sum() >= 3 * 64 * 48
    assert (sheet == 220).all(axis=-1).sum() >= 2 * 64 * 48
    plain = contact_sheet(rows, cell_px=64, gap_px=4)
    assert plain.shape == (4 + 2 * (48 + 4), 4 + 3 * (64 + 4), 3)
