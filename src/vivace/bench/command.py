"""`vivace bench speed` and `vivace bench latency` on a terminal: measure, print tables, write the document."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from vivace import __version__
from vivace.bench.engine import model_engine
from vivace.bench.latency import LatencyOptions, measure_latency
from vivace.bench.machine import read_machine
from vivace.bench.measure import MIB
from vivace.bench.speed import Findings, measure_speed
from vivace.bench.speed import SpeedOptions as SpeedPlan
from vivace.bench.speed_run import STAGES
from vivace.errors import SinkWriteError

MB_PER_MIB = MIB / 1e6

Column = tuple[str, str, Callable[[float], str]]
"""Head, metric, and how a figure is written."""


def _one(value: float) -> str:
    return f"{value:.1f}"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.2f}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _megabytes(mib: float) -> str:
    return f"{mib * MB_PER_MIB:.0f}"


COST: tuple[Column, ...] = (
    ("fps", "fps", _one),
    ("p50", "frame_ms_p50", _one),
    ("p95", "frame_ms_p95", _one),
    ("p99", "frame_ms_p99", _one),
    ("model", "model_step_ms_p50", _one),
    ("CPU", "cpu_ms_per_frame", _one),
)
FIRST: tuple[Column, ...] = (
    ("RSS MB", "peak_resident_mib", _megabytes),
    ("cold s", "first_frame_cold_s", _two),
    ("warm s", "first_frame_warm_s", _two),
    ("J/frame", "energy_j_per_frame", _two),
    ("GPU J/frame", "gpu_energy_j_per_frame", _two),
)
GROWTH: tuple[Column, ...] = (
    ("cost %/1000", "cost_growth_pct_per_1000", _signed),
    ("CPU %/1000", "cpu_growth_pct_per_1000", _signed),
    ("late/early", "cost_late_over_early", _three),
    ("memory MiB/1000", "memory_growth_mib_per_1000", _signed),
)
SESSIONS: tuple[Column, ...] = (("sessions", "sessions_held", _one),)
LATENCY: tuple[Column, ...] = (
    ("p50", "capture_to_present_ms_p50", _one),
    ("p95", "capture_to_present_ms_p95", _one),
    ("p99", "capture_to_present_ms_p99", _one),
    ("jitter", "jitter_ms_std", _one),
    ("prompt", "prompt_to_pixel_ms_mean", _one),
    ("first s", "live_first_frame_s", _two),
)
STEADINESS: tuple[Column, ...] = (
    ("fps", "shown_fps", _one),
    ("late %", "deadline_miss_share", _percent),
    ("dropped %", "dropped_share", _percent),
    ("repeated %", "repeated_share", _percent),
    ("stalls/min", "stalls_per_min", _one),
    ("backlog s/min", "backlog_s_per_min", _signed),
)


@dataclass(frozen=True, slots=True)
class SpeedOptions:
    """The flags of `vivace bench speed`."""

    model: str
    sizes: tuple[tuple[int, int], ...]
    frames: int
    long_frames: int | None = None
    threads: int | None = None
    json_path: Path | None = None


def speed_command(options: SpeedOptions) -> None:
    """Measure, print, and write the document.

    Raises:
        UsageError: too few frames to say anything.
        VivaceError: what stopped a measurement.
    """
    plan = SpeedPlan(
        engine=model_engine(options.model, options.threads),
        sizes=options.sizes,
        frames=options.frames,
        long_frames=options.long_frames,
        session_fps=(),
    )
    with ProgressBars(Console(stderr=True)) as bars:
        findings = measure_speed(plan, bars.update)
    out = Console()
    for table in speed_tables(findings):
        out.print(table)
    _write("speed", options.model, findings, options.json_path)


def latency_command(model: str, options: LatencyOptions, json_path: Path | None = None) -> None:
    """Measure, print, and write the document. Raises what `speed_command` does."""
    with ProgressBars(Console(stderr=True)) as bars:
        findings = measure_latency(options, bars.update)
    out = Console()
    for table in latency_tables(findings):
        out.print(table)
    _write("latency", model, findings, json_path)


def _write(bench: str, model: str, findings: Findings, path: Path | None) -> None:
    """Print the document as the last line, and write it to a file if there is one."""
    document: dict[str, Any] = {
        "bench": bench,
        "model": model,
        "vivace": __version__,
        "machine": read_machine().model_dump(),
        "about": findings.about,
        "measurements": [measurement.model_dump() for measurement in findings.measurements],
        "metrics": [info.model_dump() for info in findings.metrics],
        "not_run": [entry.model_dump() for entry in findings.not_run],
    }
    line = json.dumps(document)
    if path is not None:
        try:
            path.write_text(line + "\n", "utf-8")
        except OSError as error:
            raise SinkWriteError(f"{path}: cannot be written ({error.strerror})") from error
    print(line)


def speed_tables(findings: Findings) -> list[Table]:
    """Return what a frame costs, where the time goes, whether it stays so, and how many sessions are served."""
    stages = tuple((stage, f"stage_{stage}_ms_p50", _one) for stage in STAGES)
    slow = tuple((stage, f"stage_{stage}_ms_p95", _one) for stage in STAGES)
    tables = [
        _table("Whole stream, decode to encode; ms a frame", "size", COST, findings),
        _table("First frame, memory, energy", "size", FIRST, findings),
        _table("Stages, median ms", "size", stages, findings),
        _table("Stages, p95 ms", "size", slow, findings),
        _table("In the long run", "size", GROWTH, findings),
        _table("Sessions of one model in time", "case", SESSIONS, findings),
    ]
    return _finished(tables, findings)


def latency_tables(findings: Findings) -> list[Table]:
    """Return how old the pictures are that a viewer sees, and how steadily they come."""
    tables = [
        _table("Capture to present, ms", "case", LATENCY, findings),
        _table("Steadiness", "case", STEADINESS, findings),
    ]
    return _finished(tables, findings)


def _finished(tables: Sequence[Table], findings: Findings) -> list[Table]:
    """Return the tables that have rows, the first with what was measured under it."""
    filled = [table for table in tables if table.row_count]
    missing = [f"not run: {entry.what}: {entry.reason}" for entry in findings.not_run]
    if filled:
        filled[0].caption = findings.about
        filled[-1].caption = "\n".join([*([str(filled[-1].caption)] if filled[-1].caption else []), *missing]) or None
    return filled


def _table(title: str, first: str, columns: Sequence[Column], findings: Findings) -> Table:
    """Return a row for every case that has one of the columns; columns of which nothing is known are left out."""
    by_case: dict[str, Mapping[str, float | None]] = {}
    for measurement in findings.measurements:
        by_case.setdefault(measurement.case, {})
        by_case[measurement.case] = {**by_case[measurement.case], measurement.metric: measurement.value}
    shown = [column for column in columns if any(column[1] in row for row in by_case.values())]
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    for head in (first, *(head for head, _, _ in shown)):
        table.add_column(head, justify="right", no_wrap=True)
    for case, row in by_case.items():
        if any(metric in row for _, metric, _ in shown):
            figures = [(row.get(metric), write) for _, metric, write in shown]
            table.add_row(case, *("–" if value is None else write(value) for value, write in figures))
    return table


class ProgressBars:
    """A bar for everything that is measured, on a terminal. A context manager."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._tasks: dict[str, TaskID] = {}

    def update(self, what: str, done: int, total: int) -> None:
        """Show how much of something is done."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)

    def __enter__(self) -> ProgressBars:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
