"""An output frame carries its source, so that both can be shown side by side."""

from __future__ import annotations

import numpy as np

from fakes import FakeModel
from vivace.media.convert import cover
from vivace.stream import Stream


def test_an_output_frame_has_its_source_picture_at_its_own_size() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(3)]
    with Stream(FakeModel(), prompt="red", size=(32, 16)) as stream:
        made = [frame for rgb in pictures for frame in stream.push(rgb)]
    assert len(made) == 3
    for rgb, frame in zip(pictures, made, strict=True):
        assert frame.source_rgb is not None
        assert np.array_equal(frame.source_rgb, cover(rgb, (32, 16)))
        assert not np.array_equal(frame.rgb, frame.source_rgb)


def test_a_model_that_trails_its_input_still_pairs_them() -> None:
    pictures = [np.full((16, 32, 3), value, np.uint8) for value in (10, 20, 30, 40)]
    with Stream(FakeModel(lag=2), prompt="red", size=(32, 16)) as stream:
        made = [frame for rgb in pictures for frame in stream.push(rgb)]
    assert [int(frame.source_rgb[0, 0, 0]) for frame in made if frame.source_rgb is not None] == [10, 20]
