"""Prompts to begin with, and what each looks like, painted by the model itself."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from functools import cache
from typing import Any

from PIL import Image

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.models.base import ModelSpec, StreamModel
from vivace.models.mini.styles import STYLES
from vivace.serve.shape import output_size
from vivace.stream import Stream
from vivace.worlds import make_scene

PRESETS: tuple[tuple[str, str, str], ...] = tuple((style.key, style.title, style.prompt) for style in STYLES)
"""Key, title for people, prompt."""

SIZE = (256, 144)
"""Twice what the page shows, and painted by the embedded model in a few tens of milliseconds."""
SCENE = "pan"
"""Daylight, large plain and small busy parts: every style shows."""
SCENE_TIME_S = 0.6
FRAMES = 2
"""So that the model has a memory to build on, as in a stream, and live sessions hardly wait."""
JPEG_QUALITY = 85
MAX_MS = 2_000.0
"""Of one thumbnail. A slower model's time belongs to the sessions."""


def frames_needed(spec: ModelSpec) -> int:
    """Return how many frames go into a model before the wanted one comes out."""
    return -(-(FRAMES + spec.output_lag_frames) // spec.chunk_frames) * spec.chunk_frames


@cache
def scene_pictures(size: Size, count: int) -> list[Rgb]:
    """Return what is painted, the same for every prompt."""
    scene = make_scene(SCENE, size)
    return [scene.render(SCENE_TIME_S + index / 25) for index in range(count)]


def render(model: StreamModel[Any], prompt: str) -> Rgb:
    """Return a picture of a scene as the model paints it under the prompt."""
    size = output_size(SIZE, SIZE[0] * SIZE[1], model.spec)
    with Stream(model, prompt=prompt, size=size, crossfade_s=0, detect_cuts=False) as stream:
        for rgb in scene_pictures(size, frames_needed(model.spec)):
            frames = stream.push(rgb)
    return frames[-1].rgb


class Thumbnails:
    """Renders each thumbnail once, when it is first asked for, one at a time."""

    def __init__(self, model: Callable[[], StreamModel[Any]], step_ms: Callable[[], float]) -> None:
        """`step_ms` says how long the model takes for a frame."""
        self._model = model
        self._step_ms = step_ms
        self._made: dict[str, bytes] = {}
        self._one_at_a_time = asyncio.Lock()

    async def jpeg(self, key: str, prompt: str) -> bytes | None:
        """Return the thumbnail of a preset; None if the model is too slow for such things."""
        async with self._one_at_a_time:
            if key not in self._made:
                if self._step_ms() * frames_needed(self._model().spec) > MAX_MS:
                    return None
                self._made[key] = await asyncio.to_thread(self._render, prompt)
            return self._made[key]

    def _render(self, prompt: str) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(render(self._model(), prompt)).save(buffer, "JPEG", quality=JPEG_QUALITY)
        return buffer.getvalue()
