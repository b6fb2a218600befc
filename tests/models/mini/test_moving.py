"""Laws of textures that follow the camera: exact at any distance, copied once, in advance where foreseeable."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import pytest

from vivace.models.base import Chunk
from vivace.models.mini import moving
from vivace.models.mini.config import MiniConfig
from vivace.models.mini.model import MiniModel
from vivace.models.mini.moving import MovingTextures, Rest, copy_shifted
from vivace.models.mini.state import MOVING, geometry, open_buffers, textures_at_rest


class ByHand(Executor):
    """Executor that runs its tasks on request, so that a test controls the progress of the other thread."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        return future

    def run(self) -> int:
        """Run the waiting tasks that were not cancelled; return their number."""
        done = 0
        for future, act in self.waiting:
            if future.set_running_or_notify_cancel():
                future.set_result(act())
                done += 1
        self.waiting.clear()
        return done


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Record the buffers that fields were copied to, one entry per copy."""
    made: list[np.ndarray] = []

    def counted(field: np.ndarray, down: int, right: int, out: np.ndarray) -> None:
        made.append(out)
        copy_shifted(field, down, right, out)

    monkeypatch.setattr(moving, "copy_shifted", counted)
    return made


def small_rest() -> Rest:
    rng = np.random.default_rng(0)
    fields = {name: rng.standard_normal((1, 2, 8, 10), np.float32) for name in ("noise", "fine_strokes")}
    return Rest(fields, {"noise": (1.0, 1.0), "fine_strokes": (0.5, 0.75)})


@pytest.mark.parametrize("steps", [(0, 0), (3, 0), (0, -4), (-13, 27), (8, 10)])
def test_a_shift_is_cyclic_and_exact(steps: tuple[int, int]) -> None:
    field = np.arange(2 * 8 * 10, dtype=np.float32).reshape(1, 2, 8, 10)
    out = np.full_like(field, np.nan)
    copy_shifted(field, *steps, out)
    np.testing.assert_array_equal(out, np.roll(field, steps, axis=(2, 3)))


@pytest.mark.parametrize("come", ["foreseen", "late", "never"])
def test_the_numbers_are_those_of_one_shift_from_rest_however_far_the_other_thread_has_come(come: str) -> None:
    rest, pool = small_rest(), ByHand()
    textures = MovingTextures(rest, pool)
    path = [(0, 2), (0, 4), (0, 6), (0, 6), (2, 6), (4, 6), (0, 0), (-4, 12), (-8, 24)]
    for to in path:
        if come == "late" and to[0] % 4:
            pool.run()
        textures.move(to)
        for name, per_px in (("noise", (1.0, 1.0)), ("fine_strokes", (0.5, 0.75))):
            steps = tuple(round(px * each) for px, each in zip(to, per_px, strict=True))
            np.testing.assert_array_equal(textures.fields[name], np.roll(rest.fields[name], steps, axis=(2, 3)))
        textures.look_ahead()
        if come == "foreseen":
            pool.run()


def test_an_even_pan_copies_each_field_once_a_frame_and_none_in_the_thread_that_paints(
    copies: list[np.ndarray],
) -> None:
    pool = ByHand()
    textures = MovingTextures(small_rest(), pool)
    textures.move((0, 2))  # this one was not foreseeable
    for frame in range(2, 12):
        textures.look_ahead()
        assert pool.run() == 1
        copies.clear()
        assert textures.move((0, 2 * frame))
        assert copies == []


def test_a_still_camera_copies_nothing_and_takes_no_memory_of_its_own(copies: list[np.ndarray]) -> None:
    rest, pool = small_rest(), ByHand()
    one, two = MovingTextures(rest, pool), MovingTextures(rest, pool)
    for _ in range(5):
        assert not one.move((0, 0))
        one.look_ahead()
    assert copies == []
    assert pool.waiting == []
    assert one.fields["noise"] is two.fields["noise"]
    assert one.nbytes == rest.nbytes


def test_an_unforeseen_move_copies_each_field_once(copies: list[np.ndarray]) -> None:
    textures = MovingTextures(small_rest(), ByHand())
    for to in ((2, 0), (4, 6), (0, 2)):
        copies.clear()
        textures.move(to)
        textures.look_ahead()
        assert len(copies) == 2


def test_buffers_do_not_grow_with_the_distance() -> None:
    textures = MovingTextures(small_rest(), pool := ByHand())
    seen = set()
    for frame in range(1, 50):
        textures.move((0, 2 * frame))
        textures.look_ahead()
        pool.run()
        seen.add(textures.nbytes)
    assert max(seen) == 3 * small_rest().nbytes


def test_a_state_says_how_large_it_may_become() -> None:
    place, cfg, pool = geometry((180, 130)), MiniConfig(), ByHand()
    buffers = open_buffers(place, 0, cfg, pool)
    for frame in range(1, 4):
        buffers.move_textures((0.0, 8.0 * frame))
        buffers.textures.look_ahead()
    assert buffers.nbytes == place.nbytes(cfg)
    assert all(buffers.inputs[name] is buffers.textures.fields[name] for name in MOVING)


def test_streams_of_one_size_and_seed_share_their_textures_at_rest() -> None:
    place = geometry((180, 130))
    assert textures_at_rest(place, 3) is textures_at_rest(place, 3)
    assert textures_at_rest(place, 3) is not textures_at_rest(place, 4)


def test_a_moving_stream_paints_the_same_whether_moves_are_foreseen_or_not(
    monkeypatch: pytest.MonkeyPatch, painter: MiniModel
) -> None:
    rng = np.random.default_rng(0)
    world = np.kron(rng.integers(0, 256, (12, 40, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    views = [np.ascontiguousarray(world[:, 4 * i : 4 * i + 96]) for i in range(6)]
    embeds = painter.encode_prompt("oil painting").embeds

    def painted() -> list[np.ndarray]:
        state = painter.open((96, 96))
        out = [painter.step([state], [Chunk(view[None], embeds)])[0].rgb for view in views]
        assert state.levels[0].textures.at != (0, 0), "the camera was to move"
        return out

    foreseen = painted()
    monkeypatch.setattr(MovingTextures, "look_ahead", lambda _self: None)
    for one, other in zip(foreseen, painted(), strict=True):
        np.testing.assert_array_equal(one, other)
