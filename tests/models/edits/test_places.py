"""Laws of places: the masks they need, and their combination."""

from __future__ import annotations

import numpy as np
import pytest

from models.edits.figure import PLACES as MASKS
from models.edits.figure import SIZE
from vivace.models.edits.places import EVERYTHING, both, coverage, needed, parts_of


def found(name: str) -> np.ndarray:
    return (MASKS[name] * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("places", "wanted"),
    [
        (EVERYTHING, set()),
        (parts_of("person"), {"person"}),
        (parts_of("background"), {"person"}),
        (EVERYTHING - parts_of("face"), {"face"}),
        (parts_of("person") - parts_of("face"), {"person", "face"}),
        (parts_of("face") | parts_of("background"), {"person", "face"}),
        (frozenset({"red"}), {"red"}),
        (EVERYTHING - {"sky"}, {"sky"}),
    ],
)
def test_only_what_is_told_apart_is_looked_for(places: frozenset[str], wanted: set[str]) -> None:
    assert needed(places, {"red"} & places) == wanted


def test_a_place_without_its_parts_is_the_place_less_theirs() -> None:
    mask = coverage(parts_of("person") - parts_of("face"), {}, found, SIZE)
    assert mask is not None
    np.testing.assert_array_equal(mask > 0, MASKS["person"] & ~MASKS["face"])


def test_a_place_and_all_others_make_the_whole_picture() -> None:
    for place in ("person", "face", "sky", "clothes"):
        inside, outside = (
            coverage(places, {}, found, SIZE) for places in (parts_of(place), EVERYTHING - parts_of(place))
        )
        assert inside is not None
        assert outside is not None
        np.testing.assert_array_equal(inside, 255 - outside)


def test_a_soft_mask_stays_soft() -> None:
    half = np.full(SIZE[::-1], 100, np.uint8)
    mask = coverage(parts_of("person"), {}, lambda _name: half, SIZE)
    np.testing.assert_array_equal(mask, half)


def test_a_thing_that_is_kept_lies_over_what_is_changed() -> None:
    mask = coverage(EVERYTHING, {"red": 1.0}, found, SIZE)
    assert mask is not None
    np.testing.assert_array_equal(mask == 0, MASKS["red"])


def test_a_thing_that_is_half_there_is_half_told_apart() -> None:
    mask = coverage(EVERYTHING, {"red": 0.5}, found, SIZE)
    assert mask is not None
    np.testing.assert_allclose(mask, np.where(MASKS["red"], 127, 255), atol=1)


def test_everywhere_and_anything_is_everywhere() -> None:
    assert coverage(EVERYTHING, {}, found, SIZE) is None
    assert both(None, found("face")) is None
