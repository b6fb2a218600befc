"""State of a stream whose network works at one of several sizes: buffers per effort, compiled when needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from vivace.models.camera_motion import CameraMotion
from vivace.runtime.exported import Arrays, Executor, Network

EFFORT_SCALES = (1.0, 0.8, 0.6)
"""Scale of the working side by effort level."""
EFFORTS = tuple(round(scale * scale, 2) for scale in EFFORT_SCALES)
"""Share of the full work by level, as in `ModelSpec.efforts`."""


class LevelBuffers(Protocol):
    """Buffers of one effort level."""

    executor: Executor | None
    """Executor, made when the level is first used."""

    @property
    def inputs(self) -> Arrays:
        """Inputs of the graph by name, written in place."""

    @property
    def nbytes(self) -> int:
        """Size of all buffers, bytes."""

    def forget(self) -> None:
        """Reset the memory of earlier frames; textures stay."""


Buffers = TypeVar("Buffers", bound=LevelBuffers)


@dataclass(slots=True)
class LevelState(Generic[Buffers]):
    """State of one stream: buffers for each effort level, and the level in use."""

    size: tuple[int, int]
    seed: int
    levels: tuple[Buffers, ...]
    motion: CameraMotion = field(default_factory=CameraMotion)
    level: int = 0

    @property
    def nbytes(self) -> int:
        """Size of all buffers, bytes."""
        return sum(buffers.nbytes for buffers in self.levels)

    def use(self, level: int) -> Buffers:
        """Return the buffers of a level, and make it the one in use."""
        if level != self.level:
            self.level = level
            # The memory of another working size is stale.
            self.levels[level].forget()
        return self.levels[level]

    def prepare(self, network: Network) -> None:
        """Compile a network for all levels in parallel."""
        network.prepare(*(buffers.inputs for buffers in self.levels))
        for buffers in self.levels:
            executor_of(buffers, network)


def executor_of(buffers: LevelBuffers, network: Network) -> Executor:
    """Return the executor of a network on a level's buffers; compiles if still necessary."""
    if buffers.executor is None:
        buffers.executor = network.executor(buffers.inputs)
    return buffers.executor
