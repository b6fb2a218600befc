"""Commands and addresses shown in documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("decisions/*.md")),
    *sorted(ROOT.glob("bench/**/*.md")),
]
PROGRAMS = ("vivace", "python", "pip", "make", "export")
"""First words of lines that are commands; a block that begins with one contains only commands."""

_FENCE = re.compile(r"^```(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(vivace [^`]+|python (?:-m|\S+\.py)[^`]*)`")
_PLACEHOLDERS = re.compile(r"…|\.\.\.")


@dataclass(frozen=True, slots=True)
class Shown:
    """Command as a document shows it."""

    document: str
    text: str
    whole: bool
    """True for a command in a block, to be copied; a sentence may name only a part of a command."""

    @property
    def tokens(self) -> list[str]:
        """Return the command's words, `vivace` for `python -m vivace`, with optional ones and without placeholders."""
        text = _PLACEHOLDERS.sub("", self.text)
        if not self.whole:
            text = text.replace("[", "").replace("]", "")
        words = shlex.split(text, comments=True)
        return ["vivace", *words[3:]] if words[:3] == ["python", "-m", "vivace"] else words


def shown_in(path: Path) -> Iterator[Shown]:
    """Yield the commands of a document."""
    text = path.read_text("utf-8")
    name = path.relative_to(ROOT).as_posix()
    for _, block in _FENCE.findall(text):
        lines = [line for line in block.splitlines() if line.strip()]
        if not lines or lines[0].split()[0] not in PROGRAMS:
            continue
        for line in lines:
            inner = re.search(r"\$\((.*)\)", line)  # export NAME=$(vivace serve secret)
            yield Shown(name, inner[1] if inner else line, whole=True)
    for inline in _INLINE.findall(_FENCE.sub("", text)):
        yield Shown(name, inline, whole=False)


def all_shown() -> list[Shown]:
    """Return every command that any document shows, each line of each document once."""
    return list(dict.fromkeys(shown for path in DOCUMENTS for shown in shown_in(path)))
