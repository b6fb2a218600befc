"""Log of a show, in JSON lines: each update with the first frame made with it, so that it can be painted again.

    {"vivace_show": 1, "model": "mini", "controls": {"prompt": "ink", "seed": 7}, …}      how it was opened
    {"update": 1, "frame": 120, "controls": {"prompt": "neon"}}                           what an `Ack` said
    {"frame": 120, "time_s": 5.005, "effort": 0.75}                                       live: what was painted, how
    {"end": 912}                                                                          how many frames there were

`controls` are those of an update in `messages`. A log that ends early, with the machine, is good up to its last whole
line. Frames are noted in live runs alone: otherwise every frame is painted, at full effort, at the source's own times.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import Field, JsonValue, ValidationError

from vivace import messages
from vivace.checks import Table, brief
from vivace.errors import ControlError, SinkWriteError, SourceNotFoundError, describe_invalid
from vivace.media.frame import Frame
from vivace.media.paths import naming
from vivace.models.base import ModelSpec
from vivace.show.updates import message_of
from vivace.stream.automation import Course, Witness

VERSION = 1


class Opening(Table):
    """First line: model, flags and controls that the show began with."""

    vivace_show: int
    """Version of the form."""
    model: str
    flags: dict[str, JsonValue] = Field({})
    """Flags of the command line by which the model was loaded and the source opened."""
    source: str = ""
    """Name of the source, for people."""
    live: bool = False
    payload: str | None = None
    """Payload of the watermark, 12 hexadecimal digits: it is part of the pictures."""
    controls: messages.Controls


class Updated(Table):
    """Update, and the first frame made with it."""

    update: int = Field(ge=0)
    frame: int = Field(ge=0)
    controls: messages.Controls


class Taken(Table):
    """Frame that a live run painted."""

    frame: int = Field(ge=0)
    time_s: float = Field(allow_inf_nan=False)
    effort: float = Field(ge=0, le=1)


class End(Table):
    """Last line: number of frames."""

    end: int = Field(ge=0)


Line = Opening | Updated | Taken | End


@dataclass(frozen=True, slots=True)
class Show:
    """A log that was read."""

    opening: Opening
    updates: tuple[Updated, ...]
    course: Course | None
    """Frames of a live show, with their times and efforts; None of any other."""
    frames: int | None
    """Index after that of its last frame; None of a log that ended early and names no frames."""


class ShowLog(Witness):
    """Writes a log. It is told in the threads where things happen, and `write` is called in one."""

    def __init__(self, path: Path, opening: Opening, spec: ModelSpec) -> None:
        """Begin a log, which takes the place of a file that is there once there is something to write."""
        self.path = path
        self._spec = spec
        self._live = opening.live
        self._told: deque[tuple[int, int, Mapping[str, object]] | Taken] = deque()
        self.end = 0
        """Index after that of the newest frame that anybody was given."""
        self._opening = opening
        self._file: IO[str] | None = None
        self._over = False
        """True once the log is closed, or could not be written: nothing more is taken, and nothing is piled up."""

    def updated(self, update_index: int, frame_index: int, given: Mapping[str, object]) -> None:
        """Take an update."""
        if not self._over:
            self._told.append((update_index, frame_index, _kept(given)))

    def entered(self, frame: Frame, time_s: float, effort: float) -> None:
        """Take a frame."""
        if self._live and not self._over:
            self._told.append(Taken(frame=frame.index, time_s=time_s, effort=effort))

    def write(self) -> None:
        """Write what was told since the last time; nothing any more once that has failed, or the log is closed.

        Raises:
            SinkWriteError: disk full, folder gone.
            ControlError: an update that no log can keep.
        """
        if self._over:
            return
        with self._ending_where_it_fails():
            if self._file is None:
                with naming(self.path, SinkWriteError) as named:
                    # A line at a time, so that what happened is kept whatever happens next.
                    self._file = named.open("w", encoding="utf-8", buffering=1)
                self._put(self._file, self._opening)
            while self._told:
                told = self._told.popleft()
                if isinstance(told, tuple):
                    update_index, frame_index, given = told
                    controls = message_of(given, self._spec)
                    self._put(self._file, Updated(update=update_index, frame=frame_index, controls=controls))
                else:
                    self._put(self._file, told)

    def _put(self, file: IO[str], line: Line) -> None:
        file.write(line.model_dump_json(exclude_unset=True) + "\n")

    @contextmanager
    def _ending_where_it_fails(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SinkWriteError) as error:
            self._over = True
            self._told.clear()
            if self._file is not None:
                with suppress(OSError):  # the same again, of what could not be written
                    self._file.close()
            if isinstance(error, SinkWriteError):
                raise
            raise SinkWriteError(f"{self.path}: the log cannot be written ({error.strerror})") from error

    def close(self) -> None:
        """Write the rest and the end. Any number of times.

        Raises:
            SinkWriteError: disk full, folder gone.
        """
        if self._over or self._file is None:
            return  # all is written, or nothing was played
        self.write()
        with self._ending_where_it_fails():
            self._put(self._file, End(end=self.end))
            self._file.close()
        self._over = True


def _kept(given: Mapping[str, object]) -> Mapping[str, object]:
    """Return values that nobody changes any more."""
    copies = {name: value.copy() for name, value in given.items() if isinstance(value, np.ndarray)}
    return {**given, **copies}


def read_show(path: Path) -> Show:
    """Read a log.

    Raises:
        SourceNotFoundError: there is none of that name.
        ControlError: it is none, of another version, or damaged; says in which line.
    """
    with naming(path, SourceNotFoundError) as named:
        lines = named.read_bytes().split(b"\n")
    lines.pop()  # after the last end of a line: nothing, or a line that was cut off
    if not lines:
        raise ControlError(f"{path}: holds no show; give a file that `vivace run --log` has written")
    opening = _line(path, 1, lines[0])
    if not isinstance(opening, Opening):
        raise ControlError(f"{path}: begins with no show; give a file that `vivace run --log` has written")
    if opening.vivace_show != VERSION:
        raise ControlError(
            f"{path}: a show of version {opening.vivace_show}; this Vivace reads version {VERSION}, get the other one"
        )
    updates: list[Updated] = []
    frames: dict[int, tuple[float, float]] = {}
    end: int | None = None
    for number, text in enumerate(lines[1:], 2):
        line = _line(path, number, text)
        if isinstance(line, Opening):
            raise ControlError(f"{path}, line {number}: another show begins; keep one a file")
        if isinstance(line, Updated):
            if updates and line.frame < updates[-1].frame:
                raise ControlError(f"{path}, line {number}: frame {line.frame} comes after {updates[-1].frame}")
            updates.append(line)
        elif isinstance(line, Taken):
            frames[line.frame] = line.time_s, line.effort
        else:
            end = line.end
    if end is None and frames:
        end = max(frames) + 1
    if end is not None:
        frames = {index: taken for index, taken in frames.items() if index < end}  # others were never shown
    return Show(opening, tuple(updates), Course(frames) if opening.live else None, end)


_BY_KEY: tuple[tuple[str, type[Table]], ...] = (
    ("vivace_show", Opening),
    ("update", Updated),
    ("end", End),
    ("frame", Taken),
)


def _line(path: Path, number: int, text: bytes) -> Line:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ControlError(f"{path}, line {number}: not JSON ({str(error)[:80]})") from error
    kind = next((kind for key, kind in _BY_KEY if isinstance(found, dict) and key in found), None)
    if kind is None:
        raise ControlError(f"{path}, line {number}: {brief(text.decode(errors='replace'))} is no line of a show")
    try:
        made: Any = kind.model_validate(found)
    except ValidationError as error:
        raise ControlError(f"{path}, line {number}: {describe_invalid(error.errors())}") from error
    line: Line = made
    return line
