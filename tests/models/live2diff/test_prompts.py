"""Prompts: the tokens of transformers, learned words, truncation, and a thread-safe cache."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPTokenizer

from vivace.errors import CheckpointError, ControlError, UsageError
from vivace.models.live2diff import prompts as module
from vivace.models.live2diff.prompts import ClipPrompts, ClipTokenizer, HashTokenizer, read_inversion
from vivace.models.live2diff.text import ClipText, TextConfig

MERGES = ["c a", "ca t</w>", "d o", "do g</w>", "s t", "st y", "l e</w>", "sty le</w>", "Ã ©</w>"]
TOKENS = 77
ODD = [
    "",
    "   ",
    "A cat, a DOG; in the style of 1984's “Moxin”!",
    "naïve café ÅÄÖ ﬁne ﬂag",
    "cafe\u0301 and ca\u0301t",
    "猫と犬、写実的、４K",
    "👩‍👩‍👧‍👦 🏳️‍🌈 family \u200b zero",
    "قطة وكلب",
    "line\nbreak\ttab\x00nul\x7f",
    "<b>bold</b> &amp; {braces} {} %s \\n",
    "<|endoftext|> inside <|startoftext|>",
    "𝔉𝔞𝔫𝔠𝔶 İstanbul ſtraße",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a tokenizer of CLIP's kind with few words."""
    folder = tmp_path_factory.mktemp("tokenizer")
    alphabet = sorted(ByteLevel.alphabet())
    words = [*alphabet, *(letter + "</w>" for letter in alphabet), *(merge.replace(" ", "") for merge in MERGES)]
    vocabulary = {word: number for number, word in enumerate([*words, module.START, module.END])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES, ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> ClipTokenizer:
    return ClipTokenizer(folder)


def make_encoder(size: int) -> ClipText:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return ClipText(TextConfig(vocabulary=size, width=16, inner=32, layers=3, heads=2)).eval()


@pytest.fixture
def encoder(tokenizer: ClipTokenizer) -> ClipText:
    return make_encoder(tokenizer.size)


@pytest.fixture
def prompts(tokenizer: ClipTokenizer, encoder: ClipText) -> ClipPrompts:
    return ClipPrompts(tokenizer, encoder)


def row(tokenizer: ClipTokenizer, numbers: list[int]) -> Tensor:
    """Return the expected input of the encoder."""
    return torch.tensor([[tokenizer.start, *numbers, *[tokenizer.end] * (TOKENS - 1 - len(numbers))]])


def numbers(tokenizer: ClipTokenizer, text: str) -> list[int]:
    return [number for number, _ in tokenizer.tokens(text)]


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*ODD, "a cat and a dog " * 125, "x" * 2000], ids=range(len(ODD) + 2))
def test_tokens_are_those_of_transformers(text: str, folder: Path, tokenizer: ClipTokenizer) -> None:
    theirs = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    encoder = make_encoder(tokenizer.size)
    full = theirs(text, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(row(tokenizer, numbers(tokenizer, text)[: TOKENS - 2]), full)
    embeds = ClipPrompts(tokenizer, encoder).encode(text).embeds
    with torch.inference_mode():
        assert np.array_equal(embeds, encoder(full)[0].numpy())


def test_words_are_merged_and_small(tokenizer: ClipTokenizer) -> None:
    assert numbers(tokenizer, "Cat STYLE") == numbers(tokenizer, "cat  style ")
    assert len(numbers(tokenizer, "cat style")) == 2
    assert tokenizer.tokens("a Cat") == [(numbers(tokenizer, "a")[0], 0), (numbers(tokenizer, "cat")[0], 2)]


def test_half_a_character_is_no_error(prompts: ClipPrompts) -> None:
    assert np.array_equal(prompts.encode("cat \ud83d").embeds, prompts.encode("cat ?").embeds)


def test_hashes_need_no_files_and_stay_the_same() -> None:
    tokenizer = HashTokenizer()
    assert tokenizer.size == TextConfig().vocabulary
    assert tokenizer.tokens("A cat, a CAT") == [(4615, 0), (29211, 2), (15111, 5), (4615, 7), (29211, 9)]
    assert tokenizer.tokens("") == []
    small = HashTokenizer(5)
    assert {number for number, _ in small.tokens(" ".join(map(str, range(100))))} == {0, 1, 2}
    assert ClipPrompts(small, make_encoder(5)).encode("a cat").embeds.shape == (TOKENS, 16)


# -- prompts -----------------------------------------------------------------------------------------------------------


def test_a_prompt_is_float32_whatever_the_encoder_is(tokenizer: ClipTokenizer, encoder: ClipText) -> None:
    exact = ClipPrompts(tokenizer, encoder).encode("a cat").embeds
    half = ClipPrompts(tokenizer, encoder.bfloat16()).encode("a cat").embeds
    assert exact.dtype == half.dtype == np.float32
    assert exact.shape == half.shape == (TOKENS, 16)
    assert np.allclose(exact, half, atol=0.1)


def test_layers_are_left_out(tokenizer: ClipTokenizer, encoder: ClipText) -> None:
    found = ClipPrompts(tokenizer, encoder, clip_skip=2).encode("a cat").embeds
    with torch.inference_mode():
        assert np.array_equal(found, encoder(row(tokenizer, numbers(tokenizer, "a cat")), 2)[0].numpy())


def test_the_template_holds_the_prompt_and_not_the_negative_one(tokenizer: ClipTokenizer, encoder: ClipText) -> None:
    styled = ClipPrompts(tokenizer, encoder, template="style, {}, {} dog")
    plain = ClipPrompts(tokenizer, encoder)
    prompt = styled.encode("a {} cat")
    assert prompt.text == "a {} cat"
    assert prompt.known
    assert prompt.confidence == 1
    assert np.array_equal(prompt.embeds, plain.encode("style, a {} cat, a {} cat dog").embeds)
    for text in ("a cat", ""):
        assert np.array_equal(styled.encode_negative(text).embeds, plain.encode(text).embeds)
    assert not np.array_equal(styled.encode("a cat").embeds, styled.encode_negative("a cat").embeds)


def test_a_weighed_word_is_moved_from_an_empty_prompt(prompts: ClipPrompts) -> None:
    plain, nothing = prompts.encode("a cat style").embeds, prompts.encode("").embeds
    weighed = prompts.encode("a (cat:1.5) style").embeds
    kept = [place for place in range(TOKENS) if place != 2]  # after the start token, and "a"
    assert np.array_equal(weighed[kept], plain[kept])
    assert np.allclose(weighed[2], nothing[2] + 1.5 * (plain[2] - nothing[2]), atol=1e-5)
    assert np.allclose(prompts.encode("a (cat:0) style").embeds[2], nothing[2], atol=1e-5)
    assert np.array_equal(prompts.encode(r"a (cat:1) style").embeds, plain)
    with pytest.raises(ControlError, match=r"a word of the prompt has the weight 6\.05; give weights from -5 to 5"):
        prompts.encode("a ((cat:5.5))")


def test_a_file_named_in_a_prompt_is_left_out_and_said(prompts: ClipPrompts) -> None:
    prompt = prompts.encode("a cat <lora:wool:0.8>")
    assert np.array_equal(prompt.embeds, prompts.encode("a cat ").embeds)
    assert "<lora:wool> is left out: load it with the model, `--lora wool.safetensors`" in prompt.message
    assert not prompts.encode("a (cat:1.5)").message


def test_what_is_cut_off_is_named(prompts: ClipPrompts) -> None:
    assert prompts.encode("dog " * 75).message == ""
    long = prompts.encode("dog " * 75 + "Cat,  Style\nof cats")
    assert long.message == "only the first 75 of 83 tokens are read; left out: 'Cat, Style of cats'"
    assert np.array_equal(long.embeds, prompts.encode("dog " * 75).embeds)
    endless = prompts.encode("🦊" * 2000)
    assert endless.message.startswith("only the first 75 of ")
    assert len(endless.message) < 150


def test_what_a_template_pushes_out_is_named(tokenizer: ClipTokenizer, encoder: ClipText) -> None:
    styled = ClipPrompts(tokenizer, encoder, template="{}, a cat style")
    assert styled.encode("dog " * 73).message == "only the first 75 of 77 tokens are read; left out: 'cat style'"
    assert styled.encode_negative("dog " * 73).message == ""


# -- learned words -----------------------------------------------------------------------------------------------------


@pytest.fixture
def vectors() -> Tensor:
    return torch.randn(3, 16, generator=torch.Generator().manual_seed(9))


def test_a_learned_word_becomes_its_vectors(tokenizer: ClipTokenizer, encoder: ClipText, vectors: Tensor) -> None:
    before = ClipPrompts(tokenizer, encoder).encode("a cat").embeds
    table = encoder.text_model.embeddings.token_embedding.weight.clone()
    prompts = ClipPrompts(tokenizer, encoder, inversions={"<Cat-Toy>": vectors, "felt": vectors[:1]})
    size = tokenizer.size
    assert torch.equal(encoder.text_model.embeddings.token_embedding.weight[:size], table)
    a, dog = numbers(tokenizer, "a")[0], numbers(tokenizer, "dog")[0]
    expected = row(tokenizer, [a, size, size + 1, size + 2, dog, size + 3])
    assert torch.equal(encoder.text_model.embeddings.token_embedding(expected[0, 2:5]), vectors)
    with torch.inference_mode():
        embeds = encoder(expected)[0].numpy()
    assert np.array_equal(prompts.encode("a <cat-toy>dog FELT").embeds, embeds)
    assert np.array_equal(prompts.encode("a cat").embeds, before), "other words are as they were"


def test_a_learned_word_is_a_whole_word_and_the_longest(
    tokenizer: ClipTokenizer, encoder: ClipText, vectors: Tensor
) -> None:
    plain = {text: ClipPrompts(tokenizer, encoder).encode(text).embeds for text in ("part of arts", "art-2")}
    prompts = ClipPrompts(tokenizer, encoder, inversions={"art": vectors[:1], "art-2": vectors[1:2]})
    assert np.array_equal(prompts.encode("part of arts").embeds, plain["part of arts"])
    size = tokenizer.size
    with torch.inference_mode():
        assert np.array_equal(prompts.encode("art-2").embeds, encoder(row(tokenizer, [size]))[0].numpy())
        assert np.array_equal(prompts.encode("ART").embeds, encoder(row(tokenizer, [size + 1]))[0].numpy())


def test_learned_words_count_as_their_vectors(tokenizer: ClipTokenizer, encoder: ClipText, vectors: Tensor) -> None:
    prompts = ClipPrompts(tokenizer, encoder, inversions={"<toy>": vectors})
    message = prompts.encode("dog " * 73 + "<toy> cat").message
    assert message == "only the first 75 of 77 tokens are read; left out: '<toy> cat'"


def test_vectors_of_another_model_are_refused(tokenizer: ClipTokenizer, encoder: ClipText) -> None:
    for bad in (torch.zeros(2, 24), torch.zeros(16)):
        with pytest.raises(CheckpointError, match=r"'<toy>' has vectors .*, not \[n 16\]"):
            ClipPrompts(tokenizer, encoder, inversions={"<toy>": bad})


def web_ui(vectors: Tensor) -> dict[str, Any]:
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": torch.nn.Parameter(vectors)},
        "name": "trained as",
        "step": 1000,
        "sd_checkpoint": None,
    }


@pytest.mark.parametrize(
    ("name", "word", "content"),
    [
        ("learned_embeds.bin", "<toy>", lambda v: {"<toy>": v}),
        ("learned_embeds.safetensors", "<toy>", lambda v: {"<toy>": v}),
        ("easy.pt", "easy", web_ui),
        ("easy.safetensors", "easy", lambda v: {"emb_params": v}),
    ],
)
def test_every_form_of_textual_inversion_is_read(
    name: str, word: str, content: Callable[[Tensor], dict[str, Any]], vectors: Tensor, tmp_path: Path
) -> None:
    for given in (vectors, vectors[0]):
        save = save_file if name.endswith("safetensors") else torch.save
        save(content(given), tmp_path / name)
        found, read = read_inversion(tmp_path / name)
        assert found == word
        assert torch.equal(read, torch.atleast_2d(given))
        assert not read.requires_grad


@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.zeros(3), "b": torch.zeros(3)},
        {"a": torch.zeros(1, 2, 3)},
        {"a": torch.zeros(3, dtype=torch.int64)},
        {"a": "text"},
        {},
        {"string_to_param": {}},
        {"string_to_param": torch.zeros(3)},
        {"string_to_param": {"*": torch.zeros(3), "+": torch.zeros(3)}},
        {"clip_l": torch.zeros(2, 3), "clip_g": torch.zeros(2, 5)},
    ],
)
def test_what_is_no_textual_inversion_is_refused(content: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "bad.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"bad\.pt is not a textual inversion for Stable Diffusion 1\.5"):
        read_inversion(path)
    path.write_bytes(b"\x80")
    with pytest.raises(CheckpointError, match="damaged"):
        read_inversion(path)
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        read_inversion(path)


# -- the cache ---------------------------------------------------------------------------------------------------------


class Counting(ClipText):
    """Encoder that counts its passes."""

    def __init__(self, size: int) -> None:
        super().__init__(make_encoder(size).cfg)
        self.passes = 0

    def forward(self, tokens: Tensor, clip_skip: int = 0) -> Tensor:
        self.passes += 1
        return super().forward(tokens, clip_skip)


def test_a_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED", 2)
    encoder = Counting(50)
    prompts = ClipPrompts(HashTokenizer(50), encoder, template="{} {}")
    first = prompts.encode("cat")
    assert prompts.encode("cat") is first
    assert encoder.passes == 1
    prompts.encode_negative("cat")
    assert encoder.passes == 2, "the negative one is another text"
    prompts.encode("cat")
    prompts.encode("dog")
    assert encoder.passes == 3
    assert prompts.encode("cat") is first, "what was asked for last is kept"
    prompts.encode_negative("cat")
    assert encoder.passes == 4, "and the oldest is not"


def test_changed_weights_are_seen_once_told(prompts: ClipPrompts, encoder: ClipText) -> None:
    before = prompts.encode("cat").embeds
    with torch.no_grad():
        encoder.text_model.final_layer_norm.weight *= 2
    prompts.forget()
    assert not np.array_equal(prompts.encode("cat").embeds, before)


def test_any_thread_may_ask() -> None:
    encoder = Counting(50)
    prompts = ClipPrompts(HashTokenizer(50), encoder)
    gate = threading.Barrier(8)

    def ask(index: int) -> list[bytes]:
        gate.wait()
        return [prompts.encode(f"prompt {(index + step) % 10}").embeds.tobytes() for step in range(20)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert encoder.passes == 10
    for index, answers in enumerate(found):
        assert answers == [prompts.encode(f"prompt {(index + step) % 10}").embeds.tobytes() for step in range(20)]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_refused(tokenizer: ClipTokenizer, encoder: ClipText) -> None:
    with pytest.raises(UsageError, match=r"'felted' has no \{\}"):
        ClipPrompts(tokenizer, encoder, template="felted")
    for skip in (-1, 4):
        with pytest.raises(UsageError, match=f"within 0 to 3, not {skip}"):
            ClipPrompts(tokenizer, encoder, clip_skip=skip)
    with pytest.raises(CheckpointError, match=rf"knows 49408 tokens, the other {tokenizer.size}"):
        ClipPrompts(HashTokenizer(), encoder)


def test_wrong_and_damaged_tokenizers_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"vocab\.json is missing"):
        ClipTokenizer(tmp_path)
    good = (folder / "vocab.json").read_text(encoding="utf-8")
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(good, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"merges\.txt is missing"):
        ClipTokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nc a\nca\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"merges\.txt is not the merges of CLIP: line 3"):
        ClipTokenizer(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\nx yz\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"merges\.txt is not the merges of CLIP: 'x yz'"):
        ClipTokenizer(tmp_path)
    for bad, problem in (
        (good[:-5], "damaged"),
        ("[]", "is not the vocabulary of CLIP"),
        (json.dumps({"a": 0}), r"has no <\|startoftext\|>"),
        (json.dumps({module.START: 0, module.END: 2}), "numbers are not 0 to 1"),
        (json.dumps({module.START: 0, module.END: "1"}), "numbers are not 0 to 1"),
    ):
        vocabulary.write_text(bad, encoding="utf-8")
        with pytest.raises(CheckpointError, match=problem):
            ClipTokenizer(tmp_path)
