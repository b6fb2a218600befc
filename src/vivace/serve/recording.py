"""Recordings: beside the stream, in a thread of their own, playable whatever happens to the process.

A few frames wait in front of the thread and the newest win, so that a slow disk costs frames of the recording and never
of the stream. The file is fragmented MP4: what a killed process leaves behind plays up to the last half second. Beside
it lies what is known of it (`About`), written before the first frame, so that it is listed for who made it, whatever
ends it.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from threading import Lock

from pydantic import BaseModel, ValidationError

from vivace import messages
from vivace.errors import SessionClosedError, SinkError, SinkWriteError
from vivace.media.frame import Frame
from vivace.media.live_sound import LiveSound
from vivace.media.open import open_sink
from vivace.media.outlet import Outlet
from vivace.media.sink import FILE_SLACK, Sink
from vivace.media.statement import Statement
from vivace.serve.limits import RefusedError
from vivace.serve.marking import NO_MARKS, FileMarks

_log = logging.getLogger(__name__)

NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{16}\.mp4")
"""Every recording's name, and nothing else: a name from outside that does not match it is no recording."""
_STAMP = "%Y%m%d-%H%M%S"
KEEP_FREE_BYTES = 64 * 2**20
"""A recording ends while the disk still has room for what else the machine does."""
LOOK_EVERY = 25
"""Frames between two looks at the file's size."""

SinkOpener = Callable[[Path], Sink]
OnClosed = Callable[["Recording", str], None]


@dataclass(frozen=True, slots=True)
class RecordingLimits:
    """Limits at which a recording ends by itself."""

    max_bytes: int
    max_s: float
    total_bytes: int


class About(BaseModel):
    """Metadata of a recording."""

    owner: str = ""
    """Client that made it: the token, or the address where none is asked for. Empty: no longer known."""
    title: str = ""


class RecordingStore:
    """The folder of recordings: names are made here, and only names made here are found."""

    def __init__(self, folder: Path, limits: RecordingLimits) -> None:
        self.folder = folder
        self.limits = limits

    def new_path(self) -> Path:
        """Return where the next recording goes.

        Raises:
            RefusedError: the folder cannot be made, or it holds as much as it may.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"there is no folder for recordings ({error}); set one with --recordings"
            raise RefusedError("recording_space", message) from error
        used = sum(info.bytes for info in self.list())
        if used >= self.limits.total_bytes:
            message = f"the recordings take {used / 2**20:.0f} MiB, which is all they may; delete some first"
            raise RefusedError("recording_space", message)
        if self.free_bytes() < KEEP_FREE_BYTES:
            raise RefusedError("recording_space", "the disk of the recordings is full; make room first")
        return self.folder / f"{datetime.now(UTC).strftime(_STAMP)}-{secrets.token_hex(8)}.mp4"

    def free_bytes(self) -> int:
        """Return the room on the folder's disk."""
        return shutil.disk_usage(self.folder).free

    def list(self, owner: str | None = None, writing: Collection[str] = ()) -> list[messages.RecordingInfo]:
        """Return the recordings of an owner, or all, the newest first; those named in `writing` go on."""
        if not self.folder.is_dir():
            return []
        found = []
        for path in self.folder.iterdir():
            if not NAME.fullmatch(path.name) or not path.is_file() or path.is_symlink():
                continue
            about = read_about(path)
            if owner not in (None, about.owner):
                continue
            status = path.stat()
            found.append(
                messages.RecordingInfo(
                    name=path.name,
                    title=about.title,
                    bytes=status.st_size,
                    began_s=datetime.strptime(path.name[:15], _STAMP).replace(tzinfo=UTC).timestamp(),
                    modified_s=status.st_mtime,
                    writing=path.name in writing,
                    url=address_of(path.name),
                )
            )
        return sorted(found, key=lambda info: info.name, reverse=True)

    def find(self, name: str) -> Path | None:
        """Return the path of a recording, None if there is no such; never one outside the folder."""
        if not NAME.fullmatch(name):
            return None
        path = self.folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def rename(self, path: Path, title: str) -> None:
        """Give a recording another title.

        Raises:
            OSError: it cannot be written down.
        """
        _write_about(path, read_about(path).model_copy(update={"title": title}))

    def delete(self, path: Path) -> None:
        """Delete a recording and what is known of it.

        Raises:
            OSError: it cannot be deleted.
        """
        path.unlink(missing_ok=True)
        _beside(path).unlink(missing_ok=True)


class Recording:
    """One recording that is being written."""

    def __init__(
        self,
        path: Path,
        limits: RecordingLimits,
        *,
        on_closed: OnClosed,
        on_drop: Callable[[], None],
        owner: str = "",
        clock: Callable[[], float] = time.monotonic,
        open_file: SinkOpener | None = None,
        free_bytes: Callable[[], int] | None = None,
        marks: FileMarks = NO_MARKS,
        sound: LiveSound | None = None,
    ) -> None:
        """Begin; the file is created by the first frame.

        Args:
            path: of the file.
            limits: where it ends by itself.
            on_closed: called once, in the recording's thread, when the file is complete, with why it ended: empty if
                because of `stop`.
            on_drop: called for a frame that came too fast for the disk or encoder.
            owner: who makes it.
            clock: monotonic seconds.
            open_file: opens the sink (tests inject failing disks).
            free_bytes: room on the disk.
            marks: what marks the file as repainted.
            sound: goes into the file, if there is any by now.
        """
        self.name = path.name
        self._path = path
        self._limits = limits
        self._on_closed = on_closed
        self._clock = clock
        self._free_bytes = free_bytes or (lambda: shutil.disk_usage(path.parent).free)
        self._began_s = clock()
        self._reason = ""
        self._marks = marks
        self._work = marks.begin()
        heard = sound if sound is not None and sound.heard else None
        self._outlet = Outlet(
            lambda: self._begin(About(owner=owner), open_file or (lambda path: _open(path, marks.statement, heard))),
            name=f"vivace-record-{path.stem[-8:]}",
            live=True,
            slack=FILE_SLACK,
            on_drop=on_drop,
            enough=self._enough,
            on_end=self._ended,
        )

    @property
    def frames(self) -> int:
        """Frames in the file."""
        return self._outlet.frames_written

    def offer(self, frame: Frame) -> bool:
        """Leave a frame; never waits. Returns False once the recording is over."""
        self._work.see(frame)
        return self._outlet.put(frame)

    def stop(self) -> None:
        """End after what was offered; `on_closed` follows. Any number of times, any thread."""
        self._outlet.finish()

    def join(self, timeout_s: float) -> bool:
        """Wait until the file is complete; return whether it is."""
        return self._outlet.join(timeout_s)

    def _begin(self, about: About, open_file: SinkOpener) -> Sink:
        try:
            _write_about(self._path, about)
        except OSError as error:
            raise SinkWriteError(f"nothing can be written beside {self._path} ({error.strerror})") from error
        return open_file(self._path)

    def _ended(self, error: BaseException | None) -> None:
        reason = self._reason
        if isinstance(error, SinkError):
            # Of the message, what the disk says; the path is nobody's business.
            reason = f"recording ended: {str(error).replace(str(self._path), self.name)}"
        elif error is not None:
            _log.error("recording %s failed", self.name, exc_info=error)
            reason = f"recording ended: {type(error).__name__}"
        if not self._path.exists():  # no frame came
            _beside(self._path).unlink(missing_ok=True)
        elif error is None and self._marks.sign is not None:
            try:
                self._marks.sign(self._path, self._work)
            except SinkWriteError as failure:
                reason = f"{reason} {str(failure).replace(str(self._path), self.name)}".strip()
        if reason:
            _log.warning("%s: %s", self.name, reason)
        self._on_closed(self, reason)

    def _enough(self) -> bool:
        self._reason = self._end_due()
        return bool(self._reason)

    def _end_due(self) -> str:
        """Return why it is enough, or nothing."""
        if self._clock() - self._began_s >= self._limits.max_s:
            return f"recording ended: it has reached {self._limits.max_s:g} s, the longest this server allows"
        if self.frames % LOOK_EVERY == 0:
            if self._path.stat().st_size >= self._limits.max_bytes:
                return (
                    f"recording ended: it has reached {self._limits.max_bytes >> 20} MiB, the most this server allows"
                )
            if self._free_bytes() < KEEP_FREE_BYTES:
                return "recording ended: the disk is full"
        return ""


class Recorder:
    """The recordings of one session, one at a time. Thread-safe."""

    def __init__(
        self,
        store: RecordingStore | None,
        *,
        owner: str,
        tell: Callable[[messages.Recorded], None],
        on_drop: Callable[[], None],
        clock: Callable[[], float],
        marks: FileMarks = NO_MARKS,
        sound: LiveSound | None = None,
    ) -> None:
        """Record into `store`, None where nobody can, for `owner`, and `tell` of what begins and ends."""
        self._store = store
        self._owner = owner
        self._tell = tell
        self._on_drop = on_drop
        self._clock = clock
        self._marks = marks
        self._sound = sound
        self._lock = Lock()
        self._ended = False
        self._current: Recording | None = None
        self._written: list[Recording] = []
        """Recordings whose files are not complete, the present one included."""

    @property
    def current(self) -> Recording | None:
        """Recording that is being written."""
        return self._current

    def start(self, request_id: str | None = None) -> messages.Recorded:
        """Begin to record the output; the answer is also told. Goes on with a recording that there is.

        Raises:
            RefusedError: nobody can record here, or there is no room.
            SessionClosedError: the session has ended.
        """
        if self._store is None:
            raise RefusedError("recording_off", "this server does not record; start it with a folder for recordings")
        path = self._store.new_path()  # before the lock, since a disk may be slow
        with self._lock:
            if self._ended:
                raise SessionClosedError("the session has ended; open a new one")
            if self._current is None:
                self._current = Recording(
                    path,
                    self._store.limits,
                    on_closed=self._closed,
                    on_drop=self._on_drop,
                    owner=self._owner,
                    clock=self._clock,
                    marks=self._marks,
                    sound=self._sound,
                )
                self._written.append(self._current)
            begun = messages.Recorded(id=request_id, on=True, name=self._current.name)
        self._tell(begun)
        return begun

    def offer(self, frame: Frame) -> None:
        """Leave a frame for the recording, if there is one; never waits."""
        recording = self._current
        if recording is not None:
            recording.offer(frame)

    def stop(self) -> str | None:
        """End the recording and return its name, if there is one; `Recorded` is told when the file is complete."""
        with self._lock:
            recording, self._current = self._current, None
        if recording is None:
            return None
        recording.stop()
        return recording.name

    def end(self) -> tuple[Recording, ...]:
        """End for good; return the recordings whose files are being completed. `tell_end` tells of those."""
        with self._lock:
            self._ended, self._current = True, None
        for recording in self._written:
            recording.stop()
        return tuple(self._written)

    def tell_end(self) -> None:
        """Tell that what was being written has ended with the session."""
        for recording in self._written:
            self._tell(_recorded(recording.name, "the session has ended"))

    def _closed(self, recording: Recording, reason: str) -> None:
        with self._lock:
            if self._current is recording:
                self._current = None
            if self._ended:
                return  # the end has said so
            self._written.remove(recording)
        self._tell(_recorded(recording.name, reason if recording.frames else f"{reason} nothing was recorded"))


def _recorded(name: str, reason: str) -> messages.Recorded:
    return messages.Recorded(on=False, name=name, url=address_of(name), message=reason.strip())


def _open(path: Path, statement: Statement | None, sound: LiveSound | None) -> Sink:
    return open_sink(path, fps=30, time_base=Fraction(1, 90_000), statement=statement, audio_from=sound)


def read_about(path: Path) -> About:
    """Return what is known of a recording; nothing where that is lost or damaged."""
    try:
        return About.model_validate_json(_beside(path).read_bytes())
    except (OSError, ValidationError):
        return About()


def _write_about(path: Path, about: About) -> None:
    partial = _beside(path).with_suffix(f".{secrets.token_hex(4)}")
    try:
        partial.write_text(about.model_dump_json(), "utf-8")
        partial.replace(_beside(path))  # a disk that is full costs nobody what was known
    finally:
        partial.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_suffix(".json")


def address_of(name: str) -> str:
    """Return where the server hands out a recording."""
    return f"/v1/recordings/{name}"
