"""Codes of looks: a table for named looks, and a projection for the look of a picture."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vivace.models.mini2.config import CODE_DIM, PICTURE_NUMBERS


class LookCodes(nn.Module):
    """Codes of looks: 64 numbers, of a name or of a picture. Mixtures and strengths are sums of codes."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__()
        self.keys = keys
        self.table = nn.Parameter(torch.randn(len(keys), CODE_DIM))
        self.picture = nn.Linear(PICTURE_NUMBERS, CODE_DIM)
        nn.init.normal_(self.picture.weight, std=PICTURE_NUMBERS**-0.5)

    def forward(self, index: Tensor, pictures: Tensor) -> Tensor:
        """Return codes `[n 64]` of the names at `index [n]`, or of `pictures [n 100]` where that is negative."""
        named = self.table[index.clamp_min(0)]
        return torch.where((index < 0)[:, None], self.picture(pictures), named)


def grow_table(state: dict[str, Tensor], name: str, old: tuple[str, ...], new: tuple[str, ...]) -> None:
    """Move a table's rows `[looks 64]` to their places in a longer list of looks, in place; new rows are random.

    Nothing else is trained anew: a look is added to a trained network by its row.
    """
    table = state[name]
    rows = torch.randn(len(new), *table.shape[1:], generator=torch.Generator().manual_seed(len(new))).to(table)
    for i, key in enumerate(new):
        if key in old:
            rows[i] = table[old.index(key)]
    state[name] = rows
