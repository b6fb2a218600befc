"""Shares of votes: Wilson's interval against published values, ties, and correlated votes."""

from __future__ import annotations

import numpy as np
import pytest

from vivace.bench.stats.shares import share_of, wilson


@pytest.mark.parametrize(
    ("votes", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons_as_newcombe_gives_it(votes: int, of: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17, 1998, table I, method 3."""
    assert wilson(votes / of, of) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(1 - votes / of, of)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_one_vote_a_clip_is_independent_and_a_tie_is_half_a_vote() -> None:
    clips = {str(place): ["a"] for place in range(8)} | {"t": ["tie"], "u": ["tie"]}
    share = share_of(clips)  # type: ignore[arg-type]
    assert (share.a, share.tie, share.b, share.votes) == (8, 2, 0, 10)
    assert share.share == pytest.approx(0.9)
    assert (share.low, share.high) == pytest.approx(wilson(0.9, 10))
    assert share.preferred == "a"


def test_the_two_systems_are_treated_alike() -> None:
    swap = {"a": "b", "b": "a", "tie": "tie"}
    votes = {"x": ["a", "a", "b"], "y": ["tie", "a", "a"], "z": ["b", "a", "tie"]}
    there = share_of(votes)  # type: ignore[arg-type]
    back = share_of({clip: [swap[vote] for vote in given] for clip, given in votes.items()})  # type: ignore[misc]
    assert back.share == pytest.approx(1 - there.share)
    assert (back.low, back.high) == pytest.approx((1 - there.high, 1 - there.low))


def test_voters_who_all_say_the_same_of_a_clip_tell_no_more_than_one_of_them() -> None:
    once = share_of({str(place): ["a" if place < 6 else "b"] for place in range(8)})
    often = share_of({str(place): ["a" if place < 6 else "b"] * 5 for place in range(8)})
    assert often.share == once.share
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)


def test_voters_who_agree_on_all_clips_alike_tell_as_much_as_so_many_votes() -> None:
    votes = share_of({str(place): ["a", "a", "a", "b"] for place in range(10)})
    assert (votes.low, votes.high) == pytest.approx(wilson(0.75, 40))
    votes = share_of({str(place): ["a", "a", "b", "ab"[place % 2]] for place in range(10)})  # type: ignore[misc]
    assert (votes.low, votes.high) == pytest.approx(wilson(0.625, 40))


def test_the_interval_holds_the_true_share_as_often_as_it_says() -> None:
    """Clips differ in how often a is preferred, 0.2 to 0.9; six voters judge each of 24 clips."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        clips = rng.uniform(0.2, 0.9, 24)
        votes = {str(place): ["a" if said else "b" for said in rng.random(6) < p] for place, p in enumerate(clips)}
        share = share_of(votes)  # type: ignore[arg-type]
        held += share.low <= 0.55 <= share.high
    assert 0.92 <= held / 400 <= 0.98


def test_of_votes_that_are_all_for_one_each_clip_counts_once() -> None:
    """The spread of the clips cannot be seen, so the interval treats all votes on one clip as one."""
    share = share_of({str(place): ["a"] * 10 for place in range(4)})
    assert (share.low, share.high) == pytest.approx(wilson(1.0, 4))


def test_nothing_is_preferred_within_chance_and_no_votes_have_no_share() -> None:
    assert share_of({"x": ["a"], "y": ["a"], "z": ["b"]}).preferred is None
    assert share_of({"x": ["b"] * 3}).preferred is None  # nothing follows from one clip
    assert share_of({str(place): ["b"] for place in range(6)}).preferred == "b"
    with pytest.raises(ValueError, match="no votes"):
        share_of({})
