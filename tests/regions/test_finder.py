"""What the finder of regions promises to a stream."""

from __future__ import annotations

import numpy as np
import pytest

from vivace.errors import ControlError
from vivace.regions.finder import RegionFinder
from vivace.regions.names import COLOURS, REGIONS, check_names

SIZE = 256, 256
PERSON = frozenset({"person", "background"})


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ControlError, match=r"elbow.*person.*yellow"):
        check_names({"person", "elbow"})
    with pytest.raises(ControlError, match="elbow"):
        RegionFinder.open(SIZE, frozenset({"elbow"}))


def test_a_picture_of_another_size_is_refused() -> None:
    finder = RegionFinder.open(SIZE)
    with pytest.raises(ControlError, match="256x256"):
        finder.find(np.zeros((100, 256, 3), np.uint8), PERSON)


def test_without_wishes_nothing_is_loaded_or_found() -> None:
    finder = RegionFinder.open(SIZE)
    assert finder.find(np.zeros((256, 256, 3), np.uint8), frozenset()) == {}
    assert finder.loaded == ()


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_where_nobody_is_nobody_is_found(shade: int) -> None:
    finder = RegionFinder.open(SIZE, PERSON)
    rng = np.random.default_rng(shade)
    for _ in range(4):
        noise = rng.integers(-3, 4, (256, 256, 3))
        found = finder.find(np.clip(noise + shade, 0, 255).astype(np.uint8), PERSON)
        assert found["person"].presence == 0
        assert not found["person"].mask.any()
        assert found["background"].mask.min() == 255


def test_names_of_regions_and_colours_are_apart() -> None:
    assert not set(REGIONS) & COLOURS.keys()
