"""Prompts to begin with, and what each looks like, painted by the model: of a scene, or of a client's picture."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from fractions import Fraction
from functools import cache, partial
from typing import Any

from PIL import Image

from vivace.media.frame import Frame, Rgb
from vivace.media.size import Size
from vivace.models.base import ModelSpec, StreamModel
from vivace.models.mini.styles import STYLES
from vivace.serve.limits import RefusedError
from vivace.serve.served_model import ServedModel
from vivace.serve.shape import output_size
from vivace.stream.account import ProcessorObserver
from vivace.stream.controls import ControlBoard, Controls, check_changes
from vivace.stream.fit import prepared
from vivace.stream.moderation import NOBODY, Moderator
from vivace.stream.painter import ProcessorPolicy
from vivace.stream.processor import FrameProcessor
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
"""Most time for one thumbnail. A slower model's time belongs to the sessions."""
SHARE = 0.05
"""Share of the model's time that goes into thumbnails while there are live sessions."""
PATIENCE_S = 10.0
"""For a moment in which no session's frame waits."""

Steps = Callable[[Callable[[], list[Frame]]], list[Frame]]
"""Takes a step of a model when it is its turn."""


def frames_needed(spec: ModelSpec) -> int:
    """Return how many frames go into a model before the wanted one comes out."""
    first, wanted = spec.frames_of_chunk(0), FRAMES + spec.output_lag_frames
    return first + -(-max(0, wanted - first) // spec.chunk_frames) * spec.chunk_frames


@cache
def scene_pictures(size: Size, count: int) -> list[Rgb]:
    """Return what is painted, the same for every prompt."""
    scene = make_scene(SCENE, size)
    return [scene.render(SCENE_TIME_S + index / 25) for index in range(count)]


def render(
    model: StreamModel[Any],
    prompt: str,
    pictures: Sequence[Rgb],
    take: Steps = lambda step: step(),
    moderator: Moderator = NOBODY,
) -> Rgb:
    """Return the last of some pictures, `uint8 [h w 3]` of any size, as the model paints it under the prompt.

    Raises:
        PolicyError: the moderator refuses the prompt.
        UnknownPromptError: a prompt that the model cannot serve.
    """
    size = output_size(SIZE, SIZE[0] * SIZE[1], model.spec)
    wanted = {"prompt": prompt, "crossfade_s": 0.0}
    controls = Controls().changed(check_changes(wanted, model, opening=True, moderator=moderator))
    policy = ProcessorPolicy(live=False, detect_cuts=False, max_failures=1)
    processor = FrameProcessor(model, size, ControlBoard(controls), ProcessorObserver(), policy)
    try:
        for index, rgb in enumerate(pictures):
            frame = prepared(Frame(rgb, index, index, Fraction(1, 25), index / 25), size)
            made = take(partial(processor.step, frame))
        return made[-1].rgb
    finally:
        processor.close()


class Thumbnails:
    """Renders thumbnails one at a time, when no session's frame waits for the model."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        moderator: Moderator = NOBODY,
    ) -> None:
        """Begin with none; `clock` gives monotonic seconds, `sleep` lets some pass, `moderator` may refuse prompts."""
        self._clock = clock
        self._sleep = sleep
        self._moderator = moderator
        self._made: dict[str, bytes] = {}
        self._asking: set[str] = set()
        self._one_at_a_time = asyncio.Lock()
        self._next_s = float("-inf")
        """When the next one may begin."""

    async def of_scene(self, served: ServedModel, prompt: str) -> bytes | None:
        """Return a JPEG of a scene, rendered once; None if the model is too slow for such things.

        Raises:
            RefusedError: the model has no time.
        """
        async with self._one_at_a_time:
            if prompt not in self._made:
                count = frames_needed(served.model.spec)
                made = await self._jpeg(served, prompt, scene_pictures(SIZE, count))
                if made is None:
                    return None
                self._made[prompt] = made
            return self._made[prompt]

    async def of_picture(self, served: ServedModel, prompt: str, rgb: Rgb, client: str) -> bytes | None:
        """Return a JPEG of a client's picture, `uint8 [h w 3]`; None if the model is too slow for such things.

        Raises:
            RefusedError: the model has no time, or the client has asked for another that is not done.
            PolicyError: the prompt is refused.
            UnknownPromptError: a prompt that the model cannot serve.
        """
        if client in self._asking:
            raise RefusedError(
                "busy", "you have asked for another thumbnail that is not done; ask for one at a time", 1.0
            )
        self._asking.add(client)
        try:
            async with self._one_at_a_time:
                return await self._jpeg(served, prompt, [rgb] * frames_needed(served.model.spec))
        finally:
            self._asking.discard(client)

    async def _jpeg(self, served: ServedModel, prompt: str, pictures: Sequence[Rgb]) -> bytes | None:
        if served.admission.costs.step_ms * len(pictures) > MAX_MS:
            return None
        await self._sleep(max(0.0, self._next_s - self._clock()))

        def timed(step: Callable[[], list[Frame]]) -> list[Frame]:
            began_s = self._clock()
            try:
                return step()
            finally:
                now_s = self._clock()
                if served.engine.share_s() < float("inf"):  # somebody is live
                    self._next_s = max(now_s, self._next_s) + (now_s - began_s) * (1 / SHARE - 1)

        def take(step: Callable[[], list[Frame]]) -> list[Frame]:
            return _in_time(served.engine.when_idle(partial(timed, step)))

        def rendered() -> bytes:
            take(list)  # where there is no such moment, nothing is opened for it either
            buffer = io.BytesIO()
            Image.fromarray(render(served.model, prompt, pictures, take, self._moderator)).save(
                buffer, "JPEG", quality=JPEG_QUALITY
            )
            return buffer.getvalue()

        return await asyncio.to_thread(rendered)


def _in_time(future: Future[list[Frame]]) -> list[Frame]:
    try:
        return future.result(PATIENCE_S)
    except NotInTime:
        if not future.cancel():
            return future.result()  # it has just begun
        raise RefusedError("busy", "the model has no time for thumbnails beside its sessions", PATIENCE_S) from None
