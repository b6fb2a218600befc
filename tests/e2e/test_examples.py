"""The examples that run beside other programs, with stand-ins for parts that a test machine lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from e2e.helpers import write_scene

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.e2e


def run(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def frames_in(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


def test_an_opencv_loop_repaints_what_opencv_reads(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="needs opencv (the bench extra)")
    write_scene(tmp_path / "clip.mp4", 12)
    done = run("opencv_loop.py", "clip.mp4", "--output", "out.avi", "--size", "128x64", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("12 frames")
    assert frames_in(tmp_path / "out.avi") == 12
    done = run("opencv_loop.py", "nothing.mp4", "--output", "out.avi", folder=tmp_path)
    assert "nothing.mp4: OpenCV cannot open it" in done.stderr


def test_a_call_gets_pictures_and_the_remedy_where_there_is_no_virtual_camera(tmp_path: Path) -> None:
    arguments = ("scene:city?frames=200", "--frames", "5", "--size", "128x64")
    done = run("video_call.py", *arguments, "--output", "call.mp4", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 frames" in done.stdout
    assert frames_in(tmp_path / "call.mp4") == 5
    from vivace.media.virtual_camera import lacking

    if lacking():
        done = run("video_call.py", *arguments, folder=tmp_path)
        assert done.returncode == 1
        assert "v4l2loopback" in done.stderr


def test_a_part_of_the_screen_goes_to_several_outputs_and_a_dead_one_costs_nothing(tmp_path: Path) -> None:
    arguments = ("scene:city", "--region", "40,20,160,90", "--frames", "20", "--size", "128x64")
    outputs = ("--output", "game.mp4", "--output", "rtmp://127.0.0.1:1/live/key", "--output", "null")
    done = run("game_capture.py", *arguments, *outputs, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "20 frames painted" in done.stdout
    assert frames_in(tmp_path / "game.mp4") > 0
    done = run("game_capture.py", "scene:city", "--region", "9000,0,10,10", "--output", "null", folder=tmp_path)
    assert "the region is not on the screen" in done.stderr


@pytest.mark.parametrize(("model", "styles"), [("mini", 16), ("mini2", 57)])
def test_a_sheet_shows_every_style_of_a_model(tmp_path: Path, model: str, styles: int) -> None:
    arguments = ("scene:gallery", "sheet.png", "--at", "0", "--size", "64x64", "--cell", "64", "--model", model)
    done = run("style_sheet.py", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{styles} styles")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 64 * -(-styles // 4)
