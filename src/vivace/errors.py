"""Every error Vivace raises on purpose: the exit code it ends a command with, and the code that programs know it by.

VivaceError
├── UsageError (2)          the caller's mistake: the message names the value and the remedy
│   ├── ControlError        a prompt, strength, mask or size that cannot be used
│   │   ├── PolicyError             what whoever runs this does not want painted
│   │   └── UnknownPromptError      text that says nothing to the model; names the nearest styles
│   ├── UnknownModelError   no profile of that name
│   └── SessionClosedError  the session has ended
├── MediaError (3)          the world's mistake on the way in or out
│   ├── SourceError
│   │   ├── SourceNotFoundError     no such file, camera or address
│   │   ├── SourceUnsupportedError  found, but not something that can be read
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
    """Return how to get the packages of an extra, as the remedy of a message."""
    return f"install the extra `{name}`: `pip install '.[{name}]'` in the folder of Vivace's source"


def describe_invalid(problems: Sequence[Mapping[str, Any]]) -> str:
    """Return what pydantic found wrong, in words: where, what, and the value if it is short.

    Args:
        problems: `ValidationError.errors()`; more than three are counted.
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
    """Base of all errors raised on purpose. No message shows a password, token or stream key."""

    exit_code: ClassVar[int] = 1
    code: str = "internal"
    """For programs: the same in Python, over HTTP, on a WebSocket and on a data channel."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        redact_error(self)


class UsageError(VivaceError):
    """The caller asked for something that cannot be; fix the call."""

    exit_code = 2
    code = "usage"


class ControlError(UsageError):
    """A control (prompt, strength, mask, size, …) has a value that cannot be used."""

    code = "control"


class UnknownPromptError(ControlError):
    """A prompt that the model cannot serve, however well the call is formed."""

    code = "unknown_prompt"

    def __init__(self, message: str, *, control: str = "prompt", matches: tuple[tuple[str, float], ...] = ()) -> None:
        """Take what to say to people, and what programs need.

        Args:
            message: why, and what the model knows instead.
            control: which it was: `prompt`, or the name of a control of the model's own.
            matches: names of the nearest styles, each of which is a prompt that the model knows, with how near they
                are, 0 to 1, nearest first.
        """
        super().__init__(message)
        self.control = control
        self.matches = matches


class PolicyError(ControlError):
    """A prompt or a picture that asks for what whoever runs this does not want painted."""

    code = "policy"

    def __init__(self, message: str, *, control: str, reason: str) -> None:
        """Take what to say to people, which control it was, and for which reason of the policy."""
        super().__init__(message)
        self.control = control
        self.reason = reason


class UnknownModelError(UsageError):
    """No profile has that name."""

    code = "unknown_model"


class SessionClosedError(UsageError):
    """The session has ended and takes no more frames or controls."""

    code = "session_ended"


class MediaError(VivaceError):
    """A source or a sink failed."""

    exit_code = 3
    code = "media"


class SourceError(MediaError):
    """A source failed."""


class SourceNotFoundError(SourceError):
    """No such file, folder, camera or address."""

    code = "not_found"


class SourceUnsupportedError(SourceError):
    """The source exists but holds nothing that can be shown."""


class DecodeError(SourceError):
    """The data is damaged; frames before the damage were delivered."""


class SourceStalledError(SourceError):
    """No frame arrived within the time-out."""


class SourceLostError(SourceError):
    """The source was delivering and vanished (an unplugged camera, a closed connection)."""


class SinkError(MediaError):
    """A sink failed; what it had written stays playable."""


class SinkUnsupportedError(SinkError):
    """No such output format, display or address."""


class SinkWriteError(SinkError):
    """Writing failed (disk full, folder gone, peer vanished)."""

    code = "storage"


class DeviceError(VivaceError):
    """This machine cannot do what was asked."""

    exit_code = 4
    code = "device"


class BackendUnavailableError(DeviceError):
    """A runtime is not installed or does not support this machine."""

    code = "unavailable"


class CapacityError(DeviceError):
    """Too little memory; the message says what would fit."""

    code = "full"


class CheckpointError(DeviceError):
    """Weights are missing, damaged or do not fit their profile."""

    code = "model_broken"


class StepError(DeviceError):
    """A model step failed; only the session it belonged to ends."""
