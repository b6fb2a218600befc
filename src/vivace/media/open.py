"""The right source for a SOURCE argument, and the right sink for a SINK argument."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from vivace.errors import (
    MediaError,
    SinkUnsupportedError,
    SinkWriteError,
    SourceNotFoundError,
    SourceUnsupportedError,
    UsageError,
)
from vivace.media.clock import Clock
from vivace.media.encoders import X264, Encoder
from vivace.media.paths import NUMBERED, URL, naming
from vivace.media.picture import Warn, ignore
from vivace.media.registry import FOLDER, PICTURE_FORMATS, SINKS, SOURCES, Kind
from vivace.media.sink import Sink, SinkOptions
from vivace.media.size import Size
from vivace.media.source import STALL_TIMEOUT_S, Source

if TYPE_CHECKING:
    from vivace.media.audio import SoundSource
    from vivace.media.statement import Statement

MIN_FPS, MAX_FPS = 0.01, 1000.0
_HOST = re.compile(r"www\.|[\w-]+(\.[\w-]+)+(:\d+)?/")


def open_source(
    spec: str | Path | int,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    stall_timeout_s: float = STALL_TIMEOUT_S,
    clock: Clock = time.monotonic,
) -> Source:
    """Open a source of pictures.

    `spec` is a path, a camera number, or text as `vivace.media.registry.SOURCES` (docs/outputs.md) knows it.

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
        raise UsageError(f"the source is empty; name a file, a folder, {', '.join(SOURCES.words)} or an address")
    if isinstance(spec, int) or (isinstance(spec, str) and spec.isdigit() and not Path(spec).exists()):
        spec = f"camera:{spec}"

    def opened(kind: Kind, target: str | Path) -> Source:
        opener = _opener(kind, spec, SourceUnsupportedError)
        source: Source = opener(target, size=size, fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
        return source

    if isinstance(spec, str):
        if named := SOURCES.by_word(spec):
            return opened(*named)
        if url := URL.match(spec):
            scheme = url["scheme"].lower()
            if scheme == "file":
                spec = unquote(urlsplit(spec).path)
            elif kind := SOURCES.by_scheme(scheme):
                return opened(kind, spec)
            else:
                known = ", ".join(SOURCES.schemes)
                raise SourceUnsupportedError(f"{spec}: unknown scheme {scheme}; known are {known}")
    with naming(spec, SourceNotFoundError) as path:
        if _HOST.match(str(path)) and not Path(path.parts[0]).exists():
            raise SourceNotFoundError(f"{path}: no such file; if it is an address, write https://{path}")
        several = any(mark in path.name for mark in "*?[") or NUMBERED.search(path.name)
        if not path.exists() and not several:
            raise SourceNotFoundError(f"{path}: no such file{_near(path)}")
        suffix = path.suffix.lower() if path.is_file() else FOLDER
        return opened(SOURCES.by_suffix(suffix) or SOURCES.kinds["file"], path)


def _opener(kind: Kind, spec: str | Path | int, error: type[MediaError]) -> Callable[..., Any]:
    """Return what opens a kind.

    Raises:
        MediaError: of type `error`: it is not available here.
    """
    available, reason = kind.is_available()
    if not available:
        raise error(f"{spec}: {reason}")
    return kind.function(kind.opener)


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
    audio_from: SoundSource | None = None,
    pictures: Sequence[Path] = (),
    statement: Statement | None = None,
    endless: bool = False,
    encoder: Encoder = X264,
    warn: Warn = ignore,
) -> Sink:
    """Open a sink of pictures.

    What texts there are, `vivace.media.registry.SINKS` says (docs/outputs.md).

    Presentation times are kept, less that of the first frame; MKV and WebM round them to 1 ms, GIF to 10 ms.

    Args:
        spec: what to open.
        size: `(width, height)` of the frames to come, px; None: that of the first.
        fps: their average rate, a hint for players; times come from the frames.
        time_base: seconds per unit of pts, None: that of the first frame.
        audio_from: a source whose sound goes into the output, in step with its pictures.
        pictures: the files that frames are made of, by frame index, where each is a picture by itself
            (`SourceInfo.stills`); a picture file or a folder then takes their pictures under their own names.
        endless: whether the frames have no end that is known; HLS keeps the newest then.
        encoder: of H.264, see `vivace.media.encoders`.
        warn: told what is done otherwise than asked for, for people.
        statement: what the output says of pictures that are painted, where its kind has a place for it.

    Raises:
        SinkUnsupportedError: no such format, display or address.
        SinkWriteError: it cannot be created there.
    """
    options = SinkOptions(size, fps, time_base, audio_from, pictures, statement, encoder, warn, endless)

    def opened(kind: Kind, target: str | Path) -> Sink:
        sink: Sink = _opener(kind, spec, SinkUnsupportedError)(target, options)
        return sink

    if isinstance(spec, str):
        if not spec.strip():
            raise SinkUnsupportedError(f"the output is empty; name a file, a folder, {', '.join(SINKS.words)}")
        if named := SINKS.by_word(spec):
            return opened(*named)
        if url := URL.match(spec):
            scheme = url["scheme"].lower()
            if kind := SINKS.by_scheme(scheme):
                return opened(kind, spec)
            raise SinkUnsupportedError(f"{spec}: cannot send to {scheme}; known are {', '.join(SINKS.schemes)}")
    with naming(spec, SinkWriteError) as path:
        options.folder = str(spec).endswith(("/", "\\")) or path.is_dir()
        suffix = FOLDER if options.folder else path.suffix.lower()
        if kind := SINKS.by_suffix(suffix):
            return opened(kind, path)
        suffixes = [suffix for kind in SINKS.kinds.values() for suffix in kind.suffixes if suffix != FOLDER]
        known = ", ".join(suffix for suffix in suffixes if pictures or suffix not in PICTURE_FORMATS)
        raise SinkUnsupportedError(
            f"{path}: unknown kind of file {suffix or '(no suffix)'}; known are {known}, and / for a folder"
        )
