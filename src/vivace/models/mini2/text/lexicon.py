"""Lexicon of requests and its lookup in a text: names of looks (`looks.toml`) and all other words (`words.toml`)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini.lexicon import read_lexicon
from vivace.models.mini.text_features import Words, split_words
from vivace.models.mini2.looks import LOOKS
from vivace.models.mini2.text.reading import REGIONS
from vivace.models.mini2.text.vectors import WORD_CHARS, vectors

Phrase = tuple[str, ...]
Meanings = Mapping[Phrase, tuple[str, str]]
"""Kind and value of each phrase."""
NEAR = 0.7
"""Smallest cosine between an unknown word and a phrase for them to be equated, see `vivace.train.text.calibrate`."""
AGREED = 0.5
"""The same threshold if the three nearest phrases have one meaning."""
GUESSED = frozenset(
    (
        "look weak region skin colour thing worn shape place camera time quality policy chat filler blur remove replace"
        " style undo stronger weaker reset little much grey wall_text picture video"
    ).split()
)
_GUESSES = 16
"""Most words of a text that are guessed."""
_OFFERED = 0.5
"""Smallest cosine between words and a look for it to be offered."""
_SLIP_CHARS = 8
"""Shortest word for which a typo is tolerated, characters; a shorter one with another letter is another word."""


@dataclass(frozen=True, slots=True)
class Item:
    """Words `start` to `stop` (exclusive) of a text, and their meaning."""

    kind: str
    """Kind: `look`, `weak` (a look if nothing else is said), `region`, `colour`, a table of `words.toml`, or
    `unknown`."""
    value: str
    """Key of the look, the region, or the colour; else the words."""
    start: int
    stop: int
    near: float = 1.0
    """Cosine to the phrase that an unknown word was equated with."""
    noun: str = ""
    """Last of the words, or of the phrase that they were equated with."""

    @property
    def part(self) -> str:
        """Noun of a thing, or of what is but a part of the region that is its value, such as trousers of clothes."""
        if self.kind == "thing":
            return self.noun
        known = _parts().get(self.value, frozenset()) if self.kind == "region" else frozenset()
        return self.noun if {self.noun, self.noun.removesuffix("s")} & known else ""


class Lexicon:
    """Meanings of phrases, and of others that are near to them."""

    def __init__(self, meanings: Meanings) -> None:
        self.meanings = meanings
        self._longest = max(map(len, meanings))
        # "Lady" is not Lady Gaga, and grass is not "grass green".
        self._examples = [
            words
            for words, (kind, _) in meanings.items()
            if kind in GUESSED and (kind not in ("policy", "colour") or len(words) == 1)
        ]

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        return vectors().phrases(self._examples)

    def items_of(self, text: Words) -> list[Item]:
        """Return the items of a text, in order: the longest phrase at each place, within punctuation.

        A long word may have one typo, and a word may be the plural of a known one.
        """
        known, words = self.meanings, text.words
        found: list[Item] = []
        at = 0
        while at < len(words):
            reach = 1
            while reach < self._longest and at + reach < len(words) and not text.gaps[at + reach].strip("&/"):
                reach += 1
            for length in range(reach, 0, -1):
                if (meant := known.get(words[at : at + length])) is not None:
                    break
            else:
                length, meant = 1, self._nearly(words[at])
            found.append(Item(*meant, at, at + length, noun=words[at + length - 1]))
            at += length
        return found

    def _nearly(self, word: str) -> tuple[str, str]:
        """Return the meaning of a plural, or of a long word with one typo."""
        if (singular := self.meanings.get((word.removesuffix("s"),))) is not None:
            return singular
        if _SLIP_CHARS <= len(word) <= WORD_CHARS:
            for near in (_cut().get(word, ""), *_without_a_letter(word)):
                if (meant := self.meanings.get((near,))) is not None:
                    return meant
        return ("filler" if word[0].isdecimal() else "unknown"), word

    def guessed(self, items: Sequence[Item]) -> list[Item]:
        """Return items with unknown words replaced by the phrases nearest in meaning, if near enough."""
        found = list(items)
        unknown = [number for number, item in enumerate(items) if item.kind == "unknown"][:_GUESSES]
        cosines = vectors().phrases([(items[number].value,) for number in unknown]) @ self._vectors.T
        for number, near in zip(unknown, cosines, strict=True):
            first, *others = (int(each) for each in np.argsort(-near)[:3])
            phrase = self._examples[first]
            kind, value = self.meanings[phrase]
            agreed = all(self.meanings[self._examples[other]] == (kind, value) for other in others)
            if near[first] >= (AGREED if agreed else NEAR):
                found[number] = replace(items[number], kind=kind, value=value, near=float(near[first]), noun=phrase[-1])
        return found

    def looks_near(self, words: Phrase, count: int) -> dict[str, float]:
        """Return the keys of the looks nearest in meaning to some words, with the cosines, nearest first."""
        (cosines,) = vectors().phrases([words]) @ self._vectors.T
        found: dict[str, float] = {}
        for number in np.argsort(-cosines, kind="stable"):
            if cosines[number] < _OFFERED or len(found) == count:
                break
            kind, value = self.meanings[self._examples[number]]
            if kind in ("look", "weak") and value != "source":
                found.setdefault(value, round(float(cosines[number]), 3))
        return found


@cache
def lexicon() -> Lexicon:
    """Return the complete lexicon."""
    return Lexicon(_phrases())


@cache
def _parts() -> Mapping[str, frozenset[str]]:
    """Return the nouns of parts of a region, by its name."""
    return {name: frozenset(noun for (noun,) in _split(nouns)) for name, nouns in _toml("words.toml")["parts"].items()}


def _phrases() -> Meanings:
    """Return the kind and value of each phrase."""
    tables = _toml("words.toml")
    colours, shades = tables.pop("colours"), tables.pop("shades")
    del tables["parts"]
    looks = _toml("looks.toml")
    stop, weak = looks.pop("stop"), looks.pop("weak")
    found: dict[Phrase, tuple[str, str]] = {}
    late = ("policy", "grey", "kept_me")
    for name in sorted(tables, key=lambda name: name in late):
        if name not in late:
            kind, value = ("region", name) if name in REGIONS else (name, "")
            found |= {words: (kind, value or " ".join(words)) for words in _split(tables[name]["words"])}
    places = {words for words, (kind, value) in found.items() if kind == "region" and value != "person"}
    for named_looks in (read_lexicon(), looks):
        for key, kinds in named_looks.items():
            named = {split_words(text).words for texts in kinds.values() for text in texts}
            found |= {words: ("look", key) for words in named if not _of_a_place(words, named, places, colours)}
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


def _of_a_place(words: Phrase, named: Set[Phrase], places: Set[Phrase], colours: Mapping[str, str]) -> bool:
    """Return whether words are a look or a colour followed by a place, "orange sky", "night sky"."""
    return len(words) == 2 and words[1:] in places and (words[0] in colours or words[:1] in named)


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))


def _split(text: str) -> list[Phrase]:
    return [split_words(phrase).words for phrase in re.split(r"[|\n]", text) if phrase]


@cache
def _cut() -> dict[str, str]:
    """Return long words by their variants with one letter missing."""
    long = (phrase[0] for phrase in lexicon().meanings if len(phrase) == 1 and len(phrase[0]) > _SLIP_CHARS)
    return {variant: word for word in long for variant in _without_a_letter(word)}


def _without_a_letter(word: str) -> Iterator[str]:
    yield from (word[:i] + word[i + 1 :] for i in range(1, len(word)))
