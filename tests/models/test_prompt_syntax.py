"""Weights and names of files in prompts, distinguished from words."""

from __future__ import annotations

import pytest

from tolerance import near
from vivace.models.prompt_syntax import read_syntax


@pytest.mark.parametrize(
    ("prompt", "words", "weighed"),
    [
        ("a cat", "a cat", {"cat": 1}),
        ("a (cat) in wool", "a cat in wool", {"a": 1, "cat": 1.1, "wool": 1}),
        ("a ((cat))", "a cat", {"cat": 1.21}),
        ("a [cat]", "a cat", {"cat": 1 / 1.1}),
        ("a (cat:1.3), (wool : -.5 )", "a cat, wool ", {"cat": 1.3, "wool": -0.5}),
        ("(a (black cat:2) asleep:0.5)", "a black cat asleep", {"a ": 0.5, "black cat": 1.0, "asleep": 0.5}),
        ("(the [small] cat)", "the small cat", {"the": 1.1, "small": 1, "cat": 1.1}),
        (r"cat \(sitting\) \[1\]", "cat (sitting) [1]", {"cat": 1, "(sitting)": 1}),
        (r"a (cat \(sitting\):1.5)", "a cat (sitting)", {"cat (sitting)": 1.5}),
        ("a cat :) (or", "a cat :) (or", {"cat": 1, "or": 1}),
        ("at 10:30) [x)", "at 10:30) [x)", {"at": 1, "x": 1}),
        ("<sks> cat <lora:wool:0.8> asleep <lyco:a b>", "<sks> cat  asleep ", {"cat": 1}),
        ("", "", {}),
    ],
)
def test_words_are_weighed_as_other_programs_do(prompt: str, words: str, weighed: dict[str, float]) -> None:
    read = read_syntax(prompt)
    assert read.text == words
    assert len(read.weights) == len(words)
    for word, weight in weighed.items():
        at = words.index(word)
        assert near(list(read.weights[at : at + len(word)]), [weight] * len(word))


def test_files_and_numbers_are_told() -> None:
    read = read_syntax("<lora:wool:0.8> (cat:1.3) <lora:felt>")
    assert read.files == ("wool", "felt")
    assert read.numbered
    assert not read_syntax("(cat) 1.3) 10:30)").numbered
