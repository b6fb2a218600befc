"""Lines of a document's tables: a metric, all systems' figures, and the baselines that beat the subject."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vivace.bench.document import Document, Group, Interval, MetricInfo, Row
from vivace.bench.report.formats import arrow, as_text, short, with_half
from vivace.bench.stats.intervals import Change, compare_metric, summarise

_PERCENTILE = re.compile(r"(.+) (p\d+)$")


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of every system."""

    info: MetricInfo
    cells: dict[str, Interval]
    """Figures by system, for those it was measured of."""
    wins: frozenset[str]
    """Baselines that beat the subject; such a metric does not reward editing."""
    further: tuple[Line, ...] = ()
    """Further percentiles of the same quantity, shown in the same line."""

    @property
    def title(self) -> str:
        """Title of the metric, with those of further percentiles."""
        marks = [_percentile(line.info)[1] for line in self.further]
        return " · ".join([self.info.title, *marks])

    def apart(self) -> tuple[Line, ...]:
        """Return the line and its further percentiles as separate lines, for narrow output."""
        return (replace(self, further=()), *self.further)

    @property
    def titled(self) -> str:
        """Direction, title and unit."""
        return f"{arrow(self.info)} {self.title}" + (f", {self.info.unit}" if self.info.unit else "")

    def text(self, system: str, *, ranges: bool = True) -> str | None:
        """Return a system's figure, with half its interval if `ranges`; None if there is none."""
        found = [line.cells[system] for line in (self, *self.further) if system in line.cells]
        if not found:
            return None
        if len(found) > 1:
            return " · ".join(short(interval.value) for interval in found)
        return with_half(found[0]) if ranges else as_text(found[0].value, found[0].half)


@dataclass(frozen=True, slots=True)
class Block:
    """Group of lines."""

    case: str | None
    """Case they were measured on; None: over all cases."""
    lines: tuple[Line, ...]


def ordered_rows(document: Document) -> list[Row]:
    """Return the rows, subjects first."""
    return sorted(document.rows, key=lambda row: row.role != "subject")


def blocks(document: Document, group: Group) -> list[Block]:
    """Return the lines of a group: quality over all cases, speed and latency by case.

    The mean of frame rates at two sizes is meaningless; the mean of a quality over scenes is the benchmark's figure.
    """
    infos = [info for info in document.metrics if info.group == group]
    rows = ordered_rows(document)
    if group == "quality":
        cells = {row.system: {interval.metric: interval for interval in row.summary} for row in rows}
        lines = _folded(_line(info, rows, cells, None) for info in infos)
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
        found.append(Block(case, _folded(_line(info, rows, cells, case) for info in infos if info.key in measured)))
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
    """Return whether a single figure, without blocks to compare, is on the better side."""
    return change.verdict == "unsure" and (change.difference > 0) == (info.direction == "higher")


def _folded(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines, with percentiles of one quantity merged if none of them has an interval to show."""
    folded: list[Line] = []
    for line in lines:
        before = folded[-1] if folded else None
        if before is not None and _is_further(before, line):
            folded[-1] = replace(before, further=(*before.further, line), wins=before.wins & line.wins)
        else:
            folded.append(line)
    return tuple(folded)


def _is_further(before: Line, line: Line) -> bool:
    (stem, mark), (stem_before, mark_before) = _percentile(line.info), _percentile(before.info)
    same = stem == stem_before and line.info.unit == before.info.unit and before.cells.keys() == line.cells.keys()
    single = all(interval.half == 0 for found in (before, line) for interval in found.cells.values())
    return bool(mark and mark_before) and same and single


def _percentile(info: MetricInfo) -> tuple[str, str]:
    """Return the title without its percentile, and the percentile, such as `p95`; empty if there is none."""
    found = _PERCENTILE.fullmatch(info.title)
    return (found[1], found[2]) if found else (info.title, "")
