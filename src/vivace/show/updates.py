"""Updates from scripts, logs, OSC and sound: one form, one check, one kind of error.

A script, a log, OSC and a drive by sound all become `messages.Controls`, the update that clients of the server send,
and from there `check_changes` judges them as it judges everybody's.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vivace import messages
from vivace.checks import brief, nearest
from vivace.errors import ControlError, describe_invalid
from vivace.models.base import ModelSpec, StreamModel
from vivace.models.controls import PICTURES, ControlSpec
from vivace.stream.automation import Change
from vivace.stream.controls import OWN as OF_STREAMS
from vivace.stream.controls import Controls, check_changes
from vivace.stream.moderation import Moderator

OWN = tuple(name for name in messages.Controls.model_fields if name not in ("size", "options", "events"))
"""Controls of every stream that a show may change. Not the size: it would forget the past and scale pictures twice."""


def names_of(spec: ModelSpec) -> list[str]:
    """Return all that a surface may name of a model's streams."""
    return [*OWN, *(option.name for option in spec.options if option.scope == "frame")]


def controls_of(values: Mapping[str, object], spec: ModelSpec) -> messages.Controls:
    """Return the update that sets controls by their names, the model's own and its events among them.

    Args:
        values: by name; null is a default. An event happens where its value is true or a number above 0.
        spec: whose controls they are.

    Raises:
        ControlError: a name that nobody has declared, with the nearest one; or a value of another kind.
    """
    own: dict[str, object] = {}
    options: dict[str, object] = {}
    events: list[str] = []
    declared = {option.name: option for option in spec.options}
    for name, value in values.items():
        option = declared.get(name)
        if option is None and name in OWN:
            own[name] = value
        elif option is None:
            raise ControlError(f"there is no control {brief(name)}; {nearest(name, names_of(spec))}")
        elif option.kind != "event":
            options[name] = value
        elif happens(name, value):
            events.append(name)
    return checked_message(
        {**own, **({"options": options} if options else {}), **({"events": events} if events else {})}
    )


def happens(name: str, value: object) -> bool:
    """Tell whether a value has an event happen; a button that is let go of says 0.

    Raises:
        ControlError: it is neither true nor false, nor a number.
    """
    if isinstance(value, (bool, int, float)):
        return value > 0
    raise ControlError(f"{name} is {brief(value)}, and it happens once; give true, or 1")


def checked_message(values: Mapping[str, object]) -> messages.Controls:
    """Return values as an update.

    Raises:
        ControlError: a key or a kind of value that no update has; says where.
    """
    try:
        return messages.Controls.model_validate(dict(values))
    except ValidationError as error:
        raise ControlError(describe_invalid(error.errors())) from error


def changes_of(controls: messages.Controls) -> dict[str, Any]:
    """Return what an update sets, as `Stream.update` takes it: an empty text is none."""
    given = controls.model_dump(exclude_unset=True)
    for name in ("prompt", "mask"):
        if given.get(name) == "":
            given[name] = None
    return given


def change_of(controls: messages.Controls, model: StreamModel[Any], moderator: Moderator) -> Change:
    """Return an update with everything checked, encoded and read. Takes its time.

    Raises:
        PolicyError, UnknownPromptError, ControlError, SourceError: as `check_changes`.
    """
    given = changes_of(controls)
    return Change(given, check_changes(given, model, moderator=moderator))


def message_of(given: Mapping[str, object], spec: ModelSpec) -> messages.Controls:
    """Return an update as a message that says the same elsewhere: pictures as addresses, files by their whole path.

    Raises:
        ControlError: it holds what no message can, such as a video that is being read.
    """
    kinds = {option.name: option.kind for option in spec.options}
    said = dict(given)
    if said.get("mask") is not None:
        said["mask"] = _sendable("mask", said["mask"])
    if isinstance(options := said.get("options"), Mapping):
        said["options"] = {
            name: _sendable(name, value) if kinds.get(name) in PICTURES and value is not None else value
            for name, value in options.items()
        }
    if isinstance(events := said.get("events"), (set, frozenset)):
        said["events"] = sorted(events)
    return checked_message(said)


def _sendable(name: str, value: object) -> str:
    if isinstance(value, Path) or (isinstance(value, str) and _is_stored(value)):
        return str(Path(value).resolve())
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        return _address(bytes(value), "png")  # the kind is read from the data, not from the address
    if isinstance(value, np.ndarray):
        return _address(_png(value), "png")
    if isinstance(value, (tuple, list)):
        return ",".join(f"{number:.12g}" for number in value)
    raise ControlError(f"{name} is {brief(value)}, which a log cannot keep; give a file, an address or an array")


def _is_stored(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # an address too long for a name, or a NUL
        return False


def _address(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _png(array: NDArray[Any]) -> bytes:
    from PIL import Image

    if array.dtype == np.bool_ or np.issubdtype(array.dtype, np.floating):
        array = np.rint(array.astype(np.float64) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array).save(file, "PNG")
    return file.getvalue()


def numbers_of(spec: ModelSpec) -> dict[str, ControlSpec]:
    """Return the numbers that may change at any frame and take all values between two, by name."""
    declared = {option.name: option for option in spec.options if option.kind == "number" and option.scope == "frame"}
    return {**{name: OF_STREAMS[name] for name in ("strength", "crossfade_s")}, **declared}


def number_in_force(name: str, controls: Controls, spec: ModelSpec) -> float:
    """Return the present value of one of `numbers_of`."""
    option = next((option for option in spec.options if option.name == name), None)
    if option is None:
        return float(getattr(controls, name))
    value = controls.options.get(name, option.default)
    return float(option.low if value is None else value)
