"""Controls follow sound, deterministically, and set nothing without a change."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from fakes import NEGATIVE_PROMPT, FakeModel, FakeSource, pictures
from show.sound.drums import drums, write_wav
from vivace.errors import ControlError, UsageError
from vivace.media.frame import Frame
from vivace.media.hearing import open_sound
from vivace.models.base import Prompt
from vivace.models.controls import ControlSpec
from vivace.show.drive import MIXTURES, Drive, Driven, followers, mixture, parse_drive
from vivace.show.log import VERSION, Opening, ShowLog, read_show
from vivace.show.sound.analysis import RATE, Heard
from vivace.show.sound.hearing import TrackHearing
from vivace.show.updates import checked_message
from vivace.stream import Stream
from vivace.stream.controls import Controls

OPTIONS = (
    NEGATIVE_PROMPT,
    ControlSpec(name="warp", help="How much of it moves.", low=1, high=3),
    ControlSpec(name="grain", help="Its size, px.", default=2, low=1, high=9, whole=True),
    ControlSpec(name="fine", kind="switch", help="Whether it is fine."),
    ControlSpec(name="body", scope="stream", help="Which."),
)


class Mixing(FakeModel):
    """Model that takes every prompt, like one that mixes looks."""

    def encode_prompt(self, text: str) -> Prompt:
        self.encoded.append(text)
        made = super().encode_prompt("red")
        return Prompt(text, made.embeds, True, 1.0)


class Told:
    """Stand-in for the listener, with scripted results."""

    def __init__(self, *moments: Heard) -> None:
        self.moments = moments

    def at(self, frame: Frame, time_s: float) -> Heard:
        del time_s
        return self.moments[min(frame.index, len(self.moments) - 1)]

    def notes(self) -> list[str]:
        return []

    def close(self) -> None:
        pass


def driven(text: str, *moments: Heard, model: FakeModel | None = None, **controls: Any) -> list[dict[str, Any]]:
    """Return the settings at each frame; nothing for frames without any."""
    made = Driven(followers([text], model or FakeModel(options=OPTIONS)), Told(*moments))
    return [
        {
            name: value
            for change in made.due(frame, 0.0, lambda: Controls(**controls))
            for name, value in change.given.items()
        }
        for frame in pictures(len(moments))
    ]


@pytest.mark.parametrize(
    ("text", "drive"),
    [
        ("strength=level", Drive("strength", "level")),
        (" strength = level : 0.2 .. 0.9 ", Drive("strength", "level", "0.2", "0.9")),
        ("prompt=bass:ink and wash..neon", Drive("prompt", "bass", "ink and wash", "neon")),
    ],
)
def test_a_drive_is_read(text: str, drive: Drive) -> None:
    assert parse_drive(text) == drive


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strength", "give NAME=SIGNAL or NAME=SIGNAL:A..B"),
        ("=level", "give NAME=SIGNAL"),
        ("strength=", "give NAME=SIGNAL"),
        ("strength=level:", "give NAME=SIGNAL"),
        ("strength=level:0.5", "give NAME=SIGNAL"),
        ("strength=level:0.5..", "give NAME=SIGNAL"),
        ("strength=levle", "nothing that is heard is called 'levle'; did you mean 'level'"),
    ],
)
def test_another_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_drive(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strenght=level", "no number of that name; did you mean 'strength'"),
        ("fine=level", "fake has no number of that name"),
        ("body=level", "no number of that name"),
        ("negative_prompt=level", "no number of that name"),
        ("seed=level", "give seed=beat or seed=onset, which count"),
        ("seed=beat:1..5", "give seed=beat or seed=onset"),
        ("prompt=level", "between which looks"),
        ("prompt=level:red..purple", "no idea; near is blue"),
        ("strength=level:0..2", "strength is 2"),
        ("strength=level:quiet..loud", "strength is 'quiet', not a number"),
        ("grain=level:1.5..3", "grain is 1.5, not a whole number"),
    ],
)
def test_what_cannot_be_driven_is_refused_before_anything_begins(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        driven(text, Heard())


def test_a_control_is_driven_once() -> None:
    with pytest.raises(UsageError, match="--drive strength is given twice"):
        followers(["strength=level", "strength=beat"], FakeModel())


def test_a_model_that_mixes_nothing_by_shares_is_not_driven_between_looks() -> None:
    model = Mixing()
    object.__setattr__(model.spec, "styles", ())
    with pytest.raises(ControlError, match="fake does not mix looks by their shares"):
        driven("prompt=level:red..blue", Heard(), model=model)


def test_numbers_follow_over_their_range_or_a_part_of_it() -> None:
    moments = [Heard(level=0), Heard(level=0.001), Heard(level=0.5), Heard(level=0.5), Heard(level=1)]
    assert driven("strength=level", *moments) == [{"strength": 0.0}, {}, {"strength": 0.5}, {}, {"strength": 1.0}]
    down = driven("strength=level:0.9..0.1", *moments)
    assert [change.get("strength") for change in down] == [0.9, None, 0.5, None, 0.1]
    warp = driven("warp=level", *moments)
    assert [change.get("options") for change in warp] == [{"warp": 1.0}, None, {"warp": 2.0}, None, {"warp": 3.0}]
    grain = driven("grain=level:1..4", *moments)
    assert [change.get("options") for change in grain] == [{"grain": 1}, None, {"grain": 2}, None, {"grain": 4}]
    assert all(type(change["options"]["grain"]) is int for change in grain if change)


def test_a_seed_counts_from_what_it_was() -> None:
    moments = [Heard(beats=3), Heard(beats=3), Heard(beats=4), Heard(beats=6)]
    assert driven("seed=beat", *moments, seed=40) == [{"seed": 40}, {}, {"seed": 41}, {"seed": 43}]


def test_looks_are_mixed_in_steps_that_are_known_before() -> None:
    model = Mixing()
    moments = [Heard(bass=0), Heard(bass=0.31), Heard(bass=1)]
    made = driven("prompt=bass:ink..neon", *moments, model=model)
    assert [change["prompt"] for change in made] == ["ink", "70% ink, 30% neon", "neon"]
    assert len(set(model.encoded)) == MIXTURES + 2  # and "red", which it replaces
    assert mixture("ink", "neon", 0.05) == "95% ink, 5% neon"


def test_a_file_drives_the_same_each_time_and_its_log_needs_no_sound(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "music.wav", drums(120, 8)[0])
    shows = []
    for name in ("a.jsonl", "b.jsonl"):
        model = FakeModel()
        opening = Opening(vivace_show=VERSION, model="fake", controls=checked_message({"prompt": "red"}))
        log = ShowLog(tmp_path / name, opening, model.spec)
        hearing = TrackHearing(open_sound(str(path), RATE), of_the_source=False)
        driven_by = followers(["strength=level:0.2..1", "seed=beat"], model)
        with Stream(model, prompt="red", witness=log) as stream:
            for _ in stream.run(FakeSource(pictures(200)), steered_by=[Driven(driven_by, hearing)]):
                log.write()
        log.close()
        hearing.close()
        shows.append(read_show(log.path).updates)
    assert shows[0] == shows[1]
    seeds = [updated for updated in shows[0] if updated.controls.seed is not None]
    assert len(seeds) >= 9
    # At 25 frames a second half a second is twelve or thirteen frames.
    apart = [b.frame - a.frame for a, b in pairwise(seeds[2:])]
    assert set(apart) <= {12, 13}
    assert len(shows[0]) > 60
