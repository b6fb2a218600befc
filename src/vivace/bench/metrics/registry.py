"""Registry of the metrics that need nothing but footage, and their evaluation."""

from __future__ import annotations

from vivace.bench.metrics import edit, fidelity, flicker, lag, motion, region, structure, style
from vivace.bench.metrics.footage import Footage, Metric, Series

METRICS: tuple[Metric, ...] = (
    *motion.METRICS,
    *flicker.METRICS,
    *lag.METRICS,
    *structure.METRICS,
    *style.METRICS,
    *region.METRICS,
    *edit.METRICS,
    *fidelity.METRICS,
)


def measure(footage: Footage) -> dict[str, Series]:
    """Return one value per frame for every metric whose needs the footage meets, by key."""
    return {metric.key: metric.measure(footage) for metric in METRICS if metric.reads(footage)}
