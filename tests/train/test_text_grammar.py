"""The lexicon, the caption grammar and the training of the text encoder."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS
from vivace.models.mini.text import TextEncoder
from vivace.models.mini.text_features import split_words
from vivace.train.text import evaluate, train
from vivace.train.text.grammar import Grammar, misspell, pseudo_word

GRAMMAR = Grammar.read()
PROMPTS = Path(__file__).parents[1] / "golden" / "prompts.toml"


def test_every_style_has_a_large_vocabulary():
    assert all(sum(entry.style == style for entry in GRAMMAR.entries) >= 80 for style in STYLE_KEYS)


def test_no_words_name_two_styles_or_a_style_and_something_else():
    others = (*GRAMMAR.content, *GRAMMAR.chatter, *GRAMMAR.lookalike, *GRAMMAR.tags)
    named = {split_words(entry.text).words: entry.style for entry in GRAMMAR.entries}
    assert [entry for entry in GRAMMAR.entries if named[split_words(entry.text).words] != entry.style] == []
    assert [entry for entry in GRAMMAR.foreign if split_words(entry.text).words in named] == []
    assert [text for text in others if split_words(text).words in named] == []


def test_every_template_takes_its_entries():
    slots = {"medium": 1, "name": 1, "scene": 1, "unknown": 1, "pair": 2}
    for kind, count in slots.items():
        assert all(template.count("{}") == count for template in GRAMMAR.templates[kind])
    assert all(template.count("{}") == template.count("{s}") == 1 for template in GRAMMAR.templates["pair_scene"])


def test_samples_are_filled_and_their_targets_are_probabilities():
    rng = random.Random(0)
    for _ in range(500):
        sample = GRAMMAR.sample(rng)
        assert sample.text
        assert "{" not in sample.text
        assert len(sample.target) == STYLE_COUNT
        assert all(0 <= value <= 1 for value in sample.target)
        assert sum(value > 0.5 for value in sample.target) <= 3


def test_the_same_seed_draws_the_same_samples():
    one, other = random.Random(5), random.Random(5)
    assert [GRAMMAR.sample(one) for _ in range(50)] == [GRAMMAR.sample(other) for _ in range(50)]


def test_the_held_out_grammar_shares_nothing_with_the_one_trained_on():
    part, held_out = GRAMMAR.split(random.Random(0))
    for name in ("entries", "foreign", "content", "chatter", "lookalike", "tags"):
        assert not set(getattr(part, name)) & set(getattr(held_out, name))
        assert set(getattr(part, name)) | set(getattr(held_out, name)) == set(getattr(GRAMMAR, name))
    for kind, templates in part.templates.items():
        assert set(templates) & set(held_out.templates[kind]) <= {"{}"}
    assert {entry.style for entry in held_out.entries} == set(STYLE_KEYS)


def test_a_slip_of_the_finger_changes_little():
    rng = random.Random(0)
    slips = {misspell("graphite pencil drawing", rng) for _ in range(300)}
    assert "graphite pencil drawing" in slips
    assert len(slips) > 20
    assert all(abs(len(slip) - len("graphite pencil drawing")) <= 1 for slip in slips)


def test_pseudo_words_are_single_words():
    rng = random.Random(0)
    assert all(pseudo_word(rng).isalpha() for _ in range(100))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("text")
    paths = folder / "one.safetensors", folder / "new" / "two.safetensors"
    for path in paths:
        train(path, seed=3, steps=10)
    return paths


def test_training_is_reproducible_for_a_seed(trained):
    assert trained[0].read_bytes() == trained[1].read_bytes()


def test_a_few_steps_of_training_already_beat_chance(trained):
    score = evaluate(TextEncoder.load(trained[0]), PROMPTS, "tuned")
    assert score.counts["single"][0] > 0.3 * score.counts["single"][1]


def test_the_shipped_encoder_understands_nine_hand_written_prompts_in_ten():
    score = evaluate(TextEncoder.load(), PROMPTS, "tuned")
    assert score.accuracy >= 0.9, score.misses


def test_confidence_is_finite_for_every_hand_written_prompt():
    encoder = TextEncoder.load()
    assert all(np.isfinite(encoder.encode(entry.text).confidence) for entry in GRAMMAR.entries)
