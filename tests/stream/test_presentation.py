"""Frames that arrive in groups are shown evenly, without growing delay, and the newest wins."""

from __future__ import annotations

from dataclasses import replace
from threading import Condition, Event

import numpy as np
import pytest

from fakes import FakeClock, FakeModel, pictures
from vivace.media.frame import Frame
from vivace.stream import Stream, pipeline
from vivace.stream.presentation import SHRINKING, PresentationClock, Presenter

FPS = 25
LIMIT_S = 20.0


def chunks(count: int, of: int = 4) -> list[list[Frame]]:
    """Return chunks of frames that were captured at an even pace from 100 s on."""
    frames = [replace(frame, capture_time_s=100.0 + frame.index / FPS) for frame in pictures(count * of, fps=FPS)]
    return [frames[first : first + of] for first in range(0, count * of, of)]


def shown_s(arrivals_s: list[float], of: int = 4) -> list[list[float]]:
    """Return the due times of frames of chunks, given the arrivals after their last frame's capture, s."""
    clock = PresentationClock()
    made = chunks(len(arrivals_s), of)
    return [
        clock.due_s(chunk, chunk[-1].capture_time_s + late_s) for chunk, late_s in zip(made, arrivals_s, strict=True)
    ]


def test_chunks_in_time_give_the_pace_of_the_capture_and_no_more_delay_than_the_first_frame_needs() -> None:
    due = np.concatenate(shown_s([0.05] * 6))
    np.testing.assert_allclose(np.diff(due), 1 / FPS, rtol=1e-9)
    assert due[0] == pytest.approx(100.0 + 3 / FPS + 0.05)


def test_a_chunk_that_is_late_moves_what_follows_and_the_delay_shrinks_slowly_again() -> None:
    due = shown_s([0.05, 0.09, 0.05, 0.05, 0.05])
    assert due[1][0] - due[0][-1] == pytest.approx(1 / FPS + 0.04)
    after = np.concatenate(due[1:])
    steps = np.diff(after)
    assert steps.max() <= 1 / FPS + 1e-9
    assert steps.min() >= 1 / FPS - SHRINKING * 5 / FPS, "too slow to be seen"
    assert after[-1] - 100.0 - 19 / FPS < due[1][0] - 100.0 - 4 / FPS


def test_a_hiccup_is_forgotten_with_the_next_chunk() -> None:
    due = shown_s([0.05, 3.0, 0.05])
    needed_s = 3 / FPS + 0.05
    assert due[2][0] - (100.0 + 8 / FPS) <= needed_s + 1.5 / FPS + 1e-9


def test_nothing_is_due_before_now() -> None:
    clock = PresentationClock()
    [chunk] = chunks(1)
    assert clock.due_s(chunk, 90.0)[0] == 90.0, "clocks of two machines"
    assert clock.due_s(chunk[:1], 200.0) == [200.0]


class Stage:
    """Presenter with a clock that passes only while it waits."""

    def __init__(self) -> None:
        self.clock = FakeClock(100.0)
        self.shown: list[tuple[int, float]] = []
        self.late: list[int] = []
        self.ended: list[BaseException | None] = []
        self.show = self._show
        self.presenter = Presenter(
            lambda frame: self.show(frame),
            clock=self.clock,
            on_drop=lambda frame: self.late.append(frame.index),
            on_end=self.ended.append,
            wait=self._wait,
        )

    def _show(self, frame: Frame) -> None:
        self.shown.append((frame.index, self.clock()))

    def _wait(self, changed: Condition, timeout_s: float | None) -> None:
        if timeout_s is None:
            assert changed.wait(LIMIT_S)
        else:
            self.clock.advance(timeout_s)

    def play(self, *made: list[Frame]) -> None:
        """Show chunks that have all arrived."""
        for chunk in made:
            assert self.presenter.put(chunk)
        self.presenter.finish()
        self.presenter.start()
        assert self.presenter.join(LIMIT_S)


def test_every_frame_is_shown_when_it_is_due() -> None:
    stage = Stage()
    [chunk] = chunks(1)
    stage.clock.advance(chunk[-1].capture_time_s - 100.0)
    stage.play(chunk)
    assert [index for index, _ in stage.shown] == [0, 1, 2, 3]
    np.testing.assert_allclose(np.diff([at for _, at in stage.shown]), 1 / FPS, rtol=1e-6)
    assert (stage.late, stage.ended) == ([], [None])
    assert not stage.presenter.put(chunk)


def test_of_frames_that_are_due_together_the_newest_wins() -> None:
    stage = Stage()
    first, second = chunks(2)
    stage.clock.advance(first[-1].capture_time_s - 100.0)
    stage.presenter.put(first)
    stage.clock.advance(10.0)  # nobody looked
    stage.presenter.put(second)
    stage.play()
    assert stage.late == [0, 1, 2, 3, 4, 5, 6][: len(stage.late)]
    assert [index for index, _ in stage.shown] == list(range(len(stage.late), 8))
    assert len(stage.late) >= 4


def test_a_chunk_after_a_hiccup_is_not_held_up_by_what_waits_from_before_it() -> None:
    stage = Stage()
    slow, quick = chunks(2)
    stage.presenter.put([replace(frame, capture_time_s=95.0 + frame.index / FPS) for frame in slow])
    stage.presenter.put([replace(frame, capture_time_s=100.0 + frame.index / FPS) for frame in quick])
    stage.play()
    assert [index for index, _ in stage.shown] == sorted(index for index, _ in stage.shown)
    assert stage.shown[-1][0] == 7
    assert stage.shown[-1][1] < 100.0 + 8 / FPS


def test_stopping_lets_go_of_what_waits_and_a_failure_is_told() -> None:
    stage = Stage()
    [chunk] = chunks(1)
    stage.presenter.put(chunk)
    stage.presenter.stop()
    stage.play()
    assert (stage.shown, stage.ended) == ([], [None])

    def fail(_frame: Frame) -> None:
        raise RuntimeError("no screen")

    broken = Stage()
    broken.show = fail  # type: ignore[method-assign]
    broken.play(chunk)
    assert str(broken.ended[0]) == "no screen"
    assert not broken.presenter.put(chunk)


def test_a_presenter_that_was_never_started_has_ended() -> None:
    assert Stage().presenter.join()


class Clip:
    """Live frames, as fast as the stream takes them, each captured when it is given."""

    def __init__(self, frames: list[Frame], taken: Event) -> None:
        from vivace.media.source import SourceInfo

        self.info = SourceInfo(name="clip", size=frames[0].size, fps=FPS, frames=len(frames), live=True)
        self._frames = frames
        self._taken = taken

    def __iter__(self):
        return iter(self._frames)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("chunk_frames", "lag"), [(1, 0), (3, 0), (4, 3)])
def test_a_live_run_of_a_model_with_chunks_shows_every_frame_in_order(chunk_frames: int, lag: int) -> None:
    frames = pictures(12, fps=1000)
    paced = Event()
    model = FakeModel(chunk_frames=chunk_frames, lag=lag)
    with Stream(model, prompt="red", detect_cuts=False, fps=None) as stream:
        shown = [frame.index for frame in stream.run(Clip(frames, paced), live=True)]
        stats = stream.stats()
    assert shown == sorted(shown)
    assert shown[-1] == 11
    assert len(shown) + stats.dropped == 12


def test_what_showing_fails_with_is_raised_where_the_frames_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Presenter):
        def __init__(self, _show: object, **how: object) -> None:
            super().__init__(fail, **how)  # type: ignore[arg-type]

    def fail(_frame: Frame) -> None:
        raise RuntimeError("no screen")

    monkeypatch.setattr(pipeline, "Presenter", Broken)
    with (
        Stream(FakeModel(chunk_frames=2), prompt="red", detect_cuts=False) as stream,
        pytest.raises(RuntimeError, match="no screen"),
    ):
        list(stream.run(Clip(pictures(4), Event()), live=True))
