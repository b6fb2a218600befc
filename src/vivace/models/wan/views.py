"""What frames of a clip see of each other in one uncached call, as trained: everything, chunks before, or clean ones.

A view is a run of frames and the runs of frames that it looks at; one call of attention each, so that no mask of tokens
by tokens is ever made. All numbers are latent frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from vivace.models.wan.network import attend
from vivace.models.wan.rope import Rotary, Rotation

Span = tuple[int, int]
"""First frame, and the one after the last."""


@dataclass(frozen=True, slots=True)
class View:
    """Frames, and the frames they see."""

    frames: Span
    seen: tuple[Span, ...]


def chunk_lengths(frames: int, chunk: int, *, first: int | None = None) -> list[int]:
    """Return how many frames each chunk of a clip has; `first` is that of the first one, where it is another.

    Raises:
        ValueError: frames that make no whole number of chunks.
    """
    lead = [] if first is None else [first]
    rest = frames - sum(lead)
    if rest < 0 or rest % chunk:
        raise ValueError(f"{frames} latent frames are no whole number of chunks of {chunk}")
    return lead + [chunk] * (rest // chunk)


def block_causal(chunks: Sequence[int], window: int | None = None) -> list[View]:
    """Return what chunks of these lengths see: themselves and what is before them.

    With a window, only as many frames up to their own end.
    """
    ends = list(accumulate(chunks))
    starts = [0, *ends][: len(ends)]
    return [
        View((start, end), ((0 if window is None else max(0, end - window), end),))
        for start, end in zip(starts, ends, strict=True)
    ]


def teacher_forcing(chunks: Sequence[int]) -> list[View]:
    """Return what frames see where a clean clip and the same one with noise are one sequence, clean frames first.

    Clean chunks see clean ones up to themselves; noisy ones see the clean ones before them, and themselves.
    """
    frames = sum(chunks)
    clean = block_causal(chunks)
    noisy = []
    for view in clean:
        start, end = view.frames
        own = (frames + start, frames + end)
        noisy.append(View(own, ((0, start), own) if start else (own,)))
    return clean + noisy


class ClipAttention:
    """Self-attention over a clip in one call; nothing is remembered."""

    def __init__(self, rotary: Rotary, positions: Sequence[int], views: Sequence[View] | None = None) -> None:
        """See frames at these positions in time, all of each other if there are no `views`."""
        self._rotation: Rotation = rotary.at(positions)
        self._tokens = rotary.grid.tokens
        whole = (0, len(positions))
        self._views = [View(whole, (whole,))] if views is None else views

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # noqa: ARG002  (the same in all)
        """Return what tokens attend to, see `network.Attention`."""
        q, k = self._rotation(q), self._rotation(k)
        mixed = torch.empty_like(q)
        for view in self._views:
            mine = self._span(view.frames)
            keys, values = (torch.cat([part[:, self._span(span)] for span in view.seen], 1) for part in (k, v))
            mixed[:, mine] = attend(q[:, mine], keys, values)
        return mixed

    def _span(self, span: Span) -> slice:
        return slice(span[0] * self._tokens, span[1] * self._tokens)
