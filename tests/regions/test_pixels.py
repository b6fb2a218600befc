"""Motion, warped masks, and masks that follow edges."""

from __future__ import annotations

import numpy as np
import pytest

from vivace.media.convert import resize
from vivace.regions.edges import Edges
from vivace.regions.motion import Motion
from vivace.regions.pixels import CELL_PX, Box, Carry, Line

GRID = 128, 72
CELLS = GRID[0] // CELL_PX, GRID[1] // CELL_PX
SIZE = 256, 144
CELL = SIZE[0] // CELLS[0]


def world(seed: int = 0) -> np.ndarray:
    """Return soft blobs, `uint8 [h w 3]`, larger than a picture."""
    rng = np.random.default_rng(seed)
    return resize(rng.integers(0, 256, (14, 22, 3), dtype=np.uint8), (352, 224))


@pytest.mark.parametrize("shift", [(4, 0), (0, -8), (12, 6), (-20, 10)])
def test_motion_of_the_whole_picture_is_found(shift: tuple[int, int]) -> None:
    right, down = shift
    big = world()
    motion = Motion(CELLS)
    assert motion.update(resize(big[40:184, 48:304], CELLS)) is None
    flow = motion.update(resize(big[40 - down : 184 - down, 48 - right : 304 - right], CELLS))
    assert flow is not None
    inner = flow[:, 8:-8, 8:-8] * CELL
    assert abs(np.median(inner[0]) + right) < 1.5
    assert abs(np.median(inner[1]) + down) < 1.5


def test_noise_is_no_motion() -> None:
    rng = np.random.default_rng(1)
    still = resize(world()[:144, :256], CELLS).astype(np.int16)
    motion = Motion(CELLS)
    for _ in range(4):
        flow = motion.update(np.clip(still + rng.integers(-1, 2, still.shape), 0, 255).astype(np.uint8))
    assert flow is not None
    assert np.abs(flow).mean() * CELL < 0.3


def test_fields_go_where_the_picture_goes() -> None:
    carry = Carry(GRID, 2)
    carry.fields[0, 20:30, 50:60] = 1
    carry.fields[1, 50:55, 10:30] = 1
    flow = np.zeros((2, *CELLS[::-1]), np.float32)
    flow[0], flow[1] = -6 / CELL_PX, 4 / CELL_PX
    carry.move(flow)
    wanted = np.zeros((2, *GRID[::-1]), np.float32)
    wanted[0, 16:26, 56:66] = 1
    wanted[1, 46:51, 16:36] = 1
    assert np.abs(carry.fields - wanted).max() < 0.01


def test_a_mask_follows_the_edge_of_the_picture() -> None:
    picture = np.full((360, 640, 3), (200, 180, 60), np.uint8)
    picture[:, 301:] = (40, 60, 120)
    edges = Edges((640, 360), GRID)
    edges.guide(resize(picture, CELLS))
    # 11 px of the picture beside the edge, and soft
    at_half = 312
    drawn = np.tile(np.clip((np.arange(128, dtype=np.float32) + 0.5 - at_half / 5) / 4 + 0.5, 0, 1), (72, 1))
    middle = edges.run(picture, drawn)[180].astype(int)
    assert middle[:260].max() == 0
    assert middle[350:].min() == 255
    found = int(np.flatnonzero(middle > 127)[0])
    assert abs(found - 301) < (at_half - 301) / 2


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_and_everything_are_exact(value: float) -> None:
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 256, (144, 256, 3), dtype=np.uint8)
    edges = Edges(SIZE, GRID)
    edges.guide(resize(picture, CELLS))
    assert np.all(edges.run(picture, np.full(GRID[::-1], value, np.float32)) == int(value * 255))


def test_what_is_far_from_a_mask_is_not_of_it() -> None:
    rng = np.random.default_rng(4)
    picture = rng.integers(0, 256, (144, 256, 3), dtype=np.uint8)
    edges = Edges(SIZE, GRID)
    edges.guide(resize(picture, CELLS))
    mask = np.zeros(GRID[::-1], np.float32)
    mask[20:40, 30:60] = 1
    far = edges.run(picture, mask)
    far[20:100, 40:140] = 0
    assert not far.any()


def test_a_part_of_a_line_is_resampled_linearly() -> None:
    line = Line(256, 100, 20, 50)
    samples = line.run(np.arange(256, dtype=np.float32)[None, :, None])[0, :, 0]
    assert np.allclose(np.diff(samples[21:49]), 256 / 30, rtol=1e-3)
    assert samples[0] == 0
    assert samples[99] == 255


def test_means_are_of_what_is_inside() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((2, 9, 12)).astype(np.float32)
    found = Box((9, 12), 5).run(x)
    for row, column in ((0, 0), (4, 6), (8, 11), (1, 10)):
        window = x[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3]
        assert np.allclose(found[:, row, column], window.mean(axis=(1, 2)), rtol=1e-5)
