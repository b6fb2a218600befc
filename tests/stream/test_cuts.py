import numpy as np
import pytest

from vivace.models.thumbnail import thumbnail
from vivace.stream.cuts import CutDetector, CutThresholds


def scene(seed: int, size: tuple[int, int] = (320, 180)) -> np.ndarray:
    """Return a picture of a few large coloured shapes and some texture, larger than the view."""
    rng = np.random.default_rng(seed)
    width, height = size
    image = np.empty((height, width * 2, 3), np.float32)
    image[:] = rng.integers(20, 120, 3)
    for _ in range(24):
        x, y = rng.integers(0, width * 2), rng.integers(0, height)
        w, h = rng.integers(20, 140), rng.integers(20, 110)
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def view(image: np.ndarray, x: int, width: int = 320) -> np.ndarray:
    return image[:, x : x + width]


def cuts_in(frames, **limits) -> list[int]:
    detector = CutDetector(CutThresholds(**limits))
    return [index for index, frame in enumerate(frames) if detector.is_cut(thumbnail(frame))]


def test_a_cut_is_seen_at_its_first_frame():
    one, two = scene(1), scene(2)
    frames = [view(one, x) for x in range(20)] + [view(two, x) for x in range(20)]
    assert cuts_in(frames) == [20]


def test_two_cuts_close_together_are_two():
    frames = [view(scene(1), 0)] * 12 + [view(scene(2), 0)] * 3 + [view(scene(3), 0)] * 12
    assert cuts_in(frames) == [12, 15]


@pytest.mark.parametrize("speed", [1, 7, 20])
def test_a_pan_is_no_cut(speed):
    image = scene(3)
    assert cuts_in([view(image, x) for x in range(0, 320, speed)]) == []


def test_a_flash_is_no_cut_neither_up_nor_down():
    plain = view(scene(4), 0)
    flash = np.clip(plain * 0.6 + 130, 0, 255).astype(np.uint8)
    assert cuts_in([plain] * 10 + [flash] + [plain] * 10) == []


@pytest.mark.parametrize("value", [0, 255])
def test_a_black_or_white_frame_is_no_cut_but_the_scene_after_it_may_be(value):
    blank = np.full((180, 320, 3), value, np.uint8)
    one, two = view(scene(5), 0), view(scene(6), 0)
    assert cuts_in([one] * 10 + [blank] * 3 + [one] * 10) == []
    assert cuts_in([one] * 10 + [blank] * 3 + [two] * 10) == [13]


def test_a_fade_is_no_cut():
    image = view(scene(7), 0)
    assert cuts_in([(image * share).astype(np.uint8) for share in np.linspace(1, 0, 25)]) == []


def test_noise_is_no_cut():
    rng = np.random.default_rng(0)
    image = view(scene(8), 0) // 4
    frames = [np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8) for _ in range(20)]
    assert cuts_in(frames) == []


def test_constant_commotion_is_no_cut():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (90, 160, 3), dtype=np.uint8) for _ in range(40)]
    assert len(cuts_in(frames)) <= 1


def test_what_counts_as_a_cut_can_be_set():
    frames = [view(scene(1), 0)] * 10 + [view(scene(2), 0)] * 10
    assert cuts_in(frames, score=0.99) == []
    assert cuts_in(frames, rise=1000.0) == []


def test_the_first_frame_after_a_reset_is_no_cut():
    detector = CutDetector()
    assert not detector.is_cut(thumbnail(view(scene(1), 0)))
    detector.reset()
    assert not detector.is_cut(thumbnail(view(scene(2), 0)))


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (7, 3, 3)])
def test_absurd_shapes_are_looked_at_without_harm(shape):
    rng = np.random.default_rng(0)
    assert len(cuts_in(rng.integers(0, 256, (60, *shape), dtype=np.uint8))) <= 8
