"""Distillation of word vectors from MiniLM: a table of its tokenizer's pieces whose sums match its vectors of phrases.

The teacher (all-MiniLM-L6-v2, int8, 23 MB) reads each piece that is a word, and phrases made of the lexicon. Its
vectors are centred and cut to `DIM` principal axes. The table starts from those of the single words, scaled by their
rarity, and is then trained so that a phrase's sum points where the teacher's vector does.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from vivace.models.mini.text_features import split_words
from vivace.models.mini2.text.lexicon import lexicon
from vivace.models.mini2.text.vectors import pieces_of
from vivace.runtime.exported.openvino import import_openvino
from vivace.train.looks import packages
from vivace.train.text.grammar import Grammar

DIM = 56
PHRASES = 12_000
HELD_OUT = 0.1
"""Share of the phrases that are not trained on, for the report."""
_BLOCK = 1024
_BATCH = 128
_PIECE = re.compile(r"(##)?[a-z0-9]+")
_RARITY = 1e-3
"""Share of a text at which a word has half the length of one that is never seen (Arora et al., 2017)."""
_EPOCHS = 6
_TRAIN_BATCH = 1024
_RATE = 4e-3
_TEACHER_DIM = 384
_TEMPLATES = (
    "make {on} {what}", "turn {on} {what}", "{what} {on}", "{on} as {what}", "{on} in {what}", "i want {what}",
    "{what}", "can you give me {what}", "put {what} on {on}", "everything but {on} in {what}", "{what} please",
    "remove {on}",
    "a bit of {what} on {on}", "like {what}", "in the style of {what}", "add {what}", "change {on} to {what}",
    "{what} and {also}", "{on} like {what}, the rest {also}", "keep {on}, {what}", "show me {what}", "with {what}",
)  # fmt: skip


def distil(teachers: Path, work: Path, to: Path, report: Callable[[str], None], *, seed: int = 0) -> None:
    """Train the table and write it to `to`; the teacher's vectors are kept in `work`, from which a stopped run resumes.

    Raises:
        CheckpointError: a file of the teacher is missing or another one.
    """
    vocabulary: dict[str, int] = json.loads(packages.find(teachers, packages.TOKENIZER).read_text())["model"]["vocab"]
    pieces = [piece for piece in vocabulary if _PIECE.fullmatch(piece)]
    words = [(piece,) for piece in pieces if not piece.startswith("##")]
    made = sorted(set(_made_phrases(random.Random(seed))))
    random.Random(seed).shuffle(made)
    texts = [*words, *made]
    targets = main_axes(_taught(teachers, vocabulary, texts, work, report), DIM)
    ids = {piece: number for number, piece in enumerate(pieces)}
    bags = [[piece for word in text for piece in pieces_of(word, ids)] for text in texts]
    start = np.zeros((len(pieces), DIM), np.float32)
    for rank, ((word,), target) in enumerate(zip(words, targets, strict=False)):
        # The vocabulary begins with the most frequent words, whose share of a text is about a tenth over their rank.
        start[ids[word]] = target * _RARITY / (_RARITY + 0.1 / (rank + 1))
        if f"##{word}" in ids:
            start[ids[f"##{word}"]] = start[ids[word]] / 2
    held_out = set(range(len(words), len(words) + int(HELD_OUT * len(made))))
    seen = [number for number in range(len(texts)) if number not in held_out and bags[number]]
    unseen = [number for number in sorted(held_out) if bags[number]]
    table = train_table(start, bags, targets, seen, unseen, seed, report)
    scales = np.maximum(np.abs(table).max(1), 1e-8) / 127
    arrays = {
        "table": np.round(table / scales[:, None]).astype(np.int8),
        "scales": scales.astype(np.float16),
        "pieces": np.frombuffer("\n".join(pieces).encode(), np.uint8),
    }
    note = {"teacher": f"all-MiniLM-L6-v2 (int8), Apache-2.0, {packages.PACKAGES[-2]}", "phrases": str(len(made))}
    save_file(arrays, str(to), note)


def _made_phrases(chance: random.Random) -> Iterator[tuple[str, ...]]:
    """Yield the phrases of the lexicon, and prompts and requests made of them."""
    known = lexicon().meanings
    yield from (words for words in known if all(word.isascii() for word in words))
    by_kind = [(" ".join(words), kind) for words, (kind, _) in known.items() if all(word.isascii() for word in words)]
    places = [text for text, kind in by_kind if kind in ("region", "thing", "worn")]
    whats = [text for text, kind in by_kind if kind in ("look", "colour", "shape", "place", "worn", "quality", "grey")]
    grammar = Grammar.read()
    for _ in range(PHRASES // 2):
        yield split_words(grammar.sample(chance).text).words[:24]
        request = chance.choice(_TEMPLATES).replace("{also}", chance.choice(whats))
        yield tuple(request.replace("{on}", chance.choice(places)).replace("{what}", chance.choice(whats)).split())


def _taught(
    teachers: Path,
    vocabulary: dict[str, int],
    texts: Sequence[tuple[str, ...]],
    work: Path,
    report: Callable[[str], None],
) -> NDArray[np.float32]:
    """Return the teacher's vector `[384]` of each text; blocks that lie in `work` are not computed again."""
    ov = import_openvino()
    model = ov.Core().compile_model(
        str(packages.find(teachers, packages.SENTENCES)),
        "CPU",
        {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"},
    )
    work.mkdir(parents=True, exist_ok=True)
    found = []
    for first in range(0, len(texts), _BLOCK):
        block = texts[first : first + _BLOCK]
        name = hashlib.sha256("\n".join(map(" ".join, block)).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        path = work / f"taught-{name}.npy"
        if not path.exists():
            np.save(path, _read(model, vocabulary, block))
            report(f"taught {first + len(block)} of {len(texts)} texts")
        found.append(np.load(path))
    return np.concatenate(found)


def _read(model: Any, vocabulary: dict[str, int], texts: Sequence[tuple[str, ...]]) -> NDArray[np.float32]:
    rows = [
        [piece for word in text for piece in pieces_of(word, vocabulary) or [vocabulary["[UNK]"]]] for text in texts
    ]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    found = np.zeros((len(rows), _TEACHER_DIM), np.float32)
    for first in range(0, len(order), _BATCH):
        part = order[first : first + _BATCH]
        length = max(len(rows[number]) for number in part) + 2
        ids, mask = np.zeros((2, len(part), length), np.int64)
        for at, number in enumerate(part):
            row = [vocabulary["[CLS]"], *rows[number], vocabulary["[SEP]"]]
            ids[at, : len(row)], mask[at, : len(row)] = row, 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        each = np.asarray(
            model({name: value for name, value in inputs.items() if name in _names(model)})[0], np.float32
        )
        mean = (each * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        found[part] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return found


def _names(model: Any) -> set[str]:
    return {name for each in model.inputs for name in each.get_names()}


def main_axes(taught: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """Return vectors `[texts n]` centred, on their `dim` principal axes, with length 1."""
    centred = taught - taught.mean(0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    found = centred @ axes[:, -dim:]
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def train_table(
    start: NDArray[np.float32],
    bags: Sequence[Sequence[int]],
    targets: NDArray[np.float32],
    seen: Sequence[int],
    unseen: Sequence[int],
    seed: int,
    report: Callable[[str], None],
    *,
    epochs: int = _EPOCHS,
) -> NDArray[np.float32]:
    """Return the table `[pieces dim]`, trained so that a bag's sum points where its target `[texts dim]` does.

    Args:
        start: initial table.
        bags: pieces of each text.
        targets: teacher's vector of each text, with length 1.
        seen: numbers of the texts to train on.
        unseen: numbers of those to measure on.
        seed: seed of the order.
        report: receives the cosine on `unseen` after each epoch.
        epochs: number of passes over the texts.
    """
    torch.manual_seed(seed)
    table = torch.nn.EmbeddingBag.from_pretrained(torch.from_numpy(start), freeze=False, mode="sum")
    optimizer = torch.optim.Adam(table.parameters(), lr=_RATE)
    wanted = torch.from_numpy(targets)

    def cosines(numbers: Sequence[int]) -> torch.Tensor:
        lengths = torch.tensor([0, *(len(bags[number]) for number in numbers)])
        pieces = torch.tensor([piece for number in numbers for piece in bags[number]])
        return torch.cosine_similarity(table(pieces, lengths.cumsum(0)[:-1]), wanted[list(numbers)])

    for epoch in range(epochs):
        order = [seen[at] for at in torch.randperm(len(seen)).tolist()]
        for first in range(0, len(order), _TRAIN_BATCH):
            loss = (1 - cosines(order[first : first + _TRAIN_BATCH])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            report(f"epoch {epoch + 1}: cosine to the teacher {cosines(unseen).mean():.3f} on unseen phrases")
    return table.weight.detach().numpy()
