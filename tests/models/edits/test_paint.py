"""Laws of edits that need no network."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vivace.models.edits.paint import blurred, filled_in, laid, mean_light, tinted
from vivace.models.edits.places import faded

SIZE = (32, 24)


def flat(*rgb: int) -> Image.Image:
    return Image.new("RGB", SIZE, rgb)


def middle(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture)[12, 16].astype(int)


@pytest.mark.parametrize("grey", [16, 90, 200])
def test_what_is_as_light_as_the_thing_has_the_colour_itself(grey: int) -> None:
    thing = flat(grey, grey, grey)
    np.testing.assert_allclose(middle(tinted(thing, (0.8, 0.2, 0.4), mean_light(thing, None))), (204, 51, 102), atol=2)


def test_shades_get_lighter_with_the_light_and_what_shines_is_white() -> None:
    ramp = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2))
    shades = np.asarray(tinted(ramp, (0.7, 0.1, 0.1), 0.1))[0].astype(int)
    assert (np.diff(shades, axis=0) >= 0).all()
    np.testing.assert_array_equal(shades[0], 0)
    np.testing.assert_array_equal(shades[255], 255)


def test_the_light_of_a_thing_is_that_of_its_own_px() -> None:
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[:, 16:] = 255
    mask = np.zeros((24, 32), np.uint8)
    mask[:, 16:] = 255
    assert mean_light(Image.fromarray(picture), mask) == pytest.approx(1)
    assert mean_light(Image.fromarray(picture), None) == pytest.approx(0.5)
    assert mean_light(Image.fromarray(picture), np.zeros((24, 32), np.uint8)) is None


def test_a_hole_with_nothing_around_it_is_filled_with_the_pictures_colour() -> None:
    everything = np.full((24, 32), 255, np.uint8)
    np.testing.assert_allclose(middle(filled_in(flat(10, 100, 200), everything)), (10, 100, 200), atol=1)


def test_where_two_layers_meet_nothing_below_is_seen() -> None:
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8), (24, 1))
    made = np.asarray(laid(flat(0, 255, 0), [(flat(255, 0, 0), ramp), (flat(0, 0, 255), 255 - ramp)]))
    assert made[..., 1].max() <= 1
    np.testing.assert_allclose(made[..., 0], ramp, atol=2)


def test_what_layers_leave_shows_the_picture_below() -> None:
    quarter = np.full((24, 32), 64, np.uint8)
    made = laid(flat(0, 240, 0), [(flat(240, 0, 0), quarter), (flat(0, 0, 240), quarter)])
    np.testing.assert_allclose(middle(made), (60, 120, 60), atol=3)


def test_a_blurred_flat_picture_is_itself() -> None:
    for mask in (None, np.full((24, 32), 255, np.uint8)):
        np.testing.assert_allclose(middle(blurred(flat(10, 100, 200), 1.0, mask)), (10, 100, 200), atol=1)


def test_half_a_mask_is_half_as_much() -> None:
    mask = np.array([[0, 100, 255]], np.uint8)
    faded_mask = faded(mask, 0.5, (3, 1))
    assert faded_mask is not None
    np.testing.assert_allclose(faded_mask, [[0, 50, 128]], atol=1)
    assert faded(mask, 1.0, (3, 1)) is mask
    assert faded(None, 1.0, (3, 1)) is None
