"""Laws of a frame's cost, counted, not timed: conversions, small pictures, and their threads."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from counting import count_conversions
from fakes import FakeModel
from media.clips import write_clip
from vivace.models import thumbnail as thumbnails
from vivace.stream import Stream, fit
from vivace.stream.blend import FULL, Region, blend


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the threads that make small pictures, one entry each."""
    threads: list[str] = []

    def thumbnail(rgb):
        threads.append(threading.current_thread().name)
        return thumbnails.thumbnail(rgb)

    monkeypatch.setattr(fit, "thumbnail", thumbnail)
    return threads


FRAMES = 8


@pytest.mark.parametrize("size", [(64, 48), (64, 64)], ids=["same shape", "cut"])
def test_a_file_is_converted_once_a_frame_where_it_is_received(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: list[str], size: tuple[int, int]
) -> None:
    path = tmp_path / "clip.mp4"
    write_clip(path, [np.full((96, 128, 3), 10 * index, np.uint8) for index in range(FRAMES)])
    conversions = count_conversions(monkeypatch)
    with Stream(FakeModel(), prompt="red", size=size) as stream:
        out = list(stream.run(str(path), live=False))
    assert [frame.size for frame in out] == [size] * FRAMES
    # The first frame tells the source's size before that of the output is known, and is scaled once more.
    assert conversions == [threading.current_thread().name] + ["vivace-capture"] * FRAMES
    assert looks == ["vivace-capture"] * FRAMES


def test_a_pushed_picture_of_the_right_size_is_not_converted_and_looked_at_once(
    monkeypatch: pytest.MonkeyPatch, looks: list[str]
) -> None:
    conversions = count_conversions(monkeypatch)
    with Stream(FakeModel(), prompt="red", size=(64, 48)) as stream:
        for index in range(FRAMES):
            stream.push(np.full((48, 64, 3), index, np.uint8))
    assert conversions == []
    assert len(looks) == FRAMES


def test_weights_of_a_mask_are_made_once_for_an_opacity() -> None:
    region = Region(np.full((48, 64), 200, np.uint8))
    assert region.weights(FULL).shape == (48, 3 * 64)
    assert region.weights(FULL) is region.weights(FULL)
    assert region.weights(100) is region.weights(100)


def test_a_mask_over_the_whole_picture_copies_no_source() -> None:
    class Counted(np.ndarray):
        copies = 0

        def copy(self, *args, **kwargs):
            Counted.copies += 1
            return super().copy(*args, **kwargs)

    source = np.zeros((48, 64, 3), np.uint8).view(Counted)
    painted = np.full((48, 64, 3), 200, np.uint8)
    blend(source, painted, 1.0, Region(np.full((48, 64), 99, np.uint8)))
    assert Counted.copies == 0
    half = np.zeros((48, 64), np.uint8)
    half[:24] = 99
    blend(source, painted, 1.0, Region(half))
    assert Counted.copies == 1


def test_a_picture_in_another_order_of_memory_is_blended_alike() -> None:
    rng = np.random.default_rng(0)
    source, painted = (rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(2))
    turned = np.asfortranarray(source)
    for region in (None, Region(np.full((48, 64), 99, np.uint8))):
        np.testing.assert_array_equal(blend(turned, painted, 0.5, region), blend(source, painted, 0.5, region))
