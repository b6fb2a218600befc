"""Attention patterns of a clip in one uncached call, as in training: full, block-causal, or teacher forcing.

A view is a run of frames with the runs of frames it attends to; each is one call of attention, so that no mask of
tokens by tokens is ever made. All numbers are latent frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from vivace.models.wan.attention import attend
from vivace.models.wan.rope import Rotary, Rotation

Span = tuple[int, int]
"""First frame, and the one after the last."""


@dataclass(frozen=True, slots=True)
class View:
    """Frames, and the frames they attend to."""

    frames: Span
    seen: tuple[Span, ...]


def chunk_lengths(frames: int, chunk: int, *, first: int | None = None) -> list[int]:
    """Return the frames of each chunk of a clip; `first` is the length of the first one, where it differs.

    Raises:
        ValueError: frames that make no whole number of chunks.
    """
    lead = [] if first is None else [first]
    rest = frames - sum(lead)
    if rest < 0 or rest % chunk:
        raise ValueError(f"{frames} latent frames are no whole number of chunks of {chunk}")
    return lead + [chunk] * (rest // chunk)


def block_causal(chunks: Sequence[int], window: int | None = None) -> list[View]:
    """Return the views of chunks of these lengths: themselves and all before, or the last `window` frames of these."""
    ends = list(accumulate(chunks))
    starts = [0, *ends][: len(ends)]
    return [
        View((start, end), ((0 if window is None else max(0, end - window), end),))
        for start, end in zip(starts, ends, strict=True)
    ]


def teacher_forcing(chunks: Sequence[int]) -> list[View]:
    """Return the views of a clean clip followed by the same clip with noise, in one sequence.

    Clean chunks attend to clean ones up to themselves, noisy chunks to the clean ones before them and to themselves.
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
        """Attend among frames at these positions in time, by `views` or all to all."""
        self._rotation: Rotation = rotary.at(positions)
        self._tokens = rotary.grid.tokens
        whole = (0, len(positions))
        self._views = [View(whole, (whole,))] if views is None else views

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:  # noqa: ARG002  (the same in all)
        """Return the attention of all tokens, see `network.Attention`."""
        q, k = self._rotation(q), self._rotation(k)
        mixed = torch.empty_like(q)
        for view in self._views:
            mine = self._span(view.frames)
            keys, values = (torch.cat([part[:, :, self._span(span)] for span in view.seen], 2) for part in (k, v))
            mixed[:, :, mine] = attend(q[:, :, mine], keys, values)
        return mixed

    def _span(self, span: Span) -> slice:
        return slice(span[0] * self._tokens, span[1] * self._tokens)
