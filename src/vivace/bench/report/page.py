"""Rendering of a document and its material into one HTML file."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vivace.bench.document import Document, write_text
from vivace.bench.report.forest import WIDTH, forest
from vivace.bench.report.formats import arrow, as_text, half_as_text
from vivace.bench.report.lines import Block, blocks, ordered_rows
from vivace.bench.report.material import Mask, Material, Part, Strip
from vivace.bench.report.palette import Palette
from vivace.bench.report.pictures import Picture, fitting_width, outline, picture
from vivace.bench.report.plots import Plot, Plots, clip_means
from vivace.bench.report.tables import TITLES
from vivace.bench.report.timing import curves, distributions, stages
from vivace.media.frame import Rgb

if TYPE_CHECKING:
    from jinja2 import Environment

PICTURES_BYTES = 4_500_000
"""Size limit of all pictures together, bytes, so that the page can be sent by mail."""
WORST_SHARE = 0.3
"""Share of that limit for the worst frames, which are viewed more closely than strips."""

PARTS: tuple[tuple[Part, str], ...] = (
    ("speed", "Speed"),
    ("latency", "Latency"),
    ("quality", "Quality"),
    ("drift", "Drift"),
)


@dataclass(frozen=True, slots=True)
class Shot:
    """Picture with its alternative text, and the outline of the mask over it."""

    picture: Picture
    alt: str
    outline: Picture | None


def write_report(path: Path, document: Document, material: Material | None = None) -> None:
    """Write the report: one file, no scripts, nothing fetched. Equal input gives equal bytes.

    Raises:
        SinkWriteError: the file cannot be written.
    """
    write_text(path, render(document, material or Material()))


def render(document: Document, material: Material) -> str:
    """Return the page as HTML."""
    systems = [row.system for row in ordered_rows(document)]
    palette = Palette(systems)
    found: dict[str, list[Block]] = {group: blocks(document, group) for group in TITLES}
    plots = Plots(palette)
    drawn, by_clip = _drawn(document, material, plots), _by_clip(document, plots)
    sections = [
        {
            "key": part,
            "title": title,
            "blocks": found.get(part, []),
            "plots": drawn[part],
            "by_clip": by_clip if part == "quality" else [],
        }
        for part, title in PARTS
        if _is_told(found.get(part, [])) or drawn[part]
    ]
    page = _environment().get_template("page.html.j2")
    return page.render(
        document=document,
        style=(Path(__file__).parent / "style.css").read_text("utf-8"),
        rows=ordered_rows(document),
        subject=next((row.system for row in ordered_rows(document) if row.role == "subject"), None),
        sections=sections,
        titles=TITLES,
        wins=_wins(found["quality"]),
        point_keys=plots.point_keys(systems),
        infos={info.key: info for info in document.metrics},
        strips=list(_strips(material)),
        worst=list(_worst(document, material)),
        command=shlex.join(document.command),
        forest=forest,
        forest_width=WIDTH,
        palette=palette,
        as_text=as_text,
        half_as_text=half_as_text,
        arrow=arrow,
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _is_told(found: Sequence[Block]) -> bool:
    return any(line.cells for block in found for line in block.lines)


def _wins(found: Sequence[Block]) -> dict[str, list[str]]:
    """Return the metrics on which each baseline beats the subject, by title."""
    wins: dict[str, list[str]] = {}
    for block in found:
        for line in block.lines:
            for system in line.cells:
                if system in line.wins:
                    wins.setdefault(system, []).append(line.info.title)
    return wins


def _drawn(document: Document, material: Material, plots: Plots) -> dict[Part, list[Plot]]:
    """Return the plots of every section: from the document, from the values behind it, and from the material."""
    told = stages(document)
    parts: dict[Part, list[Plot]] = {part: [plots.stages(found) for found in told.get(part, [])] for part, _ in PARTS}
    parts["speed"] += [plots.stages(found) for found in material.stages]
    for curve in (*curves(material.series), *material.curves):
        parts[curve.part].append(plots.curve(curve))
    for distribution in (*distributions(material.series), *material.distributions):
        parts[distribution.part].append(plots.distribution(distribution))
    return parts


def _by_clip(document: Document, plots: Plots) -> list[Plot]:
    """Return every quality metric by clip, if clips or systems differ at all."""
    found = [(info, clip_means(document, info)) for info in document.metrics if info.group == "quality"]
    drawn = []
    for info, means in found:
        clips = {clip for by_clip in means.values() for clip in by_clip}
        values = {round(value, 6) for by_clip in means.values() for value in by_clip.values()}
        if len(clips) > 1 and len(values) > 1:
            drawn.append(plots.by_clip(info, means))
    return drawn


def _strips(material: Material) -> Iterator[dict[str, Any]]:
    pictures = [rgb for strip in material.strips for row in strip.rows.values() for rgb in row]
    width = fitting_width(pictures, PICTURES_BYTES * (1 - WORST_SHARE))
    for strip in material.strips:
        times = [f"{time_s:.2f} s" for time_s in strip.times_s]
        rows = [
            {
                "names": names,
                "shots": [
                    _shot(rgb, width, f"{names[0]} at {time}", None if strip.masks is None else strip.masks[place])
                    for place, (rgb, time) in enumerate(zip(shown, times, strict=True))
                ],
            }
            for names, shown in _merged(strip)
        ]
        yield {"case": strip.case, "title": strip.title, "times": times, "rows": rows}


def _merged(strip: Strip) -> list[tuple[list[str], Sequence[Rgb]]]:
    """Return the rows, merging those with the same pictures (the source and systems that pass it through)."""
    merged: list[tuple[list[str], Sequence[Rgb]]] = []
    for name, shown in strip.rows.items():
        for names, pictures in merged:
            if len(shown) == len(pictures) and all(map(np.array_equal, shown, pictures)):
                names.append(name)
                break
        else:
            merged.append(([name], shown))
    return merged


def _worst(document: Document, material: Material) -> Iterator[dict[str, Any]]:
    pictures = [rgb for frame in material.worst for rgb in frame.pictures.values()]
    width = fitting_width(pictures, PICTURES_BYTES * WORST_SHARE)
    infos = {info.key: info for info in document.metrics}
    for frame in material.worst:
        info = infos.get(frame.metric)
        shots = {
            name: _shot(rgb, width, f"{name}, frame {frame.index}", frame.mask) for name, rgb in frame.pictures.items()
        }
        yield {
            "title": info.title if info else frame.metric,
            "unit": info.unit if info else "",
            "value": as_text(frame.value),
            "frame": frame,
            "shots": shots,
        }


def _shot(rgb: Rgb, width: int, alt: str, mask: Mask | None) -> Shot:
    drawn = None if mask is None or mask.all() or not np.any(mask) else outline(mask, width)
    return Shot(picture(rgb, width), alt, drawn)
