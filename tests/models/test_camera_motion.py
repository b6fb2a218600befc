"""Laws of camera motion: the scene is followed, its moving objects are not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageFilter

from vivace.models.base import Chunk
from vivace.models.camera_motion import CameraMotion
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS
from vivace.models.thumbnail import cell_px, thumbnail

SIDE = 192


def world(seed: int = 0) -> np.ndarray:
    """Return a large picture with detail at every scale."""
    rng = np.random.default_rng(seed)
    layers = []
    for blur in (2, 6, 20):
        noise = Image.fromarray(rng.integers(0, 256, (600, 600, 3), np.uint8)).filter(ImageFilter.GaussianBlur(blur))
        layer = np.asarray(noise, np.float32)
        layers.append((layer - layer.mean()) / layer.std())
    return np.clip(127 + 30 * sum(layers), 0, 255).astype(np.uint8)


def seen(picture: np.ndarray, down: float, right: float) -> np.ndarray:
    y, x = 200 + round(down), 200 + round(right)
    return np.ascontiguousarray(picture[y : y + SIDE, x : x + SIDE])


def update(motion: CameraMotion, rgb: np.ndarray) -> tuple[float, float]:
    return motion.update(thumbnail(rgb), cell_px((rgb.shape[1], rgb.shape[0])))


@pytest.mark.parametrize("velocity", [(0, 1), (1, 2), (3, -5), (0, 8)])
def test_a_panning_camera_is_followed_to_the_px(velocity):
    picture, motion = world(), CameraMotion()
    for i in range(12):
        offset = update(motion, seen(picture, velocity[0] * i, velocity[1] * i))
        # The scene moves against the camera.
        np.testing.assert_allclose(offset, (-velocity[0] * i, -velocity[1] * i), atol=1.0)


def test_a_still_camera_with_sensor_noise_stays_put():
    rng, picture, motion = np.random.default_rng(1), world(), CameraMotion()
    for _ in range(20):
        noisy = seen(picture, 0, 0) + rng.normal(0, 6, (SIDE, SIDE, 3))
        assert update(motion, np.clip(noisy, 0, 255).astype(np.uint8)) == (0, 0)


def test_a_large_thing_that_crosses_a_still_picture_is_not_the_camera():
    motion = CameraMotion()
    for i in range(12):
        frame = np.full((SIDE, SIDE, 3), 90, np.uint8)
        frame[60:130, 5 + 8 * i : 75 + 8 * i] = world(2)[:70, :70]
        assert update(motion, frame) == (0, 0)


def test_unrelated_frames_leave_the_answer_standing():
    motion = CameraMotion()
    picture = world()
    for i in range(4):
        before = update(motion, seen(picture, 0, 4 * i))
    for seed in (5, 6, 7):
        assert update(motion, seen(world(seed), 0, 0)) == before


def test_black_frames_are_no_motion():
    motion = CameraMotion()
    for _ in range(3):
        assert update(motion, np.zeros((64, 64, 3), np.uint8)) == (0, 0)


def test_strokes_stay_on_the_world_while_the_camera_pans(painter, monkeypatch):
    picture = world()
    swirl = np.eye(STYLE_COUNT, dtype=np.float32)[STYLE_KEYS.index("swirl")]

    def drift(follow: bool) -> float:
        """Return the mean change between frames after undoing the pan of 4 px per frame, away from the border."""
        monkeypatch.setattr(painter, "follow_camera", follow)
        state = painter.open((SIDE, SIDE))
        frames = [painter.step([state], [Chunk(seen(picture, 0, 4 * i)[None], swirl)])[0].rgb[0] for i in range(8)]
        pairs = pairwise(frames[2:])
        return float(np.mean([np.abs(b[32:-32, 32:-36].astype(int) - a[32:-32, 36:-32]).mean() for a, b in pairs]))

    assert drift(follow=True) < 0.8 * drift(follow=False)
