"""Script of a show: a timeline in TOML.

    title = "An evening"
    bpm = 120                  # what a beat is, in place of `beats = "sound"`, which hears them
    first_beat_s = 0.5

    [[cue]]
    time = 0                   # seconds of the stream, or "1:05.5"
    prompt = "ink"

    [[cue]]
    beat = 32                  # counted from 0
    strength = 0.3
    over = 8                   # numbers glide there, in beats, or in seconds where the cue has a time

A cue sets any control by its name, the model's own among them, and has its events happen (`anchor = true`). `look` is a
saved look, and `defaults` names what is at its default again. Files are looked for beside the script.
"""

from __future__ import annotations

import re
import tomllib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from vivace.checks import Table, brief, number_in
from vivace.errors import ControlError, SourceError, SourceNotFoundError, describe_invalid
from vivace.media.frame import Frame
from vivace.media.paths import naming
from vivace.media.size import Size
from vivace.models.base import ModelSpec, StreamModel
from vivace.models.controls import PICTURES
from vivace.show.cues import close_masks, prepare_masks
from vivace.show.updates import change_of, controls_of, number_in_force, numbers_of
from vivace.stream.automation import Change
from vivace.stream.controls import Controls
from vivace.stream.moderation import NOBODY, Moderator

MAX_BYTES = 64 * 1024 * 1024
MAX_TIME_S = 1e7
"""Latest time of a cue and longest glide, s: four months."""

Unit = Literal["s", "beat"]
BeatClock = Callable[[Frame, float], float]
"""Returns where in the beats a frame is that is so many seconds after the first: 0 on the first beat, below before."""

_CLOCK_TIME = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)")


class _Script(Table):
    title: str = ""
    bpm: float | None = Field(None, gt=0, le=1000)
    first_beat_s: float = Field(0.0, ge=0, le=MAX_TIME_S)
    beats: Literal["sound"] | None = None
    cue: list[dict[str, Any]] = Field([], max_length=100_000)


@dataclass(frozen=True, slots=True)
class Cue:
    """Something that happens at a time."""

    at: float
    unit: Unit
    values: Mapping[str, object]
    """Values by the names of controls, events among them."""
    over: float = 0.0
    """Length of the glide of numbers, in the same unit."""
    where: str = ""
    """Place in the script, for messages."""


@dataclass(frozen=True, slots=True)
class Script:
    """A timeline, by time; cues in beats are apart where beats are heard and not counted."""

    title: str
    cues: tuple[Cue, ...]
    folder: Path = Path()
    """Folder of the script, in which its pictures are looked for."""

    @property
    def hears_beats(self) -> bool:
        """True where some happen at beats that only the sound tells."""
        return any(cue.unit == "beat" for cue in self.cues)


def read_script(path: Path) -> Script:
    """Read a script.

    Raises:
        SourceNotFoundError: there is none of that name.
        ControlError: it is none; says where.
    """
    with naming(path, SourceNotFoundError) as named:
        if named.stat().st_size > MAX_BYTES:
            raise ControlError(f"{path}: is larger than any script; give a TOML file")
        data = named.read_bytes()
    try:
        script = _Script.model_validate(tomllib.loads(data.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlError(f"{path}: is no TOML ({str(error)[:120]})") from error
    except ValidationError as error:
        raise ControlError(f"{path}: {describe_invalid(error.errors())}") from error
    if script.bpm is not None and script.beats is not None:
        raise ControlError(f"{path}: bpm counts beats and beats = 'sound' hears them; leave out one of the two")
    cues = []
    for number, table in enumerate(script.cue, 1):
        try:
            cues.append(_cue(table, script, path.parent, f"{path}, cue {number}"))
        except ControlError as error:
            raise ControlError(f"{path}, cue {number}: {error}") from error
    # At one time in the order of the file.
    return Script(script.title, tuple(sorted(cues, key=lambda cue: cue.at)), path.parent)


def _cue(table: Mapping[str, Any], script: _Script, folder: Path, where: str) -> Cue:
    values = dict(table)
    if ("time" in values) == ("beat" in values):
        raise ControlError("give it either a time, in seconds, or a beat")
    unit: Unit = "s" if "time" in values else "beat"
    at = _seconds(values.pop("time")) if unit == "s" else _position("beat", values.pop("beat"))
    over = _position("over", values.pop("over", 0.0))
    defaults = values.pop("defaults", [])
    if not isinstance(defaults, list) or not all(isinstance(name, str) for name in defaults):
        raise ControlError(f"defaults is {brief(defaults)}; give a list of the names of controls")
    values = {**dict.fromkeys(defaults), **values}
    if "look" in values:
        if "prompt" in values:
            raise ControlError("a look is in place of a prompt; leave out one of the two")
        values["prompt"] = _saved_look(folder / _text("look", values.pop("look")))
    where += f" (at {at:g} s)" if unit == "s" else f" (at beat {at:g})"
    if unit == "beat" and script.beats is None:
        if script.bpm is None:
            raise ControlError("it has a beat; say how long one is with `bpm`, or that they are heard: beats = 'sound'")
        at, over, unit = script.first_beat_s + at * 60 / script.bpm, over * 60 / script.bpm, "s"
    return Cue(at, unit, values, over, where)


def _seconds(value: object) -> float:
    if isinstance(value, str) and (match := _CLOCK_TIME.fullmatch(value.strip())):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    return _position("time", value)


def _position(name: str, value: object) -> float:
    return number_in(name, value, 0, MAX_TIME_S, "give a number from 0, or a time as '1:05.5'")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ControlError(f"{name} is {brief(value)}; give the name of a file")
    return value


def _saved_look(path: Path) -> str:
    from vivace.models.mini2.saved import look_text, open_look

    return look_text(open_look(path))


def _beside(folder: Path, value: object) -> object:
    """Return the picture that a value names; a file, or a folder of them, that lies beside the script by its path."""
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 1024:
        return value
    try:
        beside = folder / value
        return str(beside) if beside.exists() else value
    except OSError:
        return value


@dataclass(slots=True)
class _Glide:
    """A number on its way."""

    name: str
    start: float
    goal: float
    from_: float
    over: float
    unit: Unit
    whole: bool

    def at(self, position: float) -> float:
        share = (position - self.from_) / self.over
        value = self.goal if share >= 1 else self.start + (self.goal - self.start) * share
        return round(value) if self.whole else value


@dataclass(frozen=True, slots=True)
class _Ready:
    """A cue with everything of it checked."""

    cue: Cue
    at_once: Change | None
    glides: Mapping[str, float]
    """Goals of numbers, by name."""


class Timeline:
    """Plays a script."""

    def __init__(
        self,
        script: Script,
        model: StreamModel[Any],
        beats: BeatClock | None = None,
        moderator: Moderator = NOBODY,
    ) -> None:
        """Check every cue, and encode and read what it has; takes its time.

        Args:
            script: what to play.
            model: what is steered.
            beats: tells beats, for a script that hears them.
            moderator: who may refuse its texts and pictures.

        Raises:
            ControlError: a name nobody has declared, with the nearest one, or a value that cannot be used.
            SourceError: a picture that is missing or cannot be read.
        """
        self._model = model
        self._moderator = moderator
        self._beats = beats
        self._folder = script.folder
        self._left: dict[Unit, deque[_Ready]] = {"s": deque(), "beat": deque()}
        self._gliding: dict[str, _Glide] = {}
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            for cue in script.cues:
                self._left[cue.unit].append(self._ready(cue))
            on_failure.pop_all()

    def _ready(self, cue: Cue) -> _Ready:
        spec = self._model.spec
        pictures = {"mask", *(option.name for option in spec.options if option.kind in PICTURES)}
        values = {
            name: _beside(self._folder, value) if name in pictures else value for name, value in cue.values.items()
        }
        try:
            # All of it, so that a goal out of range is refused now.
            change: Change | None = change_of(controls_of(values, spec), self._model, self._moderator)
            glides = _numbers(cue, spec) if cue.over else {}
            if glides:
                close_masks([change] if change else ())
                rest = {name: value for name, value in values.items() if name not in glides}
                change = change_of(controls_of(rest, spec), self._model, self._moderator) if rest else None
        except ControlError as error:
            raise ControlError(f"{cue.where}: {error}") from error
        except SourceError as error:
            raise type(error)(f"{cue.where}: {error}") from error
        return _Ready(cue, change, glides)

    def prepare(self, size: Size) -> None:
        """Have masks ready, see `Automation`."""
        prepare_masks(self._changes(), size)

    def due(self, frame: Frame, time_s: float, controls: Callable[[], Controls]) -> Iterable[Change]:
        """Return what is in force from a frame on."""
        positions: dict[Unit, float] = {"s": time_s}
        if self._beats is not None:
            positions["beat"] = self._beats(frame, time_s)
        for unit, position in positions.items():
            left = self._left[unit]
            while left and left[0].cue.at <= position:
                ready = left.popleft()
                self._begin_glides(ready, controls())
                if ready.at_once is not None:
                    yield ready.at_once
        if self._gliding:
            yield self._glide(positions)

    def _begin_glides(self, ready: _Ready, controls: Controls) -> None:
        for name in ready.cue.values:
            self._gliding.pop(name, None)  # what is said last counts
        for name, goal in ready.glides.items():
            spec, cue = self._model.spec, ready.cue
            start, whole = number_in_force(name, controls, spec), numbers_of(spec)[name].whole
            self._gliding[name] = _Glide(name, start, goal, cue.at, cue.over, cue.unit, whole)

    def _glide(self, positions: Mapping[Unit, float]) -> Change:
        values = {}
        for glide in [*self._gliding.values()]:
            position = positions[glide.unit]
            values[glide.name] = glide.at(position)
            if position >= glide.from_ + glide.over:
                del self._gliding[glide.name]
        return change_of(controls_of(values, self._model.spec), self._model, self._moderator)

    def _changes(self) -> Iterable[Change]:
        return (ready.at_once for left in self._left.values() for ready in left if ready.at_once is not None)

    def close(self) -> None:
        """Close what was never played."""
        close_masks(self._changes())
        for left in self._left.values():
            left.clear()


def _numbers(cue: Cue, spec: ModelSpec) -> dict[str, float]:
    """Return the numbers of a cue that glide.

    Raises:
        ControlError: there are none.
    """
    glides = {
        name: float(value)
        for name, value in cue.values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and name in numbers_of(spec)
    }
    if not glides:
        raise ControlError("it has `over`, and no number that could glide there; leave it out")
    return glides
