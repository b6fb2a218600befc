"""A ballot is balanced, random and kept; it hides from the page which system is which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vivace.bench.prefer.ballots import (
    Ballot,
    ballot_path,
    judge,
    new_ballot,
    read_ballot,
    read_ballots,
    said,
    share,
    write_ballot,
)
from vivace.errors import SinkWriteError, SourceNotFoundError, SourceUnsupportedError, UsageError

CLIPS = [f"clip{place}" for place in range(9)]


def ballot(voter: str = "anna", *, pairs: str = "p", seed: int = 0, clips: list[str] = CLIPS) -> Ballot:
    return new_ballot(voter, ("x/a", "x/b"), pairs, clips, np.random.default_rng(seed))


def test_each_system_is_on_the_left_of_half_of_the_clips_and_the_odd_one_goes_to_either() -> None:
    lefts = [sum(vote.left == "a" for vote in ballot(seed=seed).votes) for seed in range(40)]
    assert set(lefts) == {4, 5}
    assert {sum(vote.left == "a" for vote in ballot(seed=seed, clips=CLIPS[:8]).votes) for seed in range(9)} == {4}


def test_order_and_sides_are_random_and_every_clip_is_shown_once() -> None:
    some = [ballot(seed=seed) for seed in range(5)]
    assert all(sorted(vote.clip for vote in one.votes) == CLIPS for one in some)
    assert len({tuple(vote.clip for vote in one.votes) for one in some}) == 5
    assert len({tuple(vote.left for vote in one.votes) for one in some}) == 5
    sides = {(vote.clip, vote.left) for seed in range(30) for vote in ballot(seed=seed).votes}
    assert len(sides) == 2 * len(CLIPS)  # no clip is tied to a side


@pytest.mark.parametrize("choice", ["left", "right", "tie"])
def test_a_vote_is_kept_by_system_and_told_by_side(choice: str) -> None:
    for vote in ballot().votes:
        judge(vote, choice)  # type: ignore[arg-type]
        assert said(vote) == choice
        expected = {"left": vote.left, "right": "b" if vote.left == "a" else "a", "tie": "tie"}[choice]
        assert vote.preferred == expected


def test_a_ballot_is_read_as_it_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    one = ballot("Änne-2")
    judge(one.votes[3], "right")
    write_ballot(tmp_path, one)
    assert read_ballot(ballot_path(tmp_path, "äNNE-2")) == one
    assert [path.name for path in tmp_path.iterdir()] == ["änne-2.json"]


@pytest.mark.parametrize("voter", ["", "../x", "a b", "a/b", "x" * 41, ".."])
def test_a_voters_name_is_a_files_name(tmp_path: Path, voter: str) -> None:
    with pytest.raises(UsageError, match="no name for a ballot"):
        ballot_path(tmp_path, voter)


def test_what_is_no_ballot_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no votes"):
        read_ballots(tmp_path)
    (tmp_path / "bo.json").write_text('{"vivace_votes": 2}')
    with pytest.raises(SourceUnsupportedError, match=r"bo\.json"):
        read_ballots(tmp_path)
    with pytest.raises(SinkWriteError):
        write_ballot(tmp_path / "nowhere", ballot())


def test_votes_on_different_pairs_are_not_put_together(tmp_path: Path) -> None:
    write_ballot(tmp_path, ballot("anna"))
    write_ballot(tmp_path, ballot("bo", pairs="q"))
    with pytest.raises(UsageError, match="anna and bo"):
        read_ballots(tmp_path)


def test_shares_are_by_clip_over_all_ballots_and_of_what_was_judged() -> None:
    anna, bo = ballot("anna"), ballot("bo", seed=1)
    assert share([anna, bo]) is None
    for one, count in ((anna, 9), (bo, 4)):
        for vote in one.votes[:count]:
            vote.preferred = "a" if vote.clip < "clip6" else "tie"
    found = share([anna, bo])
    assert found is not None
    assert found.votes == 13
    assert found.share == pytest.approx((found.a + found.tie / 2) / 13)
    own = share([anna])
    assert own is not None
    assert (own.a, own.tie, own.b) == (6, 3, 0)
