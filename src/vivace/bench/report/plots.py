"""Plots as inline SVG: small, plain, in the page's fonts and colours."""

from __future__ import annotations

import html
import io
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vivace.bench.document import Document, MetricInfo
from vivace.bench.report.formats import ARROWS, as_text
from vivace.bench.report.material import Curve, Distribution, Stages
from vivace.bench.report.palette import DIM, GRID, INK, PAPER, Palette, dashes, stage_colour, to_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN, HEIGHT_IN = 4.7, 2.5
"""Size of drawings, inches: about as large as shown, on phones and desktops, so that text keeps its size."""
MAX_POINTS = 240
"""Points of a line: one for every other px."""
SHOWN_SHARE = 0.995
"""Share of a distribution that is drawn; its last thousandths would compress the rest."""
LABEL_CHARS = 34
_DODGE = 0.14
"""Vertical offset between the points of one system and the next within a row."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": DIM,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": DIM,
    "ytick.labelcolor": DIM,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "text.color": INK,
    "lines.linewidth": 1.5,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True, slots=True)
class Key:
    """Entry of a legend, which the page renders itself, so that it wraps."""

    name: str
    colour: str
    """CSS variable of the colour."""
    dashes: str = ""
    """Dash pattern of a line, in SVG syntax."""
    glyph: str = ""
    """Character for points and bars."""


@dataclass(frozen=True, slots=True)
class Plot:
    """Drawing with its title and text."""

    title: str
    about: str
    svg: str
    keys: tuple[Key, ...] = ()


class Plots:
    """Renderer of the plots of one page, with unique identifiers for each."""

    def __init__(self, palette: Palette) -> None:
        self._palette = palette
        self._numbers = count()

    def curve(self, curve: Curve) -> Plot:
        """Draw values over time."""

        def draw(axes: Axes) -> None:
            for place, (name, values) in enumerate(curve.lines.items()):
                y = np.asarray(values, np.float64)
                x = np.asarray(curve.x, np.float64)[: len(y)]
                colour = self._palette.colour(name)
                x, middle, low, high = thin(x, y)
                if low is not middle:
                    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
                axes.plot(x, middle, color=colour, linestyle=dashes(place))
            axes.set_xlabel(_label(curve.x_label))
            axes.set_ylabel(_label(curve.unit))
            axes.margins(x=0.01)
            bottom, top = axes.get_ylim()
            short = curve.least_span - (top - bottom)
            if short > 0:
                axes.set_ylim(bottom - short / 2, top + short / 2)

        svg = self._svg(draw, f"{curve.title}: {_ends(curve)}")
        return Plot(curve.title, curve.about, svg, self._line_keys(curve.lines))

    def distribution(self, distribution: Distribution) -> Plot:
        """Draw a cumulative distribution."""

        def draw(axes: Axes) -> None:
            ends = [0.0]
            for place, (name, samples) in enumerate(distribution.samples.items()):
                values = _finite(samples)
                if not len(values):
                    continue
                shares = np.linspace(0, 1, min(MAX_POINTS, max(2, len(values))))
                x = np.quantile(values, shares)
                ends.append(float(np.quantile(values, SHOWN_SHARE)))
                axes.plot(
                    x, shares * 100, color=self._palette.colour(name), linestyle=dashes(place), label=_label(name)
                )
            for place, (name, value) in enumerate(distribution.limits.items()):
                axes.axvline(value, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)))
                ends.append(value * 1.02)
                where, text = axes.get_xaxis_transform(), f"{_label(name)} {as_text(value)}"
                axes.text(value, 1.03 + 0.1 * place, text, transform=where, color=INK, fontsize=10, ha="center")
            axes.set_xlim(left=_floor(distribution.samples, distribution.limits), right=max(ends) * 1.02 or 1.0)
            axes.set_ylim(0, 100)
            axes.set_yticks([0, 50, 95], ["0 %", "50 %", "95 %"])
            axes.set_xlabel(_label(distribution.unit))

        svg = self._svg(draw, f"{distribution.title}: {_percentiles(distribution)}")
        return Plot(distribution.title, distribution.about, svg, self._line_keys(distribution.samples))

    def stages(self, stages: Stages) -> Plot:
        """Draw a breakdown of time, one bar per label."""
        names = list(dict.fromkeys(name for parts in stages.bars.values() for name in parts))

        def draw(axes: Axes) -> None:
            labels = list(stages.bars)
            starts = np.zeros(len(labels))
            for place, name in enumerate(names):
                widths = np.array([stages.bars[label].get(name, 0.0) for label in labels])
                axes.barh(
                    range(len(labels)),
                    widths,
                    left=starts,
                    height=0.62,
                    color=stage_colour(place),
                    edgecolor=PAPER,
                    linewidth=0.8,
                )
                starts += widths
            for place, total in enumerate(starts):
                axes.text(total, place, f" {as_text(float(total), 0.01 * float(total))}", va="center", fontsize=10.5)
            axes.set_yticks(range(len(labels)), [_label(label) for label in labels])
            axes.invert_yaxis()
            axes.margins(x=0.12)
            axes.locator_params(axis="x", nbins=6)
            axes.grid(visible=False)
            axes.set_xlabel("ms")

        bars = (f"{label} {as_text(sum(parts.values()))} ms" for label, parts in stages.bars.items())
        svg = self._svg(draw, f"{stages.title}: {', '.join(bars)}", height_in=0.75 + 0.33 * len(stages.bars))
        keys = (Key(name, to_variables(stage_colour(place)), glyph="■") for place, name in enumerate(names))
        return Plot(stages.title, stages.about, svg, tuple(keys))

    def by_clip(self, info: MetricInfo, values: Mapping[str, Mapping[str, float]]) -> Plot:
        """Draw a metric by clip, systems as points: `values[system][clip]`."""
        clips = list(dict.fromkeys(clip for found in values.values() for clip in found))

        def draw(axes: Axes) -> None:
            # The first system is drawn last, on top; the others slightly above or below.
            for place, (name, found) in reversed(list(enumerate(values.items()))):
                shift = _DODGE * (place - (len(values) - 1) / 2)
                axes.scatter(
                    list(found.values()),
                    [clips.index(clip) + shift for clip in found],
                    s=46 if place == 0 else 30,
                    marker=self._palette.marker(name),
                    color=self._palette.colour(name),
                    edgecolors=PAPER,
                    linewidths=0.7,
                    zorder=3,
                )
            if info.target is not None:
                axes.axvline(info.target, color=INK, linewidth=0.9, linestyle=(0, (1, 1.5)))
            axes.set_yticks(range(len(clips)), [_label(clip, 18) for clip in clips])
            axes.set_ylim(len(clips) - 0.5, -0.5)
            axes.margins(x=0.06)
            axes.locator_params(axis="x", nbins=5)
            way = (
                f"{ARROWS[info.direction]} better"
                if info.direction in ARROWS
                else f"best at {as_text(info.target or 0)}"
            )
            axes.set_xlabel(_label(f"{info.unit} ({way})" if info.unit else way))

        means = (f"{name} {as_text(float(np.mean(list(found.values()))))}" for name, found in values.items())
        words = f"{info.title} by clip; means: {', '.join(means)}"
        return Plot(info.title, "", self._svg(draw, words, height_in=0.68 + 0.27 * len(clips)))

    def point_keys(self, names: Iterable[str]) -> tuple[Key, ...]:
        """Return the legend of plots of points."""
        return tuple(
            Key(name, to_variables(self._palette.colour(name)), glyph=self._palette.glyph(name)) for name in names
        )

    def _line_keys(self, lines: Mapping[str, object]) -> tuple[Key, ...]:
        return tuple(
            Key(
                name,
                to_variables(self._palette.colour(name)),
                " ".join(f"{d * 1.5:g}" for d in dashes(place)[1] or ()) or "none",
            )
            for place, name in enumerate(lines)
        )

    def _svg(self, draw: Callable[[Axes], None], words: str, *, height_in: float = HEIGHT_IN) -> str:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        number = next(self._numbers)
        style: Any = {**_STYLE, "svg.hashsalt": "vivace"}
        with warnings.catch_warnings(), mpl.rc_context(style):
            # The page's own fonts draw the text; glyphs missing in matplotlib's are only measured slightly wrong.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure_ = Figure(figsize=(WIDTH_IN, height_in))
            draw(figure_.add_subplot())
            out = io.StringIO()
            figure_.savefig(out, format="svg", metadata={"Date": None})
        return inline(out.getvalue(), f"p{number}-", words)


def thin(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return a line of at most `MAX_POINTS` points: x, and the median, minimum and maximum of the values at each.

    A short line is returned unchanged, as its own minimum and maximum.
    """
    if len(y) <= MAX_POINTS:
        return x, y, y, y
    parts = [part for part in np.array_split(np.arange(len(y)), MAX_POINTS) if np.isfinite(y[part]).any()]
    middle, low, high = (np.array([of(y[part]) for part in parts]) for of in (np.nanmedian, np.nanmin, np.nanmax))
    return np.array([x[part].mean() for part in parts]), middle, low, high


def clip_means(document: Document, info: MetricInfo) -> dict[str, dict[str, float]]:
    """Return a metric's mean over the cases of each clip, by system: `[system][clip]`."""
    means: dict[str, dict[str, float]] = {}
    for row in document.rows:
        found: dict[str, list[float]] = {}
        for measured in row.measurements:
            if measured.metric == info.key and measured.value is not None:
                found.setdefault(measured.case.split("/")[0], []).append(measured.value)
        if found:
            means[row.system] = {clip: float(np.mean(values)) for clip, values in found.items()}
    return means


def inline(svg: str, prefix: str, words: str) -> str:
    """Return an SVG document as an element of a page, with unique identifiers and the page's fonts and colours.

    Args:
        svg: output of matplotlib.
        prefix: put before every identifier.
        words: description for people who cannot see it.
    """
    svg = svg[svg.index("<svg") :]
    box = re.search(r"viewBox=\"([^\"]+)\"", svg)
    assert box is not None
    # Its style sheet would affect the whole page; the rest is metadata.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|<defs>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\A<svg[^>]*>", "", svg).replace("xlink:href", "href")
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", svg))
    svg = re.sub(r"\sid=\"([^\"]*)\"", lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{prefix}", svg)
    svg = re.sub(r"font-family: [^;\"]+;? ?| transform=\"rotate\(-0[^\"]*\"", "", svg)
    svg = re.sub(r"(?<=[ \"])-?\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", svg)
    while "<g></g>" in (svg := re.sub(r">\s+<", "><", svg)):
        svg = svg.replace("<g></g>", "")
    svg = re.sub(r" ?\n", " ", svg)
    head = f'<svg viewBox="{box[1]}" role="img" aria-label="{html.escape(words)}">'
    return head + to_variables(svg).strip()


def _label(text: str, most: int = LABEL_CHARS) -> str:
    """Return text as one short line without characters that SVG forbids."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _finite(samples: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(samples, np.float64)
    return values[np.isfinite(values)]


def _floor(samples: Mapping[str, Sequence[float]], limits: Mapping[str, float]) -> float:
    """Return the start of the axis: 0, unless that would leave most of the plot empty."""
    values = np.concatenate([*(_finite(found) for found in samples.values()), np.array(list(limits.values()))])
    if not len(values) or values.min() <= 0:
        return float(values.min()) if len(values) else 0.0
    return 0.0 if values.min() < 0.6 * values.max() else float(values.min() * 0.98)


def _ends(curve: Curve) -> str:
    """Return a description of the lines' first and last values."""
    parts = []
    for name, values in curve.lines.items():
        known = _finite(values)
        if len(known):
            parts.append(f"{name} from {as_text(float(known[0]))} to {as_text(float(known[-1]))} {curve.unit}".strip())
    return "; ".join(parts)


def _percentiles(distribution: Distribution) -> str:
    parts = []
    for name, samples in distribution.samples.items():
        known = _finite(samples)
        if len(known):
            half, most = np.quantile(known, [0.5, 0.95])
            parts.append(f"{name} median {as_text(float(half))}, 95 % below {as_text(float(most))} {distribution.unit}")
    return "; ".join(parts)
