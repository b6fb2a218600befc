"""Region cache of one stream: tokens whose source has not changed are left out of all calls on a chunk.

It works along time, where LiveEdit's mask cache works along the steps of a chunk. A token that stays keeps the clean
latents that it had in the latent frame before, and the ring's keys and values of them; keys have no positions there, so
that they serve at any later time. Nothing else has to be remembered.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vivace.memory.region_cache import ChangeDetector, Size
from vivace.models.wan.vae import SIDE_PX

TOKEN_PX = 2 * SIDE_PX
"""Side of a token, px."""
LONGEST_AGE = 16
"""Chunks after which every token is computed again; some in every chunk, never all at once."""


class RegionCache:
    """Choice of the tokens that a chunk computes, the same in each of its latent frames."""

    def __init__(self, size: Size) -> None:
        """Begin for pictures of `(width, height)` px."""
        self._detector = ChangeDetector(size, TOKEN_PX)
        self._asked: object = None
        self._turn = 0

    @staticmethod
    def nbytes_of(size: Size) -> int:
        """Return the size for pictures of `(width, height)` px, bytes."""
        return ChangeDetector.nbytes_of(size)

    def forget(self) -> None:
        """Compute all tokens of the coming chunk."""
        self._asked = None

    def choose(self, pictures: NDArray[np.uint8], asked: object) -> Tensor | None:
        """Return the rising indices of the tokens of a latent frame that a chunk computes; None is all of them.

        Args:
            pictures: frames `[t h w 3]` of the chunk's source.
            asked: all else that the output depends on; where it is not equal to the last chunk's, all are computed.
        """
        changes = np.max([self._detector.changes(rgb) for rgb in pictures], 0)
        # A token sees its neighbours through the autoencoder.
        near = F.max_pool2d(torch.from_numpy(changes)[None], 3, 1, 1).flatten()
        self._turn += 1
        due = (torch.arange(len(near)) + self._turn) % LONGEST_AGE == 0
        stays = asked == self._asked
        self._asked = asked
        tokens = ((near >= 1) | due).nonzero()[:, 0] if stays else None
        if tokens is not None and len(tokens) == len(near):
            tokens = None
        self._detector.computed(pictures[-1], None if tokens is None else tokens.numpy())
        return tokens
