"""Analysis of sounds with known loudness, onsets and beats."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from show.sound.drums import drums
from vivace.show.sound.analysis import HOP, HOP_S, RATE, SILENCE, Analyser, Heard, Samples
from vivace.show.sound.beats import BeatTracker

NEAR_S = 0.07
"""Largest error of a beat, s: the tolerance in evaluations of beat trackers."""


def listen(samples: Samples) -> list[Heard]:
    """Return the analysis of each hop."""
    analyser = Analyser()
    heard = []
    for at in range(0, len(samples) // HOP * HOP, HOP):
        analyser.feed(samples[at : at + HOP])
        heard.append(analyser.heard)
    return heard


def times_of(counts: list[int]) -> NDArray[np.float64]:
    """Return the times at which a count rises, s."""
    return np.array([(hop + 1) * HOP_S for hop, (a, b) in enumerate(pairwise([0, *counts])) if b > a])


def f_measure(found: NDArray[np.float64], true: NDArray[np.float64], from_s: float) -> float:
    found, true = found[found > from_s], true[true > from_s]
    if not (len(found) and len(true)):
        return 0.0
    apart = np.abs(found[:, None] - true[None])
    precision, recall = (apart.min(axis=1) < NEAR_S).mean(), (apart.min(axis=0) < NEAR_S).mean()
    return float(2 * precision * recall / max(1e-9, precision + recall))


@pytest.mark.parametrize(
    ("bpm", "how"),
    [
        (85, {}),
        (96, {}),
        (100, {"noise": 0.1, "jitter_s": 0.01, "gain": 0.05}),
        (110, {"swing": 0.3}),
        (120, {}),
        (128, {"gain": 0.02}),
        (140, {}),
        (150, {"jitter_s": 0.008}),
    ],
)
def test_beats_are_told_where_they_are(bpm: float, how: dict[str, float]) -> None:
    samples, beats = drums(bpm, 20, **how)
    heard = listen(samples)
    found = times_of([moment.beats for moment in heard])
    assert found[0] < 4
    assert f_measure(found, beats, from_s=6) > 0.93
    # The position counts them, and never goes back.
    positions = np.array([moment.position for moment in heard])
    assert (np.diff(positions) >= 0).all()
    assert positions[-1] == pytest.approx(len(found), abs=1)


def test_a_tempo_that_changes_is_followed() -> None:
    slow, slow_beats = drums(100, 14)
    fast, fast_beats = drums(130, 18)
    heard = listen(np.concatenate([slow, fast]))
    found = times_of([moment.beats for moment in heard])
    assert f_measure(found[found < 14], slow_beats, from_s=6) > 0.9
    assert f_measure(found[found >= 14] - 14, fast_beats, from_s=8) > 0.9


@pytest.mark.parametrize("what", ["silence", "noise", "tone", "hum of a quiet room"])
def test_what_has_no_beat_has_none(what: str) -> None:
    rng = np.random.default_rng(1)
    count = 15 * RATE
    samples = {
        "silence": np.zeros(count),
        "noise": rng.normal(size=count) * 0.1,
        "tone": np.sin(np.arange(count) * 0.2) * 0.1,
        "hum of a quiet room": rng.normal(size=count) * 1e-3,
    }[what].astype(np.float32)
    last = listen(samples)[-1]
    assert (last.beats, last.beat) == (0, 0.0)
    if what in ("silence", "hum of a quiet room"):
        assert last == SILENCE


def test_beats_end_with_the_music_and_begin_again() -> None:
    samples, _ = drums(120, 10)
    heard = listen(np.concatenate([samples, np.zeros(8 * RATE, np.float32), samples]))
    found = times_of([moment.beats for moment in heard])
    assert not ((found > 13) & (found < 18)).any()
    assert (found > 22).sum() >= 8
    assert heard[round(17 / HOP_S)].beat == 0


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.05])
def test_levels_are_against_the_loudest_of_late(gain: float) -> None:
    t = np.arange(4 * RATE) / RATE
    loud = np.sin(2 * np.pi * 80 * t) * gain
    quiet = loud * 10 ** (-15 / 20)
    high = np.sin(2 * np.pi * 4000 * t) * gain
    heard = listen(np.concatenate([loud, quiet, np.zeros(2 * RATE), high]).astype(np.float32))

    def at(time_s: float) -> Heard:
        return heard[round(time_s / HOP_S)]

    assert at(3).level == pytest.approx(1, abs=0.1)
    assert at(7.9).level == pytest.approx(0.55, abs=0.12)  # 15 of 30 dB less, and the maximum has decayed a little
    assert at(9.9).level == 0
    assert (at(3).bass, at(3).treble) == (pytest.approx(1, abs=0.1), 0)
    assert at(13.5).treble > 0.9
    assert at(13.5).bass < 0.2


def test_an_onset_is_told_once_and_falls() -> None:
    samples = np.random.default_rng(2).normal(size=4 * RATE) * 1e-4
    for at_s in (1.0, 1.5, 2.5):
        start = round(at_s * RATE)
        samples[start : start + 800] += np.sin(np.arange(800) * 0.5) * np.exp(-np.arange(800) / 200) * 0.5
    heard = listen(samples.astype(np.float32))
    found = times_of([moment.onsets for moment in heard])
    assert len(found) == 3
    assert found == pytest.approx([1.0, 1.5, 2.5], abs=0.05)
    at = round(found[0] / HOP_S) - 1
    pulse = [heard[at + hops].onset for hops in (0, 10, 20, 30)]
    assert pulse == pytest.approx([1, 0.5, 0, 0])


def test_the_same_sound_in_any_pieces_is_heard_the_same() -> None:
    samples, _ = drums(120, 8)
    whole, pieces = Analyser(), Analyser()
    whole.feed(samples)
    rng = np.random.default_rng(3)
    at = 0
    while at < len(samples):
        step = int(rng.integers(1, 3000))
        pieces.feed(samples[at : at + step])
        at += step
    assert whole.heard == pieces.heard
    assert whole.hops == pieces.hops == len(samples) // HOP


def test_a_tracker_is_as_dear_late_as_early() -> None:
    tracker = BeatTracker(HOP_S)
    rng = np.random.default_rng(4)
    for _ in range(3000):
        tracker.feed(float(rng.random()))
    assert len(tracker._score) == 3 * round(1 / HOP_S)
    assert len(tracker._onsets) == round(6 / HOP_S)
