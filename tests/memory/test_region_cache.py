"""Laws of the choice of tiles, on pictures that are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from vivace.memory.region_cache import (
    FIRST_WAIT,
    LEAST_DRIFT,
    LONGEST_AGE,
    LONGEST_WAIT,
    NUMBER_STEP,
    ChangeDetector,
    TilePlan,
    noise_of,
)

SIZE = (256, 192)
TILE_PX = 32
COUNT = 8 * 6
Picture = np.ndarray
Chosen = list[np.ndarray | None]


def room(seed: int = 0) -> Picture:
    """Return a smooth picture."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 8, 3)).astype(np.float32)
    return np.kron(coarse, np.ones((TILE_PX, TILE_PX, 1), np.float32))


def shown(picture: Picture) -> Picture:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def chosen(pictures: Iterable[Picture], plan: TilePlan | None = None) -> Chosen:
    detector, plan = ChangeDetector(SIZE, TILE_PX), plan or TilePlan(COUNT)
    found: Chosen = []
    for rgb in pictures:
        found.append(plan.choose(detector.changes(rgb)))
        detector.computed(rgb, found[-1])
    return found


def camera(frames: int, deviation: float) -> Iterator[Picture]:
    rng = np.random.default_rng(1)
    for _ in range(frames):
        yield shown(room() + rng.normal(0, deviation, (SIZE[1], SIZE[0], 3)))


@pytest.mark.parametrize("deviation", [0.0, 1.5, 4.0, 8.0])
def test_a_still_camera_costs_the_turns_of_the_oldest_tiles_whatever_its_noise(deviation: float) -> None:
    found = chosen(camera(40, deviation))
    assert found[:FIRST_WAIT] == [None] * FIRST_WAIT
    everything = found[FIRST_WAIT]
    assert everything is not None
    np.testing.assert_array_equal(everything, np.arange(COUNT))
    assert {len(tiles) for tiles in found[FIRST_WAIT + 1 :] if tiles is not None} == {NUMBER_STEP}


def test_every_tile_gets_its_turn_and_no_frame_pays_for_all() -> None:
    ages = np.zeros(COUNT, int)
    for tiles in chosen(camera(3 * LONGEST_AGE, 0.0))[FIRST_WAIT:]:
        assert tiles is not None
        ages += 1
        ages[tiles] = 0
        assert ages.max() <= LONGEST_AGE


def test_what_moves_is_computed_in_the_frame_in_which_it_does() -> None:
    def frames() -> Iterator[Picture]:
        for i in range(70):
            picture = shown(room())
            left = 3 * max(i - 16, 0)
            picture[70:100, left : left + 20] = 255
            yield picture

    pictures = list(frames())
    for i, tiles in enumerate(chosen(pictures)):
        if i <= FIRST_WAIT:
            continue
        assert tiles is not None
        moved = (pictures[i] != pictures[i - 1]).any(-1)
        changed = np.flatnonzero(moved.reshape(6, TILE_PX, 8, TILE_PX).any((1, 3)))
        assert np.isin(changed, tiles).all()


def test_a_colour_of_the_same_brightness_is_a_change() -> None:
    grey = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)
    tinted = grey.copy()
    tinted[40:44, 40:44] = 158, 112, 128
    tiles = chosen([grey] * 20 + [tinted])[-1]
    assert tiles is not None
    assert 9 in tiles  # the second row's second


def test_what_creeps_is_never_further_off_than_the_threshold() -> None:
    creeping = [shown(room() * 0.5 + 0.4 * i) for i in range(120)]
    seen = creeping[0].astype(int).copy()
    for rgb, tiles in zip(creeping, chosen(creeping), strict=True):
        grid = seen.reshape(6, TILE_PX, 8, TILE_PX, 3), rgb.reshape(6, TILE_PX, 8, TILE_PX, 3)
        if tiles is None:
            grid[0][...] = grid[1]
        else:
            grid[0][tiles // 8, :, tiles % 8] = grid[1][tiles // 8, :, tiles % 8]
        assert np.abs(seen - rgb).max() <= LEAST_DRIFT + 1


@pytest.mark.parametrize("period", [1, 2, 5, 9])
def test_a_strobe_is_computed_whole_and_seldom_tried(period: int) -> None:
    dark, light = shown(room() * 0.3), shown(room())
    found = chosen((dark, light)[i // period % 2] for i in range(600))
    tried = sum(tiles is not None and len(tiles) == COUNT for tiles in found)
    assert tried <= np.log2(LONGEST_WAIT)


def test_a_saved_choice_goes_on_alike() -> None:
    rng = np.random.default_rng(2)
    changes = [np.where(rng.random((6, 8)) < 0.1, 2.0, 0.0).astype(np.float32) for _ in range(40)]
    plan, other = TilePlan(COUNT), TilePlan(COUNT)
    for change in changes[:20]:
        plan.choose(change)
    other.restore(plan.save())
    for change in changes[20:]:
        ours, theirs = plan.choose(change), other.choose(change)
        assert ours is not None
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("deviation", [2.0, 5.0, 10.0])
def test_noise_is_measured_in_one_picture_and_motion_is_none(deviation: float) -> None:
    [noisy] = camera(1, deviation)
    assert noise_of(noisy) == pytest.approx(deviation, rel=0.2)
    assert noise_of(shown(room())) < 0.2
