"""The model: each picture in few colours, which a prompt chooses, and edges that stay for a while."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from vivace.checkpoints.profile import Profile
from vivace.models import Chunk, LoadOptions, ModelSpec, Prompt
from vivace.models.base import Keep, RuntimeInfo, StepResult
from vivace.runtime.device import Device

PALETTES: dict[str, NDArray[np.float32]] = {
    "poster": np.array([[25, 30, 60], [200, 60, 50], [240, 190, 80], [250, 245, 230]], np.float32),
    "riso": np.array([[0, 60, 110], [230, 70, 110], [255, 225, 0], [250, 250, 245]], np.float32),
    "night": np.array([[5, 5, 20], [30, 30, 80], [80, 90, 160], [200, 210, 240]], np.float32),
}
"""Four colours of each style, dark to light, RGB."""


@dataclass
class State:
    """Memory of one stream: the levels of the last picture, so that areas do not flicker."""

    size: tuple[int, int]
    levels: NDArray[np.float32] | None = None

    @property
    def nbytes(self) -> int:
        """Size of the memory, bytes."""
        return 4 * self.size[0] * self.size[1]


class PosteriseModel:
    """`StreamModel` of this family; the contract is `vivace.models.base.StreamModel`."""

    def __init__(self, profile: Profile) -> None:
        self.spec = ModelSpec(
            name=profile.name,
            family=profile.family,
            summary=profile.summary,
            licence=profile.licence,
            size_multiple=2,
            min_size=(16, 16),
            max_size=(4096, 4096),
            default_area_px=512 * 288,
            chunk_frames=1,
            warmup_frames=0,
            output_lag_frames=0,
            denoising_steps=(1,),
            efforts=(1.0,),
            conditions=("prompt",),
            styles=tuple(PALETTES),
        )
        self.runtime = RuntimeInfo("numpy", "CPU", "f32")
        self.device = Device("CPU")

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that the state of a stream of this size takes."""
        return State(size).nbytes

    def open(self, size: tuple[int, int], *, seed: int = 0) -> State:  # noqa: ARG002  (nothing here is random)
        """Return the state of one stream."""
        return State(size)

    def encode_prompt(self, text: str) -> Prompt:
        """Return the palette that a prompt names; palettes are embeddings, so a stream may fade between them."""
        named = [name for name in PALETTES if name in text.lower()]
        if not named:
            near = get_close_matches(text.lower(), PALETTES, 1, 0.0)[0]
            message = f"I paint {', '.join(PALETTES)}; the nearest is {near}."
            return Prompt(text, PALETTES[near].ravel(), False, 0.0, ((near, 0.5),), message)
        mixed = np.mean([PALETTES[name] for name in named], axis=0, dtype=np.float32)
        matches = tuple((name, 1 / len(named)) for name in named)
        return Prompt(text, mixed.ravel(), True, 1.0, matches, f"Taken for {' and '.join(named)}.")

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Return the painted pictures of each stream after one frame more."""
        return [StepResult(self._paint(state, chunk)[None]) for state, chunk in zip(states, chunks, strict=True)]

    def reset(self, state: State, *, keep: Keep = "nothing", seed: int | None = None) -> None:  # noqa: ARG002
        """Forget the past of a stream."""
        state.levels = None

    def _paint(self, state: State, chunk: Chunk) -> NDArray[np.uint8]:
        palette = chunk.embeds.reshape(4, 3)
        brightness = chunk.rgb[0] @ np.array([0.299, 0.587, 0.114], np.float32) / 64
        if state.levels is not None:  # a level changes when the brightness has clearly left it
            brightness = np.where(np.abs(brightness - state.levels - 0.5) < 0.6, state.levels + 0.5, brightness)
        state.levels = np.clip(np.floor(brightness), 0, 3).astype(np.float32)
        return np.rint(palette[state.levels.astype(np.intp)]).astype(np.uint8)


def load(profile: Profile, *, runtime: str | None, threads: int | None, options: LoadOptions) -> PosteriseModel:  # noqa: ARG001
    """Load the model of a profile; there are no weights here."""
    return PosteriseModel(profile)
