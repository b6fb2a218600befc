"""The right source for a SOURCE argument, and the right sink for a SINK argument."""

from __future__ import annotations

import difflib
import os
import re
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vivace.errors import SinkUnsupportedError, SinkWriteError, SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.media.clock import Clock
from vivace.media.paths import NUMBERED, URL, naming
from vivace.media.registry import source_opener, source_words
from vivace.media.sink import PICTURE_FORMATS, NullSink, Sink
from vivace.media.size import Size
from vivace.media.source import PICTURE_SUFFIXES, STALL_TIMEOUT_S, URL_SCHEMES, Source

MIN_FPS, MAX_FPS = 0.01, 1000.0

FILE_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
URL_FORMATS = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp", "udp": "mpegts", "tcp": "mpegts"}

_WEBRTC = re.compile(r"^(whep|whip)s?:", re.IGNORECASE)


def open_source(
    spec: str | Path | int,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    clock: Clock = time.monotonic,
) -> Source:
    """Open a source of pictures.

    `spec` is a path, a camera number, or text:

    | text | source |
    |---|---|
    | `clip.mp4` | any file FFmpeg reads; pictures end with the file |
    | `camera`, `camera:1`, `camera:NAME` | a camera by number or by (part of) its name |
    | `screen` | the main display |
    | `scene`, `scene:city`, `scene:city?seed=3&frames=90` | a procedural scene, endless unless `frames` is given |
    | `scene:walkers?edit=night` | one of the benchmark's scenes, rendered edited |
    | `photo.jpg`, `photos/`, `photos/*.jpg` | photographs, or in the order of their names frames of a video |
    | `frames/%05d.png` | numbered pictures: the frames of a video |
    | `rtsp://…`, `rtmp://…`, `http://…`, `udp://…` | a network stream |

    Args:
        spec: what to open.
        size: `(width, height)` that frames shall have. Scenes render at it, cameras and screens are asked for it,
            and whatever comes in another shape is scaled to cover it, what is over being cut off evenly.
        fps: frame rate to ask of scenes, cameras, screens and picture folders; for files and streams an upper limit
            (frames that come too soon are left out).
        stall_timeout_s: a live source or address that gives nothing for so long is stalled.
        clock: monotonic clock that stamps `capture_time_s`.

    Raises:
        UsageError: an empty text, an absurd size, rate, seed or number of frames.
        SourceNotFoundError: no such file, camera, display, scene or address.
        SourceUnsupportedError: it exists but holds no video.
        DecodeError: it holds video of which nothing can be decoded.
        SourceStalledError: it gave no first frame in time.
    """
    if size is not None and not (1 <= size[0] <= 16384 and 1 <= size[1] <= 16384):
        raise UsageError(f"size {size[0]}x{size[1]} is not between 1x1 and 16384x16384 px")
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        raise UsageError(f"fps is {fps:g}; give {MIN_FPS:g} to {MAX_FPS:g} frames a second")
    if isinstance(spec, str) and not spec.strip():
        raise UsageError(f"the source is empty; name a file, a folder, {', '.join(source_words())} or an address")
    if isinstance(spec, int) or (isinstance(spec, str) and spec.isdigit() and not Path(spec).exists()):
        spec = f"camera:{spec}"
    if isinstance(spec, str):
        word, _, rest = spec.partition(":")
        if opener := source_opener(word):
            return opener(rest, size=size, fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
        if _WEBRTC.match(spec):
            raise SourceUnsupportedError(
                f"{spec}: WHEP is WebRTC, which comes with `vivace serve` (extra `serve`); "
                f"here use a file, {', '.join(source_words())}, or an rtsp, rtmp, http or udp address"
            )
        if url := URL.match(spec):
            scheme = url["scheme"].lower()
            if scheme == "file":
                spec = unquote(urlsplit(spec).path)
            elif scheme in URL_SCHEMES:
                from vivace.media.network import open_url

                return open_url(spec, size=size, max_fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
            else:
                raise SourceUnsupportedError(f"{spec}: unknown scheme {scheme}; known are {', '.join(URL_SCHEMES)}")
    with naming(spec, SourceNotFoundError) as path:
        return _open_path(path, size, fps, clock)


def _open_path(path: Path, size: tuple[int, int] | None, fps: float | None, clock: Clock) -> Source:
    from vivace.media.file import FileSource
    from vivace.media.images import ImagesSource, is_animated

    if path.is_dir():
        return ImagesSource(path, size=size, fps=fps, clock=clock)
    if not path.exists():
        if any(mark in path.name for mark in "*?[") or NUMBERED.search(path.name):
            return ImagesSource(path, size=size, fps=fps, clock=clock)
        raise SourceNotFoundError(f"{path}: no such file{_near(path)}")
    if path.suffix.lower() in PICTURE_SUFFIXES and not is_animated(path):
        return ImagesSource(path, size=size, fps=fps, clock=clock)
    return FileSource(path, size=size, max_fps=fps, clock=clock)


def _near(path: Path) -> str:
    """Return ` (did you mean …?)` for a mistyped name, or nothing."""
    if not path.parent.is_dir():
        return f": there is no folder {path.parent}"
    names = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=1, cutoff=0.75)
    return f"; did you mean {path.parent / names[0]}?" if names else ""


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
