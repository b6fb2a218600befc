"""`vivace bench speed`: make a clip, measure each size in a process of its own, print tables and one JSON line."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from vivace import __version__, errors
from vivace.bench.speed import EARLY_FRAME, WARMUP_FRAMES, WINDOW_FRAMES, Job, Speed, to_speed
from vivace.errors import DeviceError, SinkWriteError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

CLIP_SCENE = "city"
PROMPT = "oil painting with thick brush strokes"
MIN_FRAMES = 20
MIN_LONG_FRAMES = EARLY_FRAME + 2 * WINDOW_FRAMES
STAGES = ("capture", "prepare", "denoise", "refine", "encode")


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
    if options.frames < MIN_FRAMES:
        raise UsageError(f"--frames is {options.frames}; give at least {MIN_FRAMES}, percentiles of fewer say nothing.")
    if options.long_frames is not None and options.long_frames < MIN_LONG_FRAMES:
        raise UsageError(
            f"--long is {options.long_frames}; give at least {MIN_LONG_FRAMES} to have early and late frames."
        )
    say = Console(stderr=True)
    results = []
    with tempfile.TemporaryDirectory(prefix="vivace-bench-") as folder, _progress(say) as progress:
        for number, size in enumerate(options.sizes):
            name = f"{size[0]}x{size[1]}"
            task = progress.add_task(name, total=WARMUP_FRAMES + options.frames)
            clip = Path(folder) / f"clip-{name}.mp4"
            render_clip(clip, size, WARMUP_FRAMES + options.frames)
            job = Job(
                clip=str(clip),
                model=options.model,
                size=size,
                frames=options.frames,
                prompt=PROMPT,
                threads=options.threads,
                long_frames=options.long_frames if number == 0 else None,
            )
            results.append(run_job(job, _reporter(progress, task)))
    out = Console()
    out.print(cost_table(results))
    out.print(stage_table(results))
    for result in results:
        if result.long_run is not None:
            out.print(long_table(result))
    document = {"bench": "speed", "model": options.model, "machine": machine(), "results": [asdict(r) for r in results]}
    line = json.dumps(document)
    if options.json_path is not None:
        try:
            options.json_path.write_text(line + "\n", "utf-8")
        except OSError as error:
            raise SinkWriteError(f"{options.json_path}: cannot be written ({error.strerror})") from error
    print(line)


def render_clip(path: Path, size: tuple[int, int], frames: int) -> None:
    """Write a clip of a moving scene."""
    from vivace.media.sink import open_sink
    from vivace.media.source import open_source

    source = open_source(f"scene:{CLIP_SCENE}?frames={frames}", size=size)
    with source, open_sink(path, fps=source.info.fps) as sink:
        for frame in source:
            sink.write(frame)


def run_job(job: Job, report: Callable[[int, int], None]) -> Speed:
    """Measure in a fresh process and return what it found.

    Raises:
        VivaceError: what the process reported.
        DeviceError: the process died without a word.
    """
    fields = {**asdict(job), "started_s": time.monotonic()}
    command = [sys.executable, "-m", "vivace.bench.speed", json.dumps(fields)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if "result" in event:
                return to_speed(event["result"])
            if "error" in event:
                raise getattr(errors, event["kind"])(event["error"])
            report(*event["progress"])
    raise DeviceError(f"the measuring process ended with {process.returncode} before it was done; is memory short?")


def cost_table(results: Sequence[Speed]) -> Table:
    """Return what a frame costs, one row a size."""
    columns = ("size", "fps", "p50", "p95", "p99", "latency", "model", "RSS MB", "first s")
    table = _table("Whole stream, decode to encode; ms a frame", columns)
    for result in results:
        cost = result.frame_ms
        table.add_row(
            _size(result),
            f"{result.fps:.1f}",
            *(
                _ms(value)
                for value in (cost.p50, cost.p95, cost.p99, result.latency_ms.get("p95"), result.model_ms.p50)
            ),
            _mb(result.peak_resident_mib),
            f"{result.first_frame_s:.2f}",
        )
    first = results[0]
    table.caption = f"{first.runtime} {first.precision} on {first.device}"
    return table


def stage_table(results: Sequence[Speed]) -> Table:
    """Return where the time goes, one row a size."""
    table = _table("Stages, median ms", ("size", *STAGES))
    for result in results:
        table.add_row(_size(result), *(_ms(result.stages_ms.get(stage)) for stage in STAGES))
    return table


def long_table(result: Speed) -> Table:
    """Return an endless stream's early and late frames."""
    run = result.long_run
    assert run is not None
    table = _table(f"Endless at {_size(result)}", ("frames", "median ms", "RSS MB"))
    first = run.frames - WINDOW_FRAMES
    table.add_row(f"{EARLY_FRAME} to {EARLY_FRAME + WINDOW_FRAMES}", f"{run.early_ms:.2f}", _mb(run.early_mib))
    table.add_row(f"{first} to {run.frames}", f"{run.late_ms:.2f}", _mb(run.late_mib))
    table.caption = f"ratio {run.ratio:.3f}"
    return table


def machine() -> dict[str, Any]:
    """Return what a figure has to be read with."""
    from vivace.doctor import cpu_name, usable_cores

    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "vivace": __version__,
    }


def _reporter(progress: Progress, task: TaskID) -> Callable[[int, int], None]:
    return lambda done, total: progress.update(task, completed=done, total=total)


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left", box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames"))
    return Progress(*columns, console=console, transient=True)


def _size(result: Speed) -> str:
    return f"{result.size[0]}x{result.size[1]}"


def _mb(mib: float) -> str:
    return f"{mib * 1.048576:.0f}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
