"""What may be typed while a stream runs: a new prompt, or another control after a slash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vivace.cli.loading import texts_by_name
from vivace.errors import UsageError

if TYPE_CHECKING:
    from vivace.stream import Ack, Stream

TYPED = "/strength, /seed, /steps, /negative, /set and the model's own events, such as /anchor"


def steer(stream: Stream, line: str) -> Ack:
    """Carry out a typed line.

    Raises:
        UsageError: not one of the controls, or a value that cannot be used; nothing changes.
    """
    if not line.startswith("/"):
        return stream.update(prompt=line)
    command, _, value = line[1:].partition(" ")
    if not value and any(option.name == command and option.kind == "event" for option in stream.model.spec.options):
        return stream.update(events=[command])
    if command == "set":
        texts = texts_by_name("/set", "NAME=VALUE", [value]) if value.strip() else None
        from vivace.stream.options import parse_options

        return stream.update(options=None if texts is None else parse_options(texts, stream.model.spec))
    return stream.update(**_changes(command, value.strip()))


def _changes(command: str, value: str) -> dict[str, Any]:
    match command:
        case "strength":
            return {"strength": _number(command, value, float) if value else None}
        case "seed":
            return {"seed": _number(command, value, int)}
        case "steps":
            return {"denoising_steps": _number(command, value, int) if value else None}
        case "negative":
            return {"negative_prompt": value}
    raise UsageError(f"there is no /{command[:40]}; there are {TYPED}")


def _number(command: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"/{command} {text[:40]!r} is not {what}") from error
