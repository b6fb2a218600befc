"""The example of a show driven by beats."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from fakes import FakeModel, FakeSource, pictures
from show.sound.drums import drums, write_wav
from vivace.stream import Stream

EXAMPLE = Path(__file__).parents[2] / "examples" / "beat_show.py"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("beat_show", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_look_changes_each_bar_and_the_strength_pulses(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "LOOKS", ("red", "green", "blue"))
    music = write_wav(tmp_path / "music.wav", drums(120, 12)[0])
    model = FakeModel(conditions=("prompt", "strength"))
    show = example.BeatShow(str(music), model)
    with Stream(model, prompt="red", crossfade_s=0) as stream:
        for _ in stream.run(FakeSource(pictures(300)), steered_by=[show]):
            pass
    looks = [tuple(chunk.embeds) for chunk in model.chunks]
    changes = [index for index in range(1, len(looks)) if looks[index] != looks[index - 1]]
    # Beats are half a second apart, the first ones found after some seconds; frames are 40 ms apart.
    assert 3 <= len(changes) <= 5
    assert all(abs(after - before - 50) <= 3 for before, after in pairwise(changes))
    strengths = [chunk.strength for chunk in model.chunks[150:]]
    assert max(strengths) > 0.9
    assert min(strengths) < 0.5
