"""The command tree: help lists everything, documents name only existing commands, errors end with 2."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cyclopts import App
from PIL import Image

from vivace import __version__
from vivace.cli import main
from vivace.cli.app import RunOptions, build_app
from vivace.cli.options import parse_size
from vivace.errors import UsageError
from vivace.settings import Settings

ROOT = Path(__file__).parents[2]
COMMANDS = ("run", "models", "bench", "verify", "doctor", "train")
RUN_FLAGS = (
    *("--set", "--style", "--lora", "--file", "--runtime", "--precision"),
    *("--output", "-o", "--prompt", "-p", "--model", "--size", "--fps", "--strength", "--seed", "--steps", "--mask"),
    *("--live", "--every-frame", "--compare", "--max-frames", "--stats", "--threads"),
    *("--sign", "--no-sign", "--sign-prompt", "--sign-certificate", "--sign-key", "--sign-command"),
    *("--label", "--label-size", "--label-language"),
    *("--watermark", "--no-watermark", "--watermark-payload", "--watermark-everywhere"),
)


@pytest.fixture
def app() -> App:
    return build_app(Settings())


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in (*COMMANDS, "--install-completion", "--version"):
        assert command in shown


def test_help_of_run_lists_every_flag(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in RUN_FLAGS:
        assert flag in shown
    assert "vivace run camera" in shown


@pytest.mark.parametrize(("command", "code"), [("--help", 0), ("models list", 0), ("policy show", 141), ("verify", 5)])
def test_a_reader_that_went_away_is_no_error(command: str, code: int, tmp_path: Path) -> None:
    """Tables end with the command's own code, what is cut short as other programs do; nobody is told anything."""
    tokens = command.split()
    if command == "verify":
        Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "grey.png")
        tokens.append(str(tmp_path / "grey.png"))
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "vivace", *tokens], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (code, "")


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "tokens", [["rnu"], ["run"], ["run", "a", "--bogus"], ["run", "a", "--seed", "x"], ["models", "x"]]
)
def test_wrong_usage_is_one_message_and_2(tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tokens) == 2
    said = capsys.readouterr().err
    assert said.startswith("vivace: ")
    assert "--help" in said


@pytest.mark.parametrize("text", ["2.5", "1e3", "nan", "0x10", "two", "9" * 5000])
def test_a_number_that_is_not_whole_is_never_rounded(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "a", "--seed", text]) == 2
    said = capsys.readouterr().err
    assert "--seed" in said
    assert len(said) < 400


def test_a_mistyped_command_finds_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    main(["rnu"])
    assert 'Did you mean "run"?' in capsys.readouterr().err


def commands_in(document: Path) -> list[str]:
    """Return the `vivace …` lines of a document's code blocks and tables, placeholders left out."""
    text = document.read_text("utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("vivace ")]


DOCUMENTED = [
    command for name in ("README.md", "docs/bench.md", "docs/models/mini.md") if (ROOT / name).exists()
    for command in commands_in(ROOT / name)
]  # fmt: skip


def test_the_readme_shows_commands() -> None:
    assert len(commands_in(ROOT / "README.md")) >= 3


@pytest.mark.parametrize("command", [line for line in DOCUMENTED if not line.startswith("vivace train")])
def test_documented_commands_are_understood(command: str, app: App) -> None:
    app.parse_args(command.removeprefix("vivace "), exit_on_error=False, print_error=False)


def test_live_has_three_states(app: App) -> None:
    for tokens, wanted in (("run a", None), ("run a --live", True), ("run a --every-frame", False)):
        _, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
        options = bound.arguments.get("options") or RunOptions()
        assert options.live is wanted


def test_without_torch_training_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else find(name))
    for tokens in (["train"], ["train", "mini", "--help"], ["train", "evaluate", "clips"]):
        assert main(tokens) == 4
        assert "pip install '.[train]'" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "size"), [("512x288", (512, 288)), (" 64X32 ", (64, 32)), ("640×480", (640, 480))])
def test_a_size_is_two_numbers(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "512", "512x", "x", "-1x5", "1.5x2", "512 x 512 x 3", "9" * 5000])
def test_any_other_size_is_refused_in_few_words(text: str) -> None:
    with pytest.raises(UsageError, match="WxH") as caught:
        parse_size(text)
    assert len(str(caught.value)) < 150
