"""What a user steers, checked once, changed all at once, and in force from a known frame on.

An update is checked, its prompt encoded and its mask read in the caller's thread. Then, under one lock, it is merged
into the controls and given a number. The thread that makes frames takes the controls under the same lock when it
crosses a frame boundary, and says there which frames are behind it. So the answer to an update is exact as soon as it
is given: frames from `Ack.frame_index` on are made with it, frames below are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.checks import brief, nearest, number_in
from vivace.errors import ControlError
from vivace.media.size import Size
from vivace.models.base import ComposesLook, Prompt, StreamModel, is_saved_look
from vivace.models.controls import ControlSpec, by_name
from vivace.stream.automation import Witness
from vivace.stream.fit import check_size
from vivace.stream.mask import MASK, Mask, open_mask
from vivace.stream.moderation import Moderator
from vivace.stream.options import check_events, check_options, check_text, known_prompt, merge_options

OWN = by_name(
    (
        ControlSpec(name="prompt", kind="text", help="What the world should look like; none shows the source."),
        ControlSpec(name="strength", help="0 is the source, 1 all painted."),
        # JavaScript counts to 2^53 - 1 exactly.
        ControlSpec(
            name="seed", help="The same seed and source give the same pictures.", default=0, high=2**53 - 1, whole=True
        ),
        ControlSpec(name="crossfade_s", help="Seconds over which a new prompt blends in.", default=0.25, high=60),
        MASK,
    ),
    "a stream",
)
"""What every stream has, declared as a family declares its own; steps and size follow from the model."""

_LAST = ("options", "prompt", "mask")
"""Checked after all others, in this order: what is unknown, or opens a file, is told when all else is well."""


@dataclass(frozen=True, slots=True, eq=False)
class Controls:
    """Everything a user steers, checked; never changed, only replaced as a whole."""

    prompt: Prompt | None = None
    """None shows the source untouched."""
    strength: float = 1.0
    """0 (the source, exactly) to 1 (all painted). What lies between is the model's own where it has `strength` among
    its conditions, else a blend of both pictures."""
    seed: int = 0
    """Of the noise. A change forgets the past of the stream; the prompt stays."""
    mask: Mask | None = None
    """Where the picture may change; everywhere if None."""
    denoising_steps: int = 1
    """One of `spec.denoising_steps`."""
    crossfade_s: float = 0.25
    """Time of the stream over which a prompt change blends; 0 changes at once."""
    size: Size | None = None
    """Output `(width, height)` in px; None takes the source's shape. A change forgets the past of the stream."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What was set of `spec.options`, by name, as the model gets it; the rest is at its default."""
    events: Mapping[str, int] = field(default_factory=dict)
    """How often each event of `spec.options` was asked for; an update names those that shall happen."""

    def changed(self, changes: Mapping[str, Any]) -> Controls:
        """Return these controls with what `check_changes` returned; options merge into those before, events count."""
        if "options" in changes:
            changes = {**changes, "options": merge_options(self.options, changes["options"])}
        if "events" in changes:
            counts = {name: self.events.get(name, 0) + 1 for name in changes["events"]}
            changes = {**changes, "events": {**self.events, **counts}}
        return replace(self, **changes)


def look_of(model: StreamModel[Any], controls: Controls) -> NDArray[np.float32] | None:
    """Return what a stream paints with under its controls, as `Prompt.embeds`; None where it shows the source."""
    if isinstance(model, ComposesLook):
        return model.compose(controls.prompt, controls.options)
    return None if controls.prompt is None else controls.prompt.embeds


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to an update."""

    update_index: int
    """Number of the update; `Frame.control_index` of a frame is that of the last update it was made with."""
    frame_index: int
    """First `Frame.index` made with the update: every output frame from it on is, none below is. (When this very frame
    is dropped, which only happens live, the next one out is the first.)"""
    applied: tuple[str, ...]
    """Names of the controls that were set."""
    prompt: Prompt | None = None
    """What the model made of the prompt, if the update had one: `confidence`, `matches`."""
    message: str = ""
    """For people."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Controls as they were at a frame boundary."""

    controls: Controls
    update_index: int
    prompt_set_s: float | None = None
    """When the update that brought this prompt arrived; None for the first prompt."""


class ControlBoard:
    """The one place where the callers' threads and the frame thread meet over controls. Thread-safe."""

    def __init__(self, initial: Controls, witness: Witness | None = None) -> None:
        """Begin with `initial`; a witness is told of every update, in order."""
        self.witness = witness or Witness()
        self._lock = Lock()
        self._now = Snapshot(initial, 0)
        self._next_index = 0
        self._retired: list[Mask] = []
        self._told_events: Mapping[str, int] = {}

    @property
    def controls(self) -> Controls:
        """The controls in force for the next frame."""
        with self._lock:
            return self._now.controls

    def submit(
        self, changes: Mapping[str, Any], *, arrived_s: float, given: Mapping[str, object] | None = None
    ) -> tuple[int, int]:
        """Merge checked changes; return the update's number and the first frame it affects.

        `given` is what the witness is told of them.
        """
        with self._lock:
            before = self._now.controls
            prompt_set_s = arrived_s if "prompt" in changes else self._now.prompt_set_s
            self._now = Snapshot(before.changed(changes), self._now.update_index + 1, prompt_set_s)
            if before.mask is not None and before.mask is not self._now.controls.mask:
                self._retired.append(before.mask)
            self.witness.updated(self._now.update_index, self._next_index, changes if given is None else given)
            return self._now.update_index, self._next_index

    def position(self) -> tuple[int, int]:
        """Return the number of the last update and the next frame: the answer to an update that changes nothing."""
        with self._lock:
            return self._now.update_index, self._next_index

    def cross(self, next_index: int) -> Snapshot:
        """Cross a frame boundary: return the controls of the frames below `next_index` that have not been made yet.

        Called by the thread that makes frames, which thereby is done with masks that have been replaced.
        """
        with self._lock:
            self._next_index = next_index
            snapshot = self._now
            retired, self._retired = self._retired, []
        for mask in retired:
            mask.close()
        return snapshot

    def take_events(self, controls: Controls) -> frozenset[str]:
        """Return which events were asked for up to these controls and not taken yet, by whichever processor."""
        with self._lock:
            told, self._told_events = self._told_events, controls.events
        return frozenset(name for name, count in controls.events.items() if count != told.get(name, 0))

    def rewind(self) -> None:
        """Count frames from 0 again: the input has ended."""
        with self._lock:
            self._next_index = 0

    def close(self) -> None:
        """Close the masks; no frame is made any more."""
        with self._lock:
            masks = [*self._retired, self._now.controls.mask]
            self._retired = []
        for mask in masks:
            if mask is not None:
                mask.close()


def check_changes(
    changes: Mapping[str, object],
    model: StreamModel[Any],
    *,
    opening: bool = False,
    moderator: Moderator,
) -> dict[str, Any]:
    """Return the changes for `Controls.changed`; may encode a prompt and read pictures, so it takes its time.

    Args:
        changes: by the names of `Controls`.
        model: what takes them.
        opening: whether a stream opens with them.
        moderator: who may refuse texts and pictures; `moderation.NOBODY` refuses none.

    Raises:
        PolicyError: a text or a picture is refused.
        UnknownPromptError: all is well but a prompt that the model cannot serve, or a mask, which is read after it.
        ControlError: an unknown name, or a value that cannot be used; names the value and the remedy.
        SourceError: a picture that is missing or cannot be read.
    """
    known = {field.name for field in fields(Controls)}
    for name in changes:
        if name not in known:
            raise ControlError(f"there is no control {brief(name)}; {nearest(str(name), sorted(known))}")
    checked: dict[str, Any] = {}
    for name in sorted(changes, key=lambda name: _LAST.index(name) if name in _LAST else -1):
        checked[name] = _check_value(name, changes[name], model, opening=opening, moderator=moderator)
    return checked


def _check_value(name: str, value: object, model: StreamModel[Any], *, opening: bool, moderator: Moderator) -> object:
    spec = model.spec
    if name == "options":
        return check_options(value, model, opening=opening, moderator=moderator)
    if name == "events":
        return check_events(value, spec)
    if name == "prompt":
        return _encode_prompt(value, model, moderator)
    if name == "mask":
        return open_mask(value)
    if name == "strength" and value is None:
        return spec.default_strength
    if name in ("strength", "crossfade_s", "seed"):
        return OWN[name].default if value is None else OWN[name].check(value)
    if name == "size":
        return None if value is None else check_size(value, spec)
    if name == "denoising_steps":
        if value is None:
            return spec.denoising_steps[0]
        choices = ", ".join(str(steps) for steps in spec.denoising_steps)
        steps = number_in(name, value, 1, 10**6, f"{spec.name} was trained for {choices}", whole=True)
        if steps not in spec.denoising_steps:
            raise ControlError(f"denoising_steps is {steps}; {spec.name} was trained for {choices}")
        return steps
    raise AssertionError(f"control {name} has no check")


def _encode_prompt(prompt: object, model: StreamModel[Any], moderator: Moderator) -> Prompt | None:
    if prompt is None:
        return None
    if not isinstance(prompt, str):
        raise ControlError(f"prompt is {brief(prompt)}; give text, or none at all to show the source untouched")
    if not prompt.strip():
        raise ControlError(
            "prompt is empty; say how the picture should look, or give none at all to show the source untouched"
        )
    if "prompt" not in model.spec.conditions:
        raise ControlError(f"{model.spec.name} takes no prompt; leave it out")
    if is_saved_look(prompt) and "look" not in model.spec.conditions:
        raise ControlError(f"{model.spec.name} takes no saved look; say in words how the picture should look")
    text = check_text("prompt", str(OWN["prompt"].check(prompt)))
    saved = is_saved_look(text)
    if not saved:
        moderator.check_text("prompt", text)
    made = model.encode_prompt(text)
    if saved:
        moderator.check_text("prompt", made.text)  # its title, which is all of it that is words
    return known_prompt("prompt", made)
