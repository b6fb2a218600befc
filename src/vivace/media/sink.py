"""What a sink of pictures is, and `open_sink`, which finds the right one for a SINK argument."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media.frame import Frame
from vivace.media.paths import NUMBERED, URL, naming
from vivace.media.size import Size

if TYPE_CHECKING:
    from vivace.media.source import Source

FILE_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
URL_FORMATS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}
PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


class Sink(ABC):
    """Takes frames in order. A context manager; `write` and `close` belong to one thread.

    After a `SinkWriteError` what was written stays playable, and `close()` is still to be called.
    """

    name: str = ""
    """For people: where the pictures go."""
    frames_written: int = 0
    stills: bool = False
    """True where each frame is a picture by itself that goes under a name of its own, by its index."""
    finished: bool = False
    """True once the receiver wants no more (the preview window was closed): end the stream, nothing has failed."""

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Write one frame.

        Raises:
            SinkWriteError: disk full, folder gone, peer vanished.
        """

    def replaces(self, path: Path) -> bool:  # noqa: ARG002
        """Tell whether writing would replace the file at `path`."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Finish what has been written; safe to call twice. Raises SinkWriteError when finishing fails."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SinkWriteError:
            if error is None:
                raise
            # The error on its way out is the cause; what follows from it would hide it.


def written_name(picture: Path) -> str:
    """Return the name under which what is made of a picture file is written: its own, or that of a PNG."""
    return picture.name if picture.suffix.lower() in PICTURE_FORMATS else f"{picture.stem}.png"


class NullSink(Sink):
    """Counts frames and forgets them."""

    name = "null"

    def write(self, frame: Frame) -> None:  # noqa: ARG002
        """Count the frame."""
        self.frames_written += 1

    def close(self) -> None:
        """Do nothing."""


def open_sink(
    spec: str | Path,
    *,
    size: Size | None = None,
    fps: float | Fraction | None = None,
    time_base: Fraction | None = None,
    audio_from: Source | None = None,
    pictures: Sequence[Path] = (),
) -> Sink:
    """Open a sink of pictures.

    | text | sink |
    |---|---|
    | `out.mp4`, `.mov`, `.mkv` | H.264; playable if the process dies half-way |
    | `out.webm` | VP9 |
    | `out.gif` | animated, a palette for each frame |
    | `frames/`, `frames/%05d.jpg` | numbered pictures: PNG, JPEG or WebP |
    | `ink.png`, `inks/`, with `pictures` | one photograph, or several that keep their names |
    | `window` | a preview window |
    | `null` | nowhere |
    | `rtmp://…`, `rtsp://…`, `udp://…` | a network stream |

    Presentation times are kept, less that of the first frame; MKV and WebM round them to 1 ms, GIF to 10 ms.

    Args:
        spec: what to open.
        size: `(width, height)` of the frames to come, px; None: that of the first.
        fps: their average rate, a hint for players; times come from the frames.
        time_base: seconds per unit of pts, None: that of the first frame.
        audio_from: a source whose sound goes into the output, in step with its pictures.
        pictures: the files that frames are made of, by frame index, where each is a picture by itself
            (`SourceInfo.stills`); a picture file or a folder then takes their pictures under their own names.

    Raises:
        SinkUnsupportedError: no such format, display or address.
        SinkWriteError: it cannot be created there.
    """
    if isinstance(spec, str):
        if not spec.strip():
            raise SinkUnsupportedError("the output is empty; name a file, a folder, window or null")
        word = spec.partition(":")[0]
        if spec == "null":
            return NullSink()
        if spec == "window":
            from vivace.media.window import WindowSink

            return WindowSink()
        if word in ("virtual", "whip", "whips"):
            remedy = (
                "there is no virtual camera yet; show a `window` and capture it with OBS"
                if word == "virtual"
                else "WHIP is WebRTC, which comes with `vivace serve` (extra `serve`); use a file, rtmp or `window`"
            )
            raise SinkUnsupportedError(f"{spec}: {remedy}")
        if url := URL.match(spec):
            scheme = url["scheme"].lower()
            return _open_url(spec, scheme, size=size, fps=fps, time_base=time_base, audio_from=audio_from)
    with naming(spec, SinkWriteError) as path:
        suffix = path.suffix.lower()
        folder = str(spec).endswith(("/", "\\")) or path.is_dir()
        numbered = NUMBERED.search(path.name) is not None
        if folder or suffix in PICTURE_FORMATS:
            from vivace.media.images import ImagesSink, StillsSink

            if pictures and not numbered:
                if not folder:
                    _check_place(path, None)
                return StillsSink(path, pictures, folder=folder)
            if not folder and not numbered:
                raise SinkUnsupportedError(
                    f"{path}: one picture cannot hold a stream; name a video, {path.stem}.mp4, a folder, {path.stem}/, "
                    f"or numbered pictures, {path.stem}-%05d{path.suffix}"
                )
            return ImagesSink(path)
        if suffix != ".gif" and suffix not in FILE_FORMATS:
            known = ", ".join([*(PICTURE_FORMATS if pictures else ()), *FILE_FORMATS, ".gif"])
            raise SinkUnsupportedError(
                f"{path}: unknown kind of file {suffix or '(no suffix)'}; known are {known}, and / for a folder"
            )
        _check_place(path, audio_from)
        if suffix == ".gif":
            from vivace.media.gif import GifSink

            return GifSink(path)
        from vivace.media.encode import VideoSink

        return VideoSink(path, FILE_FORMATS[suffix], size=size, fps=fps, time_base=time_base, audio_from=audio_from)


def _open_url(
    url: str,
    scheme: str,
    *,
    size: Size | None,
    fps: float | Fraction | None,
    time_base: Fraction | None,
    audio_from: Source | None,
) -> Sink:
    if scheme not in URL_FORMATS:
        raise SinkUnsupportedError(f"{url}: cannot send to {scheme}; known are {', '.join(URL_FORMATS)}")
    from vivace.media.encode import VideoSink

    return VideoSink(url, URL_FORMATS[scheme], size=size, fps=fps, time_base=time_base, audio_from=audio_from)


def _check_place(path: Path, audio_from: Source | None) -> None:
    """Refuse a place that cannot be written before any work is done. The file itself is created by the first frame."""
    if not path.parent.is_dir():
        raise SinkWriteError(f"{path}: there is no folder {path.parent}; create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkWriteError(f"{path}: no permission to write there")
    source = audio_from.info.path if audio_from is not None else None
    if source is not None and path.exists() and path.samefile(source):
        raise SinkUnsupportedError(f"{path}: is the source itself; name another file")
