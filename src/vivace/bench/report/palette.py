"""Colours of systems, the same in every plot and table, in light and dark mode.

Plots are drawn in colour codes that the page replaces by CSS variables, so that one drawing serves both modes. The hues
are distinguishable for colour-blind readers, and no line or point depends on colour alone: each has its own dashes and
marker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

INK, DIM, GRID, PAPER = "#010101", "#010102", "#010103", "#010104"
SERIES = 8
"""Colours for systems in the style sheet; more systems reuse them with other dashes."""
STAGES = 8

_VARIABLES = {
    INK: "var(--ink)",
    DIM: "var(--dim)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    **{f"#0100{i:02x}": f"var(--s{i})" for i in range(SERIES)},
    **{f"#0102{i:02x}": f"var(--t{i})" for i in range(STAGES)},
}
_DASHES: tuple[tuple[int, tuple[float, ...] | None], ...] = (
    (0, None),
    (0, (5, 2)),
    (0, (2, 1.5)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (1, 1)),
)
_MARKERS = "osD^vPX*"
_GLYPHS = "●■◆▲▼✚✖★"
PLAIN = {"source": DIM, "reference": INK}
"""Names that are not systems, drawn in black."""
FIXED = {"passthrough": 1, "per-frame": 2, "filter": 3, "frozen": 4}
"""Numbers of the standard baselines, which look the same in every report."""


@dataclass(slots=True)
class Palette:
    """Assignment of numbers to systems. Names that are not in the document get the next free ones."""

    systems: Sequence[str]
    _numbers: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = {name: FIXED[name] for name in self.systems if name in FIXED}
        for name in self.systems:
            self._add(name)

    def number(self, name: str) -> int:
        """Return the number of a system; `mini, 512x512` has that of `mini`."""
        if name in self._numbers:
            return self._numbers[name]
        prefixes = [known for known in self.systems if re.match(rf"{re.escape(known)}\b", name)]
        if prefixes:
            return self._numbers[max(prefixes, key=len)]
        return self._add(name)

    def _add(self, name: str) -> int:
        """Return the first free number that is not reserved for a baseline, assigned to a name."""
        taken = {*self._numbers.values(), *FIXED.values()}
        return self._numbers.setdefault(name, next(number for number in count() if number not in taken))

    def series(self, name: str) -> int:
        """Return the index of a system's colour in the style sheet."""
        return self.number(name) % SERIES

    def colour(self, name: str) -> str:
        """Return the colour code of a system."""
        return PLAIN.get(name) or f"#0100{self.series(name):02x}"

    def marker(self, name: str) -> str:
        """Return the marker of a system's points."""
        return _MARKERS[self.number(name) % len(_MARKERS)]

    def glyph(self, name: str) -> str:
        """Return that marker as a character."""
        return _GLYPHS[self.number(name) % len(_GLYPHS)]


def dashes(place: int) -> tuple[int, tuple[float, ...] | None]:
    """Return the dashes of the line drawn at that position in a plot."""
    return _DASHES[place % len(_DASHES)]


def stage_colour(place: int) -> str:
    """Return the colour code of a part of a bar."""
    return f"#0102{place % STAGES:02x}"


def to_variables(svg: str) -> str:
    """Return SVG with every colour code replaced by its CSS variable."""
    return re.sub(r"#01[0-9a-f]{4}\b", lambda found: _VARIABLES.get(found[0], found[0]), svg)
