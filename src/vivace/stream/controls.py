"""The controls of a stream: validated once, changed together, and in force from a known frame on.

An update is checked, its prompt encoded and its mask read in the caller's thread. Then, under one lock, it is merged
into the controls and numbered. The thread that makes frames reads the controls under the same lock at each frame
boundary and registers the next frame index there. The answer to an update is therefore exact: frames from
`Ack.frame_index` on are made with it, earlier ones are not.
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
        # Largest integer that JavaScript represents exactly.
        ControlSpec(
            name="seed", help="The same seed and source give the same pictures.", default=0, high=2**53 - 1, whole=True
        ),
        ControlSpec(name="crossfade_s", help="Seconds over which a new prompt blends in.", default=0.25, high=60),
        MASK,
    ),
    "a stream",
)
"""Controls that every stream has, declared like a family's own; steps and size depend on the model."""

_LAST = ("options", "prompt", "mask")
"""Controls checked after all others, in this order, so that unknown prompts and unreadable files are reported last."""


@dataclass(frozen=True, slots=True, eq=False)
class Controls:
    """All controls of a stream, validated. Immutable: an update replaces the whole object."""

    prompt: Prompt | None = None
    """None shows the source untouched."""
    strength: float = 1.0
    """0 (exactly the source) to 1 (fully painted). The model implements values between if `strength` is among its
    conditions; otherwise both pictures are blended."""
    seed: int = 0
    """Seed of the noise. A change resets the model's memory; the prompt stays."""
    mask: Mask | None = None
    """Region that may change; None is everywhere."""
    denoising_steps: int = 1
    """Number of denoising steps, one of `spec.denoising_steps`."""
    crossfade_s: float = 0.25
    """Duration of a prompt cross-fade in stream time, s; 0 switches at once."""
    size: Size | None = None
    """Output `(width, height)`, px; None follows the source's aspect ratio. A change resets the model's memory."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Values of `spec.options` by name, in the form the model gets them; missing ones are at their defaults."""
    events: Mapping[str, int] = field(default_factory=dict)
    """Number of times each event of `spec.options` was requested; an update lists the events to fire."""

    def changed(self, changes: Mapping[str, Any]) -> Controls:
        """Return these controls updated with the result of `check_changes`: options merge, events are counted."""
        if "options" in changes:
            changes = {**changes, "options": merge_options(self.options, changes["options"])}
        if "events" in changes:
            counts = {name: self.events.get(name, 0) + 1 for name in changes["events"]}
            changes = {**changes, "events": {**self.events, **counts}}
        return replace(self, **changes)


def look_of(model: StreamModel[Any], controls: Controls) -> NDArray[np.float32] | None:
    """Return the look that these controls ask for, in the form of `Prompt.embeds`; None where the source is shown."""
    if isinstance(model, ComposesLook):
        return model.compose(controls.prompt, controls.options)
    return None if controls.prompt is None else controls.prompt.embeds


@dataclass(frozen=True, slots=True)
class Ack:
    """Answer to an update."""

    update_index: int
    """Number of the update; `Frame.control_index` is the number of the last update that a frame was made with."""
    frame_index: int
    """First `Frame.index` made with the update: it applies to every later output frame and to no earlier one. (If that
    frame is dropped, which only happens live, the next output frame is the first.)"""
    applied: tuple[str, ...]
    """Names of the controls that were set."""
    prompt: Prompt | None = None
    """Encoded prompt, if the update had one, with `confidence` and `matches`."""
    message: str = ""
    """Message for people."""
    whole_prompt: str | None = None
    """Whole request of a prompt that referred to those before it, such as "stronger" or "undo", by which it can be set
    again; empty where that shows the source, None for every other prompt."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Controls in force at a frame boundary."""

    controls: Controls
    update_index: int
    prompt_set_s: float | None = None
    """Arrival time of the update that brought this prompt, s; None for the first prompt."""


class ControlBoard:
    """Shared state between callers that change controls and the thread that makes frames. Thread-safe."""

    def __init__(self, initial: Controls, witness: Witness | None = None) -> None:
        """Begin with `initial`; `witness` is told of every update, in order."""
        self.witness = witness or Witness()
        self._lock = Lock()
        self._now = Snapshot(initial, 0)
        self._next_index = 0
        self._prompts: tuple[str | None, str | None] = (initial.prompt.text if initial.prompt else None, None)
        self._retired: list[Mask] = []
        self._told_events: Mapping[str, int] = {}

    @property
    def controls(self) -> Controls:
        """The controls in force for the next frame."""
        with self._lock:
            return self._now.controls

    @property
    def prompts(self) -> tuple[str | None, str | None]:
        """Texts of the prompt in force and of the one before it; None for the source untouched."""
        with self._lock:
            return self._prompts

    def submit(
        self, changes: Mapping[str, Any], *, arrived_s: float, given: Mapping[str, object] | None = None
    ) -> tuple[int, int]:
        """Return the update's number and the first frame it affects, after merging checked changes.

        The witness is told of `given`, by default `changes`.
        """
        given = changes if given is None else given
        with self._lock:
            before = self._now.controls
            prompt_set_s = arrived_s if "prompt" in changes else self._now.prompt_set_s
            self._now = Snapshot(before.changed(changes), self._now.update_index + 1, prompt_set_s)
            if before.mask is not None and before.mask is not self._now.controls.mask:
                self._retired.append(before.mask)
            if "prompt" in changes:
                self._prompts = str(given["prompt"]) if changes["prompt"] else None, self._prompts[0]
            self.witness.updated(self._now.update_index, self._next_index, given)
            return self._now.update_index, self._next_index

    def position(self) -> tuple[int, int]:
        """Return the number of the last update and the next frame index, the answer to an empty update."""
        with self._lock:
            return self._now.update_index, self._next_index

    def cross(self, next_index: int) -> Snapshot:
        """Return the controls for all frames below `next_index` that are not made yet: cross a frame boundary.

        Called by the thread that makes frames; replaced masks are closed here, since that thread no longer uses them.
        """
        with self._lock:
            self._next_index = next_index
            snapshot = self._now
            retired, self._retired = self._retired, []
        for mask in retired:
            mask.close()
        return snapshot

    def take_events(self, controls: Controls) -> frozenset[str]:
        """Return the events requested up to these controls and not yet taken by any processor."""
        with self._lock:
            told, self._told_events = self._told_events, controls.events
        return frozenset(name for name, count in controls.events.items() if count != told.get(name, 0))

    def rewind(self) -> None:
        """Restart frame indices from 0 after the input has ended."""
        with self._lock:
            self._next_index = 0

    def close(self) -> None:
        """Close the masks; no more frames are made."""
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
    """Return validated changes for `Controls.changed`. May be slow: it encodes a prompt and reads pictures.

    Args:
        changes: values by the names of `Controls`.
        model: model of the stream.
        opening: true for the initial controls of a stream.
        moderator: may refuse texts and pictures; `moderation.NOBODY` allows all.

    Raises:
        PolicyError: a text or a picture is refused.
        UnknownPromptError: the model cannot serve the prompt; all other controls but the mask are valid.
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
        raise ControlError(
            f"{model.spec.name} takes no saved look; take the model mini2, or say in words how the picture should look"
        )
    text = check_text("prompt", str(OWN["prompt"].check(prompt)))
    saved = is_saved_look(text)
    if not saved:
        moderator.check_text("prompt", text)
    made = model.encode_prompt(text)
    if saved:
        moderator.check_text("prompt", made.text)  # its title, the only text in it
    return known_prompt("prompt", made)
