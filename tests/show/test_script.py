"""A timeline: its events happen at the frame of their time, and errors are reported before anything begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import NEGATIVE_PROMPT, FakeModel, FakeSource, pictures
from vivace.errors import ControlError, SourceNotFoundError
from vivace.media.frame import Frame
from vivace.models.controls import ControlSpec
from vivace.show.cues import close_masks
from vivace.show.log import VERSION, Opening, ShowLog, read_show
from vivace.show.script import Timeline, read_script
from vivace.show.updates import checked_message
from vivace.stream import Stream
from vivace.stream.controls import Controls

OPTIONS = (
    NEGATIVE_PROMPT,
    ControlSpec(name="warp", help="How much of it moves.", default=0.5),
    ControlSpec(name="grain", help="Its size, px.", default=2, low=1, high=8, whole=True),
    ControlSpec(name="anchor", kind="event", help="A change anchors anew."),
)
BODY = ControlSpec(name="body", scope="stream", kind="choice", help="Which.", choices=("small", "large"))


def written(folder: Path, text: str) -> Path:
    path = folder / "show.toml"
    path.write_text(text)
    return path


def played(
    folder: Path, text: str, *, count: int = 100, beats: Callable[[Frame, float], float] | None = None
) -> list[tuple[int, dict[str, object]]]:
    """Return the settings with the frames from which they are in force, at 25 fps."""
    model = FakeModel(options=OPTIONS)
    log_path = folder / "log.jsonl"
    opening = Opening(vivace_show=VERSION, model="fake", controls=checked_message({}))
    log = ShowLog(log_path, opening, model.spec)
    timeline = Timeline(read_script(written(folder, text)), model, beats)
    with Stream(model, witness=log) as stream:
        for _ in stream.run(FakeSource(pictures(count)), steered_by=[timeline]):
            log.write()
    log.close()
    return [(updated.frame, updated.controls.model_dump(exclude_unset=True)) for updated in read_show(log_path).updates]


def test_cues_are_in_force_from_the_first_frame_of_their_time(tmp_path: Path) -> None:
    text = """
        title = "An evening"
        bpm = 60
        first_beat_s = 0.5
        [[cue]]
        beat = 2
        prompt = "blue"
        anchor = true
        [[cue]]
        time = 0
        prompt = "red"
        crossfade_s = 0
        [[cue]]
        time = "0:01.01"
        seed = 4
        warp = 0.25
        negative_prompt = "green"
        [[cue]]
        time = 3
        prompt = ""
        anchor = false
        [[cue]]
        time = 500
        prompt = "green"
    """
    assert played(tmp_path, text) == [
        (0, {"prompt": "red", "crossfade_s": 0.0}),
        (26, {"seed": 4, "options": {"warp": 0.25, "negative_prompt": "green"}}),
        (63, {"prompt": "blue", "events": ["anchor"]}),  # 2.5 s is between two frames
        (75, {"prompt": None}),
    ]


def test_numbers_glide_from_what_they_are_and_end_exactly(tmp_path: Path) -> None:
    text = """
        [[cue]]
        time = 0
        strength = 0.5
        [[cue]]
        time = 0
        strength = 1
        warp = 0
        prompt = "red"
        over = 0.4
        [[cue]]
        time = 1
        grain = 8
        over = 1
        [[cue]]
        time = 1.5
        grain = 1
    """
    updates = played(tmp_path, text, count=50)
    assert updates[:2] == [(0, {"strength": 0.5}), (0, {"prompt": "red"})]
    glide = [update for update in updates if "strength" in update[1]][1:]
    assert [index for index, _ in glide] == list(range(11))
    assert [update["strength"] for _, update in glide] == pytest.approx(np.linspace(0.5, 1, 11))
    assert glide[-1] == (10, {"strength": 1.0, "options": {"warp": 0.0}})
    grains = [(index, update["options"]["grain"]) for index, update in updates if "grain" in update.get("options", {})]
    assert grains[0] == (25, 2)
    assert {type(grain) for _, grain in grains} == {int}
    assert grains[-1] == (38, 1)  # the last event counts, and no transition goes on
    assert max(grain for _, grain in grains) == 5


def test_beats_may_be_heard(tmp_path: Path) -> None:
    text = 'beats = "sound"\n[[cue]]\nbeat = 2\nprompt = "red"\n[[cue]]\nbeat = 4\nstrength = 0\nover = 2'
    updates = played(tmp_path, text, count=40, beats=lambda frame, _time_s: frame.index / 5)
    assert updates[0] == (10, {"prompt": "red"})
    assert updates[1][0] == 20
    assert updates[-1] == (30, {"strength": 0.0})
    assert updates[6] == (25, {"strength": 0.5})


def test_files_lie_beside_the_script(tmp_path: Path) -> None:
    """Those of controls that take pictures: a word is none, whatever lies there."""
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "blue", "PNG")
    words = "[[cue]]\ntime = 0\nmask = 'blue'\nprompt = 'blue'\nnegative_prompt = 'blue'"
    timeline = Timeline(read_script(written(tmp_path, words)), FakeModel(options=(NEGATIVE_PROMPT,)))
    [change] = timeline.due(pictures(1)[0], 0.0, Controls)
    close_masks([change])
    named = {"mask": str(tmp_path / "blue"), "prompt": "blue", "options": {"negative_prompt": "blue"}}
    assert change.given == named


def test_so_does_a_folder_of_key_frames(tmp_path: Path) -> None:
    keyframe = ControlSpec(name="keyframe", kind="image", several=True, help="A frame that was edited.")
    (tmp_path / "keys").mkdir()
    for name in ("a.png", "a.source.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "keys" / name)
    cues = "[[cue]]\ntime = 0\nkeyframe = 'keys'\nmask = ''"
    timeline = Timeline(read_script(written(tmp_path, cues)), FakeModel(options=(keyframe,)))
    [change] = timeline.due(pictures(1)[0], 0.0, Controls)
    assert change.given["options"] == {"keyframe": str(tmp_path / "keys")}
    assert change.given["mask"] is None, "no text is no region, not the script's own folder"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[cue]", r"show.toml: is no TOML"),
        ("[[cues]]\ntime = 1", "no key 'cues' is known here; did you mean 'cue'"),
        ("bpm = 0\n", "bpm: "),
        ("bpm = 100\nbeats = 'sound'", "leave out one of the two"),
        ("[[cue]]\nprompt = 'red'", r"cue 1: give it either a time, in seconds, or a beat"),
        ("[[cue]]\ntime = 1\nbeat = 1", "either a time, in seconds, or a beat"),
        ("[[cue]]\ntime = -1", "cue 1: time is -1"),
        ("[[cue]]\ntime = 'soon'", "time is 'soon', not a number; give a number from 0, or a time as '1:05.5'"),
        ("[[cue]]\ntime = nan", "time is nan"),
        ("[[cue]]\nbeat = 1", "say how long one is with `bpm`"),
        (
            "[[cue]]\ntime = 2\nstrenght = 1",
            r"cue 1 \(at 2 s\): there is no control 'strenght'; did you mean 'str",
        ),
        ("[[cue]]\ntime = 2\nwarpe = 1\nover = 1", "no control 'warpe'; did you mean 'warp'"),
        ("[[cue]]\ntime = 2\nsize = [64, 64]", "no control 'size'"),
        ("[[cue]]\ntime = 2\nbody = 'small'", "body is fixed when a stream opens"),
        ("bpm = 60\n[[cue]]\nbeat = 2\nstrength = 2", r"cue 1 \(at beat 2\): strength: .*less than or equal to 1"),
        ("[[cue]]\ntime = 2\nwarp = 2\nover = 1", "warp is 2"),
        ("[[cue]]\ntime = 2\nprompt = 'purple'", "no idea; near is blue"),
        ("[[cue]]\ntime = 2\nprompt = 'red'\nover = 1", "no number that could glide"),
        ("[[cue]]\ntime = 2\nanchor = 'yes'", "anchor is 'yes', and it happens once"),
        ("[[cue]]\ntime = 2\nlook = 3", "look is 3; give the name of a file"),
        ("[[cue]]\ntime = 2\nlook = 'a.look'\nprompt = 'red'", "in place of a prompt"),
        ("[[cue]]\ntime = 2\nprompt = 3", "prompt: Input should be a valid string"),
    ],
)
def test_what_cannot_be_played_is_refused_before_the_first_frame(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ControlError, match=message):
        Timeline(read_script(written(tmp_path, text)), FakeModel(options=(*OPTIONS, BODY)))


def test_a_script_or_a_file_of_it_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"no\.toml"):
        read_script(tmp_path / "no.toml")
    path = written(tmp_path, "[[cue]]\ntime = 2\nmask = 'no.png'")
    with pytest.raises(SourceNotFoundError, match=r"cue 1 \(at 2 s\): .*no.png"):
        Timeline(read_script(path), FakeModel())
    path = written(tmp_path, "[[cue]]\ntime = 2\nlook = 'no.look'")
    with pytest.raises(SourceNotFoundError, match=r"no.look"):
        read_script(path)


def test_a_region_outside_the_picture_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    path = written(tmp_path, "[[cue]]\ntime = 2\nmask = '4000,0,10,10'")
    model = FakeModel()
    with Stream(model, prompt="red") as stream:
        run = stream.run(FakeSource(pictures(3)), steered_by=[Timeline(read_script(path), model)])
        with pytest.raises(ControlError, match="lies outside the output"):
            next(run)
