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
from vivace.serve.admission import REMEMBERED_STEPS, Admission, Demand
from vivace.serve.engine import Engine
from vivace.serve.limits import RefusedError, free_memory_bytes
from vivace.serve.settings import ServeSettings
from vivace.serve.shape import MAX_LARGER_SIZES, USUAL, SizeList, larger_areas, output_size
from vivace.stream.fit import check_size
from vivace.stream.slot import ModelSlot, calibrate

_log = logging.getLogger(__name__)

Clock = Callable[[], float]

OPENING_STEPS = 2 + len(USUAL)
"""Of opening a model: its files, its pace, and a network for each usual shape."""
MEMORY_SHARE = 0.5
"""Of what is free at start; the rest is for networks, sockets, encoders and everybody else."""

NETWORK_STATES = 3
"""What a size takes that is new, in states of a stream: a network takes up to two."""


class StepTime(NamedTuple):
    """What a step took."""

    ms: float
    weight: float
    """Of its session, see `ServedModel.weight`."""
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
            self.admission.observe(*self.steps.popleft())

    @property
    def area_px(self) -> int:
        """Of the output where a client names no size."""
        return self.default_size[0] * self.default_size[1]

    def natural_size(self, source: Size, area: float = 1.0) -> Size:
        """Return the output's `(width, height)` px for a source's, at `area` times the usual area."""
        return output_size(source, round(self.area_px * area), self.model.spec)

    def demand(self, size: Size) -> Demand:
        """Return what a session of `(width, height)` px asks for."""
        return Demand(self.model.nbytes(size), self.weight(size), self._instead(size))

    def resize(self, session_id: str, size: Size) -> None:
        """Give a session room for a size that its client asks for; under the manager's lock.

        Raises:
            ControlError: it is too large.
            RefusedError: there is no room for it.
        """
        self.sizes.allow(size)
        if not self.admission.resize(session_id, self.demand(size)):
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

    def weight(self, size: Size) -> float:
        """Return the time of a step at `(width, height)` px, in steps at the default size; small ones count as one."""
        return max(1.0, size[0] * size[1] / self.area_px)


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
        step_ms=step_ms,
    )
    engine = Engine(name, clock)
    engine.start()
    _log.info("%s is ready: %.1f ms a step at %dx%d, sessions at once: %d", name, step_ms, *size, admission.slots)
    base_px = size[0] * size[1]
    most_px = math.prod(settings.dynamic_size or size)
    larger = SizeList(most_px + most_px // 8, MAX_LARGER_SIZES)  # a shape's sides are rounded to the model's multiple
    return ServedModel(name, model, engine, admission, size, sizes, larger, larger_areas(base_px, most_px))


def free_bytes(model: StreamModel[Any]) -> int:
    """Return how much memory there is for the streams of a model: its device's own, or this machine's."""
    of_device = model.device.free_bytes()
    return free_memory_bytes() if of_device is None else of_device
