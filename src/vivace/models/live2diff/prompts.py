"""Prompt encoding: tokens, learned words (textual inversion, Gal et al., 2022), the style's template, a cache.

Stable Diffusion 1.5 reads 77 tokens: a start token, up to 75 of the text, and end tokens that fill the rest.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from tokenizers import Tokenizer as Backend
from torch import Tensor, nn
from transformers import CLIPTokenizer

from vivace.checkpoints.tensors import read_content
from vivace.errors import CheckpointError, ControlError, UsageError
from vivace.models.base import Prompt
from vivace.models.live2diff.text import ClipText
from vivace.models.prompt_syntax import read_syntax

START, END = "<|startoftext|>", "<|endoftext|>"
PLACE = "{}"
"""Placeholder for the user's text in a template."""
CACHED = 64
"""Prompts kept in the cache; an embedding is 231 KiB."""
MAX_WEIGHT = 5.0
"""Largest weight of a word, positive or negative; pictures break down beyond it."""
SHOWN = 60
"""Characters of truncated text that a message quotes."""


class Tokenizer(Protocol):
    """Converter from text to token ids."""

    @property
    def size(self) -> int:
        """Number of tokens in the vocabulary."""

    @property
    def start(self) -> int:
        """Id of the token that starts a text."""

    @property
    def end(self) -> int:
        """Id of the token that ends a text and fills the rest."""

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Return the id of every token and its position in `text`."""


class ClipTokenizer:
    """CLIP tokenizer, read from a folder with `vocab.json` and `merges.txt`, without network access."""

    def __init__(self, folder: Path) -> None:
        vocabulary = _read_vocabulary(folder / "vocab.json")
        path = folder / "merges.txt"
        merges = _read_merges(path)
        for left, right in merges:
            if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
                raise CheckpointError(f"{path} is not the merges of CLIP: {left + ' ' + right!r} is not in vocab.json")
        self._backend: Backend = CLIPTokenizer(vocabulary, merges).backend_tokenizer  # type: ignore[arg-type]
        self.size = len(vocabulary)
        self.start, self.end = vocabulary[START], vocabulary[END]

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Return the id of every token and its position in `text`."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return [(number, place[0]) for number, place in zip(encoding.ids, encoding.offsets, strict=True)]


class HashTokenizer:
    """Tokenizer by hashes of words, for networks with random weights: needs no files, and carries no meaning."""

    def __init__(self, size: int = 49408) -> None:
        self.size = size
        self.start, self.end = size - 2, size - 1

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Return an id for every word or punctuation mark and its position in `text`."""
        return [(self._number(match[0].lower()), match.start()) for match in re.finditer(r"\w+|[^\w\s]", text)]

    def _number(self, word: str) -> int:
        return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) % (self.size - 2)


class ClipPrompts:
    """Prompt encoder of a loaded model. Thread-safe; each text is encoded once.

    Learned words are extra rows of the encoder's embedding table. Call `forget` after the encoder's weights have
    changed.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        encoder: ClipText,
        *,
        template: str = PLACE,
        clip_skip: int = 0,
        inversions: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Combine a tokenizer and an encoder.

        Args:
            tokenizer: tokenizer of the encoder's vocabulary.
            encoder: loaded, on its device.
            template: text that a prompt is inserted into at `{}`; negative prompts are not.
            clip_skip: last layers of the encoder to leave out.
            inversions: vectors `[n d]` by the word that stands for them, case-insensitive.

        Raises:
            UsageError: a template without a placeholder, or a clip_skip out of range.
            CheckpointError: a tokenizer or vectors of another encoder.
        """
        cfg = encoder.cfg
        if PLACE not in template:
            raise UsageError(f"the prompt template {template!r} has no {PLACE} where the prompt goes")
        if not 0 <= clip_skip <= cfg.layers:
            raise UsageError(f"clip_skip must be within 0 to {cfg.layers}, not {clip_skip}")
        if tokenizer.size != cfg.vocabulary:
            raise CheckpointError(
                f"the tokenizer and the text encoder do not belong together: one knows {tokenizer.size} tokens, the "
                f"other {cfg.vocabulary}"
            )
        self._tokenizer, self._encoder = tokenizer, encoder
        self._template, self._clip_skip = template, clip_skip
        self._learned = _Learned(encoder, inversions) if inversions else None
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[str, str], Prompt] = OrderedDict()

    def encode(self, text: str) -> Prompt:
        """Return the prompt in the template; `embeds` is float32 `[77 768]`, `message` names truncated text."""
        return self._encode(text, self._template.replace(PLACE, text))

    def encode_negative(self, text: str) -> Prompt:
        """Return the prompt without the template; an empty text is allowed."""
        return self._encode(text, text)

    def forget(self) -> None:
        """Drop cached prompts, because the encoder's weights have changed."""
        with self._lock:
            self._cache.clear()

    def _encode(self, text: str, full: str) -> Prompt:
        key = text, full
        with self._lock:
            if key not in self._cache:
                self._cache[key] = self._run(text, full)
            self._cache.move_to_end(key)
            while len(self._cache) > CACHED:
                self._cache.popitem(last=False)
            return self._cache[key]

    @torch.inference_mode()
    def _run(self, text: str, full: str) -> Prompt:
        room = self._encoder.cfg.tokens - 2
        # Half of a surrogate pair, which JSON can carry, is not a character.
        syntax = read_syntax(full.encode("utf-8", "replace").decode())
        tokens = self._tokens(syntax.text)
        embeds = self._embed([number for number, _ in tokens[:room]])
        weights = [1.0, *(syntax.weights[at] for _, at in tokens[:room])]
        if abs(most := max(weights, key=abs)) > MAX_WEIGHT:
            raise ControlError(
                f"a word of the prompt has the weight {most:g}; give weights from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}"
            )
        if weighted := [place for place, weight in enumerate(weights) if weight != 1]:
            # A weight scales the distance from the same position's embedding in an empty prompt.
            nothing = self._embed([])[weighted]
            factors = torch.tensor([[weights[place]] for place in weighted], device=embeds.device)
            embeds[weighted] = nothing + factors * (embeds[weighted] - nothing)
        said = []
        if len(tokens) > room:
            rest = " ".join(syntax.text[tokens[room][1] :].split())
            shown = rest if len(rest) <= SHOWN else f"{rest[:SHOWN]}…"
            said.append(f"only the first {room} of {len(tokens)} tokens are read; left out: {shown!r}")
        said += [
            f"a prompt loads no file, so <lora:{name}> is left out: load it with the model, "
            f"`--lora {name}.safetensors`, and weigh it by its control, lora_{name}"
            for name in syntax.files
        ]
        return Prompt(text, embeds.float().cpu().numpy(), known=True, confidence=1.0, message="; ".join(said))

    def _embed(self, numbers: Sequence[int]) -> Tensor:
        """Return the embeddings `[77 768]` of tokens between the start token and the end tokens."""
        ends = self._encoder.cfg.tokens - 1 - len(numbers)
        row = [self._tokenizer.start, *numbers, *[self._tokenizer.end] * ends]
        device = self._encoder.text_model.final_layer_norm.weight.device
        return self._encoder(torch.tensor([row], device=device), self._clip_skip)[0]

    def _tokens(self, text: str) -> list[tuple[int, int]]:
        """Return the tokens of `text`, including learned words, and the position of each."""
        tokens: list[tuple[int, int]] = []
        begin = 0
        for word, numbers in self._learned.find(text) if self._learned else ():
            tokens += [(number, begin + at) for number, at in self._tokenizer.tokens(text[begin : word.start()])]
            tokens += [(number, word.start()) for number in numbers]
            begin = word.end()
        return tokens + [(number, begin + at) for number, at in self._tokenizer.tokens(text[begin:])]


# -- learned words -----------------------------------------------------------------------------------------------------


class _Learned:
    """Learned words of an encoder: rows of its table beyond its vocabulary."""

    def __init__(self, encoder: ClipText, inversions: Mapping[str, Tensor]) -> None:
        table = encoder.text_model.embeddings.token_embedding
        rows = [table.weight.detach()]
        self._numbers: list[range] = []
        known, width = rows[0].shape
        # Longest first, so that it is matched before a word that is its prefix.
        words = sorted(inversions, key=len, reverse=True)
        for word in words:
            vectors = inversions[word]
            if vectors.ndim != 2 or vectors.shape[1] != width:
                raise CheckpointError(
                    f"the textual inversion {word!r} has vectors {list(vectors.shape)}, not [n {width}]: it was made "
                    "for another model"
                )
            self._numbers.append(range(known, known + len(vectors)))
            known += len(vectors)
            rows.append(vectors.to(rows[0]))
        self._pattern = re.compile("|".join(_whole(word) for word in words), re.IGNORECASE)
        encoder.text_model.embeddings.token_embedding = nn.Embedding.from_pretrained(torch.cat(rows))

    def find(self, text: str) -> Iterator[tuple[re.Match[str], range]]:
        """Yield the matches of learned words in `text`, and their token ids."""
        for match in self._pattern.finditer(text):
            yield match, self._numbers[(match.lastindex or 1) - 1]


def _whole(word: str) -> str:
    """Return a pattern for a word that does not start or end within another one."""
    begin = r"(?<!\w)" if re.match(r"\w", word) else ""
    end = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return f"({begin}{re.escape(word)}{end})"


def read_inversion(path: Path) -> tuple[str, Tensor]:
    """Return the word of a textual inversion and its vectors `[n d]`.

    Supported are the formats of diffusers (the tensor under the word) and of the web UI (`string_to_param`, or
    `emb_params`), as safetensors or as a pickle. A word in the web UI's format is named after its file, as there.

    Raises:
        CheckpointError: missing, damaged, or no textual inversion.
    """
    content = read_content(path)
    if "string_to_param" in content or "emb_params" in content:
        params = content.get("string_to_param", {"": content.get("emb_params")})
        word, found = path.stem, list(params.values()) if isinstance(params, dict) else []
    else:
        word, found = next(iter(content), ""), list(content.values())
    vectors = found[0] if len(found) == 1 else None
    if not isinstance(vectors, Tensor) or vectors.ndim not in (1, 2) or not vectors.is_floating_point():
        raise CheckpointError(
            f"{path} is not a textual inversion for Stable Diffusion 1.5: expected the vectors of one word under that "
            "word, `string_to_param` or `emb_params`"
        )
    return word, torch.atleast_2d(vectors.detach())


# -- files of the tokenizer --------------------------------------------------------------------------------------------


def _read_vocabulary(path: Path) -> dict[str, int]:
    try:
        vocabulary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; download it again") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or truncated ({error}); download it again") from error
    if not isinstance(vocabulary, dict) or not {START, END} <= vocabulary.keys():
        raise CheckpointError(f"{path} is not the vocabulary of CLIP: it has no {START} and {END}")
    if set(vocabulary.values()) != set(range(len(vocabulary))):
        raise CheckpointError(f"{path} is not the vocabulary of CLIP: its numbers are not 0 to {len(vocabulary) - 1}")
    return vocabulary


def _read_merges(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; download it again") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); download it again") from error
    merges = []
    for index, line in enumerate(lines):
        if not line.strip() or line.startswith("#version"):
            continue
        left, _, right = line.rstrip("\r").partition(" ")
        if not left or not right or " " in right:
            raise CheckpointError(f"{path} is not the merges of CLIP: line {index + 1} is no pair")
        merges.append((left, right))
    return merges
