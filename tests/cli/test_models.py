"""`vivace models`: output, questions, downloads and checks, with their exit codes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import live2diff_mirror as toy
from vivace.checkpoints.files import Places
from vivace.checkpoints.removal import Removal, plan_removal, remove
from vivace.cli import main
from vivace.models import describe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    toy.write(folder)
    return folder


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set up an empty environment, without models."""
    monkeypatch.setenv("VIVACE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def models(made: Path, capsys: pytest.CaptureFixture[str]):
    """Run `vivace models COMMAND profile …` and return its exit code and its whole output."""

    def run(command: str, *tokens: str, name: str | None = None) -> tuple[int, str]:
        code = main(["models", command, name or str(made / "tiny.toml"), *tokens])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def mirror(made: Path) -> tuple[str, str]:
    return "--mirror", (made / "mirror").as_uri()


def test_the_list_has_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    said = capsys.readouterr().out
    assert "mini" in said
    assert "live2diff" in said


def test_licences_and_sizes_are_said_before_anything_is_fetched(models, made: Path, tmp_path: Path) -> None:
    code, said = models("pull", *mirror(made))
    assert code == 2, "nobody is there to agree"
    assert "--yes" in said
    for words in ("Apache-2.0", "CreativeML Open RAIL-M", "OpenRAIL++", "MIT", "9 files, 2.9 MB to", "free)"):
        assert words in said, words
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("answer", "fetched"), [("y", True), ("n", False), ("", False)])
def test_on_a_terminal_it_asks(
    models, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, fetched: bool
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    code, said = models("pull", *mirror(made))
    assert code == 0
    assert ("Nothing was fetched" in said) is not fetched
    assert (tmp_path / "models" / toy.SD).exists() is fetched


def test_pull_show_and_check_agree(models, made: Path, tmp_path: Path) -> None:
    _, said = models("show")
    assert len(re.findall(r"^missing ", said, re.MULTILINE)) == 9
    assert len(re.findall(r"^absent ", said, re.MULTILINE)) == 1
    assert len(re.findall(r"^by hand ", said, re.MULTILINE)) == 3
    assert "painted: Another base, a LoRA and a learned word. 3 steps" in said
    code, said = models("check")
    assert code == 4
    assert said.count("wrong ") == 9

    code, said = models("pull", "--yes", *mirror(made))
    assert code == 0
    assert "All of it is there" in said
    code, said = models("check")
    assert code == 0
    assert len(re.findall(r"^ok ", said, re.MULTILINE)) == 9
    assert "206 tensors of the UNet" in said
    assert "sha256 matches" in said
    _, said = models("show")
    assert len(re.findall(r"^there ", said, re.MULTILINE)) == 9
    code, said = models("pull")
    assert code == 0
    assert "Everything is there" in said


def test_what_no_program_may_fetch_is_asked_for_by_name(models, made: Path, tmp_path: Path) -> None:
    models("pull", "--yes", *mirror(made))
    code, said = models("pull", "--style", "painted")
    assert code == 4
    assert f"{toy.STYLE_BASE}: to get by hand: a friend" in said
    assert str(tmp_path / "models") in said
    code, said = models("pull", "--style", "painted", "--yes", *mirror(made))
    assert code == 0
    code, said = models("check", "--style", "painted")
    assert code == 0
    assert "206 tensors of the UNet, 52 of the text encoder, the autoencoder" in said
    assert "2 vectors, written for 'sks'" in said


def test_a_wrong_file_ends_a_check_with_4_and_is_named(models, made: Path, tmp_path: Path) -> None:
    models("pull", "--yes", *mirror(made))
    folder = tmp_path / "models"
    shutil.copy(folder / toy.SD / "text_encoder/model.safetensors", folder / "Intel/dpt-hybrid-midas/model.safetensors")
    code, said = models("check")
    assert code == 4
    assert said.count("wrong ") == 1
    assert "sha256" in said or "bytes" in said
    (folder / "tiny.lock.json").unlink()
    code, said = models("check")
    assert code == 4
    assert "is not the depth detector MiDaS DPT-Hybrid" in said
    assert "it looks like a CLIP text encoder" in said


def test_an_interrupted_pull_says_that_it_goes_on(models, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vivace.checkpoints.hub._fetch", interrupted)
    code, said = models("pull", "--yes", *mirror(made))
    assert code == 130
    assert "pulling again goes on" in said


def test_the_large_model_is_shown_without_its_files(models) -> None:
    code, said = models("show", name="live2diff")
    assert code == 0
    for words in ("felted", "Leoxing/Live2Diff/live2diff.ckpt", "1.68 GB", "Civitai, model version 86725", "compiled"):
        assert words in said


BARE = """
import sys
for name in ("torch", "diffusers", "transformers", "huggingface_hub"):
    sys.modules[name] = None
from vivace.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (("show",), 0, "missing motion"),
        (("check",), 4, "pip install '.[gpu]'"),
        (("pull", "--yes"), 4, "pip install '.[gpu]'"),
    ],
)
def test_without_the_extra_it_is_shown_and_the_rest_says_what_is_missing(
    command: tuple[str, ...], code: int, words: str
) -> None:
    tokens = ("models", command[0], "live2diff", *command[1:])
    done = subprocess.run([sys.executable, "-c", BARE, *tokens], capture_output=True, text=True)
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_the_embedded_model_is_shown_and_checked(models) -> None:
    code, said = models("show", name="mini")
    assert code == 0
    assert "mini.safetensors (13.3 MB)" in said
    code, said = models("check", name="mini")
    assert code == 0
    assert len(re.findall(r"^ok ", said, re.MULTILINE)) == 2
    code, said = models("pull", name="mini")
    assert code == 0


def test_fetched_files_are_removed_after_asking(models, made: Path, tmp_path: Path) -> None:
    models("pull", *mirror(made), "--yes")
    folder = tmp_path / "models"
    before = [path for path in folder.rglob("*") if path.is_file()]
    code, said = models("remove")
    assert code == 2, "nobody is there to be asked"
    assert "--yes" in said
    assert [path for path in folder.rglob("*") if path.is_file()] == before
    code, said = models("remove", "--yes")
    assert (code, "9 files, 2.9 MB" in said) == (0, True), said
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    code, said = models("remove", "--yes")
    assert (code, "Nothing of" in said) == (0, True)
    assert (made / "mirror").is_dir()


def test_files_of_the_package_are_not_removed(models) -> None:
    code, said = models("remove", "--yes", name="mini")
    assert (code, "Nothing of mini" in said) == (0, True)
    assert main(["models", "check", "mini"]) == 0


def test_a_file_that_another_model_needs_is_kept(made: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "models", tmp_path / "hub")
    shutil.copytree(made / "mirror", places.folder)
    profile = describe(str(made / "tiny.toml"))
    other = profile.model_copy(update={"name": "other"})
    removal = plan_removal(profile, [profile, other], places)
    assert removal.files == ()
    assert set(removal.kept.values()) == {"other"}
    missing = next(iter(removal.kept))
    missing.unlink()
    assert plan_removal(profile, [other], places).kept == {}, "it lacks a file, and so needs none"


def test_a_link_in_the_hubs_cache_goes_with_what_it_leads_to(tmp_path: Path) -> None:
    blob = tmp_path / "models--a--b" / "blobs" / "123"
    links = [tmp_path / "models--a--b" / "snapshots" / name / "file" for name in ("one", "two")]
    for path in (blob, *links):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(b"x")
    for link in links:
        link.symlink_to(blob)
    remove(Removal((links[0],), {}, tmp_path / "lock"))
    assert blob.is_file()
    remove(Removal((links[1],), {}, tmp_path / "lock"))
    assert not blob.exists()


def test_a_link_of_the_users_own_goes_alone(tmp_path: Path) -> None:
    weights = tmp_path / "disk" / "weights.ckpt"
    link = tmp_path / "models" / "a" / "b" / "weights.ckpt"
    for path in (weights, link):
        path.parent.mkdir(parents=True)
    weights.write_bytes(b"x")
    link.symlink_to(weights)
    remove(Removal((link,), {}, tmp_path / "lock"))
    assert not link.is_symlink()
    assert weights.read_bytes() == b"x"
