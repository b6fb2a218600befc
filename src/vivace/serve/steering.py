"""Controls on their way from a message to the control board, and the answer on its way back.

What a prompt that the model cannot serve means is decided here and nowhere else: an update with it is refused, a
session that would begin with it begins without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from vivace import messages
from vivace.errors import ControlError, PolicyError, UnknownPromptError, VivaceError
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.models.base import ModelSpec, PicksPlaces, StreamModel
from vivace.models.controls import PICTURES
from vivace.serve.limits import SharedOptionError
from vivace.serve.served_model import ServedModel
from vivace.stream.controls import Ack, ControlBoard, Controls, check_changes
from vivace.stream.mask import MASK
from vivace.stream.moderation import Moderator
from vivace.stream.pictures import read_sent
from vivace.stream.processor import FrameProcessor
from vivace.stream.steering import Steering

MAX_PENDING = 64
"""Updates whose first frame has not come out; of more at once only the newest matter."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Beginning of a session: its controls and what was left out of them."""

    controls: Controls
    notices: tuple[messages.Notice, ...] = ()
    """Notices of controls that were asked for and left out."""
    given: messages.Controls = field(default_factory=messages.Controls)
    """Controls that were asked for and are in force."""


def check_opening(controls: messages.Controls, model: StreamModel[Any], max_px: int, moderator: Moderator) -> Opening:
    """Return what a session begins with; a prompt that the model cannot serve is left out, with a notice. Takes time.

    Raises:
        PolicyError: the moderator refuses a text or a picture.
        ControlError: anything else that cannot be used.
        SharedOptionError: an option that is not for one client to set.
    """
    changes = {"denoising_steps": None, "strength": None, **changes_of(controls, model.spec, max_px)}
    notices: list[messages.Notice] = []
    while True:
        try:
            checked = check_changes(changes, model, opening=True, moderator=moderator)
            left_out = {notice.control for notice in notices}
            return Opening(Controls().changed(checked), tuple(notices), _without(controls, left_out))
        except UnknownPromptError as error:
            (changes if error.control == "prompt" else changes["options"]).pop(error.control)
            notices.append(_notice(error))


def _without(controls: messages.Controls, names: Set[str]) -> messages.Controls:
    """Return an update but for what some controls were set to."""
    given = {name: value for name, value in controls.model_dump(exclude_unset=True).items() if name not in names}
    if given.get("options"):
        given["options"] = {name: value for name, value in given["options"].items() if name not in names}
    return messages.Controls.model_validate(given)


def _notice(error: UnknownPromptError) -> messages.Notice:
    return messages.Notice(
        code="unknown_prompt",
        message=f"{str(error).rstrip('.')}. The session begins without it.",
        control=error.control,
        matches=list(error.matches),
        understood=_understood(error.edits),
    )


class SessionSteering:
    """Takes updates of one session as messages, one at a time, and answers them. Thread-safe."""

    def __init__(
        self,
        served: ServedModel,
        board: ControlBoard,
        notices: tuple[messages.Notice, ...] = (),
        *,
        max_px: int,
        processor: Callable[[], FrameProcessor | None],
        resize: Callable[[Size], None],
        moderator: Moderator,
    ) -> None:
        """Steer what `processor` returns, if it is open yet; `resize` asks for room, and raises RefusedError."""
        self.lock = Lock()
        """Held while controls change; whoever opens or reshapes the model takes it too."""
        self.notices = notices
        """Notices of controls that the session still goes without."""
        self._served = served
        self._board = board
        self._max_px = max_px
        self._steering = Steering(served.model, board, processor, resize=resize, moderator=moderator)
        self._pending: deque[tuple[int, float]] = deque(maxlen=MAX_PENDING)

    @property
    def controls(self) -> Controls:
        """Controls in force."""
        return self._board.controls

    def places_at(self, rgb: Rgb | None, x: float, y: float) -> tuple[str, ...]:
        """Return the places at a point of a picture, shares of its width and height, the likeliest first. Takes time.

        Raises:
            ControlError: the model knows no places, or there is no picture yet.
        """
        model = self._served.model
        if not isinstance(model, PicksPlaces):
            raise ControlError(f"{self._served.name} paints whole pictures; nothing in them can be picked")
        if rgb is None:
            raise ControlError("there is no picture yet to pick a place in; try again when there is one")
        height, width, _ = rgb.shape
        return model.places_at(rgb, min(int(x * width), width - 1), min(int(y * height), height - 1))

    def update(self, controls: messages.Controls, request_id: str | None, arrived_s: float) -> messages.Ack:
        """Change controls and answer; what cannot be done is refused as a whole, with the reason. Takes its time."""
        code = reason = ""
        matches: Sequence[tuple[str, float]] = ()
        edits: Sequence[Any] = ()
        with self.lock:
            try:
                changes = changes_of(controls, self._served.model.spec, self._max_px)
                # Noted before it is in force: the engine may make its first frame in the same moment.
                ack = self._steering.update(
                    changes,
                    arrived_s=arrived_s,
                    admit=lambda number: self._pending.append((number, arrived_s)),
                    given=controls.model_dump(exclude_unset=True),
                )
            except VivaceError as error:
                ack = Ack(*self._board.position(), (), None, str(error))
                code = error.code
                reason = error.reason if isinstance(error, PolicyError) else ""
                if isinstance(error, UnknownPromptError):
                    matches, edits = error.matches, error.edits
            else:
                named = {*ack.applied, *(controls.options or ())}
                self.notices = tuple(notice for notice in self.notices if notice.control not in named)
                if ack.prompt is not None:
                    matches, edits = ack.prompt.matches, ack.prompt.edits
        return messages.Ack(
            id=request_id,
            accepted=not code,
            frame_index=ack.frame_index,
            update_index=ack.update_index,
            applied=list(ack.applied),
            message=ack.message,
            code=code,
            reason=reason,
            prompt=ack.whole_prompt,
            matches=list(matches),
            understood=_understood(edits),
        )

    def reached(self, control_index: int) -> list[tuple[int, float]]:
        """Return the updates that a frame made with `control_index` is the first of: number and arrival."""
        first = []
        while self._pending and self._pending[0][0] <= control_index:
            first.append(self._pending.popleft())
        return first


def merged(before: messages.Controls, update: messages.Controls) -> messages.Controls:
    """Return the controls in force after an update of others: options merge, and events have happened."""
    given = update.model_dump(exclude_unset=True, exclude={"events"})
    if given.get("options") is not None:
        given["options"] = {**(before.options or {}), **given["options"]}
    return messages.Controls.model_validate({**before.model_dump(exclude_unset=True, exclude={"events"}), **given})


def _understood(edits: Sequence[Any]) -> list[messages.Understood]:
    """Return the edits of a prompt (`PromptEdit`) as clients are told of them."""
    return [
        messages.Understood(
            action=edit.action, what=list(edit.what), on=list(edit.on), keep=list(edit.keep), amount=edit.amount
        )
        for edit in edits
    ]


def told_to_others(controls: messages.Controls) -> dict[str, Any]:
    """Return what others are told of an update: all but pictures, which are large, and events, which have happened."""
    told = controls.model_dump(mode="json", exclude_unset=True, exclude={"mask", "events"})
    if options := told.pop("options", None):
        told["options"] = {name: value for name, value in options.items() if not str(value).startswith("data:")}
    return {name: value for name, value in told.items() if value != {}}


def changes_of(controls: messages.Controls, spec: ModelSpec, max_px: int) -> dict[str, Any]:
    """Return the controls of a message by the names the stream knows, pictures decoded.

    What was left out is missing, and None, which is null in the message, is the default.

    Raises:
        ControlError: a picture that cannot be used, or beyond `max_px` pixels.
        SharedOptionError: an option that is not for one client to set.
    """
    given = {name: getattr(controls, name) for name in controls.model_fields_set}
    if (prompt := given.get("prompt")) is not None and not prompt.strip():
        given["prompt"] = None
    if (mask := given.get("mask")) is not None:
        given["mask"] = read_sent(MASK, mask, max_px) if mask else None
    if given.get("options") is not None:
        given["options"] = dict(given["options"])
    options = given.get("options") or {}
    for option in spec.options:
        if option.shared and option.name in (*options, *(given.get("events") or ())):
            raise SharedOptionError(
                f"option {option.name} changes {spec.name} for everybody on this server; it is fixed when the server "
                "starts, so ask who runs it, or leave it out"
            )
        if option.kind in PICTURES and isinstance(sent := options.get(option.name), str):
            options[option.name] = read_sent(option, sent, max_px) if sent else None
    return given
