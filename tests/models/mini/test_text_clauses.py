"""Clauses of a prompt: denials and shares, whatever the words mean."""

from __future__ import annotations

import itertools

import pytest

from vivace.models.mini.text_clauses import split_clauses
from vivace.models.mini.text_features import split_words


def told(text: str) -> list[tuple[str, bool, float | None]]:
    prompt = split_words(text)
    return [
        (" ".join(prompt.words[clause.start : clause.stop]), clause.denied, clause.weight)
        for clause in split_clauses(prompt)
    ]


@pytest.mark.parametrize("text", ["", "a cat", "black and white film noir", "pen and ink, loose", "one, two; three."])
def test_a_prompt_without_shares_mixing_or_denials_is_one_clause(text):
    words = " ".join(split_words(text).words)
    assert told(text) == ([(words, False, None)] if words else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("not a, b", [("a", True, None), ("b", False, None)]),
        ("a without b, c", [("a", False, None), ("b", True, None), ("c", False, None)]),
        ("anything but a; b", [("a", True, None), ("b", False, None)]),
        ("b rather than a", [("b", False, None), ("a", True, None)]),
        ("not like a but like b", [("like a", True, None), ("but like b", False, None)]),
        ("no a and b", [("a and b", True, None)]),
        ("don't make it a", [("make it a", True, None)]),
        ("don't want an a give me b", [("want an a", True, None), ("give me b", False, None)]),
        ("not only a", [("not only a", False, None)]),
    ],
)
def test_a_denial_reaches_to_the_end_of_its_clause(text, expected):
    assert told(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("half p, half q", [("p", 0.5), ("q", 0.5)]),
        ("half p half q", [("p", 0.5), ("q", 0.5)]),
        ("70% a and 30% b", [("a", 0.7), ("b", 0.3)]),
        ("a 70%, b 30%", [("a", 0.7), ("b", 0.3)]),
        ("a 70 per cent, b 30 per cent", [("a", 0.7), ("b", 0.3)]),
        ("a:0.7, b:0.3", [("a", 0.7), ("b", 0.3)]),
        ("2/3 a, 1/3 b", [("a", 2 / 3), ("b", 1 / 3)]),
        ("three quarters a and a quarter b", [("a", 0.75), ("b", 0.25)]),
        ("mostly a with a touch of b", [("a", 0.8), ("b", 0.2)]),
        ("70/30 a and b", [("a", 0.7), ("and b", 0.3)]),
        ("make it 70/30 a and b", [("make it", None), ("a", 0.7), ("and b", 0.3)]),
        ("a and b, 70/30", [("a", 0.7), ("and b", 0.3)]),
        ("half tone dots", [("half tone dots", None)]),
    ],
)
def test_shares_go_to_the_clause_they_stand_by(text, expected):
    assert [(words, weight) for words, _, weight in told(text)] == expected


def test_every_and_may_part_the_ingredients_of_a_mixture():
    assert told("a mix of a and b") == [("a mix of a", False, None), ("and b", False, None)]


def test_clauses_are_in_order_and_do_not_overlap():
    clauses = split_clauses(split_words("half a, not b, 20% c and d without e; mostly f meets g"))
    assert all(one.stop <= other.start for one, other in itertools.pairwise(clauses))
    assert all(clause.start < clause.stop for clause in clauses)
