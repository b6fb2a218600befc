"""Prompt cross-fades: linear interpolation between embeddings over stream time.

The state without a prompt has no embedding; there the opacity of the painted picture fades instead. For a model whose
prompts cannot be interpolated, nothing else fades.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Embeds = NDArray[np.float32]


class FadePoint(NamedTuple):
    """Conditioning and opacity at one moment of a fade."""

    embeds: Embeds | None
    """Embeddings as in `Prompt.embeds`; None only if there has never been a prompt."""
    presence: float
    """Opacity factor, 0 (source only) to 1 (as `strength` says)."""


class PromptFade:
    """Interpolation state between two prompts. Times are stream seconds with any origin."""

    def __init__(self, *, interpolates: bool = True) -> None:
        """Fade embeddings too, or with `interpolates` false switch to the new ones at once."""
        self._interpolates = interpolates
        self._start = self._goal = FadePoint(None, 0.0)
        self._start_s = 0.0
        self._length_s = 0.0

    def aim(self, embeds: Embeds | None, *, from_s: float | None, length_s: float) -> None:
        """Start a fade from the state at `from_s` to another prompt (None: to the source alone).

        `from_s` is the time of the last frame shown, so that the next frame is already part of the fade; None if
        nothing has been shown yet, in which case there is no fade.
        """
        if from_s is None or length_s <= 0:
            now = self._goal
            length_s = 0.0
        else:
            now = self.at(from_s)
        self._goal = FadePoint(now.embeds, 0.0) if embeds is None else FadePoint(embeds, 1.0)
        self._start = now if now.presence > 0 else FadePoint(self._goal.embeds, 0.0)
        self._start_s = from_s or 0.0
        self._length_s = length_s

    def at(self, time_s: float) -> FadePoint:
        """Return the state at a time; exactly the goal once the fade is over."""
        share = 1.0 if self._length_s <= 0 else (time_s - self._start_s) / self._length_s
        if share >= 1.0:
            return self._goal
        share = max(0.0, share)
        start, goal = self._start, self._goal
        presence = start.presence + (goal.presence - start.presence) * share
        if not self._interpolates or start.embeds is None or goal.embeds is None or start.embeds is goal.embeds:
            return FadePoint(goal.embeds, presence)
        weight = np.float32(share)
        return FadePoint(start.embeds + (goal.embeds - start.embeds) * weight, presence)
