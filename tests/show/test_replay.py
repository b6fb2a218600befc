"""A played show is painted again identically: the same frames under the same controls, to the byte."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Any

import numpy as np
import pytest

import vivace
from fakes import NEGATIVE_PROMPT, FakeModel, FakeSource, pictures
from patience import PATIENCE_S
from vivace.errors import ControlError, SinkWriteError, SourceNotFoundError
from vivace.media.frame import Frame
from vivace.models.base import ModelSpec, StreamModel
from vivace.models.controls import ControlSpec
from vivace.show.cues import Replay
from vivace.show.log import VERSION, Opening, Show, ShowLog, read_show
from vivace.show.updates import change_of, changes_of, checked_message, message_of
from vivace.stream import Stream
from vivace.stream.moderation import NOBODY
from vivace.stream.stream import FrameSource

OPTIONS = (
    NEGATIVE_PROMPT,
    ControlSpec(name="warp", help="How much of it moves."),
    ControlSpec(name="anchor", kind="event", help="A change anchors anew."),
    ControlSpec(name="look", kind="image", help="What to paint like."),
)
PROMPTS = ("red", "green", "blue", None)


def opening_of(live: bool, **controls: object) -> Opening:
    return Opening(vivace_show=VERSION, model="fake", live=live, controls=checked_message(controls))


class WaitedLog(ShowLog):
    """Log that lets a live source give three frames at a time, of which some are dropped and the last never is."""

    taken = -1

    def __init__(self, path: Path, opening: Opening, spec: ModelSpec) -> None:
        super().__init__(path, opening, spec)
        self.newest = Condition()

    def entered(self, frame: Frame, time_s: float, effort: float) -> None:
        super().entered(frame, time_s, effort)
        with self.newest:
            self.taken = frame.index
            self.newest.notify_all()

    def in_threes(self, index: int) -> None:
        if index % 3 == 0:
            with self.newest:
                assert self.newest.wait_for(lambda: self.taken == index - 1, PATIENCE_S)


class Played:
    """Kept run: all painted frames, and the log."""

    def __init__(
        self, model: StreamModel[Any], folder: Path, *, live: bool, deadline_ms: float | None = None, **controls: Any
    ) -> None:
        self.painted: list[Frame] = []
        self.path = folder / f"{len(list(folder.iterdir()))}.jsonl"
        self.log = WaitedLog(self.path, opening_of(live, **controls), model.spec)
        self.live = live
        self.stream = Stream(model, finish=[self._see], witness=self.log, deadline_ms=deadline_ms, **controls)

    def _see(self, frame: Frame) -> Frame:
        self.painted.append(frame)
        return frame

    def play(self, source: FrameSource, each: Callable[[Frame], None] = lambda _frame: None, **how: Any) -> None:
        with self.stream as stream:
            for frame in stream.run(source, live=self.live, **how):
                self.log.end = frame.index + 1
                each(frame)
                self.log.write()
        self.log.close()

    @property
    def show(self) -> Show:
        return read_show(self.path)


def replayed(show: Show, model: StreamModel[Any], source: FrameSource, folder: Path, *, as_played: bool) -> Played:
    """Play a show again, and keep that run, too."""
    controls = changes_of(show.opening.controls)
    again = Played(model, folder, live=False, **controls)
    steps = Replay([(updated.frame, change_of(updated.controls, model, NOBODY)) for updated in show.updates])
    again.play(source, steered_by=[steps], course=show.course if as_played else None)
    return again


def assert_same(one: Sequence[Frame], other: Sequence[Frame]) -> None:
    assert [frame.index for frame in one] == [frame.index for frame in other]
    assert [frame.control_index for frame in one] == [frame.control_index for frame in other]
    differing = [a.index for a, b in zip(one, other, strict=True) if not np.array_equal(a.rgb, b.rgb)]
    assert differing == []


def steering(stream: Stream, model: FakeModel, seed: int) -> Callable[[Any], None]:
    """Return a hook that steers at random, from within the making of frames and from another thread."""
    choose = random.Random(seed)

    def steer(_chunk: object) -> None:
        kind = choose.randrange(6)
        if kind == 0:
            stream.update(prompt=choose.choice(PROMPTS), crossfade_s=choose.choice((0.0, 0.1, 0.5)))
        elif kind == 1:
            stream.update(strength=choose.choice((0.0, choose.random(), 1.0)))
        elif kind == 2:
            stream.update(seed=choose.randrange(3), options={"warp": choose.random()})
        elif kind == 3:
            stream.update(events={"anchor"}, options={"negative_prompt": choose.choice(("red", "blue", ""))})
        elif kind == 4:
            stream.update(mask=choose.choice((None, "0,0,0.5,1", np.full((16, 32), 200, np.uint8))))

    return steer


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lag", [0, 2])
@pytest.mark.parametrize("live", [False, True])
def test_a_show_is_painted_again_to_the_byte(tmp_path: Path, live: bool, lag: int, seed: int) -> None:
    model = FakeModel(options=OPTIONS, lag=lag)
    first = Played(model, tmp_path, live=live, prompt="red", crossfade_s=0.2)
    steer = steering(first.stream, model, seed)
    # A model is not called where the source is shown, so the consumer steers, too.
    other = steering(first.stream, model, seed + 100)
    model.on_step = steer
    source = FakeSource(pictures(120), live=live, before_frame=first.log.in_threes if live else None)
    first.play(source, other)
    chunks = list(model.chunks)
    model.on_step = None
    model.chunks.clear()
    show = first.show
    assert show.updates
    again = replayed(show, model, FakeSource(pictures(120)), tmp_path, as_played=live)
    painted = [frame for frame in first.painted if show.frames is None or frame.index < show.frames]
    assert_same(painted, again.painted[: len(painted)])
    assert [chunk.effort for chunk in model.chunks] == [chunk.effort for chunk in chunks][: len(model.chunks)]
    mine, theirs = again.show.updates, show.updates
    assert list(mine) == [updated for updated in theirs if updated.frame < (show.frames or 0)][: len(mine)]


def test_updates_of_another_thread_are_repeated_as_they_fell(tmp_path: Path) -> None:
    model = FakeModel(options=OPTIONS)
    first = Played(model, tmp_path, live=False, prompt="red")
    steer = steering(first.stream, model, 7)
    thread = Thread(target=lambda: [steer(None) for _ in range(300)])
    thread.start()
    first.play(FakeSource(pictures(200)))
    thread.join()
    model_again = FakeModel(options=OPTIONS)
    assert_same(
        first.painted, replayed(first.show, model_again, FakeSource(pictures(200)), tmp_path, as_played=False).painted
    )


def test_every_frame_of_a_live_show_is_painted_with_the_updates_where_they_held(tmp_path: Path) -> None:
    model = FakeModel()
    first = Played(model, tmp_path, live=True, prompt="red", crossfade_s=0.0)
    acks: list[int] = []

    def steer(frame: Frame) -> None:
        if len(acks) < 2 and frame.index >= (11, 29)[len(acks)]:
            acks.append(first.stream.update(prompt="blue" if not acks else "green").frame_index)

    first.play(FakeSource(pictures(50), live=True, before_frame=first.log.in_threes), steer)
    again = replayed(first.show, FakeModel(), FakeSource(pictures(50)), tmp_path, as_played=False)
    assert [frame.index for frame in again.painted] == list(range(50))
    assert len(first.painted) < 50
    assert [updated.frame for updated in first.show.updates] == acks
    assert len(acks) == 2
    for frame in again.painted:
        assert frame.control_index == sum(frame.index >= index for index in acks)


def test_a_real_model_repeats_a_live_show(tmp_path: Path) -> None:
    model = vivace.load_model("mini")
    first = Played(model, tmp_path, live=True, prompt="ink", size=(96, 64), crossfade_s=0.3, deadline_ms=0.1)

    def steer(frame: Frame) -> None:
        if frame.index % 7 == 3:
            first.stream.update(prompt=("neon", "watercolour", None)[frame.index % 3], strength=0.4 + frame.index / 100)
        if frame.index == 25:
            first.stream.update(seed=3)

    scene = {"spec": "scene:walkers", "size": (96, 64)}
    frames = [frame for frame, _ in zip(vivace.open_source(**scene), range(40), strict=False)]
    first.play(FakeSource(frames, size=(96, 64), live=True, before_frame=first.log.in_threes), steer)
    show = first.show
    assert show.course is not None
    assert len({effort for _, effort in show.course.frames.values()}) > 1
    again = replayed(show, model, FakeSource(frames, size=(96, 64)), tmp_path, as_played=True)
    painted = [frame for frame in first.painted if frame.index < (show.frames or 0)]
    assert len(painted) >= 13
    assert_same(painted, again.painted)


def test_pictures_and_files_of_an_update_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = FakeModel(options=OPTIONS).spec
    Path("mask.png").write_bytes(b"no picture yet")
    grey = np.arange(512, dtype=np.uint8).reshape(16, 32)
    given = {"mask": "mask.png", "options": {"look": np.zeros((4, 4, 3), np.uint8), "negative_prompt": "red"}}
    said = message_of(given, spec)
    assert said.mask == str(tmp_path / "mask.png")
    assert str((said.options or {})["look"]).startswith("data:image/png;base64,")
    assert (said.options or {})["negative_prompt"] == "red"
    assert message_of({"mask": (0, 0, 0.5, 1)}, spec).mask == "0,0,0.5,1"
    assert message_of({"mask": None, "prompt": None}, spec).model_dump(exclude_unset=True) == {
        "mask": None,
        "prompt": None,
    }
    change = change_of(message_of({"mask": grey}, spec), FakeModel(), NOBODY)
    region = change.checked["mask"].region((32, 16), 0.0)
    assert not region.empty
    with pytest.raises(ControlError, match="mask is of type FakeSource, which a log cannot keep"):
        message_of({"mask": FakeSource(())}, spec)


def written(path: Path, *lines: object, end: str = "\n") -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + end)
    return path


GOOD = {"vivace_show": 1, "model": "fake", "controls": {}}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "line 1: not JSON"),
        (["[1]"], "no line of a show"),
        ([{"update": 1, "frame": 2, "controls": {}}], "begins with no show"),
        ([{**GOOD, "vivace_show": 9}], "version 9; this Vivace reads version 1"),
        ([{**GOOD, "modle": 1}], "no key 'modle' is known here; did you mean 'model'"),
        ([GOOD, {"update": 1, "frame": 3, "controls": {"promt": "ink"}}], "line 2: .*did you mean 'prompt'"),
        ([GOOD, {"update": 1, "frame": -3, "controls": {}}], "line 2: frame: "),
        ([GOOD, {"update": 1, "frame": 3, "controls": {}}, {"update": 2, "frame": 1, "controls": {}}], "comes after 3"),
        ([GOOD, {"frame": 1, "time_s": 0, "effort": 7}], "line 2: effort: "),
        ([GOOD, {"what": 1}], "line 2: .* is no line of a show"),
        ([GOOD, GOOD], "line 2: another show begins"),
        ([GOOD, "{"], "line 2: not JSON"),
    ],
)
def test_what_is_no_log_is_refused_with_its_line(tmp_path: Path, lines: list[object], message: str) -> None:
    with pytest.raises(ControlError, match=message):
        read_show(written(tmp_path / "show.jsonl", *lines))


def test_a_log_that_was_cut_off_is_good_up_to_its_last_whole_line(tmp_path: Path) -> None:
    lines = [{**GOOD, "live": True}, {"frame": 4, "time_s": 1.5, "effort": 1.0}, '{"update": 1, "fra']
    show = read_show(written(tmp_path / "show.jsonl", *lines, end=""))
    assert (show.frames, show.updates) == (5, ())
    assert show.course is not None
    assert show.course.frames == {4: (1.5, 1.0)}
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ControlError, match="holds no show"):
        read_show(tmp_path / "empty.jsonl")
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        read_show(tmp_path / "nowhere.jsonl")


def test_a_log_that_cannot_be_written_says_so_and_an_unused_one_leaves_the_old(tmp_path: Path) -> None:
    old = written(tmp_path / "old.jsonl", GOOD)
    ShowLog(old, opening_of(live=False), FakeModel().spec).close()
    assert read_show(old).opening.model == "fake"
    log = ShowLog(tmp_path / "no" / "show.jsonl", opening_of(live=False), FakeModel().spec)
    with pytest.raises(SinkWriteError, match="cannot be opened"):
        log.write()
    full = ShowLog(Path("/dev/full"), opening_of(live=False), FakeModel().spec)
    with pytest.raises(SinkWriteError, match="No space left"):
        full.write()
    for failed in (log, full):
        failed.updated(1, 0, {"prompt": "red"})
        assert not failed._told, "nothing piles up for hours"
        failed.write()  # already reported
        failed.close()
