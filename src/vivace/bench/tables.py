"""A benchmark document as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vivace.bench.document import GROUPS, Document, Group, Interval, MetricInfo, Row
from vivace.bench.figures import decimals, figure, titled, with_half
from vivace.bench.stats import baseline_wins

TITLES: dict[Group, str] = {"speed": "Speed", "latency": "Latency", "quality": "Quality"}
WIN = " *"
"""Marks where a baseline does better than the subject."""
NOTHING = "–"
_METRIC_COLUMNS = 18
"""Least width of the column of titles: they fold, figures do not."""
_GAP = 2


def print_document(document: Document, console: Console) -> None:
    """Print every group as a table, systems side by side, then what was not run and why.

    Where the terminal is too narrow for all systems, a group takes several tables, each with the subject in it.
    """
    wins = baseline_wins(document)
    rows = sorted(document.rows, key=lambda row: row.role != "subject")
    for group in GROUPS:
        for table in _group_tables(document, group, rows, wins, console.width):
            console.print(table)
    if wins:
        subject = next(row.system for row in rows if row.role == "subject")
        console.print(Text(f"{WIN.strip()} a baseline does better than {subject} on this metric", "yellow"))
    if document.planted_faults:
        console.print(faults_table(document))
    if document.not_run:
        console.print(Text("Not run", "bold"))
        for missing in document.not_run:
            console.print(Padding(Text(f"{missing.what}: {missing.reason}"), (0, 0, 0, 2)))


def faults_table(document: Document) -> Table:
    """Return the planted faults, what each did to its metric, and whether that is beyond the clean interval."""
    titles = {info.key: titled(info) for info in document.metrics}
    table = _table("Planted faults")
    table.add_column("", overflow="fold")
    for name in ("clean", "with it"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for planted in document.planted_faults:
        clean, half = planted.clean, planted.clean.half
        places = max(decimals(clean.value, half), decimals(planted.value, half))
        table.add_row(
            Text(f"{planted.about}: {titles.get(clean.metric, clean.metric)}"),
            with_half(clean, places=places),
            figure(planted.value, places=places),
            Text("caught", "green") if planted.caught else Text("MISSED", "bold red"),
        )
    return table


def _group_tables(
    document: Document, group: Group, rows: Sequence[Row], wins: set[tuple[str, str]], width: int
) -> Iterator[Table]:
    summaries = {row.system: {interval.metric: interval for interval in row.summary} for row in rows}
    infos = [
        info
        for info in document.metrics
        if info.group == group and any(info.key in summary for summary in summaries.values())
    ]
    shown = [row for row in rows if any(info.key in summaries[row.system] for info in infos)]
    if not infos:
        return
    cells, widths = _cells(infos, shown, summaries, wins, ranges=True)
    if sum(sorted(widths.values())[-2:]) + _METRIC_COLUMNS + 2 * _GAP > width:
        cells, widths = _cells(infos, shown, summaries, wins, ranges=False)
    for number, part in enumerate(_parts([row.system for row in shown], widths, width)):
        table = _table(TITLES[group] if number == 0 else f"{TITLES[group]}, continued")
        table.add_column("", overflow="fold", min_width=min(_METRIC_COLUMNS, width // 3))
        for system in part:
            table.add_column(Text(system), justify="right", no_wrap=True)
        for line, info in enumerate(infos):
            table.add_row(Text(titled(info)), *(cells[system][line] for system in part))
        yield table


def _cells(
    infos: Sequence[MetricInfo],
    rows: Sequence[Row],
    summaries: Mapping[str, Mapping[str, Interval]],
    wins: set[tuple[str, str]],
    *,
    ranges: bool,
) -> tuple[dict[str, list[Text]], dict[str, int]]:
    """Return each system's cells and the width of its column; without `ranges`, the values alone."""
    cells = {
        row.system: [_cell(info, row, summaries[row.system].get(info.key), wins, ranges=ranges) for info in infos]
        for row in rows
    }
    return cells, {system: max(len(system), *(len(cell) for cell in column)) for system, column in cells.items()}


def _cell(info: MetricInfo, row: Row, interval: Interval | None, wins: set[tuple[str, str]], *, ranges: bool) -> Text:
    if interval is None:
        return Text(NOTHING + " " * len(WIN), "dim")
    text = with_half(interval) if ranges else figure(interval.value, interval.half)
    if (info.key, row.system) in wins:
        return Text(text + WIN, "yellow")
    return Text(text + " " * len(WIN), "bold" if row.role == "subject" else "")


def _parts(systems: Sequence[str], widths: dict[str, int], width: int) -> Iterator[list[str]]:
    """Deal the systems out to tables that fit, the first system in each of them."""
    first, rest = systems[0], list(systems[1:])
    room = width - _METRIC_COLUMNS - widths[first] - 2 * _GAP
    while True:
        part, used = [first], 0
        while rest and (len(part) == 1 or used + widths[rest[0]] + _GAP <= room):
            used += widths[rest[0]] + _GAP
            part.append(rest.pop(0))
        yield part
        if not rest:
            return


def _table(title: str) -> Table:
    return Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
