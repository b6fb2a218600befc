"""Growth of an endless stream's cost and memory, measured inside a fresh process.

One session runs for a long time on pictures with a constant cost of delivery. Its frames are cut into stretches, and
the cost of a stretch is a low percentile of its frames: other programs only make frames slower, so the fastest ones
describe the stream itself best. A leak in the time of a step slows them down as well.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from contextlib import closing
from itertools import pairwise

from vivace.bench.inputs.loops import Loop, render_loop
from vivace.bench.job import Found, Job, Report
from vivace.bench.speed.memory import resident_mib
from vivace.bench.speed.run import check_frames, cpu_ms, request_of, throttled
from vivace.bench.stats.values import BLOCKS, Value, intervals_ms, percentile, trend
from vivace.bench.systems.system import Clock, Runner

EARLY_FRAME = 100
"""First frame of the comparison."""
STRETCHES = 2 * BLOCKS
MIN_FRAMES = EARLY_FRAME + 20 * STRETCHES
QUIET_SHARE = 5
"""Percentile that defines the cost of a stretch."""
MEMORY_EVERY = 20


def growth(job: Job, report: Report, *, clock: Clock = time.monotonic, cpu: Clock = cpu_ms) -> Found:
    """Return what changes over a long session.

    `job.settings`: `case`, `size`, `fps`, `long_frames`, `prompt`, `seed`.
    """
    request = request_of(job.settings)
    case: str = job.settings["case"]
    frames: int = job.settings["long_frames"]
    system = job.system.load()
    found = Found(system.about)
    loop = Loop(render_loop(request.size, seed=request.seed), frames, clock=clock)
    # Preallocated: a growing list would be detected as a leak.
    done_s, effort_ms = array("d", [0.0]) * frames, array("d", [0.0]) * frames
    memory_mib = array("d", [0.0]) * (frames // MEMORY_EVERY)
    count = 0
    tell = throttled(report, frames)
    runner: Runner = system.open(request, clock)
    with closing(runner), closing(runner.run(loop, live=False)) as outputs:
        for count, frame in enumerate(outputs, start=1):
            # The session's own time of the last stage, if reported: later work does not belong to this frame alone.
            done_s[count - 1] = frame.marks.get("refine", clock())
            effort_ms[count - 1] = cpu()
            if count % MEMORY_EVERY == 0:
                memory_mib[count // MEMORY_EVERY - 1] = resident_mib()
            tell(count)
        apart = runner.stats() is None
    check_frames(job, count, frames)
    found.series[f"long_frame_ms/{case}"] = intervals_ms(done_s)
    found.values += cost_growth(case, intervals_ms(done_s))
    if apart:
        found.not_run["CPU time and memory"] = f"{job.system.name} works in a process of its own"
    else:
        found.values.append(cpu_growth(case, [after - before for before, after in pairwise(effort_ms)]))
        found.values.append(memory_growth(case, memory_mib[EARLY_FRAME // MEMORY_EVERY :]))
    report(frames, frames)
    return found


def cost_growth(case: str, costs_ms: Sequence[float]) -> list[Value]:
    """Return the growth of a frame's cost, and its cost in the last quarter relative to the first."""
    levels = [percentile(stretch, QUIET_SHARE) for stretch in _stretches(costs_ms)]
    quarter = STRETCHES // 4
    early_ms, late_ms = percentile(levels[:quarter], 50), percentile(levels[-quarter:], 50)
    return [
        _growth("cost_growth_pct_per_1000", case, levels, len(costs_ms)),
        Value("cost_late_over_early", case, late_ms / early_ms if early_ms > 0 else None),
    ]


def cpu_growth(case: str, costs_ms: Sequence[float]) -> Value:
    """Return the growth of a frame's mean CPU time; single frames are blurred by threads that run ahead."""
    levels = [sum(stretch) / len(stretch) for stretch in _stretches(costs_ms)]
    return _growth("cpu_growth_pct_per_1000", case, levels, len(costs_ms))


def memory_growth(case: str, memory_mib: Sequence[float]) -> Value:
    """Return the growth of resident memory, MiB per 1000 frames, from its value at each `MEMORY_EVERY`-th frame."""
    found = trend([number * MEMORY_EVERY for number in range(len(memory_mib))], memory_mib)
    return Value("memory_growth_mib_per_1000", case, found.slope * 1000, [slope * 1000 for slope in found.slopes])


def _stretches(values: Sequence[float]) -> list[Sequence[float]]:
    """Return the values from `EARLY_FRAME` on in `STRETCHES` nearly equal stretches."""
    left = len(values) - EARLY_FRAME
    ends = [EARLY_FRAME + left * number // STRETCHES for number in range(STRETCHES + 1)]
    return [values[start:end] for start, end in pairwise(ends)]


def _growth(metric: str, case: str, levels: Sequence[float], frames: int) -> Value:
    """Return a level's growth per 1000 frames, in percent of its value in the first quarter."""
    early = percentile(levels[: STRETCHES // 4], 50)
    if early <= 0:
        return Value(metric, case, None)
    length = (frames - EARLY_FRAME) / STRETCHES
    found = trend([number * length for number in range(STRETCHES)], levels)
    scale = 100.0 * 1000.0 / early
    return Value(metric, case, found.slope * scale, [slope * scale for slope in found.slopes])
