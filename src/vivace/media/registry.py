"""Kinds of source and of output: the texts that name them, their availability here, and their openers.

They are known without importing any of that. Another distribution brings one by an entry point of the group
`vivace.sources` or `vivace.sinks`, named like the kind, which leads to a `Kind`:

    [project.entry-points."vivace.sinks"]
    wall = "led_wall.kind:WALL"

A program adds one with `SINKS.add(Kind(…))`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vivace.plugins import function, plugins

PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Pictures that are written, by suffix, as Pillow calls them."""
VIDEO_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
ADDRESS_FORMATS = {
    "rtmp": "flv",
    "rtmps": "flv",
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "udp": "mpegts",
    "tcp": "mpegts",
}
"""FFmpeg's muxers, by suffix and by scheme."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".webp")
"""Pictures that are read."""
LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "rtp")
FOLDER = "/"
"""Stands for a folder among suffixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of source or of output. Functions are named as `module:name`, and imported when they are needed."""

    name: str
    texts: str
    """Notation, for people."""
    about: str
    """Description, for people."""
    opener: str = ""
    """A source's is `open(target, *, size, fps, stall_timeout_s, clock) -> Source`, with what `open_source` was asked
    for, an output's `open(target, options: SinkOptions) -> Sink`. `target` is what follows the word, the whole address,
    or a `Path`. Empty for what is known by name alone."""
    words: tuple[str, ...] = ()
    """Texts that name it; one that ends with a colon is followed by something."""
    schemes: tuple[str, ...] = ()
    """Schemes of its addresses."""
    suffixes: tuple[str, ...] = ()
    """Suffixes of its files, with their dot and in lower case, and `/` for folders."""
    lacking: str = ""
    """`lacking() -> str` tells what this machine lacks for it and what to do, nothing where it has all. Of a kind
    without an opener the text itself: why there is none, and what to use instead."""

    def is_available(self) -> tuple[bool, str]:
        """Return whether it can be opened here, and if not, why and what to do; may take a moment."""
        reason = self.lacking
        if self.opener and self.lacking:
            try:
                reason = self.function(self.lacking)()
            except Exception as error:  # noqa: BLE001  (another's package may fail in any way; it is the reason then)
                reason = f"what it needs cannot be told ({error})"
        return not reason, reason

    def function(self, reference: str) -> Callable[..., Any]:
        """Return the function that `module:name` names; errors are those of `plugins.function`."""
        return function(reference, f"`{self.name}`")


class Registry:
    """All kinds of source, or all of output."""

    def __init__(self, group: str, what: str, *kinds: Kind) -> None:
        """Hold our own kinds; others come by entry points of the group when they are first asked for."""
        self._group = group
        self._what = what
        self._kinds = {kind.name: kind for kind in kinds}
        self._complete = False

    def add(self, kind: Kind) -> None:
        """Add a kind, or put it in the place of the one of its name."""
        self._kinds[kind.name] = kind

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """All by name, ours first."""
        if not self._complete:
            self._complete = True
            for kind in plugins(self._group, Kind, self._what, self._kinds):
                self.add(kind)
        return self._kinds

    def by_word(self, text: str) -> tuple[Kind, str] | None:
        """Return the kind that a text names, and what follows its word; None where it is an address or a path."""
        for kind in self.kinds.values():
            for word in kind.words:
                if text == word or (word.endswith(":") and text.lower().startswith(word)):
                    return kind, text[len(word) :]
        return None

    def by_scheme(self, scheme: str) -> Kind | None:
        """Return the kind of an address."""
        return next((kind for kind in self.kinds.values() if scheme in kind.schemes), None)

    def by_suffix(self, suffix: str) -> Kind | None:
        """Return the kind of a file, or of a folder (`/`)."""
        return next((kind for kind in self.kinds.values() if suffix in kind.suffixes), None)

    @property
    def words(self) -> list[str]:
        """Words that can be given alone."""
        return [word for kind in self.kinds.values() if kind.opener for word in kind.words if word[-1] != ":"]

    @property
    def schemes(self) -> list[str]:
        """Schemes of addresses."""
        return [scheme for kind in self.kinds.values() for scheme in kind.schemes]

    def lines(self) -> list[str]:
        """Return how each is written and what it is."""
        return [f"{kind.texts}: {kind.about}" for kind in self.kinds.values() if kind.opener]


SOURCES = Registry(
    "vivace.sources",
    "kind of source",
    Kind(
        name="camera",
        texts="`camera`, `camera:1`, `camera:NAME`",
        about="a camera by number or by (part of) its name",
        opener="vivace.media.camera:open_camera",
        words=("camera", "camera:"),
    ),
    Kind(
        name="screen",
        texts="`screen`",
        about="the main display",
        opener="vivace.media.screen:open_screen",
        words=("screen", "screen:"),
    ),
    Kind(
        name="pictures",
        texts="`photo.jpg`, `photos/`, `photos/*.jpg`, `frames/%05d.png`",
        about="photographs, or frames of a video in the order of their names, which numbered ones always are",
        opener="vivace.media.animation:open_images",
        suffixes=(FOLDER, *PICTURE_SUFFIXES),
    ),
    Kind(
        name="file",
        texts="`clip.mp4`",
        about="any file FFmpeg reads; pictures end with the file",
        opener="vivace.media.file:open_file",
    ),
    Kind(
        name="stream",
        texts="`rtsp://…`, `rtmp://…`, `http://…`, `udp://…`",
        about="a network stream",
        opener="vivace.media.network:open_url",
        schemes=(*LIVE_SCHEMES, "http", "https", "hls"),
    ),
    Kind(
        name="srt",
        texts="`srt://…`",
        about="a network stream",
        schemes=("srt",),
        lacking="this FFmpeg has no SRT; have a program that does send it on, such as `srt-live-transmit srt://… "
        "udp://127.0.0.1:9000`, and read `udp://127.0.0.1:9000`",
    ),
    Kind(
        name="whep",
        texts="`whep:https://…`",
        about="what a WHEP server plays, over WebRTC",
        opener="vivace.client.whip:open_whep",
        words=("whep:",),
        lacking="vivace.media.webrtc:lacking",
    ),
)

SINKS = Registry(
    "vivace.sinks",
    "kind of output",
    Kind(
        name="video",
        texts="`out.mp4`, `.mov`, `.mkv`, `.webm`",
        about="a video, H.264 (WebM: VP9); playable if the process dies half-way",
        opener="vivace.media.encode:open_file",
        suffixes=tuple(VIDEO_FORMATS),
    ),
    Kind(
        name="hls",
        texts="`live/index.m3u8`",
        about="HLS for any web server to hand out: fMP4 segments and low-latency parts, H.264 and AAC",
        opener="vivace.media.hls:open_hls",
        suffixes=(".m3u8",),
    ),
    Kind(
        name="gif",
        texts="`out.gif`",
        about="animated, a palette for each frame",
        opener="vivace.media.gif:open_gif",
        suffixes=(".gif",),
    ),
    Kind(
        name="pictures",
        texts="`frames/`, `frames/%05d.jpg`, of photographs `ink.png` or `inks/`",
        about="numbered pictures, or photographs that keep their names: PNG, JPEG or WebP",
        opener="vivace.media.images:open_pictures",
        suffixes=(FOLDER, *PICTURE_FORMATS),
    ),
    Kind(
        name="window",
        texts="`window`",
        about="a preview window",
        opener="vivace.media.window:open_window",
        words=("window",),
        lacking="vivace.media.window:lacking",
    ),
    Kind(
        name="null",
        texts="`null`",
        about="nowhere",
        opener="vivace.media.sink:open_null",
        words=("null",),
    ),
    Kind(
        name="stream",
        texts="`rtmp://…`, `rtmps://…`, `rtsp://…`, `udp://HOST:PORT`, `tcp://HOST:PORT`",
        about="a network stream: H.264 and AAC; UDP and TCP carry MPEG-TS, and a multicast group may be the host",
        opener="vivace.media.transmit:open_address",
        schemes=tuple(ADDRESS_FORMATS),
    ),
    Kind(
        name="virtual",
        texts="`virtual`, `virtual:10`, `virtual:NAME`",
        about="a virtual camera for calls and OBS, on Linux a v4l2loopback device",
        opener="vivace.media.virtual_camera:open_virtual",
        words=("virtual", "virtual:"),
        lacking="vivace.media.virtual_camera:lacking",
    ),
    Kind(
        name="srt",
        texts="`srt://…`",
        about="a network stream",
        schemes=("srt",),
        lacking="this FFmpeg has no SRT; send `udp://127.0.0.1:9000` to a program that does, such as "
        "`srt-live-transmit udp://:9000 srt://…`, or use RTMP or WHIP",
    ),
    Kind(
        name="whip",
        texts="`whip:https://…`",
        about="a WHIP server, over WebRTC",
        opener="vivace.client.whip:open_whip",
        words=("whip:",),
        lacking="vivace.media.webrtc:lacking",
    ),
)
