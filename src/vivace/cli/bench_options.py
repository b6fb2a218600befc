"""The flags of `vivace bench`, and what they say to the benchmark: what is measured, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from vivace.cli.extras import need_serve_extra
from vivace.cli.loading import LoadFlags
from vivace.cli.options import parse_size, whole
from vivace.errors import UsageError
from vivace.settings import Settings

if TYPE_CHECKING:
    from vivace.bench.latency.benchmark import LatencyCase, LatencyOptions
    from vivace.bench.quality.benchmark import QualityOptions
    from vivace.bench.scale.simulation import Plan
    from vivace.bench.speed.benchmark import SpeedOptions
    from vivace.bench.systems.subject import Subject
    from vivace.bench.watermark.benchmark import WatermarkOptions

SYSTEM = Group("What is measured", sort_key=1)
PROTOCOL = Group("How much", sort_key=2)
OUTPUT = Group("Output", sort_key=3)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class SystemFlags:
    """System to measure."""

    model: Annotated[str | None, Parameter(group=SYSTEM)] = None
    """A name from `vivace models list`; the embedded `mini` if nothing is given."""
    command: Annotated[str | None, Parameter(group=SYSTEM)] = None
    """A system made elsewhere: a command that reads frames on stdin and writes frames on stdout."""
    name: Annotated[str | None, Parameter(group=SYSTEM)] = None
    """Name of the system in the results."""
    threads: Annotated[int | None, Parameter(group=SYSTEM, converter=whole)] = None
    """CPU threads for the model; all if not given."""
    steps: Annotated[int | None, Parameter(group=SYSTEM, converter=whole)] = None
    """Denoising steps, of a model whose steps are settled when it is loaded; its style's own if not given."""
    random_weights: Annotated[bool, Parameter(group=SYSTEM, negative=(), show_default=False)] = False
    """The network at full size with random weights and no files: for figures of time, not for pictures."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class AgainstFlags:
    """Systems to measure beside it."""

    against: Annotated[Path | None, Parameter(group=SYSTEM)] = None
    """Another checkout of Vivace: this benchmark measures its code too, in turn, and prints what differs."""
    turns: Annotated[int, Parameter(group=SYSTEM, converter=whole)] = 2
    """Takes of each of the two; figures are their medians."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFlags:
    """Files of the results."""

    out: Annotated[Path, Parameter(group=OUTPUT)] = Path("vivace-bench")
    """Folder for `KIND.json` and `KIND.html`."""
    json: Annotated[Path | None, Parameter(group=OUTPUT)] = None
    """Also write the document there."""
    seed: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 0
    """Seed of scenes, noise and intervals: the same gives the same quality figures."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFlags:
    """Extent of the measurement of quality."""

    size: Annotated[str, Parameter(group=PROTOCOL)] = "256x256"
    """Size WxH of clips and output."""
    quick: Annotated[bool, Parameter(group=PROTOCOL, negative=(), show_default=False)] = False
    """Three scenes and few frames, under a minute: a first look, not a result to quote."""
    scenes: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=(), consume_multiple=True)] = None
    """Only these scenes; see docs/scenes.md. `none` leaves only `--clips`."""
    clips: Annotated[Path | None, Parameter(group=PROTOCOL)] = None
    """Also run on the videos of this folder (`walk.mask.mp4` or `.png` beside `walk.mp4` is its mask)."""
    tasks: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=(), consume_multiple=True)] = None
    """Only these of style, region, edit, fidelity, drift."""
    weights: Annotated[Path | None, Parameter(group=PROTOCOL)] = None
    """Folder of pretrained networks for the metrics that need some; without it the hub's cache is looked at."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedFlags:
    """Extent of the measurement of speed."""

    size: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=())] = None
    """Output size WxH; may be given several times. Default: 256x256, 512x512, 1280x720 and some with a mask or a
    source of another size; of a large model 512x512 alone."""
    source: Annotated[str | None, Parameter(group=PROTOCOL)] = None
    """Size WxH of the pictures that come; that of the output if not given."""
    mask: Annotated[bool, Parameter(group=PROTOCOL, negative=(), show_default=False)] = False
    """With a mask over all of the picture."""
    frames: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 300
    """Frames to time at each size, after a warm-up; of a large model as many of them as 40 s allow."""
    long: Annotated[int | None, Parameter(group=PROTOCOL, converter=whole)] = None
    """Frames of the long run at the first size, which shows whether cost or memory grows; 0 leaves it out. Default:
    2000; of a large model none."""
    sessions: Annotated[
        list[float] | None, Parameter(group=PROTOCOL, consume_multiple=True, negative="--no-sessions")
    ] = None
    """Frame rates at which concurrent sessions are counted at the first size. Default: 15 and 24; of a large model
    none."""
    plain: Annotated[bool, Parameter(group=PROTOCOL, negative=(), show_default=False)] = False
    """Measure a large model's step against its plain form, as published, and nothing else."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFlags:
    """Extent of the measurement of latency."""

    live: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=(), consume_multiple=True)] = None
    """Cameras, WxH@FPS, e.g. `512x288@30`. Default: 256x256@24, 512x288@30 and an overload; over WebRTC 256x256@30 and
    512x288@30, two sessions, and a model slowed down to 100 ms."""
    seconds: Annotated[float, Parameter(group=PROTOCOL)] = 20.0
    """Length of every take."""
    path: Annotated[Literal["in-process", "webrtc"], Parameter(group=PROTOCOL)] = "in-process"
    """The way from camera to screen: within one process, or through `vivace serve` and back over WebRTC."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class WatermarkFlags:
    """Extent of the measurement of the watermark."""

    size: Annotated[str, Parameter(group=PROTOCOL)] = "512x512"
    """Size WxH of clips."""
    scenes: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=(), consume_multiple=True)] = None
    """Mark only these scenes; `none` leaves only `--clips`, and the pictures without a watermark."""
    clips: Annotated[Path | None, Parameter(group=PROTOCOL)] = None
    """Also the videos of this folder."""
    seconds: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 2
    """Seconds of each clip, each marked and read by itself; 0 only looks at pictures without a watermark."""
    unmarked: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 100
    """Pictures without a watermark that are searched: of `--clips`, each once, then of scenes."""
    resume: Annotated[bool, Parameter(group=PROTOCOL, negative=(), show_default=False)] = False
    """Go on with these after the ones that `unmarked.csv` of an ended run has."""
    quick: Annotated[bool, Parameter(group=PROTOCOL, negative=(), show_default=False)] = False
    """Three scenes, a second of each, no curves: a first look, not a result to quote."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleFlags:
    """Size of the cluster that is simulated, and what happens to it."""

    workers: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 100
    """Devices."""
    sessions: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 200
    """Sessions that come at the busiest hour, at once, if all are let in."""
    hours: Annotated[float, Parameter(group=PROTOCOL)] = 1.0
    """Time that is simulated, up to the busiest hour of a day."""
    step_ms: Annotated[float, Parameter(group=PROTOCOL)] = 21.9
    """Time of a step at 256x256 on the commonest device; that of `mini` on two cores if not given."""
    failures: Annotated[float, Parameter(group=PROTOCOL)] = 0.02
    """Failures of a worker an hour."""
    seed: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 0
    """Seed of everything that happens."""

    def plan(self) -> Plan:
        """Return what is simulated.

        Raises:
            UsageError: a number that no cluster can have.
        """
        from vivace.bench.scale.simulation import Plan

        if not (1 <= self.workers <= 20_000 and 1 <= self.sessions <= 200_000):
            raise UsageError(
                f"a cluster of {self.workers} workers and {self.sessions} sessions cannot be simulated; give 1 to "
                "20000 workers and 1 to 200000 sessions"
            )
        if not (0 < self.hours <= 24 and 0.01 <= self.step_ms <= 1e4 and 0 <= self.failures <= 60):
            raise UsageError("give --hours up to 24, --step-ms of 0.01 to 10000 and --failures of 0 to 60 an hour")
        return Plan(self.workers, self.sessions, self.hours, self.step_ms, failures=self.failures, seed=self.seed)


def subject_of(
    flags: SystemFlags | None,
    loading: LoadFlags | None,
    settings: Settings,
    outputs: Path | None = None,
    beside: AgainstFlags | None = None,
) -> Subject:
    """Return what is measured, by its flags.

    Raises:
        UsageError: flags that contradict one another.
    """
    from vivace.bench.systems.subject import Subject

    flags, loading = flags or SystemFlags(), loading or LoadFlags()
    model = flags.model or settings.model
    options, of_streams = loading.load_options(model, steps=flags.steps)
    if of_streams:
        raise UsageError(f"--set {min(of_streams)}: a stream's controls are measured at their defaults; leave it out")
    options = replace(options, random_weights=flags.random_weights)
    if (flags.command is not None or outputs is not None) and (options.given() or loading.runtime):
        raise UsageError("--command and --outputs load no model; leave out the flags that say how to load one")
    if flags.model is not None and (flags.command is not None or outputs is not None):
        raise UsageError("--model and --command or --outputs name two systems; give one of them")
    return Subject(
        model=model,
        command=flags.command,
        outputs=outputs,
        name=flags.name,
        threads=flags.threads or settings.threads,
        runtime=loading.runtime,
        loading=options,
        against=None if beside is None else beside.against,
    )


def quality_options(flags: QualityFlags | None, seed: int) -> QualityOptions:
    """Return how quality is measured; names the extra that is missing, and scenes or tasks that are unknown."""
    from vivace.bench.suite import need_bench_extra

    need_bench_extra("measuring quality")  # before anything that imports it
    from vivace.bench.quality.benchmark import QualityOptions
    from vivace.bench.quality.cases import check_tasks, make_protocol

    flags = flags or QualityFlags()
    return QualityOptions(
        protocol=make_protocol(flags.scenes, quick=flags.quick),
        size=parse_size(flags.size),
        seed=seed,
        clips=flags.clips,
        tasks=check_tasks(flags.tasks),
        weights=flags.weights,
    )


def speed_options(
    flags: SpeedFlags | None, subject: Subject, seed: int, beside: AgainstFlags | None = None
) -> SpeedOptions:
    """Return how speed is measured: what a large model does not get by default can be asked for."""
    from vivace.bench.speed.benchmark import CASES, SIZES, SpeedCase, SpeedOptions, heavy_options

    flags, beside = flags or SpeedFlags(), beside or AgainstFlags()
    source = None if flags.source is None else parse_size(flags.source)
    if not subject.ours and (flags.mask or source is not None):
        raise UsageError("a command gets pictures of the output's size and no mask; leave out --source and --mask")
    options = SpeedOptions(
        subject.spec(),
        CASES if subject.ours else SIZES,
        frames=flags.frames,
        seed=seed,
        against=subject.against_spec(),
        turns=_turns(beside),
    )
    if subject.heavy:
        options = heavy_options(options, subject.plain_spec())
    if flags.plain:
        if options.plain is None:
            raise UsageError("--plain: there is a plain form of live2diff and of the Wan models; choose one by --model")
        options = replace(options, plain_alone=True)
    if flags.size is not None:
        options = replace(options, cases=tuple(SpeedCase(parse_size(text)) for text in flags.size))
    if flags.mask or source is not None:
        sizes = dict.fromkeys(case.size for case in (options.cases if flags.size or subject.heavy else SIZES))
        options = replace(options, cases=tuple(SpeedCase(size, source, flags.mask) for size in sizes))
    if flags.long is not None:
        options = replace(options, long_frames=flags.long or None)
    if flags.sessions is not None:
        options = replace(options, session_fps=tuple(flags.sessions))
    return options


def _turns(beside: AgainstFlags) -> int:
    if beside.turns < 1:
        raise UsageError(f"--turns is {beside.turns}; give at least 1")
    return beside.turns


def latency_options(
    flags: LatencyFlags | None, subject: Subject, seed: int, beside: AgainstFlags | None = None
) -> LatencyOptions:
    """Return how latency is measured, of the way that is asked for."""
    from vivace.bench.latency import webrtc
    from vivace.bench.latency.benchmark import CASES, LatencyOptions

    flags, beside = flags or LatencyFlags(), beside or AgainstFlags()
    against, turns = subject.against_spec(), _turns(beside)
    given = None if flags.live is None else tuple(_camera(text) for text in flags.live)
    if flags.path == "in-process":
        return LatencyOptions(
            subject.spec(), given or CASES, seconds=flags.seconds, seed=seed, against=against, turns=turns
        )
    cases: tuple[LatencyCase, ...] = webrtc.CASES
    if given is not None:
        cases = tuple(webrtc.WebRtcCase(case.size, case.fps) for case in given)
    return LatencyOptions(
        subject.spec(),
        cases=cases,
        seconds=flags.seconds,
        prompt_changes=webrtc.PROMPT_CHANGES,
        path=flags.path,
        seed=seed,
        against=against,
        turns=turns,
    )


def _camera(text: str) -> LatencyCase:
    """Return the live session of a text such as `512x288@30`."""
    from vivace.bench.latency.benchmark import LatencyCase

    size, at, fps = text.partition("@")
    try:
        return LatencyCase(parse_size(size), float(fps if at else "24"))
    except ValueError:
        raise UsageError(f"--live {text[:40]!r} is not WxH@FPS; give for example 512x288@30.") from None


def watermark_options(flags: WatermarkFlags | None, seed: int) -> WatermarkOptions:
    """Return how the watermark is measured; names the extra that is missing."""
    from vivace.bench.suite import need_bench_extra

    need_bench_extra("measuring the watermark")
    need_serve_extra("WebRTC's codecs")
    from vivace.bench.quality.cases import make_protocol
    from vivace.bench.watermark.benchmark import WatermarkOptions

    flags = flags or WatermarkFlags()
    if flags.seconds < 0 or flags.unmarked < 0:
        raise UsageError(f"--seconds is {flags.seconds} and --unmarked {flags.unmarked}; give 0 or more")
    return WatermarkOptions(
        make_protocol(flags.scenes, quick=flags.quick).scenes,
        flags.clips,
        parse_size(flags.size),
        seconds=min(flags.seconds, 1) if flags.quick else flags.seconds,
        curves=not flags.quick,
        unmarked=min(flags.unmarked, 24) if flags.quick else flags.unmarked,
        resume=flags.resume,
        seed=seed,
    )
