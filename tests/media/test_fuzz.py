"""Damaged files of every container: a picture or a named error, never anything else, and an earlier output is kept.

They are read in a separate process, so that a crash or an endless loop in FFmpeg is an outcome too. `FUZZ_EACH=150`
tries 3,000 in some minutes; `python -m tests.media.test_fuzz KIND NUMBER FILE` writes one of them.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vivace.errors import VivaceError
from vivace.media.open import open_sink, open_source

from .clips import beep, grey, write_clip

KINDS = {
    "mp4": ("libx264", "aac"),
    "mov": ("mpeg4", "pcm_s16le"),
    "3gp": ("mpeg4", "aac"),
    "mkv": ("libx264", "flac"),
    "webm": ("libvpx", "libopus"),
    "nut": ("ffv1", "flac"),
    "ts": ("mpeg2video", "mp2"),
    "mpg": ("mpeg1video", "mp2"),
    "flv": ("flv", "libmp3lame"),
    "wmv": ("wmv2", "libmp3lame"),
    "mxf": ("mpeg2video", "pcm_s16le"),
    "avi": ("mjpeg", "pcm_s16le"),
    "ivf": ("libvpx-vp9", None),
    "h264": ("libx264", None),
    "mjpeg": ("mjpeg", None),
    "y4m": ("wrapped_avframe", None),
    "gif": ("gif", None),
    "png": ("apng", None),
    "webp": ("", None),
    "avif": ("", None),
}
EACH = int(os.environ.get("FUZZ_EACH", "10"))
"""Number of mutations of each container."""
MUXERS = {
    "mkv": "matroska",
    "ts": "mpegts",
    "mpg": "mpeg",
    "png": "apng",
    "wmv": "asf",
    "y4m": "yuv4mpegpipe",
}
CPU_S = 10
"""Limit of the CPU time for reading a file, s; a second of video takes a hundredth."""
MEMORY_BYTES = 1 << 30
"""Limit of the memory of all of them together, beyond the program's, bytes."""


def whole(kind: str) -> bytes:
    """Return a complete file, with differing pictures and a tone."""
    codec, sound = KINDS[kind]
    data = io.BytesIO()
    pictures = [grey(20 * number) for number in range(1, 9)]
    if not codec:
        first, *more = map(Image.fromarray, pictures)
        first.save(data, format=kind.upper(), save_all=True, append_images=more, duration=40)
        return data.getvalue()
    fmt = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    write_clip(
        data,
        pictures,
        codec=codec,
        pix_fmt=fmt,
        sound=beep(0.32, 0.1) if sound else None,
        sound_codec=sound or "",
        muxer=MUXERS.get(kind, kind),
    )
    return data.getvalue()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with bytes changed, a part removed, doubled or zeroed, or the end cut off."""
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


def mutation(kind: str, data: bytes, number: int) -> bytes:
    return mutated(data, np.random.default_rng([list(KINDS).index(kind), number]))


def try_all() -> None:
    """Read mutations of every kind, and print each before it is read; stop at the first unnamed error."""
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, also within FFmpeg
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            data = whole(kind)
            for number in range(EACH):
                print(kind, number, flush=True)
                signal.setitimer(signal.ITIMER_PROF, CPU_S)
                survives(mutation(kind, data, number), kind, Path(folder))
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
                assert grown < MEMORY_BYTES, f"{grown >> 20} MiB"
    print("all")


def test_a_mutated_file_is_pictures_or_a_named_error() -> None:
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.media.test_fuzz"], cwd=here, capture_output=True, text=True, check=False
    )
    last = done.stdout.split("\n")[-2:][0]
    assert last == "all", f"{last} ended with {done.returncode}: {done.stderr[-2000:]}"


if __name__ == "__main__":
    if sys.argv[1:]:
        Path(sys.argv[3]).write_bytes(mutation(sys.argv[1], whole(sys.argv[1]), int(sys.argv[2])))
    else:
        try_all()
