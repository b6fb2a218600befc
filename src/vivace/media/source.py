"""What a source of pictures is, and `open_source`, which finds the right one for a SOURCE argument."""

from __future__ import annotations

import difflib
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from vivace.errors import SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.media.clock import Clock
from vivace.media.frame import Frame
from vivace.media.paths import NUMBERED, URL, naming

if TYPE_CHECKING:
    from vivace.media.audio import AudioTrack

STALL_TIMEOUT_S = 10.0
"""Cameras take up to some seconds to start and network cameras some more; beyond ten nothing is coming."""

MIN_FPS, MAX_FPS = 0.01, 1000.0

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "rtp")
URL_SCHEMES = (*LIVE_SCHEMES, "http", "https", "hls")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")

_WEBRTC = re.compile(r"^(whep|whip)s?:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known about a source before its frames are read."""

    name: str
    """For people: the file name, address, or device name."""
    size: tuple[int, int]
    """`(width, height)` of the frames delivered, px."""
    fps: float | None = None
    """Average frame rate; None where it is not known."""
    frames: int | None = None
    """Number of frames; None where it is not known or has no end."""
    duration_s: float | None = None
    """Length; None where it is not known or has no end."""
    live: bool = False
    """True when pictures exist only now: what is not taken in time is lost."""
    has_audio: bool = False
    """True when `open_audio()` will give a track."""
    rotation_deg: int = 0
    """Degrees counter-clockwise by which stored pictures are turned to stand upright (frames already are)."""
    codec: str = ""
    """FFmpeg's name of the video codec, empty where there is none."""
    path: Path | None = None
    """The file read, for file sources."""
    pixel_format: str = ""
    """FFmpeg's name of the stored pixel format, empty where there is none."""
    stills: bool = False
    """True where each frame is a picture file of its own, and no number in its name says that they are one video."""


class _Delivery(Iterator[Frame]):
    """A generator that one thread may close while another reads it."""

    def __init__(self, frames: Generator[Frame, None, None]) -> None:
        self._frames = frames
        self._running = threading.Lock()

    def __next__(self) -> Frame:
        # Waits while another thread closes, and then finds the end.
        with self._running:
            return next(self._frames)

    def close(self) -> bool:
        """End the frames; return False if one is being read, which only its reader can end."""
        if not self._running.acquire(blocking=False):
            return False
        try:
            self._frames.close()
        finally:
            self._running.release()
        return True


class Source(ABC):
    """Frames in order, once. A context manager; iterate it for `Frame`s.

    `close()` may be called from any thread and ends the iteration after the frame being read.
    """

    def __init__(self, info: SourceInfo) -> None:
        self.info = info
        self.warnings: list[str] = []
        """What was wrong with the data and survived, for people; grows while reading."""
        self.ended = False
        """True once the source has delivered its last frame by itself."""
        self._stop = threading.Event()
        self._released = False
        self._iterator: _Delivery | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Return the one iterator over the frames that are left.

        Raises:
            SourceStalledError: no frame within the time-out.
            SourceLostError: a live source vanished and did not come back.
            DecodeError: damaged beyond going on.
        """
        if self._iterator is None:
            self._iterator = _Delivery(self._deliver())
        return self._iterator

    def _deliver(self) -> Generator[Frame, None, None]:
        try:
            if self._stop.is_set():
                return
            with closing(self._read()) as frames:
                for frame in frames:
                    if self._stop.is_set():
                        return
                    yield frame
                    if self._stop.is_set():
                        return
            self.ended = True
        finally:
            self._release_once()

    @abstractmethod
    def _read(self) -> Generator[Frame, None, None]:
        """Yield the frames; runs in the thread that iterates."""

    def _release(self) -> None:  # noqa: B027 - nothing to let go of is a fine default
        """Let go of files and devices; called once, never while `_read` is running."""

    def _release_once(self) -> None:
        if not self._released:
            self._released = True
            self._release()

    def deliver_at(self, size: tuple[int, int] | None) -> None:  # noqa: B027 - delivering as before is a fine default
        """Be asked for frames of `(width, height)` px from the next one on, None for each at its own; any thread.

        A source that converts pictures anyway converts them to this size at once, covering it as `size` of
        `open_source` does. Others go on as before, so whoever asks scales what comes otherwise.
        """

    @property
    def files(self) -> Sequence[Path]:
        """The files that are read, which a sink must not replace; none for devices, addresses and scenes."""
        return [] if self.info.path is None else [self.info.path]

    def open_audio(self) -> AudioTrack | None:
        """Open the audio that belongs to the pictures, to be read independently; None where there is none."""
        return None

    def close(self) -> None:
        """Stop; safe to call twice and from another thread."""
        self._stop.set()
        if self._iterator is not None and not self._iterator.close():
            return  # Running in another thread, which notices `_stop` after its frame and releases.
        self._release_once()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        raise UsageError("the source is empty; name a file, a folder, camera, screen, scene or an address")
    if isinstance(spec, int) or (isinstance(spec, str) and spec.isdigit() and not Path(spec).exists()):
        spec = f"camera:{spec}"
    if isinstance(spec, str):
        word, _, rest = spec.partition(":")
        if word == "camera":
            from vivace.media.camera import open_camera

            return open_camera(rest, size=size, fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
        if spec == "screen":
            from vivace.media.screen import open_screen

            return open_screen(size=size, fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
        if word == "scene":
            return _open_scene(rest, size, fps, clock)
        if _WEBRTC.match(spec):
            raise SourceUnsupportedError(
                f"{spec}: WHEP is WebRTC, which comes with `vivace serve` (extra `serve`); "
                "here use a file, camera, screen, scene, or an rtsp, rtmp, http or udp address"
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


def _open_scene(rest: str, size: tuple[int, int] | None, fps: float | None, clock: Clock) -> Source:
    from vivace.media.scenes import DEFAULT_FPS, DEFAULT_SCENE, DEFAULT_SIZE, SceneSource

    name, _, query = rest.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    try:
        seed = int(options.pop("seed", "0"))
        frames = int(options.pop("frames")) if "frames" in options else None
    except ValueError as error:
        raise UsageError(
            f"scene:{rest}: seed and frames are whole numbers, as in scene:city?seed=3&frames=90"
        ) from error
    if seed < 0 or (frames is not None and frames < 1):
        raise UsageError(f"scene:{rest}: seed counts from 0 and frames from 1, as in scene:city?seed=3&frames=90")
    edit = options.pop("edit", None)
    if options:
        raise UsageError(f"scene:{rest}: unknown option {', '.join(options)}; known are seed, frames and edit")
    return SceneSource(
        name or DEFAULT_SCENE,
        size=size or DEFAULT_SIZE,
        fps=fps or DEFAULT_FPS,
        seed=seed,
        frames=frames,
        edit=edit,
        clock=clock,
    )


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
