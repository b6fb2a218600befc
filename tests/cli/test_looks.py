"""`vivace looks`, and a saved look and a style picture at `vivace run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vivace.cli import main
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.saved import open_look

RUN = ["run", "scene:gallery", "--size", "96x64", "--max-frames", "2"]


def painted(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])


def test_looks_are_listed_shown_saved_and_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, both = str(tmp_path / "first.look"), str(tmp_path / "both.look")
    assert main(["looks", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(LOOK_KEYS)
    assert main(["looks", "save", first, "half oil, half neon", "--title", "glow"]) == 0
    assert main(["looks", "mix", both, first, "fog", "--shares", "0.5,0.5"]) == 0
    assert "the shares" not in capsys.readouterr().err
    # A file is written over only when it is said; shares are in proportion, which is said, too.
    assert main(["looks", "mix", both, first, "fog", "--shares", "3,1"]) == 2
    assert "both.look is there already; give another name, or --replace" in " ".join(capsys.readouterr().err.split())
    assert main(["looks", "mix", both, first, "fog", "--shares", "3,1", "--replace"]) == 0
    assert "the shares sum to 4; mixed by 0.75, 0.25" in capsys.readouterr().err
    assert main(["looks", "show", both]) == 0
    assert "glow and fog: 38% oil + 38% neon + 25% fog" in capsys.readouterr().out
    assert dict(open_look(Path(both)).mixture.looks) == {"oil": 0.375, "neon": 0.375, "fog": 0.25}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "steampunk"], "there is no look in 'steampunk'"),
        (["show", "me in anime"], "there is no look in 'me in anime'; understood: anime on the person; near are anime"),
        (["show", "nowhere.look"], "nowhere.look cannot be read"),
        (["save", "x.txt", "oil"], "a look is saved as NAME.look"),
        (["save", "x.look"], "give words"),
        (["save", "x.look", "--picture", "x.png"], "x.png"),
        (["save", "x.look", "oil", "--share", "2"], "--share is 2"),
        (["save", "/nowhere/x.look", "oil"], "there is no folder /nowhere; create it first"),
        (["mix", "x.look", "oil"], "at least two"),
        (["mix", "x.look", "oil", "fog", "--shares", "1"], "--shares is '1'; give 2 numbers"),
    ],
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["looks", *words]) in (2, 3)
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_a_run_paints_a_saved_look_as_it_paints_its_words(tmp_path: Path) -> None:
    look = str(tmp_path / "glow.look")
    main(["looks", "save", look, "half oil, half neon"])
    for name, how in (("words", ["-p", "half oil, half neon"]), ("file", ["--look", look])):
        assert main([*RUN, "--model", "mini2", *how, "-o", str(tmp_path / name / "%02d.png")]) == 0
    np.testing.assert_array_equal(painted(tmp_path / "words"), painted(tmp_path / "file"))


def test_a_run_paints_like_a_picture_as_its_saved_look_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture, look = str(tmp_path / "style.png"), str(tmp_path / "mine.look")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(picture)
    assert main(["looks", "save", look, "--picture", picture]) == 0
    for name, how in (("picture", ["--style-image", picture]), ("file", ["--look", look])):
        assert main([*RUN, "--model", "mini2", *how, "-o", str(tmp_path / name / "%02d.png")]) == 0
    assert "no prompt" not in capsys.readouterr().err
    np.testing.assert_array_equal(painted(tmp_path / "picture"), painted(tmp_path / "file"))


def test_a_model_without_looks_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look = str(tmp_path / "glow.look")
    main(["looks", "save", look, "neon"])
    assert main([*RUN, "--look", look, "-o", "null"]) == 2
    assert "mini takes no saved look" in capsys.readouterr().err
    assert main([*RUN, "--look", look, "-p", "oil", "-o", "null"]) == 2
    assert "give one of the two" in capsys.readouterr().err
    assert main([*RUN, "--style-image", look, "-p", "oil", "-o", "null"]) == 2
    said = capsys.readouterr().err
    assert "style_image" in said
    assert "mini2 has one" in said
    assert main([*RUN, "--region-cache", "on", "-p", "oil", "-o", "null"]) == 2
    assert "mini2 and wan have one" in capsys.readouterr().err
