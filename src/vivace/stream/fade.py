"""Prompt changes that blend: a straight line between embeddings, over time of the stream.

Showing nothing but the source (no prompt) has no embedding; there the painted picture's presence is what fades. That is
all that fades for a model whose prompts cannot be interpolated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Embeds = NDArray[np.float32]


class FadePoint(NamedTuple):
    """What to paint with at a moment."""

    embeds: Embeds | None
    """As `Prompt.embeds`; None only while there has never been a prompt."""
    presence: float
    """0 (the source alone) to 1 (as strong as `strength` says)."""


class PromptFade:
    """Where between two prompts a stream is. Times are seconds of the stream and may start anywhere."""

    def __init__(self, *, interpolates: bool = True) -> None:
        """Fade embeddings, too, or (`interpolates` False) give the new one from the first moment on."""
        self._interpolates = interpolates
        self._start = self._goal = FadePoint(None, 0.0)
        self._start_s = 0.0
        self._length_s = 0.0

    def aim(self, embeds: Embeds | None, *, from_s: float | None, length_s: float) -> None:
        """Begin to move from what is seen at `from_s` to another prompt (None: to the source alone).

        `from_s` is the time of the last frame that was shown, so that the first frame after it is already on its way;
        None when nothing has been shown, and then there is nothing to blend with.
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
        """Return what to paint with; exactly the goal once the fade is over."""
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
