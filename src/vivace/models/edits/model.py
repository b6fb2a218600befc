"""A model that edits at places: it tints, blurs, fills, and lays what another model painted where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vivace.models.base import Cached, Chunk, ComposesLook, EncodesControls, Keep, Memory, Prompt, State, StepResult
from vivace.models.edits import paint
from vivace.models.edits.behind import Behind
from vivace.models.edits.controls import BACKGROUND, CONTROLS, MATTE, PLACE
from vivace.models.edits.painters import MOST_LOOKS, Painters, PaintingModel
from vivace.models.edits.places import Mask, both, coverage, faded, named, needed, parts_of
from vivace.models.edits.plan import (
    Embeds,
    Layer,
    Layers,
    Plan,
    behind_people,
    confined,
    read_plan,
    to_plan,
    with_looks,
)
from vivace.models.edits.prompts import encode, whole_request
from vivace.models.prompt_cache import PromptCache
from vivace.models.thumbnail import thumbnail_of
from vivace.regions.finder import Found, RegionFinder
from vivace.regions.pick import pick

_SEEN_BLUR = 0.2
"""Amount below which a blur fades instead of getting weaker: it is computed on a coarse grid, which blurs by itself."""
_SETTLING = 0.15
"""Share of the newest frame in the mean light of a tinted place, which else would flicker with its mask."""


class Finder(Protocol):
    """A finder of places in the pictures of one stream, see `RegionFinder`."""

    def find(self, rgb: NDArray[np.uint8], wanted: frozenset[str]) -> Mapping[str, Found]:
        """Return where the places are in the next picture `uint8 [h w 3]`."""

    def reset(self) -> None:
        """Forget the pictures before."""


@dataclass(slots=True)
class EditState(Generic[State]):
    """One stream."""

    size: tuple[int, int]
    """`(width, height)`, px."""
    painters: Painters[State]
    finder: Finder
    plan: Plan | None = None
    """The newest plan, which `layers` were read from."""
    layers: Layers = field(default_factory=Layers)
    light: dict[frozenset[str], float] = field(default_factory=dict)
    """Mean light of the places that were tinted in the last frame, linear, 0 to 1."""
    behind: Behind = field(default_factory=Behind)
    looking: bool = False
    """True once the finder has seen a picture that is remembered."""
    users: tuple[NDArray[np.uint8], Image.Image] | None = None
    """The user's picture as it was given, and as large as the stream's."""

    def read(self, plan: Plan) -> Layers:
        """Return what a plan asks for."""
        if plan is not self.plan:
            self.plan, self.layers = plan, read_plan(plan)
        return self.layers

    def users_picture(self, given: NDArray[np.uint8]) -> Image.Image:
        """Return a picture `uint8 [h w 3]` of the user's, scaled to cover the stream's."""
        if self.users is None or self.users[0] is not given:
            self.users = given, ImageOps.fit(Image.fromarray(given), self.size)
        return self.users[1]

    def forget_places(self) -> None:
        """Forget where things were and what was behind them; a frame that is not looked at leaves nothing to go on."""
        if self.looking:
            self.looking = False
            self.finder.reset()
            self.light.clear()
            self.behind.forget()


class EditingModel(Generic[State]):
    """Edits at places around a painting model. Its verbs may be called as those of that model."""

    def __init__(
        self,
        painter: PaintingModel[State],
        find: Callable[[tuple[int, int]], Finder] | None = None,
        *,
        threads: int | None = None,
    ) -> None:
        """Edit with what `painter` paints.

        Args:
            painter: the painting model.
            find: opens the finder for a stream of `(width, height)` px; a `RegionFinder` by default.
            threads: CPU threads of that, all by default.
        """
        self.painter = painter
        self._threads = threads
        self._loads = find is None
        self._find = find or partial(RegionFinder, threads=threads)
        self.spec = replace(painter.spec, options=(*painter.spec.options, *CONTROLS))
        self.runtime, self.device = painter.runtime, painter.device
        self._prompts = PromptCache(lambda text: encode(text, painter.encode_prompt))
        self._loaded: set[str] = set()
        """Places that networks were loaded for."""
        self.nothing = to_plan({}, len(painter.encode_prompt("").embeds))

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that a stream of `size = (width, height)` takes: that of one with several looks."""
        return MOST_LOOKS * self.painter.nbytes(size)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> EditState[State]:
        """Open one stream; errors are those of the painting model."""
        return EditState(size, Painters(self.painter, size, seed), self._find(size))

    def prepare_efforts(self, state: EditState[State]) -> None:
        """Get ready for all efforts."""
        state.painters.prepare_efforts()

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a request as a plan; the last few hundred are remembered. Networks that it needs are loaded here."""
        prompt = self._prompts.encode(text)
        layers = read_plan(prompt.embeds)
        self._load(frozenset[str]().union(*(needed(layer.places, layers.present.keys()) for layer in layers.all)))
        return prompt

    def whole_request(self, text: str, now: str | None, before: str | None) -> str | None:
        """Return what a request asks for by itself: "stronger", "weaker" and "undo" refer to those before them.

        Raises:
            ControlError: there is nothing to undo, or nothing stronger or weaker.
        """
        return whole_request(text, now, before)

    def encode_control(self, name: str, value: Any) -> Any:
        """Encode a control of the painting model; that of `place` or `matte` loads the networks that it needs."""
        if name not in (PLACE.name, MATTE.name):
            return cast(EncodesControls, self.painter).encode_control(name, value)
        if value not in (PLACE.default, MATTE.default):
            self._load(parts_of(value))
        return value

    def _load(self, places: frozenset[str]) -> None:
        """Load what finds places, once: it takes a second, for which no stream's frame shall have to wait."""
        missing = places - self._loaded
        if missing and self._loads:
            RegionFinder.open(self.spec.min_size, missing, threads=self._threads)
        self._loaded |= missing

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> Plan | None:
        """Return the plan under a prompt and what the user chose beside it; None for the source untouched."""
        place, matte = (options.get(control.name, control.default) for control in (PLACE, MATTE))
        picture = options.get(BACKGROUND.name)
        painter = self.painter if isinstance(self.painter, ComposesLook) else None
        look = None if painter is None else painter.compose(None, options)

        def mixed(embeds: Embeds) -> Embeds:
            assert painter is not None
            assert prompt is not None
            composed = painter.compose(replace(prompt, embeds=embeds), options)
            assert composed is not None
            return composed

        if prompt is None and look is None and picture is None and matte == MATTE.default:
            return None
        plan = self.nothing if prompt is None else prompt.embeds
        if look is not None:
            plan = with_looks(plan, mixed, look)
        if place != PLACE.default:
            plan = confined(plan, place)
        return plan if picture is None else behind_people(plan)

    def places_at(self, rgb: NDArray[np.uint8], x: int, y: int) -> tuple[str, ...]:
        """Return the values of the control `place` for a click at a px of a picture, the likeliest first."""
        return pick(rgb, x, y)

    def step(self, states: Sequence[EditState[State]], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each stream by a frame."""
        return [self._step(state, chunk) for state, chunk in zip(states, chunks, strict=True)]

    def _step(self, state: EditState[State], chunk: Chunk) -> StepResult:
        look = state.read(chunk.embeds).whole
        if look is not None and chunk.options.get(MATTE.name, MATTE.default) == MATTE.default:
            state.forget_places()
            [result] = state.painters.paint([look], chunk)
            return result
        chunk.check(state.size)
        return _Edit(state, chunk).result()

    def save(self, state: EditState[State]) -> Memory:
        """Return what the next frame depends on; where places are is found anew."""
        return state.painters.save()

    def restore(self, state: EditState[State], memory: Memory) -> None:
        """Take what `save` gave."""
        state.painters.restore(memory)

    def reset(self, state: EditState[State], *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream in place."""
        state.painters.reset(keep=keep, seed=seed)
        state.forget_places()


class _Edit(Generic[State]):
    """One frame of a stream, edited at places."""

    def __init__(self, state: EditState[State], chunk: Chunk) -> None:
        self._state, self._chunk, self._layers, self._size = state, chunk, state.layers, state.size
        self._source = Image.fromarray(chunk.rgb[0])
        matte = chunk.options.get(MATTE.name, MATTE.default)
        self._kept = frozenset[str]() if matte == MATTE.default else parts_of(matte)
        present = self._layers.present.keys()
        wanted = frozenset[str]().union(*(needed(layer.places, present) for layer in self._layers.all))
        if self._kept:
            wanted |= needed(self._kept, self._kept - parts_of("person"))
        self._found = {name: each.mask for name, each in state.finder.find(chunk.rgb[0], wanted).items()}
        state.looking = bool(wanted)
        self._edited: Mask | None = np.zeros(self._size[::-1], np.uint8)
        self._absent: set[str] = set()

    def result(self) -> StepResult:
        picture = self._source
        for edit in (self._without_what_is_gone, self._tinted, self._blurred, self._filled, self._with_users_picture):
            picture = edit(picture)
        picture, work, cached = self._painted(picture)
        alpha = self._alpha()
        if alpha is not None:
            picture = paint.over(Image.new("RGB", self._size), picture, alpha)
            self._edited = both(self._edited, 255 - alpha)
        edited = None if self._edited is None else np.where(self._edited > 0, np.uint8(255), np.uint8(0))[None]
        return StepResult(
            np.array(picture)[None],
            # The picture is blended already: where anything was done all of it counts, elsewhere the source stays.
            "all" if edited is None else edited,
            work=work,
            alpha=None if alpha is None else alpha[None],
            absent=tuple(sorted(self._absent)),
            cached=cached,
        )

    def _without_what_is_gone(self, picture: Image.Image) -> Image.Image:
        gone = [(layer, self._mark(layer)) for layer in self._layers.gone]
        if not gone:
            self._state.behind.forget()
            return picture
        everything = np.full(self._size[::-1], 255, np.uint8)
        holes = [(layer, everything if mask is None else paint.grown(mask)) for layer, mask in gone]
        # One memory for all of them: what is behind one thing may be another that is gone, too.
        hole = np.maximum.reduce([hole for _, hole in holes])
        self._edited = both(self._edited, hole)
        seen = self._state.behind.seen(self._source, hole, thumbnail_of(self._chunk, 0))
        for layer, hole in holes:
            picture = paint.over(picture, seen, faded(hole, layer.weight, self._size))
        return picture

    def _tinted(self, picture: Image.Image) -> Image.Image:
        before, self._state.light = self._state.light, {}
        for layer in self._layers.tints:
            assert layer.rgb is not None
            mask = self._mark(layer)
            now = paint.mean_light(self._source, mask)
            if now is not None:
                known = before.get(layer.places, now)
                self._state.light[layer.places] = light = known + _SETTLING * (now - known)
                picture = self._lay(picture, paint.tinted(picture, layer.rgb, light), mask, layer.weight)
        return picture

    def _blurred(self, picture: Image.Image) -> Image.Image:
        for layer in self._layers.blurs:
            mask = self._mark(layer)
            picture = self._lay(picture, paint.blurred(picture, layer.weight, mask), mask, layer.weight / _SEEN_BLUR)
        return picture

    def _filled(self, picture: Image.Image) -> Image.Image:
        for layer in self._layers.fills:
            assert layer.rgb is not None
            red, green, blue = (round(255 * part) for part in layer.rgb)
            colour = Image.new("RGB", self._size, (red, green, blue))
            picture = self._lay(picture, colour, self._mark(layer), layer.weight)
        return picture

    def _with_users_picture(self, picture: Image.Image) -> Image.Image:
        given = self._chunk.options.get(BACKGROUND.name)
        if given is None:
            return picture
        for layer in self._layers.pictures:
            picture = self._lay(picture, self._state.users_picture(given), self._mark(layer), layer.weight)
        return picture

    def _painted(self, picture: Image.Image) -> tuple[Image.Image, float, Cached | None]:
        """Return the picture with every look where it belongs, and the shares of work done and of pictures kept."""
        masks = [(look, faded(self._mark(look), look.weight, self._size)) for look in self._layers.looks]
        seen = [(look, mask) for look, mask in masks if mask is None or mask.any()]
        chunk = replace(self._chunk, rgb=np.asarray(picture)[None])
        made = self._state.painters.paint([look for look, _ in seen], chunk)
        layers = [(Image.fromarray(each.rgb[0]), mask) for each, (_, mask) in zip(made, seen, strict=True)]
        works = [self._chunk.effort if each.work is None else each.work for each in made]
        kept = [each.cached for each in made if each.cached is not None]
        cached = None
        if kept:
            decibels = [each.audit_db for each in kept if each.audit_db is not None]
            cached = Cached(
                sum(each.kept for each in kept) / len(kept),
                any(each.audited for each in kept),
                min(decibels, default=None),
            )
        return paint.laid(picture, layers), sum(works) / max(len(works), 1), cached

    def _alpha(self) -> Mask | None:
        """Return where the output is opaque; None is everywhere."""
        alpha = None
        for layer in self._layers.clear:
            mask = faded(self._mark(layer), layer.weight, self._size)
            clear = np.uint8(255) if mask is None else mask
            alpha = (
                np.full(self._size[::-1], 255, np.uint8) - clear if alpha is None else np.minimum(alpha, 255 - clear)
            )
        if self._kept:
            anywhere = dict.fromkeys(self._kept - parts_of("person"), 1.0)
            kept = coverage(self._kept, anywhere, self._found.__getitem__, self._size)
            assert kept is not None
            self._note(self._kept, kept)
            alpha = kept if alpha is None else np.minimum(alpha, kept)
        return alpha

    def _lay(self, picture: Image.Image, edited: Image.Image, mask: Mask | None, weight: float) -> Image.Image:
        return paint.over(picture, edited, faded(mask, weight, self._size))

    def _mark(self, layer: Layer) -> Mask | None:
        """Return where a layer is, and note that something is done there."""
        mask = coverage(layer.places, self._layers.present, self._found.__getitem__, self._size)
        self._edited = both(self._edited, mask)
        self._note(layer.places, mask)
        return mask

    def _note(self, places: Set[str], mask: Mask | None) -> None:
        """Note places that are asked for and nowhere."""
        if mask is not None and not mask.any():
            self._absent.update(named(places))
