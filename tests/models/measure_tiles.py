"""Measure the region cache of `mini2`: `python tests/models/measure_tiles.py CLIP …`, and `--help`.

Each frame is painted without and with it, in turn, so that ratios hold on a busy machine. Nothing here is asserted.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vivace.media.open import open_source
from vivace.models import load_model
from vivace.models.base import Chunk
from vivace.models.mini2.family import REGION_CACHE
from vivace.models.mini2.model import Mini2Model


def measure(model: Mini2Model, clip: str, size: tuple[int, int], look: str, frames: int, sheet: Path | None) -> str:
    """Return a row: fps with over without, in all frames and where tiles are remembered; share of tiles; PSNR, dB."""
    code = model.encode_prompt(look).embeds
    off, on = model.open(size), model.open(size)
    model.prepare_efforts(on)
    cache = on.levels[0].cache
    assert cache is not None
    cache.prepare(wait=True)  # as a stream of some minutes has it
    times_s: list[tuple[float, float]] = []
    works: list[float] = []
    errors: list[float] = []
    worst: tuple[float, np.ndarray] | None = None
    with open_source(clip) as source:
        for frame in itertools.islice(source, frames):
            rgb = np.asarray(Image.fromarray(frame.rgb).resize(size))[None]
            began_s = time.perf_counter()
            [without] = model.step([off], [Chunk(rgb, code, options={REGION_CACHE.name: "off"})])
            between_s = time.perf_counter()
            [painted] = model.step([on], [Chunk(rgb, code)])
            times_s.append((between_s - began_s, time.perf_counter() - between_s))
            works.append(1.0 if painted.work is None else painted.work)
            difference = painted.rgb[0].astype(np.int16) - without.rgb[0]
            errors.append(float(np.square(difference.astype(np.float64)).mean()))
            if worst is None or errors[-1] > worst[0]:
                shown = np.clip(128 + 4 * difference, 0, 255).astype(np.uint8)
                worst = errors[-1], np.concatenate([rgb[0], without.rgb[0], painted.rgb[0], shown], 1)
    if sheet is not None and worst is not None:
        Image.fromarray(worst[1]).save(sheet / f"{Path(clip).stem} {look}.png")
    spent = np.array(times_s)
    few = np.array(works) < 1
    decibels = [10 * np.log10(255**2 / error) for error in errors if error > 0]
    fewer = f"{np.divide(*spent[few].sum(0)):.2f}x" if few.any() else "none"
    fidelity = f"{np.median(decibels):.1f}, {min(decibels):.1f}" if decibels else "equal"
    return (
        f"| {Path(clip).stem}, {look} | {np.divide(*spent.sum(0)):.2f}x | {fewer} | {np.mean(works):.0%} | {fidelity} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--size", default="512x512")
    parser.add_argument("--looks", nargs="+", default=["oil painting"])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sheets", type=Path, help="folder for the frame that differs most: source, without, with, 4x")
    args = parser.parse_args()
    width, height = map(int, args.size.split("x"))
    model = load_model("mini2").painter.painter
    print("| clip, look | fps against without | where tiles are remembered | painted | PSNR, median, least |")
    print("|---|---|---|---|---|")
    for clip, look in itertools.product(args.clips, args.looks):
        print(measure(model, clip, (width, height), look, args.frames, args.sheets), flush=True)


if __name__ == "__main__":
    main()
