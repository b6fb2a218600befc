"""A stream whose network works at one of several sizes: buffers for each effort, compiled for when they are needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from vivace.models.camera_motion import CameraMotion
from vivace.runtime.exported import Arrays, Executor, Network

EFFORT_SCALES = (1.0, 0.8, 0.6)
"""Working side by effort level."""
EFFORTS = tuple(round(scale * scale, 2) for scale in EFFORT_SCALES)
"""The share of the full work that each level is, as `ModelSpec.efforts` has it."""


class LevelBuffers(Protocol):
    """The buffers of one effort level."""

    executor: Executor | None
    """Made when the level is first used."""

    @property
    def inputs(self) -> Arrays:
        """The graph's inputs by name, in place."""

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""

    def forget(self) -> None:
        """Forget the frames before; textures stay."""


Buffers = TypeVar("Buffers", bound=LevelBuffers)


@dataclass(slots=True)
class LevelState(Generic[Buffers]):
    """One stream: buffers for each effort level, and which is in use."""

    size: tuple[int, int]
    seed: int
    levels: tuple[Buffers, ...]
    motion: CameraMotion = field(default_factory=CameraMotion)
    level: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(buffers.nbytes for buffers in self.levels)

    def use(self, level: int) -> Buffers:
        """Return the buffers of a level, which is in use from now on."""
        if level != self.level:
            self.level = level
            # What another working size remembers is stale.
            self.levels[level].forget()
        return self.levels[level]

    def prepare(self, network: Network) -> None:
        """Compile a network for every level, several at once."""
        network.prepare(*(buffers.inputs for buffers in self.levels))
        for buffers in self.levels:
            executor_of(buffers, network)


def executor_of(buffers: LevelBuffers, network: Network) -> Executor:
    """Return what runs a network on the buffers of a level; compiles where that is still to be done."""
    if buffers.executor is None:
        buffers.executor = network.executor(buffers.inputs)
    return buffers.executor
