"""`vivace run --resume`, ended at any moment: the files on disk are copied away while a run goes on."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import vivace.models
from fakes import FakeModel, picture
from media.clips import beep, write_clip
from vivace.cli import main
from vivace.media.encode import VideoSink
from vivace.media.frame import Frame
from vivace.models.controls import ControlSpec

FRAMES = 170


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    smooth = [picture(index // 20, (4, 4)).repeat(8, 0).repeat(8, 1) for index in range(FRAMES)]
    write_clip(path, smooth, pts=[2 * index + (index % 3 == 0) for index in range(FRAMES)], sound=beep(13.6, 5.0))
    return path


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vivace.models, "load_model", lambda _name, **_asked: FakeModel())


def run(clip: Path, out: Path, *flags: str, prompt: str = "red") -> int:
    return main(["run", str(clip), "-p", prompt, "-o", str(out), *flags])


def kills(monkeypatch: pytest.MonkeyPatch, out: Path, at: int, to: Path) -> None:
    """Copy the files, as a killed run leaves them, once `at` frames are written."""
    write = VideoSink.write

    def writing(sink: VideoSink, frame: Frame) -> None:
        write(sink, frame)
        if sink.path == out and sink.frames_written == at:
            to.mkdir(exist_ok=True)
            for path in out.parent.glob(f"{out.name}*"):
                shutil.copy(path, to)

    monkeypatch.setattr(VideoSink, "write", writing)


def content(path: Path) -> tuple[np.ndarray, list[float], bytes]:
    """Return a file's pictures, their times in seconds, and its sound."""
    with av.open(path) as file:
        frames = list(file.decode(video=0))
    with av.open(path) as file:
        sound = b"".join(frame.to_ndarray().tobytes() for frame in file.decode(audio=0))
    times = [float(frame.pts * frame.time_base) for frame in frames]
    return np.stack([frame.to_ndarray(format="rgb24").astype(int) for frame in frames]), times, sound


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "mov"])
def test_what_was_ended_at_any_moment_becomes_what_it_would_have_been(
    suffix: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, begun = tmp_path / f"whole.{suffix}", tmp_path / "begun" / f"out.{suffix}"
    begun.parent.mkdir()
    assert run(clip, whole) == 0
    wanted, times, sound = content(whole)
    copied = {10: 0, 110: 64, FRAMES: 128}
    for at, kept in copied.items():
        killed = tmp_path / f"killed{at}"
        with monkeypatch.context() as patched:
            kills(patched, begun, at, killed)
            assert run(clip, begun, "--resume") == 0
        assert [path.name for path in begun.parent.iterdir()] == [begun.name], "nothing is left beside"
        begun.unlink()
        capsys.readouterr()
        assert run(clip, killed / begun.name, "--resume") == 0
        said = capsys.readouterr().err
        assert (f"going on after the {kept} frames" in said) == (kept > 0)
        found = content(killed / begun.name)
        assert found[1] == times
        assert found[2] == sound
        assert np.abs(found[0] - wanted).mean() < 4, "the encoder began anew, and nothing else"
        assert np.abs(found[0] - wanted).mean(axis=(1, 2, 3)).max() < 12
        assert [path.name for path in killed.iterdir()] == [begun.name]


def test_a_run_is_ended_again_while_it_goes_on(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, first, second, third = (tmp_path / name / "out.mp4" for name in ("0", "1", "2", "3"))
    out.parent.mkdir()
    with monkeypatch.context() as patched:
        kills(patched, out, 110, first.parent)
        assert run(clip, out, "--resume") == 0
    # While it is copying, the output has less than the previous one.
    shutil.copytree(first.parent, third.parent)
    third.rename(third.with_name("out.mp4.partial"))
    third.write_bytes(b"")
    with monkeypatch.context() as patched:
        kills(patched, first, 169, second.parent)
        assert run(clip, first, "--resume") == 0
    assert {path.name for path in second.parent.iterdir()} == {"out.mp4", "out.mp4.partial", "out.mp4.resume"}
    capsys.readouterr()
    for path, kept in ((second, 128), (third, 64)):
        assert run(clip, path, "--resume") == 0
        assert f"going on after the {kept} frames" in capsys.readouterr().err
        found, wanted = content(path), content(out)
        assert (len(found[0]), *found[1:]) == (len(wanted[0]), *wanted[1:])
        assert [each.name for each in path.parent.iterdir()] == ["out.mp4"]


def test_what_differs_from_the_run_that_was_ended_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, killed = tmp_path / "out.mp4", tmp_path / "killed" / "out.mp4"
    with monkeypatch.context() as patched:
        kills(patched, out, 110, killed.parent)
        assert run(clip, out, "--resume") == 0
    before = {path.name: path.read_bytes() for path in killed.parent.iterdir()}
    for flags, prompt, words in (
        (("--seed", "3"), "red", "was begun with --seed 0, and now it is 3: give what it was, or remove"),
        ((), "blue", "--prompt 'red', and now it is 'blue'"),
        (("--size", "32x24"), "red", "--size None, and now it is '32x24'"),
        (("--model", "live2diff"), "red", "--model 'mini', and now it is 'live2diff'"),
    ):
        assert run(clip, killed, "--resume", *flags, prompt=prompt) == 2
        assert words in " ".join(capsys.readouterr().err.split())
    other = tmp_path / "other.mp4"
    shutil.copy(clip, other)
    assert run(other, killed, "--resume") == 2
    assert "was begun with source" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in killed.parent.iterdir()} == before
    killed.write_bytes(killed.read_bytes()[:3000])
    assert run(clip, killed, "--resume") == 3
    assert "holds fewer than the 64 frames it had" in capsys.readouterr().err
    notes = killed.with_name("out.mp4.resume")
    whole = notes.read_bytes()
    for damaged in (b"nonsense", b"", whole[: len(whole) // 2], whole[:-1], whole.replace(b"descr", b"(((((")):
        notes.write_bytes(damaged)
        assert run(clip, killed, "--resume") == 3
        assert "out.mp4.resume: cannot be read" in capsys.readouterr().err
    notes.unlink()
    killed.unlink()
    assert run(clip, killed, "--resume") == 0, "which is the remedy it names"


def test_what_a_note_counts_on_is_on_the_disk_before_it(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    steps: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        steps.append(
            next(path.name for path in tmp_path.iterdir() if os.path.samestat(path.stat(), os.fstat(descriptor)))
        )

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", lambda path, to: (steps.append("noted"), replace(path, to))[1])
    assert run(clip, out, "--resume") == 0
    new = "out.mp4.resume.new"
    assert steps == [new, "noted", out.name, new, "noted", out.name, new, "noted"]


def test_a_file_that_is_another_one_now_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, killed, mask = tmp_path / "out.mp4", tmp_path / "killed" / "out.mp4", tmp_path / "mask.png"
    Image.new("L", (32, 32), 255).save(mask)
    with monkeypatch.context() as patched:
        kills(patched, out, 110, killed.parent)
        assert run(clip, out, "--resume", "--mask", str(mask)) == 0
    Image.new("L", (16, 16), 255).save(mask)
    assert run(clip, killed, "--resume", "--mask", str(mask)) == 2
    assert f"was begun with --mask '{mask} of " in " ".join(capsys.readouterr().err.split())


def test_a_folder_of_key_frames_with_another_picture_is_refused(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keyframe = ControlSpec(name="keyframe", kind="image", several=True, help="A frame that was edited")
    monkeypatch.setattr(vivace.models, "load_model", lambda _name, **_asked: FakeModel(options=(keyframe,)))
    out, killed, folder = tmp_path / "out.mp4", tmp_path / "killed" / "out.mp4", tmp_path / "keys"
    folder.mkdir()
    for name in ("a.png", "a.source.png"):
        Image.new("RGB", (32, 32)).save(folder / name)
    with monkeypatch.context() as patched:
        kills(patched, out, 110, killed.parent)
        assert run(clip, out, "--resume", "--keyframe", str(folder)) == 0
    Image.new("RGB", (16, 16)).save(folder / "a.png")  # in place: the folder itself is as it was
    assert run(clip, killed, "--resume", "--keyframe", str(folder)) == 2
    assert f"was begun with --keyframe '{folder} of " in " ".join(capsys.readouterr().err.split())


def test_what_was_not_begun_so_is_left_as_it_is(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"a film")
    assert run(clip, out, "--resume") == 2
    assert "it is complete, or was begun without --resume" in capsys.readouterr().err
    assert out.read_bytes() == b"a film"
    for flags in (("-o", str(tmp_path / "more.mp4")), ("--live",)):
        assert run(clip, tmp_path / "new.mp4", "--resume", *flags) == 2
        assert "--resume is for a video file" in capsys.readouterr().err
    for target in ("null", str(tmp_path / "a.gif"), str(tmp_path / "%03d.png"), str(tmp_path / "a.m3u8")):
        assert main(["run", str(clip), "-p", "red", "-o", target, "--resume"]) == 2
    assert main(["run", "scene:gallery", "-p", "red", "-o", str(tmp_path / "scene.mp4"), "--resume"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_limit_of_frames_counts_those_that_are_there(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, killed = tmp_path / "out.mp4", tmp_path / "killed" / "out.mp4"
    with monkeypatch.context() as patched:
        kills(patched, out, 110, killed.parent)
        assert run(clip, out, "--resume", "--max-frames", "120") == 0
    assert run(clip, killed, "--resume", "--max-frames", "120") == 0
    assert len(content(killed)[1]) == len(content(out)[1]) == 120
