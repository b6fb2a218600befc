"""`vivace policy`, and requests that `vivace run` refuses to paint."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import vivace.models
from fakes import FakeModel
from vivace.cli import main

RUN = ["run", "scene:walkers", "--size", "32x16", "--max-frames", "2", "-o", "out.mp4"]
MINE = '[reasons.colour]\nsays = "a colour"\nen = "red"\n'


@pytest.fixture(autouse=True)
def run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vivace.models, "load_model", lambda *_, **__: FakeModel())
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(MINE, "utf-8")


def test_a_run_with_what_is_not_painted_does_not_begin(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*RUN, "-p", "naked"]) == 2
    assert "prompt asks for sexual content ('naked')" in capsys.readouterr().err
    assert main([*RUN, "-p", "red"]) == 0


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_another_list_or_none_is_named(way: str, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    def run(policy: str, prompt: str) -> int:
        if way == "variable":
            monkeypatch.setenv("VIVACE_POLICY", policy)
        return main([*RUN, "-p", prompt, *(["--policy", policy] if way == "flag" else [])])

    assert run("mine.toml", "red") == 2
    assert "prompt asks for a colour ('red')" in capsys.readouterr().err
    assert run("off", "red") == 0
    assert run("off", "naked") == 2  # nothing that this model knows
    assert "no idea" in capsys.readouterr().err
    assert run("gone.toml", "red") == 2
    assert "the policy gone.toml cannot be read" in capsys.readouterr().err


def test_requests_are_tried_one_by_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["policy", "check", "ink", "oil"]) == 0
    assert capsys.readouterr().out == "ink: painted\noil: painted\n"
    assert main(["policy", "check", "ink", "nackt"]) == 5
    assert capsys.readouterr().out == "ink: painted\nnackt: refused as sexual (sexual content): 'nackt'\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("naked\nred\n"))
    assert main(["policy", "check", "--policy", "mine.toml"]) == 5
    assert capsys.readouterr().out == "naked: painted\nred: refused as colour (a colour): 'red'\n"


def test_the_list_is_shown_as_a_list_of_ones_own_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "show"]) == 0
    Path("copy.toml").write_text(capsys.readouterr().out, "utf-8")
    assert main(["policy", "check", "--policy", "copy.toml", "naked"]) == 5


def test_a_list_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    Path("requests.toml").write_text('[mine.colour]\nen = ["red"]\n[mine.harmless]\nen = ["ink"]\n', "utf-8")
    assert main(["policy", "score", "requests.toml", "--policy", "mine.toml"]) == 0
    assert capsys.readouterr().out.startswith("mine: 1 of 1 refused, 0 of 1 harmless refused; precision 100.0%")
    assert main(["policy", "score", "mine.toml"]) == 2


@pytest.mark.parametrize("what", ["script", "log"])
def test_a_show_is_no_way_around(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    if what == "script":
        Path("show.toml").write_text('[[cue]]\ntime = 0\nprompt = "naked"\n', "utf-8")
        assert main([*RUN, "-p", "red", "--script", "show.toml"]) == 2
    else:
        assert main([*RUN, "-p", "red", "--log", "show.jsonl"]) == 0
        capsys.readouterr()
        Path("show.jsonl").write_text(Path("show.jsonl").read_text("utf-8").replace('"red"', '"naked"'), "utf-8")
        assert main(["replay", "show.jsonl", "scene:walkers", "-o", "again.mp4"]) == 2
    assert "asks for sexual content ('naked')" in capsys.readouterr().err
