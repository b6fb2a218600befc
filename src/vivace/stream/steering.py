"""Updates of a stream's controls, from a user's values to the frame boundary where all of them take effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from threading import RLock
from typing import Any

from vivace.media.size import Size
from vivace.media.source import on_error
from vivace.models.base import Prompt, RefersToPrompts, StreamModel
from vivace.stream.controls import Ack, ControlBoard, check_changes
from vivace.stream.mask import Mask
from vivace.stream.moderation import NOBODY, Moderator
from vivace.stream.processor import FrameProcessor


class Steering:
    """Entry point for updates of one stream. Thread-safe; checking, encoding and opening run in the caller's thread."""

    def __init__(
        self,
        model: StreamModel[Any],
        board: ControlBoard,
        processor: Callable[[], FrameProcessor | None],
        *,
        lock: AbstractContextManager[object] | None = None,
        resize: Callable[[Size], None] | None = None,
        moderator: Moderator = NOBODY,
    ) -> None:
        """Steer the processor that `processor` returns, if one is open yet.

        Args:
            model: encodes the prompts.
            board: holds the controls in force.
            processor: returns the processor to prepare for a change.
            lock: held while controls change.
            resize: reserves room for `(width, height)` before that size is opened, and for the old size again if
                opening fails; its error refuses the update.
            moderator: may refuse texts and pictures.
        """
        self._model = model
        self._board = board
        self._processor = processor
        self._lock = lock or RLock()
        self._moderator = moderator
        self._resize = resize or (lambda _size: None)

    def update(
        self,
        changes: Mapping[str, object],
        *,
        arrived_s: float,
        admit: Callable[[int], object] | None = None,
        given: Mapping[str, object] | None = None,
    ) -> Ack:
        """Change controls, all of them at one frame boundary, and say from which frame on.

        Args:
            changes: values by the names of `Controls`.
            arrived_s: arrival time, s.
            admit: called with the update's number, under the lock, just before it takes effect; its error refuses the
                update.
            given: values for the witness; None is `changes`.

        Raises:
            PolicyError: a text or a picture is refused; nothing changes.
            UnknownPromptError: a prompt the model cannot serve; nothing changes, and the running prompt stays.
            ControlError: an unknown control, or a value that cannot be used; nothing changes.
            SourceError: a mask file that is missing or cannot be read; nothing changes.
            CapacityError: not enough memory for another size; nothing changes.
        """
        given = dict(changes if given is None else given)
        whole = self._whole_prompt(changes.get("prompt"))
        if whole is not None:
            given["prompt"] = whole or None
            changes = {**changes, "prompt": whole or None}
        checked = check_changes(changes, self._model, moderator=self._moderator)
        mask: Mask | None = checked.get("mask")
        with nullcontext() if mask is None else on_error(mask.close):
            self._make_ready(checked)
            if not checked:
                return Ack(*self._board.position(), (), None, "nothing to change")
            with self._lock:
                if admit is not None:
                    admit(self._board.position()[0] + 1)
                update_index, frame_index = self._board.submit(checked, arrived_s=arrived_s, given=given)
        prompt: Prompt | None = checked.get("prompt")
        return Ack(update_index, frame_index, tuple(checked), prompt, _message(checked, prompt), whole)

    def _whole_prompt(self, prompt: object) -> str | None:
        """Return what a prompt asks for that refers to those before it; empty for the source, None for all others."""
        if not isinstance(prompt, str) or not isinstance(self._model, RefersToPrompts):
            return None
        whole = self._model.whole_request(prompt, *self._board.prompts)
        return None if whole == prompt else whole or ""

    def _make_ready(self, checked: Mapping[str, Any]) -> None:
        """Prepare for the change now, so that it neither delays a frame nor fails at one."""
        now, processor = self._board.controls, self._processor()
        size: Size | None = checked.get("size", now.size) or (None if processor is None else processor.natural_size)
        if size is None:
            return
        mask = checked.get("mask", now.mask)
        if mask is not None:
            mask.prepare(size)
        if "size" in checked:
            self._resize(size)
        if processor is None:
            return
        before = processor.size
        with on_error(partial(self._resize, before)) if "size" in checked else nullcontext():
            processor.prepare(size, checked.get("seed", now.seed))


def _message(checked: Mapping[str, Any], prompt: Prompt | None) -> str:
    if prompt is not None:
        return prompt.message
    return "no prompt: the source is shown untouched" if "prompt" in checked else ""
