"""The `vivace` command as a separate process: signals, terminals, and its imports."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.helpers import count_frames
from patience import PATIENCE_S

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and terminals")]


Start = Callable[..., "subprocess.Popen[str]"]


def wait_for_bytes(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the file has content."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.stat().st_size > 0):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s, "nothing was written"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_file(vivace_there: Start, tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "out.mp4"
    process = vivace_there(
        *("run", "scene:boat", "-p", "oil painting", "--size", "96x64", "-o", out, "--stats", tmp_path / "s.json")
    )
    wait_for_bytes(out, process)
    process.send_signal(number)
    printed, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, errors
    written = json.loads((tmp_path / "s.json").read_text())["frames_out"]
    assert written > 0
    assert count_frames(out) == written
    assert f"{written} frame{'s' * (written > 1)} to {out}" in printed
    assert "Traceback" not in errors


def test_a_prompt_typed_while_it_runs_takes_effect_and_an_unknown_one_is_said(
    vivace_there: Start, tmp_path: Path
) -> None:
    master, slave = os.openpty()
    process = vivace_there(
        *("run", "scene:boat", "-p", "oil painting", "--size", "96x64", "-o", tmp_path / "out.mp4"),
        *("--stats", tmp_path / "s.json"),
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True, preexec_fn=lambda: _own(slave),
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(slave)
    try:
        shown = _read_until(master, b"new prompt")
        os.write(master, b"blueprinx\x7ft drawing\n")
        for _ in range(8):  # a line is redrawn after a frame, and some frames are under way
            shown += _read_until(master, b'\xc2\xb7 "blueprint drawing"')
        os.write(master, b"zxqv wplk\n")
        shown += _read_until(master, b"'zxqv wplk'; the nearest style")
        os.write(master, b"\x03")
        shown += _read_until(master, None)
        assert process.wait(PATIENCE_S) == 130
    finally:
        process.kill()
        process.wait()
        os.close(master)
    document = json.loads((tmp_path / "s.json").read_text())
    assert document["prompt"] == "blueprint drawing"
    assert document["prompt_to_pixel_ms"]["p50"] is not None
    assert count_frames(tmp_path / "out.mp4") == document["frames_out"]
    assert b"frames to" in shown


def _own(terminal: int) -> None:
    """Make the terminal this process's controlling one, so that Ctrl-C typed into it becomes a signal."""
    import fcntl
    import termios

    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _read_until(master: int, wanted: bytes | None) -> bytes:
    """Read a terminal until a text appears, or (None) until the process has let go of it."""
    shown = b""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if not select.select([master], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux says so when the other end is closed
            piece = b""
        if not piece:
            assert wanted is None, f"the process ended before it showed {wanted!r}: {shown!r}"
            return shown
        shown += piece
        if wanted is not None and wanted in shown:
            return shown
    raise AssertionError(f"{wanted!r} was not shown: {shown[-2000:]!r}")


def test_a_run_needs_no_torch(clip: Path, tmp_path: Path) -> None:
    """Packages that the base install lacks are never imported from file to file."""
    code = (
        "import sys; from vivace.cli import main; code = main(sys.argv[1:]);\n"
        "left_out = {'torch', 'pytest', 'hypothesis'} & set(sys.modules)\n"
        "assert not left_out, left_out\n"
        "sys.exit(code)"
    )
    tokens = ["run", str(clip), "-p", "oil painting", "-o", str(tmp_path / "out.mp4"), "--max-frames", "2", "--compare"]
    done = subprocess.run([sys.executable, "-c", code, *tokens], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_program_may_end_in_the_middle_of_a_run() -> None:
    """No thread is cut off inside the network, which would crash the process."""
    code = (
        "import vivace\n"
        "stream = vivace.Stream('mini', prompt='oil painting', size=(96, 64))\n"
        "frames = stream.run(vivace.open_source('scene:boat', size=(96, 64)))\n"
        "next(frames)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_goes_away_is_not_worth_words(vivace_there: Start) -> None:
    process = vivace_there("models", "list")
    assert process.stdout is not None
    process.stdout.close()
    process.wait(PATIENCE_S)
    assert process.stderr is not None
    with process.stderr as errors:
        assert errors.read() == ""


def test_output_that_nobody_holds_is_no_error(vivace_there: Start) -> None:
    process = vivace_there("models", "list", stdout=None, preexec_fn=lambda: os.close(1))
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_is_full_is_said_once(vivace_there: Start) -> None:
    with Path("/dev/full").open("w") as full:
        process = vivace_there("models", "list", stdout=full)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3, errors
    assert "standard output" in errors
    assert "bug" not in errors
    assert len(errors.splitlines()) == 2
