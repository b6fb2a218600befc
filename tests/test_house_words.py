"""House rules of words and files: first words of docstrings, and the files that git tracks."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "vivace"
NO_BEGINNING = frozenset({"Of", "What", "Whether", "How", "Where", "Who"})
"""First words that leave open what a docstring describes: it begins with a noun of the field or with a verb."""
MAX_FILE_BYTES = 25 * 1024 * 1024
needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")


def vague(text: str) -> Iterator[int]:
    """Yield the lines of a module's docstrings, attributes' included, that begin with a word that is not allowed."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str() as words), lineno=line):
                if (first := re.match(r"\W*(\w+)", words)) and first[1] in NO_BEGINNING:
                    yield line


def git(*words: str) -> list[str]:
    """Return the paths that a command of git lists."""
    command = ["git", "-c", "safe.directory=*", *words, "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def test_a_docstring_begins_with_what_it_describes() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found += [f"{path.relative_to(PACKAGE)}:{line}" for line in vague(path.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('"""What it is."""', [1]),
        ('A = 1\n"""Of the last change."""', [2]),
        ('class A:\n    b: int\n    """Whether, or not."""', [3]),
        ('def f():\n    """\n    Who asks.\n    """', [2]),
        ('"""Whatever comes."""', []),
        ('A = 1\n"""Latency of the last change, ms."""', []),
        ('"""\n"""', []),
        ('print("What")', []),
    ],
)
def test_vague_beginnings_are_found(text: str, lines: list[int]) -> None:
    assert list(vague(text)) == lines


@needs_git
def test_no_tracked_file_is_one_that_git_ignores() -> None:
    assert git("ls-files", "--cached", "--ignored", "--exclude-per-directory=.gitignore") == []


@needs_git
def test_no_tracked_file_is_large() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in git("ls-files") if (ROOT / path).is_file()}
    assert sizes
    assert {path: size for path, size in sizes.items() if size > MAX_FILE_BYTES} == {}
