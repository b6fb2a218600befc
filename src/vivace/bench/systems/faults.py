"""Planted faults: errors put into a sound system, which a benchmark must detect.

A metric that does not move when its fault is planted measures nothing. `vivace bench selfcheck` plants each fault and
reports the metrics that detected it; the tests check the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vivace.bench.metrics.footage import Frames
from vivace.bench.quality.cases import Task
from vivace.bench.systems.baselines import Forwarding, State
from vivace.bench.systems.system import (
    LiveSystem,
    ModelSystem,
    Painted,
    Request,
    System,
    SystemSpec,
    describe,
)
from vivace.models import load_model
from vivace.models.base import Chunk, StreamModel

if TYPE_CHECKING:  # another checkout's package may be older than this class
    from vivace.models.base import StepResult

FLICKER = 0.02
SHIFT_LEVELS = 3
DRIFT_A_MINUTE = 0.01


@dataclass(frozen=True, slots=True)
class Fault:
    """Fault in pictures, and the metric that must detect it."""

    key: str
    title: str
    task: Task
    metric: str
    plant: Callable[[Frames, Frames, Request], Frames]
    """Function of output, source and request that returns the faulty output."""


class Faulty(System):
    """System with a planted fault."""

    def __init__(self, system: System, fault: Fault) -> None:
        self._system = system
        self.fault = fault
        self.name = f"{system.name} + {fault.key}"
        self.about = f"{system.about}; planted: {fault.title}"

    def accepts(self, request: Request) -> str | None:
        """Reject tasks other than the one that must show the fault."""
        if request.task != self.fault.task:
            return f"the fault shows in {self.fault.task} cases"
        return self._system.accepts(request)

    def run(self, request: Request, source: Frames) -> Painted:
        """Repaint, then plant the fault."""
        sound = self._system.run(request, source)
        return Painted(self.fault.plant(sound.frames, source, request), sound.refused)


def _delay(output: Frames, source: Frames, request: Request) -> Frames:
    del source, request
    return np.concatenate([output[:1], output[:-1]])


def _flicker(output: Frames, source: Frames, request: Request) -> Frames:
    del source, request
    gains = np.where(np.arange(len(output)) % 2 == 0, 1 + FLICKER, 1 - FLICKER)
    return _gain(output, gains)


def _shift_outside(output: Frames, source: Frames, request: Request) -> Frames:
    del source
    assert request.mask is not None
    shifted = np.minimum(output[..., 0], 255 - SHIFT_LEVELS) + np.uint8(SHIFT_LEVELS)
    spoilt = output.copy()
    spoilt[..., 0] = np.where(request.mask, output[..., 0], shifted)
    return spoilt


def _drift(output: Frames, source: Frames, request: Request) -> Frames:
    del source
    minutes = np.arange(len(output)) / request.fps / 60.0
    return _gain(output, 1 + DRIFT_A_MINUTE * minutes)


def _gain(output: Frames, gains: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Frames:
    """Return frames multiplied by gains; one frame at a time, since there may be minutes of them."""
    # Dithered rounding: a slow drift is less than a level, and plain rounding would hide it in flat areas.
    dither = np.random.default_rng(0).random((*output.shape[1:3], 1), np.float32)
    spoilt = np.empty_like(output)
    for index, gain in enumerate(gains):
        spoilt[index] = np.clip(output[index] * gain + dither, 0, 255)
    return spoilt


LEAK_US = 20
LEAK = f"every frame takes {LEAK_US} µs longer than the one before"


def leaky_spec(model: str, threads: int | None = None) -> SystemSpec:
    """Return the spec of a model that gets slower and slower."""
    return SystemSpec(f"{model} + leak", "vivace.bench.systems.faults:open_leaky", {"model": model, "threads": threads})


def open_leaky(model: str, threads: int | None = None) -> LiveSystem:
    """Return a loaded model with a planted leak. Raises what `load_model` does."""
    leaky = LeakyModel(load_model(model, threads=threads))
    return ModelSystem(leaky, about=f"{LEAK}, {describe(leaky)}")


class LeakyModel(Forwarding[State]):
    """Model whose steps take longer and longer."""

    def __init__(self, model: StreamModel[State], sleep: Callable[[float], None] = time.sleep) -> None:
        super().__init__(model)
        self._sleep = sleep
        self._steps = 0

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each session by one chunk, after a growing delay."""
        self._steps += 1
        self._sleep(self._steps * LEAK_US / 1e6)
        return self.model.step(states, chunks)


FAULTS: tuple[Fault, ...] = (
    Fault("delay", "every picture comes one frame late", "style", "content_lag", _delay),
    Fault("flicker", "brightness alternates by ±2 %", "style", "flicker_ratio", _flicker),
    Fault("shift", f"red is {SHIFT_LEVELS} levels up outside the mask", "region", "untouched_psnr", _shift_outside),
    Fault("drift", "brightness grows by 1 % a minute", "drift", "drift_brightness", _drift),
)
