"""Encoding to a video, as it happens: whatever has been written is playable."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media.audio import AudioWriter, Sound
from vivace.media.continued import WrittenPart, packets_of
from vivace.media.convert import cover, cover_alpha
from vivace.media.encoders import START_CODES, X264, open_trial
from vivace.media.filters import FilterChain
from vivace.media.frame import Decoded, Frame
from vivace.media.paths import is_same_file
from vivace.media.picture import straight
from vivace.media.registry import VIDEO_FORMATS
from vivace.media.sink import Sink, SinkOptions, check_place
from vivace.media.size import Size
from vivace.redaction import redact_address, redact_error

FLUSH_MS = 500
"""Fragments (MP4) and clusters (Matroska) of half a second: what a crash costs, at 0.2 % of size."""
KEYFRAME_S = 2.0
"""Usual for seeking and for viewers joining a stream."""
BUSY_AREA_PX = 640 * 640
"""Above this one encoder thread takes more than a tenth of a 30 fps frame, so it gets a second."""

# 1.5 ms for the pictures that `vivace.media.encoders` measures x264's presets with.
_VP9 = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "row-mt": "1", "crf": "24", "b": "0"}
_ALPHA = {"auto-alt-ref": "0"}
"""Options of libvpx where a second stream holds the alpha."""
_CODECS = {"webm": ("libvpx-vp9", _VP9)}

_TO_BT709 = (
    "iprimaries=bt709:itrc=bt709:fast=1:"  # Nothing but the matrix, the range and the depth is to be converted.
    "space=bt709:range=tv:primaries=bt709:trc=bt709:format=yuv420p"
)

# Written in fragments, so that it plays at any moment, and turned into an ordinary file by closing. Each fragment has
# its own tables: with those of the first in the file's head (no empty_moov), Firefox plays the first fragment only. The
# head is written with the first fragment (delay_moov), when what describes the sound is known.
_FRAGMENTS = {
    "movflags": "hybrid_fragmented+empty_moov+delay_moov+default_base_moof",
    "frag_duration": str(FLUSH_MS * 1000),
}

_MUXER_OPTIONS: dict[str, dict[str, str]] = {
    "mp4": _FRAGMENTS,
    "mov": _FRAGMENTS,
    "matroska": {"cluster_time_limit": str(FLUSH_MS)},
    "webm": {"cluster_time_limit": str(FLUSH_MS)},
}

FileOpener = Callable[[Path], BinaryIO]


class VideoSink(Sink):
    """A video, H.264 (WebM: VP9) in BT.709, encoded as frames arrive.

    The file is created by the first frame, so that an earlier one survives a stream that never starts. Frames of odd
    width or height get their last column or row repeated, since 4:2:0 needs even sizes. A frame of another size than
    the first is scaled to cover it.
    """

    _bounds: Mapping[str, str] = {}
    """Options of the encoder where the line is a limited one; a disk is not."""

    def __init__(
        self,
        target: Path | str,
        container_format: str,
        options: SinkOptions | None = None,
        *,
        open_file: FileOpener | None = None,
    ):
        """Prepare writing to a path, or as one who extends this class sends to a URL.

        Args:
            target: path, or URL as text.
            container_format: FFmpeg's name of the muxer.
            options: size, rate, time base and sound; a rate that is not known is guessed as 30.
            open_file: opens the path for writing (tests inject failing disks).

        Raises:
            SourceError: the sound cannot be read.
        """
        options = options or SinkOptions()
        self.name = str(target) if isinstance(target, Path) else redact_address(target)
        self._target = target
        self._format = container_format
        self._size = options.size
        rate = Fraction(options.fps or 0).limit_denominator(1001)
        self._fps_known = rate > 0
        self._fps = rate or Fraction(30)
        self._time_base = options.time_base
        self._statement = options.statement
        self._painted: dict[int, bool] = {}
        """`Frame.painted` of the pictures inside the encoder, by their pts."""
        self._audio_from = options.audio_from
        self._track: Sound | None = None if options.audio_from is None else options.audio_from.open_audio()
        self._encoder = options.encoder
        self._warn = options.warn
        self._open_file = open_file or open_plain
        self._file: WholeWrites | None = None
        self._container: OutputContainer | None = None
        self._audio: AudioWriter | None = None
        self._reformatter = VideoReformatter()
        self._to_bt709: tuple[str, FilterChain] | None = None
        self._start_s = 0.0
        self._start_pts = 0
        self._duration = 1
        self._end_s = 0.0
        self._last_pts = -1
        self._keyframe_pts = 0
        self._part: WrittenPart | None = None
        self._holds_alpha = False
        """True where pictures are written with their alpha; the first one decides."""
        self._failed = False
        self._closed = False

    @property
    def path(self) -> Path | None:
        """The file that is written."""
        return self._target if isinstance(self._target, Path) else None

    def go_on_from(self, part: WrittenPart) -> None:
        """Begin with the frames of an earlier file, copied, at the first `write`, whose frame comes after them."""
        self._part = part

    def write(self, frame: Frame) -> None:
        """Encode one frame and write what is ready."""
        if self._closed:
            raise SinkWriteError(f"{self.name}: already closed")
        if self._failed:
            raise SinkWriteError(f"{self.name}: writing failed before; nothing more can be added")
        try:
            if self._container is None:
                self._start(frame)
            self._encode(frame)
            if self._file is not None:
                self._file.check_place()
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from redact_error(error)
        self.frames_written += 1

    def replaces(self, path: Path) -> bool:
        """Tell whether `path` is the file that is written."""
        return isinstance(self._target, Path) and is_same_file(self._target, path)

    def written(self) -> Mapping[Path, int]:
        """Return the file, once it is complete."""
        complete = self._closed and not self._failed and self.frames_written
        return {self._target: 0} if complete and isinstance(self._target, Path) else {}

    def close(self) -> None:
        """Finish the file: sound up to the end of the picture (all of it when the source has ended), then the index."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._container is not None and not self._failed:
                self._finish(self._container)
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from redact_error(error)
        finally:
            if self._track is not None:
                self._track.close()
            if self._file is not None:
                self._file.close()

    def _start(self, frame: Frame) -> None:
        self._size = self._size or frame.size
        self._holds_alpha = frame.alpha is not None and self._format == "webm"
        self._time_base = self._time_base or frame.time_base
        part = self._part
        self._start_s = frame.pts_s if part is None else part.start_s
        self._start_pts = (
            self._rescaled(frame) if part is None else round(part.start_pts * part.time_base / self._time_base)
        )
        # How long a picture is shown, which matters for the last one; the others end where the next begins.
        self._duration = max(1, round(1 / self._fps / self._time_base))
        if self._encoder is not X264 and self._format not in _CODECS:
            self._try_encoder(even_size(self._size))
        try:
            container = self._open_container()
            flush_packets(container)
            if self._statement is not None and frame.painted:
                container.metadata["comment"] = self._statement.text
            self._stream = self._add_video(container)
        except ValueError as error:  # no such muxer, or no such encoder
            self._failed = True
            words = f"{self.name}: this FFmpeg cannot write {self._format} ({error})"
            raise SinkUnsupportedError(words) from redact_error(error)
        if self._track is not None:
            self._audio = AudioWriter(self._track, container, self._format)
        self._container = container
        if part is not None:
            if self._holds_alpha:
                raise SinkUnsupportedError(
                    f"{self.name}: a video with transparency cannot be continued; begin anew without --resume"
                )
            self._copy(part, container)

    def _try_encoder(self, size: Size) -> None:
        """Take x264 in place of hardware that does not take pictures of a size."""
        try:
            open_trial(self._encoder, size)
        except (av.FFmpegError, ValueError) as error:
            self._warn(f"{self.name}: the encoder {self._encoder.word} cannot be opened ({error}); x264 is used")
            self._encoder = X264

    def _open_container(self) -> OutputContainer:
        """Open what packets are written to. Raises ValueError where this FFmpeg has no such muxer."""
        assert isinstance(self._target, Path)
        self._file = WholeWrites(self._target, self._open_file(self._target))
        return av.open(self._file, "w", format=self._format, options=dict(_MUXER_OPTIONS[self._format]))

    def _copy(self, part: WrittenPart, container: OutputContainer) -> None:
        assert self._time_base is not None
        container.start_encoding()
        for packet in packets_of(part, self._stream.codec_context):
            at_s = packet.pts * packet.time_base
            self._last_pts = round(at_s / self._time_base)
            if self._audio is not None:
                self._audio.write_until(float(at_s) + self._start_s, self._start_s)
            packet.stream = self._stream
            container.mux(packet)
        self.frames_written = part.frames

    def _add_video(self, container: OutputContainer) -> Any:
        assert self._size is not None
        assert self._time_base is not None
        codec, options = _CODECS.get(self._format, (self._encoder.codec, dict(self._encoder.options)))
        if self._holds_alpha:
            options = {**options, **_ALPHA}
        stream = cast(Any, container.add_stream(codec, rate=self._fps, options={**options, **self._bounds}))
        stream.width, stream.height = even_size(self._size)
        stream.pix_fmt = self._pixels
        context = stream.codec_context
        context.time_base = self._time_base
        context.gop_size = max(1, round(KEYFRAME_S * self._fps))
        context.thread_count = 2 if self._size[0] * self._size[1] > BUSY_AREA_PX else 1
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        return stream

    def _encode(self, frame: Frame) -> None:
        assert self._container is not None
        assert self._time_base is not None
        if self._audio is not None:
            self._audio.write_until(frame.pts_s, self._start_s)
        pts = max(self._last_pts + 1, self._rescaled(frame) - self._start_pts)
        if frame.duration:
            self._duration = max(1, round(frame.duration * frame.time_base / self._time_base))
        elif self._last_pts >= 0 and not self._fps_known:
            self._duration = pts - self._last_pts
        self._last_pts = pts
        picture = self._yuv(frame)
        picture.pts = pts
        picture.time_base = self._time_base
        if self._wants_keyframe(float((pts - self._keyframe_pts) * self._time_base)):
            picture.pict_type = PictureType.I
            self._keyframe_pts = pts
        self._end_s = frame.pts_s + float(self._duration * self._time_base)
        if self._statement is not None:
            self._painted[pts] = frame.painted
        for packet in self._stream.encode(picture):
            packet.duration = self._duration
            self._mux(packet, self._container)

    def _wants_keyframe(self, since_s: float) -> bool:  # noqa: ARG002
        """Tell whether a picture has to be a keyframe, `since_s` after the last one that had to."""
        return False

    def _mux(self, packet: Any, container: OutputContainer) -> None:
        painted = self._painted.pop(packet.pts, False)
        if painted and packet.is_keyframe and self._statement is not None and self._stream.name in START_CODES:
            packet = self._statement.in_packet(packet)
        container.mux(packet)

    def _rescaled(self, frame: Frame) -> int:
        assert self._time_base is not None
        return round(frame.pts * frame.time_base / self._time_base)

    @property
    def _pixels(self) -> str:
        """FFmpeg's name of the pixels that are encoded."""
        if self._format in _CODECS:
            return "yuva420p" if self._holds_alpha else "yuv420p"
        return self._encoder.pixels

    def _yuv(self, frame: Frame) -> av.VideoFrame:
        assert self._size is not None
        if frame.decoded is not None and frame.decoded.rgb is frame.rgb and self._is_as_encoded(frame.size):
            return self._bt709(frame.decoded)
        pixels, layout = cover(frame.rgb, self._size), "rgb24"
        if self._holds_alpha:
            alpha = np.full(frame.rgb.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
            source = frame.source_rgb if pixels is frame.rgb else None
            scaled = replace(frame, rgb=pixels, alpha=cover_alpha(alpha, self._size), source_rgb=source)
            pixels, layout = straight(scaled), "rgba"
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pad_even(pixels)), layout)
        return self._reformatter.reformat(
            picture, format=self._pixels, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )

    def _is_as_encoded(self, size: Size) -> bool:
        """Tell whether pictures of a size are encoded as they are."""
        return size == self._size == even_size(size) and self._pixels == "yuv420p"

    def _bt709(self, decoded: Decoded) -> av.VideoFrame:
        """Return a picture of our own, sharing its planes with one that others may encode, too, if it is BT.709."""
        frame = decoded.frame
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
        arguments = f"ispace={decoded.matrix}:irange={'pc' if full else 'tv'}:{_TO_BT709}"
        if self._to_bt709 is None or self._to_bt709[0] != arguments or not self._to_bt709[1].fits(frame):
            self._to_bt709 = arguments, FilterChain(frame, Fraction(1, 1), ("colorspace", arguments), threads=1)
        picture = self._to_bt709[1](frame)
        picture.pict_type = PictureType.NONE  # The encoder decides which pictures are key frames.
        return picture

    def _finish(self, container: OutputContainer) -> None:
        for packet in self._stream.encode(None):
            self._mux(packet, container)
        if self._audio is not None:
            ended = self._audio_from is not None and self._audio_from.ended
            self._audio.write_until(None if ended else self._end_s, self._start_s)
            self._audio.finish()
        container.close()
        if self._file is not None:
            self._file.check_place()

    def _failure(self, error: Exception) -> SinkWriteError:
        self._failed = True
        return write_failure(self, self._file, error)


def write_failure(sink: Sink, file: WholeWrites | None, error: Exception) -> SinkWriteError:
    """Return our error for a failed write, and close the file, which makes the container skip its index.

    A file without an index plays; one with half an index may not.
    """
    if file is not None:
        file.close()
    reason = getattr(error, "strerror", None) or str(error)
    frames = f"the {sink.frames_written} frames before it are kept, but for up to the last half second"
    kept = frames if sink.frames_written else "nothing was written"
    return SinkWriteError(f"{sink.name}: writing failed ({reason}); {kept}")


def flush_packets(container: OutputContainer) -> None:
    """Make a container hand on what it has muxed at once, instead of when a buffer is full."""
    container.flags |= cast(int, av.container.Flags.flush_packets.value)


def even_size(size: Size) -> Size:
    """Return `size` with odd sides made one larger."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


def pad_even(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last column or row of a picture `[h w c]` of odd width or height."""
    height, width = pixels.shape[:2]
    if width % 2 == 0 and height % 2 == 0:
        return pixels
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def open_plain(path: Path) -> BinaryIO:
    """Open a file for writing."""
    # Unbuffered: what the muxer flushes is on its way to the disk at once.
    return cast(BinaryIO, path.open("wb", buffering=0))


class WholeWrites:
    """A file as FFmpeg expects one: a write is whole or an error, and after an error there are no more."""

    def __init__(self, path: Path, file: BinaryIO):
        self.name = str(path)
        self.closed = False
        self._path = path
        self._file = file
        self._error: OSError | None = None
        try:
            self._descriptor: int | None = file.fileno()
        except OSError:
            self._descriptor = None  # Not on a disk.

    def write(self, data: bytes) -> int:
        """Write all of `data` or raise OSError."""
        if self._error is not None:
            raise self._error
        view = memoryview(data)
        try:
            while view:
                written = self._file.write(view)
                if not written:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                view = view[written:]
        except OSError as error:
            self._error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to an offset."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the offset."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Tell whether `seek` works."""
        return self._file.seekable()

    def writable(self) -> bool:
        """Return True."""
        return True

    def check_place(self) -> None:
        """Raise OSError when the path no longer leads to this file: it was deleted, moved, or its disk unmounted."""
        if self._descriptor is None:
            return
        try:
            there = os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except FileNotFoundError:
            there = False
        if not there:
            raise FileNotFoundError(errno.ENOENT, "the file or its folder has vanished")

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if not self.closed:
            self.closed = True
            self._file.close()


def open_file(path: Path, options: SinkOptions) -> VideoSink:
    """Open a video file as an output."""
    check_place(path, options.audio_from)
    return VideoSink(path, VIDEO_FORMATS[path.suffix.lower()], options)
