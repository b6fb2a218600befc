"""Stages of a diffusion model's step, compared with a plain form of the same model, inside a fresh process.

The two forms run alternately, so that disturbances of the machine affect both alike. The ratio of their steps is valid
within this one run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from vivace.bench.inputs.loops import render_loop
from vivace.bench.job import Found, Job, Report
from vivace.bench.speed.denoisers import denoiser_of
from vivace.bench.speed.memory import MIB, peak_resident_mib
from vivace.bench.speed.run import request_of
from vivace.bench.speed.sessions import Session
from vivace.bench.stats.values import BLOCKS, Value, percentile, percentile_values
from vivace.bench.systems.system import Clock, LiveSystem, Request
from vivace.errors import UsageError
from vivace.media.frame import Rgb

if TYPE_CHECKING:
    from vivace.models.base import StreamModel

LEAST_TURNS = 3
"""Fewest turns of each form, however long they take."""


def network(job: Job, report: Report, *, clock: Clock = time.perf_counter) -> Found:
    """Time steps and stages of a model and its plain form, alternately; relate its network to the device's peak rate.

    `job.settings`: `case`, `size`, `fps`, `frames`, `warmup_frames`, `budget_s`, `prompt`, `seed`.
    """
    from vivace.bench.speed.device import gpu_peak_mib, matrix_tflops

    if job.plain is None:
        raise UsageError(f"{job.system.name} has no plain form to be compared with")
    request, case = request_of(job.settings), job.settings["case"]
    frames, warmup, budget_s = (job.settings[name] for name in ("frames", "warmup_frames", "budget_s"))
    total = warmup + frames
    pictures = render_loop(request.size, seed=request.seed)

    system = job.system.load()
    ours = Runs(system, request, pictures, clock)
    main, device = ours.denoiser.main, ours.denoiser.device
    ours.warm_up(ours.denoiser.warmup_steps(warmup, plain=False), lambda done: report(min(done, warmup), total))
    found = Found(system.about)
    found.values += [Value(metric, case, mib) for metric, mib in gpu_peak_mib(device).items()]
    if (floor_s := ours.model.spec.latency_floor_s(request.fps)) is not None:
        found.values.append(Value("latency_floor_ms", case, floor_s * 1e3))
    if (needed := ours.denoiser.needed_nbytes(request.size)) is not None:
        peak = peak_resident_mib()
        found.values += [
            Value("model_peak_resident_mib", case, peak),
            Value("weights_and_ring_mib", case, needed / MIB),
            Value("peak_over_weights_and_ring", case, peak * MIB / needed),
        ]

    plain_system = job.plain.load()
    plain = Runs(plain_system, request, pictures, clock, ours.denoiser.plain_options)
    with plain.denoiser.watch():
        plain.warm_up(plain.denoiser.warmup_steps(warmup, plain=True), lambda _: report(warmup, total))
    take_turns(ours, plain, frames, budget_s, lambda done: report(warmup + done, total))
    if ours.sets_anchors:
        found.values.append(Value("anchor_step_ms", case, ours.anchoring_ms(ours.lag + 2)))

    tflop = plain.denoiser.flops() / 1e12
    tflops = tflop / (percentile(ours.stage_ms(main), 50) / 1000.0)
    rate = matrix_tflops(device, ours.model.runtime.precision)
    found.values += [
        *ours.values(case),
        Value(f"{main}_tflop", case, tflop),
        Value(f"{main}_tflops", case, tflops),
        Value("matrix_tflops", case, rate),
        Value(f"{main}_matrix_share", case, tflops / rate),
        ratio("times_plain", case, plain.rounds, ours.rounds, "step"),
        ratio(f"{main}_times_plain", case, plain.rounds, ours.rounds, main),
    ]
    found.beside[job.plain.name] = Found(plain_system.about, plain.values(case))
    report(total, total)
    return found


Times = dict[str, list[float]]
"""Times by stage, and of the whole `step`, ms."""


class Runs:
    """Timed steps of one model on the pictures of a moving scene."""

    def __init__(
        self,
        system: LiveSystem,
        request: Request,
        pictures: Sequence[Rgb],
        clock: Clock,
        options: Mapping[str, bool] | None = None,
    ) -> None:
        """Open a session; `options` that the model lacks are ignored."""
        self.model = cast("StreamModel[Any]", system.model)
        self.denoiser = denoiser_of(self.model, request.size)
        known = {option.name for option in self.model.spec.options}
        given = {name: value for name, value in (options or {}).items() if name in known}
        self.lag = self.model.spec.output_lag_frames
        self.rounds: list[Times] = []
        """Times measured, one entry per turn."""
        self._session = Session(self.model, request, pictures, options=given)
        self.clock = clock
        self._number = 0

    def warm_up(self, steps: int, tell: Callable[[int], object]) -> None:
        """Run steps that are not timed."""
        for done in range(steps):
            self._step()
            tell(done + 1)

    def take_turn(self, seconds: float, most: int) -> None:
        """Time steps for a duration, at least one and at most `most`."""
        self.denoiser.timer.enabled = True
        times: list[float] = []
        began_s = self.clock()
        while len(times) < most and (not times or self.clock() - began_s < seconds):
            times.append(self._step())
        self.denoiser.timer.enabled = False
        self.rounds.append({"step": times, **self.denoiser.timer.take()})

    @property
    def sets_anchors(self) -> bool:
        """True where a step can be asked to set anchors anew."""
        return any(option.name in ("anchor", "anchor_every") for option in self.model.spec.options)

    def anchoring_ms(self, steps: int) -> float:
        """Return the slowest step's time, ms, while anchors are rebuilt on request, one row per step."""
        if any(getattr(option, "kind", None) == "event" for option in self.model.spec.options):
            self._session.events = frozenset({"anchor"})
        else:  # another checkout's package, where any change of a number requests it
            self._session.options = {**self._session.options, "anchor": 1.0}
        return max(self._step() for _ in range(steps))

    def stage_ms(self, stage: str) -> list[float]:
        """Return the times of a stage, in order."""
        return [ms for times in self.rounds for ms in times.get(stage, [])]

    def values(self, case: str) -> list[Value]:
        """Return percentiles of the steps and of every stage."""
        values = percentile_values("model_step_ms", case, self.stage_ms("step"))
        for stage in self.denoiser.stages:
            values += percentile_values(f"model_{stage}_ms", case, self.stage_ms(stage))
        return values

    def _step(self) -> float:
        chunk = self._session.chunk(self._number)
        self._number += 1
        began_s = self.clock()
        self.model.step([self._session.state], [chunk])
        return (self.clock() - began_s) * 1000.0


def take_turns(ours: Runs, plain: Runs, frames: int, budget_s: float | None, tell: Callable[[int], object]) -> None:
    """Run timed turns of both alternately, until ours has enough frames, or time is up after a few turns."""
    turn_s = math.inf if budget_s is None else budget_s / (2 * BLOCKS)
    each = max(1, frames // BLOCKS)
    began_s = ours.clock()
    for turn in range(BLOCKS):
        if budget_s is not None and turn >= LEAST_TURNS and ours.clock() - began_s > budget_s:
            return
        ours.take_turn(turn_s, each)
        plain.take_turn(turn_s, each)
        tell(len(ours.stage_ms("step")))


def ratio(metric: str, case: str, slow: Sequence[Times], fast: Sequence[Times], stage: str) -> Value:
    """Return the ratio of a stage's medians, over all turns and, as blocks, of each pair of turns."""

    def median_ms(rounds: Sequence[Times]) -> float:
        return percentile([ms for times in rounds for ms in times[stage]], 50)

    blocks = [median_ms([s]) / median_ms([f]) for s, f in zip(slow, fast, strict=True)]
    return Value(metric, case, median_ms(slow) / median_ms(fast), blocks)
