"""A show kept in memory while it is played, to be written as a script, with times in place of frames."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

from vivace import messages
from vivace.media.frame import Frame
from vivace.models.base import ModelSpec
from vivace.show.updates import OWN
from vivace.stream.automation import Witness

MAX_UPDATES = 20_000
MAX_CHARS = 8 * 1024 * 1024
"""Limit of the kept updates as JSON: some pictures, and faders moved for half an hour."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Moment:
    """An update at the time of the first frame made with it."""

    time_s: float
    controls: messages.Controls


class KeptShow(Witness):
    """Keeps updates as messages, up to a limit beyond which nothing more is kept."""

    def __init__(self, opening: messages.Controls, spec: ModelSpec) -> None:
        self._spec = spec
        self._lock = Lock()
        self._moments = [Moment(0.0, opening)]
        self._waiting: deque[tuple[int, messages.Controls]] = deque()
        """Updates whose first frame has not come, with its index."""
        self._origin_s: float | None = None
        self._chars = 0
        self._full = False

    def updated(self, update_index: int, frame_index: int, given: Mapping[str, object]) -> None:  # noqa: ARG002
        """Take an update, which is given as that of a message."""
        controls = messages.Controls.model_validate(dict(given))
        with self._lock:
            self._chars += len(controls.model_dump_json(exclude_unset=True))
            if len(self._moments) + len(self._waiting) >= MAX_UPDATES or self._chars > MAX_CHARS:
                self._full = True
            if not self._full:
                self._waiting.append((frame_index, controls))

    def entered(self, frame: Frame, time_s: float, effort: float) -> None:  # noqa: ARG002  (what witnesses are told)
        """Take the time of a frame."""
        with self._lock:
            if self._origin_s is None:
                self._origin_s = time_s
            while self._waiting and self._waiting[0][0] <= frame.index:
                self._moments.append(Moment(time_s - self._origin_s, self._waiting.popleft()[1]))

    def script(self, title: str = "") -> str:
        """Return what was played up to now as a script that `read_script` reads."""
        with self._lock:
            moments, full = [*self._moments], self._full
        note = ["# More was played than is kept: what came later is not in here.", ""] if full else []
        return "\n".join([f"title = {_text(title)}", "", *note, *cues_of(moments, self._spec)])


def cues_of(moments: Iterable[Moment], spec: ModelSpec) -> Iterable[str]:
    """Yield the lines of cues; what sets nothing that a script may set is none."""
    for moment in moments:
        lines = [*_lines(moment.controls, spec)]
        if lines:
            # Never later than the frame itself.
            yield from ("[[cue]]", f"time = {math.floor(moment.time_s * 1e3 + 1e-6) / 1e3!r}", *lines, "")


def _lines(controls: messages.Controls, spec: ModelSpec) -> Iterable[str]:
    given = controls.model_dump(exclude_unset=True)
    steerable = {option.name for option in spec.options if option.scope == "frame" and option.kind != "event"}
    values = {name: given[name] for name in OWN if name in given}
    if "options" in given:
        options = dict.fromkeys(sorted(steerable)) if given["options"] is None else given["options"]
        values |= {name: value for name, value in options.items() if name in steerable}
    values |= dict.fromkeys(given.get("events") or (), True)
    # No prompt, and no region, are written as empty texts; TOML has no null for what is at its default again.
    for name in ("prompt", "mask"):
        if name in values and values[name] is None:
            values[name] = ""
    defaults = [name for name, value in values.items() if value is None]
    for name, value in values.items():
        if value is not None:
            yield f"{_key(name)} = {_value(value)}"
    if defaults:
        yield f"defaults = [{', '.join(map(_text, defaults))}]"


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but that TOML wants one for delete, too.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
