"""`vivace bench scale`: figures of a cluster that is not there, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vivace.bench.scale.assignment import (
    accepted_by_directory,
    accepted_exactly,
    accepted_with_hindsight,
    burst,
)
from vivace.bench.scale.simulation import REPORT_S, Outcome, Plan, Simulation
from vivace.errors import SinkWriteError

EXACT_WORKERS = 20
"""So many workers at most are compared with the exact assignment, more with greedy placement in hindsight."""
EXACT_BURSTS = 20


def scale_command(plan: Plan, out: Path | None) -> None:
    """Simulate, print the figures, and write them to a file.

    Raises:
        SinkWriteError: the file cannot be written.
    """
    figures = {"plan": asdict(plan), **figures_of(Simulation(plan).run(), plan), "acceptance": acceptance(plan)}
    table = Table("figure", "value", title=f"{plan.workers:,} workers, {plan.sessions:,} sessions at the busiest hour")
    for name, value in _rows(figures):
        table.add_row(name, value)
    Console().print(table)
    if out is not None:
        try:
            out.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
        except OSError as error:
            raise SinkWriteError(f"{out} cannot be written ({error.strerror}); choose another with --json") from error


def figures_of(outcome: Outcome, plan: Plan) -> dict[str, Any]:
    """Return the figures of a simulation."""
    asked = max(1, outcome.asked)
    return {
        "asked": outcome.asked,
        "accepted_share": outcome.accepted / asked,
        "queued_share": outcome.queued / asked,
        "left_queue_share": outcome.left / asked,
        "refused": dict(outcome.refused),
        "sessions_at_once": outcome.most,
        "first_picture_s": _percentiles(outcome.first_picture_s),
        "moved": outcome.moved,
        "lost": outcome.lost,
        "resumed_s": _percentiles(outcome.resumed_s),
        "place_ms": _percentiles(outcome.place_ms),
        "directory_calls_per_s": {name: count / outcome.virtual_s for name, count in sorted(outcome.calls.items())}
        | {"heard": plan.workers / REPORT_S},
    }


def acceptance(plan: Plan) -> dict[str, float]:
    """Return the share of the best possible acceptance that the directory's placement reaches, in bursts."""
    exact = [
        accepted_by_directory(slots, weights) / accepted_exactly(slots, weights)
        for slots, weights in (burst(EXACT_WORKERS, plan.seed + index) for index in range(EXACT_BURSTS))
    ]
    slots, weights = burst(plan.workers, plan.seed)
    hindsight = accepted_by_directory(slots, weights) / accepted_with_hindsight(slots, weights)
    return {
        f"of_exact_at_{EXACT_WORKERS}": float(np.mean(exact)),
        f"of_exact_at_{EXACT_WORKERS}_worst": min(exact),
        f"of_hindsight_at_{plan.workers}": hindsight,
    }


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {f"p{share}": float(np.percentile(values, share)) for share in (50, 95, 99)}


def _rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in figures.items():
        if name == "plan":
            continue
        if isinstance(value, dict):
            shown = "  ".join(f"{key.replace('_', ' ')} {each:.4g}" for key, each in value.items()) or "none"
        else:
            shown = "none" if value is None else f"{value:.4g}" if isinstance(value, float) else f"{value:,}"
        rows.append((name.replace("_", " "), shown))
    return rows
