"""One model on the server: its weights, the engine that runs it, and its slots."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vivace.media.size import Size
from vivace.models.base import StreamModel
from vivace.serve.admission import Admission, Demand
from vivace.serve.costs import REMEMBERED_STEPS, StepCosts
from vivace.serve.engine import Engine
from vivace.serve.limits import RefusedError, free_memory_bytes
from vivace.serve.settings import ServeSettings
from vivace.serve.shape import MAX_LARGER_SIZES, USUAL, SizeList, larger_areas, output_size
from vivace.stream.fit import check_size
from vivace.stream.slot import ModelSlot, calibrate

_log = logging.getLogger(__name__)

Clock = Callable[[], float]

OPENING_STEPS = 2 + len(USUAL)
"""Steps of opening a model: its files, its pace, and a network for each usual shape."""
MEMORY_SHARE = 0.5
"""Share of the memory free at start; the rest is for networks, sockets, encoders and everybody else."""

NETWORK_STATES = 3
"""Memory of a new size, in states of a stream: a network takes up to two."""


SMALLER = 0.75
"""Factor of each side from one offered size to the next."""


class StepTime(NamedTuple):
    """Time of a step that was taken."""

    size: Size
    ms: float
    effort: float


@dataclass(slots=True)
class ServedModel:
    """A loaded model with everything its sessions share."""

    name: str
    model: StreamModel[Any]
    engine: Engine
    admission: Admission
    default_size: Size
    sizes: SizeList
    larger: SizeList
    """Sizes that outputs have grown to by themselves."""
    areas: tuple[float, ...] = ()
    """That they may grow to, see `shape.larger_areas`."""
    steps: deque[StepTime] = field(default_factory=lambda: deque(maxlen=REMEMBERED_STEPS))
    """Those that admission has not heard of. The engine's thread adds to it, and waits for no lock."""

    def tell_admission(self) -> None:
        """Let admission know how long steps take; under the manager's lock."""
        while self.steps:
            self.admission.costs.observe(*self.steps.popleft())

    @property
    def area_px(self) -> int:
        """Area of the output where a client names no size, px."""
        return self.default_size[0] * self.default_size[1]

    def natural_size(self, source: Size, area: float = 1.0) -> Size:
        """Return the output's `(width, height)` px for a source's, at `area` times the usual area."""
        return output_size(source, round(self.area_px * area), self.model.spec)

    def demand(self, size: Size, rate: float = 1.0) -> Demand:
        """Return what a session of `(width, height)` px asks for, at `rate` times the frames that others get."""
        return Demand(self.model.nbytes(size), size, rate, self._instead(size))

    def offer(self, session_id: str) -> Size | None:
        """Return the largest smaller size that a session which waits next could begin with; under the manager's lock.

        None where no smaller one would help, as where slots are decreed.
        """
        asked = self.admission.asked(session_id)
        if asked is None:
            return None
        smaller, size = [], asked.size
        while (step := self.model.spec.nearest_size(size[0] * SMALLER, size[1] * SMALLER)) != size:
            size = step
            smaller.append(self.demand(size, asked.rate))
        offered = self.admission.offer(smaller)
        return None if offered is None else offered.size

    def resize(self, session_id: str, size: Size) -> None:
        """Give a session room for a size that its client asks for; under the manager's lock.

        Raises:
            ControlError: it is too large.
            RefusedError: there is no room for it.
        """
        self.sizes.allow(size)
        asked = self.admission.asked(session_id)
        if asked is None or not self.admission.resize(session_id, self.demand(size, asked.rate)):
            raise RefusedError(
                "memory",
                f"there is no room for {size[0]}x{size[1]} px while others are painted; choose a smaller size",
            )

    def grow(self, session_id: str, size: Size) -> None:
        """Give a session room that nobody else needs, for a size that nobody has asked for; under the manager's lock.

        Raises:
            ControlError: it is too large.
            RefusedError: there is no such room.
        """
        state_bytes = self.model.nbytes(size)
        if size not in self.sizes:
            self.larger.allow(size)
            if free_memory_bytes() < NETWORK_STATES * state_bytes:
                raise RefusedError("memory", f"there is no memory for a network of {size[0]}x{size[1]} px")
        if not self.admission.grow(session_id, state_bytes, self.model.nbytes(self.default_size)):
            raise RefusedError("memory", f"other sessions may need the memory that {size[0]}x{size[1]} px take")

    def _instead(self, size: Size) -> str:
        limit = self.admission.memory_limit_bytes
        while self.model.nbytes(size) > limit:
            size, before = self.model.spec.nearest_size(size[0] / 2, size[1] / 2), size
            if size == before:
                return "another model, since this one fits at no size"
        return f"{size[0]}x{size[1]}"


def open_model(
    settings: ServeSettings,
    name: str,
    load_model: Callable[[str], StreamModel[Any]],
    clock: Clock,
    told: Callable[[int], None] = lambda _done: None,
) -> ServedModel:
    """Load a model, measure it, and start its engine; takes seconds, and tells how many of `OPENING_STEPS` are done.

    Raises:
        UnknownModelError: no such profile.
        DeviceError: this machine cannot run it.
    """
    model = load_model(name)
    told(1)
    size = check_size(settings.size, model.spec)
    sizes = SizeList(max(settings.max_output_px, size[0] * size[1]))
    sizes.allow(size)
    step_ms = calibrate(model, size, clock)
    for done, aspect in enumerate(USUAL, start=2):
        told(done)
        usual = output_size(aspect, size[0] * size[1], model.spec)
        sizes.allow(usual)
        ModelSlot(model, usual, 0).close()
    limit_mib = settings.memory_limit_mib
    admission = Admission(
        slots=settings.slots,
        frame_ms=1e3 / settings.min_fps,
        memory_limit_bytes=int(free_bytes(model) * MEMORY_SHARE) if limit_mib is None else limit_mib * 2**20,
        queue_length=settings.queue_length,
        costs=StepCosts(size, step_ms),
    )
    engine = Engine(name, clock)
    engine.start()
    _log.info("%s is ready: %.1f ms a step at %dx%d, sessions at once: %d", name, step_ms, *size, admission.slots)
    base_px = size[0] * size[1]
    most_px = min(math.prod(settings.dynamic_size or size), math.prod(model.spec.max_size))
    larger = SizeList(most_px + most_px // 8, MAX_LARGER_SIZES)  # a shape's sides are rounded to the model's multiple
    return ServedModel(name, model, engine, admission, size, sizes, larger, larger_areas(base_px, most_px))


def free_bytes(model: StreamModel[Any]) -> int:
    """Return how much memory there is for the streams of a model: its device's own, or this machine's."""
    of_device = model.device.free_bytes()
    return free_memory_bytes() if of_device is None else of_device
