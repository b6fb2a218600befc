"""Interlaced video is deinterlaced before any processing, by its flag, with its times and colours."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vivace.media.open import open_source

from .clips import BLUE, GREEN, RED, WHITE, corners, quarters


def woven(count: int) -> list[np.ndarray[Any, Any]]:
    """Return pictures of two fields each, with a bar that moves between the fields."""
    fields = []
    for number in range(2 * count):
        picture = quarters((160, 128))
        picture[:, 4 * number : 4 * number + 16] = 250
        fields.append(picture)
    for upper, lower in zip(fields[::2], fields[1::2], strict=True):
        upper[1::2] = lower[1::2]
    return fields[::2]


def interlaced(path: Path, *, flagged: bool = True, full_range: bool = False) -> Path:
    with av.open(str(path), "w") as container:
        options = {"tune": "zerolatency", "crf": "4", **({"x264-params": "tff=1"} if flagged else {})}
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.codec_context.thread_count = 1
        context = stream.codec_context
        context.colorspace, context.color_range = 1, 2 if full_range else 1
        for number, picture in enumerate(woven(12)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="JPEG" if full_range else "MPEG"
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def comb(rgb: np.ndarray[Any, Any]) -> float:
    """Return the difference of lines to their neighbours above and below, levels."""
    lines = rgb[8:56].astype(float).mean(axis=2)  # Away from the border between the quarters.
    return float(np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean())


@pytest.mark.parametrize("full_range", [False, True])
def test_an_interlaced_video_is_delivered_without_combs(tmp_path: Path, full_range: bool) -> None:
    with open_source(interlaced(tmp_path / "in.mp4", full_range=full_range)) as source:
        frames = list(source)
    assert [frame.pts_s for frame in frames] == pytest.approx([number / 25 for number in range(12)])
    assert [frame.duration and float(frame.duration * frame.time_base) for frame in frames] == [0.04] * 12
    assert max(comb(frame.rgb) for frame in frames) < 1.5 < 3 < comb(woven(12)[4])
    assert corners(frames[-1].rgb)[1:] == ["green", "blue", "white"], (RED, GREEN, BLUE, WHITE)
    assert [warning for warning in source.warnings if "deinterlaced" in warning] == source.warnings


def test_a_video_that_does_not_say_so_is_not_touched(tmp_path: Path) -> None:
    with open_source(interlaced(tmp_path / "in.mp4", flagged=False)) as source:
        frames = list(source)
    assert max(comb(frame.rgb) for frame in frames) > 3
    assert source.warnings == []


def test_a_recording_that_turns_interlaced_keeps_every_picture(tmp_path: Path) -> None:
    parts = [interlaced(tmp_path / f"{flagged}.ts", flagged=flagged).read_bytes() for flagged in (False, True, False)]
    path = tmp_path / "in.ts"
    path.write_bytes(b"".join(parts))
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 36
    combs = [comb(frame.rgb) for frame in frames]
    assert min(max(combs[:12]), max(combs[24:])) > 3 > 2 > max(combs[13:23])
