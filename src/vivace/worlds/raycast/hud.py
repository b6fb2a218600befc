"""User interface of a game: health, purse, map, items. Panels are static, their contents move."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vivace.media.frame import Rgb
from vivace.media.size import Size

_FINE = 2
"""Factor by which it is drawn too large."""
_PANEL = (34, 38, 54)
_RIM = (214, 184, 118)


@lru_cache(maxsize=8)
def _cover(size: Size) -> NDArray[np.float32]:
    """Return the coverage of each pixel by the panels, `[h w 1]`, 0 to 1."""
    image = Image.new("L", (size[0] * _FINE, size[1] * _FINE))
    brush = ImageDraw.Draw(image)
    unit = size[1] * _FINE / 100
    wide = size[0] * _FINE
    for left, top, right, bottom, radius in _panels(wide / unit):
        brush.rounded_rectangle((left * unit, top * unit, right * unit, bottom * unit), radius * unit, fill=255)
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)[..., None] / np.float32(255)


def _panels(wide: float) -> tuple[tuple[float, float, float, float, float], ...]:
    """Return left, top, right, bottom and corner radius of each panel, in hundredths of the height.

    The panels are status, map, quest and items.
    """
    middle = wide / 2
    return (
        (3, 3, 40, 17, 3),
        (wide - 25, 3, wide - 3, 25, 11),
        (wide - 36, 28, wide - 3, 36, 2),
        (middle - 22, 86, middle + 22, 97, 2),
    )


class GameInterface:
    """Interface for pictures of any size."""

    def __init__(self, lap_s: float):
        """Take the player's lap time, s, which the map shows."""
        self._lap_s = lap_s

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Return the pixels of the panels, `[h w]`."""
        found: NDArray[np.bool_] = _cover(size)[..., 0] >= 0.5
        return found

    def draw(self, canvas: Rgb, time_s: float) -> None:
        """Draw the panels and their contents at a time."""
        height, width = canvas.shape[:2]
        unit = height * _FINE / 100
        image = Image.new("RGB", (width * _FINE, height * _FINE), _PANEL)
        brush = ImageDraw.Draw(image)
        panels = _panels(width * _FINE / unit)
        for left, top, right, bottom, radius in panels:
            box = ((left + 0.7) * unit, (top + 0.7) * unit, (right - 0.7) * unit, (bottom - 0.7) * unit)
            brush.rounded_rectangle(box, radius * unit, outline=_RIM, width=max(1, round(0.8 * unit)))
        font = _font(max(4, round(4 * unit)))
        self._draw_status(brush, panels[0], unit, font, time_s)
        self._draw_map(brush, panels[1], unit, time_s)
        left, top, right, bottom, _ = panels[2]
        text = "FIND THE 7 GEMS" if time_s % 12 < 8 else "A SLIME IS NEAR!"
        centre = ((left + right) / 2 * unit, (top + bottom) / 2 * unit)
        brush.text(centre, text, fill=(248, 238, 214), font=_font(max(4, round(3.2 * unit))), anchor="mm")
        self._draw_things(brush, panels[3], unit, time_s)
        cover = _cover((width, height))
        shown = np.asarray(image.resize((width, height), Image.Resampling.BOX), np.float32)
        canvas[...] = (canvas + (shown - canvas) * cover + np.float32(0.5)).astype(np.uint8)

    def _draw_status(
        self,
        brush: ImageDraw.ImageDraw,
        panel: tuple[float, ...],
        unit: float,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
        time_s: float,
    ) -> None:
        left, top = panel[:2]
        health = 0.62 + 0.33 * math.sin(0.5 * time_s)
        for row, (share, colour) in enumerate(
            ((health, (222, 62, 58)), (0.5 + 0.4 * math.sin(0.9 * time_s + 1), (72, 142, 226)))
        ):
            y = top + 2.4 + 3.2 * row
            brush.rectangle(((left + 3) * unit, y * unit, (left + 34) * unit, (y + 2.2) * unit), fill=(16, 18, 28))
            brush.rectangle(
                ((left + 3) * unit, y * unit, (left + 3 + 31 * share) * unit, (y + 2.2) * unit), fill=colour
            )
            lighter = tuple(min(255, part + 50) for part in colour)
            brush.rectangle(
                ((left + 3) * unit, y * unit, (left + 3 + 31 * share) * unit, (y + 0.7) * unit), fill=lighter
            )
        brush.ellipse(
            ((left + 3) * unit, (top + 8.8) * unit, (left + 6.2) * unit, (top + 12.0) * unit), fill=(248, 206, 78)
        )
        brush.text(
            ((left + 8) * unit, (top + 10.4) * unit),
            f"{int(137 + 2.5 * time_s) % 10000:04d}",
            fill="white",
            font=font,
            anchor="lm",
        )
        brush.text(
            ((left + 34) * unit, (top + 10.4) * unit),
            f"LV {12 + int(time_s / 60) % 80}",
            fill=_RIM,
            font=font,
            anchor="rm",
        )

    def _draw_map(self, brush: ImageDraw.ImageDraw, panel: tuple[float, ...], unit: float, time_s: float) -> None:
        x, y = (panel[0] + panel[2]) / 2 * unit, (panel[1] + panel[3]) / 2 * unit
        for radius, colour in (
            (9.6, (92, 128, 74)),
            (7.2, (206, 178, 130)),
            (5.4, (106, 142, 82)),
            (2.4, (86, 132, 168)),
        ):
            brush.ellipse((x - radius * unit, y - radius * unit, x + radius * unit, y + radius * unit), fill=colour)
        for index in range(7):
            angle = 0.9 * index
            gx, gy = x + 6.3 * unit * math.sin(angle), y - 6.3 * unit * math.cos(angle)
            brush.ellipse((gx - 0.6 * unit, gy - 0.6 * unit, gx + 0.6 * unit, gy + 0.6 * unit), fill=(246, 222, 96))
        angle = 2 * math.pi * time_s / self._lap_s
        tip = [(1.9, 0.0), (-1.2, 1.1), (-1.2, -1.1)]
        px, py = x + 6.3 * unit * math.sin(angle), y - 6.3 * unit * math.cos(angle)
        forward, aside = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
        points = [
            (px + unit * (a * forward[0] + b * aside[0]), py + unit * (a * forward[1] + b * aside[1])) for a, b in tip
        ]
        brush.polygon(points, fill=(240, 60, 50), outline="white")

    def _draw_things(self, brush: ImageDraw.ImageDraw, panel: tuple[float, ...], unit: float, time_s: float) -> None:
        left, top = panel[:2]
        chosen = int(time_s / 3) % 4
        for index in range(4):
            x, y = (left + 1.8 + 10.3 * index) * unit, (top + 1.6) * unit
            side = 8 * unit
            frame = (250, 226, 150) if index == chosen else (92, 96, 116)
            brush.rectangle(
                (x, y, x + 9.4 * unit, y + side), fill=(54, 60, 82), outline=frame, width=max(1, round(0.6 * unit))
            )
            cx, cy, r = x + 4.7 * unit, y + 4 * unit, 2.4 * unit
            if index == 0:
                brush.line((cx - r, cy + r, cx + r, cy - r), fill=(222, 226, 236), width=max(1, round(1.1 * unit)))
                brush.line((cx - r, cy, cx, cy + r), fill=(176, 126, 70), width=max(1, round(0.9 * unit)))
            elif index == 1:
                brush.ellipse((cx - r, cy - 0.5 * r, cx + r, cy + 1.2 * r), fill=(214, 62, 88))
                brush.rectangle((cx - 0.4 * r, cy - 1.2 * r, cx + 0.4 * r, cy), fill=(214, 222, 230))
            elif index == 2:
                brush.polygon(((cx, cy - 1.2 * r), (cx + r, cy), (cx, cy + 1.2 * r), (cx - r, cy)), fill=(92, 206, 216))
            else:
                brush.ellipse((cx - r, cy - r, cx + r, cy + r), outline=(246, 206, 92), width=max(1, round(1.0 * unit)))


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
