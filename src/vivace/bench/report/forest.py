"""Forest plot in each line of a table: all systems' values and intervals on one scale."""

from __future__ import annotations

from dataclasses import dataclass

from vivace.bench.report.lines import Line

WIDTH, STEP, MARGIN = 120.0, 6.5, 6.0


@dataclass(frozen=True, slots=True)
class Mark:
    """Value and interval of a system, px."""

    system: str
    low: float
    value: float
    high: float
    y: float


@dataclass(frozen=True, slots=True)
class Forest:
    """Marks of a line, and the position of its target, px."""

    height: float
    marks: tuple[Mark, ...]
    target: float | None


def forest(line: Line) -> Forest | None:
    """Return the plot of a line, or None if there is nothing to compare."""
    if len(line.cells) < 2:
        return None
    intervals = list(line.cells.values())
    ends = [end for interval in intervals for end in (interval.low, interval.high)]
    if line.info.target is not None:
        ends.append(line.info.target)
    low, span = min(ends), max(ends) - min(ends)

    def place(value: float) -> float:
        share = (value - low) / span if span > 0 else 0.5
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    marks = tuple(
        Mark(system, place(found.low), place(found.value), place(found.high), STEP * (number + 0.5) + 1.5)
        for number, (system, found) in enumerate(line.cells.items())
    )
    target = None if line.info.target is None else place(line.info.target)
    return Forest(STEP * len(marks) + 3, marks, target)
