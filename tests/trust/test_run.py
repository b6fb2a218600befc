"""Marks of `vivace run` in and beside its files."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import c2pa
import numpy as np
import pytest
from PIL import Image

import vivace.models
from fakes import FakeModel
from patience import PATIENCE_S
from vivace.cli import main
from vivace.media.frame import Frame
from vivace.media.open import open_sink, open_source
from vivace.trust import signing
from vivace.trust.library import context
from vivace.trust.manifest import SourceType
from vivace.trust.reading import find_label
from vivace.trust.signing import sidecar_of
from vivace.trust.verify import Bounds, verify
from vivace.trust.watermark.search import TOLERATED_FALSE_ALARM

PATIENT = Bounds(time_s=5 * PATIENCE_S)
"""Looking for a watermark is work, at low priority."""


@pytest.fixture(autouse=True)
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, which contains a clip and two photographs; marks are on, as for a user."""
    monkeypatch.delenv("VIVACE_MARKS")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(vivace.models, "load_model", lambda *_, **__: FakeModel())
    monkeypatch.chdir(tmp_path)
    with open_sink("clip.mp4", fps=25) as sink:
        for index in range(4):
            sink.write(Frame(np.full((64, 64, 3), 20 * index, np.uint8), index, index, Fraction(1, 25), 0.0))
    Path("photos").mkdir()
    for name in ("one", "two"):
        Image.new("RGB", (64, 64), "grey").save(f"photos/{name}.png")
    return tmp_path


def said(path: str) -> tuple[list[str], list[str], dict[str, Any]]:
    """Return the actions, the titles of the ingredients, and the statement on the edit."""
    beside = sidecar_of(Path(path))
    with Path(path).open("rb") as file:
        reader = c2pa.Reader(Path(path).suffix[1:], file, beside.read_bytes() if beside.exists() else None, context())
        document = json.loads(reader.json())
    assert document["validation_state"] == "Valid"
    active = document["manifests"][document["active_manifest"]]
    (actions,) = (each["data"]["actions"] for each in active["assertions"] if "actions" in each["label"])
    edit = actions[-1] if actions[-1]["action"] == "c2pa.edited" else {}
    return [each["action"] for each in actions], [each["title"] for each in active.get("ingredients", ())], edit


RUN = ["run", "clip.mp4", "-p", "red"]


def test_every_file_of_a_run_is_signed_and_names_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "-o", "out.mp4", "-o", "out.mkv", "-o", "out.gif", "-o", "frames/"]) == 0
    for path in ("out.mp4", "out.mkv", "out.gif", "frames/00003.png"):
        actions, ingredients, edit = said(path)
        assert (actions, ingredients) == (["c2pa.opened", "c2pa.edited"], ["clip.mp4"])
        assert edit["parameters"]["vivace.model"] == "mini"
        assert all(value.startswith("sha256:") for value in edit["parameters"]["vivace.weights"].values())
        assert "vivace.prompts" not in edit["parameters"]
    told = capsys.readouterr().err
    assert "--no-sign" in told
    assert "out.mkv.c2pa" in told


def test_a_key_frame_names_the_network_that_carried_it(mini: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vivace.models, "load_model", lambda *_, **__: mini)
    Image.linear_gradient("L").resize((64, 64)).convert("RGB").save("before.png")
    edited = Image.open("before.png")
    edited.paste((200, 30, 30), (16, 16, 40, 40))
    edited.save("edited.png")
    led = ["run", "before.png", "--keyframe", "edited.png", "--keyframe-source", "before.png"]
    assert main([*led, "-o", "led.png"]) == 0
    assert main(["run", "before.png", "-p", "ink", "-o", "plain.png"]) == 0
    named = [set(said(name)[2]["parameters"]["vivace.weights"]) for name in ("led.png", "plain.png")]
    assert named[0] - named[1] == {"keyframes remember", "keyframes follow"}
    assert named[1] == {"mini.xml", "mini.safetensors"}


def test_a_photograph_names_its_own_source() -> None:
    assert main(["run", "photos", "-p", "red", "-o", "inks/", "--sign-prompt"]) == 0
    for name in ("one.png", "two.png"):
        _, ingredients, edit = said(f"inks/{name}")
        assert ingredients == [name]
        assert edit["parameters"]["vivace.prompts"] == ["red"]


@pytest.mark.parametrize("way", [["--strength", "0"], []])
def test_what_was_not_painted_is_not_said_to_be(way: list[str]) -> None:
    run = [*RUN, *way] if way else RUN[:2]
    assert main([*run, "-o", "out.mp4"]) == 0
    assert said("out.mp4")[0] == ["c2pa.opened", "c2pa.transcoded"]
    assert main(["run", "scene:city", "--size", "64x64", "--max-frames", "2", *way, "-o", "scene.mp4"]) == 0
    assert said("scene.mp4")[0] == ["c2pa.created"]


def test_a_scene_is_created_and_edited() -> None:
    assert main(["run", "scene:city", "--size", "64x64", "--max-frames", "2", "-p", "red", "-o", "out.mp4"]) == 0
    actions, _, edit = said("out.mp4")
    assert actions == ["c2pa.created", "c2pa.edited"]
    assert edit["digitalSourceType"] == SourceType.REPAINTED


def test_nothing_is_signed_for_who_does_not_want_it(
    run_here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "-o", "plain.mp4", "--no-sign", "--label", "off", "--no-watermark"]) == 0
    monkeypatch.setenv("VIVACE_MARKS", "none")
    assert main([*RUN, "-o", "also.mp4"]) == 0
    assert Path("plain.mp4").read_bytes() == Path("also.mp4").read_bytes()
    assert b"c2pa" not in Path("plain.mp4").read_bytes()
    assert "signed" not in capsys.readouterr().err
    assert not (run_here / "state").exists()
    assert main([*RUN, "-o", "out.mp4", "--sign"]) == 0
    assert said("out.mp4")[0][-1] == "c2pa.edited"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--sign-key", "key.pem"], "--sign-certificate"),
        (["--sign-certificate", "none.pem"], "cannot be read"),
        (["--sign-command", "x"], "--sign-certificate"),
        (["--no-sign", "--sign-prompt"], "`--no-sign` turns the credentials off"),
    ],
)
def test_what_cannot_sign_is_told_before_anything_is_written(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "-o", "out.mp4", *flags]) == 2
    assert words in capsys.readouterr().err
    assert not Path("out.mp4").exists()


def test_no_place_for_keys_is_told_before_anything_is_written(
    run_here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_here / "state").write_text("a file")
    assert main([*RUN, "-o", "out.mp4"]) == 2
    assert "XDG_STATE_HOME" in capsys.readouterr().err
    assert not Path("out.mp4").exists()


def test_a_file_that_could_not_be_signed_is_there_and_the_others_are_signed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: Path, *_: object, **__: object) -> list[str]:
        if path.suffix == ".mp4":
            raise signing.SinkWriteError(f"{path}: is complete, but not signed (No space left on device)")
        return real(path, *_, **__)  # type: ignore[arg-type]

    real = signing.sign_file
    monkeypatch.setattr(signing, "sign_file", fail)
    assert main([*RUN, "-o", "out.mp4", "-o", "out.gif"]) == 3
    told = capsys.readouterr()
    assert "not signed" in told.err
    assert "4 frames to out.mp4" in told.out
    assert Path("out.mp4").stat().st_size
    assert said("out.gif")[0][-1] == "c2pa.edited"


def test_a_run_that_was_ended_goes_on_and_is_signed_once_it_is_whole() -> None:
    assert main([*RUN, "-o", "out.mp4", "--resume"]) == 0
    assert said("out.mp4")[0] == ["c2pa.opened", "c2pa.edited"]
    assert {path.name for path in Path().glob("out*")} == {"out.mp4"}


def label_in(path: str) -> bool:
    """Return whether the label's paper, darker than the rest of these pictures, is in the first frame."""
    with open_source(path) as source:
        rgb = next(iter(source)).rgb
    return bool((rgb[1:12, 2:30].min(axis=2) < 60).mean() > 0.1 and (rgb[1:12, 2:30].max(axis=2) > 200).any())


def test_what_is_repainted_says_so_in_the_picture_and_in_the_files_own_words() -> None:
    bright = ["run", "photos", "-p", "red"]
    assert main([*bright, "-o", "inks/", "--no-sign"]) == 0
    assert label_in("inks/one.png")
    assert find_label(Path("inks/one.png")).places == ("XMP",)
    assert main([*RUN, "-o", "out.mp4", "-o", "out.webm", "-o", "frames/%02d.jpg", "-o", "pictures/%d.webp"]) == 0
    assert find_label(Path("out.mp4")).places == ("comment", "SEI")
    assert find_label(Path("out.webm")).places == ("comment",)
    assert find_label(Path("frames/00.jpg")).places == find_label(Path("pictures/0.webp")).places == ("XMP",)
    assert "top-left" in said("out.mp4")[2]["parameters"]["vivace.label"]


def test_a_copied_stream_still_says_so() -> None:
    assert main([*RUN, "-o", "out.mp4", "--no-sign"]) == 0
    with av.open("out.mp4") as old, av.open("copy.ts", "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    assert "SEI" in find_label(Path("copy.ts")).places
    assert verify("copy.ts", bounds=PATIENT).verdict == "repainted"


def sky(path: str, frames: int = 8) -> None:
    """Write a clip of a sky, in which a watermark is found at once."""
    ramp = np.linspace(60, 120, 288, dtype=np.float32)[:, None, None] + np.zeros((288, 512, 3), np.float32)
    with open_sink(path, fps=25) as sink:
        for index in range(frames):
            sink.write(Frame((ramp + index).astype(np.uint8), index, index, Fraction(1, 25), 0.0))


def test_the_watermark_speaks_after_the_credentials_and_all_words_are_lost() -> None:
    sky("sky.mp4")
    run = ["run", "sky.mp4", "-p", "red", "--size", "512x288"]
    assert main([*run, "-o", "out.mp4", "--watermark-payload", "c0ffee", "--label", "off"]) == 0
    assert said("out.mp4")[2]["parameters"]["vivace.watermark"] == "000000c0ffee"
    with open_source("out.mp4") as source, open_sink("again.mp4", fps=25) as again:
        for frame in source:
            again.write(replace(frame, painted=False))
    report = verify("again.mp4", bounds=PATIENT)
    assert report.watermark is not None
    assert (report.verdict, report.exit_code, report.watermark.payload) == ("repainted", 0, "000000c0ffee")
    assert report.watermark.seconds == (0,)
    assert report.watermark.false_alarm < TOLERATED_FALSE_ALARM
    assert report.credentials is not None
    assert report.credentials.state == "none"


def test_the_same_run_gives_the_same_pictures_watermark_included() -> None:
    run = ["run", "photos/one.png", "-p", "red", "--no-sign"]
    assert main([*run, "-o", "a.png"]) == main([*run, "-o", "b.png"]) == main([*run, "--seed", "1", "-o", "c.png"]) == 0
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes() != Path("c.png").read_bytes()


@pytest.mark.parametrize("payload", ["", "xyz", "1234567890abc"])
def test_a_payload_that_is_none_is_told(payload: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "-o", "out.mp4", "--watermark-payload", payload]) == 2
    assert "hexadecimal" in capsys.readouterr().err
    assert not Path("out.mp4").exists()


def test_what_is_not_repainted_has_no_label() -> None:
    assert main(["run", "photos", "-p", "red", "--strength", "0", "-o", "same/"]) == 0
    assert np.array_equal(np.asarray(Image.open("same/one.png")), np.asarray(Image.open("photos/one.png")))
    assert not find_label(Path("same/one.png")).places
    assert main(["run", "clip.mp4", "-o", "copy.mp4"]) == 0
    assert not find_label(Path("copy.mp4")).places
    assert verify("copy.mp4", bounds=PATIENT).verdict == "not_repainted"


def test_a_label_that_is_turned_off_is_told_and_in_the_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "-o", "out.mp4", "--label", "off"]) == 0
    assert "--label off" in capsys.readouterr().err
    assert said("out.mp4")[2]["parameters"]["vivace.label"] == "off"
    assert not find_label(Path("out.mp4")).places
    assert main([*RUN, "-o", "out.mp4", "--label", "off", "--label-size", "large"]) == 2


def test_the_label_speaks_where_and_how_it_is_told_to() -> None:
    flags = ["--label", "bottom-right", "--label-language", "de", "--label-size", "large"]
    assert main([*RUN, "-o", "out.mp4", *flags]) == 0
    assert said("out.mp4")[2]["parameters"]["vivace.label"] == "'KI-bearbeitet', bottom-right, large"
