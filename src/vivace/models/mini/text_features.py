"""Words of a prompt and their hashed features, at run time and in training.

A prompt is a sequence of words. Its *units* are the words, the pairs of neighbours and the pairs with one word between
them. A unit is a bag of hashed features: a word contributes itself and its character n-grams, which generalise to
misspelt and inflected words; a pair contributes itself. Hashes are CRC-32, the same in every process and Python
version.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

NGRAM_SIZES = (3, 4, 5)
"""Lengths of character n-grams. Two characters carry too little information, and a word of six or more is covered by
n-grams of five."""

HASH_SEED = 0x7E87
BUCKETS = 1 << 15
"""Rows of the table: about one per distinct feature of the lexicon."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_TOKEN = re.compile(
    rf"\d{{1,6}}(?:[.,]\d{{1,6}})?\s*%|\d{{1,6}}\s*[/\u2044]\s*\d{{1,6}}|\d{{0,6}}\.\d{{1,6}}"  # shares
    rf"|[{_IDEOGRAPHS}]|(?:(?![{_IDEOGRAPHS}])[^\W_])+"  # words
    r"|[,;.:!?()\[\]\n/+&|\u2013\u2014\u3001\u3002]"  # gaps
)
_ELISION = re.compile(r"\b[ldjnsc]'(?=\w)")
_POSSESSIVE = re.compile(r"'s\b")


@dataclass(frozen=True, slots=True)
class Words:
    """Words of a prompt and the punctuation before each."""

    words: tuple[str, ...]
    gaps: tuple[str, ...]
    """Punctuation: `gaps[i]` is between word i - 1 and word i; the last of its `len(words) + 1` ends the prompt."""


def normalise(text: str) -> str:
    """Return text with case, width and accents folded, without apostrophes and possessive endings."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'").replace("\u2018", "'")
    folded = _ELISION.sub("", _POSSESSIVE.sub("", folded)).replace("'", "")
    bare = (char for char in unicodedata.normalize("NFD", folded) if unicodedata.category(char) != "Mn")
    return unicodedata.normalize("NFC", "".join(bare))


def split_words(text: str) -> Words:
    """Return the normalised words of a prompt; each ideograph, kana or hangul syllable is a word."""
    words: list[str] = []
    gaps: list[str] = [""]
    for match in _TOKEN.finditer(normalise(text)):
        token = match[0]
        if token[-1].isalnum() or token[-1] == "%":
            words.append("".join(token.split()).replace("\u2044", "/"))
            gaps.append("")
        else:
            gaps[-1] += token
    return Words(tuple(words), tuple(gaps))


def bucket(feature: str) -> int:
    """Return the table row of a feature, 0 to `BUCKETS` - 1."""
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"), HASH_SEED) % BUCKETS


def word_features(word: str) -> list[int]:
    """Return the table rows of a word: the word itself first, then its character n-grams."""
    rows = [bucket("w:" + word)]
    padded = f"<{word}>"
    if len(word) > 2:
        for size in NGRAM_SIZES:
            rows.extend(bucket(padded[i : i + size]) for i in range(len(padded) - size + 1))
    return rows


def pair_feature(first: str, second: str, distance: int) -> int:
    """Return the table row of two words that are `distance` (1 or 2) apart."""
    return bucket(f"{'bs'[distance - 1]}:{first} {second}")


def pairs(words: tuple[str, ...], distance: int) -> Iterator[tuple[str, str]]:
    """Return an iterator over the pairs of words that are `distance` apart, in order."""
    return zip(words, words[distance:], strict=False)
