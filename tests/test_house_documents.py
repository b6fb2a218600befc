"""Promises of the documents."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import vivace
from vivace.models.mini.styles import STYLES

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("decisions/*.md")]


def requirements() -> list[Requirement]:
    """Return every package that pyproject.toml requires, except the project itself."""
    texts = [
        *PROJECT["project"]["dependencies"],
        *(text for extra in PROJECT["project"]["optional-dependencies"].values() for text in extra),
        *PROJECT["build-system"]["requires"],
    ]
    return [found for found in map(Requirement, texts) if found.name != "vivace"]


@pytest.mark.parametrize("name", sorted({requirement.name for requirement in requirements()}))
def test_every_dependency_has_its_reason(name: str) -> None:
    table = (ROOT / "decisions" / "0001-dependencies.md").read_text("utf-8")
    assert re.search(rf"^\| `{re.escape(name)}` \|", table, re.MULTILINE), f"no line for {name}"


def test_no_reason_outlives_its_dependency() -> None:
    table = (ROOT / "decisions" / "0001-dependencies.md").read_text("utf-8")
    assert set(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == {found.name for found in requirements()}


def test_every_dependency_is_bounded_on_both_sides() -> None:
    for requirement in requirements():
        operators = {clause.operator for clause in requirement.specifier}
        assert ">=" in operators, requirement
        assert "<" in operators, requirement


def test_what_is_tested_lies_in_the_promised_range() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {pin.name: pin for pin in (Requirement(line) for line in lines if line and not line.startswith("#"))}
    for requirement in requirements():
        (clause,) = pins[requirement.name].specifier
        assert requirement.specifier.contains(clause.version), requirement


def test_the_base_install_has_no_torch() -> None:
    assert "torch" not in {Requirement(text).name for text in PROJECT["project"]["dependencies"]}


def test_the_changelog_knows_the_version() -> None:
    assert f"## {vivace.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_readme_lists_every_style() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for style in STYLES:
        assert style.title in readme
        assert style.prompt in readme


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_in_documents_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    blocks = re.findall(r"```\n(.*?)```|`(make [a-z]+)", path.read_text("utf-8"), re.DOTALL)
    for block in blocks:
        assert set(re.findall(r"^make ([a-z]+)", "".join(block), re.MULTILINE)) <= targets


def test_the_map_is_wrapped_and_names_what_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert [line for line in text.splitlines() if len(line) > 120] == []
    package = ROOT / "src" / "vivace"
    shown = set(re.findall(r"^[a-z ]{11}([a-z0-9_]+(?:/|\.py))  ", text, re.MULTILINE))
    there = {path.name for path in package.glob("*.py")} | {f"{path.parent.name}/" for path in package.glob("*/*.py")}
    assert shown >= there - {"__init__.py", "__main__.py", "demo.py", "doctor.py"}, "a room that the map does not show"
    named = set(re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]*(?:\.py)?)", text))
    homes = (ROOT, package, *(path for path in package.iterdir() if path.is_dir()))
    assert [path for path in named if not any((home / path).exists() for home in homes)] == []


def test_every_decision_is_in_the_list() -> None:
    index = (ROOT / "decisions" / "README.md").read_text("utf-8")
    for record in (ROOT / "decisions").glob("0*.md"):
        assert f"({record.name})" in index, f"{record.name} is missing from decisions/README.md"


def test_a_sink_is_where_frames_go() -> None:
    """Permanent slots of a memory are anchors; only a checkpoint may name a field of its own otherwise."""
    rooms = ("memory", "diffusion", "models", "runtime")
    paths = [
        path
        for room in rooms
        for path in (ROOT / "src" / "vivace" / room).rglob("*")
        if path.suffix in (".py", ".toml")
    ]
    assert paths
    named = {path.name: re.findall(r"(?i)[a-z_]*sinks?(?![a-z])\w*", path.read_text("utf-8")) for path in paths}
    assert {name: words for name, words in named.items() if set(words) - {"sink_size"}} == {}
