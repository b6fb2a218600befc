"""Damaged files of every container: a picture or a named error, never anything else, and an earlier output is kept."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vivace.errors import VivaceError
from vivace.media.open import open_sink, open_source

from .clips import beep, grey, write_clip

KINDS = {
    "mp4": ("libx264", "aac"),
    "mov": ("mpeg4", "pcm_s16le"),
    "mkv": ("libx264", "flac"),
    "webm": ("libvpx", "libopus"),
    "ts": ("mpeg2video", "mp2"),
    "mpg": ("mpeg1video", "mp2"),
    "flv": ("flv", "libmp3lame"),
    "avi": ("mjpeg", "pcm_s16le"),
    "gif": ("gif", None),
    "png": ("apng", None),
    "webp": (None, None),
}
EACH = int(os.environ.get("FUZZ_EACH", "20"))
"""Mutations of each container; `FUZZ_EACH=273` makes 3,000 of them in some minutes."""
MUXERS = {"mkv": "matroska", "ts": "mpegts", "mpg": "mpeg", "png": "apng"}


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """Return a whole file of each container, with pictures that differ and a tone."""
    files = {}
    pictures = [grey(20 * number) for number in range(1, 9)]
    for kind, (codec, sound) in KINDS.items():
        data = io.BytesIO()
        if codec is None:
            first, *more = map(Image.fromarray, pictures)
            first.save(data, format="WEBP", save_all=True, append_images=more, duration=40)
        else:
            fmt = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
            tone = beep(0.32, 0.1) if sound else None
            write_clip(
                data,
                pictures,
                codec=codec,
                pix_fmt=fmt,
                sound=tone,
                sound_codec=sound or "",
                muxer=MUXERS.get(kind, kind),
            )
        files[kind] = data.getvalue()
    return files


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with bytes changed, a part left out, doubled or zeroed, or an end cut off."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        start = int(rng.integers(len(changed)))
        end = min(len(changed), start + int(rng.integers(1, 1 + len(data) // 8)))
        what = int(rng.integers(5))
        if what == 0:
            for at in rng.integers(0, len(changed), int(rng.integers(1, 20))):
                changed[int(at)] = int(rng.integers(256))
        elif what == 1:
            del changed[start:end]
        elif what == 2:
            changed[start:start] = changed[start:end]
        elif what == 3:
            changed[start:end] = bytes(end - start)
        else:
            del changed[max(1, end) :]
        if not changed:
            return b"\0"
    return bytes(changed)


def survives(data: bytes, kind: str, folder: Path) -> None:
    path, out = folder / f"in.{kind}", folder / "out.mkv"
    path.write_bytes(data)
    out.write_bytes(b"an earlier output")
    frames = 0
    try:
        with open_source(path) as source, open_sink(out, audio_from=source, fps=source.info.fps) as sink:
            for frame in source:
                assert frame.rgb.nbytes < 1 << 28
                sink.write(frame)
                frames += 1
                if frames == 100:
                    break
    except VivaceError as error:
        named = str(error)
        if path.name not in named and out.name not in named:
            raise
    if frames == 0:
        assert out.read_bytes() == b"an earlier output"


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_pictures_or_a_named_error(kind: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    rng = np.random.default_rng(list(KINDS).index(kind))
    for _ in range(EACH):
        survives(mutated(whole[kind], rng), kind, tmp_path)
