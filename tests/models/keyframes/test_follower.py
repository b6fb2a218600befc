"""Laws of following a key frame, with the shipped weights."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vivace.models.keyframes.config import motion_size, nbytes_of, working_size
from vivace.models.keyframes.follower import UNLIKE_FRAMES, Follower, enlarged
from vivace.models.keyframes.load import load
from vivace.models.keyframes.motion import Motion, after, carry, find, grey, regular, search, still, trust
from vivace.models.keyframes.recognise import Looks

SIZE = (128, 96)


def scene(shift: int = 0, size: tuple[int, int] = SIZE, seed: int = 3) -> np.ndarray:
    """Return a picture of soft spots, moved to the right by `shift` px."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 216, (10, 20, 3), np.uint8)
    wide = cv2.resize(coarse, (size[0] + 80, size[1]), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(wide[:, 40 - shift : 40 - shift + size[0]])


def painted(picture: np.ndarray, shift: int = 0) -> np.ndarray:
    changed = picture.copy()
    changed[30:62, 40 + shift : 84 + shift] = (230, 40, 40)
    return changed


@pytest.fixture
def follower() -> Follower:
    follower = Follower(load(), SIZE)
    follower.take((scene(), painted(scene())))
    return follower


def test_an_edit_moves_with_what_it_was_made_on(follower: Follower) -> None:
    for shift in (0, 2, 4, 6):
        led = follower.follow(scene(shift))
    inside = np.abs(led[40:52, 60:80].astype(int) - (230, 40, 40)).mean()
    assert inside < 0.4 * np.abs(scene(6)[40:52, 60:80].astype(int) - (230, 40, 40)).mean()
    np.testing.assert_array_equal(led[80:, :20], scene(6)[80:, :20])


def test_equal_pictures_give_equal_pictures_also_beside_another_stream(follower: Follower) -> None:
    frames = [scene(shift) for shift in (0, 2, 4, 5)]
    alone = [follower.follow(frame) for frame in frames]
    first, second = Follower(load(), SIZE), Follower(load(), SIZE)
    first.take((scene(), painted(scene())))
    second.take((scene(seed=5), painted(scene(seed=5))))
    for frame, wanted in zip(frames, alone, strict=True):
        np.testing.assert_array_equal(first.follow(frame), wanted)
        second.follow(scene(seed=5))


def test_a_saved_memory_goes_on_to_the_byte(follower: Follower) -> None:
    for shift in (0, 2):
        follower.follow(scene(shift))
    other = Follower(load(), SIZE)
    other.restore(follower.save())
    for shift in (4, 5):
        np.testing.assert_array_equal(other.follow(scene(shift)), follower.follow(scene(shift)))


def test_a_key_frame_equal_to_its_edit_changes_nothing() -> None:
    follower = Follower(load(), SIZE)
    follower.take((scene(), scene()))
    for shift in (0, 2, 4):
        changed = np.abs(follower.follow(scene(shift)).astype(int) - scene(shift))
        assert changed.mean() < 2


def test_after_a_cut_the_past_is_no_part_of_the_picture(follower: Follower) -> None:
    follower.follow(scene())
    follower.forget()
    fresh = Follower(load(), SIZE)
    fresh.take((scene(), painted(scene())))
    np.testing.assert_array_equal(follower.follow(scene(seed=9)), fresh.follow(scene(seed=9)))


def test_another_scene_is_left_alone_and_that_is_said_until_the_first_is_back(follower: Follower) -> None:
    follower.follow(scene())
    follower.forget()
    for n in range(UNLIKE_FRAMES):
        assert follower.note == ""
        np.testing.assert_array_equal(follower.follow(scene(n % 2, seed=9)), scene(n % 2, seed=9))
    assert "no longer resembles" in follower.note
    assert (follower.follow(scene(2)) != scene(2)).any()
    assert follower.note == ""


def test_another_key_frame_leaves_nothing_of_the_former(follower: Follower) -> None:
    follower.follow(scene())
    blue = scene().copy()
    blue[30:62, 40:84] = (30, 60, 230)
    follower.take((scene(), blue))
    for _ in range(8):
        led = follower.follow(scene())
    assert led[44, 60, 2] > led[44, 60, 0]


@pytest.mark.parametrize("size", [(64, 64), (100, 64), (322, 182), (640, 480), (720, 1280)])
def test_any_size_is_followed_at_one_the_network_takes(size: tuple[int, int]) -> None:
    width, height = working_size(size)
    assert width % 16 == height % 16 == 0
    assert width * height <= 1.1 * 512 * 512
    assert max(motion_size(size)) <= 256
    follower = Follower(load(), size)
    picture = scene(size=size)
    follower.take((picture, painted(picture)))
    assert follower.follow(picture).shape == picture.shape
    kept = follower.save()
    held = sum(array.nbytes for array in (*kept.values(), *follower._memory.values(), follower._blocks))
    assert 0.9 * held <= nbytes_of(size) <= 1.5 * held


# -- motion ------------------------------------------------------------------------------------------------------------


def test_motion_says_where_a_px_was() -> None:
    before, now = scene(0), scene(5)
    motion = find(search(), grey(now), grey(before), None)
    middle = np.s_[20:-20, 20:-20]
    assert np.median((motion.x - still(*motion.x.shape).x)[middle]) == pytest.approx(-5, abs=0.5)
    assert np.abs(carry(motion, before)[middle].astype(int) - now[middle]).mean() < 3
    assert trust(motion, now, before)[middle].mean() > 0.9
    assert trust(motion, scene(seed=8), before)[middle].mean() < 0.5


def test_motion_over_two_steps_is_one_after_the_other() -> None:
    rest = still(40, 60)
    right, down = Motion(rest.x - 3, rest.y), Motion(rest.x, rest.y - 2)
    both = after(right, down)
    np.testing.assert_allclose(both.x[10:, 10:], rest.x[10:, 10:] - 3, atol=1e-4)
    np.testing.assert_allclose(both.y[10:, 10:], rest.y[10:, 10:] - 2, atol=1e-4)


def test_a_key_frame_that_has_moved_far_is_found_from_where_it_was() -> None:
    before, now = scene(-30), scene(30)
    rest = still(*before.shape[:2])
    near = Motion(rest.x - 57, rest.y)
    motion = find(search(), grey(now), grey(before), near)
    inside = np.s_[20:-20, 70:-10]
    assert np.median((motion.x - rest.x)[inside]) == pytest.approx(-60, abs=0.7)


def test_a_larger_field_says_the_same_of_a_larger_picture() -> None:
    rest = still(24, 32)
    larger = enlarged(Motion(rest.x - 2, rest.y + 1), (64, 48))
    twice = still(48, 64)
    np.testing.assert_allclose(larger.x, twice.x - 4, atol=1e-4)
    np.testing.assert_allclose(larger.y, twice.y + 2, atol=1e-4)


# -- recognition -------------------------------------------------------------------------------------------------------


def street(at: int | None, height: int = SIZE[1]) -> np.ndarray:
    """Return a grey street with a yellow thing at a column, or none."""
    picture = np.full((height, SIZE[0], 3), (110, 115, 120), np.uint8)
    picture[height // 2 :] = (90, 80, 70)
    if at is not None:
        picture[50:74, at : at + 30] = (220, 180, 30)
    return picture


def recoloured(picture: np.ndarray) -> np.ndarray:
    changed = picture.copy()
    changed[(picture == (220, 180, 30)).all(-1)] = (120, 30, 200)
    return changed


@pytest.mark.parametrize("recognises", [True, False])
def test_what_was_hidden_is_recognised_elsewhere_by_its_looks(*, recognises: bool) -> None:
    follower = Follower(load(), SIZE)
    follower.recognises = recognises
    follower.take((street(8), recoloured(street(8))))
    for at in (8, None, None, 80, 80):
        led = follower.follow(street(at))
    wrong = np.abs(led[54:70, 84:106].astype(int) - (120, 30, 200)).mean()
    assert wrong < 25 if recognises else wrong > 60
    np.testing.assert_array_equal(led[:40, :60], street(80)[:40, :60])


def test_places_like_unedited_ones_are_not_recognised() -> None:
    key = street(8)
    edit = key.copy()
    edit[10:30, 10:40] = (230, 40, 40)  # paint on a wall that looks alike everywhere
    assert Looks(key, edit).recognised(key, np.ones(key.shape[:2], bool)) is None
    places, known = Looks(key, recoloured(key)).recognised(street(80), np.ones(key.shape[:2], bool))
    assert known[56:68, 86:104].all()
    assert not known[:40].any()
    assert ((places.x[known] >= 6) & (places.x[known] < 40)).all()


def test_a_smear_is_not_trusted() -> None:
    rest = still(40, 60)
    assert regular(rest).min() == 1
    assert regular(Motion(rest.x * 0.7, rest.y))[10:-10, 10:-10].min() == 1, "things come nearer"
    assert regular(Motion(rest.x * 0.05, rest.y))[10:-10, 10:-10].max() == 0


# -- several key frames ------------------------------------------------------------------------------------------------


def test_the_most_similar_key_frame_leads(follower: Follower) -> None:
    other = scene(seed=5)
    blue = other.copy()
    blue[30:62, 40:84] = (30, 60, 230)
    follower.take((scene(), painted(scene())), (other, blue))
    alone = Follower(load(), SIZE)
    alone.take((scene(), painted(scene())))
    for shift in (0, 2):
        np.testing.assert_array_equal(follower.follow(scene(shift)), alone.follow(scene(shift)))
    kept = follower.save()
    restored = Follower(load(), SIZE)
    restored.restore(kept)
    for each in (follower, restored):
        each.forget()
        led = each.follow(other)
        assert led[44, 60, 2] > led[44, 60, 0] + 100
