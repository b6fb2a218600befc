"""A played session becomes a script that repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fakes import NEGATIVE_PROMPT, FakeModel, FakeSource, pictures
from vivace.messages import Controls
from vivace.models.controls import ControlSpec
from vivace.show import kept
from vivace.show.kept import KeptShow
from vivace.show.script import Timeline, read_script
from vivace.stream import Stream

OPTIONS = (
    NEGATIVE_PROMPT,
    ControlSpec(name="warp speed", help="How much of it moves.", default=0.5),
    ControlSpec(name="anchor", kind="event", help="A change anchors anew."),
    ControlSpec(name="look", kind="image", help="What to paint like."),
)


def frame_at(index: int) -> Any:
    return pictures(index + 1)[index]


def test_a_script_says_what_was_set_at_the_time_of_the_frame_from_which_it_held(tmp_path: Path) -> None:
    spec = FakeModel(options=OPTIONS).spec
    show = KeptShow(Controls(prompt="red", strength=0.5, size=(32, 16)), spec)
    show.updated(1, 0, {"seed": 3})
    for index in range(10):
        if index == 5:
            show.updated(2, 5, {"prompt": 'say "hey"\n\\ \x7f', "options": {"warp speed": 0.25}, "events": ["anchor"]})
            show.updated(3, 6, {"prompt": None, "strength": None, "mask": "", "options": {"warp speed": None}})
        if index != 6:  # dropped
            show.entered(frame_at(index), 100 + index / 25, 1.0)
    show.updated(4, 10, {"seed": 9})  # of which no frame was seen
    show.updated(5, 10, {"size": [64, 32]})
    text = show.script('an "evening"')
    (tmp_path / "show.toml").write_text(text)
    script = read_script(tmp_path / "show.toml")
    assert script.title == 'an "evening"'
    assert [(cue.at, dict(cue.values)) for cue in script.cues] == [
        (0.0, {"prompt": "red", "strength": 0.5}),
        (0.0, {"seed": 3}),
        (0.2, {"prompt": 'say "hey"\n\\ \x7f', "warp speed": 0.25, "anchor": True}),
        (0.28, {"strength": None, "warp speed": None, "prompt": "", "mask": ""}),
    ]


def test_what_was_played_is_played_again(tmp_path: Path) -> None:
    model = FakeModel(options=OPTIONS)
    given = {"prompt": "red", "crossfade_s": 0.1, "strength": 0.75}
    show = KeptShow(Controls.model_validate(given), model.spec)
    with Stream(model, witness=show, **given) as stream:  # type: ignore[arg-type]
        first = []
        for frame in stream.run(FakeSource(pictures(60))):
            first.append(frame.rgb.tolist())
            if frame.index % 9 == 4:
                stream.update(
                    prompt=("blue", "green", None)[frame.index % 3], options={"warp speed": frame.index / 100}
                )
    (tmp_path / "show.toml").write_text(show.script())
    with Stream(FakeModel(options=OPTIONS)) as stream:
        timeline = Timeline(read_script(tmp_path / "show.toml"), stream.model)
        again = [frame.rgb.tolist() for frame in stream.run(FakeSource(pictures(60)), steered_by=[timeline])]
    assert again == first


def test_no_more_is_kept_than_there_is_room_for_and_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept, "MAX_UPDATES", 10)
    show = KeptShow(Controls(prompt="red"), FakeModel().spec)
    for index in range(30):
        show.updated(index + 1, index, {"seed": index})
        show.entered(frame_at(index), index / 25, 1.0)
    text = show.script()
    assert "More was played than is kept" in text
    (tmp_path / "show.toml").write_text(text)
    assert len(read_script(tmp_path / "show.toml").cues) == 10
