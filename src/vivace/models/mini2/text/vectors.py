"""Vectors of words and phrases, compared by cosine. Distilled by `vivace.train.text.distil`.

A word is split into pieces, greedily by the longest piece in the table, as the teacher's tokenizer does; a phrase is
the normalised sum of its pieces' vectors. The weight of a piece is the length of its vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vivace.errors import CheckpointError

REMEDY = "install vivace again, or write the file with `python -m vivace.train.text --distil TEACHERS`"
WORD_CHARS = 40
"""Longest word, characters."""
_INNER = "##"
"""Prefix of a piece within a word."""


class Vectors:
    """Table of pieces. Stateless: one serves any number of threads."""

    def __init__(self, pieces: Sequence[str], table: NDArray[np.int8], scales: NDArray[np.float16]) -> None:
        """Take the pieces, `table [pieces dim]`, and the scale of each row `[pieces]`.

        Raises:
            CheckpointError: their sizes do not match.
        """
        if table.ndim != 2 or not len(pieces) == len(table) == len(scales) or not np.isfinite(scales).all():
            raise CheckpointError(f"word vectors: {len(pieces)} pieces, {table.shape}, {scales.shape}; {REMEDY}")
        self.dim = table.shape[1]
        self._table, self._scales = table, scales
        self._ids = {piece: number for number, piece in enumerate(pieces)}

    @classmethod
    def load(cls, path: Path) -> Vectors:
        """Read the file at `path`.

        Raises:
            CheckpointError: missing or damaged.
        """
        try:
            with safe_open(str(path), framework="numpy") as file:
                pieces = bytes(file.get_tensor("pieces")).decode().split("\n")
                return cls(pieces, file.get_tensor("table"), file.get_tensor("scales"))
        except (SafetensorError, OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{path}: cannot be read ({error}); {REMEDY}") from error

    def phrases(self, phrases: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
        """Return a unit vector `[dim]` for each phrase, or 0 if the table has none of its words."""
        found = np.zeros((len(phrases), self.dim), np.float32)
        for number, words in enumerate(phrases):
            ids = [piece for word in words for piece in pieces_of(word, self._ids)]
            if ids:
                found[number] = self._scales[ids].astype(np.float32) @ self._table[ids].astype(np.float32)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.where(lengths > 0, lengths, 1), np.float32)


def pieces_of(word: str, ids: Mapping[str, int]) -> list[int]:
    """Return the ids of a word's pieces, the longest at each place; empty if one is missing."""
    if len(word) > WORD_CHARS:
        return []
    found: list[int] = []
    at = 0
    while at < len(word):
        for stop in range(len(word), at, -1):
            piece = word[at:stop] if at == 0 else _INNER + word[at:stop]
            if piece in ids:
                break
        else:
            return []
        found.append(ids[piece])
        at = stop
    return found


@cache
def vectors() -> Vectors:
    """Return the shipped table."""
    with resources.as_file(resources.files(__package__) / "vectors.safetensors") as path:
        return Vectors.load(path)
