"""A measurement in a fresh process, so that memory and the time to the first frame mean something.

Run as `python -m vivace.bench.job JOB`, with a job as JSON; it prints one JSON event a line, `{"progress": …}` and
at last `{"result": …}` or `{"error": …}`. Nothing is imported that the measurement itself does not need: what is
imported here counts as time to the first frame.
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
"""Called with what is done and what there is to do, in frames."""

TURNS = 2
"""Takes of each of two systems that are compared."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement."""

    task: str
    """`module:function`, called with the job and a report; returns `Found`."""
    system: SystemSpec
    settings: Mapping[str, Any]
    """JSON values."""
    started_s: float = 0.0
    """`time.monotonic()` when the process was started; the clock is the system's, not the process's."""
    plain: SystemSpec | None = None
    """The same model in its plain form, for tasks that compare the two."""
    in_process: bool = True
    """Whether the system works in the measuring process, and not in one that the task starts."""


@dataclass(slots=True)
class Found:
    """What a job measured."""

    about: str = ""
    """What the system says it is."""
    values: list[Value] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    """What was not measured, and what is needed for it."""
    series: dict[str, list[float]] = field(default_factory=dict)
    """Single values behind the figures, in order, by `KIND/CASE`: for plots, not part of the document."""
    beside: dict[str, Found] = field(default_factory=dict)
    """What was measured of other systems in the same run, by system."""


def run_job(job: Job, report: Report) -> Found:
    """Measure in a fresh process and return what it found.

    Raises:
        VivaceError: what the process reported; of no class below it, a mistake in it, whose traceback is a note.
        DeviceError: the process died without a word.
    """
    fields = {**asdict(job), "started_s": time.monotonic()}
    code = job.system.code if job.in_process else None
    command = [sys.executable, *program("vivace.bench.job", code), json.dumps(fields)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment_of(code)) as process:
        assert process.stdout is not None
        with ExitStack() as interrupted:
            interrupted.callback(process.kill)  # an interrupted benchmark leaves nobody computing
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
    """Return the event for what ended a job, by the nearest class that the process which started this one knows."""
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
    """Measure a job; with `other`, that system beside it, in turn and `turns` times each: other, own, other, own.

    Whatever else the machine does then meets both alike. Raises what `run` raises.
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
    """Return what several takes of one job found as one: medians of figures, blocks and series one after the other."""
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
        # A figure that has no blocks within a take has the takes.
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
    """Return the result that came as a JSON event."""
    return Found(
        fields["about"],
        [Value(**value) for value in fields["values"]],
        fields["not_run"],
        fields["series"],
        {system: to_found(found) for system, found in fields["beside"].items()},
    )


def _made_finite(found: Found) -> Found:
    """Return the result as JSON can hold it."""
    beside = {system: _made_finite(other) for system, other in found.beside.items()}
    return replace(found, values=[_finite(value) for value in found.values], beside=beside)


def _finite(value: Value) -> Value:
    """Return the value as JSON can hold it: not finite is not known."""
    known = value.value is not None and math.isfinite(value.value)
    return Value(
        value.metric, value.case, value.value if known else None, [x for x in value.blocks if math.isfinite(x)]
    )


def main(argv: Sequence[str]) -> int:
    """Do one job and print its events."""
    events, sys.stdout = sys.stdout, sys.stderr  # what anybody else prints must not get among the events

    def tell(**event: object) -> None:
        print(json.dumps(event), file=events, flush=True)

    job = to_job(argv[0])
    module, _, function = job.task.partition(":")
    try:
        found: Found = getattr(import_module(module), function)(job, lambda done, total: tell(progress=[done, total]))
    except Exception as error:  # noqa: BLE001  (whatever it is, it is told where the measurement was asked for)
        tell(**_report_of(error))
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        return 130  # the process that started this one was interrupted too, and says so
    tell(result=asdict(_made_finite(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
