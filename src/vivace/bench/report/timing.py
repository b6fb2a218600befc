"""Plots of speed and latency, from the document and from the single values behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vivace.bench.document import Document
from vivace.bench.report.lines import ordered_rows
from vivace.bench.report.material import Curve, Distribution, Part, Series, Stages

KINDS: dict[str, tuple[Part, str, str]] = {
    "frame_ms": ("speed", "Cost of a frame", "frame"),
    "long_frame_ms": ("speed", "Cost of a frame, long run", "frame"),
    "capture_to_present_ms": ("latency", "Capture to present", "picture shown"),
    "gap_ms": ("latency", "Gap between pictures", "picture shown"),
}
"""Section, title, and x label of each kind of curve."""

_STAGE = re.compile(r"(stage|live)_(\w+)_ms_p50")
_STAGE_KINDS: dict[str, tuple[Part, str]] = {
    "stage": ("speed", "Where the time goes, every frame"),
    "live": ("latency", "Where the time goes, live"),
}
_ABOUT_STAGES = "Medians. Stages run beside each other, so a frame costs less than their sum."
_ABOUT_CURVE = "Line: median of the frames each point stands for; band: the least and the greatest of them."
_ABOUT_DISTRIBUTION = "The share of values that is at most so large."


def curves(series: Series) -> list[Curve]:
    """Return values over time, with all systems of a case in one plot."""
    found = []
    for kind, case, lines in _together(series):
        part, title, x_label = KINDS[kind]
        x = list(range(max(len(values) for values in lines.values())))
        about = _ABOUT_CURVE if len(x) > 240 else ""
        found.append(Curve(part, f"{title}, {case}", "ms", x_label, x, lines, about))
    return found


def distributions(series: Series) -> list[Distribution]:
    """Return the distributions of live sessions' values, with the camera's period as a limit."""
    found = []
    for kind, case, lines in _together(series):
        part, title, _ = KINDS[kind]
        if part == "latency":
            found.append(Distribution(part, f"{title}, {case}", "ms", lines, _period(case), _ABOUT_DISTRIBUTION))
    return found


def stages(document: Document) -> dict[Part, list[Stages]]:
    """Return the median of every stage of the subjects by case, by section."""
    subjects = [row for row in ordered_rows(document) if row.role == "subject"]
    bars: dict[str, dict[str, dict[str, float]]] = {}
    for row in subjects:
        for measured in row.measurements:
            match = _STAGE.fullmatch(measured.metric)
            if match is not None and measured.value is not None:
                label = measured.case if len(subjects) == 1 else f"{row.system}, {measured.case}"
                bars.setdefault(match[1], {}).setdefault(label, {})[match[2]] = measured.value
    parts: dict[Part, list[Stages]] = {}
    for kind, found in bars.items():
        part, title = _STAGE_KINDS[kind]
        parts.setdefault(part, []).append(Stages(title, found, _ABOUT_STAGES))
    return parts


def _together(series: Series) -> list[tuple[str, str, dict[str, Sequence[float]]]]:
    """Return kind, case and the values of all systems, in the order of `KINDS`."""
    names = dict.fromkeys(name for found in series.values() for name in found)
    together = []
    for kind in KINDS:
        for name in names:
            if name.partition("/")[0] == kind:
                lines = {system: found[name] for system, found in series.items() if found.get(name)}
                if lines:
                    together.append((kind, name.partition("/")[2], lines))
    return together


def _period(case: str) -> dict[str, float]:
    """Return the camera period in ms that a case such as `live/24fps/256x256` names."""
    match = re.search(r"(\d+(?:\.\d+)?)fps", case)
    return {"camera period": 1000.0 / float(match[1])} if match else {}
