"""HTTP live streaming (RFC 8216 and its successor): fMP4 segments, parts of them, and a playlist, in a folder.

Any web server hands them out, and nothing has to be asked: a player reads the playlist again and again. Parts of a
fifth of a second, each a file of its own, are named before their segment is complete, so that a player that knows
low-latency HLS need not wait for it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, cast

import av
from av.container import OutputContainer

from vivace.media.encode import KEYFRAME_S, FileOpener, VideoSink, flush_packets, open_plain
from vivace.media.sink import SinkOptions, check_place

PART_S = 0.2
"""A part ends with the first picture after so long."""
PART_TARGET_S = 0.35
"""The longest part at 10 frames a second and more."""
HOLD_BACK = 3
"""Parts that a player stays behind the newest, at least (RFC 8216bis, 4.4.3.8)."""
KEPT = 10
"""Complete segments of an endless stream that stay; the rest is deleted, two segments after it left the playlist."""
PARTS_KEPT = 3
"""Segments whose parts are in the playlist (RFC 8216bis, 6.2.2)."""
_NON_SYNC = 0x0001_0000
_FRAGMENTS = {
    "movflags": "frag_keyframe+empty_moov+default_base_moof+delay_moov",
    "frag_duration": str(round(PART_S * 1e6)),
}


@dataclass(slots=True)
class _Part:
    name: str
    duration_s: float
    independent: bool
    data: bytes


@dataclass(slots=True)
class _Segment:
    number: int
    parts: list[_Part] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return sum(part.duration_s for part in self.parts)


class HlsSink(VideoSink):
    """A playlist with what it lists beside it, H.264 and AAC; of an endless stream the last twenty seconds."""

    def __init__(
        self, playlist: Path, options: SinkOptions | None = None, *, open_file: FileOpener = open_plain
    ) -> None:
        """Prepare; files are made when pictures come. Those of an earlier stream of this name make way.

        Raises:
            SourceError: the sound cannot be read.
        """
        super().__init__(playlist, "mp4", options, open_file=open_file)
        self.live = bool(options and options.endless)
        self._playlist = playlist
        self._packager = _Packager(playlist, open_file, endless=self.live)

    @property
    def path(self) -> None:
        """None: a stream is many files."""
        return

    def written(self) -> Mapping[Path, int]:
        """Return the segments that are there, once the stream is complete."""
        there = self._closed and not self._failed
        return dict.fromkeys(self._packager.segments(), 0) if there else {}

    def close(self) -> None:
        """Finish the last segment, and say in the playlist that nothing more comes."""
        if self._closed:
            return
        super().close()
        if not self._failed and self.frames_written:
            try:
                self._packager.finish()
            except OSError as error:
                raise self._failure(error) from error

    def _open_container(self) -> OutputContainer:
        self._packager.clear()
        container = av.open(cast(Any, self._packager), "w", format="mp4", options=dict(_FRAGMENTS))
        flush_packets(container)
        return container

    def _wants_keyframe(self, since_s: float) -> bool:
        return since_s >= KEYFRAME_S


class _Packager:
    """Takes a fragmented MP4 as it is written, and makes files of it: a fragment is a part."""

    def __init__(self, playlist: Path, open_file: FileOpener, *, endless: bool) -> None:
        self._playlist = playlist
        self._open_file = open_file
        self._endless = endless
        self._pending = bytearray()
        self._head = bytearray()
        self._moof = b""
        self._timescale = 0
        self._track = 0
        self._segment = _Segment(0)
        self._complete: list[_Segment] = []
        self._longest_part_s = PART_TARGET_S
        self._longest_s = KEYFRAME_S + 1

    # What the muxer sees

    def write(self, data: bytes) -> int:
        """Take bytes; raises OSError where a file cannot be written."""
        self._pending += data
        while (box := _first_box(self._pending)) is not None:
            kind, size = box
            self._take(kind, bytes(self._pending[:size]))
            del self._pending[:size]
        return len(data)

    # What becomes of it

    def clear(self) -> None:
        """Remove the files of an earlier stream of this name, and no others, such as those of `NAME-2.m3u8`."""
        ours = re.compile(rf"{re.escape(self._stem)}-(init\.mp4|\d{{6,}}(-\d{{2,}})?\.m4s)")
        for path in [path for path in self._folder.iterdir() if ours.fullmatch(path.name)]:
            path.unlink(missing_ok=True)

    def segments(self) -> list[Path]:
        """Return the complete segments that are there."""
        return [self._path(segment) for segment in self._complete]

    def finish(self) -> None:
        """Complete the last segment and the playlist."""
        if self._segment.parts:
            self._end_segment()
        self._write_playlist(ended=True)

    @property
    def _folder(self) -> Path:
        return self._playlist.parent

    @property
    def _stem(self) -> str:
        return self._playlist.stem

    @property
    def _init(self) -> Path:
        return self._folder / f"{self._stem}-init.mp4"

    def _path(self, segment: _Segment) -> Path:
        return self._folder / f"{self._stem}-{segment.number:06d}.m4s"

    def _take(self, kind: bytes, box: bytes) -> None:
        if kind in (b"ftyp", b"moov"):
            self._head += box
            if kind == b"moov":
                self._track, self._timescale = _video_track(box)
                self._write(self._init, bytes(self._head))
        elif kind == b"moof":
            self._moof = box
        elif kind == b"mdat" and self._moof:
            duration, independent = _fragment(self._moof, self._track)
            self._take_part(self._moof + box, duration / self._timescale, independent=independent)
            self._moof = b""

    def _take_part(self, data: bytes, duration_s: float, *, independent: bool) -> None:
        if independent and self._segment.duration_s >= KEYFRAME_S / 2:
            self._end_segment()
        name = f"{self._stem}-{self._segment.number:06d}-{len(self._segment.parts):02d}.m4s"
        self._segment.parts.append(_Part(name, duration_s, independent, data))
        self._longest_part_s = max(self._longest_part_s, duration_s)
        self._write(self._folder / name, data)
        self._write_playlist()

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, _Segment(self._segment.number + 1)
        self._write(self._path(segment), b"".join(part.data for part in segment.parts))
        self._complete.append(segment)
        self._longest_s = max(self._longest_s, segment.duration_s)
        for part in segment.parts:
            part.data = b""
        if len(self._complete) > PARTS_KEPT:
            for part in self._complete[-PARTS_KEPT - 1].parts:
                (self._folder / part.name).unlink(missing_ok=True)
        while self._endless and len(self._complete) > KEPT + 2:
            self._path(self._complete.pop(0)).unlink(missing_ok=True)

    def _write_playlist(self, *, ended: bool = False) -> None:
        partial = self._playlist.with_name(f"{self._playlist.name}.partial")
        self._write(partial, "".join(f"{line}\n" for line in self._lines(ended=ended)).encode())
        partial.replace(self._playlist)
        if ended:
            for segment in self._complete[-PARTS_KEPT:]:
                for part in segment.parts:
                    (self._folder / part.name).unlink(missing_ok=True)

    def _lines(self, *, ended: bool) -> Iterator[str]:
        listed = self._complete[-KEPT:] if self._endless else self._complete
        yield from ("#EXTM3U", "#EXT-X-VERSION:9", f"#EXT-X-TARGETDURATION:{ceil(self._longest_s)}")
        if not ended:
            yield f"#EXT-X-SERVER-CONTROL:PART-HOLD-BACK={HOLD_BACK * self._longest_part_s:.3f}"
            yield f"#EXT-X-PART-INF:PART-TARGET={self._longest_part_s:.3f}"
        if not self._endless:
            yield f"#EXT-X-PLAYLIST-TYPE:{'VOD' if ended else 'EVENT'}"
        yield f"#EXT-X-MEDIA-SEQUENCE:{listed[0].number if listed else self._segment.number}"
        yield "#EXT-X-INDEPENDENT-SEGMENTS"
        yield f'#EXT-X-MAP:URI="{self._init.name}"'
        for segment in listed:
            if not ended and segment in self._complete[-PARTS_KEPT:]:
                yield from map(_part_line, segment.parts)
            yield f"#EXTINF:{segment.duration_s:.5f},"
            yield self._path(segment).name
        if ended:
            yield "#EXT-X-ENDLIST"
        else:
            yield from map(_part_line, self._segment.parts)

    def _write(self, path: Path, data: bytes) -> None:
        with self._open_file(path) as file:
            view = memoryview(data)
            while view:
                written = file.write(view)
                if not written:
                    raise OSError(28, "No space left on device")
                view = view[written:]


def _part_line(part: _Part) -> str:
    alone = ",INDEPENDENT=YES" if part.independent else ""
    return f'#EXT-X-PART:DURATION={part.duration_s:.5f},URI="{part.name}"{alone}'


def _first_box(data: bytearray) -> tuple[bytes, int] | None:
    """Return kind and size of the box (ISO/IEC 14496-12, 4.2) that `data` begins with, None until it is complete."""
    if len(data) < 16:
        return None
    size = int(struct.unpack_from(">I", data)[0])
    if size == 1:
        size = int(struct.unpack_from(">Q", data, 8)[0])
    return (bytes(data[4:8]), size) if 8 <= size <= len(data) else None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and content of the boxes in `data`."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += max(8, size)


def _inside(data: bytes, *path: bytes) -> Iterator[bytes]:
    """Yield the contents of the boxes at the end of a path of boxes."""
    for kind, content in _boxes(data):
        if kind == path[0]:
            yield from _inside(content, *path[1:]) if len(path) > 1 else (content,)


def _video_track(moov: bytes) -> tuple[int, int]:
    """Return the number of the track with pictures, and its units in a second."""
    for trak in _inside(moov, b"moov", b"trak"):
        (handler,) = _inside(trak, b"mdia", b"hdlr")
        if handler[8:12] == b"vide":
            (header,) = _inside(trak, b"tkhd")
            (media,) = _inside(trak, b"mdia", b"mdhd")
            long = 8 if header[0] == 1 else 0
            number = struct.unpack_from(">I", header, 12 + long)[0]
            return int(number), int(struct.unpack_from(">I", media, 12 + (8 if media[0] == 1 else 0))[0])
    raise ValueError("a stream without pictures")


def _fragment(moof: bytes, track: int) -> tuple[int, bool]:
    """Return how long the pictures of a fragment last, in their track's units, and whether it begins with a keyframe.

    ISO/IEC 14496-12, 8.8.7 (`tfhd`) and 8.8.8 (`trun`).
    """
    for traf in _inside(moof, b"moof", b"traf"):
        (header,) = _inside(traf, b"tfhd")
        flags, number = struct.unpack_from(">II", header)
        if number != track:
            continue
        at = 8 + 8 * bool(flags & 0x1) + 4 * bool(flags & 0x2)
        usual = struct.unpack_from(">I", header, at)[0] if flags & 0x8 else 0
        at += 4 * bool(flags & 0x8) + 4 * bool(flags & 0x10)
        usual_flags = struct.unpack_from(">I", header, at)[0] if flags & 0x20 else 0
        durations, first = 0, None
        for run in _inside(traf, b"trun"):
            flags, count = struct.unpack_from(">II", run)
            at = 8 + 4 * bool(flags & 0x1)
            if flags & 0x4:
                first = struct.unpack_from(">I", run, at)[0] if first is None else first
                at += 4
            step = 4 * sum(bool(flags & bit) for bit in (0x100, 0x200, 0x400, 0x800))
            if flags & 0x400 and first is None and count:
                first = struct.unpack_from(">I", run, at + 4 * bool(flags & 0x100) + 4 * bool(flags & 0x200))[0]
            for sample in range(count):
                durations += struct.unpack_from(">I", run, at + sample * step)[0] if flags & 0x100 else usual
        return durations, not (usual_flags if first is None else first) & _NON_SYNC
    return 0, False


def open_hls(playlist: Path, options: SinkOptions) -> HlsSink:
    """Open a playlist as an output."""
    check_place(playlist, options.audio_from)
    return HlsSink(playlist, options)
