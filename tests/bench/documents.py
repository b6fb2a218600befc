"""Benchmark documents for tests: invented, but of the real form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vivace.bench.document import (
    CaseInfo,
    Document,
    Interval,
    Machine,
    Measurement,
    MetricInfo,
    NotRun,
    PlantedFault,
    Role,
    Row,
)
from vivace.bench.stats.intervals import summarise

MACHINE = Machine(
    cpu="Example CPU",
    cores=2,
    memory_mib=8000.0,
    gpu=None,
    system="Linux",
    python="3.12.1",
    load_average=(0.2, 0.2, 0.2),
)

SCENES = ("walkers", "mover", "game", "rain", "table")


def info(key: str, direction: str = "higher", **fields: Any) -> MetricInfo:
    """Return the description of a metric."""
    defaults = {
        "title": key.replace("_", " ").capitalize(),
        "group": "quality",
        "unit": "",
        "target": 1.0 if direction == "target" else None,
        "meaning": f"What {key} means.",
        "source": "ours",
    }
    return MetricInfo(key=key, direction=direction, **{**defaults, **fields})  # type: ignore[arg-type]


METRICS = (
    info("frame_p50_ms", "lower", title="Cost of a frame, p50", group="speed", unit="ms"),
    info("latency_p95_ms", "lower", title="Capture to present, p95", group="latency", unit="ms"),
    info("warp_error", "lower", title="Warp error", unit="levels"),
    info("flicker_ratio", "target", title="Flicker relative to the source"),
    info("untouched_psnr", title="Untouched region, PSNR", unit="dB"),
    info("style_strength", title="Style strength"),
)
"""Base value of each metric, and the amount that a system's skill adds to it."""
BASES = {
    "frame_p50_ms": (20.0, 4.0),
    "latency_p95_ms": (45.0, 9.0),
    "warp_error": (2.0, 1.5),
    "flicker_ratio": (1.0, 0.2),
    "untouched_psnr": (38.0, -3.0),
    "style_strength": (0.1, 0.4),
}


def measure(metric: str, case: str, values: Sequence[float]) -> Measurement:
    """Return a measurement with these block values."""
    return Measurement(metric=metric, case=case, value=float(np.mean(values)), blocks=list(values))


def row(
    system: str,
    effort: float,
    *,
    role: Role = "subject",
    seed: int = 0,
    about: str = "what it is",
    metrics: Sequence[MetricInfo] = METRICS,
) -> Row:
    """Return the row of a system; `effort` 0 leaves the source alone, 1 repaints it."""
    rng = np.random.default_rng(seed)
    measurements = []
    for described in metrics:
        base, change = BASES.get(described.key, (0.5, 0.2))
        cases = [f"{scene}/style/ink" for scene in SCENES] if described.group == "quality" else ["256x256", "512x512"]
        for case in cases:
            noise = rng.normal(0.0, 0.01 * abs(base), 6)
            measurements.append(measure(described.key, case, list(base + change * effort + noise)))
    return Row(
        system=system, role=role, about=about, measurements=measurements, summary=summarise(measurements, resamples=200)
    )


def document(rows: Sequence[Row] | None = None, **fields: Any) -> Document:
    """Return a document of a subject and two baselines."""
    if rows is None:
        rows = (
            row("mini", 1.0, about="the embedded model"),
            row("passthrough", 0.0, role="baseline", seed=1, about="the source, untouched"),
            row("per-frame", 1.3, role="baseline", seed=2, about="mini without memory"),
        )
    defaults: Mapping[str, Any] = {
        "vivace": "0.3.0",
        "commit": "0123456789ab",
        "created": "2026-01-02T03:04:05+00:00",
        "command": ["vivace", "bench", "all", "--model", "mini"],
        "seed": 0,
        "settings": {"protocol": "quick", "size": [256, 256], "frames": 12},
        "machine": MACHINE,
        "metrics": list(METRICS),
        "cases": [CaseInfo(case=f"{scene}/style/ink", about=f"the {scene}", prompt="ink drawing") for scene in SCENES],
        "planted_faults": [
            PlantedFault(
                fault="flicker",
                about="brightness alternates by ±2 %",
                clean=Interval(metric="flicker_ratio", value=1.2, low=1.15, high=1.25, cases=5),
                value=1.9,
                caught=True,
            )
        ],
        "not_run": [NotRun(what="CLIP text alignment", reason="needs transformers and the weights of CLIP ViT-B/32")],
    }
    return Document(rows=list(rows), **{**defaults, **fields})
