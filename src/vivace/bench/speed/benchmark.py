"""Speed benchmark: cost of a frame, cost of the first one, and whether the cost stays constant.

Each size is measured in fresh processes (`run`, `growth`, `network`); this module defines cases and figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

from vivace.bench.document import Measurement, MetricInfo, MetricTable, NotRun
from vivace.bench.job import TURNS, Found, Job, run_job, take_turns
from vivace.bench.speed.growth import EARLY_FRAME
from vivace.bench.speed.growth import MIN_FRAMES as MIN_LONG_FRAMES
from vivace.bench.speed.run import LEAST_FRAMES, OVERHEAD, WARMUP_FRAMES
from vivace.bench.stats.values import PERCENTILES
from vivace.bench.systems.system import SystemSpec
from vivace.errors import UsageError
from vivace.stream.account import STAGES

PROMPT = "oil painting with thick brush strokes"
MIN_FRAMES = 20
HEAVY_WARMUP_FRAMES = 20
"""Warm-up frames until a window of sixteen frames is full and its anchors are set in every row."""
HEAVY_COLD_FRAMES = 3
"""Cold frames until programs are recorded."""
HEAVY_BUDGET_S = 40.0
"""Time budget for the frames of the whole stream, and again for the steps of the model and its plain form, s."""

Report = Callable[[int, int, str], None]
"""Progress callback with the work done, the work in all, and a description."""
RunJob = Callable[[Job, Callable[[int, int], None]], Found]


@dataclass(frozen=True, slots=True)
class SpeedCase:
    """Configuration of a measured stream."""

    size: tuple[int, int]
    """Output `(width, height)`, px."""
    source: tuple[int, int] | None = None
    """Input `(width, height)`, px; None is that of the output."""
    masked: bool = False
    """True to use a mask over the whole picture."""

    @property
    def name(self) -> str:
        """Name of the case in the document."""
        mask = " masked" if self.masked else ""
        source = "" if self.source is None else f" of {_times(self.source)}"
        return f"{_times(self.size)}{mask}{source}"

    @property
    def plain(self) -> bool:
        """True if input and output sizes are equal and there is no mask."""
        return self.source is None and not self.masked


SIZES = (SpeedCase((256, 256)), SpeedCase((512, 512)))
CASES = (
    *SIZES,
    SpeedCase((512, 512), masked=True),
    SpeedCase((512, 288), source=(1280, 720)),
    SpeedCase((1280, 720)),
    SpeedCase((1280, 720), source=(1920, 1080), masked=True),
)
"""Cases: two ordinary sizes, a mask, a camera's picture scaled down, a large picture, and all of that at once."""


@dataclass(frozen=True, slots=True)
class SpeedOptions:
    """Options of a speed run."""

    system: SystemSpec
    cases: tuple[SpeedCase, ...] = CASES
    frames: int = 300
    """Frames timed per case, after a warm-up of 30."""
    long_frames: int | None = 2000
    """Frames of the long run of the first case; None leaves it out."""
    session_fps: tuple[float, ...] = (15.0, 24.0)
    """Frame rates at which sessions of the first case are counted; empty leaves it out."""
    session_s: float = 5.0
    """Length of one trial of the search for sessions, s."""
    session_searches: int = 3
    """Repetitions of the search."""
    prompt: str = PROMPT
    seed: int = 0
    fps: float = 30.0
    """Frame rate that sessions are told; pictures are delivered as fast as they are taken."""
    warmup_frames: int = WARMUP_FRAMES
    """Frames left out at the beginning of every run."""
    cold_frames: int = WARMUP_FRAMES
    """Frames of the cold session."""
    budget_s: float | None = None
    """Time after which enough frames have been timed, even if fewer than `frames`, s; None times all of them."""
    plain: SystemSpec | None = None
    """The same model in its plain form, measured alternately; enables the network measurements."""
    plain_alone: bool = False
    """True to measure the two forms alone."""
    against: SystemSpec | None = None
    """Another system, measured alternately with this one."""
    turns: int = TURNS
    """Takes of each of the two."""


def heavy_options(options: SpeedOptions, plain: SystemSpec | None) -> SpeedOptions:
    """Return options for a large model, of which thousands of frames would take hours on a slow machine."""
    return replace(
        options,
        cases=(SpeedCase((512, 512)),),
        long_frames=None,
        session_fps=(),
        warmup_frames=HEAVY_WARMUP_FRAMES,
        cold_frames=HEAVY_COLD_FRAMES,
        budget_s=HEAVY_BUDGET_S,
        plain=plain,
    )


@dataclass(slots=True)
class Findings:
    """Findings of a timing benchmark, from which a row and its part of the document are made."""

    about: str = ""
    measurements: list[Measurement] = field(default_factory=list)
    beside: dict[str, Findings] = field(default_factory=dict)
    """Findings about other systems in the same run, by system."""
    metrics: list[MetricInfo] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)
    series: dict[str, list[float]] = field(default_factory=dict)
    """Single values for plots, by `KIND/CASE`."""

    def add(self, found: Found) -> None:
        """Add the result of a job."""
        self.about = self.about or found.about
        self.series |= found.series
        for value in found.values:
            self.measurements.append(
                Measurement(metric=value.metric, case=value.case, value=value.value, blocks=list(value.blocks))
            )
        for what, reason in found.not_run.items():
            entry = NotRun(what=what, reason=reason)
            if entry not in self.not_run:
                self.not_run.append(entry)
        for system, other in found.beside.items():
            self.beside.setdefault(system, Findings()).add(other)

    @contextmanager
    def described(self, infos: dict[str, MetricInfo]) -> Iterator[None]:
        """Set `metrics` to the measured ones of `infos`, in their order, however the block ends."""
        try:
            yield
        finally:
            for found in (self, *self.beside.values()):
                measured = {measurement.metric for measurement in found.measurements}
                found.metrics = [info for key, info in infos.items() if key in measured]


def measure_speed(
    options: SpeedOptions, report: Report, *, run: RunJob = run_job, into: Findings | None = None
) -> Findings:
    """Measure every case, and the long run and the sessions of the first.

    If a measurement is stopped, `into` holds the earlier findings.

    Raises:
        UsageError: too few frames to be meaningful.
        VivaceError: a measurement failed.
    """
    _check(options)
    findings = Findings() if into is None else into
    with findings.described(speed_metrics()):
        _measure(options, report, run, findings)
    return findings


def _measure(options: SpeedOptions, report: Report, run: RunJob, findings: Findings) -> None:
    from vivace.bench.inputs.loops import render_clip

    settings = asdict(options)
    for name in ("system", "cases", "plain", "plain_alone", "against", "turns"):
        del settings[name]
    with tempfile.TemporaryDirectory(prefix="vivace-bench-") as folder:
        for place, case in enumerate(options.cases):
            name, size = case.name, case.source or case.size
            clip = Path(folder) / f"{_times(size)}.mp4"
            if not clip.exists():
                report(0, 1, f"a clip of {_times(size)}")
                render_clip(clip, size, options.warmup_frames + options.frames, options.seed)
            tasks = {} if options.plain_alone else {"run:pace": name}
            if options.plain is not None:
                tasks["network:network"] = f"{name} network"
            if place == 0 and options.long_frames is not None:
                tasks["growth:growth"] = f"{name} long"
            if place == 0 and options.session_fps:
                tasks["run:serve"] = f"{name} sessions"
            for task, title in tasks.items():
                # The cost of a step alone depends on neither the source's size nor a mask.
                alone = options.plain is None and case.plain
                own = {"case": name, "size": case.size, "masked": case.masked, "steps_alone": alone, "clip": str(clip)}
                job = Job(f"vivace.bench.speed.{task}", options.system, {**settings, **own}, plain=options.plain)
                report(0, options.frames, f"{title}, starting")
                tell = partial(told, report, title)
                findings.add(take_turns(job, options.against, tell, turns=options.turns, run=run))
    if options.long_frames is None:
        findings.not_run.append(NotRun(what="cost growth", reason="no long run was asked for; give --long N"))
    if not options.session_fps:
        findings.not_run.append(NotRun(what="sessions", reason="no rate was asked for; give --sessions FPS"))


def told(report: Report, what: str, done: int, total: int) -> None:
    """Report the progress of a job named `what`."""
    report(done, total, what)


def _check(options: SpeedOptions) -> None:
    least = MIN_FRAMES if options.budget_s is None else LEAST_FRAMES
    if options.frames < least:
        raise UsageError(f"--frames is {options.frames}; give at least {least}, percentiles of fewer say nothing.")
    if options.long_frames is not None and options.long_frames < MIN_LONG_FRAMES:
        raise UsageError(
            f"--long is {options.long_frames}; give at least {MIN_LONG_FRAMES} to have early and late frames."
        )
    if not options.cases:
        raise UsageError("no size to measure at; give --size WxH")
    for fps in options.session_fps:
        if not 1.0 <= fps <= 240.0:
            raise UsageError(f"sessions at {fps:g} fps; give 1 to 240 frames a second")


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def speed_metrics() -> dict[str, MetricInfo]:
    """Return the definition of every metric of this benchmark, by key."""
    found = MetricTable("speed")
    add = found.add
    add("fps", "Frame rate", "fps", "Output frames a second, decode to encode, every frame, after warm-up.", "higher")
    for share in PERCENTILES:
        meaning = f"{share} % of frames come at most this long after the one before, decode to encode."
        add(f"frame_ms_p{share}", f"Frame cost p{share}", "ms", meaning)
    for share in PERCENTILES:
        meaning = f"{share} % of model steps alone take at most this, nothing else running."
        add(f"model_step_ms_p{share}", f"Model step p{share}", "ms", meaning)
    for stage in ("depth", "encode", "unet", "denoise", "context", "decode"):
        for share in PERCENTILES:
            meaning = f"{share} % of model steps spend at most this of the device's time in {stage}."
            add(f"model_{stage}_ms_p{share}", f"Model {stage} p{share}", "ms", meaning)
    add(
        "anchor_step_ms",
        "Model step that sets anchors",
        "ms",
        "The dearest step while the window's anchors are set anew.",
    )
    add(
        "times_plain",
        "Times as fast as plain",
        "x",
        "Median step of the plain eager form over that of this one, taking turns in one process.",
        "higher",
    )
    for stage, name, of in (("unet", "UNet", "a frame, all rows"), ("denoise", "Denoising", "a chunk, all steps")):
        meaning = f"The same of the stage {stage} alone."
        add(f"{stage}_times_plain", f"{name}, times as fast as plain", "x", meaning, "higher")
        meaning = (
            f"Floating-point operations of the network for {of}, by its definition, an addition counted for itself."
        )
        add(f"{stage}_tflop", f"{name}: work", "TFLOP", meaning)
        meaning = f"That work over the median time of the stage {stage}."
        add(f"{stage}_tflops", f"{name}: rate", "TFLOP/s", meaning, "higher")
        add(f"{stage}_matrix_share", f"{name}: share of matrix rate", "", "That rate over the matrix rate.", "higher")
    meaning = "Latency on an infinitely fast machine at the frame rate told: a chunk is recorded before it is painted."
    add("latency_floor_ms", "Latency floor", "ms", meaning)
    meaning = "The most memory the process held with one stream, before the plain form was loaded."
    add("model_peak_resident_mib", "Peak memory of the model", "MiB", meaning)
    meaning = "Weights of the denoising network and the KV ring of one stream, as they are defined."
    add("weights_and_ring_mib", "Weights and ring", "MiB", meaning)
    meaning = "Peak memory of the model over weights and ring; Python and torch take a share of it."
    add("peak_over_weights_and_ring", "Peak over weights and ring", "x", meaning)
    add(
        "matrix_tflops",
        "Matrix rate",
        "TFLOP/s",
        "The fastest of many products of large square matrices, same device and precision, same process.",
        "higher",
    )
    for stage in STAGES:
        for share in PERCENTILES:
            meaning = f"{share} % of frames spend at most this in the stage {stage} (right to 1 %)."
            add(f"stage_{stage}_ms_p{share}", f"Stage {stage} p{share}", "ms", meaning)
    add(
        "first_frame_cold_s",
        "First frame, cold",
        "s",
        "From starting a fresh process to its first frame: imports, weights, compiling, decoding. No compiled model is "
        "cached between processes; the files may be in the system's cache.",
    )
    add("start_load_s", "Start: loading", "s", "Of that: from starting the process to the model loaded.")
    add(
        "start_prepare_s",
        "Start: preparing",
        "s",
        "Of that: from the model loaded to the first frame: buffers, compiling, capturing, decoding.",
    )
    add(
        "start_compile_s",
        "Start: compiling",
        "s",
        "First calls of the programs that are compiled, in both sessions.",
    )
    add("start_record_s", "Start: capturing", "s", "Recording CUDA graphs, in both sessions.")
    add(
        "first_frame_warm_s",
        "First frame, warm",
        "s",
        "From opening a second session of that size in the same process to its first frame written.",
    )
    add("resident_mib", "Resident memory", "MiB", "Held by the process at the end of the steady run.")
    add("peak_resident_mib", "Peak memory", "MiB", "The most the process ever held.")
    add(
        "gpu_peak_allocated_mib",
        "Peak GPU memory, used",
        "MiB",
        "The most of the GPU's memory that tensors of the process took, one session open.",
    )
    add(
        "gpu_peak_reserved_mib",
        "Peak GPU memory, held",
        "MiB",
        "The most of it that the process held, with what it kept for tensors to come.",
    )
    add(
        "cpu_ms_per_frame",
        "CPU time a frame",
        "ms",
        "What the process had of all cores in the steady run over its frames, encoding included; other programs change "
        "it less than the frame cost.",
    )
    add(
        OVERHEAD,
        "Overhead a frame",
        "ms",
        "Of that, what threads that run Python had outside the calls of the network and of the codecs: conversions, "
        "scaling, copies, masks, textures, cuts, locks.",
    )
    add(
        "energy_j_per_frame",
        "Energy a frame",
        "J",
        "What the processor packages drew in the steady run, whatever else ran on them, over its frames.",
    )
    add("gpu_energy_j_per_frame", "GPU energy a frame", "J", "The same of the NVIDIA cards.")
    add(
        "cost_growth_pct_per_1000",
        "Cost growth",
        "%/1000",
        "How much dearer a frame becomes in 1000 frames: Theil–Sen slope over 20 stretches, of each the cost that its "
        "cheapest 5 % stay under, relative to the first quarter of the run.",
        "target",
        0.0,
    )
    add(
        "cpu_growth_pct_per_1000",
        "CPU growth",
        "%/1000",
        "The same of the mean CPU time of a frame.",
        "target",
        0.0,
    )
    add(
        "cost_late_over_early",
        "Cost, late over early",
        "",
        f"The same cost in the last quarter of the run over that in the first, from frame {EARLY_FRAME} on.",
        "target",
        1.0,
    )
    add(
        "memory_growth_mib_per_1000",
        "Memory growth",
        "MiB/1000",
        "How much more memory is resident after 1000 frames: Theil–Sen slope, as above.",
    )
    add(
        "sessions_held",
        "Sessions held",
        "",
        "Sessions of one model, at full effort, of whose pictures, all due at once, 99 % are painted within a period.",
        "higher",
    )
    return found
