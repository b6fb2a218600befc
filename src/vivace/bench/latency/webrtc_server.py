"""Server with a model of a given step time; its arguments are MODEL STEP_MS SLOTS."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vivace.bench.systems.baselines import Forwarding, State
from vivace.models import load_model
from vivace.models.base import Chunk, StreamModel

if TYPE_CHECKING:  # another checkout's package may be older than this class
    from vivace.models.base import StepResult


class SlowModel(Forwarding[State]):
    """Model whose every step is stretched to the same time, to simulate a slower machine."""

    def __init__(
        self,
        model: StreamModel[State],
        step_ms: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(model)
        self._step_s = step_ms / 1000.0
        self._clock = clock
        self._sleep = sleep

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each session by one chunk, and sleep for the rest of the time."""
        began_s = self._clock()
        made = self.model.step(states, chunks)
        self._sleep(max(0.0, self._step_s * len(states) - (self._clock() - began_s)))
        return made


def main(argv: Sequence[str]) -> int:
    """Serve until stopped."""
    from vivace.serve.main import serve
    from vivace.serve.settings import ServeSettings

    name, step_ms, slots = argv[0], float(argv[1]), int(argv[2])
    settings = ServeSettings(port=0, models=[name], slots=slots, dynamic_size=None)
    return serve(settings, load_model=lambda model: SlowModel(load_model(model, threads=settings.threads), step_ms))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
