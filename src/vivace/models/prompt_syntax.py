r"""What people write into prompts beside words, as the programs for Stable Diffusion read it.

| written | means |
|---|---|
| `(word)`, `((word))`, `[word]` | 1.1 times as much, 1.21 times, 1/1.1 times |
| `(word:1.3)` | 1.3 times as much |
| `\(`, `\)`, `\[`, `\]` | the sign itself, as is a bracket without its partner |
| `<lora:wool:0.8>` | a file to load, in programs that load while a prompt is read |
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
    """A prompt, read."""

    text: str
    """The words alone."""
    weights: tuple[float, ...]
    """Of each character of `text`."""
    files: tuple[str, ...]
    """Names of the files that it would load, as `wool`."""
    numbered: bool
    """Whether it gives a weight as a number."""


def read_syntax(prompt: str) -> PromptSyntax:
    """Tell words from what is written beside them."""
    marks = list(_MARK.finditer(prompt))
    opening: list[re.Match[str]] = []
    paired: dict[int, float | None] = {}
    """By where a bracket is: what an opening one multiplies by; None where one closes."""
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
