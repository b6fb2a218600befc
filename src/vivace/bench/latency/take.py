"""One take of a live session, camera to eye, and the figures in it.

What lies between the camera and the viewer (`run`, `webrtc_run`) plays a `Script` and returns a `Take`: when each
picture was captured and when it was shown, nothing else; every figure is computed from that, whatever the path was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median, pstdev
from typing import TYPE_CHECKING, Any

from vivace.bench.inputs.loops import render_loop
from vivace.bench.stats.values import BLOCKS, Value, over_blocks, percentile_values, spread, trend
from vivace.bench.systems.system import Request

if TYPE_CHECKING:
    from vivace.media.frame import Rgb

WARMUP_S = 1.0
"""Of the camera's time; left out of everything but the time to the first frame."""
STALL_PERIODS = 2.0
TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Script:
    """What happens in front of the camera and at the keyboard."""

    request: Request
    """The camera runs at its fps."""
    pictures: Sequence[Rgb]
    frames: int
    prompts: tuple[str, ...] = ()
    """Typed one after the other."""
    prompt_every_s: float = 2.0


def script_of(settings: Any) -> Script:
    """Return the script of a job, from its settings."""
    width, height = settings["size"]
    request = Request((width, height), settings["fps"], settings["prompt"], settings["seed"])
    pictures = render_loop(request.size, seed=request.seed)
    return Script(request, pictures, settings["frames"], tuple(settings["prompts"]), settings["prompt_every_s"])


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture in front of the viewer."""

    index: int
    """Place in the camera's stream, lost pictures counted."""
    captured_s: float
    shown_s: float
    control_index: int = 0
    """Number of the last prompt change this picture was made with."""

    @property
    def age_ms(self) -> float:
        """How old the picture was."""
        return 1000.0 * (self.shown_s - self.captured_s)


@dataclass(frozen=True, slots=True)
class Take:
    """What happened, by one monotonic clock."""

    fps: float
    """Of the camera."""
    frames: int
    """Pictures the camera had, lost ones included."""
    asked_s: float
    """When the viewer asked for the session."""
    start_s: float
    """When picture 0 was due."""
    shown: Sequence[Shown]
    """In the order in which they were shown."""
    switches: Sequence[tuple[float, int]] = ()
    """Prompt changes: when the user sent it, and the number its pictures carry."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Pictures lost, by reason."""
    effort: float | None = None
    """Mean share of the full work that was done, where the session says."""
    stages_ms: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Percentiles of each stage, where the session says."""

    @property
    def period_s(self) -> float:
        """Time from one picture of the camera to the next."""
        return 1.0 / self.fps

    def late(self, one: Shown) -> bool:
        """Tell whether a picture came later than its place in the camera's timetable plus one period."""
        return one.shown_s > self.start_s + one.index * self.period_s + self.period_s + TOLERANCE_S


def figures(case: str, take: Take) -> list[Value]:
    """Return every figure of a take; those of which it holds nothing have no value."""
    steady = after_warmup(take)
    return [
        *_latency(case, take, steady),
        *_rhythm(case, take, steady),
        *_losses(case, take),
        *_prompts(case, take),
        Value("live_first_frame_s", case, take.shown[0].shown_s - take.asked_s if take.shown else None),
        *([] if take.effort is None else [Value("effort_mean", case, take.effort)]),
        *(
            Value(f"live_{stage}_ms_{name}", case, value)
            for stage, percentiles in take.stages_ms.items()
            for name, value in percentiles.items()
        ),
    ]


def series(case: str, take: Take) -> dict[str, list[float]]:
    """Return the age of every picture when it was shown, and the time since the one before, ms; warm-up left out."""
    steady = after_warmup(take)
    return {
        f"capture_to_present_ms/{case}": [one.age_ms for one in steady],
        f"gap_ms/{case}": [1000.0 * (after.shown_s - before.shown_s) for before, after in pairwise(steady)],
    }


def after_warmup(take: Take) -> list[Shown]:
    """Return what was shown after the warm-up."""
    warmup = math.ceil(WARMUP_S * take.fps)
    return [one for one in take.shown if one.index >= warmup]


def _latency(case: str, take: Take, steady: Sequence[Shown]) -> list[Value]:
    ages_ms = [one.age_ms for one in steady]
    if len(steady) < 4:
        return [Value("backlog_s_per_min", case, None), Value("deadline_miss_share", case, None)]
    minutes = [(one.shown_s - take.start_s) / 60.0 for one in steady]
    backlog = trend(minutes, [age_ms / 1000.0 for age_ms in ages_ms])
    misses = [float(take.late(one)) for one in steady]
    return [
        *percentile_values("capture_to_present_ms", case, ages_ms),
        over_blocks("deadline_miss_share", case, misses, _mean),
        Value("backlog_s_per_min", case, backlog.slope, backlog.slopes),
    ]


def _rhythm(case: str, take: Take, steady: Sequence[Shown]) -> list[Value]:
    """Return figures of the gaps between one picture and the next."""
    gaps_ms = [1000.0 * (after.shown_s - before.shown_s) for before, after in pairwise(steady)]
    if not gaps_ms:
        return [Value(name, case, None) for name in ("jitter_ms_std", "gap_ms_p99", "stalls_per_min", "shown_fps")]
    stall_ms = STALL_PERIODS * take.period_s * 1000.0 + TOLERANCE_S * 1000.0

    def stalls_per_min(some: Sequence[float]) -> float:
        return 60_000.0 * sum(gap_ms > stall_ms for gap_ms in some) / max(sum(some), 1e-9)

    return [
        over_blocks("jitter_ms_std", case, gaps_ms, pstdev),
        over_blocks("gap_ms_p99", case, gaps_ms, lambda some: spread(some).p99),
        over_blocks("stalls_per_min", case, gaps_ms, stalls_per_min),
        over_blocks("shown_fps", case, gaps_ms, lambda some: 1000.0 * len(some) / max(sum(some), 1e-9)),
        _repeated(case, take, steady),
    ]


def _repeated(case: str, take: Take, steady: Sequence[Shown]) -> Value:
    """Return the share of the viewer's periods in which nothing new was shown.

    The viewer's periods are laid so that the typical picture falls into the middle of one; otherwise pictures that come
    near the end of a period would count as early in one and missing in the next.
    """
    period_s = take.period_s
    phase_s = median(one.shown_s - one.index * period_s for one in steady)
    slots = [round((one.shown_s - phase_s) / period_s) for one in steady]
    first, last = min(slots), max(slots)
    filled = set(slots)
    empty = [float(slot not in filled) for slot in range(first, last + 1)]
    return over_blocks("repeated_share", case, empty, _mean)


def _losses(case: str, take: Take) -> list[Value]:
    """Return the shares of the camera's pictures that were never shown, in all and by reason."""
    seen = {one.index for one in take.shown}
    lost = [float(index not in seen) for index in range(take.frames)]
    return [
        over_blocks("dropped_share", case, lost, _mean),
        *(
            Value(f"dropped_{reason}_share", case, count / take.frames if take.frames else None)
            for reason, count in take.drops.items()
        ),
    ]


def _prompts(case: str, take: Take) -> list[Value]:
    """Return the time from sending a prompt to the first picture made with it, over the changes that were seen."""
    times_ms = prompt_times_ms(take)
    if not times_ms:
        return []
    blocks = times_ms if 2 <= len(times_ms) <= BLOCKS else []
    return [
        Value("prompt_to_pixel_ms_mean", case, _mean(times_ms), blocks),
        Value("prompt_to_pixel_ms_max", case, max(times_ms)),
    ]


def prompt_times_ms(take: Take) -> list[float]:
    """Return how long after it was sent each prompt change was first seen; those that never were are left out."""
    times_ms = []
    for sent_s, number in take.switches:
        first_s = next((one.shown_s for one in take.shown if one.control_index >= number), None)
        if first_s is not None:
            times_ms.append(1000.0 * (first_s - sent_s))
    return times_ms


def _mean(some: Sequence[float]) -> float:
    return sum(some) / len(some)
