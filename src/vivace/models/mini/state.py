"""Buffers of one stream of the embedded model."""

from __future__ import annotations

import math
from concurrent.futures import Executor as Pool
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import cast
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from vivace.models.effort_levels import LevelState
from vivace.models.mini.config import WORKING_MULTIPLE_PX, MiniConfig
from vivace.models.mini.kv_ring import KvRing
from vivace.models.mini.moving import Fields, MovingTextures, Rest
from vivace.models.mini.textures import Textures, make_textures, screens
from vivace.runtime.exported import Executor

FULL_DETAIL_PX = 256
"""Side of the square whose area the coarse path works on, px; larger outputs are rendered up from it by the fine
path."""
MAX_SCALE = 2.0
"""Largest ratio of output px to working px that the fine path was trained for."""
MOVING = ("textures", "fine_strokes")
"""Inputs that move with the camera, besides the noise that `x_t` starts as."""
MAX_AGE = 5
"""Cap on the ages of memory slots, frames, as in training."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Output and working size of a stream at one effort, px."""

    width: int
    height: int
    working_width: int
    working_height: int

    @property
    def scale_y(self) -> float:
        """Output px per working px, vertically."""
        return self.height / self.working_height

    @property
    def scale_x(self) -> float:
        """Output px per working px, horizontally."""
        return self.width / self.working_width

    @property
    def log_scale(self) -> float:
        """log2 of output px per working px, clamped to the range of training."""
        return min(max(0.5 * math.log2(self.scale_x * self.scale_y), 0.0), math.log2(MAX_SCALE))

    def shapes(self, cfg: MiniConfig) -> dict[str, tuple[int, ...]]:
        """Return the shape of every input of the graph, by name, in order."""
        h, w = self.working_height, self.working_width
        memory = (1, len(cfg.temporal_blocks), cfg.ring.slots, cfg.memory_tokens(h, w), cfg.dim)
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
            "ages": (1, cfg.ring.slots),
        }

    def nbytes(self, cfg: MiniConfig) -> int:
        """Return the size of all buffers of these shapes, extra ones for moving textures included, bytes."""
        shapes = self.shapes(cfg)
        elements = sum(math.prod(shape) for name, shape in shapes.items() if name != "source")
        # Up to three copies of the moving fields exist: original, present and predicted.
        moving = 3 * math.prod(shapes["x_t"]) + 2 * sum(math.prod(shapes[name]) for name in MOVING)
        return 4 * (elements + moving) + math.prod(shapes["source"])


def geometry(size: tuple[int, int], effort_scale: float = 1.0) -> Geometry:
    """Return the geometry for an output of `size = (width, height)`."""
    width, height = size
    scale = min(max(math.sqrt(width * height) / FULL_DETAIL_PX, 1.0), MAX_SCALE) / effort_scale

    def working(px: int) -> int:
        return max(2, round(px / scale / WORKING_MULTIPLE_PX)) * WORKING_MULTIPLE_PX

    return Geometry(width, height, working(width), working(height))


@dataclass(slots=True)
class EffortBuffers:
    """Buffers of one effort level: the graph's inputs by name, written in place, and the noise a frame starts from."""

    geometry: Geometry
    inputs: dict[str, NDArray[np.generic]]
    textures: MovingTextures
    ring: KvRing
    executor: Executor | None = None
    """Executor, made when the level is first used."""
    _begun: bool = False
    """True if `x_t` holds the noise of the present textures."""

    @property
    def x_t(self) -> NDArray[np.float32]:
        """Picture being denoised, `[1 3 h w]`, written in place."""
        return cast(NDArray[np.float32], self.inputs["x_t"])

    def begin(self) -> None:
        """Set `x_t` to the noise that a frame starts from. After a single denoising step it still is."""
        if not self._begun:
            self.x_t[...] = self.noise
            self._begun = True

    def go_on(self, x_t: NDArray[np.float32]) -> None:
        """Set the input of the next denoising step, `[1 3 h w]`."""
        self.x_t[...] = x_t
        self._begun = False

    @property
    def noise(self) -> NDArray[np.float32]:
        """Noise that a frame starts from, `[1 3 h w]`."""
        return self.textures.fields["noise"]

    def move_textures(self, offset_px: tuple[float, float]) -> None:
        """Move the textures with the scene, to `offset_px` output px (down, right) from their origin.

        Steps are two working px, the resolution of the coarsest field.
        """
        place = self.geometry
        to = (2 * round(offset_px[0] / place.scale_y / 2), 2 * round(offset_px[1] / place.scale_x / 2))
        if self.textures.move(to):
            self._bind_textures()

    def change_textures(self, textures: MovingTextures) -> None:
        """Use other textures, e.g. those of another seed."""
        self.textures = textures
        self._bind_textures()

    def _bind_textures(self) -> None:
        self._begun = False
        for name in MOVING:
            self.inputs[name] = self.textures.fields[name]
            if self.executor is not None:
                self.executor.bind(name, self.inputs[name])

    def forget(self) -> None:
        """Reset the memory of earlier frames."""
        self.ring.clear()
        self.inputs["previous"][...] = 0

    @property
    def nbytes(self) -> int:
        """Size of all buffers, bytes."""
        elsewhere = {"keys", "values", *MOVING}
        inputs = sum(array.nbytes for name, array in self.inputs.items() if name not in elsewhere)
        return inputs + self.textures.nbytes + self.ring.nbytes


MiniState = LevelState[EffortBuffers]
"""State of one stream of the embedded model."""


def open_buffers(place: Geometry, seed: int, cfg: MiniConfig, ahead: Pool) -> EffortBuffers:
    """Return filled buffers of one effort level; `ahead` runs the predicted texture copies."""
    ring = KvRing(
        cfg.ring,
        blocks=len(cfg.temporal_blocks),
        tokens=cfg.memory_tokens(place.working_height, place.working_width),
        dim=cfg.dim,
    )
    textures = MovingTextures(textures_at_rest(place, seed), ahead)
    given: dict[str, NDArray[np.generic]] = {"keys": ring.keys, "values": ring.values}
    given |= {name: textures.fields[name] for name in MOVING}
    inputs = {
        name: given[name] if name in given else np.zeros(shape, np.uint8 if name == "source" else np.float32)
        for name, shape in place.shapes(cfg).items()
    }
    inputs["screens"][...] = screens(place.working_height, place.working_width)[None]
    inputs["fine_screens"][...] = screens(place.height, place.width, place.scale_y, place.scale_x)[None]
    inputs["log_scale"][...] = place.log_scale
    return EffortBuffers(place, inputs, textures, ring)


_at_rest: WeakValueDictionary[tuple[Geometry, int], Rest] = WeakValueDictionary()
_at_rest_lock = Lock()


def textures_at_rest(place: Geometry, seed: int) -> Rest:
    """Return the texture inputs of a geometry and seed, shared by the streams that use them."""
    with _at_rest_lock:
        rest = _at_rest.get((place, seed))
        if rest is None:
            rest = _at_rest[place, seed] = _make_rest(place, seed)
        return rest


def _make_rest(place: Geometry, seed: int) -> Rest:
    made = textures_of(place.working_height, place.working_width, seed)
    both = np.concatenate([made.bands, made.strokes])
    # Means of 2 x 2: the network reads textures at 1/2 of the working size.
    halved = 0.25 * (both[:, ::2, ::2] + both[:, 1::2, ::2] + both[:, ::2, 1::2] + both[:, 1::2, 1::2])
    fine = enlarge(made.strokes, place.height, place.width)
    k = len(fine)
    unshuffled = fine.reshape(k, place.height // 2, 2, place.width // 2, 2).transpose(0, 2, 4, 1, 3)
    fields: Fields = {
        "noise": made.noise[None],
        "textures": halved[None],
        "fine_strokes": unshuffled.reshape(1, 4 * k, place.height // 2, place.width // 2),
    }
    per_px = {"noise": (1.0, 1.0), "textures": (0.5, 0.5), "fine_strokes": (place.scale_y / 2, place.scale_x / 2)}
    return Rest(fields, per_px)


@lru_cache(maxsize=4)
def textures_of(height: int, width: int, seed: int) -> Textures:
    """Return texture fields, cached because streams of one size and seed share them."""
    return make_textures(height, width, seed)


def enlarge(fields: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Return `[k h w]` resized bilinearly, px centres aligned as in training."""

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
