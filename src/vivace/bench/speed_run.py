"""What a frame costs, measured inside a fresh process; `vivace.bench.speed` starts it and explains the figures."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivace.bench.engine import Opening, Runner
from vivace.bench.measure import (
    BLOCKS,
    Value,
    intervals_ms,
    over_blocks,
    peak_resident_mib,
    percentile_values,
    resident_mib,
    trend,
    window_median,
)
from vivace.bench.process import Found, Job, Report
from vivace.errors import StepError

if TYPE_CHECKING:
    from vivace.media.sink import Sink
    from vivace.media.source import Source
    from vivace.models.base import StreamModel

WARMUP_FRAMES = 30
"""Left out: caches, kernels and the memory's window fill up in the first frames."""
EARLY_FRAME = 100
WINDOW_FRAMES = 100
MEMORY_EVERY = 20
QUIET_SHARE = 10
STAGES = ("capture", "prepare", "denoise", "refine", "encode")
PROGRESS_S = 0.2

Clock = Callable[[], float]
Watch = Callable[[int], None]
"""Called with the number of frames that have come out."""
Counters = dict[str, Callable[[], float]]
"""What is counted in a run, by the metric that says how much of it a frame takes."""


def pace(job: Job, report: Report, *, clock: Clock = time.monotonic, counters: Counters | None = None) -> Found:
    """Time the whole stream from a clip to an mp4, cold, warm and steady, then the model alone.

    `job.settings`: `clip` (path), `size`, `fps`, `frames`, `prompt`, `seed`.
    """
    from vivace.media.sink import NullSink

    settings = job.settings
    opening = _opening(settings)
    case = f"{opening.size[0]}x{opening.size[1]}"
    frames: int = settings["frames"]
    total = 2 * WARMUP_FRAMES + frames
    tell = _throttled(report, total)
    engine = job.engine.open()
    found = Found(engine.about)

    cold_s, _ = _play(engine.open(opening, clock), _clip(settings), NullSink(), clock, tell, limit=WARMUP_FRAMES)
    _check_frames(job, len(cold_s), WARMUP_FRAMES)

    with ExitStack() as stack:
        counters = _open_counters(found, stack) if counters is None else counters
        metered = _Metered(counters, WARMUP_FRAMES, frames)
        sink = stack.enter_context(_mp4(stack.enter_context(tempfile.TemporaryDirectory(prefix="vivace-bench-"))))
        opened_s = clock()
        runner = engine.open(opening, clock)

        def watch(done: int) -> None:
            metered.at(done)
            tell(WARMUP_FRAMES + done)

        times_s, stages = _play(runner, _clip(settings), sink, clock, watch)
    resident = resident_mib()
    _check_frames(job, len(times_s), WARMUP_FRAMES + frames)
    apart = not stages
    if apart:
        del counters["cpu_ms_per_frame"]
        found.not_run["CPU time and memory"] = f"{job.engine.name} works in a process of its own"
        found.not_run["stages"] = f"{job.engine.name} does not say what its stages take"
    steady_ms = intervals_ms(times_s[WARMUP_FRAMES:])
    found.series[f"frame_ms/{case}"] = steady_ms

    found.values += [
        Value("first_frame_cold_s", case, cold_s[0] - job.started_s),
        Value("first_frame_warm_s", case, times_s[0] - opened_s),
        over_blocks("fps", case, steady_ms, lambda some: 1000.0 * len(some) / sum(some) if sum(some) > 0 else 0.0),
        *percentile_values("frame_ms", case, steady_ms),
        *(
            Value(f"stage_{stage}_ms_{name}", case, value)
            for stage, percentiles in stages.items()
            for name, value in percentiles.items()
        ),
        *metered.values(case),
    ]
    if engine.model is None:
        found.not_run["model_step_ms"] = f"{job.engine.name} has no model whose steps could be timed alone"
    else:
        found.values += percentile_values("model_step_ms", case, _model_alone(engine.model, opening, frames, clock))
    if not apart:
        found.values.append(Value("resident_mib", case, resident))
        found.values.append(Value("peak_resident_mib", case, peak_resident_mib()))
    report(total, total)
    return found


def growth(job: Job, report: Report, *, clock: Clock = time.monotonic, cpu: Callable[[], float] | None = None) -> Found:
    """Run one stream for a long time on pictures that cost the same to deliver at any time, and see what changes.

    `job.settings`: `size`, `fps`, `long_frames`, `prompt`, `seed`.
    """
    from vivace.bench.loops import Loop, render_loop

    settings = job.settings
    opening = _opening(settings)
    case = f"{opening.size[0]}x{opening.size[1]}"
    frames: int = settings["long_frames"]
    engine = job.engine.open()
    found = Found(engine.about)
    loop = Loop(render_loop(opening.size, seed=opening.seed), frames, clock=clock)
    memory_mib: list[float] = []
    effort_ms: list[float] = []
    cpu = cpu or cpu_ms
    tell = _throttled(report, frames)

    def watch(done: int) -> None:
        effort_ms.append(cpu())
        if done % MEMORY_EVERY == 0:
            memory_mib.append(resident_mib())
        tell(done)

    times_s, stages = _play(engine.open(opening, clock), loop, None, clock, watch)
    _check_frames(job, len(times_s), frames)
    cost_ms = intervals_ms(times_s)
    found.series[f"long_frame_ms/{case}"] = cost_ms
    found.values += cost_growth(case, cost_ms)
    if stages:
        found.values.append(cpu_growth(case, [after - before for before, after in pairwise(effort_ms)]))
        found.values.append(memory_growth(case, memory_mib))
    else:
        found.not_run["CPU time and memory"] = f"{job.engine.name} works in a process of its own"
    report(frames, frames)
    return found


def cost_growth(case: str, cost_ms: Sequence[float]) -> list[Value]:
    """Return the growth of the cost of a frame, and late frames against early ones, from `EARLY_FRAME` on."""
    early_ms = window_median(cost_ms, EARLY_FRAME + WINDOW_FRAMES // 2, WINDOW_FRAMES)
    late_ms = window_median(cost_ms, len(cost_ms), WINDOW_FRAMES)
    return [
        _growth_pct("cost_growth_pct_per_1000", case, cost_ms[EARLY_FRAME:]),
        Value("cost_late_over_early", case, late_ms / early_ms if early_ms > 0 else None),
    ]


def memory_growth(case: str, memory_mib: Sequence[float]) -> Value:
    """Return the growth of resident memory, MiB in 1000 frames, from its value at each `MEMORY_EVERY`-th frame."""
    steady_mib = memory_mib[EARLY_FRAME // MEMORY_EVERY :]
    found = trend([number * MEMORY_EVERY for number in range(len(steady_mib))], steady_mib)
    return Value("memory_growth_mib_per_1000", case, found.slope * 1000, [slope * 1000 for slope in found.slopes])


def cpu_growth(case: str, cpu_cost_ms: Sequence[float]) -> Value:
    """Return the growth of the CPU time of a frame.

    Frames are taken ten by ten, since a thread that runs ahead spends one frame's time in another's interval.
    """
    sums = [sum(cpu_cost_ms[first : first + 10]) for first in range(EARLY_FRAME, len(cpu_cost_ms) - 9, 10)]
    tens = _growth_pct("cpu_growth_pct_per_1000", case, sums)
    assert tens.value is not None
    return Value(tens.metric, case, tens.value / 10.0, [block / 10.0 for block in tens.blocks])


def _growth_pct(metric: str, case: str, costs: Sequence[float]) -> Value:
    """Return by how many per cent of its first level a cost grows in 1000 places.

    Looks at the cheapest tenth of every stretch: other programs make frames dearer, never cheaper.
    """
    found = trend(range(len(costs)), costs, share=QUIET_SHARE)
    scale = 100.0 * 1000.0 / found.level if found.level > 0 else math.nan
    return Value(metric, case, found.slope * scale, [slope * scale for slope in found.slopes])


def serve(job: Job, report: Report) -> Found:
    """Find how many sessions of the model hold each frame rate.

    `job.settings`: `size`, `session_fps`, `session_s`, `session_searches`, `prompt`, `seed`.
    """
    from vivace.bench.sessions import sessions_held

    settings = job.settings
    opening = _opening(settings)
    engine = job.engine.open()
    found = Found(engine.about)
    if engine.model is None:
        found.not_run["sessions"] = f"{job.engine.name} has no model whose sessions could be stepped together"
        return found
    rates: list[float] = settings["session_fps"]
    searches: int = settings["session_searches"]
    for number, fps in enumerate(rates):
        counts = []
        for search in range(searches):
            report(number * searches + search, len(rates) * searches)
            counts.append(float(sessions_held(engine.model, opening, fps, settings["session_s"])))
        case = f"{opening.size[0]}x{opening.size[1]}/{fps:g}fps"
        found.values.append(Value("sessions_held", case, sum(counts) / len(counts), counts if searches > 1 else []))
    report(len(rates) * searches, len(rates) * searches)
    return found


def _play(
    runner: Runner, source: Source, sink: Sink | None, clock: Clock, watch: Watch, *, limit: int | None = None
) -> tuple[list[float], dict[str, dict[str, float | None]]]:
    """Run a source through a session, every frame; return when each frame was done, and percentiles of the stages.

    Done is: written to the sink. Without one it is when the last stage let go of the frame, where the session says so,
    since only that belongs to the frame alone.
    """
    times_s: list[float] = []
    with closing(runner):
        with closing(runner.run(source, live=False)) as frames:
            for frame in frames:
                if sink is not None:
                    sink.write(frame)
                    times_s.append(clock())
                else:
                    times_s.append(frame.marks.get("refine", clock()))
                watch(len(times_s))
                if len(times_s) == limit:
                    break
        stats = runner.stats()
    stages = {} if stats is None else {stage: dict(stats.stages_ms[stage]) for stage in STAGES}
    return times_s, stages


def _check_frames(job: Job, found: int, wanted: int) -> None:
    """Refuse to give figures of a system that leaves frames out: they would say that dropping is fast."""
    if found != wanted:
        raise StepError(
            f"{job.engine.name} put out {found} of {wanted} frames where every frame counts; time it with "
            "`vivace bench latency`, where frames may be dropped"
        )


def _model_alone(model: StreamModel, opening: Opening, steps: int, clock: Clock) -> list[float]:
    """Return ms of single steps on the pictures of a moving scene."""
    from vivace.bench.loops import render_loop
    from vivace.bench.sessions import Session

    pictures = render_loop(opening.size, seed=opening.seed)
    session = Session(model, opening, pictures)
    times_ms = []
    for number in range(WARMUP_FRAMES + steps):
        chunk = session.chunk(number)
        began_s = clock()
        model.step([session.state], [chunk])
        times_ms.append((clock() - began_s) * 1000.0)
    return times_ms[WARMUP_FRAMES:]


class _Metered:
    """Counters read at the ends of every stretch of a run."""

    def __init__(self, counters: Counters, first: int, frames: int) -> None:
        """Read `counters` at frame `first` and at the end of each of `BLOCKS` stretches of the `frames` that follow."""
        self._counters = counters
        self._length = max(1, frames // BLOCKS)
        self._at = {first + number * self._length for number in range(min(BLOCKS, frames) + 1)}
        self._readings: list[dict[str, float]] = []

    def at(self, done: int) -> None:
        """Read the counters if it is time to."""
        if done in self._at:
            self._readings.append({metric: read() for metric, read in self._counters.items()})

    def values(self, case: str) -> list[Value]:
        """Return what every counter advanced by in a frame."""
        values = []
        for metric in self._counters:
            steps = [after[metric] - before[metric] for before, after in pairwise(self._readings)]
            blocks = [step / self._length for step in steps]
            if blocks:
                values.append(Value(metric, case, sum(blocks) / len(blocks), blocks))
        return values


def _open_counters(found: Found, stack: ExitStack) -> Counters:
    """Open what counts the machine's effort, to be closed with `stack`; note why a counter is missing."""
    from vivace.bench.energy import open_cpu_meter, open_gpu_meter

    counters: Counters = {"cpu_ms_per_frame": cpu_ms}
    for metric, meter in (("energy_j_per_frame", open_cpu_meter()), ("gpu_energy_j_per_frame", open_gpu_meter())):
        if isinstance(meter, str):
            found.not_run[metric] = meter
        else:
            stack.callback(meter.close)
            counters[metric] = meter.read_j
    return counters


def cpu_ms() -> float:
    """Return the CPU time this process has had on all cores, ms."""
    return time.process_time() * 1000.0


def _opening(settings: Any) -> Opening:
    width, height = settings["size"]
    return Opening((width, height), settings["fps"], settings["prompt"], settings["seed"])


def _clip(settings: Any) -> Source:
    from vivace.media.source import open_source

    return open_source(settings["clip"])


def _mp4(folder: str) -> Sink:
    from vivace.media.sink import open_sink

    return open_sink(Path(folder) / "out.mp4")


def _throttled(report: Report, total: int) -> Watch:
    """Return a watch that reports a few times a second, by the wall clock."""
    told_s = -PROGRESS_S

    def watch(done: int) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= PROGRESS_S:
            told_s = now_s
            report(done, total)

    return watch
