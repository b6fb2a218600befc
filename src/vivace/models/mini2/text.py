"""What a prompt asks for: words to a mixture of the named looks.

A stretch of words names the looks whose phrases it holds, the longest phrase at each place; a long word may be one slip
off. Clauses, shares and denials are read as for `mini`. Words that name no look ("a cat on a sofa") say nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import cache

from vivace.models.mini.lexicon import read_lexicon
from vivace.models.mini.text import AMBIENCE as MINI_AMBIENCE
from vivace.models.mini.text_clauses import Clause, split_clauses
from vivace.models.mini.text_features import split_words
from vivace.models.mini.text_mixture import mix, settle
from vivace.models.mini2.looks import LOOK_KEYS, LOOKS
from vivace.models.mini2.mixture import Mixture

AMBIENCE = MINI_AMBIENCE | {"fog", "rain", "autumn", "blossom", "fire_light", "underwater", "martian", "haze"}
_AMBIENCE = frozenset(LOOK_KEYS.index(key) for key in AMBIENCE)
_SLIP_CHARS = 8
"""A shorter word with another letter is another word."""
_NEAR = 3
_STOP = -1

Phrase = tuple[str, ...]


class Asked:
    """What a prompt was taken to mean."""

    def __init__(self, text: str) -> None:
        words = split_words(text)
        self._reader = _Reader(words.words)
        asking, denied = settle(self._reader, split_clauses(words))
        mixture, self.confidence = mix(self._reader, asking, denied, len(LOOKS), _AMBIENCE)
        shares = {LOOK_KEYS[i]: float(share) * _strength(asking) for i, share in enumerate(mixture) if share > 0}
        self.denied = tuple(LOOK_KEYS[i] for i in sorted(denied))
        self.mixture: Mixture | None = Mixture(shares).filled() if shares else None
        """None where it names no look."""

    def near(self) -> list[tuple[str, float]]:
        """Return the keys of the looks whose words are nearest to those of the prompt, with how near, nearest first."""
        single = {word: look for word, look in _single().items() if look != _STOP}
        scored: dict[str, float] = {}
        for word in dict.fromkeys(self._reader.words[:32]):
            for match in difflib.get_close_matches(word, single, n=_NEAR, cutoff=0.7):
                key = LOOK_KEYS[single[match]]
                scored[key] = max(scored.get(key, 0.0), difflib.SequenceMatcher(None, word, match).ratio())
        offered = [(key, near) for key, near in scored.items() if key not in self.denied]
        return sorted(offered, key=lambda each: -each[1])[:_NEAR]


class _Reader:
    """Finds phrases in the words of one prompt."""

    def __init__(self, words: Phrase) -> None:
        self.words = words

    def styles(self, start: int, stop: int) -> dict[int, float]:
        """Return the looks that words `start` to `stop` name, surely."""
        known, weak = phrases(), _weak()
        found: dict[int, float] = {}
        only_else: dict[int, float] = {}
        at = start
        while at < stop:
            for length in range(min(_longest(), stop - at), 0, -1):
                look = known.get(self.words[at : at + length])
                if look is None and length == 1:
                    look = _one_slip_off(self.words[at])
                if look is not None:
                    if look != _STOP:
                        (only_else if self.words[at : at + length] in weak else found)[look] = 1.0
                    at += length - 1
                    break
            at += 1
        return found or only_else


def _strength(asking: list[Clause]) -> float:
    """Return how much of the picture the clauses ask for: less than all where every one says a share."""
    named = [clause.weight for clause in asking if clause.weight is not None]
    return min(1.0, sum(named)) if len(named) == len(asking) else 1.0


@cache
def phrases() -> dict[Phrase, int]:
    """Return the number of the look that each phrase names, -1 for one that only looks like it."""
    ours = dict(read_lexicon(__package__ or ""))
    found: dict[Phrase, int] = {split_words(text).words: _STOP for text in ours.pop("stop")}
    del ours["weak"]
    for lexicon in (read_lexicon(), ours):
        for key, kinds in lexicon.items():
            number = LOOK_KEYS.index(key)
            found |= {split_words(text).words: number for texts in kinds.values() for text in texts}
    # "Make it night" would hide the vision of "make it night vision".
    found = {words: number for words, number in found.items() if words[:2] != ("make", "it")}
    for number, look in enumerate(LOOKS):
        found |= {split_words(text).words: number for text in (look.key, look.title)}
    return found


@cache
def _weak() -> frozenset[Phrase]:
    return frozenset(split_words(text).words for text in read_lexicon(__package__ or "")["weak"])


@cache
def _longest() -> int:
    return max(map(len, phrases()))


@cache
def _single() -> dict[str, int]:
    """Return the looks of the phrases of one word."""
    return {phrase[0]: look for phrase, look in phrases().items() if len(phrase) == 1}


@cache
def _cut() -> dict[str, int]:
    """Return the looks of words of which one letter is missing."""
    long = {word: look for word, look in _single().items() if len(word) > _SLIP_CHARS}
    return {variant: look for word, look in long.items() for variant in _without_a_letter(word)}


def _one_slip_off(word: str) -> int | None:
    """Return the look of a long word with a letter too many or too few."""
    if len(word) < _SLIP_CHARS:
        return None
    longer = (_single()[variant] for variant in _without_a_letter(word) if variant in _single())
    return _cut().get(word, next(longer, None))


def _without_a_letter(word: str) -> Iterator[str]:
    yield from (word[:i] + word[i + 1 :] for i in range(1, len(word)))
