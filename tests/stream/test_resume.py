"""A run resumed at a point gives what the uninterrupted run would have given."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fakes import FakeModel, FakeSource, FakeState, pictures
from vivace.media.frame import Frame
from vivace.models.base import Memory
from vivace.stream import Stream
from vivace.stream.processor import REPLAYED_FRAMES, ResumePoint


class Keeping(FakeModel):
    """Model that saves its memory."""

    def save(self, state: FakeState) -> Memory:
        return {"memory": state.memory.copy()}

    def restore(self, state: FakeState, memory: Memory) -> None:
        state.memory[...] = memory["memory"]


def played(
    model: Any, frames: Sequence[Frame], *, prompt: str = "red", after: ResumePoint | None = None, **controls: Any
) -> tuple[list[Frame], dict[int, ResumePoint]]:
    """Return the output of frames, and the offered resume points by index."""
    points: dict[int, ResumePoint] = {}

    def see(frame: Frame) -> Frame:
        if (point := stream.save(frame)) is not None:
            points[frame.index] = point
        return frame

    with Stream(model, prompt=prompt, finish=[see], **controls) as stream:
        source = FakeSource(frames, size=frames[0].size)
        return list(stream.run(source, after=after)), points


def stored(point: ResumePoint) -> ResumePoint:
    """Return a point as read back from a file."""
    file = io.BytesIO()
    np.savez(file, **(point.memory or {}))
    file.seek(0)
    with np.load(file) as kept:
        return ResumePoint(point.index, {name: kept[name] for name in kept.files}, point.painting)


def same(found: Sequence[Frame], wanted: Sequence[Frame]) -> bool:
    return [frame.index for frame in found] == [frame.index for frame in wanted] and all(
        np.array_equal(one.rgb, other.rgb) and one.pts == other.pts for one, other in zip(found, wanted, strict=True)
    )


def film(count: int) -> list[Frame]:
    """Return frames of a panning camera, with cuts at a third and at two thirds."""
    rng = np.random.default_rng(3)
    scenes = [rng.integers(0, 256, (9, 30, 3), np.uint8).repeat(8, 0).repeat(8, 1) // (1 + at) for at in range(3)]
    frames = []
    for index in range(count):
        scene = scenes[3 * index // count]
        left = 2 * index % 100
        rgb = np.ascontiguousarray(scene[:64, left : left + 96])
        frames.append(Frame(rgb, index, index, Fraction(1, 25), 0.0))
    return frames


def test_the_embedded_model_goes_on_bit_for_bit(mini: Any) -> None:
    frames = film(30)
    whole, points = played(mini, frames, prompt="ink drawing", seed=3)
    assert len(points) == len(frames)
    for index in (0, 7, 9, 10, 22):
        again, later = played(mini, frames, prompt="ink drawing", seed=3, after=stored(points[index]))
        assert same(again, whole[index + 1 :]), index
        assert later.keys() == {at for at in points if at > index}
        memory, wanted = later[29].memory, points[29].memory
        assert memory is not None
        assert wanted is not None
        assert all(np.array_equal(memory[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("chunk_frames", [1, 3])
def test_a_point_is_where_all_frames_are_out(chunk_frames: int) -> None:
    frames = pictures(12)
    whole, points = played(Keeping(chunk_frames=chunk_frames), frames, detect_cuts=False)
    assert list(points) == list(range(chunk_frames - 1, 12, chunk_frames))
    for index, point in points.items():
        again, _ = played(Keeping(chunk_frames=chunk_frames), frames, after=point, detect_cuts=False)
        assert same(again, whole[index + 1 :])


def test_there_is_no_point_while_something_is_about_to_be_forgotten() -> None:
    """After unpainted frames the model resets its memory, once it paints again."""
    frames = pictures(9)
    masks = [np.full((16, 32), 255 * (not 3 <= index < 6), np.uint8) for index in range(9)]
    mask = FakeSource(
        [Frame(np.repeat(one[..., None], 3, 2), at, at, Fraction(1, 25), 0.0) for at, one in enumerate(masks)]
    )
    whole, points = played(Keeping(), frames, mask=mask)
    assert list(points) == [0, 1, 2, 6, 7, 8]
    mask = FakeSource(mask.frames)
    assert same(played(Keeping(), frames, mask=mask, after=points[2])[0], whole[3:])


@pytest.mark.parametrize("lag", [0, 2])
def test_a_model_that_keeps_no_memory_sees_the_frames_before_again(lag: int) -> None:
    frames = pictures(REPLAYED_FRAMES + 20)
    whole, points = played(FakeModel(lag=lag), frames)
    model = FakeModel(lag=lag)
    again, _ = played(model, frames, after=points[40])
    assert points[40].memory is None
    # The memory of this one is gone after eight frames.
    assert same(again, whole[41:])
    assert len(model.chunks) == REPLAYED_FRAMES + len(frames) - 41 + lag


def test_the_next_run_begins_at_the_beginning() -> None:
    frames = pictures(6)
    with Stream(Keeping(), prompt="red") as stream:
        assert len(list(stream.run(FakeSource(frames), after=ResumePoint(3)))) == 2
        assert len(list(stream.run(FakeSource(frames)))) == 6
