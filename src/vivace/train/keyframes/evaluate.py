"""Scores of the network that follows key frames, on photographs that were not trained on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vivace.models.keyframes.motion import carry, find, grey, search
from vivace.models.keyframes.network import KeyframeNet
from vivace.models.mini2.config import BLOCK_PX
from vivace.train.evaluate import psnr
from vivace.train.keyframes.edits import LEAST_PX, inside
from vivace.train.keyframes.pairs import Pool, draw_example
from vivace.train.keyframes.student import Followed, follow, inputs, remember, to_rgb
from vivace.train.looks.student import signed

WAYS = ("followed", "by attention alone", "by motion alone", "DIS warp", "source")
"""Systems compared: the network; the same without motion; without attention; the edited key frame carried by optical
flow; nothing done."""


def inside_psnr(picture: NDArray[np.uint8], target: NDArray[np.uint8], source: NDArray[np.uint8]) -> float:
    """Return the PSNR of a picture to its target inside the edit, dB; NaN if the edit is not in the picture."""
    area = inside(target, source)
    return psnr(picture[area], target[area]) if area.sum() >= LEAST_PX else float("nan")


@torch.no_grad()
def measure(net: KeyframeNet, pool: Pool, *, side: int = 256, count: int = 24) -> dict[str, dict[str, float]]:
    """Return the mean PSNR inside the edit, dB, by kind of edit and way, of `count` examples of each kind."""
    flow = search()
    table: dict[str, dict[str, float]] = {}
    for kind in pool.kinds:
        rng = np.random.default_rng(7)
        rows: list[list[float]] = []
        while len(rows) < count:
            e = draw_example(pool, side, rng, kind)
            motion = find(flow, grey(e.sources[1]), grey(e.sources[0]), None)
            memory = remember(net, *(signed([x[0]]) for x in (e.sources, e.targets)))
            source = signed([e.sources[1]])
            none = torch.zeros(1, 1, side // BLOCK_PX, side // BLOCK_PX)
            ways = []
            for known, remembered in ((motion, memory), (None, memory), (motion, None)):
                frame = Followed(e.sources[1], e.sources[0], e.targets[0], known)
                ways.append(to_rgb(follow(net, *inputs([frame], source, none), remembered))[0])
            ways += [carry(motion, e.targets[0]), e.sources[1]]
            row = [inside_psnr(way, e.targets[1], e.sources[1]) for way in ways]
            if e.same and not np.isnan(row).any():
                rows.append(row)
        table[kind] = dict(zip(WAYS, np.mean(rows, 0).tolist(), strict=True))
    return table
