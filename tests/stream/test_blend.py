import numpy as np
import pytest

from vivace.media.size import Box
from vivace.stream.blend import Region, blend, region_of

RNG = np.random.default_rng(1)
SOURCE = RNG.integers(0, 256, (40, 64, 3), dtype=np.uint8)
PAINTED = RNG.integers(0, 256, (40, 64, 3), dtype=np.uint8)


def test_strength_0_is_the_source_and_strength_1_the_painting_without_a_copy():
    assert blend(SOURCE, PAINTED, 0.0) is SOURCE
    assert blend(SOURCE, PAINTED, 1.0) is PAINTED


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.93])
def test_between_it_is_the_nearest_byte(strength):
    weight = round(strength * 256) / 256
    exact = SOURCE + (PAINTED.astype(float) - SOURCE) * weight
    assert np.abs(blend(SOURCE, PAINTED, strength) - exact).max() <= 0.5


def test_equal_pictures_stay_equal_at_any_strength():
    for strength in np.linspace(0, 1, 23):
        np.testing.assert_array_equal(blend(SOURCE, SOURCE.copy(), strength), SOURCE)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_outside_the_mask_the_source_is_exact_and_inside_the_painting(strength):
    alpha = np.zeros((40, 64), np.uint8)
    alpha[10:20, 5:30] = 255
    out = blend(SOURCE, PAINTED, strength, Region(alpha))
    np.testing.assert_array_equal(out[alpha == 0], SOURCE[alpha == 0])
    np.testing.assert_array_equal(out[alpha == 255], blend(SOURCE, PAINTED, strength)[alpha == 255])


def test_soft_edges_blend():
    alpha = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (40, 1))
    out = blend(np.zeros_like(SOURCE), np.full_like(SOURCE, 200), 1.0, Region(alpha))
    assert (np.diff(out[0, :, 0].astype(int)) >= 0).all()
    assert out[0, 0, 0] == 0
    assert out[0, -1, 0] == 200


def test_a_blend_changes_neither_picture():
    source, painted = SOURCE.copy(), PAINTED.copy()
    blend(source, painted, 0.5, Region(np.full((40, 64), 99, np.uint8)))
    np.testing.assert_array_equal(source, SOURCE)
    np.testing.assert_array_equal(painted, PAINTED)


def test_two_regions_let_through_what_both_do():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 256, (2, 40, 64), dtype=np.uint8)
    one[:5], other[:, 9], one[20:], other[20:] = 0, 0, 255, 255
    both = Region(one).within(Region(other))
    expected = Region(np.rint(one.astype(float) * other / 255).astype(np.uint8))
    assert both.box == expected.box
    np.testing.assert_array_equal(both.weights(256), expected.weights(256))


@pytest.mark.parametrize("grid", [(1, 1), (5, 8), (40, 64), (3, 7)])
def test_a_mask_on_a_models_grid_is_enlarged_cell_by_cell(grid):
    mask = np.random.default_rng(1).integers(1, 256, (2, *grid), dtype=np.uint8)
    region = region_of(mask, 1, (64, 40), None)
    weights = region.weights(256)[:, ::3].astype(int)
    for y in range(40):
        for x in range(64):
            cell = int(mask[1, y * grid[0] // 40, x * grid[1] // 64])
            assert weights[y, x] == cell + (cell >> 7)


def test_all_and_nothing_take_no_mask():
    user = Region(np.full((40, 64), 99, np.uint8))
    assert region_of("all", 0, (64, 40), user) is user
    assert region_of("all", 0, (64, 40), None) is None
    assert blend(SOURCE, PAINTED, 1.0, region_of("none", 0, (64, 40), user)) is SOURCE


def test_a_region_knows_its_box():
    alpha = np.zeros((40, 64), np.uint8)
    assert Region(alpha).empty
    assert blend(SOURCE, PAINTED, 1.0, Region(alpha)) is SOURCE
    alpha[3:7, 60:64] = 1
    assert Region(alpha).box == Box(60, 3, 4, 4)
