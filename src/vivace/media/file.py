"""Video files, every frame in order."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from vivace.errors import DecodeError, SourceError, SourceUnsupportedError
from vivace.media.audio import AudioTrack
from vivace.media.clock import Clock, Timeline
from vivace.media.frame import Frame
from vivace.media.picture import Picture, PictureConverter
from vivace.media.reader import VideoReader, open_error
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo, on_error

_DURATION = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_ONE_LENGTH = {"matroska", "flv"}
"""Containers whose header tells one length for all tracks, of which sound may be the longest."""

EARLY_END_S = 0.25
"""A video that ends this much before its container says is taken for cut short; containers round by less."""


class FileSource(Source):
    """A video file: every frame with its own time stamp, upright, square-pixelled, over black where transparent.

    Damage is survived: what decodes is delivered, what does not is left out, and `warnings` says so; a file cut short
    ends cleanly with a warning. Only a file of which nothing decodes is an error.
    """

    def __init__(
        self, path: Path, *, size: Size | None = None, max_fps: float | None = None, clock: Clock = time.monotonic
    ):
        """Open `path` and decode its first frame.

        Args:
            path: the file.
            size: `(width, height)` to deliver, px; None: as stored.
            max_fps: leave out frames that come sooner; None: all frames.
            clock: stamps `capture_time_s` when a frame is decoded.

        Raises:
            SourceNotFoundError, SourceUnsupportedError, DecodeError: it cannot be read.
        """
        super().__init__(SourceInfo(name=path.name, size=(0, 0)))
        self._path = path
        self._clock = clock
        self._max_fps = max_fps
        self._reader = VideoReader(_open(path), path.name, warn=self.warnings.append)
        with on_error(self._reader.close):
            self._start(size)

    def _start(self, size: Size | None) -> None:
        reader = self._reader
        stream = reader.stream
        self._pictures = reader.frames()
        first = next(self._pictures, None)
        if first is None:
            reader.check_kind()
            if reader.damaged_packets or stream.frames or stream.duration or reader.container.duration:
                raise DecodeError(
                    f"{self._path}: damaged or cut short, not one of its pictures can be decoded; "
                    "copy or download it again"
                )
            raise SourceUnsupportedError(f"{self._path}: holds a video track without a single frame")
        self._first: av.VideoFrame | None = first
        self._convert = PictureConverter(size=size, aspect=stream.sample_aspect_ratio, warn=self.warnings.append)
        self._first_picture: Picture | None = self._convert(first)
        container = reader.container
        told_s = _told_duration_s(stream)
        duration_s = told_s or (float(stream.duration * reader.time_base) if stream.duration else None)
        if duration_s is None and container.duration:
            duration_s = container.duration / 1e6
        self._knows_length = told_s is not None or not (
            container.streams.audio and _ONE_LENGTH & set(container.format.name.split(","))
        )
        """True where the stated length is that of the pictures, not of the sound."""
        fps = reader.fps
        self.info = SourceInfo(
            name=self._path.name,
            size=self._convert.size or (0, 0),
            fps=min(fps, self._max_fps) if fps and self._max_fps else fps,
            frames=stream.frames if stream.frames and not self._max_fps else None,
            duration_s=duration_s,
            has_audio=bool(container.streams.audio),
            rotation_deg=self._convert.rotation_deg,
            path=self._path,
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
        )

    def deliver_at(self, size: Size | None) -> None:
        """Convert to `(width, height)` px from the next frame on, None to what that one has."""
        self._convert.size = size

    def open_audio(self) -> AudioTrack | None:
        """Open the file's main audio stream, to be read independently of the pictures; what is left out is noted."""
        self._note_left_out()
        if not self.info.has_audio:
            return None
        return AudioTrack.open(f"file:{self._path}", self._path.name, self.warnings.append)

    def _note_left_out(self) -> None:
        streams = self._reader.container.streams
        sounds, subtitles = len(streams.audio), len(streams.subtitles)
        left_out = []
        if sounds > 1:
            left_out.append(f"all but one of its {sounds} sounds")
        if subtitles:
            left_out.append("its subtitles")
        note = f"{self._path.name}: {' and '.join(left_out)} are left out"
        if left_out and note not in self.warnings:
            self.warnings.append(note)

    def _read(self) -> Generator[Frame, None, None]:
        timeline = Timeline(self._reader.time_base, self._reader.step)
        pace = FrameLimit(self._max_fps)
        end_s = 0.0
        try:
            for index, picture in enumerate(self._all_pictures()):
                pts = timeline.place(picture.pts)
                time_s = float(pts * timeline.time_base)
                end_s = time_s + float((picture.duration or self._reader.step) * timeline.time_base)
                if pace.takes(time_s):
                    duration = max(picture.duration or 0, pace.interval // timeline.time_base) or None
                    rgb, alpha, decoded = self._converted(picture)
                    yield Frame(
                        rgb,
                        index,
                        pts,
                        timeline.time_base,
                        self._clock(),
                        duration=duration,
                        alpha=alpha,
                        decoded=decoded,
                    )
        except SourceError as error:
            # Everything decodable before the damage has been delivered; a file that breaks off ends there.
            self.warnings.append(str(error))
        self._note_early_end(end_s)

    def _all_pictures(self) -> Iterator[av.VideoFrame]:
        if self._first is not None:
            yield self._first
            self._first = None
        yield from self._pictures

    def _converted(self, picture: av.VideoFrame) -> Picture:
        first, self._first_picture = self._first_picture, None
        return first or self._convert(picture)

    def _note_early_end(self, end_s: float) -> None:
        stream = self._reader.stream
        if self.info.duration_s is None or not self._knows_length:
            return
        start_s = float(stream.start_time * self._reader.time_base) if stream.start_time else 0.0
        expected_s = start_s + self.info.duration_s
        if end_s < expected_s - EARLY_END_S - float(self._reader.step * self._reader.time_base):
            self.warnings.append(
                f"{self._path.name}: cut short; its pictures end at {end_s:.2f} s of {expected_s:.2f} s"
            )

    def _release(self) -> None:
        self._reader.close()


def _told_duration_s(stream: VideoStream) -> float | None:
    """Return the length of a track as Matroska's muxers tell it, in a tag."""
    told = _DURATION.fullmatch(stream.metadata.get("DURATION", ""))
    if told is None:
        return None
    hours, minutes, seconds = map(float, told.groups())
    return 3600 * hours + 60 * minutes + seconds or None


class FrameLimit:
    """Decides which frames to take so that no more than `max_fps` are, evenly spread."""

    def __init__(self, max_fps: float | None):
        self.interval = 1 / Fraction(max_fps) if max_fps else Fraction(0)
        """Seconds that a frame stands for."""
        self._interval_s = float(self.interval)
        self._next_s: float | None = None

    def takes(self, time_s: float) -> bool:
        """Tell whether the frame presented at `time_s` is taken."""
        if not self._interval_s:
            return True
        # A tenth of the interval forgives rounded time stamps.
        if self._next_s is not None and time_s < self._next_s - 0.1 * self._interval_s:
            return False
        due_s = time_s if self._next_s is None else self._next_s
        # Keep the beat, unless the stream has jumped.
        self._next_s = (due_s if time_s - due_s < self._interval_s else time_s) + self._interval_s
        return True


def _open(path: Path) -> av.container.InputContainer:
    try:
        # As a file: by FFmpeg's rules `a:b.mp4` would be an address.
        return av.open(f"file:{path}", mode="r")
    except av.InvalidDataError as error:
        if path.stat().st_size == 0:
            raise SourceUnsupportedError(f"{path}: the file is empty; copy or download it again") from error
        with path.open("rb") as file:
            is_mp4 = file.read(12)[4:8] == b"ftyp"
        if is_mp4:
            raise DecodeError(
                f"{path}: a damaged MP4 whose index is missing, as when a recording was cut off before it was finished"
            ) from error
        raise open_error(str(path), error) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise open_error(str(path), error) from error


def open_file(
    path: Path,
    *,
    size: Size | None,
    fps: float | None,
    stall_timeout_s: float,  # noqa: ARG001  (as all sources are opened)
    clock: Clock,
) -> FileSource:
    """Open a video file as a source."""
    return FileSource(path, size=size, max_fps=fps, clock=clock)
