"""`vivace run --resume`: what a run leaves beside its output, so that the same command goes on where it was ended.

    out.mp4           what is written; playable at any moment
    out.mp4.resume    how the run was begun, and a point in it with what the model remembered there
    out.mp4.partial   the output of the run before, until this one has ended

A point is noted once the output has surely got its frames on the disk. From there on frames are painted anew, and what
the output has up to there is copied, so nothing is encoded twice. Sound is taken from the source anew, in one piece.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from vivace.errors import SinkWriteError, UsageError
from vivace.media.continued import WrittenPart, frames_in
from vivace.media.frame import Frame

if TYPE_CHECKING:
    from vivace.media.encode import VideoSink
    from vivace.stream import Stream
    from vivace.stream.processor import ResumePoint

POINT_FRAMES = 64
"""Frames between two points: what an end costs; the memory of `mini` is some megabytes."""
SETTLED_S = 1.5
"""After so much more of the output a point's frames are in the file: three fragments."""


@dataclass(frozen=True, slots=True)
class _Note:
    """A point, and what the output has there."""

    point: ResumePoint
    part: WrittenPart
    settled_s: float
    """Presentation time of the frame that shows that it is on the disk."""


class Resumable:
    """A run that leaves notes. Frames are `see`n by the thread that makes them, and noted by the one that writes."""

    def __init__(self, sink: VideoSink, begun: Mapping[str, Any]) -> None:
        """Look at what an earlier run has left beside the output of `sink`, and have that go on from it.

        Args:
            sink: not written to yet.
            begun: how the run was begun, as JSON has it; what differs from the earlier one is refused.

        Raises:
            UsageError: the output is there and no notes are, or they are of a run that was begun otherwise.
            SinkWriteError: the notes cannot be read, or the output holds fewer frames than they say.
        """
        assert sink.path is not None
        self._path = sink.path
        self._notes = sink.path.with_name(f"{sink.path.name}.resume")
        self._partial = sink.path.with_name(f"{sink.path.name}.partial")
        self._begun = json.loads(json.dumps(begun))
        self._due: deque[_Note] = deque()
        self.stream: Stream | None = None
        """Stream whose frames are seen."""
        self.part: WrittenPart | None = None
        """Part of the output that is there already; None of a new run."""
        self.point: ResumePoint | None = None
        """Point of the stream where that part ends."""
        if self._notes.exists():
            self._take_up(sink)
        elif self._path.exists():
            raise UsageError(
                f"{self._path} is there, and nothing beside it to go on from: it is complete, or was begun without "
                "--resume; move it away, or name another place with -o."
            )
        self._part: WrittenPart | None = self.part
        self._seen = self._last = self.frames
        """Frames of the output that have been made, and those of them before the newest point."""

    def _take_up(self, sink: VideoSink) -> None:
        begun, self.point, part = self._read()
        for name in sorted(begun.keys() | self._begun.keys()):
            before, now = begun.get(name), self._begun.get(name)
            if before != now:
                raise UsageError(
                    f"{self._path} was begun with {name} {before!r}, and now it is {now!r}: give what it was, or "
                    f"{self._anew}."
                )
        # The newer output, unless it was ended before it had got as far as the one it was copied from.
        for path in (self._path, self._partial):
            if part.frames and path.exists() and frames_in(path) >= part.frames:
                if path == self._path:
                    path.replace(self._partial)
                self.part = replace(part, path=self._partial)
                sink.go_on_from(self.part)
                return
        if part.frames:
            raise SinkWriteError(f"{self._path}: holds fewer than the {part.frames} frames it had; {self._anew}")

    @property
    def _anew(self) -> str:
        return f"remove {self._notes} and {self._path} to begin anew"

    @property
    def frames(self) -> int:
        """Number of frames the output has already."""
        return self.part.frames if self.part else 0

    def see(self, frame: Frame) -> Frame:
        """Take note of a frame that leaves the model."""
        assert self.stream is not None
        self._seen += 1
        if self._part is None:
            self._part = WrittenPart(self._path, 0, frame.pts, frame.time_base)
        if self._seen - self._last >= POINT_FRAMES and (point := self.stream.save(frame)) is not None:
            self._last = self._seen
            self._due.append(_Note(point, replace(self._part, frames=self._seen), frame.pts_s + SETTLED_S))
        return frame

    def noted(self, frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
        """Yield frames, and note a point once the taker has written enough after it."""
        if self.part is None:
            from vivace.stream.processor import BEGINNING

            self._write(_Note(BEGINNING, WrittenPart(self._path, 0, 0, Fraction(1)), 0.0))
        with closing(frames):
            for frame in frames:
                yield frame
                note = None
                while self._due and self._due[0].settled_s <= frame.pts_s:
                    note = self._due.popleft()
                if note is not None:
                    self._write(note)

    @property
    def note(self) -> str:
        """Sentence to tell before the first frame; empty of a new run."""
        assert self.stream is not None
        if self.part is None or self.point is None:
            return ""
        nearly = (
            ""
            if self.point.memory is not None
            else (f"; {self.stream.model.spec.name} looks at those before again, so the look may differ a little there")
        )
        return f"note: going on after the {self.part.frames} frames that {self._path} has{nearly}"

    def done(self) -> None:
        """Remove what is beside the output: it is complete."""
        for path in (self._notes, self._partial):
            path.unlink(missing_ok=True)

    def _write(self, note: _Note) -> None:
        point, part = note.point, note.part
        text = json.dumps(
            {
                "begun": self._begun,
                "index": point.index,
                "painting": point.painting,
                "remembers": point.memory is not None,
                "frames": part.frames,
                "start_pts": part.start_pts,
                "time_base": str(part.time_base),
            }
        )
        made = self._notes.with_name(f"{self._notes.name}.new")
        try:
            # On the disk in this order, or a power cut would leave a note of frames that are not there.
            if part.frames:
                with self._path.open("r+b") as output:
                    os.fsync(output.fileno())
            with made.open("wb") as file:
                np.savez(file, notes=np.array(text), **(point.memory or {}))  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            made.replace(self._notes)
        except OSError as error:
            raise SinkWriteError(f"{self._notes}: cannot be written ({error.strerror})") from error

    def _read(self) -> tuple[dict[str, Any], ResumePoint, WrittenPart]:
        from vivace.stream.processor import ResumePoint

        try:
            with self._notes.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                memory = {name: kept[name] for name in kept.files if name != "notes"}
                notes = json.loads(str(kept["notes"]))
            point = ResumePoint(notes["index"], memory if notes["remembers"] else None, notes["painting"])
            part = WrittenPart(self._path, notes["frames"], notes["start_pts"], Fraction(notes["time_base"]))
            return notes["begun"], point, part
        except Exception as error:  # a damaged file makes NumPy raise all kinds
            raise SinkWriteError(f"{self._notes}: cannot be read ({error}); {self._anew}") from error
