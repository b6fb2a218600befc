r"""Prompt syntax beyond plain words, as read by Stable Diffusion programs.

| written | means |
|---|---|
| `(word)`, `((word))`, `[word]` | weight 1.1, 1.21, 1/1.1 |
| `(word:1.3)` | weight 1.3 |
| `\(`, `\)`, `\[`, `\]` | the character itself; so is an unmatched bracket |
| `<lora:wool:0.8>` | a file to load, in programs that support it |
"""

from __future__ import annotations

import re
from dataclasses import dataclass

EMPHASIS = 1.1

_MARK = re.compile(
    r"\\(?P<sign>[()\[\]])|<(?:lora|lyco|hypernet):(?P<file>[^<>:]*)[^<>]*>|[(\[\])]"
    r"|:\s*(?P<weight>[-+]?(?:\d+\.?\d*|\.\d+))\s*\)"
)


@dataclass(frozen=True, slots=True)
class PromptSyntax:
    """Parsed prompt."""

    text: str
    """Words without syntax."""
    weights: tuple[float, ...]
    """Weight of each character of `text`."""
    files: tuple[str, ...]
    """Names of the files that it would load, such as `wool`."""
    numbered: bool
    """True if it gives a weight as a number."""


def read_syntax(prompt: str) -> PromptSyntax:
    """Return a prompt's words separated from its syntax."""
    marks = list(_MARK.finditer(prompt))
    opening: list[re.Match[str]] = []
    paired: dict[int, float | None] = {}
    """Factor of each matched bracket by position; None for a closing one."""
    for mark in marks:
        closes = ")" if mark["weight"] else mark[0]
        if mark[0] in ("(", "["):
            opening.append(mark)
        elif closes in (")", "]") and opening and opening[-1][0] == {")": "(", "]": "["}[closes]:
            weight = float(mark["weight"] or (EMPHASIS if closes == ")" else 1 / EMPHASIS))
            paired |= {opening.pop().start(): weight, mark.start(): None}
    text, weights, factors, at = "", [], [1.0], 0
    for mark in marks:
        words = prompt[at : mark.start()]
        if mark.start() not in paired and mark["file"] is None:
            words += mark["sign"] or mark[0]
        text += words
        weights += [factors[-1]] * len(words)
        at = mark.end()
        if mark.start() in paired:
            factor = paired[mark.start()]
            factors = factors[:-1] if factor is None else [*factors, factors[-1] * factor]
    text += prompt[at:]
    weights += [1.0] * len(prompt[at:])
    files = tuple(mark["file"] for mark in marks if mark["file"] is not None)
    numbered = any(mark["weight"] and mark.start() in paired for mark in marks)
    return PromptSyntax(text, tuple(weights), files, numbered)
