"""Repaint pictures of your own loop: no source, no sink, one array in and one out.

    python examples/push_loop.py out.png --prompt "ink" --frames 30

Here the loop draws a ball that bounces; yours has a renderer, a simulation or a camera's own SDK.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import vivace


def ball(frames: int, width: int = 256, height: int = 144) -> Iterator[np.ndarray]:
    """Yield pictures `uint8 [h w 3]` of a ball that bounces."""
    y, x = np.mgrid[:height, :width]
    for frame in range(frames):
        centre = abs((frame * 7) % (2 * (width - 40)) - (width - 40)) + 20
        inside = (x - centre) ** 2 + (y - height // 2) ** 2 < 30**2
        yield np.where(inside[..., None], (220, 80, 40), (70, 110, 160)).astype(np.uint8)


def main() -> None:
    """Push every picture, change the prompt half-way, and keep the last one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="a picture: the last frame")
    parser.add_argument("--prompt", default="ink")
    parser.add_argument("--then", default="watercolour", help="the prompt from half-way on")
    parser.add_argument("--frames", type=int, default=30)
    options = parser.parse_args()

    painted: list[vivace.Frame] = []
    with vivace.Stream("mini", prompt=options.prompt, size=(256, 144)) as stream:
        for number, rgb in enumerate(ball(options.frames)):
            if number == options.frames // 2:
                stream.update(prompt=options.then, crossfade_s=0.2)
            painted += stream.push(rgb)
        painted += stream.flush()
    Image.fromarray(painted[-1].rgb).save(options.output)
    print(f"{len(painted)} frames painted")


if __name__ == "__main__":
    main()
