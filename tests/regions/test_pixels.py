"""Motion, what is carried along, and masks that follow edges."""

from __future__ import annotations

import numpy as np
import pytest

from vivace.media.convert import resize
from vivace.regions.motion import Motion
from vivace.regions.pixels import CELL_PX, Carry, Edges, sampling

GRID = 256, 144


def world(seed: int = 0) -> np.ndarray:
    """Return soft blobs, `uint8 [h w 3]`, larger than the grid."""
    rng = np.random.default_rng(seed)
    return resize(rng.integers(0, 256, (14, 22, 3), dtype=np.uint8), (352, 224))


def cells_of(picture: np.ndarray) -> np.ndarray:
    return resize(picture, (picture.shape[1] // CELL_PX, picture.shape[0] // CELL_PX))


@pytest.mark.parametrize("shift", [(4, 0), (0, -8), (12, 6), (-20, 10)])
def test_motion_of_the_whole_picture_is_found(shift: tuple[int, int]) -> None:
    right, down = shift
    big = world()
    before = big[40:184, 48:304]
    now = big[40 - down : 184 - down, 48 - right : 304 - right]
    motion = Motion((GRID[0] // CELL_PX, GRID[1] // CELL_PX))
    assert motion.update(cells_of(before)) is None
    flow = motion.update(cells_of(now))
    assert flow is not None
    inner = flow[:, 8:-8, 8:-8] * CELL_PX
    assert abs(np.median(inner[0]) + right) < 1.5
    assert abs(np.median(inner[1]) + down) < 1.5


def test_noise_is_no_motion() -> None:
    rng = np.random.default_rng(1)
    still = cells_of(world()[:144, :256]).astype(np.int16)
    motion = Motion((still.shape[1], still.shape[0]))
    for _ in range(4):
        flow = motion.update(np.clip(still + rng.integers(-1, 2, still.shape), 0, 255).astype(np.uint8))
    assert flow is not None
    assert np.abs(flow).mean() * CELL_PX < 0.3


def test_fields_go_where_the_picture_goes() -> None:
    carry = Carry(GRID, 2)
    carry.fields[0, 40:60, 100:120] = 1
    carry.fields[1, 100:110, 20:60] = 1
    flow = np.zeros((2, GRID[1] // CELL_PX, GRID[0] // CELL_PX), np.float32)
    flow[0], flow[1] = -10 / CELL_PX, 6 / CELL_PX
    carry.move(flow)
    wanted = np.zeros((2, GRID[1], GRID[0]), np.float32)
    wanted[0, 34:54, 110:130] = 1
    wanted[1, 94:104, 30:70] = 1
    assert np.abs(carry.fields - wanted).max() < 0.01


def test_a_mask_follows_the_edge_of_the_picture() -> None:
    size = 640, 360
    picture = np.full((360, 640, 3), (200, 180, 60), np.uint8)
    picture[:, 301:] = (40, 60, 120)
    small = resize(picture, GRID)
    edges = Edges(size, GRID, 1)
    # three px of the grid beside the edge, and soft
    edges.masks[0] = np.clip((np.arange(256) - 121) / 8, 0, 1)
    mask = edges.run(picture, cells_of(small))[0]
    middle = mask[180].astype(int)
    assert middle[:280].max() == 0
    assert middle[330:].min() == 255
    drawn = 312  # where the soft mask is at half
    found = int(np.flatnonzero(middle > 127)[0])
    assert abs(found - 301) < (drawn - 301) / 2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_and_everything_are_exact(value: float) -> None:
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (144, 256, 3), dtype=np.uint8)
    edges = Edges(GRID, GRID, 2)
    edges.masks[:] = value
    assert np.all(edges.run(picture, cells_of(picture)) == int(value * 255))


def test_sampling_keeps_a_constant_inside_of_the_part_and_nothing_outside() -> None:
    matrix = sampling(256, 100, 20, 50)
    sums = matrix.sum(axis=1)
    assert np.allclose(sums[20:50], 1)
    assert not sums[:20].any()
    assert not sums[50:].any()
    line = matrix @ np.arange(256, dtype=np.float32)
    assert np.allclose(np.diff(line[22:48]), 256 / 30, rtol=1e-3)
