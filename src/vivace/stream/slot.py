"""State of one stream in a model: steps take the device's turn, and results are checked against what went in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, Generic, cast

import numpy as np
from numpy.typing import NDArray

from vivace.errors import StepError
from vivace.media.size import Size
from vivace.models.base import (
    NOTHING,
    Chunk,
    Keep,
    KeepsMemory,
    Memory,
    ModelSpec,
    OpensWithOptions,
    PreparesEfforts,
    State,
    StepResult,
    StreamModel,
)
from vivace.models.capacity import memory_for

CALIBRATION_STEPS = 5
"""Timed steps, after a first one that may compile."""


class ModelSlot(Generic[State]):
    """A model opened for one stream. Used by one thread at a time; slots of one model take turns by themselves."""

    def __init__(
        self,
        model: StreamModel[State],
        size: Size,
        seed: int,
        options: Mapping[str, Any] = NOTHING,
        *,
        at_once: bool = True,
    ) -> None:
        """Open the model for output of `(width, height)` px, in any thread; not `at_once`, with the first step.

        `options` are the model's own controls; those of scope `stream` are fixed by this call.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory; the message says what would fit.
        """
        self.size = size
        self.seed = seed
        """Seed of the noise; a new value takes effect at the next `forget`."""
        self._model = model
        self._options = options
        self._state: State | None = None
        self._closed = False
        self._fed = self._given = 0
        model.spec.check_size(size)
        if at_once:
            self._state = self._opened()

    def _opened(self) -> State:
        model, size, seed = self._model, self.size, self.seed
        settled = [option.name for option in model.spec.options if option.scope == "stream"]
        with memory_for(model, size):
            if not settled:
                return model.open(size, seed=seed)
            options = {name: self._options[name] for name in settled if name in self._options}
            return cast(OpensWithOptions[State], model).open(size, seed=seed, options=options)

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model."""
        return self._model.spec

    @property
    def used(self) -> bool:
        """True if the model's memory holds anything."""
        return self._fed > 0

    @property
    def _open_state(self) -> State:
        assert not self._closed, "the slot is closed"
        if self._state is None:
            self._state = self._opened()
        return self._state

    def step(self, chunk: Chunk) -> StepResult:
        """Return the pictures that are ready after one chunk.

        Raises:
            CapacityError: memory ran out; the message says what would fit.
            StepError: the result breaks the model's contract: wrong shape or type, more pictures than are inside, fewer
                than `output_lag_frames` allows, or a mask of another length.
            Exception: any other failure of the model; `forget` must be called before the next step.
        """
        self._fed += len(chunk.rgb)
        with memory_for(self._model, self.size):
            results = self._model.device.in_turn(self._model.step, [self._open_state], [chunk])
        if len(results) != 1:
            raise StepError(f"{self.spec.name} returned {len(results)} results of one stream")
        [result] = results
        if not isinstance(result, StepResult):
            raise StepError(f"{self.spec.name} returned {type(result).__name__} instead of a StepResult")
        self._check(result)
        self._given += len(result.rgb)
        return result

    def _check(self, result: StepResult) -> None:
        name, inside = self.spec.name, self._fed - self._given
        rgb, edited = result.rgb, result.edited
        wanted = (self.size[1], self.size[0], 3)
        if rgb.dtype != np.uint8 or rgb.ndim != 4 or rgb.shape[1:] != wanted:
            raise StepError(f"{name} returned {_shape(rgb)} instead of uint8 {('n', *wanted)}")
        least, most = max(0, inside - self.spec.output_lag_frames), inside
        if not least <= len(rgb) <= most:
            raise StepError(f"{name} returned {len(rgb)} pictures; {least} to {most} of the {inside} it holds are due")
        if isinstance(edited, str) and edited not in ("all", "none"):
            raise StepError(f"{name} returned edited={edited!r} instead of 'all', 'none' or a mask")
        if result.work is not None and not 0 <= result.work <= 1:  # false for NaN, too
            raise StepError(f"{name} returned work={result.work!r} instead of a share from 0 to 1")
        if not isinstance(edited, str) and (
            edited.dtype != np.uint8 or edited.ndim != 3 or len(edited) != len(rgb) or edited.size < len(rgb)
        ):
            raise StepError(f"{name} returned a mask {_shape(edited)} for {len(rgb)} pictures instead of uint8 [n h w]")
        alpha = result.alpha
        if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != rgb.shape[:3]):
            raise StepError(f"{name} returned an alpha {_shape(alpha)} instead of uint8 {rgb.shape[:3]}")

    def prepare_efforts(self) -> None:
        """Prepare the model for all its efforts, in the caller's thread; may take seconds."""
        if isinstance(self._model, PreparesEfforts):
            self._model.prepare_efforts(self._open_state)

    @property
    def keeps_memory(self) -> bool:
        """True if `save` and `restore` may be called."""
        return isinstance(self._model, KeepsMemory)

    def save(self) -> Memory:
        """Return the model's memory of this stream."""
        model = cast(KeepsMemory[State], self._model)
        return self._model.device.in_turn(model.save, self._open_state)

    def restore(self, memory: Memory) -> None:
        """Restore what `save` returned for the same model, size and seed."""
        model = cast(KeepsMemory[State], self._model)
        self._model.device.in_turn(model.restore, self._open_state, memory)
        self._fed = self._given = 1  # there is memory to reset, and no frame is inside

    def forget(self, keep: Keep = "nothing") -> None:
        """Reset the memory of this stream, with the present `seed`.

        With `inside`, pictures still in the model come out and stay counted.
        """
        if self._state is not None or self._closed:  # another will be opened with the present seed
            self._model.device.in_turn(self._model.reset, self._open_state, keep=keep, seed=self.seed)
        if keep != "inside":
            self._fed = self._given = 0

    def close(self) -> None:
        """Free the buffers."""
        self._closed = True
        self._state = None


def calibrate(model: StreamModel[Any], size: Size, clock: Callable[[], float] = time.monotonic) -> float:
    """Return the median time of a step per frame at full effort, ms, from a few chunks of noise."""
    rng = np.random.default_rng(0)
    slot = ModelSlot(model, size, 0)
    slot.prepare_efforts()
    embeds = model.encode_prompt(_any_prompt(model.spec)).embeds
    times_ms = []
    for number in range(1 + CALIBRATION_STEPS):
        chunk = Chunk(
            rng.integers(0, 256, (model.spec.frames_of_chunk(number), size[1], size[0], 3), np.uint8),
            embeds,
            model.spec.denoising_steps[0],
            model.spec.efforts[0],
            strength=model.spec.default_strength,
        )
        began_s = clock()
        slot.step(chunk)
        times_ms.append((clock() - began_s) * 1e3)
    slot.close()
    return median(times_ms[1:]) / model.spec.chunk_frames


def _any_prompt(spec: ModelSpec) -> str:
    return spec.styles[0] if spec.styles else "painting"


def _shape(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} {array.shape}"
