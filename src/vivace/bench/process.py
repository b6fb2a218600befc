"""A measurement in a fresh process, so that memory and the time to the first frame mean something.

Run as `python -m vivace.bench.process JOB`, with a job as JSON; it prints one JSON event a line, `{"progress": …}` and
at last `{"result": …}` or `{"error": …}`. Nothing is imported that the measurement itself does not need: what is
imported here counts as time to the first frame.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from typing import Any

from vivace import errors
from vivace.bench.engine import EngineSpec
from vivace.bench.measure import Value
from vivace.errors import DeviceError, VivaceError

Report = Callable[[int, int], None]
"""Called with what is done and what there is to do, in frames."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement."""

    task: str
    """`module:function`, called with the job and a report; returns `Found`."""
    engine: EngineSpec
    settings: Mapping[str, Any]
    """JSON values."""
    started_s: float = 0.0
    """`time.monotonic()` when the process was started; the clock is the system's, not the process's."""
    plain: EngineSpec | None = None
    """The same model in its plain form, for tasks that compare the two."""


@dataclass(slots=True)
class Found:
    """What a job measured."""

    about: str = ""
    """What the engine says it is."""
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
        VivaceError: what the process reported.
        DeviceError: the process died without a word.
    """
    fields = {**asdict(job), "started_s": time.monotonic()}
    command = [sys.executable, "-m", "vivace.bench.process", json.dumps(fields)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if "result" in event:
                    return to_found(event["result"])
                if "error" in event:
                    raise getattr(errors, event["kind"])(event["error"])
                report(*event["progress"])
        except BaseException:
            process.kill()  # an interrupted benchmark leaves nobody computing
            raise
    raise DeviceError(f"the measuring process ended with {process.returncode} before it was done; is memory short?")


def to_job(text: str) -> Job:
    """Return the job written by `json.dumps(asdict(job))`."""
    fields = json.loads(text)
    engines = {name: EngineSpec(**fields[name]) for name in ("engine", "plain") if fields[name] is not None}
    return Job(**{**fields, **engines})


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
    except VivaceError as error:
        tell(error=str(error), kind=type(error).__name__)
        return error.exit_code
    except KeyboardInterrupt:
        return 130  # the process that started this one was interrupted too, and says so
    tell(result=asdict(_made_finite(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
