"""The lines of a document's tables: a metric, all systems' figures, and where doing less does better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vivace.bench.document import Document, Group, Interval, MetricInfo, Row
from vivace.bench.stats import Change, compare_metric, summarise


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of every system."""

    info: MetricInfo
    cells: dict[str, Interval]
    """By system; without those it was not measured of."""
    wins: frozenset[str]
    """Baselines that do better than the subject: what doing nothing wins says, by itself, nothing good of an editor."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together."""

    case: str | None
    """What they were measured on; None: over all cases."""
    lines: tuple[Line, ...]


def ordered_rows(document: Document) -> list[Row]:
    """Return the rows, subjects first."""
    return sorted(document.rows, key=lambda row: row.role != "subject")


def blocks(document: Document, group: Group) -> list[Block]:
    """Return the lines of a group: quality over all cases, speed and latency case by case.

    The mean of frame rates at two sizes is no frame rate anybody sees; the mean of a quality over scenes is the
    benchmark's figure.
    """
    infos = [info for info in document.metrics if info.group == group]
    rows = ordered_rows(document)
    if group == "quality":
        cells = {row.system: {interval.metric: interval for interval in row.summary} for row in rows}
        lines = tuple(_line(info, rows, cells, None) for info in infos)
        return [Block(None, lines)] if lines else []
    keys = {info.key for info in infos}
    found = []
    for case in dict.fromkeys(m.case for row in rows for m in row.measurements if m.metric in keys):
        cells = {
            row.system: {
                interval.metric: interval
                for interval in summarise(m for m in row.measurements if m.case == case and m.metric in keys)
            }
            for row in rows
        }
        measured = {m.metric for row in rows for m in row.measurements if m.case == case}
        found.append(Block(case, tuple(_line(info, rows, cells, case) for info in infos if info.key in measured)))
    return found


def _line(info: MetricInfo, rows: Sequence[Row], cells: dict[str, dict[str, Interval]], case: str | None) -> Line:
    shown = {row.system: cells[row.system][info.key] for row in rows if info.key in cells[row.system]}
    subject = next((row for row in rows if row.role == "subject"), None)
    baselines = [row for row in rows if row.role == "baseline"] if subject is not None else []
    wins = {row.system for row in baselines if subject is not None and _wins(subject, row, info, case)}
    return Line(info, shown, frozenset(wins))


def _wins(subject: Row, baseline: Row, info: MetricInfo, case: str | None) -> bool:
    change = compare_metric(subject.measurements, baseline.measurements, info, case=case)
    return change is not None and (change.verdict == "better" or _is_ahead(change, info))


def _is_ahead(change: Change, info: MetricInfo) -> bool:
    """Return whether single figures, without blocks to judge by, are on the better side."""
    return change.verdict == "unsure" and (change.difference > 0) == (info.direction == "higher")
