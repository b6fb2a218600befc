"""All buffers of one stream of the embedded model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.memory.kv_ring import KvRing
from vivace.models.camera_motion import CameraMotion
from vivace.models.mini.config import WORKING_MULTIPLE_PX, MiniConfig
from vivace.models.mini.textures import Textures, make_textures, screens
from vivace.runtime import Executor

FULL_DETAIL_PX = 256
"""Side of the square whose area the coarse path works on; larger outputs are rendered up from it by the fine path."""
MAX_SCALE = 2.0
"""Most output px per working px the fine path was trained for."""
EFFORT_SCALES = (1.0, 0.8, 0.6)
"""Working side by effort level."""
MAX_AGE = 5
"""Ages of memory slots are capped here, as in training, so that positions never run out."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Output and working size of a stream at one effort, px."""

    width: int
    height: int
    working_width: int
    working_height: int

    @property
    def scale_y(self) -> float:
        """Output px per working px, down."""
        return self.height / self.working_height

    @property
    def scale_x(self) -> float:
        """Output px per working px, across."""
        return self.width / self.working_width

    @property
    def log_scale(self) -> float:
        """log2 of output px per working px, within what training saw."""
        return min(max(0.5 * math.log2(self.scale_x * self.scale_y), 0.0), math.log2(MAX_SCALE))

    def shapes(self, cfg: MiniConfig) -> dict[str, tuple[int, ...]]:
        """Return the shape of every input of the graph, by name, in order."""
        h, w = self.working_height, self.working_width
        memory = (1, len(cfg.temporal_blocks), cfg.slots, cfg.memory_tokens(h, w), cfg.dim)
        return {
            "source": (1, self.height, self.width, 3),
            "x_t": (1, 3, h, w),
            "previous": (1, 3, h, w),
            "screens": (1, cfg.screen_channels, h, w),
            "textures": (1, cfg.texture_channels, h // 2, w // 2),
            "fine_screens": (1, cfg.screen_channels, self.height, self.width),
            "fine_strokes": (1, 4 * cfg.stroke_channels, self.height // 2, self.width // 2),
            "embeds": (1, cfg.styles),
            "t": (1,),
            "log_scale": (1,),
            "keys": memory,
            "values": memory,
            "ages": (1, cfg.slots),
        }

    def nbytes(self, cfg: MiniConfig) -> int:
        """Return the bytes of the buffers of these shapes, the noise they start from included."""
        shapes = self.shapes(cfg)
        elements = sum(math.prod(shape) for name, shape in shapes.items() if name != "source")
        return 4 * (elements + math.prod(shapes["x_t"])) + math.prod(shapes["source"]) + 8 * cfg.slots


def geometry(size: tuple[int, int], effort_scale: float = 1.0) -> Geometry:
    """Return the working size for an output of `size = (width, height)`."""
    width, height = size
    scale = min(max(math.sqrt(width * height) / FULL_DETAIL_PX, 1.0), MAX_SCALE) / effort_scale

    def working(px: int) -> int:
        return max(2, round(px / scale / WORKING_MULTIPLE_PX)) * WORKING_MULTIPLE_PX

    return Geometry(width, height, working(width), working(height))


@dataclass(slots=True)
class Canvas:
    """The buffers of one effort level: the graph's inputs by name, in place, and the noise a frame starts from."""

    geometry: Geometry
    inputs: dict[str, NDArray[np.generic]]
    noise: NDArray[np.float32]
    """`[1 3 h w]`"""
    ring: KvRing
    executor: Executor | None = None
    """Made when the level is first used."""
    laid: tuple[int, int] = (0, 0)
    """How far the textures have been moved, working px (down, right)."""

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        memory = {"keys", "values"}
        return sum(a.nbytes for n, a in self.inputs.items() if n not in memory) + self.noise.nbytes + self.ring.nbytes


@dataclass(slots=True)
class MiniState:
    """One stream of the embedded model: a canvas per effort level, and which is in use."""

    size: tuple[int, int]
    seed: int
    canvases: tuple[Canvas, ...]
    motion: CameraMotion
    level: int = 0
    asked_for: set[int] = field(default_factory=set)
    """Levels whose compilation has been started."""

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(canvas.nbytes for canvas in self.canvases)


def open_canvas(place: Geometry, seed: int, cfg: MiniConfig) -> Canvas:
    """Allocate and fill the buffers of one effort level."""
    ring = KvRing(
        blocks=len(cfg.temporal_blocks),
        sink_slots=cfg.sink_slots,
        window_slots=cfg.window_slots,
        tokens=cfg.memory_tokens(place.working_height, place.working_width),
        dim=cfg.dim,
    )
    shared = {"keys": ring.keys, "values": ring.values}
    inputs: dict[str, NDArray[np.generic]] = {
        name: shared[name] if name in shared else np.zeros(shape, np.uint8 if name == "source" else np.float32)
        for name, shape in place.shapes(cfg).items()
    }
    h, w = place.working_height, place.working_width
    inputs["screens"][...] = screens(h, w)[None]
    inputs["fine_screens"][...] = screens(place.height, place.width, place.scale_y, place.scale_x)[None]
    inputs["log_scale"][...] = place.log_scale
    canvas = Canvas(place, inputs, np.zeros((1, 3, h, w), np.float32), ring)
    lay_textures(canvas, seed)
    return canvas


def move_textures(canvas: Canvas, offset_px: tuple[float, float]) -> None:
    """Move the textures of a canvas with the world, in place, to `offset_px` output px (down, right) from their origin.

    They are periodic, so any distance is a cyclic shift. Steps are of two working px, the grain of the coarsest field.
    """
    place = canvas.geometry
    wanted = (2 * round(offset_px[0] / place.scale_y / 2), 2 * round(offset_px[1] / place.scale_x / 2))
    if wanted == canvas.laid:
        return

    def shift(field: NDArray[Any], per_px: tuple[float, float]) -> None:
        steps = tuple(round(a * p) - round(b * p) for a, b, p in zip(wanted, canvas.laid, per_px, strict=True))
        field[...] = np.roll(field, steps, axis=(2, 3))

    shift(canvas.noise, (1, 1))
    shift(canvas.inputs["textures"], (0.5, 0.5))
    shift(canvas.inputs["fine_strokes"], (place.scale_y / 2, place.scale_x / 2))
    canvas.laid = wanted


def lay_textures(canvas: Canvas, seed: int) -> None:
    """Fill a canvas with the texture fields of a seed, in place."""
    place = canvas.geometry
    canvas.laid = (0, 0)
    fields = textures_of(place.working_height, place.working_width, seed)
    canvas.noise[...] = fields.noise[None]
    both = np.concatenate([fields.bands, fields.strokes])
    # Means of 2 x 2: the network reads textures at 1/2 of the working size.
    canvas.inputs["textures"][0] = 0.25 * (
        both[:, ::2, ::2] + both[:, 1::2, ::2] + both[:, ::2, 1::2] + both[:, 1::2, 1::2]
    )
    fine = enlarge(fields.strokes, place.height, place.width)
    k = len(fine)
    unshuffled = fine.reshape(k, place.height // 2, 2, place.width // 2, 2).transpose(0, 2, 4, 1, 3)
    canvas.inputs["fine_strokes"][0] = unshuffled.reshape(4 * k, place.height // 2, place.width // 2)


@lru_cache(maxsize=4)
def textures_of(height: int, width: int, seed: int) -> Textures:
    """Return texture fields, remembered because streams of one size and seed share them."""
    return make_textures(height, width, seed)


def enlarge(fields: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize `[k h w]` bilinearly, px centres aligned as in training."""

    def weights(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        at = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
        low = np.floor(at).astype(np.intp)
        return low, np.minimum(low + 1, old - 1), (at - low).astype(np.float32)

    if fields.shape[1:] == (height, width):
        return fields
    low, high, w = weights(fields.shape[1], height)
    fields = fields[:, low] * (1 - w)[:, None] + fields[:, high] * w[:, None]
    low, high, w = weights(fields.shape[2], width)
    return fields[:, :, low] * (1 - w) + fields[:, :, high] * w
