"""Text as it is looked through: words without case, accents and punctuation, and with simple disguises undone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_LIKE_LATIN = str.maketrans("аеорсхукмтнвіјѕԁαεορνικτυ", "aeopcxykmthbijsdaeopviktu")
"""Letters of other scripts that look as Latin ones do; undone in words that have both."""
_WHOLE = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ı": "i"})
"""Letters that have no accent to be dropped."""
_DIGITS = str.maketrans("013457@$€", "oieastase")
_DIGITS_L = str.maketrans("013457@$€|", "oleastasel")
"""Digits and signs that are written in place of letters; 1 is an i or an l."""

_MARKS = re.compile("[\u0300-\u036f]")
_SPACELESS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WITHIN = re.compile(f"(?<=[{_SPACELESS}])[\\s・·]+(?=[{_SPACELESS}])")
_LATIN, _OTHER = re.compile("[a-z]"), re.compile("[\u0370-\u052f]")
_WORD = re.compile(r"[^\W_]+")
_WITHIN_WORD = re.compile(r"(?<=[^\W_])[^\w\s'’`]+|_+(?=[^\W_])")
_LETTERS = re.compile(r"(?:(?<!\S)[^\W\d_] ){2,}[^\W\d_](?!\S)")
_LONG = re.compile(r"([^\W\d_])\1{2,}")
_ARTICLES = "aeioyu"
FOUND_WITHIN = re.compile(f"[{_SPACELESS}\uac00-\ud7af]")
"""Letters of scripts whose phrases are looked for within words."""


def folded(text: str) -> str:
    """Return a text in lower case, without accents, invisible characters, and letters that pass for Latin ones."""
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    text = unicodedata.normalize("NFC", _MARKS.sub("", text)).translate(_WHOLE)
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    parts = re.split(r"(\s+)", text)
    return "".join(
        part.translate(_LIKE_LATIN) if _LATIN.search(part) and _OTHER.search(part) else part for part in parts
    )


def readings(text: str) -> Iterator[str]:
    """Yield what a text may be meant to say, each different one once: as it stands, and with disguises undone.

    Undone are digits and signs for letters (p0rn), signs within words (n-u-d-e), single letters (n u d e), and letters
    that are repeated (nuuude).
    """
    plain = folded(text)
    chunks = plain.split()
    versions = [
        chunks,
        *([_undisguised(chunk, table) for chunk in chunks] for table in (_DIGITS, _DIGITS_L)),
        [_WITHIN_WORD.sub("", chunk) for chunk in chunks],
    ]
    seen = set()
    for version in versions:
        words = _WITHIN.sub("", " ".join(_WORD.findall(" ".join(version))))
        for joined in _joined(words):
            for reading in (joined, _LONG.sub(r"\1", joined), _LONG.sub(r"\1\1", joined)):
                if reading not in seen:
                    seen.add(reading)
                    yield reading


def _undisguised(chunk: str, table: dict[int, int]) -> str:
    return chunk.translate(table) if _LATIN.search(chunk) else chunk


def _joined(words: str) -> Iterator[str]:
    """Yield words as they are, and with single letters in a row as one word, the first of which may be an article."""
    yield words
    if not _LETTERS.search(words):
        return
    yield _LETTERS.sub(lambda found: found[0].replace(" ", ""), words)
    yield _LETTERS.sub(
        lambda found: f"{found[0][0]} {found[0][2:].replace(' ', '')}" if found[0][0] in _ARTICLES else found[0], words
    )
