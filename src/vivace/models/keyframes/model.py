"""A model whose pictures are led by an edited key frame, around one that paints them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vivace.models.base import Chunk, Edited, Keep, Memory, Prompt, State, StepResult
from vivace.models.edits.model import EditingModel, EditState
from vivace.models.edits.plan import Plan
from vivace.models.keyframes.config import nbytes_of
from vivace.models.keyframes.controls import CONTROLS, KEYFRAME, SOURCE
from vivace.models.keyframes.load import Networks, load

if TYPE_CHECKING:
    from vivace.models.keyframes.follower import Follower

UNEDITED = 3
"""Largest difference from its source, levels, of a key frame without an edit."""
TOUCHED = 12
"""Difference from its source, levels, from which a px of a key frame counts as edited: a lossy copy differs by less."""
PLAIN = 2.0
"""Deviation of the colours, levels, of a picture of one colour."""
UNLIKE, ALIKE = 0.8, 0.2
"""Share of changed px and correlation of light from which a key frame shows another scene than its source."""
_PREFIX = "keyframe."
"""Prefix of the follower's arrays in a saved memory."""
Rgb = NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class KeyEdit:
    """Value of the control `keyframe`, shared by all states of a stream, which has another one for each size."""

    rgb: Rgb | None
    """Edited picture; None where there are several with their sources."""
    pairs: tuple[tuple[Rgb, Rgb], ...] = ()
    """Several key frames, each before and after its edit."""
    held: Rgb | None = None
    """Picture that it was first held against, where no source is given: later ones may show something else."""
    former: Rgb | None = None
    """Source that was given with the key frame before, and is not this one's."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class KeyframeState(Generic[State]):
    """One stream."""

    size: tuple[int, int]
    """`(width, height)`, px."""
    painted: EditState[State]
    follower: Follower | None = None
    """Opened with the first key frame."""
    given: tuple[KeyEdit, Rgb | None] | None = None
    """Key frame and its source as they were given, by which a change is noticed; None beside a restored follower."""
    note: str = ""
    """Note on the key frame itself."""


class KeyframeModel(Generic[State]):
    """Edits of a key frame on top of what a model paints. Its verbs may be called as those of that model."""

    def __init__(self, painter: EditingModel[State], networks: Callable[[], Networks] = load) -> None:
        """Lead what `painter` paints; `networks` loads what follows key frames, when the first one is set."""
        self.painter = painter
        self._networks = networks
        self.spec = replace(painter.spec, options=(*painter.spec.options, *CONTROLS))
        self.runtime, self.device = painter.runtime, painter.device
        self._lock = threading.Lock()
        self._states: WeakSet[KeyframeState[State]] = WeakSet()
        """Open states."""
        self._ready: set[tuple[int, int]] = set()
        """Sizes that the networks are compiled for."""

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that a stream of `size = (width, height)` takes, with one key frame."""
        return self.painter.nbytes(size) + nbytes_of(size)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> KeyframeState[State]:
        """Open one stream; errors are those of the painting model."""
        state = KeyframeState(size, self.painter.open(size, seed=seed))
        with self._lock:
            self._states.add(state)
        return state

    def prepare_efforts(self, state: KeyframeState[State]) -> None:
        """Get ready for all efforts."""
        self.painter.prepare_efforts(state.painted)

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a request as the painting model does."""
        return self.painter.encode_prompt(text)

    def whole_request(self, text: str, now: str | None, before: str | None) -> str | None:
        """Return what "stronger", "weaker" or "undo" asks for by itself, as the painting model does."""
        return self.painter.whole_request(text, now, before)

    def encode_control(self, name: str, value: Any) -> Any:
        """Encode a control of the painting model; for a key frame, what follows it is loaded, and compiled if need be.

        That takes most of a second, for which no stream's frame shall have to wait.
        """
        if name != KEYFRAME.name:
            return self.painter.encode_control(name, value)
        self._networks()
        with self._lock:
            sizes = {state.size for state in self._states} - self._ready
        for width, height in sizes:
            blank = np.zeros((height, width, 3), np.uint8)
            self._opened((width, height)).take((blank, blank))
            with self._lock:
                self._ready.add((width, height))
        return KeyEdit(None, value) if isinstance(value, tuple) else KeyEdit(value)

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> Plan | None:
        """Return the plan under a prompt and what the user chose beside it; None for the source untouched."""
        plan = self.painter.compose(prompt, options)
        return self.painter.nothing if plan is None and KEYFRAME.name in options else plan

    def places_at(self, rgb: Rgb, x: int, y: int) -> tuple[str, ...]:
        """Return the values of the control `place` for a click at a px of a picture, the likeliest first."""
        return self.painter.places_at(rgb, x, y)

    def step(self, states: Sequence[KeyframeState[State]], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each stream by a frame."""
        return [self._step(state, chunk) for state, chunk in zip(states, chunks, strict=True)]

    def _step(self, state: KeyframeState[State], chunk: Chunk) -> StepResult:
        [result] = self.painter.step([state.painted], [chunk])
        edit = chunk.options.get(KEYFRAME.name)
        if edit is None:
            state.follower = state.given = None
            return result
        now = result.rgb[0]
        follower = self._follower(state, now, edit, chunk.options.get(SOURCE.name))
        led = follower.follow(now)
        note = result.note or state.note or follower.note
        if led is now:
            return replace(result, note=note)
        changed = np.where((led != now).any(-1), np.uint8(255), np.uint8(0))
        return replace(result, rgb=led[None], edited=_both(result.edited, changed), note=note, followed=True)

    def _follower(self, state: KeyframeState[State], now: Rgb, edit: KeyEdit, source: Rgb | None) -> Follower:
        """Return what follows the key frame that is set, which may be another one than in the last frame."""
        if state.follower is None:
            state.follower = self._opened(state.size)
        elif state.given is None:
            state.given = edit, source  # restored as it was with them
        if state.given is None or state.given[0] is not edit or state.given[1] is not source:
            pairs = edit.pairs
            if edit.rgb is not None:
                pairs = ((self._source(state, now, edit, edit.rgb, source), edit.rgb),)
            fitted = [(_fitted(key, state.size), _fitted(rgb, state.size)) for key, rgb in pairs]
            state.follower.take(*fitted)
            notes = [note_on(rgb, edited, key) for (_, rgb), (key, edited) in zip(pairs, fitted, strict=True)]
            state.given, state.note = (edit, source), next(filter(None, notes), "")
        return state.follower

    def _source(self, state: KeyframeState[State], now: Rgb, edit: KeyEdit, rgb: Rgb, source: Rgb | None) -> Rgb:
        """Return what a single key frame is held against: the source that is given, or the picture of now.

        A source that was there before the key frame may be that of the former one: the picture that is left as it is in
        more places counts.
        """
        if source is not None and state.given is not None and state.given[1] is source and edit.held is None:
            fitted = _fitted(rgb, state.size)
            if _untouched(fitted, now) > _untouched(fitted, _fitted(source, state.size)):
                edit.held, edit.former = now.copy(), source
        if source is not None and source is not edit.former:
            return source
        if edit.held is None:
            edit.held = now.copy()
        return edit.held

    def _opened(self, size: tuple[int, int]) -> Follower:
        from vivace.models.keyframes.follower import Follower  # brings OpenCV

        return Follower(self._networks(), size)

    def save(self, state: KeyframeState[State]) -> Memory:
        """Return what the next frame depends on."""
        followed = {} if state.follower is None else state.follower.save()
        return {**self.painter.save(state.painted), **{_PREFIX + name: value for name, value in followed.items()}}

    def restore(self, state: KeyframeState[State], memory: Memory) -> None:
        """Take what `save` gave."""
        own = {name: value for name, value in memory.items() if name.startswith(_PREFIX)}
        self.painter.restore(state.painted, {name: value for name, value in memory.items() if name not in own})
        state.follower = state.given = None
        if own:
            state.follower = self._opened(state.size)
            state.follower.restore({name.removeprefix(_PREFIX): value for name, value in own.items()})

    def reset(self, state: KeyframeState[State], *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream in place; its key frame stays."""
        self.painter.reset(state.painted, keep=keep, seed=seed)
        if state.follower is not None:
            state.follower.forget()


def note_on(edit: Rgb, fitted: Rgb, key: Rgb) -> str:
    """Return what is odd about a key frame, for people; empty if nothing is."""
    change = np.abs(fitted.astype(np.int16) - key).max(-1)
    if change.max() <= UNEDITED:
        return "the key frame shows no edit: it equals the frame that it is held against"
    if fitted.std((0, 1)).max() < PLAIN:
        return "the key frame is a picture of one colour, so all of the picture becomes that"
    if np.mean(change > 40) > UNLIKE and np.corrcoef(fitted.mean(-1).ravel(), key.mean(-1).ravel())[0, 1] < ALIKE:
        return "the key frame does not look like its source: keyframe_source, or the frame at which it was set"
    aspect, wanted = edit.shape[1] / edit.shape[0], key.shape[1] / key.shape[0]
    if abs(aspect / wanted - 1) > 0.02:
        return f"the key frame of {edit.shape[1]}x{edit.shape[0]} px was cropped to the picture's shape"
    return ""


def _untouched(edit: Rgb, key: Rgb) -> float:
    """Return the share of px that an edit left as they are."""
    return float(np.mean(np.abs(edit.astype(np.int16) - key).max(-1) <= TOUCHED))


def _fitted(picture: Rgb, size: tuple[int, int]) -> Rgb:
    """Return a picture scaled and cropped to `(width, height)` px."""
    if (picture.shape[1], picture.shape[0]) == size:
        return picture
    return np.asarray(ImageOps.fit(Image.fromarray(picture), size, Image.Resampling.LANCZOS), np.uint8)


def _both(edited: Edited, changed: NDArray[np.uint8]) -> Edited:
    if isinstance(edited, str):
        return edited if edited == "all" else changed[None]
    return np.maximum(edited, changed[None])
