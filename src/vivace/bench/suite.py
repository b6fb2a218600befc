"""`vivace bench`: runs the requested measurements, makes one document, prints it, and writes a report."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import JsonValue
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vivace import __version__
from vivace.bench.document import (
    CaseInfo,
    Document,
    Machine,
    Measurement,
    MetricInfo,
    NotRun,
    PlantedFault,
    Role,
    Row,
    write_document,
)
from vivace.bench.latency.benchmark import LatencyOptions, measure_latency
from vivace.bench.machine import read_machine, utc_now
from vivace.bench.report.tables import print_document
from vivace.bench.speed.benchmark import Findings, Report, SpeedOptions, measure_speed
from vivace.bench.stats.intervals import summarise
from vivace.bench.systems.subject import Subject, open_exact, open_system
from vivace.bench.systems.system import passthrough_spec
from vivace.checkout import read_commit
from vivace.errors import BackendUnavailableError, SinkWriteError, install_extra
from vivace.media.source import on_error
from vivace.redaction import redact

if TYPE_CHECKING:
    from vivace.bench.quality.benchmark import QualityOptions
    from vivace.bench.report.material import Material

Timed = TypeVar("Timed", SpeedOptions, LatencyOptions)
LINE_S = 10.0
"""Interval between two lines of progress in a log, s."""


@dataclass(slots=True)
class Parts:
    """Document being measured."""

    seed: int
    settings: dict[str, Any]
    metrics: dict[str, MetricInfo] = field(default_factory=dict)
    cases: list[CaseInfo] = field(default_factory=list)
    rows: dict[str, tuple[Role, str, list[Measurement]]] = field(default_factory=dict)
    planted_faults: list[PlantedFault] = field(default_factory=list)
    not_run: list[NotRun] = field(default_factory=list)
    series: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Single values behind the figures, by system, for the report's plots."""
    machine: Machine = field(default_factory=read_machine)
    """Machine at the start of the run: its load afterwards is meaningless."""

    def add(self, system: str, role: Role, about: str, measurements: Sequence[Measurement]) -> None:
        """Add measurements of a system, to its row if it has one."""
        row = self.rows.setdefault(system, (role, about, []))
        row[2].extend(measurements)

    def document(self) -> Document:
        """Return the document, with the machine, the command and the time."""
        used = {m.metric for _, _, measurements in self.rows.values() for m in measurements}
        return Document(
            vivace=__version__,
            commit=read_commit(),
            created=utc_now(),
            command=["vivace", *map(redact, sys.argv[1:])],
            seed=self.seed,
            settings=self.settings,
            machine=self.machine,
            metrics=[info for key, info in self.metrics.items() if key in used],
            cases=self.cases,
            rows=[
                Row(
                    system=system,
                    role=role,
                    about=about,
                    measurements=found,
                    summary=summarise(found, seed=self.seed),
                )
                for system, (role, about, found) in self.rows.items()
                if found
            ],
            planted_faults=self.planted_faults,
            not_run=self.not_run,
        )


def speed_part(parts: Parts, subject: Subject, options: SpeedOptions, report: Report) -> None:
    """Measure the subject's speed, and that of the other version, or else of the stream without its model."""
    bare = replace(options, system=passthrough_spec(), plain=None, long_frames=None, session_fps=())
    _time_part(parts, subject, options, bare, measure_speed, report)


def latency_part(parts: Parts, subject: Subject, options: LatencyOptions, report: Report) -> None:
    """Measure the subject's latency, and that of the other version, or else of the stream without its model."""
    _time_part(
        parts, subject, options, replace(options, system=passthrough_spec(), prompts=()), measure_latency, report
    )


def _time_part(
    parts: Parts, subject: Subject, options: Timed, bare: Timed, measure: Callable[..., Findings], report: Report
) -> None:
    found = Findings()
    try:
        measure(options, report, into=found)
    finally:
        _take(parts, options.system.name, "subject", found)
        for system, beside in found.beside.items():
            _take(parts, system, "baseline", beside)
    if subject.ours and options.against is None:
        _take(parts, "passthrough", "baseline", measure(bare, report), quiet=True)


def _take(parts: Parts, system: str, role: Role, found: Findings, *, quiet: bool = False) -> None:
    parts.metrics |= {info.key: info for info in found.metrics}
    parts.add(system, role, found.about, found.measurements)
    parts.series.setdefault(system, {}).update(found.series)
    if not quiet:
        parts.not_run += [entry for entry in found.not_run if entry not in parts.not_run]


def quality_part(parts: Parts, subject: Subject, options: QualityOptions, report: Report) -> Material:
    """Measure the subject's quality and that of its baselines; return the pictures for a report."""
    need_bench_extra("measuring quality")
    from vivace.bench.quality.benchmark import QualityRun, open_judges, quality_infos, systems_of
    from vivace.bench.report.album import Album

    system, model = open_system(subject)
    systems, missing = systems_of(system, model)
    exact, reason = open_exact(subject)
    if reason is not None:
        missing.append(NotRun(what="fidelity", reason=reason))
    album = Album(system.name)
    judges, needing = open_judges(options.weights)
    run = QualityRun(options, systems, judges=judges, exact=exact, show=album.show)
    run.run(report)
    parts.metrics |= {info.key: info for info in quality_infos(judges)}
    parts.cases += album.cases
    for judged in run.judged:
        parts.add(judged.system.name, judged.system.role, judged.system.about, judged.measurements)
    parts.not_run += [*missing, *needing, *run.refusals]
    return album.material()


def need_bench_extra(what: str) -> None:
    """Raise BackendUnavailableError if packages of the `bench` extra are not installed."""
    for module in ("cv2", "skimage", "matplotlib", "jinja2"):
        if importlib.util.find_spec(module) is None:
            raise BackendUnavailableError(
                f"{what} needs {module}, which the base install leaves out; {install_extra('bench')}"
            )


def publish(
    document: Document,
    material: Material | None,
    out: Path,
    kind: str,
    console: Console,
    series: Mapping[str, Mapping[str, Sequence[float]]] | None = None,
) -> None:
    """Print a document, and write `KIND.json` and, if the bench extra is installed, `KIND.html` into `out`.

    Raises:
        SinkWriteError: the folder cannot be written.
    """
    print_document(document, console)
    make_folder(out)
    written = [out / f"{kind}.json"]
    write_document(written[0], document)
    try:
        need_bench_extra("the HTML report")
    except BackendUnavailableError as error:
        console.print(f"no HTML report: {error}", markup=False)
    else:
        from vivace.bench.report.material import Material as Some
        from vivace.bench.report.page import write_report

        written.append(out / f"{kind}.html")
        write_report(written[1], document, replace(material or Some(), series=series or {}))
    console.print(f"written: {', '.join(str(path) for path in written)}", markup=False)


def make_folder(out: Path) -> None:
    """Create a folder for results. Raises SinkWriteError if that fails."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkWriteError(f"{out}: cannot be created ({error.strerror}); name another folder with --out") from error


@contextmanager
def progress_bar() -> Iterator[Report]:
    """Show a progress bar on standard error, or occasional lines without a terminal; yields the progress callback."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        yield lambda done, total, what: progress.update(task, completed=done, total=total, description=what)


class _Lines:
    """Progress as lines of a log: one at the start of each measurement, and one every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = self._told_s = time.monotonic()
        self._what: str | None = None

    def __call__(self, done: int, total: int, what: str) -> None:
        now_s = time.monotonic()
        if what == self._what and now_s - self._told_s < LINE_S:
            return
        self._what, self._told_s = what, now_s
        self._console.print(f"{now_s - self._began_s:4.0f} s  {what}: {done} of {total}", highlight=False, markup=False)


def bench_command(
    kind: str,
    subject: Subject,
    out: Path,
    seed: int,
    *,
    also: Path | None = None,
    speed: SpeedOptions | None = None,
    latency: LatencyOptions | None = None,
    quality: QualityOptions | None = None,
) -> None:
    """Run the measurements that have options; print tables and write the document, the report, and a copy to `also`.

    Raises:
        VivaceError: a measurement failed.
    """
    settings: dict[str, Any] = {}
    for name, options in (("speed", speed), ("latency", latency), ("quality", quality)):
        if options is not None:
            settings[name] = to_settings(options)
    if quality is not None:
        need_bench_extra("measuring quality")
        from vivace.bench.metrics.style import classifier_version

        settings["style_classifier"] = classifier_version()
    parts = Parts(seed, settings)
    material: Material | None = None
    with on_error(lambda: _keep(parts, out / f"{kind}.json")), progress_bar() as report:
        # Time is measured first, while this process has loaded nothing that could disturb it.
        if speed is not None:
            speed_part(parts, subject, speed, report)
        if latency is not None:
            latency_part(parts, subject, latency, report)
        if quality is not None:
            if parts.rows:
                # Write it also in case this process is killed for the memory that pictures take.
                make_folder(out)
                write_document(out / f"{kind}.json", parts.document())
            material = quality_part(parts, subject, quality, report)
    document = parts.document()
    publish(document, material, out, kind, Console(), parts.series)
    against = subject.against_spec()
    if against is not None:
        print_versions(document, against.name, subject.spec().name, Console())
    if also is not None:
        write_document(also, document)


def print_versions(document: Document, old: str, new: str, console: Console) -> None:
    """Print the differences between two systems of one document."""
    from vivace.bench.report.compare import compare_documents, print_comparison

    print_comparison(compare_documents(document, document, row=f"{old}={new}"), console, names=(old, new))


def _keep(parts: Parts, path: Path) -> None:
    """Write the measurements taken before an error, so that minutes of figures are not lost."""
    if not any(measurements for _, _, measurements in parts.rows.values()):
        return
    said = f"what was measured until then is in {path}"
    try:
        make_folder(path.parent)
        write_document(path, parts.document())
    except SinkWriteError as error:  # the original error still ends the run
        said = f"what was measured until then is lost: {error}"
    Console(stderr=True).print(said, markup=False, highlight=False)


def to_settings(options: SpeedOptions | LatencyOptions | QualityOptions) -> dict[str, JsonValue]:
    """Return the settings that must be equal for two documents to be compared: neither the system nor file paths."""
    fields = asdict(options)
    for name in ("system", "plain", "against", "turns", "seed", "weights"):
        fields.pop(name, None)
    if isinstance(options, SpeedOptions):
        # Fields at the defaults of older versions are omitted, so that older documents stay comparable.
        for name in ("warmup_frames", "cold_frames", "budget_s"):
            if fields[name] == SpeedOptions.__dataclass_fields__[name].default:
                del fields[name]
    if fields.get("clips") is not None:
        fields["clips"] = fields["clips"].name
    plain: dict[str, JsonValue] = json.loads(json.dumps(fields))
    return plain
