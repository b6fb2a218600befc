"""Foreign systems: their output is taken as it is, and their failures are reported."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from vivace.bench.suite import Parts
from vivace.bench.systems.foreign import CommandProcess, CommandSystem, FolderSystem, command_spec
from vivace.bench.systems.system import Request
from vivace.errors import (
    DecodeError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
    StepError,
    UsageError,
)
from vivace.media.open import open_sink, open_source

EXAMPLE = Path(__file__).parents[3] / "examples" / "foreign_system.py"
SOURCE = np.random.default_rng(0).integers(0, 256, (5, 16, 24, 3), np.uint8)
REQUEST = Request((24, 16), 24.0, "ink", case="walkers/style/ink", style="ink")


def command(tmp_path: Path, body: str) -> str:
    """Return a command that runs `body` with `job`, `frames()` and `answer(index, rgb)` at hand."""
    script = tmp_path / "system.py"
    script.write_text(
        f"""
import json, sys
job = json.loads(sys.stdin.buffer.readline())
def frames():
    while line := sys.stdin.buffer.readline():
        head = json.loads(line)
        yield head["index"], sys.stdin.buffer.read(head["bytes"]), sys.stdin.buffer.read(head["mask_bytes"])
def answer(index, rgb):
    sys.stdout.buffer.write(json.dumps(dict(index=index, bytes=len(rgb))).encode() + b"\\n" + rgb)
    sys.stdout.buffer.flush()
{body}
"""
    )
    return f"{sys.executable} {script}"


def test_the_example_repaints_inside_the_mask_alone() -> None:
    masks = np.zeros(SOURCE.shape[:3], bool)
    masks[:, 4:9, 3:20] = True
    system = CommandSystem(f"{sys.executable} {EXAMPLE}")
    painted = system.run(Request((24, 16), 24.0, "sepia", mask=masks, case="a/region/sepia"), SOURCE)
    assert painted.refused is None
    assert np.array_equal(painted.frames[~masks], SOURCE[~masks])
    red, green, blue = (painted.frames[..., c][masks].astype(int) for c in range(3))
    assert (red >= green).all()
    assert (green >= blue).all()
    assert (red > blue).any()


def test_a_command_gets_every_frame_and_the_job(tmp_path: Path) -> None:
    line = command(
        tmp_path,
        "assert job['prompt'] == 'ink' and job['width'] == 24 and job['height'] == 16 and not job['masked']\n"
        "for index, rgb, mask in frames(): answer(index, bytes(255 - v for v in rgb))",
    )
    assert np.array_equal(CommandSystem(line).run(REQUEST, SOURCE).frames, 255 - SOURCE)


def test_a_frame_without_an_answer_shows_the_one_before(tmp_path: Path) -> None:
    line = command(tmp_path, "for index, rgb, mask in frames():\n    if index in (1, 2, 4): answer(index, rgb)")
    frames = CommandSystem(line).run(REQUEST, SOURCE).frames
    assert not frames[0].any()
    assert np.array_equal(frames[1:], SOURCE[[1, 2, 2, 4]])


def test_a_refusal_is_kept_and_the_source_is_seen(tmp_path: Path) -> None:
    line = command(tmp_path, "print(json.dumps({'refused': 'no such style'}))")
    painted = CommandSystem(line).run(REQUEST, SOURCE)
    assert painted.refused == "no such style"
    assert np.array_equal(painted.frames, SOURCE)


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ("for index, rgb, mask in frames(): answer(index, rgb[:-3])", DecodeError, "1152 are|RGB are 1152"),
        ("print('hello')", DecodeError, "hello"),
        (
            "print('no weights', file=sys.stderr); sys.exit(5)",
            SourceLostError,
            "ended with exit code 5; it said: no weights",
        ),
        ("answer(0, b'')", DecodeError, "0 bytes"),
        ('sys.stdout.buffer.write(b\'{"index": 0, "bytes": 1152}\\nabc\')', SourceLostError, "inside frame 0"),
        ("for _ in frames(): pass", StepError, "no frame"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, body: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        CommandSystem(command(tmp_path, body)).run(REQUEST, SOURCE)


def test_a_silent_command_is_ended(tmp_path: Path) -> None:
    line = command(tmp_path, "import time\nwhile True: time.sleep(1)")
    process = CommandProcess(line, REQUEST, timeout_s=0.2)
    with pytest.raises(SourceStalledError, match=r"0\.2 s"), closing(process):
        process.receive()
    assert process._process.poll() is not None


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceNotFoundError, match="no-such-command"):
        CommandSystem("no-such-command --at all").run(REQUEST, SOURCE)


@pytest.mark.parametrize(("line", "said"), [("paint 'all", "No closing quotation"), ("", "empty"), (" ", "empty")])
@pytest.mark.parametrize("name", [None, "mine"])
def test_what_is_no_command_is_refused_before_anything_runs(line: str, said: str, name: str | None) -> None:
    with pytest.raises(UsageError, match=said):
        CommandSystem(line, name=name)
    with pytest.raises(UsageError, match=said):
        CommandProcess(line, REQUEST)


def test_outputs_are_found_as_pictures_or_as_a_film(tmp_path: Path) -> None:
    with open_source("scene:boat?frames=5", size=(64, 48)) as source:
        frames = list(source)
    stack = np.stack([frame.rgb for frame in frames])
    (tmp_path / "a" / "style").mkdir(parents=True)
    with open_sink(f"{tmp_path}/a/style/ink/", fps=30) as sink:
        for frame in frames:
            sink.write(frame)
    (tmp_path / "b" / "style").mkdir(parents=True)
    with open_sink(tmp_path / "b" / "style" / "ink.mp4", fps=30) as sink:
        for frame in frames:
            sink.write(frame)
    system = FolderSystem(tmp_path, name="theirs")
    exact = system.run(Request((64, 48), 30.0, "ink", case="a/style/ink", style="ink"), stack).frames
    assert np.array_equal(exact, stack)
    film = system.run(Request((64, 48), 30.0, "ink", case="b/style/ink", style="ink"), stack).frames
    assert np.abs(film.astype(int) - stack).mean() < 6
    assert "no output c/style/ink" in str(
        system.accepts(Request((64, 48), 30.0, "ink", case="c/style/ink", style="ink"))
    )


def test_outputs_of_another_length_or_size_are_refused(tmp_path: Path) -> None:
    with open_source("scene:boat?frames=4", size=(32, 32)) as source, open_sink(f"{tmp_path}/a/", fps=30) as sink:
        for frame in source:
            sink.write(frame)
    system = FolderSystem(tmp_path)
    request = Request((32, 32), 30.0, "ink", case="a", style="ink")
    with pytest.raises(SourceUnsupportedError, match="4 frames"):
        system.run(request, np.zeros((5, 32, 32, 3), np.uint8))
    with pytest.raises(SourceUnsupportedError, match="32x32"):
        system.run(request, np.zeros((4, 16, 16, 3), np.uint8))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        FolderSystem(tmp_path / "nowhere")


def test_what_a_command_is_started_with_is_shown_without_its_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are passed to programs as flags, variables and addresses; a document is read by others."""
    line = command(tmp_path, "sys.exit('rtsp://me:hush@cam/x is gone')")
    line = f"{line} --api-key hush --password=hush http://me:hush@host/x?token=hush"
    system = CommandSystem(line)
    about = [system.about, command_spec(line, "theirs").load().about]
    assert all("--api-key ***" in words for words in about)
    with pytest.raises(SourceLostError, match=r"rtsp://\*\*\*@cam/x is gone") as error:
        system.run(REQUEST, SOURCE)
    monkeypatch.setattr(sys, "argv", ["vivace", "bench", "speed", "--command", line])
    document = Parts(seed=0, settings={}).document()
    assert document.command[:3] == ["vivace", "bench", "speed"]
    assert "hush" not in "".join([*about, str(error.value), *document.command])
