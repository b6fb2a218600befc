"""A model that paints whole pictures, made one that edits at places: paints, tints, blurs or fills there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vivace.models.base import (
    Chunk,
    Keep,
    KeepsMemory,
    Memory,
    PreparesEfforts,
    Prompt,
    State,
    StepResult,
    StreamModel,
)
from vivace.models.edits import paint
from vivace.models.edits.behind import Behind
from vivace.models.edits.controls import CONTROLS, PLACE
from vivace.models.edits.places import EVERYTHING, Mask, both, coverage, needed, parts_of
from vivace.models.edits.plan import Layer, Layers, PlaceEdit, Plan, read_plan, to_plan
from vivace.models.edits.prompts import MOST_LOOKS, encode
from vivace.models.prompt_cache import PromptCache
from vivace.models.thumbnail import thumbnail_of
from vivace.regions.finder import Found, RegionFinder

_SEEN_BLUR = 0.2
"""Amount below which a blur fades instead of getting weaker: it is computed on a coarse grid, which blurs by itself."""
_SETTLING = 0.15
"""Share of the newest frame in the mean light of a tinted place, which else would flicker with its mask."""


class Finder(Protocol):
    """What finds places in the pictures of one stream, see `RegionFinder`."""

    def find(self, rgb: NDArray[np.uint8], wanted: frozenset[str]) -> Mapping[str, Found]:
        """Return where the places are in the next picture `uint8 [h w 3]`."""

    def reset(self) -> None:
        """Forget the pictures before."""


class PaintingModel(StreamModel[State], KeepsMemory[State], PreparesEfforts[State], Protocol):
    """What can be wrapped: a model of single frames that keeps its memory, and embeds prompts as vectors `[d]`."""


@dataclass(slots=True)
class EditState(Generic[State]):
    """One stream."""

    size: tuple[int, int]
    seed: int
    painters: list[State]
    """Of the painting model, one for each look that is in the picture."""
    finder: Finder
    plan: Plan | None = None
    """The newest, and what it asks for."""
    layers: Layers = field(default_factory=lambda: Layers((), (), (), (), (), {}))
    light: dict[frozenset[str], float] = field(default_factory=dict)
    """Mean light of the places that are tinted."""
    behind: Behind = field(default_factory=Behind)
    """What was seen behind things that are gone."""

    def read(self, plan: Plan) -> Layers:
        """Return what a plan asks for."""
        if plan is not self.plan:
            self.plan, self.layers = plan, read_plan(plan)
        return self.layers


class EditingModel(Generic[State]):
    """Edits at places around a painting model. Its verbs may be called as those of that model."""

    def __init__(self, painter: PaintingModel[State], find: Callable[[tuple[int, int]], Finder] = RegionFinder) -> None:
        """Edit with what `painter` paints; `find` opens what finds places in a stream of `(width, height)` px."""
        self.painter = painter
        self._find = find
        self.spec = replace(painter.spec, options=(*painter.spec.options, *CONTROLS))
        self.runtime, self.device = painter.runtime, painter.device
        self._prompts = PromptCache(lambda text: encode(text, painter.encode_prompt))

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that a stream of `size = (width, height)` takes: that of one with several looks."""
        return MOST_LOOKS * self.painter.nbytes(size)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> EditState[State]:
        """Open one stream; errors are those of the painting model."""
        return EditState(size, seed, [self.painter.open(size, seed=seed)], self._find(size))

    def prepare_efforts(self, state: EditState[State]) -> None:
        """Get ready for all efforts."""
        for painter in state.painters:
            self.painter.prepare_efforts(painter)

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a request as a plan; the last few hundred are remembered."""
        return self._prompts.encode(text)

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> Plan | None:
        """Return the plan under a prompt and the place that the user chose; None for the source untouched."""
        place = options.get(PLACE.name, PLACE.default)
        if prompt is None or place == PLACE.default:
            return None if prompt is None else prompt.embeds
        [look, *others] = read_plan(prompt.embeds).all or (None,)
        if others or look is None or look.embeds is None or look.places != EVERYTHING:
            return prompt.embeds
        there = PlaceEdit(look.embeds, look.weight)
        return to_plan(dict.fromkeys(parts_of(place), there), len(look.embeds))

    def step(self, states: Sequence[EditState[State]], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each stream by a frame."""
        return [self._step(state, chunk) for state, chunk in zip(states, chunks, strict=True)]

    def _step(self, state: EditState[State], chunk: Chunk) -> StepResult:
        layers = state.read(chunk.embeds)
        match layers:
            case Layers(
                looks=(Layer(places=places, weight=weight, embeds=embeds),), tints=(), blurs=(), fills=(), gone=()
            ) if places == EVERYTHING and weight == 1 and not layers.present and embeds is not None:
                [result] = self.painter.step(state.painters[:1], [replace(chunk, embeds=embeds)])
                return result
        chunk.check(state.size)
        return _Edit(self.painter, state, chunk).result()

    def save(self, state: EditState[State]) -> Memory:
        """Return what the next frame depends on; where places are is found anew."""
        return {
            f"{number}.{name}": array
            for number, painter in enumerate(state.painters)
            for name, array in self.painter.save(painter).items()
        }

    def restore(self, state: EditState[State], memory: Memory) -> None:
        """Take what `save` gave."""
        parts: dict[int, dict[str, NDArray[Any]]] = {}
        for name, array in memory.items():
            number, _, own = name.partition(".")
            parts.setdefault(int(number), {})[own] = array
        for at in sorted(parts):
            self.painter.restore(painter_of(self.painter, state, at), parts[at])

    def reset(self, state: EditState[State], *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream in place."""
        for painter in state.painters:
            self.painter.reset(painter, keep=keep, seed=seed)
        if seed is not None:
            state.seed = seed
        state.finder.reset()
        state.light.clear()
        state.behind.forget()


def painter_of(model: PaintingModel[State], state: EditState[State], number: int) -> State:
    """Return the painting model's state for look `number` of a stream, opened when it is first needed."""
    while len(state.painters) <= number:
        state.painters.append(model.open(state.size, seed=state.seed))
    return state.painters[number]


class _Edit(Generic[State]):
    """One frame of a stream, edited at places."""

    def __init__(self, model: PaintingModel[State], state: EditState[State], chunk: Chunk) -> None:
        self._model, self._state, self._chunk = model, state, chunk
        self._layers = state.layers
        self._source = Image.fromarray(chunk.rgb[0])
        present = self._layers.present.keys()
        wanted = frozenset[str]().union(*(needed(layer.places, present) for layer in self._layers.all))
        self._found = {name: each.mask for name, each in state.finder.find(chunk.rgb[0], wanted).items()}
        self._edited: Mask | None = np.zeros(state.size[::-1], np.uint8)

    def result(self) -> StepResult:
        picture = self._without_what_is_gone()
        for tint in self._layers.tints:
            assert tint.rgb is not None
            picture = self._lay(picture, paint.tinted(picture, tint.rgb, self._light(tint)), tint)
        for blur in self._layers.blurs:
            mask = self._mark(blur)
            seen = paint.faded(mask, blur.weight / _SEEN_BLUR, self._state.size)
            picture = paint.over(picture, paint.blurred(picture, blur.weight, mask), seen)
        for fill in self._layers.fills:
            assert fill.rgb is not None
            red, green, blue = (round(255 * part) for part in fill.rgb)
            picture = self._lay(picture, Image.new("RGB", picture.size, (red, green, blue)), fill)
        picture = self._painted(picture)
        rgb = np.array(picture)[None]
        work = None if self._layers.looks else 0.0
        if self._edited is None:
            return StepResult(rgb, work=work)
        # The picture is blended already: where anything was done all of it counts, elsewhere the source stays exactly.
        return StepResult(rgb, np.where(self._edited > 0, np.uint8(255), np.uint8(0))[None], work)

    def _without_what_is_gone(self) -> Image.Image:
        """Return the source with what was seen behind things instead of them."""
        picture = self._source
        for layer in self._layers.gone:
            mask = self._mark(layer)
            hole = np.full(self._state.size[::-1], 255, np.uint8) if mask is None else paint.grown(mask)
            self._edited = both(self._edited, hole)
            seen = self._state.behind.seen(self._source, hole, thumbnail_of(self._chunk, 0))
            picture = paint.over(picture, seen, paint.faded(hole, layer.weight, self._state.size))
        return picture

    def _painted(self, picture: Image.Image) -> Image.Image:
        """Return the picture with every look where it belongs; what is nowhere is not painted."""
        masks = [paint.faded(self._mark(look), look.weight, self._state.size) for look in self._layers.looks]
        seen = [
            (look, mask) for look, mask in zip(self._layers.looks, masks, strict=True) if mask is None or mask.any()
        ]
        # More looks than can be painted are there for the length of a fade alone: they are seen as the nearest one.
        strongest = sorted((look for look, _ in seen), key=lambda look: -look.weight)[:MOST_LOOKS]
        chunk = replace(self._chunk, rgb=np.asarray(picture)[None])
        made = []
        for number, look in enumerate(look for look, _ in seen if look in strongest):
            assert look.embeds is not None
            painter = painter_of(self._model, self._state, number)
            [result] = self._model.step([painter], [replace(chunk, embeds=look.embeds)])
            made.append((look, Image.fromarray(result.rgb[0])))
        nearest = [min(made, key=lambda other: _distance(other[0], look))[1] for look, _ in seen]
        return paint.laid(picture, [(painted, mask) for painted, (_, mask) in zip(nearest, seen, strict=True)])

    def _lay(self, picture: Image.Image, edited: Image.Image, layer: Layer) -> Image.Image:
        return paint.over(picture, edited, paint.faded(self._mark(layer), layer.weight, self._state.size))

    def _mask(self, layer: Layer) -> Mask | None:
        return coverage(layer.places, self._layers.present.keys(), self._found.__getitem__, self._state.size)

    def _mark(self, layer: Layer) -> Mask | None:
        """Return where a layer is, and note that something is done there."""
        mask = self._mask(layer)
        self._edited = both(self._edited, mask)
        return mask

    def _light(self, layer: Layer) -> float:
        """Return the mean light of a place, settled over time."""
        known = self._state.light
        now = paint.mean_light(self._source, self._mask(layer))
        known[layer.places] = now = known.get(layer.places, now) + _SETTLING * (now - known.get(layer.places, now))
        return now


def _distance(first: Layer, second: Layer) -> float:
    assert first.embeds is not None
    assert second.embeds is not None
    return float(np.abs(first.embeds - second.embeds).sum())
