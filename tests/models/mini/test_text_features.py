"""Words and hashed features of prompts."""

from __future__ import annotations

import pytest

from vivace.models.mini.text_features import bucket, pair_feature, pairs, split_words, word_features


def test_hashes_are_the_same_in_every_process():
    # A change here invalidates every trained table: raise the format and train again.
    assert [bucket("w:ink"), bucket("<in"), pair_feature("pixel", "art", 1)] == [26236, 42, 23303]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Make it look like Van Gogh's", "make it look like van gogh"),
        ("à l'huile", "a huile"),
        ("I don\u2019t", "i dont"),
        ("水彩风", "水 彩 风"),
        ("8-bit, 70 %", "8 bit 70%"),
        ("½ ink", "1/2 ink"),
        ("ink:0.7", "ink 0.7"),
    ],
)
def test_spellings_are_folded(text, words):
    assert list(split_words(text).words) == words.split()


def test_gaps_tell_the_punctuation_before_each_word():
    words = split_words("(ink), oil; neon!")
    assert words.words == ("ink", "oil", "neon")
    assert words.gaps == ("(", "),", ";", "!")


def test_a_misspelt_word_shares_most_of_its_n_grams():
    right, wrong = set(word_features("watercolour")), set(word_features("watercolor"))
    assert len(right & wrong) > len(right) / 2
    assert word_features("watercolour")[0] not in wrong


def test_pairs_stand_next_to_each_other_or_one_apart():
    assert list(pairs(("a", "b", "c"), 1)) == [("a", "b"), ("b", "c")]
    assert list(pairs(("a", "b", "c"), 2)) == [("a", "c")]
