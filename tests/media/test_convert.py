"""Scaling: right size, right average, nothing shifted."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.media.convert import cover, crop, resize
from vivace.media.picture import over_black
from vivace.media.size import cover_size, fit_size

from .clips import corners, quarters

sides = st.integers(1, 4000)
sizes = st.tuples(sides, sides)


@pytest.mark.parametrize("size", [(32, 24), (128, 96), (65, 47), (1, 1), (64, 12), (640, 8)])
def test_resize_gives_the_size_and_keeps_the_average(size: tuple[int, int]) -> None:
    rgb = quarters()
    scaled = resize(rgb, size)
    assert scaled.shape == (size[1], size[0], 3)
    assert scaled.flags.c_contiguous
    if min(size) > 4:
        assert np.abs(scaled.mean(axis=(0, 1)) - rgb.mean(axis=(0, 1))).max() < 3
        assert corners(scaled) == ["red", "green", "blue", "white"]


def test_shrinking_averages_areas() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    wanted = rgb.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(rgb, (16, 16)) - wanted).max() <= 1.5


def test_the_same_size_costs_nothing() -> None:
    rgb = quarters()
    assert resize(rgb, (64, 48)) is rgb
    assert crop(rgb, (64, 48)) is rgb


def test_views_can_be_resized() -> None:
    assert corners(resize(quarters()[:, ::-1], (32, 24))) == ["green", "red", "white", "blue"]


def test_threads_do_not_share_scalers() -> None:
    rgb = quarters((640, 480))
    wanted = resize(rgb, (320, 240))
    wrong: list[int] = []

    def scale() -> None:
        for number in range(20):
            size = (320, 240) if number % 2 else (200 + number, 100)
            scaled = resize(rgb, size)
            if number % 2 and not np.array_equal(scaled, wanted):
                wrong.append(number)

    threads = [threading.Thread(target=scale) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(sizes, sizes)
def test_fit_size_is_inside_and_touches(source: tuple[int, int], within: tuple[int, int]) -> None:
    fitted = fit_size(source, within)
    assert all(1 <= side <= limit for side, limit in zip(fitted, within, strict=True))
    assert fitted[0] == within[0] or fitted[1] == within[1]


@given(sizes, sizes)
def test_cover_size_covers_and_touches(source: tuple[int, int], target: tuple[int, int]) -> None:
    covering = cover_size(source, target)
    assert covering[0] >= target[0]
    assert covering[1] >= target[1]
    assert covering[0] == target[0] or covering[1] == target[1]


def test_fit_size_keeps_the_shape() -> None:
    assert fit_size((1920, 1080), (512, 512)) == (512, 288)
    assert fit_size((1080, 1920), (512, 512)) == (288, 512)


def test_cover_fills_everything() -> None:
    filled = cover(quarters(), (48, 48))
    assert filled.shape == (48, 48, 3)
    assert corners(filled) == ["red", "green", "blue", "white"]


def test_over_black_multiplies_by_alpha_exactly() -> None:
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    rgba = np.stack([colour, colour, colour, alpha], axis=-1).astype(np.uint8)
    wanted = np.floor(colour * alpha / 255 + 0.5)
    assert np.array_equal(over_black(rgba).rgb[..., 0], wanted)
