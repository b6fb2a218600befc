"""Rotary position embedding in time, height and width (Su et al., 2021), for any frame number.

The channels of a head are pairs, each rotated by an angle proportional to the position along one of three axes: of the
`d / 2` pairs a third belongs to the height, a third to the width and the rest to time. Angles are computed in float64
for the positions that are asked for: there is no table that a stream could run out of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

THETA = 10_000.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Tokens of a latent frame."""

    height: int
    width: int

    @property
    def tokens(self) -> int:
        """Tokens of one latent frame."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Rotation:
    """The rotation of every token's pairs."""

    turns: Tensor
    """Cosine and sine of each angle, `[n d/2 2]` float32."""

    def __getitem__(self, tokens: Tensor | slice) -> Rotation:
        """Return the rotation of some tokens."""
        return Rotation(self.turns[tokens])

    def __call__(self, x: Tensor) -> Tensor:
        """Return `x [… n d]` rotated, computed in float32."""
        pairs = x.float().unflatten(-1, (-1, 2))
        if torch.compiler.is_compiling():  # which fuses real numbers alone
            (a, b), (cos, sin) = pairs.unbind(-1), self.turns.unbind(-1)
            turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1)
        else:
            turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(self.turns))
        return turned.flatten(-2).to(x.dtype)


class Rotary:
    """Rotations of tokens on one grid."""

    def __init__(self, head_dim: int, grid: Grid, device: torch.device | str = "cpu") -> None:
        """Compute the angles that do not depend on time."""
        pairs = head_dim // 2
        across = pairs // 3
        self.grid = grid
        self._device = torch.device(device)
        self._time = _frequencies(pairs - 2 * across)
        rows = torch.outer(torch.arange(grid.height, dtype=torch.float64), _frequencies(across))
        columns = torch.outer(torch.arange(grid.width, dtype=torch.float64), _frequencies(across))
        self._plane = torch.cat(
            [
                rows[:, None].expand(-1, grid.width, -1).flatten(0, 1),
                columns[None].expand(grid.height, -1, -1).flatten(0, 1),
            ],
            -1,
        )

    def at(self, positions: Sequence[int]) -> Rotation:
        """Return the rotation of the tokens of frames at these positions in time, frame by frame."""
        time = torch.outer(torch.tensor(list(positions), dtype=torch.float64), self._time)
        frames, tokens = len(time), len(self._plane)
        angles = torch.cat([time[:, None].expand(-1, tokens, -1), self._plane[None].expand(frames, -1, -1)], -1)
        angles = angles.flatten(0, 1)
        return Rotation(torch.stack([angles.cos(), angles.sin()], -1).float().to(self._device))


def _frequencies(pairs: int) -> Tensor:
    return THETA ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
