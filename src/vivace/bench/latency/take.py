"""Take of a live session, from camera to viewer, and its figures.

The path between camera and viewer (`run`, `webrtc_run`) plays a `Script` and returns a `Take`: the times at which each
picture was captured and shown. All figures are computed from it in the same way for every path.
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
"""Camera time that is left out of everything but the time to first frame, s."""
STALL_PERIODS = 2.0
TOLERANCE_S = 1e-6


@dataclass(frozen=True, slots=True)
class Script:
    """Events at the camera and the keyboard."""

    request: Request
    """Request; the camera runs at its fps."""
    pictures: Sequence[Rgb]
    frames: int
    prompts: tuple[str, ...] = ()
    """Prompts, typed one after the other."""
    prompt_every_s: float = 2.0


def script_of(settings: Any) -> Script:
    """Return the script of a job from its settings."""
    width, height = settings["size"]
    request = Request((width, height), settings["fps"], settings["prompt"], settings["seed"])
    pictures = render_loop(request.size, seed=request.seed)
    return Script(request, pictures, settings["frames"], tuple(settings["prompts"]), settings["prompt_every_s"])


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture seen by the viewer."""

    index: int
    """Index in the camera's stream, lost pictures included."""
    captured_s: float
    shown_s: float
    control_index: int = 0
    """Number of the last prompt change this picture was made with."""

    @property
    def age_ms(self) -> float:
        """Age of the picture when shown, ms."""
        return 1000.0 * (self.shown_s - self.captured_s)


@dataclass(frozen=True, slots=True)
class Take:
    """Events of a take, on one monotonic clock."""

    fps: float
    """Frame rate of the camera, frames/s."""
    frames: int
    """Pictures of the camera, including lost ones."""
    asked_s: float
    """Time at which the viewer requested the session, s."""
    start_s: float
    """Due time of picture 0, s."""
    shown: Sequence[Shown]
    """Pictures in the order in which they were shown."""
    switches: Sequence[tuple[float, int]] = ()
    """Prompt changes: sending time (s), and the number that their pictures carry."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Lost pictures by reason."""
    effort: float | None = None
    """Mean share of the full work, 0 to 1, if the session reports it."""
    stages_ms: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Percentiles of each stage, ms, if the session reports them."""

    @property
    def period_s(self) -> float:
        """Time between two pictures of the camera, s."""
        return 1.0 / self.fps

    def late(self, one: Shown) -> bool:
        """Return whether a picture was shown more than one period after its due time."""
        return one.shown_s > self.start_s + one.index * self.period_s + self.period_s + TOLERANCE_S


def figures(case: str, take: Take) -> list[Value]:
    """Return every figure of a take; figures without data have no value."""
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
    """Return the age of every picture when shown, and the time since the one before, ms; without warm-up."""
    steady = after_warmup(take)
    return {
        f"capture_to_present_ms/{case}": [one.age_ms for one in steady],
        f"gap_ms/{case}": [1000.0 * (after.shown_s - before.shown_s) for before, after in pairwise(steady)],
    }


def after_warmup(take: Take) -> list[Shown]:
    """Return the pictures shown after the warm-up."""
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
    """Return figures of the gaps between consecutive pictures."""
    gaps_ms = [1000.0 * (after.shown_s - before.shown_s) for before, after in pairwise(steady)]
    if not gaps_ms:
        names = ("jitter_ms_std", "gap_ms_p99", "gap_periods_p95", "stalls_per_min", "shown_fps")
        return [Value(name, case, None) for name in names]
    stall_ms = STALL_PERIODS * take.period_s * 1000.0 + TOLERANCE_S * 1000.0

    def stalls_per_min(some: Sequence[float]) -> float:
        return 60_000.0 * sum(gap_ms > stall_ms for gap_ms in some) / max(sum(some), 1e-9)

    return [
        over_blocks("jitter_ms_std", case, gaps_ms, pstdev),
        over_blocks("gap_ms_p99", case, gaps_ms, lambda some: spread(some).p99),
        over_blocks("gap_periods_p95", case, gaps_ms, lambda some: spread(some).p95 / (1000.0 * take.period_s)),
        over_blocks("stalls_per_min", case, gaps_ms, stalls_per_min),
        over_blocks("shown_fps", case, gaps_ms, lambda some: 1000.0 * len(some) / max(sum(some), 1e-9)),
        _repeated(case, take, steady),
    ]


def _repeated(case: str, take: Take, steady: Sequence[Shown]) -> Value:
    """Return the share of the viewer's periods in which no new picture was shown.

    Periods are aligned so that the typical picture falls into the middle of one; otherwise pictures near the end of a
    period would count as early in one and missing in the next.
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
    """Return the latency of prompt changes to the first picture made with each, where one became visible."""
    times_ms = prompt_times_ms(take)
    if not times_ms:
        return []
    blocks = times_ms if 2 <= len(times_ms) <= BLOCKS else []
    return [
        Value("prompt_to_pixel_ms_mean", case, _mean(times_ms), blocks),
        Value("prompt_to_pixel_ms_max", case, max(times_ms)),
    ]


def prompt_times_ms(take: Take) -> list[float]:
    """Return the latency of each prompt change to its first visible picture, ms; invisible ones are left out."""
    times_ms = []
    for sent_s, number in take.switches:
        first_s = next((one.shown_s for one in take.shown if one.control_index >= number), None)
        if first_s is not None:
            times_ms.append(1000.0 * (first_s - sent_s))
    return times_ms


def _mean(some: Sequence[float]) -> float:
    return sum(some) / len(some)
