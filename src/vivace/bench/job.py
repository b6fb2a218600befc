"""Measurement in a fresh process, so that memory and time to first frame are meaningful.

Run as `python -m vivace.bench.job JOB`, with a job as JSON; it prints one JSON event per line, `{"progress": …}` and
finally `{"result": …}` or `{"error": …}`. Only what the measurement itself needs is imported, since imports count as
time to first frame.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from statistics import median
from typing import Any

from vivace import errors
from vivace.bench.process import ending, environment_of, program
from vivace.bench.stats.values import Value
from vivace.bench.systems.system import SystemSpec
from vivace.errors import DeviceError, VivaceError

Report = Callable[[int, int], None]
"""Progress callback with the frames done and the frames in all."""

TURNS = 2
"""Takes of each of two systems that are compared."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement."""

    task: str
    """Function `module:function`, called with the job and a report; returns `Found`."""
    system: SystemSpec
    settings: Mapping[str, Any]
    """Settings as JSON values."""
    started_s: float = 0.0
    """Value of `time.monotonic()` when the process was started; the clock is system-wide."""
    plain: SystemSpec | None = None
    """The same model in its plain form, for tasks that compare the two."""
    in_process: bool = True
    """True if the system works in the measuring process, false if the task starts another one."""


@dataclass(slots=True)
class Found:
    """Result of a job."""

    about: str = ""
    """Description of the system by itself."""
    values: list[Value] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    """Measures not taken, with what they need."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Single values behind the figures, in order, by `KIND/CASE`: for plots, not part of the document."""
    beside: dict[str, Found] = field(default_factory=dict)
    """Results of other systems in the same run, by system."""


def run_job(job: Job, report: Report) -> Found:
    """Return the result of a job run in a fresh process.

    Raises:
        VivaceError: an error reported by the process; the base class itself means a bug in it, with its traceback as a
            note.
        DeviceError: the process died without a report.
    """
    fields = {**asdict(job), "started_s": time.monotonic()}
    code = job.system.code if job.in_process else None
    command = [sys.executable, *program("vivace.bench.job", code), json.dumps(fields)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment_of(code)) as process:
        assert process.stdout is not None
        with ExitStack() as interrupted:
            interrupted.callback(process.kill)  # an interrupted benchmark leaves no process running
            for line in process.stdout:
                event = json.loads(line)
                if "result" in event:
                    interrupted.pop_all()
                    return to_found(event["result"])
                if "error" in event:
                    raise _reported(event)
                report(*event["progress"])
            interrupted.pop_all()
    raise DeviceError(f"the measuring process {ending(process.returncode)} before it was done")


def _reported(event: Mapping[str, str]) -> VivaceError:
    kind: type[VivaceError] = getattr(errors, event["kind"])
    error = kind(event["error"])
    if "trace" in event:
        error.add_note(event["trace"])
    return error


def _report_of(error: Exception) -> dict[str, str]:
    """Return the error event for an exception, with the nearest class known to the starting process."""
    if isinstance(error, MemoryError):
        words = f"not enough memory to measure this ({str(error) or 'no more is given'}); measure something smaller"
        return {"error": words, "kind": "CapacityError"}
    if isinstance(error, VivaceError):
        kinds = (kind.__name__ for kind in type(error).__mro__)
        return {"error": str(error), "kind": next(kind for kind in kinds if hasattr(errors, kind))}
    what = f"the measuring process failed with {type(error).__name__}: {error}"
    words = f"{what}. This is a bug in Vivace; please report it with what VIVACE_DEBUG=1 shows."
    return {"error": words, "kind": VivaceError.__name__, "trace": "".join(traceback.format_exception(error))}


def take_turns(
    job: Job,
    other: SystemSpec | None,
    report: Report,
    *,
    turns: int = TURNS,
    run: Callable[[Job, Report], Found] = run_job,
) -> Found:
    """Return the result of a job; with `other`, both systems are measured alternately, `turns` times each.

    Disturbances of the machine then affect both alike. Errors are those of `run`.
    """
    if other is None:
        return run(job, report)
    owns, others = [], []
    for _ in range(turns):
        others.append(run(replace(job, system=other), report))
        owns.append(run(job, report))
    found = merged(owns)
    found.beside[other.name] = merged(others)
    return found


def merged(takes: Sequence[Found]) -> Found:
    """Return the results of several takes of a job as one: medians of figures, blocks and series concatenated."""
    whole = Found(takes[0].about)
    by_place: dict[tuple[str, str], list[Value]] = {}
    for take in takes:
        for value in take.values:
            by_place.setdefault((value.metric, value.case), []).append(value)
        for name, series in take.series.items():
            whole.series.setdefault(name, []).extend(series)
        whole.not_run |= take.not_run
    for (metric, case), values in by_place.items():
        known = [value.value for value in values if value.value is not None]
        blocks = [block for value in values for block in value.blocks]
        # A figure without blocks within a take uses the takes.
        whole.values.append(Value(metric, case, median(known) if known else None, blocks or known))
    for system in dict.fromkeys(system for take in takes for system in take.beside):
        whole.beside[system] = merged([take.beside[system] for take in takes if system in take.beside])
    return whole


def to_job(text: str) -> Job:
    """Return the job written by `json.dumps(asdict(job))`."""
    fields = json.loads(text)
    systems = {name: SystemSpec(**fields[name]) for name in ("system", "plain") if fields[name] is not None}
    return Job(**{**fields, **systems})


def to_found(fields: dict[str, Any]) -> Found:
    """Return the result received as a JSON event."""
    return Found(
        fields["about"],
        [Value(**value) for value in fields["values"]],
        fields["not_run"],
        fields["series"],
        {system: to_found(found) for system, found in fields["beside"].items()},
    )


def _made_finite(found: Found) -> Found:
    """Return the result with non-finite values removed, for JSON."""
    beside = {system: _made_finite(other) for system, other in found.beside.items()}
    return replace(found, values=[_finite(value) for value in found.values], beside=beside)


def _finite(value: Value) -> Value:
    """Return the value for JSON: a non-finite one is unknown."""
    known = value.value is not None and math.isfinite(value.value)
    return Value(
        value.metric, value.case, value.value if known else None, [x for x in value.blocks if math.isfinite(x)]
    )


def main(argv: Sequence[str]) -> int:
    """Do one job and print its events."""
    events, sys.stdout = sys.stdout, sys.stderr  # other output must not mix with the events

    def tell(**event: object) -> None:
        print(json.dumps(event), file=events, flush=True)

    job = to_job(argv[0])
    module, _, function = job.task.partition(":")
    try:
        found: Found = getattr(import_module(module), function)(job, lambda done, total: tell(progress=[done, total]))
    except Exception as error:  # noqa: BLE001  (any failure is reported to the starting process)
        tell(**_report_of(error))
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        return 130  # the starting process was interrupted too, and says so
    tell(result=asdict(_made_finite(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
