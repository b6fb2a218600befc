"""Train a look of your own pictures, for `mini2`: what a folder of them has in common.

    python examples/own_look.py pictures/ mine.look

then `vivace run camera --model mini2 --look mine.look`. `vivace train looks fit mine.look pictures/` does the same from
a shell. The weights stay as they are: the hundred numbers that stand for a picture are fitted, by gradient, until
scenes painted with them have the pictures' colours and strokes. It takes half a minute and needs `vivace[train]`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from vivace.errors import VivaceError
from vivace.models.mini2.saved import Look, write_look
from vivace.train.looks.own import fit_look, read_pictures


def main() -> None:
    """Read the pictures, fit, and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path, help="a picture, or a folder of pictures")
    parser.add_argument("look", type=Path, help="the file to write, NAME.look")
    parser.add_argument("--title", help="what people will see; the file's name if not given")
    parser.add_argument("--steps", type=int, default=120)
    options = parser.parse_args()

    torch.set_num_threads(1)  # the pictures are small: more threads wait for one another
    try:
        fitted = fit_look(read_pictures([options.pictures]), steps=options.steps)
        write_look(options.look, Look(options.title or options.look.stem, fitted.mixture))
    except VivaceError as error:
        raise SystemExit(str(error)) from error
    print(f"{options.look}: distance to the pictures {fitted.before:.3f} before, {fitted.after:.3f} after the fit")


if __name__ == "__main__":
    main()
