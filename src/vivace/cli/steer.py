"""What may be typed while a stream runs: a new prompt, or another control after a slash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vivace.cli.loading import texts_by_name
from vivace.errors import UsageError

if TYPE_CHECKING:
    from vivace.stream import Ack, Stream

TYPED = "/strength, /seed, /steps, /set NAME=VALUE and the model's own events"


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
        return stream.update(options=_options(stream, value.strip()))
    return stream.update(**_changes(command, value.strip()))


def _options(stream: Stream, pair: str) -> dict[str, Any] | None:
    """Return what `NAME=VALUE` sets; `NAME=` is its default again, nothing at all the default of all."""
    from vivace.stream.options import parse_options

    if pair.endswith("="):
        return {pair[:-1].strip(): None}
    return parse_options(texts_by_name("/set", "NAME=VALUE", [pair]), stream.model.spec) if pair else None


def _changes(command: str, value: str) -> dict[str, Any]:
    match command:
        case "strength":
            return {"strength": _number(command, value, float) if value else None}
        case "seed":
            return {"seed": _number(command, value, int)}
        case "steps":
            return {"denoising_steps": _number(command, value, int) if value else None}
    raise UsageError(f"there is no /{command[:40]}; there are {TYPED}")


def _number(command: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        return kind(text)
    except ValueError as error:
        what = "a whole number" if kind is int else "a number"
        raise UsageError(f"/{command} {text[:40]!r} is not {what}") from error
