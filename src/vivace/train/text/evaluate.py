"""Score of the text encoder on hand-written prompts (`tests/golden/prompts.toml`)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vivace.models.base import Prompt
from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.mini.text import TextEncoder

SINGLE_SHARE = 0.6
"""Least share of the mixture with which a single style counts as right."""
MIXTURE_DISTANCE = 0.15
"""Largest total variation distance from the expected mixture that counts as right."""


@dataclass(frozen=True)
class Score:
    """Score of one half of the prompts."""

    counts: dict[str, tuple[int, int]]
    """Number right and total, by kind: `single`, `mixture`, `negation`, `unknown`."""
    misses: tuple[str, ...]
    """Expected and actual result, one line per miss."""

    @property
    def accuracy(self) -> float:
        """Share right, 0 to 1."""
        return sum(right for right, _ in self.counts.values()) / sum(total for _, total in self.counts.values())


def cases(path: Path, half: str) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Yield kind, prompt and expected weights (none for an unknown prompt) of one half, `tuned` or `blind`."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))[half]
    for style, texts in table["single"].items():
        yield from (("single", text, {style: 1.0}) for text in texts)
    for kind in ("mixture", "negation"):
        yield from ((kind, case["text"], case["weights"]) for case in table[kind])
    yield from (("unknown", text, {}) for text in table["unknown"])


def is_right(kind: str, prompt: Prompt, weights: dict[str, float]) -> bool:
    """Return whether an encoded prompt is as expected."""
    if kind == "unknown" or not prompt.known:
        return prompt.known == bool(weights)
    got = dict(zip(STYLE_KEYS, prompt.embeds.tolist(), strict=True))
    if kind == "single":
        return all(got[style] >= SINGLE_SHARE for style in weights)
    return sum(abs(got[key] - weights.get(key, 0.0)) for key in STYLE_KEYS) / 2 <= MIXTURE_DISTANCE + 1e-6


def evaluate(encoder: TextEncoder, path: Path, half: str) -> Score:
    """Score the encoder on one half of the prompts."""
    counts: dict[str, tuple[int, int]] = {}
    misses: list[str] = []
    for kind, text, weights in cases(path, half):
        prompt = encoder.encode(text)
        right = is_right(kind, prompt, weights)
        done, total = counts.get(kind, (0, 0))
        counts[kind] = (done + right, total + 1)
        if not right:
            wanted = ", ".join(f"{style} {share:.2f}" for style, share in weights.items()) or "unknown"
            misses.append(f"{kind}: {text!r} wanted {wanted}, got {prompt.message}")
    return Score(counts, tuple(misses))
