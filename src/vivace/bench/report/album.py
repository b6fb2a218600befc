"""Pictures for the report of a quality run: strips of every kind of case, and the system's worst frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vivace.bench.document import CaseInfo
from vivace.bench.metrics import METRICS
from vivace.bench.metrics.footage import Metric
from vivace.bench.quality.benchmark import Showing
from vivace.bench.report.material import Curve, Material, Strip, WorstFrame
from vivace.media.frame import Rgb

MOMENTS = 4
"""Pictures of a strip: enough to see motion, few enough to see each."""
STRIPS_A_CLIP = 3
"""Most strips per clip, one per task; more of the same add size rather than information."""
DRIFT_SPAN = 2.0
"""Smallest span of a drift plot, percent: twice what is visible."""
FRAMES_MARGIN = 2
"""First frames that are never chosen as worst: the start of a stream is a special case."""

WHY = {
    "motion_explained": "Compare the frame with the one before: what changes here that does not move in the source?",
    "flicker_ratio": "Brightness or colour of whole blocks changes between the two frames, and not in the source.",
    "edge_agreement": "Edges of the source that are missing, or edges that are made up.",
    "boundary_recall": "Objects that run into what is behind them.",
    "depth_order": "Edges that stay, or move with the background, where an object passes.",
    "style_strength": "The style that was asked for is hardest to see here.",
    "untouched_psnr": "Something changed outside the mask.",
    "bleed": "The edit reaches over the edge of its mask.",
    "edit_gain": "Farthest from what was asked for.",
    "fidelity_psnr": "Farthest from what the same model puts out without its short cuts.",
}
"""Metrics whose worst frame is shown, with what to look for."""


@dataclass(slots=True)
class Album:
    """Collector of pictures during a run; `show` is passed to it as `show`."""

    subject: str
    strips: list[Strip] = field(default_factory=list)
    cases: list[CaseInfo] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    _worst: dict[str, WorstFrame] = field(default_factory=dict)

    def show(self, showing: Showing) -> None:
        """Add one case."""
        case = showing.case
        self.cases.append(CaseInfo(case=case.name, about=_about(showing), prompt=case.prompt))
        if case.task == "drift":
            self.curves += _drift_curves(showing)
            return
        clip_strips = [strip for strip in self.strips if strip.case.split("/")[0] == case.clip]
        tasks = {strip.case.split("/")[1] for strip in clip_strips}
        if case.task != "fidelity" and case.task not in tasks and len(clip_strips) < STRIPS_A_CLIP:
            self.strips.append(_strip(showing))
        for metric in METRICS:
            if metric.key in WHY and metric.key in showing.series.get(self.subject, {}):
                self._look(metric, showing)

    def _look(self, metric: Metric, showing: Showing) -> None:
        """Keep a frame if it is the worst so far."""
        values = showing.series[self.subject][metric.key].copy()
        values[:FRAMES_MARGIN] = np.nan
        if np.isnan(values).all():
            return
        badness = _badness(metric, values)
        index = int(np.nanargmax(badness))
        if badness[index] <= _badness(metric, np.array([_best(metric)]))[0]:
            return  # nothing to see in a perfect frame
        before = self._worst.get(metric.key)
        if before is not None and _badness(metric, np.array([before.value]))[0] >= badness[index]:
            return
        footage = showing.footage
        pictures: dict[str, Rgb] = {"source": footage.source[index]}
        if footage.reference is not None:
            pictures["reference"] = footage.reference[index]
        if footage.exact is not None:
            pictures["exact"] = footage.exact[index]
        pictures["the frame before"] = footage.output[index - 1]
        pictures[self.subject] = footage.output[index]
        self._worst[metric.key] = WorstFrame(
            metric.key,
            showing.case.name,
            self.subject,
            index,
            index / footage.fps,
            float(values[index]),
            pictures,
            WHY[metric.key],
            None if footage.mask is None else footage.mask[index],
        )

    def material(self) -> Material:
        """Return everything collected, in the order of the metrics."""
        order = [metric.key for metric in METRICS]
        worst = sorted(self._worst.values(), key=lambda found: order.index(found.metric))
        return Material(strips=tuple(self.strips), worst=tuple(worst), curves=tuple(self.curves))


def _best(metric: Metric) -> float:
    if metric.direction == "target":
        return metric.target or 0.0
    return metric.high if metric.direction == "higher" else metric.low


def _badness(
    metric: Metric, values: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if metric.direction == "target":
        return np.abs(values - (metric.target or 0.0))
    return -values if metric.direction == "higher" else values


def _drift_curves(showing: Showing) -> list[Curve]:
    """Return the movement of each property over minutes, one curve per property."""
    looks = dict.fromkeys(key for found in showing.series.values() for key in found if key != "minutes")
    x = max((list(found["minutes"]) for found in showing.series.values()), key=len)
    return [
        Curve(
            "drift",
            key.removeprefix("drift_").capitalize(),
            "%",
            "min",
            x,
            {system: list(found[key]) for system, found in showing.series.items()},
            "Relative to the source's at the same moment, and to its own median.",
            least_span=DRIFT_SPAN,
        )
        for key in looks
    ]


def _strip(showing: Showing) -> Strip:
    case, footage = showing.case, showing.footage
    count = len(footage.source)
    moments = np.linspace(0, count - 1, MOMENTS).round().astype(int)
    rows = {"source": [footage.source[i] for i in moments]}
    if footage.reference is not None:
        rows["reference"] = [footage.reference[i] for i in moments]
    for system, frames in showing.painted.items():
        if system not in ("passthrough", "frozen"):
            rows[system] = [frames[i] for i in moments]
    masks = None if footage.mask is None else [footage.mask[i] for i in moments]
    return Strip(case.name, _about(showing), [float(i / footage.fps) for i in moments], rows, masks)


def _about(showing: Showing) -> str:
    case, footage = showing.case, showing.footage
    match case.task:
        case "style":
            return f"{case.clip}: the whole picture, “{case.prompt}”"
        case "region":
            where = "around the subject, which stays as it is" if case.around else "inside the outline alone"
            return f"{case.clip}: “{case.prompt}” {where}"
        case "edit":
            return f"{case.clip}: “{case.prompt}”"
        case "fidelity":
            return f"{case.clip}: “{case.prompt}”, against the same model without its short cuts"
        case "drift":
            minutes = len(footage.source) / footage.fps / 60
            return f"{case.clip}: “{case.prompt}”, the same few seconds for {minutes:g} min"
