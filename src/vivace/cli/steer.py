"""Typed steering of a running stream: a new prompt, or another control after a slash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivace.cli.loading import texts_by_name
from vivace.errors import UsageError

if TYPE_CHECKING:
    from vivace.stream import Ack, Stream

STREAMS = {"strength": "strength", "seed": "seed", "steps": "denoising_steps"}
"""Controls of every stream, by the typed word."""
TYPED = "/strength, /seed, /steps, /look NAME.look, /set NAME=VALUE and the model's own events"


def steer(stream: Stream, line: str) -> Ack:
    """Carry out a typed line.

    Raises:
        UsageError: not one of the controls, or a value that cannot be used; nothing changes.
    """
    if not line.startswith("/"):
        return stream.update(prompt=line)
    command, _, value = line[1:].partition(" ")
    value = value.strip()
    if command in STREAMS:
        from vivace.models.controls import parse_number

        return stream.update(**{STREAMS[command]: parse_number(value) if value else None})
    if command == "look":
        return stream.update(prompt=saved_look(Path(value)))
    if command == "set":
        return stream.update(options=_options(stream, value))
    if not value and any(option.name == command and option.kind == "event" for option in stream.model.spec.options):
        return stream.update(events=[command])
    raise UsageError(f"there is no /{command[:40]}; there are {TYPED}")


def saved_look(path: Path) -> str:
    """Return the prompt that a saved look is.

    Raises:
        SourceNotFoundError: no such file.
        ControlError: it holds no look that can be used.
    """
    from vivace.models.mini2.saved import look_text, open_look

    return look_text(open_look(path))


def _options(stream: Stream, pair: str) -> dict[str, Any] | None:
    """Return what `NAME=VALUE` sets; `NAME=` is its default again, nothing at all the default of all."""
    from vivace.stream.options import parse_options

    if pair.endswith("="):
        return {pair[:-1].strip(): None}
    return parse_options(texts_by_name("/set", "NAME=VALUE", [pair]), stream.model.spec) if pair else None
