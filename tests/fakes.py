"""Stand-ins for a model, a source and a clock: fast, deterministic, and strict about how they are used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError, StepError
from vivace.media.frame import Frame
from vivace.media.source import Source, SourceInfo
from vivace.models.base import Chunk, Keep, ModelSpec, Prompt, RuntimeInfo, StepResult
from vivace.models.controls import ControlSpec
from vivace.runtime.device import Device

SIZE = (32, 16)
"""`(width, height)` of most test pictures: small, and not square, so that swapped axes show."""

NEGATIVE_PROMPT = ControlSpec(
    name="negative_prompt", kind="text", encoded=True, excludes=True, help="What shall not be seen."
)
EMBEDS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class FakeClock:
    """Seconds that pass only when told to. Thread-safe."""

    def __init__(self, now_s: float = 100.0) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            return self._now_s

    def advance(self, by_s: float) -> None:
        with self._lock:
            self._now_s += by_s


@dataclass
class FakeState:
    """Buffers of one stream in a `FakeModel`."""

    size: tuple[int, int]
    seed: int
    memory: NDArray[np.uint8]
    waiting: list[NDArray[np.uint8]] = field(default_factory=list)
    must_reset: bool = False
    steps: int = 0

    @property
    def nbytes(self) -> int:
        return self.memory.nbytes


class FakeModel:
    """Paints by adding prompt, seed and a memory of all earlier frames to the source, so that any mixing-up shows.

    With no past and the prompt "red" at seed 0 a pixel becomes `source + (64, 0, 0)`, modulo 256.
    """

    def __init__(
        self,
        *,
        chunk_frames: int = 1,
        first_chunk_frames: int | None = None,
        lag: int = 0,
        efforts: tuple[float, ...] = (1.0, 0.75, 0.5),
        conditions: tuple[str, ...] = ("prompt",),
        options: tuple[ControlSpec, ...] = (),
        default_strength: float = 1.0,
        resets_in_flight: bool = False,
        warmup_frames: int = 0,
        still_area_px: int | None = None,
        on_step: Callable[[Chunk], None] | None = None,
        record: bool = True,
    ) -> None:
        self.spec = ModelSpec(
            name="fake",
            family="fake",
            summary="adds",
            licence="Apache-2.0",
            size_multiple=8,
            min_size=(8, 8),
            max_size=(512, 512),
            default_area_px=64 * 64,
            chunk_frames=chunk_frames,
            first_chunk_frames=first_chunk_frames,
            warmup_frames=warmup_frames,
            output_lag_frames=lag,
            denoising_steps=(1, 2, 4),
            efforts=efforts,
            conditions=conditions,
            styles=tuple(EMBEDS),
            default_strength=default_strength,
            resets_in_flight=resets_in_flight,
            options=options,
            still_area_px=still_area_px,
        )
        self.runtime = RuntimeInfo("fake", "CPU: none", "u8")
        self.device = Device(self.runtime.device)
        self.on_step = on_step
        self.record = record
        self.chunks: list[Chunk] = []
        self.resets: list[Keep] = []
        self.encoded: list[str] = []
        self.opened: list[tuple[int, int]] = []
        self._stepping = threading.Lock()

    def nbytes(self, size: tuple[int, int]) -> int:
        return size[0] * size[1] * 3 * 1024

    def open(self, size: tuple[int, int], *, seed: int = 0) -> FakeState:
        if size[0] % 8 or size[1] % 8:
            raise ControlError(f"{size} is no multiple of 8")
        self.opened.append(size)
        return FakeState(size, seed, np.zeros((size[1], size[0], 3), np.uint8))

    def encode_prompt(self, text: str) -> Prompt:
        self.encoded.append(text)
        if text not in EMBEDS:
            near = (("blue", 0.4), ("green", 0.1))
            return Prompt(text, np.zeros(3, np.float32), False, 0.4, near, f"no idea; near is {near[0][0]}")
        return Prompt(text, np.array(EMBEDS[text], np.float32), True, 0.9, ((text, 1.0),), f"taken as {text}")

    def encode_control(self, name: str, value: Any) -> Any:
        """Return the value that a step gets; for an encoded text, a prompt."""
        return self.encode_prompt(value) if isinstance(value, str) else (name, value.mean())

    def step(self, states: Sequence[Any], chunks: Sequence[Chunk]) -> list[StepResult]:
        assert self._stepping.acquire(blocking=False), "two steps of one model at the same time"
        try:
            return [self.result(self._step(state, chunk)) for state, chunk in zip(states, chunks, strict=True)]
        finally:
            self._stepping.release()

    def keeps_back(self) -> int:
        """Number of pictures that stay inside after a step."""
        return self.spec.output_lag_frames

    def result(self, rgb: NDArray[np.uint8]) -> StepResult:
        """Return the result of a step from its pictures; for models that add to it."""
        return StepResult(rgb)

    def _step(self, state: FakeState, chunk: Chunk) -> NDArray[np.uint8]:
        width, height = state.size
        assert chunk.rgb.shape == (self.spec.frames_of_chunk(state.steps), height, width, 3)
        state.steps += 1
        assert chunk.rgb.dtype == np.uint8
        assert not state.must_reset, "a failed state must be reset before use"
        if self.record:
            self.chunks.append(chunk)
        if self.on_step is not None:
            state.must_reset = True
            self.on_step(chunk)
            state.must_reset = False
        # The inputs of a frame are settled when it enters, and travel with it.
        embeds = chunk.embeds * chunk.strength
        if (negative := chunk.options.get("negative_prompt")) is not None:
            embeds = embeds - negative.embeds / 2
        for rgb in chunk.rgb:
            state.waiting.append(paint(rgb, embeds, state.seed, state.memory))
            state.memory = (state.memory // 2 + rgb // 2).astype(np.uint8)
        ready = max(0, len(state.waiting) - self.keeps_back())
        out, state.waiting = state.waiting[:ready], state.waiting[ready:]
        return np.array(out, np.uint8).reshape(ready, height, width, 3)

    def reset(self, state: FakeState, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        assert not self._stepping.locked(), "a reset during a step"
        assert keep != "inside" or self.spec.resets_in_flight
        self.resets.append(keep)
        state.must_reset = False
        state.steps = 0
        state.memory[:] = 0
        if keep != "inside":
            state.waiting.clear()
        if seed is not None:
            state.seed = seed


def paint(
    rgb: NDArray[np.uint8], embeds: NDArray[np.float32], seed: int = 0, memory: NDArray[np.uint8] | int = 0
) -> NDArray[np.uint8]:
    """Return one picture painted by `FakeModel`."""
    colour = np.rint(np.asarray(embeds) * 64).astype(np.int64)
    return ((rgb.astype(np.int64) + colour + seed * 3 + np.asarray(memory, np.int64)) % 256).astype(np.uint8)


def fail_on(
    *numbers: int, error: Callable[[], BaseException] = lambda: StepError("no more ink")
) -> Callable[[Chunk], None]:
    """Return a hook that fails at the given calls, counted from 0."""
    calls = iter(range(10**9))

    def hook(chunk: Chunk) -> None:
        if next(calls) in numbers:
            raise error()

    return hook


def picture(index: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Return a noisy picture, different for every index, of one scene."""
    width, height = size
    rng = np.random.default_rng(index)
    return rng.integers(0, 120, (height, width, 3), dtype=np.uint8)


def pictures(count: int, size: tuple[int, int] = SIZE, *, fps: int = 25, gaps: Sequence[int] = ()) -> list[Frame]:
    """Return frames of a source, without those whose indices are in `gaps`."""
    return [
        Frame(picture(index, size), index, index, Fraction(1, fps), 100.0 + index / fps)
        for index in range(count)
        if index not in gaps
    ]


class FakeSource(Source):
    """Source of given frames that may fail at its end, and that records its closing."""

    def __init__(
        self,
        frames: Sequence[Frame] | Iterator[Frame],
        *,
        size: tuple[int, int] = SIZE,
        fps: float | None = 25.0,
        live: bool = False,
        error: BaseException | None = None,
        before_frame: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(SourceInfo("fake", size, fps=fps, live=live))
        self.frames = frames
        self.error = error
        self.before_frame = before_frame
        self.delivered = 0
        self.closed = threading.Event()

    def _read(self) -> Iterator[Frame]:
        for frame in self.frames:
            if self.before_frame is not None:
                self.before_frame(frame.index)
            self.delivered += 1
            yield frame
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.closed.set()
        super().close()
