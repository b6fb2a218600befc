"""Latency benchmark: age of the picture a viewer sees, its regularity, and whether both last.

Each case is a live session in a fresh process (`run`, `webrtc_run`); this module defines cases and figures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial

from vivace.bench.document import Direction, MetricInfo, MetricTable
from vivace.bench.job import TURNS, Job, run_job, take_turns
from vivace.bench.latency.take import STALL_PERIODS, WARMUP_S
from vivace.bench.speed.benchmark import PROMPT, Findings, Report, RunJob, told
from vivace.bench.stats.values import PERCENTILES
from vivace.bench.systems.system import SystemSpec
from vivace.errors import UsageError
from vivace.stream.account import STAGES

MIN_S = 3.0
"""Shortest take, s: a second of warm-up, and some to measure."""
PROMPTS = ("black ink brush drawing", "watercolour painting", "oil painting with thick brush strokes")
"""Prompts typed in turn."""


@dataclass(frozen=True, slots=True)
class LatencyCase:
    """One live session."""

    size: tuple[int, int]
    """`(width, height)`, px."""
    fps: float
    """Frame rate of the camera, frames/s."""

    @property
    def name(self) -> str:
        """Name of the case in the document."""
        return f"live/{self.fps:g}fps/{self.size[0]}x{self.size[1]}"

    def extra(self) -> dict[str, float | int | None]:
        """Return settings that only some cases have."""
        return {}


PATHS = ("in-process", "webrtc")
TASKS = {PATHS[0]: "vivace.bench.latency.run:live", PATHS[1]: "vivace.bench.latency.webrtc_run:live"}
"""Task that measures each path."""

CASES = (
    LatencyCase((256, 256), 24.0),
    LatencyCase((512, 288), 30.0),
    LatencyCase((256, 256), 120.0),
)
"""Cases: an ordinary camera, a wide one, and one that is faster than the model, whose lag must stay bounded."""


@dataclass(frozen=True, slots=True)
class LatencyOptions:
    """Options of a latency run."""

    system: SystemSpec
    cases: tuple[LatencyCase, ...] = CASES
    seconds: float = 20.0
    """Length of every take, s."""
    prompts: tuple[str, ...] = PROMPTS
    prompt_changes: int = 8
    """Prompt changes per take, evenly spread."""
    path: str = PATHS[0]
    prompt: str = PROMPT
    seed: int = 0
    against: SystemSpec | None = None
    """Another system, measured alternately with this one."""
    turns: int = TURNS
    """Takes of each of the two."""


def measure_latency(
    options: LatencyOptions, report: Report, *, run: RunJob = run_job, into: Findings | None = None
) -> Findings:
    """Measure every case. If a measurement is stopped, `into` holds the earlier findings.

    Raises:
        UsageError: takes too short to be meaningful, or an unknown path.
        VivaceError: a measurement failed.
    """
    _check(options)
    findings = Findings() if into is None else into
    with findings.described({**latency_metrics(), **webrtc_metrics()}):
        _measure(options, report, run, findings)
    return findings


def _measure(options: LatencyOptions, report: Report, run: RunJob, findings: Findings) -> None:
    settings = asdict(options)
    for name in ("system", "cases", "prompts", "against", "turns"):
        del settings[name]
    changes = options.prompt_changes if options.prompts else 0
    settings["prompts"] = [options.prompts[number % len(options.prompts)] for number in range(changes)]
    settings["prompt_every_s"] = options.seconds / (changes + 1)
    task = TASKS[options.path]
    for case in options.cases:
        own = {"case": case.name, "size": case.size, "fps": case.fps, "frames": round(options.seconds * case.fps)}
        in_process = options.path == PATHS[0]
        job = Job(task, options.system, {**settings, **case.extra(), **own}, in_process=in_process)
        tell = partial(told, report, case.name)
        findings.add(take_turns(job, options.against, tell, turns=options.turns, run=run))


def _check(options: LatencyOptions) -> None:
    if options.path not in TASKS:
        raise UsageError(f"--path {options.path!r}: latency is measured {' or '.join(TASKS)}")
    if options.seconds < MIN_S:
        raise UsageError(f"--seconds is {options.seconds:g}; give at least {MIN_S:g}, the first one is warm-up")
    if not options.cases:
        raise UsageError("no case to measure; give a size and a frame rate")
    for case in options.cases:
        if not 1.0 <= case.fps <= 240.0:
            raise UsageError(f"{case.name}: give a camera of 1 to 240 frames a second")


def latency_metrics() -> dict[str, MetricInfo]:
    """Return the definition of every metric of this benchmark, by key."""
    found = MetricTable("latency")
    warm_up = ("capture", "deadline", "jitter", "gap", "stalls", "repeated", "shown", "backlog")

    def add(
        key: str, title: str, unit: str, meaning: str, direction: Direction = "lower", target: float | None = None
    ) -> None:
        note = f" The first {WARMUP_S:g} s of the camera is left out." if key.startswith(warm_up) else ""
        found.add(key, title, unit, meaning + note, direction, target)

    for share in PERCENTILES:
        meaning = f"{share} % of pictures shown are at most this old: from the moment they were due at the camera."
        add(f"capture_to_present_ms_p{share}", f"Capture to present p{share}", "ms", meaning)
    add("shown_fps", "Shown", "fps", "Pictures a second that reached the viewer.", "higher")
    add(
        "effort_mean",
        "Effort",
        "",
        "Mean share of the full work that the deadline controller let the model do: low latency has its price here.",
        "higher",
    )
    add("jitter_ms_std", "Jitter", "ms", "Standard deviation of the time from one picture shown to the next.")
    add("gap_ms_p99", "Gap p99", "ms", "99 % of pictures follow the one before within this.")
    add("gap_periods_p95", "Gap p95 in periods", "", "95 % of pictures follow within so many periods of the camera.")
    add(
        "deadline_miss_share",
        "Deadline misses",
        "",
        "Share of pictures shown later than t0 + (index + 1) / fps, t0 being when the camera's first was due.",
    )
    add(
        "stalls_per_min",
        "Stalls",
        "/min",
        f"Gaps of more than {STALL_PERIODS:g} periods of the camera, a minute of what was shown.",
    )
    add("dropped_share", "Dropped", "", "Share of the camera's pictures that were never shown.")
    reasons = {
        "source": "lost before the session took them",
        "late": "given up inside, mostly for a newer one while the model was busy",
        "unread": "replaced by a newer one before the viewer took them",
    }
    for reason, words in reasons.items():
        add(f"dropped_{reason}_share", f"Dropped, {reason}", "", f"Share of the camera's pictures {words}.")
    add(
        "repeated_share",
        "Repeated",
        "",
        "Share of the camera's periods in which the viewer got nothing new and kept seeing the last picture.",
    )
    add(
        "prompt_to_pixel_ms_mean",
        "Prompt to pixel",
        "ms",
        "From sending a new prompt to the first picture made with it, where its cross-fade begins. Mean.",
    )
    add("prompt_to_pixel_ms_max", "Prompt to pixel, worst", "ms", "The longest of these.")
    add(
        "backlog_s_per_min",
        "Backlog slope",
        "s/min",
        "How much older pictures become in a minute: Theil–Sen slope of their age. A queue without bound is above 0.",
        "target",
        0.0,
    )
    add(
        "live_first_frame_s",
        "First frame, live",
        "s",
        "From asking a process with the model loaded for a session to the first picture shown; includes compiling.",
    )
    for stage in STAGES:
        for share in PERCENTILES:
            meaning = (
                f"{share} % of pictures spend at most this in the stage {stage} of the live session (right to 1 %)."
            )
            add(f"live_{stage}_ms_p{share}", f"Live {stage} p{share}", "ms", meaning)
    return found


def webrtc_metrics() -> dict[str, MetricInfo]:
    """Return the definitions of metrics that only this path has."""
    made = MetricTable("latency")
    add = made.add
    add("capture_to_present_ms_max", "Oldest picture shown", "ms", "Age of the oldest picture shown after the warm-up.")
    add(
        "prompt_to_pixel_ms_p95",
        "Prompt to pixel p95",
        "ms",
        "95 % of prompt changes are on the client's screen, where their cross-fade begins, within this.",
    )
    add(
        "misread_share",
        "Misread",
        "",
        "Share of received pictures whose number could not be read; they count as never shown.",
    )
    return made
