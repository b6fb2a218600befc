"""Documented commands can be typed: the real parser accepts them, and addresses use the server's port."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module

import pytest
from cyclopts import CycloptsError, MissingArgumentError

from documented import DOCUMENTS, PROGRAMS, ROOT, Shown, all_shown
from vivace.cli.app import build_app
from vivace.errors import install_extra
from vivace.serve.settings import ServeSettings
from vivace.settings import Settings

SHOWN = all_shown()
PORT = ServeSettings.model_fields["port"].default
APP = build_app(Settings())
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
SOURCES = [path for kind in ("py", "js", "html") for path in (ROOT / "src").rglob(f"*.{kind}")]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: f"{shown.document}: {shown.text[:60]}")
def test_every_command_is_one_that_can_be_typed(shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shown.tokens
    if program == "vivace":
        check_vivace(arguments, whole=shown.whole)
    elif program == "python" and arguments[0] == "-m":
        with pytest.raises(SystemExit):
            import_module(f"{arguments[1]}.__main__").main(["--help"])
        known = capsys.readouterr().out
        assert all(word in known for word in arguments if word.startswith("--"))
    elif program == "python":
        assert (ROOT / arguments[0]).is_file()
    elif program == "pip":
        assert arguments[0] == "install"
        for extra in re.findall(r"\.\[([^]]*)\]", shown.text):
            assert set(extra.split(",")) <= EXTRAS.keys()
        assert arguments[1].split("[")[0] == "."
    else:
        assert program in PROGRAMS


def check_vivace(arguments: list[str], *, whole: bool) -> None:
    """Parse as the program does; a command within a sentence may lack required arguments."""
    try:
        APP.parse_args(arguments, exit_on_error=False, print_error=False)
    except MissingArgumentError:
        if whole:
            raise
    except CycloptsError as error:
        # `vivace bench` names a group of commands, `--lora …` a flag without its value.
        raise AssertionError(f"vivace {' '.join(arguments)}: {error}") from error


def test_what_no_parser_takes_is_found() -> None:
    for line in ("run a.mp4 --no-such-flag", "bench sped", "models shove mini", "run a.mp4 --steps many"):
        with pytest.raises(AssertionError):
            check_vivace(line.split(), whole=False)
    with pytest.raises(MissingArgumentError):
        check_vivace(["run"], whole=True)


def test_documents_show_commands_in_blocks_and_in_sentences() -> None:
    by_document = {name: [each for each in SHOWN if each.document == name] for name in ("README.md", "docs/serve.md")}
    assert any(each.whole for each in by_document["README.md"])
    assert any(not each.whole for each in by_document["README.md"])
    assert "vivace serve secret" in [each.text for each in by_document["docs/serve.md"]]


def test_addresses_lead_to_the_servers_own_port() -> None:
    for path in [*DOCUMENTS, *SOURCES]:
        for port in re.findall(r"(?<!udp://)(?:127\.0\.0\.1|localhost):(\d+)", path.read_text("utf-8")):
            assert int(port) == PORT, path


def test_no_registry_is_said_to_have_the_package() -> None:
    for path in [*DOCUMENTS, *SOURCES]:
        assert not re.search(r"pip install ['\"]?vivace|vivace\[", path.read_text("utf-8")), path


def test_the_help_says_the_servers_own_port(capsys: pytest.CaptureFixture[str]) -> None:
    APP(["serve", "--help"], exit_on_error=False, result_action="return_value")
    assert str(PORT) in capsys.readouterr().out


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_the_remedy_for_a_missing_extra_is_one_that_exists(extra: str) -> None:
    assert f"pip install '.[{extra}]'" in install_extra(extra)


def test_the_remedy_is_worded_once_and_for_extras_that_exist() -> None:
    asked = {extra for path in SOURCES for extra in re.findall(r"install_extra\(.(\w+).\)", path.read_text("utf-8"))}
    assert {"bench", "gpu", "serve", "train"} <= asked <= EXTRAS.keys()
