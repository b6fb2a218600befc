"""A paced file is a live source: pictures come when they are due, and never in a rush."""

from __future__ import annotations

import threading
from collections.abc import Generator
from fractions import Fraction

import pytest

from patience import PATIENCE_S
from vivace.media.clock import Timeline
from vivace.media.frame import Frame
from vivace.media.pacing import PacedSource
from vivace.media.source import Source, SourceInfo

from .clips import grey


class Film(Source):
    """Frames at given times, each of which takes time to decode."""

    def __init__(self, times_ms: list[int], clock: Clock, decode_s: list[float] | None = None):
        super().__init__(SourceInfo("film", (64, 48), frames=len(times_ms)))
        self._times_ms, self._clock = times_ms, clock
        self._decode_s = decode_s or [0.0] * len(times_ms)
        self.released = False

    def _read(self) -> Generator[Frame, None, None]:
        for index, (pts, cost_s) in enumerate(zip(self._times_ms, self._decode_s, strict=True)):
            self._clock.now_s += cost_s
            yield Frame(grey(index), index, pts, Fraction(1, 1000), self._clock())

    def _release(self) -> None:
        self.released = True


class Clock:
    """Time that passes only by sleeping and decoding."""

    def __init__(self, now_s: float = 100.0):
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def test_frames_come_when_they_are_due_counted_from_the_first() -> None:
    clock = Clock()
    arrivals = []
    for frame in PacedSource(Film([500, 540, 600, 1600], clock), clock=clock, sleep=clock.sleep):
        arrivals.append(clock())
        assert frame.capture_time_s == pytest.approx(clock())
    assert arrivals == pytest.approx([100, 100.04, 100.1, 101.1])


def test_a_late_frame_comes_at_once_and_was_due_before() -> None:
    clock = Clock()
    film = Film([0, 40, 80, 120], clock, decode_s=[0, 0.2, 0, 0])
    frames, arrivals = [], []
    for frame in PacedSource(film, clock=clock, sleep=clock.sleep):
        frames.append(frame)
        arrivals.append(clock())
    assert arrivals == pytest.approx([100, 100.2, 100.2, 100.2])
    assert [frame.capture_time_s for frame in frames] == pytest.approx([100, 100.04, 100.08, 100.12])


def test_after_a_long_pause_the_timetable_shifts_instead_of_rushing() -> None:
    clock = Clock()
    film = Film([0, 40, 80, 120], clock, decode_s=[0, 3600, 0, 0])
    source = PacedSource(film, clock=clock, sleep=clock.sleep)
    arrivals = [clock() for _ in source]
    assert arrivals == pytest.approx([100, 3700, 3700.04, 3700.08])


def test_a_paced_source_is_live_and_closes_what_it_paces() -> None:
    clock = Clock()
    film = Film([0, 40], clock)
    with PacedSource(film, clock=clock, sleep=clock.sleep) as source:
        assert source.info.live
        next(iter(source))
    assert film.released
    assert not source.ended


def test_a_paced_source_ends_with_its_film() -> None:
    clock = Clock()
    source = PacedSource(Film([0, 40], clock), clock=clock, sleep=clock.sleep)
    assert len(list(source)) == 2
    assert source.ended


def test_closing_cuts_the_wait_short() -> None:
    film = Film([0, 3_600_000], Clock())
    source = PacedSource(film)
    frames = iter(source)
    next(frames)
    ended = threading.Event()

    def wait_an_hour() -> None:
        assert next(frames, None) is None
        ended.set()

    thread = threading.Thread(target=wait_an_hour)
    thread.start()
    source.close()
    assert ended.wait(PATIENCE_S)
    thread.join(PATIENCE_S)


def placed(stamps: list[int | None]) -> list[int]:
    timeline = Timeline(Fraction(1, 1000), 40)
    return [timeline.place(stamp) for stamp in stamps]


def test_a_timeline_leaves_rising_stamps_alone() -> None:
    assert placed([-5, 0, 40, 41, 5000]) == [-5, 0, 40, 41, 5000]


def test_a_timeline_fills_in_and_squeezes_in() -> None:
    assert placed([None, None, 100, 90, 100, 140]) == [0, 40, 100, 101, 102, 140]


def test_a_timeline_goes_on_when_a_clock_starts_over() -> None:
    assert placed([90_000, 90_040, 0, 40, 80]) == [90_000, 90_040, 90_080, 90_120, 90_160]


def test_a_timeline_resumes_after_the_gap() -> None:
    timeline = Timeline(Fraction(1, 1000), 40)
    timeline.place(1000)
    timeline.resume(7, gap_s=2.5)
    assert [timeline.place(7), timeline.place(47)] == [3500, 3540]
