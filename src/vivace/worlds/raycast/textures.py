"""Painted textures: periodic tiles of `SIDE` px.

Alpha is not opacity: it marks the parts that shine at night (lit windows, lamps).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vivace.worlds.paint import Colour, Field, mix, noise, smoothstep, to_bytes, tone

SIDE = 256
Tile = NDArray[np.float32]
"""Tile `[SIDE SIDE 3]`, 0 to 255, or 4 channels with emission, 0 to 255."""


PAINTERS: dict[str, Callable[[], Tile]] = {}
"""Painting functions of all textures, by name."""


def _painter(paint: Callable[[], Tile]) -> Callable[[], Tile]:
    PAINTERS[paint.__name__[1:]] = paint
    return paint


def _tile(picture: object) -> Tile:
    return np.asarray(picture, np.float32)


def _grid() -> tuple[Field, Field]:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / SIDE
    return x, y


def _cloudy(seed: int, cell: float, octaves: int = 5) -> Field:
    """Return noise that is periodic in both directions."""
    rng = np.random.default_rng([seed, 7])
    field = noise(rng, (SIDE, SIDE + 64), cell * SIDE, octaves=octaves)
    # The end fades into what precedes the start, so that the tile is periodic vertically too.
    fade = smoothstep(0, 1, np.linspace(0, 1, 64, dtype=np.float32))[:, None]
    tile = field[64:].copy()
    tile[-64:] = tile[-64:] * (1 - fade) + field[:64] * fade
    low, high = float(tile.min()), float(tile.max())
    return (tile - low) / (high - low)


def _relief(height: Field, strength: float) -> Field:
    """Return the shading of a rough surface lit from the upper left, about 1."""
    slope = (np.roll(height, 1, 0) - height) + 0.7 * (np.roll(height, 1, 1) - height)
    return np.clip(1 - strength * slope, 0.4, 1.7).astype(np.float32)


def _speckled(seed: int, low: Colour, high: Colour, cell: float, rough: float) -> Tile:
    field = _cloudy(seed, cell)
    return mix(low, high, field) * _relief(_cloudy(seed + 50, 0.06, 3), rough)[..., None]


@_painter
def _plain() -> Tile:
    return _speckled(1, (214, 214, 214), (250, 250, 250), 0.5, 0.5)


@_painter
def _plaster() -> Tile:
    return _speckled(2, (212, 208, 202), (248, 246, 240), 0.4, 0.7)


@_painter
def _clay() -> Tile:
    prints = _cloudy(3, 0.10, 3)
    return mix((206, 204, 202), (248, 246, 244), _cloudy(4, 0.3)) * _relief(prints, 2.2)[..., None]


@_painter
def _cloth() -> Tile:
    x, y = _grid()
    weave = 0.5 + 0.25 * np.sin(x * 48 * 2 * math.pi) + 0.25 * np.sin(y * 48 * 2 * math.pi)
    folds = _cloudy(5, 0.35, 3)
    return mix((176, 176, 178), (252, 252, 252), 0.35 * weave + 0.65 * folds)


@_painter
def _stripes() -> Tile:
    _, y = _grid()
    band = smoothstep(0.45, 0.55, (0.5 + 0.5 * np.sin(y * 6 * 2 * math.pi)).astype(np.float32))
    return mix((250, 246, 236), (120, 120, 126), band) * (0.88 + 0.14 * _cloudy(6, 0.1)[..., None])


@_painter
def _checks() -> Tile:
    x, y = _grid()
    first, second = (smoothstep(0.4, 0.6, (0.5 + 0.5 * np.sin(a * 8 * 2 * math.pi)).astype(np.float32)) for a in (x, y))
    return mix((252, 250, 244), (116, 116, 122), 0.5 * (first + second)) * (0.9 + 0.12 * _cloudy(7, 0.1)[..., None])


@_painter
def _dots() -> Tile:
    x, y = _grid()
    row = np.floor(y * 8)
    away = np.hypot((x * 8 + 0.5 * (row % 2)) % 1 - 0.5, (y * 8) % 1 - 0.5)
    return mix((250, 248, 240), (110, 110, 116), smoothstep(0.24, 0.32, away)) * (
        0.9 + 0.1 * _cloudy(8, 0.2)[..., None]
    )


@_painter
def _skin() -> Tile:
    return _speckled(9, (226, 176, 146), (244, 204, 176), 0.3, 0.5)


@_painter
def _hair() -> Tile:
    x, _ = _grid()
    strands = _cloudy(10, 0.3, 4)
    wave = 0.5 + 0.5 * np.sin((x * 26 + strands * 3) * 2 * math.pi)
    return mix((120, 116, 112), (250, 244, 236), 0.55 * wave + 0.45 * strands)


@_painter
def _face() -> Tile:
    tile = _skin()
    image = Image.fromarray(to_bytes(tile))
    large = image.resize((SIDE * 2, SIDE * 2))
    brush = ImageDraw.Draw(large)
    # The centre of the tile faces forward; the head is a sphere, so features stay near the equator.
    for sign in (-1, 1):
        x, y = 256 + sign * 34, 236
        brush.ellipse((x - 17, y - 17, x + 17, y + 17), fill=(250, 248, 244))
        brush.ellipse((x - 9, y - 10, x + 9, y + 12), fill=(58, 42, 34))
        brush.ellipse((x - 5, y - 8, x + 1, y - 2), fill=(250, 250, 250))
        brush.line((x - 20, y - 27 - 2 * sign, x + 20, y - 27 + 2 * sign), fill=(74, 50, 38), width=8)
        brush.ellipse((x + sign * 22 - 16, 276, x + sign * 22 + 16, 300), fill=(238, 158, 134))
    brush.ellipse((248, 252, 264, 276), fill=(222, 150, 122))
    brush.arc((232, 272, 280, 312), 20, 160, fill=(150, 62, 58), width=7)
    return np.asarray(large.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.float32)


@_painter
def _wood() -> Tile:
    _, y = _grid()
    warp = _cloudy(11, 0.7, 4)
    rings = 0.5 + 0.5 * np.sin((y * 9 + warp * 2.2) * 2 * math.pi)
    # Fibres: noise stretched along the grain.
    fibre = np.asarray(Image.fromarray(_cloudy(12, 0.06, 3)[:, ::8].copy()).resize((SIDE, SIDE)), np.float32)
    colour = mix((146, 92, 50), (214, 158, 98), 0.6 * rings + 0.4 * fibre)
    boards = (y * 4) % 1
    shade = 1 - 0.10 * (np.floor(y * 4) % 2)
    gap = 1 - 0.5 * (1 - smoothstep(0.0, 0.03, np.minimum(boards, 1 - boards)))
    return colour * (shade * gap)[..., None]


@_painter
def _grain() -> Tile:
    _, y = _grid()
    rings = 0.5 + 0.5 * np.sin((y * 5 + _cloudy(13, 0.8, 3) * 2.4) * 2 * math.pi)
    return mix((150, 98, 56), (206, 150, 96), 0.7 * rings + 0.3 * _cloudy(14, 0.05, 2))


@_painter
def _bark() -> Tile:
    x, _ = _grid()
    ridges = np.abs(np.sin((x * 8 + 0.8 * _cloudy(15, 0.25)) * 2 * math.pi)).astype(np.float32)
    return mix((66, 48, 36), (150, 116, 86), 0.7 * ridges + 0.3 * _cloudy(16, 0.08))


@_painter
def _marble() -> Tile:
    vein = 1 - smoothstep(0.0, 0.09, np.abs(_cloudy(17, 0.6) - 0.5))
    fine = 1 - smoothstep(0.0, 0.04, np.abs(_cloudy(18, 0.3) - 0.5))
    base = mix((232, 226, 216), (252, 250, 246), _cloudy(19, 0.5))
    return base - (vein * 62 + fine * 26)[..., None] * tone((1.0, 0.96, 0.88))


def _courses(columns: int, rows: int, joint: float, seed: int) -> tuple[Field, Field, Field]:
    """Return a brick bond: the mortar mask, a value per brick (0 to 1), and the bricks' rounded relief."""
    x, y = _grid()
    wobble = 0.012 * (_cloudy(seed, 0.12, 3) - 0.5)
    row = np.floor((y + wobble) * rows)
    u = (x + wobble) * columns + 0.5 * (row % 2)
    v = (y + wobble) * rows
    across, up = u % 1, v % 1
    edge = np.minimum(np.minimum(across, 1 - across) / columns, np.minimum(up, 1 - up) / rows) * rows
    numbers = np.random.default_rng(seed).random((rows + 1, columns + 1)).astype(np.float32)
    value = numbers[row.astype(int) % rows, np.floor(u).astype(int) % columns]
    return 1 - smoothstep(joint * 0.6, joint, edge), value, smoothstep(0, 4 * joint, edge)


@_painter
def _brick() -> Tile:
    mortar, value, relief = _courses(6, 12, 0.10, 20)
    colour = mix((150, 68, 50), (206, 112, 80), value) * (0.8 + 0.3 * _cloudy(21, 0.08)[..., None])
    colour *= _relief(relief, 0.5)[..., None]
    return _tile(colour * (1 - mortar[..., None]) + tone((196, 184, 168)) * mortar[..., None])


@_painter
def _stone() -> Tile:
    mortar, value, relief = _courses(3, 5, 0.06, 22)
    colour = mix((150, 142, 130), (206, 198, 182), value) * (0.76 + 0.4 * _cloudy(23, 0.15)[..., None])
    colour *= _relief(relief + 0.3 * _cloudy(24, 0.1), 1.0)[..., None]
    return _tile(colour * (1 - 0.55 * mortar[..., None]))


@_painter
def _paving() -> Tile:
    mortar, value, relief = _courses(4, 8, 0.08, 25)
    colour = mix((158, 146, 136), (214, 198, 180), value) * (0.82 + 0.3 * _cloudy(26, 0.2)[..., None])
    colour *= _relief(relief, 0.35)[..., None]
    return _tile(colour * (1 - 0.42 * mortar[..., None]))


@_painter
def _tiles() -> Tile:
    x, y = _grid()
    chess = (np.floor(x * 4) + np.floor(y * 4)) % 2
    across, up = (x * 4) % 1, (y * 4) % 1
    edge = np.minimum(np.minimum(across, 1 - across), np.minimum(up, 1 - up))
    colour = mix((92, 88, 96), (232, 222, 206), chess) * (0.86 + 0.2 * _cloudy(27, 0.3)[..., None])
    return _tile(colour * (1 - 0.4 * (1 - smoothstep(0.01, 0.035, edge)))[..., None])


@_painter
def _roof() -> Tile:
    x, y = _grid()
    row = np.floor(y * 10)
    u, v = (x * 10 + 0.5 * (row % 2)) % 1, (y * 10) % 1
    round_edge = v - 0.25 * (2 * np.abs(u - 0.5)) ** 2
    numbers = np.random.default_rng(28).random((10, 10)).astype(np.float32)
    value = numbers[row.astype(int) % 10, np.floor(x * 10 + 0.5 * (row % 2)).astype(int) % 10]
    colour = mix((168, 78, 54), (218, 124, 84), value)
    shade = 0.62 + 0.5 * smoothstep(-0.1, 0.9, round_edge.astype(np.float32)) * (1 - 0.3 * np.abs(u - 0.5))
    return _tile(colour * shade[..., None])


@_painter
def _foliage() -> Tile:
    rng = np.random.default_rng(29)
    image = Image.new("RGB", (SIDE * 2, SIDE * 2), (34, 74, 34))
    brush = ImageDraw.Draw(image)
    for index in range(1500):
        share = index / 1500
        x, y, angle = rng.random() * 512, rng.random() * 512, rng.random() * 6.28
        length = 9 + 8 * rng.random()
        bright = 0.55 + 0.6 * share + 0.2 * rng.random()
        fill = (int(74 * bright + 30 * rng.random()), int(min(255, 146 * bright)), int(54 * bright))
        dx, dy = length * math.cos(angle), length * math.sin(angle)
        for ox in (-512, 0, 512):
            for oy in (-512, 0, 512):
                cx, cy = x + ox, y + oy
                if -30 < cx < 542 and -30 < cy < 542:
                    side = 0.42
                    brush.polygon(
                        (
                            (cx - dx, cy - dy),
                            (cx - dy * side, cy + dx * side),
                            (cx + dx, cy + dy),
                            (cx + dy * side, cy - dx * side),
                        ),
                        fill=fill,
                    )
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.float32)


@_painter
def _grass() -> Tile:
    rng = np.random.default_rng(30)
    base = to_bytes(mix((74, 106, 44), (126, 152, 66), _cloudy(31, 0.5)))
    image = Image.fromarray(base).resize((SIDE * 2, SIDE * 2))
    brush = ImageDraw.Draw(image)
    for _ in range(2600):
        x, y = rng.random(2) * 512
        bright = 0.7 + 0.6 * rng.random()
        lean = rng.normal(0, 5)
        fill = (int(98 * bright), int(136 * bright), int(56 * bright))
        for ox in (0, 512):
            for oy in (0, 512):
                brush.line((x - ox, y - oy, x - ox + lean, y - oy - 9 - 8 * bright), fill=fill, width=2)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.float32)


@_painter
def _earth() -> Tile:
    return _speckled(32, (150, 112, 76), (206, 168, 120), 0.35, 2.0)


@_painter
def _sand() -> Tile:
    x, y = _grid()
    ripple = 0.5 + 0.5 * np.sin((y * 10 + 1.2 * _cloudy(33, 0.5, 3) + x) * 2 * math.pi)
    return mix((206, 174, 122), (240, 214, 164), 0.4 * ripple + 0.6 * _cloudy(34, 0.3))


@_painter
def _asphalt() -> Tile:
    return _speckled(35, (88, 88, 94), (122, 120, 122), 0.5, 1.4)


@_painter
def _water() -> Tile:
    return mix((38, 92, 120), (112, 170, 186), smoothstep(0.35, 0.8, _cloudy(36, 0.25)))


@_painter
def _facade() -> Tile:
    """Return a tile of two by two windows with the wall around them; alpha marks the lit panes."""
    image = Image.fromarray(to_bytes(_plaster())).resize((SIDE * 2, SIDE * 2)).convert("RGBA")
    image.putalpha(0)
    brush = ImageDraw.Draw(image)
    lit = (True, False, False, True)
    for index, (x, y) in enumerate(((0, 0), (256, 0), (0, 256), (256, 256))):
        glow = 255 if lit[index] else 0
        brush.rectangle((x + 62, y + 48, x + 194, y + 218), fill=(238, 230, 216, 0))
        brush.rectangle((x + 74, y + 60, x + 182, y + 206), fill=(74, 96, 118, glow))
        brush.polygon(((x + 74, y + 60), (x + 150, y + 60), (x + 74, y + 160)), fill=(126, 156, 178, glow))
        brush.rectangle((x + 124, y + 60, x + 132, y + 206), fill=(244, 238, 228, 0))
        brush.rectangle((x + 74, y + 112, x + 182, y + 120), fill=(244, 238, 228, 0))
        brush.rectangle((x + 52, y + 214, x + 204, y + 232), fill=(222, 212, 196, 0))
        brush.rectangle((x + 52, y + 230, x + 204, y + 238), fill=(134, 126, 116, 0))
        for left in (34, 196):
            brush.rectangle((x + left, y + 54, x + left + 26, y + 212), fill=(84, 122, 116, 0))
            for slat in range(62, 208, 12):
                brush.line((x + left, y + slat, x + left + 26, y + slat), fill=(60, 92, 90, 0), width=3)
    # Channel by channel: alpha is not opacity, so it must not weight the colours.
    channels = [channel.resize((SIDE, SIDE), Image.Resampling.BOX) for channel in image.split()]
    return np.dstack([np.asarray(channel) for channel in channels]).astype(np.float32)


@_painter
def _books() -> Tile:
    rng = np.random.default_rng(37)
    tile = np.zeros((SIDE, SIDE, 3), np.float32)
    palette = ((156, 56, 48), (44, 84, 120), (212, 168, 82), (60, 104, 74), (226, 214, 190), (102, 62, 98))
    x = 0
    while x < SIDE:
        width = min(int(rng.integers(14, 30)), SIDE - x)
        tile[:, x : x + width] = palette[int(rng.integers(len(palette)))]
        for band in (36, 44, 200):
            tile[band : band + 4, x : x + width] *= 1.35 if band != 44 else 0.7
        tile[:, x : x + width] *= (0.72 + 0.5 * np.sin(np.linspace(0.2, 2.9, width)))[None, :, None].astype(np.float32)
        x += width
    return tile


@_painter
def _painting() -> Tile:
    """Return a small landscape in a frame."""
    x, y = _grid()
    sky = mix((250, 206, 140), (96, 146, 190), 1 - y)
    hills = 0.56 + 0.10 * np.sin(x * 7) + 0.05 * np.sin(x * 17 + 1)
    far = 0.48 + 0.07 * np.sin(x * 5 + 2)
    sky = np.where((y > far)[..., None], tone((126, 132, 150)), sky)
    sky = np.where((y > hills)[..., None], mix((70, 118, 70), (168, 170, 82), y), sky)
    sun = 1 - smoothstep(0.06, 0.065, np.hypot(x - 0.68, y - 0.3).astype(np.float32))
    sky = sky + (tone((255, 244, 214)) - sky) * sun[..., None]
    sky *= (0.84 + 0.3 * _cloudy(38, 0.05, 2))[..., None]
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    frame = mix((110, 74, 38), (206, 160, 84), smoothstep(0.02, 0.06, edge))
    return np.where((edge < 0.075)[..., None], frame, sky).astype(np.float32)


@_painter
def _carpet() -> Tile:
    x, y = _grid()
    away = np.maximum(np.abs(x - 0.5), np.abs(y - 0.5))
    diamond = np.abs(x - 0.5) + np.abs(y - 0.5)
    rings = 0.5 + 0.5 * np.sin(diamond * 60)
    tile = mix((150, 46, 48), (222, 178, 110), smoothstep(0.55, 0.7, rings.astype(np.float32)))
    knots = (np.sin(x * 100) * np.sin(y * 100) > 0.3).astype(np.float32)
    tile = np.where((away > 0.38)[..., None], mix((34, 58, 92), (210, 176, 120), knots), tile)
    tile = np.where((away > 0.47)[..., None], tone((196, 164, 112)), tile)
    return (tile * (0.8 + 0.3 * _cloudy(39, 0.03, 2))[..., None]).astype(np.float32)


@_painter
def _rock() -> Tile:
    field = _cloudy(40, 0.4)
    return mix((104, 100, 98), (178, 170, 160), field) * _relief(_cloudy(41, 0.2), 2.6)[..., None]


@_painter
def _lamp() -> Tile:
    tile = np.empty((SIDE, SIDE, 4), np.float32)
    tile[..., :3] = _plain()
    tile[..., 3] = 255
    return tile


@_painter
def _crate() -> Tile:
    tile = _grain()
    x, y = _grid()
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    diagonal = np.abs(x - y)
    bar = (edge < 0.12) | (diagonal < 0.08)
    seam = np.abs(edge - 0.12) < 0.012
    return (tile * np.where(bar, 1.12, 0.78)[..., None] * np.where(seam, 0.5, 1)[..., None]).astype(np.float32)
