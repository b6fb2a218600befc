"""Phrases of a list, see `list.toml`, as one pattern that finds any of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from vivace.trust.policy.normal import FOUND_WITHIN, folded

JOINED_LETTERS = 8
"""From so many on a phrase of words alone is also found where it is written as one word."""
_TOKEN = re.compile(r"\{(?P<set>\w+)\??\}|\*|[^{}*]+")
_FIRST = re.compile(r"\{(?P<set>\w+)\}")


def split(text: str) -> list[str]:
    """Return the phrases of a text, folded."""
    return [" ".join(folded(phrase).split()) for phrase in re.split(r"[|\n]", text) if phrase.strip()]


class Sets:
    """The named sets of a list, each as a pattern."""

    def __init__(self, phrases: Mapping[str, str]) -> None:
        """Take their phrases.

        Raises:
            ValueError: one uses a set that there is not, or itself.
        """
        self._phrases = phrases
        self._made: dict[str, str] = {}
        self._making: list[str] = []
        for name in phrases:
            self.pattern(name)

    def pattern(self, name: str) -> str:
        """Return what finds any phrase of a set."""
        if name == "word":
            return rf"(?!{self.pattern('plain')}(?!\w))[^\W\d_]{{2,}}"
        if name not in self._phrases:
            raise ValueError(f"{{{name}}} is no set; there are {', '.join(sorted({*self._phrases, 'word'}))}")
        if name in self._making:
            raise ValueError(f"the set {name} uses itself")
        if name not in self._made:
            self._making.append(name)
            self._made[name] = any_of(split(self._phrases[name]), self)
            self._making.pop()
        return self._made[name]


def any_of(phrases: Iterable[str], sets: Sets) -> str:
    """Return a pattern that matches any of the phrases; by how they start, so that few are tried at each word."""
    by_start: defaultdict[str, list[str]] = defaultdict(list)
    for phrase in dict.fromkeys(phrases):
        pattern, first = _pattern(phrase, sets), _FIRST.match(phrase)
        start = re.escape(phrase[0]) if not phrase.startswith("{") else sets.pattern(first["set"]) if first else ""
        by_start[start].append(pattern.removeprefix(start))
    parts = [
        f"{start}(?:{'|'.join(sorted(rests, key=len, reverse=True))})" for start, rests in sorted(by_start.items())
    ]
    return f"(?:{'|'.join(parts)})" if parts else "(?!)"


def finder(phrases: Iterable[str], sets: Sets) -> Callable[[str], re.Match[str] | None]:
    """Return what finds the first of the phrases in a reading, as whole words, or within them in scripts without."""
    phrases = list(phrases)
    return re.compile("|".join(_bounded(phrases, sets))).search


def remover(phrases: Iterable[str], sets: Sets) -> Callable[[str], str]:
    """Return what takes the phrases out of a reading; what stood around them stays apart."""
    pattern = re.compile("|".join(_bounded(list(phrases), sets)))
    return lambda text: pattern.sub(" . ", text)


def _bounded(phrases: list[str], sets: Sets) -> list[str]:
    within = [phrase for phrase in phrases if FOUND_WITHIN.search(phrase)]
    words = [phrase for phrase in phrases if not FOUND_WITHIN.search(phrase)]
    return [rf"(?<!\w){any_of(words, sets)}(?!\w)", any_of(within, sets)]


def _pattern(phrase: str, sets: Sets) -> str:
    words = phrase.split(" ")
    if not any(character.isalnum() for character in phrase) or any(_TOKEN.sub("", word) for word in words):
        raise ValueError(f"{phrase!r} is no phrase")
    space = " ?" if "{" not in phrase and len("".join(words)) >= JOINED_LETTERS else " "
    last = max((at for at, word in enumerate(words) if not word.endswith("?}")), default=-1)
    made = ""
    for at, word in enumerate(words):  # one that may be missing brings the space between it and what has to be there
        pattern = "".join(_token(token, sets) for token in _TOKEN.finditer(word))
        if at > last:
            made += f"(?: {pattern})?"
        elif word.endswith("?}"):
            made += f"(?:{pattern} )?"
        else:
            made += pattern + (space if at < last else "")
    return made


def _token(token: re.Match[str], sets: Sets) -> str:
    if token["set"]:
        return sets.pattern(token["set"])
    return r"\w*" if token[0] == "*" else re.escape(token[0])
