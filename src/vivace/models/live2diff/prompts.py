"""Prompts to embeddings: tokens, learned words (textual inversion, Gal et al., 2022), the style's template, a cache.

Stable Diffusion 1.5 reads 77 tokens: one that starts, up to 75 of the text, and as many that end as fill the rest.
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
"""Where a template has the user's text."""
CACHED = 64
"""Prompts kept; an embedding is 231 KiB."""
MAX_WEIGHT = 5.0
"""Of a word; beyond it, up or down, pictures fall apart."""
SHOWN = 60
"""Characters of what was cut off that a message quotes."""


class Tokenizer(Protocol):
    """Text to token numbers."""

    @property
    def size(self) -> int:
        """How many tokens there are."""

    @property
    def start(self) -> int:
        """Number of the token that starts a text."""

    @property
    def end(self) -> int:
        """Number of the token that ends a text and fills up what is left."""

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Return the number of every token and where in `text` it begins."""


class ClipTokenizer:
    """The tokenizer of CLIP, read from a folder with `vocab.json` and `merges.txt`; the network is never asked."""

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
        """Return the number of every token and where in `text` it begins."""
        encoding = self._backend.encode(text, add_special_tokens=False)
        return [(number, place[0]) for number, place in zip(encoding.ids, encoding.offsets, strict=True)]


class HashTokenizer:
    """Token numbers from hashes of words, for networks with random weights: it needs no files, and means nothing."""

    def __init__(self, size: int = 49408) -> None:
        self.size = size
        self.start, self.end = size - 2, size - 1

    def tokens(self, text: str) -> list[tuple[int, int]]:
        """Return a number for every word or sign and where in `text` it begins."""
        return [(self._number(match[0].lower()), match.start()) for match in re.finditer(r"\w+|[^\w\s]", text)]

    def _number(self, word: str) -> int:
        return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) % (self.size - 2)


class ClipPrompts:
    """The prompt encoder of a loaded model. Any thread may ask; a text is encoded once.

    The words learned are rows added to the encoder's table. Call `forget` after the encoder's weights have changed.
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
        """Join a tokenizer and an encoder.

        Args:
            tokenizer: of the encoder's vocabulary.
            encoder: on its device, with its weights.
            template: what a prompt is put into, with `{}` in its place; negative prompts are not.
            clip_skip: last layers of the encoder to leave out.
            inversions: vectors `[n d]` by the word that stands for them, in any case of letters.

        Raises:
            UsageError: a template without a place, or a clip_skip the encoder does not have.
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
        """Return the prompt put into the template; `embeds` is float32 `[77 768]`, `message` names what was cut off."""
        return self._encode(text, self._template.replace(PLACE, text))

    def encode_negative(self, text: str) -> Prompt:
        """Return the prompt without the template; an empty text is fine."""
        return self._encode(text, text)

    def forget(self) -> None:
        """Drop what was encoded, since the encoder's weights have changed."""
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
        # Half of a surrogate pair, which JSON can carry, is no character.
        syntax = read_syntax(full.encode("utf-8", "replace").decode())
        tokens = self._tokens(syntax.text)
        embeds = self._embed([number for number, _ in tokens[:room]])
        weights = [1.0, *(syntax.weights[at] for _, at in tokens[:room])]
        if abs(most := max(weights, key=abs)) > MAX_WEIGHT:
            raise ControlError(
                f"a word of the prompt has the weight {most:g}; give weights from -{MAX_WEIGHT:g} to {MAX_WEIGHT:g}"
            )
        if weighted := [place for place, weight in enumerate(weights) if weight != 1]:
            # Twice as much is twice as far from what stands there in an empty prompt.
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
        """Return the embeddings `[77 768]` of tokens between one that starts and those that end."""
        ends = self._encoder.cfg.tokens - 1 - len(numbers)
        row = [self._tokenizer.start, *numbers, *[self._tokenizer.end] * ends]
        device = self._encoder.text_model.final_layer_norm.weight.device
        return self._encoder(torch.tensor([row], device=device), self._clip_skip)[0]

    def _tokens(self, text: str) -> list[tuple[int, int]]:
        """Return the tokens of `text`, learned words among them, and where each begins."""
        tokens: list[tuple[int, int]] = []
        begin = 0
        for word, numbers in self._learned.find(text) if self._learned else ():
            tokens += [(number, begin + at) for number, at in self._tokenizer.tokens(text[begin : word.start()])]
            tokens += [(number, word.start()) for number in numbers]
            begin = word.end()
        return tokens + [(number, begin + at) for number, at in self._tokenizer.tokens(text[begin:])]


# -- learned words -----------------------------------------------------------------------------------------------------


class _Learned:
    """Words an encoder has learned: rows of its table beyond its vocabulary."""

    def __init__(self, encoder: ClipText, inversions: Mapping[str, Tensor]) -> None:
        table = encoder.text_model.embeddings.token_embedding
        rows = [table.weight.detach()]
        self._numbers: list[range] = []
        known, width = rows[0].shape
        # The longest first, so that it is found before a word it begins with.
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
        """Yield where learned words are in `text`, and their token numbers."""
        for match in self._pattern.finditer(text):
            yield match, self._numbers[(match.lastindex or 1) - 1]


def _whole(word: str) -> str:
    """Return a pattern for a word that does not begin or end within another one."""
    begin = r"(?<!\w)" if re.match(r"\w", word) else ""
    end = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return f"({begin}{re.escape(word)}{end})"


def read_inversion(path: Path) -> tuple[str, Tensor]:
    """Return the word a textual inversion is written for and its vectors `[n d]`.

    Read are the forms of diffusers (the tensor under the word) and of the web UI (`string_to_param`, or `emb_params`),
    as safetensors or as a pickle. The web UI names a word after its file, and so is it here.

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
        raise CheckpointError(f"{path} is missing") from error
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
        raise CheckpointError(f"{path} is missing") from error
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
