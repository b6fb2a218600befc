"""All errors that Vivace raises on purpose, each with an exit code for commands and a code for programs.

VivaceError
├── UsageError (2)          the caller's mistake: the message names the value and the remedy
│   ├── ControlError        a prompt, strength, mask or size that cannot be used
│   │   ├── PolicyError             against the operator's policy
│   │   └── UnknownPromptError      text that the model cannot serve; names the nearest styles
│   ├── UnknownModelError   no profile of that name
│   └── SessionClosedError  the session has ended
├── MediaError (3)          a fault of the outside world on input or output
│   ├── SourceError
│   │   ├── SourceNotFoundError     no such file, camera or address
│   │   ├── SourceUnsupportedError  found, but not readable
│   │   ├── DecodeError             damaged data
│   │   ├── SourceStalledError      no frame within the time-out
│   │   └── SourceLostError         was there and vanished
│   └── SinkError
│       ├── SinkUnsupportedError    no such format, display or address
│       └── SinkWriteError          disk full, folder gone, peer vanished
└── DeviceError (4)         this machine cannot do it
    ├── BackendUnavailableError  a runtime that is not installed or not supported
    ├── CapacityError            too little memory; says what would fit
    ├── CheckpointError          weights that do not fit their profile
    └── StepError                the model failed on a frame; ends that session only
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from vivace.redaction import redact_error


def install_extra(name: str) -> str:
    """Return the remedy for a missing extra, for a message."""
    return f"install the extra `{name}`: `pip install '.[{name}]'` in the folder of Vivace's source"


def describe_invalid(problems: Sequence[Mapping[str, Any]]) -> str:
    """Return pydantic's errors in words: where, what, and the value if it is short.

    Args:
        problems: `ValidationError.errors()`; only the first three are described, the rest counted.
    """
    said = []
    for problem in problems[:3]:
        if problem["type"] == "json_invalid":
            said.append(f"not JSON ({problem['ctx']['error']}); send one JSON object")
            continue
        where = ".".join(str(part) for part in problem["loc"] if part != "body")
        value = repr(problem.get("input"))
        named = "input" not in problem or problem["type"] in ("missing", "value_error") or len(value) > 60
        said.append(
            (f"{where}: " if where else "")
            + problem["msg"].removeprefix("Value error, ")
            + ("" if named else f" (it is {value})")
        )
    return "; ".join(said) + (f" (and {len(problems) - 3} more)" if len(problems) > 3 else "")


class VivaceError(Exception):
    """Base of all errors raised on purpose. Messages never show a password, token or stream key."""

    exit_code: ClassVar[int] = 1
    code: str = "internal"
    """Code for programs: the same in Python, over HTTP, on a WebSocket and on a data channel."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        redact_error(self)


class UsageError(VivaceError):
    """Invalid request by the caller."""

    exit_code = 2
    code = "usage"


class ControlError(UsageError):
    """Unusable value of a control (prompt, strength, mask, size, …)."""

    code = "control"


class UnknownPromptError(ControlError):
    """Prompt that the model cannot serve, in a well-formed call."""

    code = "unknown_prompt"

    def __init__(
        self,
        message: str,
        *,
        control: str = "prompt",
        matches: tuple[tuple[str, float], ...] = (),
        edits: tuple[object, ...] = (),
    ) -> None:
        """Create the error.

        Args:
            message: the reason, and what the model knows instead.
            control: control that was refused: `prompt`, or the name of a control of the model's own.
            matches: nearest styles with their similarity, 0 to 1, nearest first; each name is a known prompt.
            edits: edits that were understood and cannot be made, see `vivace.models.base.PromptEdit`.
        """
        super().__init__(message)
        self.control = control
        self.matches = matches
        self.edits = edits


class PolicyError(ControlError):
    """Prompt or picture against the operator's policy."""

    code = "policy"

    def __init__(self, message: str, *, control: str, reason: str) -> None:
        """Create the error with the control and the policy's reason."""
        super().__init__(message)
        self.control = control
        self.reason = reason


class UnknownModelError(UsageError):
    """Model name without a profile."""

    code = "unknown_model"


class SessionClosedError(UsageError):
    """Session that has ended and takes no more frames or controls."""

    code = "session_ended"


class MediaError(VivaceError):
    """Failure of a source or a sink."""

    exit_code = 3
    code = "media"


class SourceError(MediaError):
    """Failure of a source."""


class SourceNotFoundError(SourceError):
    """File, folder, camera or address that does not exist."""

    code = "not_found"


class SourceUnsupportedError(SourceError):
    """Source that exists but holds nothing that can be shown."""


class DecodeError(SourceError):
    """Damaged data; frames before the damage were delivered."""


class SourceStalledError(SourceError):
    """Source that delivered no frame within the time-out."""


class SourceLostError(SourceError):
    """Source that was delivering and vanished (an unplugged camera, a closed connection)."""


class SinkError(MediaError):
    """Failure of a sink; output written before stays playable."""


class SinkUnsupportedError(SinkError):
    """Output format, display or address that does not exist."""


class SinkWriteError(SinkError):
    """Failed write (disk full, folder gone, peer vanished)."""

    code = "storage"


class DeviceError(VivaceError):
    """Request that this machine cannot fulfil."""

    exit_code = 4
    code = "device"


class BackendUnavailableError(DeviceError):
    """Runtime that is not installed or does not support this machine."""

    code = "unavailable"


class CapacityError(DeviceError):
    """Too little memory; the message says what would fit."""

    code = "full"


class CheckpointError(DeviceError):
    """Weights that are missing, damaged or do not match their profile."""

    code = "model_broken"


class StepError(DeviceError):
    """Failed model step; only the session it belongs to ends."""
