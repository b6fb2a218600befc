"""Quality benchmark: every system on every case, with every metric that applies to the case."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.bench.document import Measurement, MetricInfo, NotRun
from vivace.bench.inputs.clips import Clip, find_mask, list_videos, load, loop, render, render_edited
from vivace.bench.inputs.scenes import scene_worlds
from vivace.bench.metrics import METRICS
from vivace.bench.metrics.drift import READINGS as DRIFT_READINGS
from vivace.bench.metrics.drift import drift, follow, looks
from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.bench.metrics.pretrained import Judge, judges
from vivace.bench.quality.cases import TASKS, Case, Protocol, Task, cases_of, drift_case
from vivace.bench.speed.benchmark import Report
from vivace.bench.systems.baselines import ClassicFilter, Frozen, Once, Passthrough, PerFrame
from vivace.bench.systems.system import ModelSystem, Painted, Request, System
from vivace.errors import UsageError, install_extra
from vivace.models.base import StreamModel

BLOCK_FRAMES = 6
"""Frames whose mean is one block of a measurement. Neighbouring frames are correlated, quarter seconds less so, which
keeps intervals resampled from them realistic."""
MAX_WAITING = 3
"""Most cases that wait for measurement while the next is painted; each holds its pictures."""


@dataclass(frozen=True, slots=True)
class QualityOptions:
    """Options of a quality run."""

    protocol: Protocol
    size: tuple[int, int] = (256, 256)
    seed: int = 0
    clips: Path | None = None
    """Folder of videos, run after the scenes."""
    tasks: tuple[Task, ...] = TASKS
    weights: Path | None = None
    """Folder of pretrained networks; None searches the hub's cache."""


@dataclass(slots=True)
class Judged:
    """Measurements of one system."""

    system: System
    measurements: list[Measurement] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Showing:
    """One painted and measured case, for pictures in a report."""

    case: Case
    footage: Footage
    """Footage of the first system."""
    painted: dict[str, Frames]
    """Output by system."""
    series: dict[str, dict[str, Series]]
    """Values by system and metric."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Cases of one clip, and how to load it."""

    load: Callable[[], Clip]
    name: str
    cases: tuple[Case, ...]


def systems_of(subject: System, model: StreamModel[Any] | None) -> tuple[list[System], list[NotRun]]:
    """Return the systems to run, the subject and its baselines, and those baselines that are not available.

    Args:
        subject: system under test.
        model: its model, if it is one of Vivace's.
    """
    first = Once(subject)
    systems: list[System] = [first]
    missing = []
    if model is not None:
        about = "the same model, its memory emptied before every frame"
        systems.append(ModelSystem(PerFrame(model), name="per-frame", role="baseline", about=about))
    if importlib.util.find_spec("torch") is not None:
        systems.append(ClassicFilter())
    else:
        missing.append(NotRun(what="baseline filter", reason=f"needs torch: {install_extra('train')}"))
    return [*systems, Passthrough(), Frozen(first)], missing


SERVED = Reading(
    key="served",
    title="Requests served",
    unit="",
    direction="higher",
    needs=("prompt",),
    source="ours",
    meaning="Share of the cases whose prompt the system took; where it refuses, the source is shown and is measured.",
    low=0.0,
    high=1.0,
)


def open_judges(weights: Path | None = None) -> tuple[list[Judge], list[NotRun]]:
    """Return the judges that can run here, and the requirements of the others.

    Args:
        weights: folder of pretrained networks; the caches of the hubs are searched as well.
    """
    ready, missing = [], []
    for judge in judges(weights):
        reason = judge.reason()
        if reason is None:
            ready.append(judge)
        else:
            missing.append(NotRun(what=judge.name, reason=reason))
    return ready, missing


def quality_infos(judges: Sequence[Judge] = ()) -> list[MetricInfo]:
    """Return the definitions of everything a quality run measures, including by `judges`."""
    judged = [reading for judge in judges for reading in judge.readings]
    return [
        MetricInfo(
            key=reading.key,
            title=reading.title,
            group="quality",
            unit=reading.unit,
            direction=reading.direction,
            target=reading.target,
            meaning=reading.meaning,
            source=reading.source,
        )
        for reading in (*METRICS, *judged, *DRIFT_READINGS, SERVED)
    ]


def plan(options: QualityOptions) -> list[Planned]:
    """Return every clip of a run with its cases.

    Raises:
        UsageError: nothing is left to run.
        SourceNotFoundError: no video in the folder of clips.
    """
    protocol, size, seed = options.protocol, options.size, options.seed
    infos = scene_worlds()
    found: list[Planned] = []

    def add(name: str, load_clip: Callable[[], Clip], cases: Sequence[Case]) -> None:
        wanted = tuple(case for case in cases if case.task in options.tasks)
        if wanted:
            found.append(Planned(load_clip, name, wanted))

    for number, scene in enumerate(protocol.scenes):
        cases = cases_of(scene, number, protocol, infos[scene], masked=True)
        add(scene, partial(render, scene, size, protocol.fps, protocol.frames, seed), cases)
    if options.clips is not None:
        for number, path in enumerate(list_videos(options.clips), start=len(protocol.scenes)):
            name = path.relative_to(options.clips).with_suffix("").as_posix().replace("/", "-")
            cases = cases_of(name, number, protocol, None, masked=find_mask(path) is not None)
            add(name, partial(load, path, name, size, protocol.frames), cases)
    if protocol.scenes:
        case = drift_case(protocol)
        fps, way, frames = protocol.drift_fps, protocol.drift_loop_frames, protocol.drift_frames
        add(case.clip, partial(loop, case.clip, size, fps, way, frames, seed), [case])
    if not found:
        raise UsageError("no case is left to run; name scenes, a folder of videos, or other tasks")
    return found


class QualityRun:
    """One run of the benchmark, executed by `run`; results are in the attributes."""

    def __init__(
        self,
        options: QualityOptions,
        systems: Sequence[System],
        *,
        judges: Sequence[Judge] = (),
        exact: System | None = None,
        show: Callable[[Showing], None] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            options: options of the run.
            systems: systems, the subject first.
            judges: judges to use besides the metrics.
            exact: the subject without its acceleration; without it, fidelity is not measured.
            show: called with every painted case once it is measured, from another thread.
        """
        self._options = options
        self._judges = judges
        self._exact = exact
        self._show = show
        self._plan = plan(options)
        self.judged = [Judged(system) for system in systems]
        self.refusals: list[NotRun] = []
        """Requests that the subject refused, with its reasons."""

    def run(self, report: Report) -> None:
        """Paint and measure everything.

        Raises:
            VivaceError: a video cannot be read, or a system fails.
        """
        total = sum(len(self._for(case)) for planned in self._plan for case in planned.cases)
        done = 0
        waiting: list[Future[None]] = []
        # One thread measures while this one paints: painting has its own threads, measuring is mostly NumPy.
        with ThreadPoolExecutor(1, thread_name_prefix="bench-measure") as pool:
            for planned in self._plan:
                report(done, total, f"{planned.name} · reading")
                clip = planned.load()
                for case in planned.cases:
                    painted: list[tuple[Judged, Painted]] = []
                    request = self._request(case, clip)
                    source = clip.frames[: case.frames]
                    for judged in self._for(case):
                        report(done, total, f"{case.name} · {judged.system.name}")
                        if judged.system.accepts(request) is None:
                            painted.append((judged, judged.system.run(request, source)))
                        done += 1
                    if painted:
                        waiting.append(pool.submit(self._judge, case, self._footage(case, clip, request), painted))
                    while waiting and (len(waiting) > MAX_WAITING or waiting[0].done()):
                        waiting.pop(0).result()
            for future in waiting:
                report(done, total, "measuring")
                future.result()
        report(total, total, "done")

    def _for(self, case: Case) -> list[Judged]:
        """Return the systems that a case is run with."""
        match case.task:
            case "fidelity":
                return self.judged[:1] if self._exact is not None else []
            case "drift":
                # It takes minutes: skip baselines that cannot drift, or that drift as their subject does.
                return [
                    judged
                    for judged in self.judged
                    if judged.system.role == "subject" or isinstance(judged.system, Passthrough)
                ]
            case _:
                return self.judged

    def _request(self, case: Case, clip: Clip) -> Request:
        height, width = clip.frames.shape[1:3]
        return Request(
            (width, height),
            clip.fps,
            case.prompt,
            self._options.seed,
            mask_of(case, clip),
            case=case.name,
            style=case.style,
            task=case.task,
        )

    def _footage(self, case: Case, clip: Clip, request: Request) -> Footage:
        """Return the ground truth of a case; each system's output is added later."""
        source = clip.frames[: case.frames]
        footage = Footage(source, source, clip.fps, style=case.style, prompt=case.prompt)
        match case.task:
            case "region":
                return replace(footage, mask=mask_of(case, clip))
            case "edit":
                options, protocol = self._options, self._options.protocol
                edited = render_edited(case.clip, case.request, options.size, protocol.fps, case.frames, options.seed)
                return replace(footage, reference=edited)
            case "fidelity":
                assert self._exact is not None
                return replace(footage, exact=self._exact.run(request, source).frames)
            case "drift":
                return footage
            case "style":
                return replace(
                    footage,
                    flow_back=clip.flow_back,
                    visible_back=clip.visible_back,
                    depth=clip.depth,
                    ids=clip.ids,
                )

    def _judge(self, case: Case, footage: Footage, painted: Sequence[tuple[Judged, Painted]]) -> None:
        series: dict[str, dict[str, Series]] = {}
        for judged, made in painted:
            made_of = footage.with_output(made.frames)
            if case.task == "drift":
                measured, series[judged.system.name] = self._drift(case, made_of)
                judged.measurements += measured
            else:
                found = {m.key: m.measure(made_of) for m in METRICS if case.judges(m) and m.reads(made_of)}
                for judge in self._judges:
                    wanted = {r.key for r in judge.readings if case.judges(r) and r.reads(made_of)}
                    if wanted:
                        found |= {key: values for key, values in judge.measure(made_of).items() if key in wanted}
                series[judged.system.name] = found
                judged.measurements += [to_measurement(key, case.name, values) for key, values in found.items()]
            served = made.refused is None
            judged.measurements.append(Measurement(metric="served", case=case.name, value=float(served)))
            if made.refused is not None and judged is self.judged[0]:
                self.refusals.append(NotRun(what=case.name, reason=shorten(made.refused, 120, placeholder=" …")))
        if self._show is not None:
            shown = {judged.system.name: made.frames for judged, made in painted}
            self._show(Showing(case, footage.with_output(painted[0][1].frames), shown, series))

    def _drift(self, case: Case, footage: Footage) -> tuple[list[Measurement], dict[str, Series]]:
        """Return the drifts, and the points over time behind them, with their times as `minutes`."""
        source, output = looks(footage.source), looks(footage.output)
        period = self._options.protocol.drift_period
        found = drift(source, output, footage.fps, period)
        followed = follow(source, output, footage.fps, period)
        measured = [
            Measurement(metric=key, case=case.name, value=slope.percent_per_min, blocks=list(slope.blocks))
            for key, slope in found.items()
        ]
        return measured, {"minutes": followed.times_min, **followed.percent()}


def mask_of(case: Case, clip: Clip) -> NDArray[np.bool_] | None:
    """Return the area in which a case allows changes; None is everywhere."""
    if case.task != "region" or clip.subject is None:
        return None
    return ~clip.subject if case.around else clip.subject


def to_measurement(metric: str, case: str, values: Series) -> Measurement:
    """Return the mean of a series and of its blocks, without NaN."""
    blocks = [values[start : start + BLOCK_FRAMES] for start in range(0, len(values), BLOCK_FRAMES)]
    return Measurement(metric=metric, case=case, value=_mean(values), blocks=[_mean(block) for block in blocks])


def _mean(values: Series) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None
