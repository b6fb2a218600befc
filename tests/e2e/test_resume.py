"""`vivace run --resume` after kills, three times."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from e2e.helpers import Vivace, write_scene
from patience import PATIENCE_S

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

FRAMES = 320

Start = Callable[..., "subprocess.Popen[str]"]


def read(path: Path) -> tuple[list[float], np.ndarray]:
    """Return times, s, and pictures of a file."""
    with av.open(path) as file:
        frames = list(file.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24").astype(int) for frame in frames])
    return [float(frame.pts * frame.time_base) for frame in frames], pictures


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_program_that_is_killed_goes_on(vivace_there: Start, vivace_here: Vivace, tmp_path: Path) -> None:
    clip, whole, out = (tmp_path / name for name in ("clip.mp4", "whole.mp4", "out.mp4"))
    notes, partial = tmp_path / "out.mp4.resume", tmp_path / "out.mp4.partial"
    write_scene(clip, FRAMES)
    command = ("run", clip, "-p", "oil painting", "--seed", "5", "-o")
    assert vivace_here(*command, whole).code == 0
    copied = 0

    def further() -> bool:
        return partial.exists() and size(out) > copied

    for moment in (out.exists, lambda: size(notes) > 20_000, further):
        process = vivace_there(*command, out, "--resume")
        deadline_s = time.monotonic() + PATIENCE_S
        while not moment():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        process.kill()
        process.communicate()
        copied = size(out)
    said = vivace_here(*command, out, "--resume")
    assert said.code == 0, said.err
    assert "going on after the " in said.err
    assert not notes.exists()
    assert not partial.exists()
    (times, pictures), (wanted_times, wanted) = read(out), read(whole)
    assert times == wanted_times
    assert len(times) == FRAMES
    # The encoder was restarted once or twice; the painted pictures are equal to the bit, tests/stream/test_resume.py.
    assert np.abs(pictures - wanted).mean() < 2
    assert np.abs(pictures - wanted).mean(axis=(1, 2, 3)).max() < 8
