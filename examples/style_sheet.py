"""Paint one moment of a source in every style of a model and save a contact sheet.

    python examples/style_sheet.py scene:gallery styles.jpg --at 40
    python examples/style_sheet.py scene:gallery looks.jpg --model mini2 --columns 8 --cell 200

Shows the library in an application with its own loop: one shared model, one stream a style, frames pushed by hand.
"""

from __future__ import annotations

import argparse
from itertools import islice

from PIL import Image

import vivace
from vivace.media.draw import caption, contact_sheet

LEAD_IN = 6
"""Frames each stream sees before the one that is shown, so that its memory is warm."""


def main() -> None:
    """Read the arguments, paint, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="what `vivace run` takes: a file, scene:NAME, ...")
    parser.add_argument("picture", help="where to save: .png or .jpg")
    parser.add_argument("--at", type=int, default=40, help="frame to show")
    parser.add_argument("--size", default="512x288", help="WxH")
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--cell", type=int, default=320, help="width of a picture in the sheet, px")
    parser.add_argument("--model", default="mini", help="one of `vivace models list` that names its styles")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))

    with vivace.open_source(options.source, size=(width, height)) as source:
        frames = [frame.rgb for frame in islice(source, max(0, options.at - LEAD_IN), options.at + 1)]

    model = vivace.load_model(options.model)
    pictures = []
    for style in model.spec.styles:
        with vivace.Stream(model, prompt=style, size=(width, height)) as stream:
            painted = [out for rgb in frames for out in stream.push(rgb)]
        pictures.append(caption(painted[-1].rgb, style))

    rows = [pictures[i : i + options.columns] for i in range(0, len(pictures), options.columns)]
    sheet = contact_sheet(rows, cell_px=options.cell)
    Image.fromarray(sheet).save(options.picture, quality=85)
    print(f"{len(pictures)} styles: {options.picture}")


if __name__ == "__main__":
    main()
