"""Small invented material that a report shows beside a document."""

from __future__ import annotations

from typing import Any

import numpy as np

from vivace.bench.report.material import Curve, Distribution, Material, Stages, Strip, WorstFrame

TIMES_S = (0.0, 0.5, 1.0)


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Return a picture that differs between seeds."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    return np.kron(coarse, np.ones((size[1] // 6, size[0] // 8, 1), np.uint8))


def strip(**fields: Any) -> Strip:
    """Return a strip of a source, a reference and two systems, one of which changes nothing."""
    source = [picture(i) for i in range(3)]
    mask = np.zeros((48, 64), np.bool_)
    mask[10:30, 20:40] = True
    defaults: dict[str, Any] = {
        "case": "walkers/style/ink",
        "title": "Two figures cross a square, “ink drawing”",
        "times_s": TIMES_S,
        "rows": {
            "source": source,
            "reference": [255 - rgb for rgb in source],
            "mini": [rgb // 2 for rgb in source],
            "passthrough": list(source),
        },
        "masks": [mask] * 3,
    }
    return Strip(**{**defaults, **fields})


def worst(**fields: Any) -> WorstFrame:
    """Return a worst frame."""
    defaults: dict[str, Any] = {
        "metric": "warp_error",
        "case": "walkers/style/ink",
        "system": "mini",
        "index": 7,
        "time_s": 0.29,
        "value": 9.25,
        "pictures": {"source": picture(0), "mini": picture(1)},
        "why": "Whole blocks change between two frames.",
    }
    return WorstFrame(**{**defaults, **fields})


def material() -> Material:
    """Return material of every kind."""
    x = list(range(100))
    wave = [20.0 + np.sin(i / 5) for i in x]
    return Material(
        strips=(strip(),),
        worst=(worst(),),
        curves=(
            Curve("speed", "Cost of a frame over time", "ms", "frame", x, {"mini": wave, "passthrough": x}),
            Curve("drift", "Brightness over time", "levels", "s", x, {"mini": [*wave[:50], float("nan"), *wave[51:]]}),
        ),
        distributions=(
            Distribution(
                "latency", "Latency of all frames", "ms", {"mini": wave, "passthrough": x}, {"deadline": 41.7}
            ),
        ),
        stages=(Stages("Stage by stage", {"256x256": {"decode": 2.0, "denoise": 13.0}}),),
    )
