"""Translation of other languages, phrase by phrase, into English; for Japanese and Chinese, only names of looks.

Words that are also English, and those that several languages share ("die", "no", "solo"), are read in a language only
if another of its words occurs in the text.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Set
from functools import cache
from importlib import resources

from vivace.models.mini.text_features import Words, split_words
from vivace.models.mini2.text.lexicon import Phrase, lexicon

_LONGEST = 12
"""Longest phrase, words; each character of Japanese and Chinese is one."""


def to_english(text: Words) -> Words:
    """Return a text with known phrases of other languages in English; the rest and the punctuation stay."""
    tables, alone = _tables()
    seen = Counter(language for phrase in _found(text, alone.keys()) for language in alone[phrase])
    if not seen:
        return text
    spoken = [language for language, count in seen.items() if count == max(seen.values())]
    known = {phrase: english for language in reversed(spoken) for phrase, english in tables[language].items()}
    words: list[str] = []
    gaps: list[str] = []
    for phrase, start in _cut(text, known):
        said = known.get(phrase, phrase)
        words += said
        gaps += [text.gaps[start], *[""] * (len(said) - 1)] if said else []
    return Words(tuple(words), (*gaps, text.gaps[-1]))


def _cut(text: Words, known: dict[Phrase, Phrase]) -> Iterator[tuple[Phrase, int]]:
    """Yield the longest known phrase at each place, within punctuation, or else the word, with its position."""
    at = 0
    while at < len(text.words):
        reach = 1
        while reach < _LONGEST and at + reach < len(text.words) and not text.gaps[at + reach]:
            reach += 1
        length = next((n for n in range(reach, 0, -1) if text.words[at : at + n] in known), 1)
        yield text.words[at : at + length], at
        at += length


def _found(text: Words, known: Set[Phrase]) -> Iterator[Phrase]:
    for at in range(len(text.words)):
        for length in range(1, _LONGEST + 1):
            if (phrase := text.words[at : at + length]) in known and len(phrase) == length:
                yield phrase


@cache
def _tables() -> tuple[dict[str, dict[Phrase, Phrase]], dict[Phrase, tuple[str, ...]]]:
    """Return for each language its phrases with their English, and the languages of phrases that no other has."""
    said = tomllib.loads((resources.files(__package__) / "languages.toml").read_text(encoding="utf-8"))
    shared = {split_words(word).words for word in said.pop("shared").strip().split("|")}
    tables: dict[str, dict[Phrase, Phrase]] = {}
    alone: dict[Phrase, tuple[str, ...]] = {}
    for language, table in said.items():
        tables[language] = {}
        for line in table["words"].strip().splitlines():
            english, _, phrases = line.partition(" = ")
            for phrase in phrases.split("|"):
                stem, mark, _ = phrase.partition("~")
                for ending in table["endings"].split("|") if mark else [""]:
                    words = split_words(stem + ending).words
                    tables[language].setdefault(words, split_words(english).words)
        for words in tables[language]:
            kind = lexicon().meanings.get(words)
            if words not in shared and not kind:
                alone[words] = (*alone.get(words, ()), language)
    return tables, alone
