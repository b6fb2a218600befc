"""Captions, comparisons and contact sheets, in the font that Pillow embeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vivace.media.convert import cover
from vivace.media.frame import Rgb

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

INK = (240, 240, 238)
PAPER = (22, 23, 26)
DIM = (150, 152, 158)

_CAPTION_SHARE = 0.055
"""Height of caption text as a share of the picture's shorter side: read from across a room, no more."""


@lru_cache(maxsize=32)
def font(size_px: int) -> Font:
    """Return the embedded font at a size, px."""
    return ImageFont.load_default(size=max(6, size_px))


def caption(rgb: Rgb, text: str, *, detail: str = "") -> Rgb:
    """Write `text` into the lower left corner on a shade that lets the picture through; `detail` to the right, dim.

    Takes and returns `uint8 [h w 3]`; the argument is not changed. Text that is too long is cut with an ellipsis.
    """
    if not text and not detail:
        return rgb
    height, width = rgb.shape[:2]
    size = max(9, round(_CAPTION_SHARE * min(width, height)))
    margin = round(0.7 * size)
    band = min(height, 2 * size)
    canvas = rgb.copy()
    # A shade that grows downwards is less of a stain than a box.
    shade = (0.25 + 0.6 * np.linspace(0, 1, band, dtype=np.float32) ** 0.8)[:, None, None]
    canvas[height - band :] = (canvas[height - band :] * (1 - shade)).astype(np.uint8)
    image = Image.fromarray(canvas)
    brush = ImageDraw.Draw(image)
    middle = height - round(0.95 * size)
    room = width - 2 * margin
    if detail:
        detail = fitted(detail, font(round(0.8 * size)), room // 2)
        brush.text((width - margin, middle), detail, font=font(round(0.8 * size)), fill=DIM, anchor="rm")
        room -= round(brush.textlength(detail, font=font(round(0.8 * size)))) + margin
    brush.text((margin, middle), fitted(text, font(size), room), font=font(size), fill=INK, anchor="lm")
    return cast(Rgb, np.asarray(image))


def fitted(text: str, with_font: Font, room_px: int) -> str:
    """Return `text` on one line, cut with an ellipsis where it is wider than `room_px`."""
    text = " ".join(text.split())
    # No line holds more; prompts may be very long and measuring takes time.
    text = text[:1000]
    if with_font.getlength(text) <= room_px:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if with_font.getlength(text[:middle].rstrip() + "…") <= room_px:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…" if low else ""


def side_by_side(pictures: Sequence[Rgb], *, gap_px: int = 2) -> Rgb:
    """Put pictures `uint8 [h w 3]` in a row, scaled to the first one's height, with a thin gap."""
    height = pictures[0].shape[0]
    pieces: list[Rgb] = []
    for number, picture in enumerate(pictures):
        if number and gap_px:
            gap = np.empty((height, gap_px, 3), np.uint8)
            gap[:] = PAPER
            pieces.append(gap)
        width = max(1, round(picture.shape[1] * height / picture.shape[0]))
        pieces.append(cover(picture, (width, height)))
    return np.concatenate(pieces, axis=1)


def contact_sheet(
    rows: Sequence[Sequence[Rgb]],
    labels: Sequence[str] = (),
    *,
    columns: Sequence[str] = (),
    title: str = "",
    cell_px: int = 192,
    gap_px: int = 6,
) -> Rgb:
    """Lay pictures out in rows, with a label before each row and a heading over each column.

    Args:
        rows: pictures, `uint8 [h w 3]` each; rows may differ in length. Cells have the first picture's shape.
        labels: one for each row, or none.
        columns: headings, or none.
        title: above everything, or empty.
        cell_px: width of a cell.
        gap_px: between cells and around the sheet.

    Returns:
        `uint8 [h w 3]`.
    """
    first = next(picture for row in rows for picture in row)
    cell = (cell_px, max(1, round(cell_px * first.shape[0] / first.shape[1])))
    size = max(10, round(cell_px * 0.075))
    text, heading = font(size), font(round(1.5 * size))
    label_px = (
        min(2 * cell_px, max((round(text.getlength(label)) for label in labels), default=0) + gap_px) if labels else 0
    )
    top = gap_px + (round(2.6 * size) if title else 0) + (round(1.8 * size) if columns else 0)
    count = max(len(row) for row in rows)
    width = gap_px + label_px + count * (cell[0] + gap_px)
    height = top + len(rows) * (cell[1] + gap_px)
    image = Image.new("RGB", (width, height), PAPER)
    brush = ImageDraw.Draw(image)
    if title:
        brush.text(
            (gap_px + 2, gap_px + size), fitted(title, heading, width - 2 * gap_px), font=heading, fill=INK, anchor="lm"
        )
    for column, name in enumerate(columns):
        x = gap_px + label_px + column * (cell[0] + gap_px) + cell[0] / 2
        brush.text((x, top - round(0.9 * size)), fitted(name, text, cell[0]), font=text, fill=DIM, anchor="mm")
    for index, row in enumerate(rows):
        y = top + index * (cell[1] + gap_px)
        if index < len(labels):
            brush.text(
                (gap_px + 2, y + cell[1] / 2), fitted(labels[index], text, label_px), font=text, fill=INK, anchor="lm"
            )
        for column, picture in enumerate(row):
            x = gap_px + label_px + column * (cell[0] + gap_px)
            image.paste(Image.fromarray(cover(picture, cell)), (x, y))
    return cast(Rgb, np.asarray(image))
