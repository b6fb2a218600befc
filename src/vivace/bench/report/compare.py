"""`vivace bench compare A B`: what got better, what got worse, what is within noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivace.bench.document import GROUPS, Document, MetricInfo, Row, dump_json, read_document, write_text
from vivace.bench.report.formats import as_text, decimals, half_as_text, titled
from vivace.bench.stats.intervals import LEVEL, Change, compare_metric
from vivace.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNTOUCHED = "passthrough"
"""Baseline that depends only on the clips and the metrics."""

EXIT_WORSE = 1
VALUES_WIDTH = 72
"""Terminal width from which both values and their ratio are shown, not only their difference, columns."""
RANGE_WIDTH = 56
"""Terminal width from which the interval of the difference is shown, columns."""
_STYLES = {"better": "green", "worse": "bold red", "noise": "dim", "unsure": "yellow"}
_WORDS = {"better": "better", "worse": "worse", "noise": "within noise", "unsure": "no interval"}


@dataclass(frozen=True, slots=True)
class RowChange:
    """Differences between two rows."""

    a: str
    b: str
    role: str
    changes: tuple[Change, ...]
    metrics_only_a: tuple[str, ...]
    metrics_only_b: tuple[str, ...]
    cases_only_a: tuple[str, ...]
    """Cases without counterpart, left out."""
    cases_only_b: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between two documents."""

    rows: tuple[RowChange, ...]
    warnings: tuple[str, ...]
    """Obstacles to a fair comparison, in words."""
    metrics: tuple[MetricInfo, ...]
    """Metrics compared, which both documents define alike."""

    @property
    def worse(self) -> int:
        """Number of metrics in which subjects got worse."""
        return sum(change.verdict == "worse" for row in self.rows if row.role == "subject" for change in row.changes)


def compare_command(
    a: Path, b: Path, *, row: str | None = None, json_path: Path | None = None, fail_on_worse: bool = False
) -> int:
    """Print how B differs from A, and return 0, or 1 if `fail_on_worse` and a subject got worse.

    Args:
        a: document to compare with.
        b: document in question.
        row: a system both have, or `X=Y` for row X of A with row Y of B; None: all systems of the same name.
        json_path: also write the comparison there.
        fail_on_worse: for continuous integration.

    Raises:
        UsageError: no rows to compare.
        SourceError: a document that cannot be read.
        SinkWriteError: the comparison cannot be written.
    """
    from rich.console import Console

    comparison = compare_documents(read_document(a), read_document(b), row=row)
    print_comparison(comparison, Console(), names=(str(a), str(b)))
    if json_path is not None:
        write_text(json_path, dump_json({"a": str(a), "b": str(b), **to_fields(comparison)}))
    return EXIT_WORSE if fail_on_worse and comparison.worse else 0


def compare_documents(a: Document, b: Document, *, row: str | None = None) -> Comparison:
    """Return the comparison by row and metric, over the cases that both have.

    Raises:
        UsageError: no such row, or no system that both documents have.
    """
    pairs = _pair_rows(a, b, row)
    metrics, warnings = _shared_metrics(a, b)
    rows = tuple(_compare_rows(old, new, metrics) for old, new in pairs)
    warnings = [*_protocol_warnings(a, b), *_footing_warnings(rows, metrics), *warnings, *_row_warnings(rows)]
    return Comparison(rows, tuple(warnings), metrics)


def to_fields(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain JSON values."""
    return {
        "level": LEVEL,
        "worse": comparison.worse,
        "warnings": list(comparison.warnings),
        "rows": [asdict(row) for row in comparison.rows],
    }


def print_comparison(comparison: Comparison, console: Console, *, names: tuple[str, str]) -> None:
    """Print the warnings, a table per pair of rows, and a summary."""
    from rich.text import Text

    for warning in comparison.warnings:
        console.print(Text(f"! {warning}", "yellow"))
    for row in comparison.rows:
        # A baseline is the same program in both documents: only changes in it are of interest.
        changes = [c for c in row.changes if row.role == "subject" or c.verdict in ("better", "worse")]
        if changes:
            console.print(_table(row, changes, comparison.metrics, console.width))
    console.print(Text(_closing(comparison, names)))


def _closing(comparison: Comparison, names: tuple[str, str]) -> str:
    verdicts = [change.verdict for row in comparison.rows if row.role == "subject" for change in row.changes]
    counts = [f"{verdicts.count(verdict)} {word}" for verdict, word in _WORDS.items() if verdict in verdicts]
    judged = len(verdicts) - verdicts.count("unsure")
    chance = judged * (1 - LEVEL)
    compared = {change.metric for row in comparison.rows for change in row.changes}
    targets = any(info.direction == "target" and info.key in compared for info in comparison.metrics)
    return (
        f"{names[1]} compared with {names[0]}: {', '.join(counts) or 'no metric of a subject in both'}. "
        f"Of {judged} metrics, about {chance:.1f} would be called better or worse by chance alone."
        + (" Where a target is given (→), the difference is of the distances from it." if targets else "")
    )


def _table(row: RowChange, changes: Sequence[Change], metrics: Sequence[MetricInfo], width: int) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    title = row.a if row.a == row.b else f"{row.a} → {row.b}"
    if row.role == "baseline":
        title += " (baseline; what moved)"
    with_values, with_range = width >= VALUES_WIDTH, width >= RANGE_WIDTH
    table = Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", overflow="fold")
    for column in (*(("A", "B", "B/A") if with_values else ()), "difference"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    by_key = {info.key: info for info in metrics}
    section = None
    for change in sorted(changes, key=lambda change: _place(change, by_key[change.metric], changes)):
        info = by_key[change.metric]
        if section != (info.group, change.case):
            section = (info.group, change.case)
            table.add_section()
            table.add_row(Text(f"{info.group}, {change.case}" if change.case else info.group, "dim"))
        half = (change.high - change.low) / 2
        places = max(decimals(change.a, half), decimals(change.b, half))
        around = half_as_text(change.difference, half, places=places) if with_range else ""
        table.add_row(
            Text(titled(info)),
            *(
                (*(as_text(value, places=places) for value in (change.a, change.b)), _ratio(change, info))
                if with_values
                else ()
            ),
            as_text(change.difference, sign=True, places=places) + (f" ± {around}" if around else ""),
            Text(_WORDS[change.verdict], _STYLES[change.verdict]),
        )
    return table


def _ratio(change: Change, info: MetricInfo) -> str:
    """Return B / A for times and rates; empty for other metrics."""
    return f"{change.b / change.a:.2f}" if info.group != "quality" and change.a > 0 and info.target is None else ""


def _place(change: Change, info: MetricInfo, changes: Sequence[Change]) -> tuple[int, int]:
    cases = list(dict.fromkeys(other.case for other in changes))
    return GROUPS.index(info.group), cases.index(change.case)


def _pair_rows(a: Document, b: Document, row: str | None) -> list[tuple[Row, Row]]:
    old, new = ({found.system: found for found in document.rows} for document in (a, b))
    if row is not None:
        if row in old and row in new:
            return [(old[row], new[row])]
        name_a, _, name_b = row.partition("=")
        if name_a in old and name_b in new:
            return [(old[name_a], new[name_b])]
        raise UsageError(
            f"--row {row!r}: A has {', '.join(old)}; B has {', '.join(new)}. Give a name that both have, or X=Y."
        )
    pairs = [(old[name], new[name]) for name in old if name in new]
    subjects = [[found for found in document.rows if found.role == "subject"] for document in (a, b)]
    # A single model under another name in each document: they are meant to be compared.
    if all(len(found) == 1 for found in subjects) and subjects[0][0].system != subjects[1][0].system:
        pairs.insert(0, (subjects[0][0], subjects[1][0]))
    if not pairs:
        raise UsageError(
            f"nothing to compare: A has {', '.join(old)}; B has {', '.join(new)}. Name two with --row X=Y."
        )
    return pairs


def _compare_rows(a: Row, b: Row, metrics: Sequence[MetricInfo]) -> RowChange:
    known_a, known_b = ({m.metric: None for m in row.measurements if m.value is not None} for row in (a, b))
    cases_a, cases_b = ({m.case: None for m in row.measurements if m.value is not None} for row in (a, b))
    changes = [
        compare_metric(a.measurements, b.measurements, info, case=case)
        for info in metrics
        # as in the tables: quality over all cases, speed and latency case by case
        for case in ([None] if info.group == "quality" else [case for case in cases_a if case in cases_b])
    ]
    return RowChange(
        a=a.system,
        b=b.system,
        role=b.role,
        changes=tuple(change for change in changes if change is not None),
        metrics_only_a=tuple(key for key in known_a if key not in known_b),
        metrics_only_b=tuple(key for key in known_b if key not in known_a),
        cases_only_a=tuple(case for case in cases_a if case not in cases_b),
        cases_only_b=tuple(case for case in cases_b if case not in cases_a),
    )


def _shared_metrics(a: Document, b: Document) -> tuple[tuple[MetricInfo, ...], list[str]]:
    old = {info.key: info for info in a.metrics}
    shared, warnings = [], []
    for info in b.metrics:
        before = old.get(info.key)
        if before is None:
            continue
        if _definition(before) != _definition(info):
            warnings.append(f"{info.key} means another thing in A than in B (unit, direction or source); not compared.")
        else:
            shared.append(info)
    return tuple(shared), warnings


def _definition(info: MetricInfo) -> tuple[object, ...]:
    return (info.group, info.unit, info.direction, info.target, info.source)


def _protocol_warnings(a: Document, b: Document) -> list[str]:
    warnings = []
    if a.seed != b.seed:
        warnings.append(f"seeds differ ({a.seed}, {b.seed}): other pictures were measured.")
    old, new = a.flat_settings(), b.flat_settings()
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before != after:
            warnings.append(f"setting {key} differs ({before!r}, {after!r}): the figures answer different questions.")
    timed = any(info.group != "quality" for info in a.metrics) and any(info.group != "quality" for info in b.metrics)
    if not timed:
        return warnings
    for name in ("cpu", "cores", "gpu"):
        before, after = getattr(a.machine, name), getattr(b.machine, name)
        if before != after:
            warnings.append(f"machines differ in {name} ({before}, {after}): speed and latency cannot be compared.")
    for label, document in (("A", a), ("B", b)):
        load = document.machine.load_average
        if load is not None and document.machine.busy:
            warnings.append(
                f"{label} was measured on a busy machine (load {load[0]:.1f} on {document.machine.cores} cores): "
                "its speed and latency are too slow by an unknown amount."
            )
    return warnings


def _footing_warnings(rows: Sequence[RowChange], metrics: Sequence[MetricInfo]) -> list[str]:
    """Return a warning if a baseline that changes nothing has moved: then the benchmark itself has changed."""
    quality = {info.key: info.title for info in metrics if info.group == "quality"}
    moved = [
        quality[change.metric]
        for row in rows
        if row.a == row.b == UNTOUCHED
        for change in row.changes
        if change.metric in quality and change.verdict != "noise"
    ]
    if not moved:
        return []
    return [
        f"{UNTOUCHED} changes nothing, and yet moved in {', '.join(moved)}: clips or metrics differ between A and B, "
        "so that no difference is a system's alone."
    ]


def _row_warnings(rows: Sequence[RowChange]) -> list[str]:
    warnings = []
    for row in rows:
        name = row.a if row.a == row.b else f"{row.a} → {row.b}"
        for which, metrics, cases in (
            ("A", row.metrics_only_a, row.cases_only_a),
            ("B", row.metrics_only_b, row.cases_only_b),
        ):
            if metrics:
                warnings.append(f"{name}: only {which} has {', '.join(metrics)}.")
            if cases:
                warnings.append(f"{name}: measured in {which} only, left out: {', '.join(cases)}.")
    return warnings
