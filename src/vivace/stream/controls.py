"""What a user steers, checked once, changed all at once, and in force from a known frame on.

An update is checked, its prompt encoded and its mask read in the caller's thread. Then, under one lock, it is merged
into the controls and given a number. The thread that makes frames takes the controls under the same lock when it
crosses a frame boundary, and says there which frames are behind it. So the answer to an update is exact as soon as it
is given: frames from `Ack.frame_index` on are made with it, frames below are not.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from threading import Lock
from typing import Any, cast

from vivace.errors import ControlError, PromptControl, UnknownPromptError
from vivace.media.size import Size
from vivace.models.base import ControlValue, ModelSpec, NegativeEncoder, Prompt, StreamModel
from vivace.stream.checks import brief, number_in, whole_number_in
from vivace.stream.fit import check_size
from vivace.stream.mask import Mask, open_mask
from vivace.stream.options import check_events, check_options, merge_options

MAX_PROMPT_CHARS = 2_000
"""Ten times what people write; beyond it is a mistake (a file instead of a sentence)."""

MAX_CROSSFADE_S = 60.0
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Controls:
    """Everything a user steers, checked; never changed, only replaced as a whole."""

    prompt: Prompt | None = None
    """None shows the source untouched."""
    negative_prompt: Prompt | None = None
    """What shall not be seen, for models that take one; it changes at once."""
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
    options: Mapping[str, ControlValue] = field(default_factory=dict)
    """What was set of `spec.options`, by name; the rest is at its default."""
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

    def __init__(self, initial: Controls) -> None:
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

    def submit(self, changes: Mapping[str, Any], *, arrived_s: float) -> tuple[int, int]:
        """Merge checked changes; return the update's number and the first frame it affects."""
        with self._lock:
            before = self._now.controls
            prompt_set_s = arrived_s if "prompt" in changes else self._now.prompt_set_s
            self._now = Snapshot(before.changed(changes), self._now.update_index + 1, prompt_set_s)
            if before.mask is not None and before.mask is not self._now.controls.mask:
                self._retired.append(before.mask)
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
        """Return which events were asked for up to these controls and not taken yet, by whichever session."""
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


def check_changes(changes: Mapping[str, object], model: StreamModel) -> dict[str, Any]:
    """Return the changes for `Controls.changed`; may encode a prompt and read a mask, so it takes its time.

    Raises:
        UnknownPromptError: all is well but a prompt that the model cannot serve, or a mask, which is read after it.
        ControlError: an unknown name, or a value that cannot be used; names the value and the remedy.
        SourceError: a mask file that is missing or cannot be read.
    """
    known = {field.name for field in fields(Controls)}
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(str(name)[:64], known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
            raise ControlError(f"there is no control {brief(name)}; {hint}")
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in ("mask", "prompt", "negative_prompt"):
            checked[name] = _check_value(name, value, model.spec)
    if "negative_prompt" in changes:
        checked["negative_prompt"] = _encode_negative(changes["negative_prompt"], model)
    if "prompt" in changes:
        checked["prompt"] = _encode_prompt(changes["prompt"], model)
    if "mask" in changes:  # last: it may open a file, which an error in another control would leave open
        checked["mask"] = open_mask(changes["mask"])
    return checked


def _check_value(name: str, value: object, spec: ModelSpec) -> object:
    if name == "options":
        return check_options(value, spec)
    if name == "events":
        return check_events(value, spec)
    if name == "strength":
        if value is None:
            return spec.default_strength
        return number_in(name, value, 0.0, 1.0, "give 0 (the source) to 1 (all painted)")
    if name == "crossfade_s":
        return number_in(name, value, 0.0, MAX_CROSSFADE_S, f"give 0 to {MAX_CROSSFADE_S:g} seconds")
    if name == "seed":
        return whole_number_in(name, value, 0, MAX_SEED, "give a whole number from 0 to 2^63 - 1")
    if name == "size":
        return None if value is None else check_size(value, spec)
    if name == "denoising_steps":
        if value is None:
            return spec.denoising_steps[0]
        choices = ", ".join(str(steps) for steps in spec.denoising_steps)
        steps = whole_number_in(name, value, 1, 10**6, f"{spec.name} was trained for {choices}")
        if steps not in spec.denoising_steps:
            raise ControlError(f"denoising_steps is {steps}; {spec.name} was trained for {choices}")
        return steps
    raise AssertionError(f"control {name} has no check")


def _encode_prompt(prompt: object, model: StreamModel) -> Prompt | None:
    if prompt is None:
        return None
    if not isinstance(prompt, str):
        raise ControlError(f"prompt is {brief(prompt)}; give text, or None to show the source untouched")
    if not prompt.strip():
        raise ControlError(
            "prompt is empty; say how the picture should look, or give none at all to show the source untouched"
        )
    text = check_text("prompt", prompt, "say how the picture should look")
    if "prompt" not in model.spec.conditions:
        raise ControlError(f"{model.spec.name} takes no prompt; leave it out")
    encoded = model.encode_prompt(text)
    if not encoded.known:
        message = encoded.message or f"the model cannot serve the prompt {brief(text)}"
        raise UnknownPromptError(message, matches=encoded.matches)
    return encoded


def _encode_negative(prompt: object, model: StreamModel) -> Prompt | None:
    if prompt is None:
        return None
    if not isinstance(prompt, str):
        raise ControlError(f"negative_prompt is {brief(prompt)}; give text, or None for none")
    if not prompt.strip():
        return None
    text = check_text("negative_prompt", prompt, "say what shall not be seen, or give None for none")
    if "negative_prompt" not in model.spec.conditions:
        raise ControlError(f"{model.spec.name} takes no negative prompt; leave it out")
    encoded = cast(NegativeEncoder, model).encode_negative(text)
    if not encoded.known:
        message = f"negative_prompt: {encoded.message or 'the model cannot serve it'}"
        raise UnknownPromptError(message, control="negative_prompt", matches=encoded.matches)
    return encoded


def check_text(name: PromptControl, text: str, remedy: str) -> str:
    """Return a prompt's text without the space around it.

    Raises:
        UnknownPromptError: without a letter or digit, so that there is nothing to know.
        ControlError: over `MAX_PROMPT_CHARS`, or not encodable.
    """
    if len(text) > MAX_PROMPT_CHARS:
        raise ControlError(f"{name} has {len(text):,} characters; the limit is {MAX_PROMPT_CHARS:,}: say it shorter")
    text = text.strip()
    if not any(character.isalnum() for character in text):
        raise UnknownPromptError(f"{name} is {brief(text)}, without a letter or digit; {remedy}", control=name)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ControlError(f"{name} has a character that is no text at position {error.start}; remove it") from error
    return text
