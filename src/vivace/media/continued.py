"""The part of a video that an earlier program wrote before it was ended, copied into one that goes on from there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.bitstream import BitStreamFilterContext

from vivace.errors import SinkWriteError


@dataclass(frozen=True, slots=True)
class WrittenPart:
    """The first frames of an output, in a file that may end anywhere after them."""

    path: Path
    frames: int
    start_pts: int
    """Presentation time of the first of them in the source, in `time_base`: zero of the output."""
    time_base: Fraction

    @property
    def start_s(self) -> float:
        """The same in seconds."""
        return float(self.start_pts * self.time_base)


def frames_in(path: Path) -> int:
    """Return how many pictures a video file holds, as far as it can be read; 0 of what is none."""
    count = 0
    try:
        with av.open(f"file:{path}") as container:
            for packet in container.demux(container.streams.video[0]):
                count += packet.size > 0 and not packet.is_corrupt
    except (av.FFmpegError, OSError, IndexError):
        pass  # where it ends
    return count


def packets_of(part: WrittenPart, encoder: Any) -> Iterator[Any]:
    """Yield the packets of a part, one a picture, for a muxer that is given those of an open `encoder` after them.

    Raises:
        SinkWriteError: they are of another encoder, or fewer than there should be.
    """
    left = part.frames
    with av.open(f"file:{part.path}") as container:
        stream = container.streams.video[0]
        known = bytes(stream.codec_context.extradata or b"")
        # H.264's parameter sets: in MP4 and Matroska behind lengths, from the encoder behind start codes.
        sets = [one for one in re.split(b"\0?\0\0\1", bytes(encoder.extradata or b"")) if one]
        codec = encoder.codec.canonical_name
        if stream.codec_context.codec.canonical_name != codec or not all(one in known for one in sets):
            raise SinkWriteError(
                f"{part.path}: written by another version's encoder, which cannot be continued; "
                "begin anew without --resume"
            )
        h264 = BitStreamFilterContext("h264_mp4toannexb", stream) if codec == "h264" else None
        for packet in container.demux(stream):
            if not left or not packet.size:
                break
            left -= 1
            yield from [packet] if h264 is None else h264.filter(packet)
    if left:
        raise SinkWriteError(
            f"{part.path}: lacks {left} of the pictures that were written; begin anew without --resume"
        )
