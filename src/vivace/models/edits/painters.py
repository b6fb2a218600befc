"""The painting model's memories in one stream: one for each look that is in the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Generic, Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.models.base import Chunk, Keep, KeepsMemory, Memory, PreparesEfforts, State, StepResult, StreamModel
from vivace.models.edits.places import EVERYTHING, PLACES
from vivace.models.edits.plan import Embeds, Layer

MOST_LOOKS = 2
"""Looks in one picture: each takes a pass of the network."""
REMEMBERED_FRAMES = 8
"""Frames that a look may be out of the picture, such as while its place is hidden, before its memory is begun anew."""
_SAME = 1e-4
"""Difference of two embeddings below which they are one look: they have been through a fade's rounding."""


class PaintingModel(StreamModel[State], KeepsMemory[State], PreparesEfforts[State], Protocol):
    """A model of single frames that keeps its memory and embeds prompts as vectors `[d]`: one that can be wrapped."""


@dataclass(slots=True, eq=False)
class _Painter(Generic[State]):
    state: State
    places: frozenset[str] = EVERYTHING
    """Places that it painted last, by which a look finds its memory again."""
    idle: int = 0
    """Frames since then."""


class Painters(Generic[State]):
    """Paints the looks of one stream's pictures; a look keeps its memory as long as it stays at its place."""

    def __init__(self, model: PaintingModel[State], size: tuple[int, int], seed: int) -> None:
        """Open the first memory for pictures of `(width, height)` px; errors are those of the painting model."""
        self._model, self._size, self._seed = model, size, seed
        self._all = [_Painter(model.open(size, seed=seed))]

    def paint(self, looks: Sequence[Layer], chunk: Chunk) -> list[StepResult]:
        """Return what each look makes of a chunk's picture; of more looks than can be painted the nearest stands in.

        To be called for every frame, with no look as well.
        """
        distinct: list[Layer] = []
        for look in sorted(looks, key=lambda look: -look.weight):
            same = next((other for other in distinct if _distance(other, look) < _SAME), None)
            if same is not None:
                distinct[distinct.index(same)] = replace(same, places=same.places | look.places)
            elif len(distinct) < MOST_LOOKS:
                distinct.append(look)
        working = self._assigned(distinct)
        for painter in self._all:
            painter.idle += painter not in working
        made = []
        for look, painter in zip(distinct, working, strict=True):
            if painter.idle > REMEMBERED_FRAMES:
                self._model.reset(painter.state)
            painter.places, painter.idle = look.places, 0
            [result] = self._model.step([painter.state], [replace(chunk, embeds=_embeds(look))])
            made.append(result)
        nearest = [min(range(len(distinct)), key=lambda at: _distance(distinct[at], look)) for look in looks]
        return [made[at] for at in nearest]

    def _assigned(self, looks: Sequence[Layer]) -> list[_Painter[State]]:
        """Return each look's memory: the one that was at its places lately, else the one used last, else a new one."""
        while len(self._all) < len(looks):
            self._all.append(self._opened())

        def fits(pair: tuple[int, _Painter[State]]) -> tuple[int, int]:
            look, painter = pair
            lately = painter.idle <= REMEMBERED_FRAMES
            return -lately * len(looks[look].places & painter.places), painter.idle

        found: dict[int, _Painter[State]] = {}
        for look, painter in sorted(product(range(len(looks)), self._all), key=fits):
            if look not in found and painter not in found.values():
                found[look] = painter
        return [found[look] for look in range(len(looks))]

    def _opened(self) -> _Painter[State]:
        return _Painter(self._model.open(self._size, seed=self._seed), frozenset())

    def prepare_efforts(self) -> None:
        """Get ready for all efforts."""
        for painter in self._all:
            self._model.prepare_efforts(painter.state)

    def save(self) -> dict[str, NDArray[Any]]:
        """Return what the next frame depends on."""
        kept: dict[str, NDArray[Any]] = {
            "places": np.array([[name in painter.places for name in PLACES] for painter in self._all], np.uint8),
            "idle": np.array([painter.idle for painter in self._all], np.int32),
        }
        for number, painter in enumerate(self._all):
            kept |= {f"{number}.{name}": array for name, array in self._model.save(painter.state).items()}
        return kept

    def restore(self, memory: Memory) -> None:
        """Take what `save` gave."""
        parts: list[dict[str, NDArray[Any]]] = [{} for _ in memory["idle"]]
        for name, array in memory.items():
            number, dot, own = name.partition(".")
            if dot:
                parts[int(number)][own] = array
        while len(self._all) < len(parts):
            self._all.append(self._opened())
        kept = zip(self._all, parts, memory["places"], memory["idle"], strict=True)
        for painter, part, places, idle in kept:
            self._model.restore(painter.state, part)
            painter.places = frozenset(name for name, there in zip(PLACES, places, strict=True) if there)
            painter.idle = int(idle)

    def reset(self, *, keep: Keep, seed: int | None) -> None:
        """Forget the past in place."""
        self._seed = self._seed if seed is None else seed
        for painter in self._all:
            self._model.reset(painter.state, keep=keep, seed=seed)
            painter.idle = 0


def _embeds(look: Layer) -> Embeds:
    assert look.embeds is not None
    return look.embeds


def _distance(first: Layer, second: Layer) -> float:
    return float(np.abs(_embeds(first) - _embeds(second)).sum())
