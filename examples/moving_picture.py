"""Run one source through one stream, change the prompt on the way, and save a short GIF.

    python examples/moving_picture.py scene:walkers docs/media/walkers.gif

Made the picture at the top of the README. Shows an application that steers a stream frame by frame.
"""

from __future__ import annotations

import argparse
from itertools import islice

from PIL import Image

import vivace
from vivace.media.convert import resize
from vivace.media.draw import caption

PROMPTS = (None, "ink", "watercolour", "anime", "neon")
"""What is shown one after the other; None is the source."""
LEAD_IN = 4
"""Frames of a prompt that are not shown: the last one fades out in them."""


def main() -> None:
    """Read the arguments, paint, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="what `vivace run` takes: a file, scene:NAME, ...")
    parser.add_argument("gif", help="where to save")
    parser.add_argument("--frames", type=int, default=5, help="frames of each prompt")
    parser.add_argument("--every", type=int, default=3, help="of so many frames of the source, one is shown")
    parser.add_argument("--size", default="512x288", help="WxH to paint at")
    parser.add_argument("--width", type=int, default=368, help="of the GIF, px")
    parser.add_argument("--colours", type=int, default=64)
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    shown = options.width, round(options.width * height / width)

    pictures = []
    with (
        vivace.open_source(options.source, size=(width, height)) as source,
        vivace.Stream("mini", size=(width, height), crossfade_s=0) as stream,
    ):
        frames = iter(source)
        for prompt in PROMPTS:
            stream.update(prompt=prompt)
            painted = [
                out.rgb
                for frame in islice(frames, LEAD_IN + options.frames * options.every)
                for out in stream.push(frame.rgb, frame.pts_s)
            ]
            label = "source" if prompt is None else f'-p "{prompt}"'
            pictures += [caption(resize(rgb, shown), label) for rgb in painted[LEAD_IN :: options.every]]

    images = [
        Image.fromarray(rgb).quantize(options.colours, dither=Image.Dither.NONE, method=Image.Quantize.MEDIANCUT)
        for rgb in pictures
    ]
    images[0].save(options.gif, save_all=True, append_images=images[1:], duration=120, loop=0, optimize=True)
    print(f"{len(images)} pictures: {options.gif}")


if __name__ == "__main__":
    main()
