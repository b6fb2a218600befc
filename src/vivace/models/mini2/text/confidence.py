"""Confidence of a reading: a logistic model of what the reader had to skip, fitted on incomplete requests."""

from __future__ import annotations

import math
import tomllib
from functools import cache
from importlib import resources

from vivace.models.mini2.text.grammar import Parse

REASONS = ("edits", "weak", "chat", "policy", "incomplete", "quality", "nothing")
"""Deciding rules with a weight of their own; all others are kinds of requests that the model cannot serve."""


def evidence(found: Parse) -> dict[str, float]:
    """Return the features that confidence is computed from, by name."""
    said = max(1, len(found.words))
    unknown = sum(item.kind == "unknown" for item in found.items)
    edits = found.reading.edits
    kinds = {item.kind for item in found.items}
    guessed = [item.near for item in found.items if item.near < 1]
    known = [item for item in found.items if item.kind not in ("filler", "unknown", "and")]
    one = len(known) == 1 and not unknown
    reason = found.reason if found.reason in REASONS else "cannot"
    return {
        f"reason {reason}": 1.0,
        "unknown": min(unknown, 4) / 4,
        "unknown share": unknown / said,
        "one unknown": float(unknown > 0),
        "one phrase": float(one),
        "nothing else": float(one and known[0].stop - known[0].start == said),
        "guessed": min(len(guessed), 3) / 3,
        "farthest guess": 1 - min(guessed, default=1.0),
        "long": min(said, 20) / 20,
        "more edits": min(len(edits) - 1, 3) / 3 if edits else 0.0,
        "passed over": float(
            bool(edits) and bool(kinds & {"worn", "shape", "place", "camera", "time", "quality", "thing", "chat"})
        ),
        "two looks": float(any(len(edit.what) > 1 for edit in edits)),
        "where": float(any(edit.on for edit in edits)),
        "keep": float(any(edit.keep for edit in edits)),
        "recolour": float(any(edit.action == "recolour" for edit in edits)),
        "two colours": float(sum(item.kind in ("colour", "grey") for item in found.items) > 1),
        "how much": float(any(edit.amount for edit in edits)),
        "state": float(any(edit.action in ("undo", "stronger", "weaker", "reset") for edit in edits)),
    }


def confidence_of(found: Parse) -> float:
    """Return the probability that a reading is right, 0 to 1."""
    if not found.words:
        return 1.0
    weights = _weights()
    score = sum(weights.get(name, 0.0) * value for name, value in evidence(found).items())
    return 1 / (1 + math.exp(-score))


@cache
def _weights() -> dict[str, float]:
    return tomllib.loads((resources.files(__package__) / "confidence.toml").read_text(encoding="utf-8"))
