"""Scenes as sources, named like `scene:city?seed=3&frames=90`."""

from __future__ import annotations

import time
from collections.abc import Generator
from fractions import Fraction
from urllib.parse import parse_qsl

from vivace.errors import UsageError
from vivace.media.clock import Clock
from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.media.source import STALL_TIMEOUT_S, Source, SourceInfo
from vivace.worlds import make_scene

DEFAULT_SCENE = "city"
DEFAULT_SIZE = (512, 288)
DEFAULT_FPS = 30.0


def open_scene(
    rest: str,
    *,
    size: Size | None = None,
    fps: float | None = None,
    stall_timeout_s: float = STALL_TIMEOUT_S,  # noqa: ARG001  (the common signature of openers)
    clock: Clock = time.monotonic,
) -> SceneSource:
    """Open `NAME?seed=3&frames=90&edit=night`, each part of which is optional; a scene never stalls.

    Raises:
        SourceNotFoundError: no scene of that name.
        UsageError: an unknown option, or an invalid value.
    """
    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    try:
        seed = int(options.pop("seed", "0"))
        frames = int(options.pop("frames")) if "frames" in options else None
    except ValueError as error:
        raise UsageError(
            f"scene:{rest}: seed and frames are whole numbers, as in scene:city?seed=3&frames=90"
        ) from error
    if seed < 0 or (frames is not None and frames < 1):
        raise UsageError(f"scene:{rest}: seed counts from 0 and frames from 1, as in scene:city?seed=3&frames=90")
    edit = options.pop("edit", None)
    if options:
        raise UsageError(f"scene:{rest}: unknown option {', '.join(options)}; known are seed, frames and edit")
    return SceneSource(
        name or DEFAULT_SCENE,
        size=size or DEFAULT_SIZE,
        fps=fps or DEFAULT_FPS,
        seed=seed,
        frames=frames,
        edit=edit,
        clock=clock,
    )


class SceneSource(Source):
    """Source of a procedural scene; frames depend only on name, seed, size, rate and index."""

    def __init__(
        self,
        name: str = DEFAULT_SCENE,
        *,
        size: Size = DEFAULT_SIZE,
        fps: float = DEFAULT_FPS,
        seed: int = 0,
        frames: int | None = None,
        edit: str | None = None,
        clock: Clock = time.monotonic,
    ):
        """Build the scene.

        Args:
            name: one of `vivace.worlds.SCENES`.
            size: `(width, height)`, px.
            fps: frames per second of the scene's own time.
            seed: another seed gives another world of the same kind.
            frames: number of frames; None is endless.
            edit: key of an edit, see `make_scene`.
            clock: stamps `capture_time_s` when a frame is drawn.

        Raises:
            SourceNotFoundError: no scene of that name.
            UsageError: the scene has no such edit.
        """
        self._scene = make_scene(name, size, seed, edit=edit)
        self._time_base = 1 / Fraction(fps).limit_denominator(1001)
        self._frames = frames
        self._clock = clock
        super().__init__(
            SourceInfo(
                name=f"scene:{name}" if edit is None else f"scene:{name}?edit={edit}",
                size=size,
                fps=float(1 / self._time_base),
                frames=frames,
                duration_s=None if frames is None else float(frames * self._time_base),
            )
        )

    def _read(self) -> Generator[Frame, None, None]:
        index = 0
        while self._frames is None or index < self._frames:
            rgb = self._scene.render(float(index * self._time_base))
            yield Frame(rgb, index, index, self._time_base, self._clock())
            index += 1
