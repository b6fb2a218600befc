"""The words of requests, and where they are in a text: names of looks (`looks.toml`) and all others (`words.toml`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from vivace.models.mini.lexicon import read_lexicon
from vivace.models.mini.text_features import Words, split_words
from vivace.models.mini2.looks import LOOKS
from vivace.models.mini2.text.reading import REGIONS

Phrase = tuple[str, ...]
Lexicon = Mapping[Phrase, tuple[str, str]]
"""The kind and value of each phrase."""
_SLIP_CHARS = 8
"""A shorter word with another letter is another word."""


@dataclass(frozen=True, slots=True)
class Item:
    """Words `start` to `stop` (exclusive) of a text, and what they are."""

    kind: str
    """`look`, `weak` (a look where nothing else is said), `region`, `colour`, a table of `words.toml`, or `unknown`."""
    value: str
    """The look's key, the region, the colour; else the words."""
    start: int
    stop: int


def items_of(text: Words, known: Lexicon) -> list[Item]:
    """Return what the words are, in order: the longest phrase at each place, within punctuation.

    A long word may be one slip off, and a word may be the plural of one that is known.
    """
    longest, words = _longest(), text.words
    found: list[Item] = []
    at = 0
    while at < len(words):
        reach = next((n for n in range(1, longest) if at + n >= len(words) or text.gaps[at + n].strip("&/")), longest)
        for length in range(reach, 0, -1):
            if (meant := known.get(words[at : at + length])) is not None:
                break
        else:
            length, meant = (
                1,
                known.get((words[at].removesuffix("s"),)) or _one_slip_off(words[at], known) or ("unknown", words[at]),
            )
        found.append(Item(*meant, at, at + length))
        at += length
    return found


@cache
def phrases() -> Lexicon:
    """Return the kind and value of each phrase."""
    tables = _toml("words.toml")
    colours, shades = tables.pop("colours"), tables.pop("shades")
    looks = _toml("looks.toml")
    stop, weak = looks.pop("stop"), looks.pop("weak")
    found: dict[Phrase, tuple[str, str]] = {}
    late = ("policy", "grey", "kept_me")
    for name in sorted(tables, key=lambda name: name in late):
        if name not in late:
            kind, value = ("region", name) if name in REGIONS else (name, "")
            found |= {words: (kind, value or " ".join(words)) for words in _split(tables[name]["words"])}
    places = {words for words, (kind, _) in found.items() if kind == "region"}
    for lexicon in (read_lexicon(), looks):
        for key, kinds in lexicon.items():
            named = [split_words(text).words for texts in kinds.values() for text in texts]
            found |= {words: ("look", key) for words in named if not _of_a_place(words, places, colours)}
    # "Make it night" would hide the vision of "make it night vision".
    found = {words: meant for words, meant in found.items() if words[:2] != ("make", "it") or meant[0] != "look"}
    for text in weak:
        words = split_words(text).words
        if (meant := found.get(words)) and meant[0] == "look":
            found[words] = ("weak", meant[1])
    for name in late:
        value = "noir" if name == "grey" else ""
        found |= {words: (name, value or " ".join(words)) for words in _split(tables[name]["words"])}
    for look in LOOKS:
        found |= {split_words(text).words: ("look", look.key) for text in (look.key, look.title)}
    for colour, called in colours.items():
        for words in _split(called):
            found[words] = ("colour", colour)
            found |= {
                (*shade, *words): ("colour", f"{name} {colour}")
                for name, said in shades.items()
                for shade in _split(said)
            }
    found |= {split_words(text).words: ("stop", text) for text in stop}
    found.pop((), None)
    return found


def _of_a_place(words: Phrase, places: Set[Phrase], colours: Mapping[str, str]) -> bool:
    """Return whether words are a colour and a place, "orange sky"."""
    return len(words) > 1 and words[0] in colours and words[1:] in places


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))


def _split(text: str) -> list[Phrase]:
    return [split_words(phrase).words for phrase in re.split(r"[|\n]", text) if phrase]


@cache
def _longest() -> int:
    return max(map(len, phrases()))


@cache
def single_words() -> dict[str, str]:
    """Return the looks of the phrases of one word."""
    return {phrase[0]: value for phrase, (kind, value) in phrases().items() if kind == "look" and len(phrase) == 1}


@cache
def _cut() -> dict[str, str]:
    """Return long words by what is left when a letter is missing."""
    long = (phrase[0] for phrase in phrases() if len(phrase) == 1 and len(phrase[0]) > _SLIP_CHARS)
    return {variant: word for word in long for variant in _without_a_letter(word)}


def _one_slip_off(word: str, known: Lexicon) -> tuple[str, str] | None:
    """Return what a long word with a letter too many or too few is."""
    if len(word) < _SLIP_CHARS:
        return None
    longer = (known[variant,] for variant in _without_a_letter(word) if (variant,) in known)
    return known.get((_cut().get(word, ""),)) or next(longer, None)


def _without_a_letter(word: str) -> Iterator[str]:
    yield from (word[:i] + word[i + 1 :] for i in range(1, len(word)))
