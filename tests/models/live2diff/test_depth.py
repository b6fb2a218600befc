"""Depth preparation in cases without recordings."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vivace.models.live2diff.depth import RunningBounds, depth_pictures, detector_size, normalise_depth


def ramp(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, 24).reshape(1, 4, 6)


@pytest.mark.parametrize("value", [0.0, 3.0, -1e4])
@pytest.mark.parametrize("running", [False, True])
def test_a_wall_is_grey_and_not_nan(value: float, running: bool) -> None:
    depth = torch.full((1, 4, 6), value)
    assert torch.equal(normalise_depth(depth, RunningBounds() if running else None), torch.full((1, 4, 6), 0.5))


def test_rounding_errors_are_not_stretched_to_a_picture() -> None:
    depth = torch.full((1, 4, 6), 1000.0)
    depth[0, 0, 0] += 1e-4
    assert torch.equal(normalise_depth(depth), torch.full((1, 4, 6), 0.5))


def test_running_bounds_follow_slowly() -> None:
    bounds = RunningBounds()
    assert torch.equal(normalise_depth(ramp(0, 10), bounds), normalise_depth(ramp(0, 10)))
    near = normalise_depth(ramp(0, 20), bounds)
    assert bounds.high == pytest.approx(11)
    assert near.min() == 0
    assert near.max() == 1, "what is nearer than the bounds is as near as can be"
    assert near[0, 2, 0] == pytest.approx(float(ramp(0, 20)[0, 2, 0]) / 11)
    for _ in range(100):
        normalise_depth(ramp(0, 20), bounds)
    assert bounds.high == pytest.approx(20, abs=0.01)
    bounds.reset()
    normalise_depth(ramp(0, 1), bounds)
    assert bounds.high == 1


@pytest.mark.parametrize(
    ("size", "expected"), [((512, 512), (384, 384)), ((360, 640), (288, 512)), ((640, 360), (512, 288))]
)
def test_the_detector_sees_the_picture_in_its_shape(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert detector_size(*size) == expected
    assert detector_size(*size, keep_aspect=False) == (384, 384)
    pictures = torch.rand(1, 3, *size) * 2 - 1
    grey = depth_pictures(pictures, lambda seen: seen.mean(1) + 2)
    assert grey.shape == pictures.shape
    assert grey.min() >= -1
    assert grey.max() <= 1
    assert torch.equal(grey[:, 0], grey[:, 2])
