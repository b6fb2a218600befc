"""Benchmark document as tables in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from vivace.bench.document import GROUPS, Document, Group, Row
from vivace.bench.report.formats import as_text, decimals, titled, with_half
from vivace.bench.report.lines import Block, Line, blocks, ordered_rows

TITLES: dict[Group, str] = {"speed": "Speed", "latency": "Latency", "quality": "Quality"}
WIN = " *"
"""Mark of a baseline that beats the subject."""
NOTHING = "–"
_METRIC_COLUMNS = 18
"""Smallest width of the title column, which wraps; figures do not."""
_GAP = 2
_EDGE = 2
"""Terminal columns between two columns of a table, and at its edges together."""


def print_document(document: Document, console: Console) -> None:
    """Print every group as a table, systems side by side, then what was not run and why.

    If the terminal is too narrow for all systems, a group takes several tables, each including the subject.
    """
    rows = ordered_rows(document)
    wins = False
    for group in GROUPS:
        found = blocks(document, group)
        wins = wins or any(line.wins for block in found for line in block.lines)
        for table in _group_tables(TITLES[group], found, rows, console.width):
            console.print(table)
    if wins:
        subject = rows[0].system
        console.print(Text(f"{WIN.strip()} a baseline does better than {subject} on this metric", "yellow"))
    load = document.machine.load_average
    if load is not None and document.machine.busy and any(info.group != "quality" for info in document.metrics):
        words = f"! load {load[0]:.1f} on {document.machine.cores} cores when the run began: times are too slow"
        console.print(Text(words, "yellow"))
    if document.planted_faults:
        console.print(faults_table(document))
    if document.not_run:
        console.print(Text("Not run", "bold"))
        for missing in document.not_run:
            console.print(Padding(Text(f"{missing.what}: {missing.reason}"), (0, 0, 0, 2)))


def faults_table(document: Document) -> Table:
    """Return a table of the planted faults, with each metric's value and whether it left the clean interval."""
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
            as_text(planted.value, places=places),
            Text("caught", "green") if planted.caught else Text("MISSED", "bold red"),
        )
    return table


def _group_tables(title: str, found: Sequence[Block], rows: Sequence[Row], width: int) -> Iterator[Table]:
    lines = [line for block in found for line in block.lines]
    shown = [row for row in rows if any(row.system in line.cells for line in lines)]
    if not shown:
        return
    cells = {row.system: [_cell(row, line, ranges=True) for line in lines] for row in shown}
    widths = _widths(cells)
    if sum(sorted(widths.values())[-2:]) + _METRIC_COLUMNS + 2 * _GAP + _EDGE > width:
        found = [Block(block.case, tuple(one for line in block.lines for one in line.apart())) for block in found]
        lines = [line for block in found for line in block.lines]
        cells = {row.system: [_cell(row, line, ranges=False) for line in lines] for row in shown}
        widths = _widths(cells)
    for number, part in enumerate(_parts([row.system for row in shown], widths, width)):
        table = _table(title if number == 0 else f"{title}, continued")
        table.add_column("", overflow="fold", min_width=min(_METRIC_COLUMNS, width // 3))
        for system in part:
            table.add_column(Text(system), justify="right", no_wrap=True)
        place = 0
        for block in found:
            if block.case is not None:
                table.add_section()
                table.add_row(Text(block.case, "dim"))
            for line in block.lines:
                table.add_row(Text(line.titled), *(cells[system][place] for system in part))
                place += 1
        yield table


def _parts(systems: Sequence[str], widths: dict[str, int], width: int) -> Iterator[list[str]]:
    """Yield groups of systems whose tables fit the width, the first system in each of them."""
    first, rest = systems[0], list(systems[1:])
    room = width - _METRIC_COLUMNS - widths[first] - _GAP - _EDGE
    while True:
        part, used = [first], 0
        while rest and (len(part) == 1 or used + widths[rest[0]] + _GAP <= room):
            used += widths[rest[0]] + _GAP
            part.append(rest.pop(0))
        yield part
        if not rest:
            return


def _widths(cells: Mapping[str, Sequence[Text]]) -> dict[str, int]:
    return {system: max(len(system), *(len(cell) for cell in column)) for system, column in cells.items()}


def _cell(row: Row, line: Line, *, ranges: bool) -> Text:
    """Return a figure, without its interval unless there is room (`ranges`)."""
    text = line.text(row.system, ranges=ranges)
    if text is None:
        return Text(NOTHING + " " * len(WIN), "dim")
    if row.system in line.wins:
        return Text(text + WIN, "yellow")
    return Text(text + " " * len(WIN), "bold" if row.role == "subject" else "")


def _table(title: str) -> Table:
    return Table(title=Text(title, "bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
