"""Make a look of your own pictures, for `mini2`: what a folder of them has in common.

    python examples/own_look.py pictures/ mine.look

then `vivace run camera --model mini2 --look mine.look`. Nothing is trained: a look, a hundred numbers, is read from
each picture, and the look that is saved is their mean. Training of weights is `vivace train`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from vivace.models.mini2.family import STYLE_IMAGE
from vivace.models.mini2.mixture import Mixture, PictureShare
from vivace.models.mini2.pictures import PictureReader
from vivace.models.mini2.saved import Look, look_text
from vivace.stream.pictures import read_picture

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


def main() -> None:
    """Read each picture, and save their mean."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="a folder of pictures")
    parser.add_argument("look", type=Path, help="the file to write, NAME.look")
    parser.add_argument("--title", help="what people will see; the folder's name if not given")
    options = parser.parse_args()

    paths = sorted(path for path in options.pictures.glob("*") if path.suffix.lower() in PICTURES)
    if not paths:
        raise SystemExit(f"{options.pictures}: there are no pictures ({', '.join(PICTURES)})")
    reader = PictureReader()
    numbers = [reader.numbers(read_picture(STYLE_IMAGE, str(path))) for path in paths]
    spread = float(np.mean(np.std(numbers, axis=0)))
    mixture = Mixture({}, (PictureShare(tuple(np.mean(numbers, axis=0).tolist()), 1.0),))
    options.look.write_text(look_text(Look(options.title or options.pictures.resolve().name, mixture)), "utf-8")
    print(
        f"{options.look}: the mean of {len(paths)} pictures, which differ by {spread:.3f} (0: all have the same look)"
    )


if __name__ == "__main__":
    main()
