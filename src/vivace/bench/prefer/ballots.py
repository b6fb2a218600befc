"""Ballots: one JSON file per voter, written at every vote, resumable later."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from vivace.bench.document import write_text
from vivace.bench.prefer.pairs import Side
from vivace.bench.stats.shares import Outcome, Share, share_of
from vivace.errors import SourceNotFoundError, SourceUnsupportedError, UsageError, describe_invalid

Choice = Literal["left", "right", "tie"]

_VOTER = re.compile(r"[\w-]{1,40}")


class Vote(BaseModel):
    """One pair of a ballot, with the vote on it."""

    model_config = ConfigDict(extra="forbid")

    clip: str
    left: Side
    """System that the voter saw on the left."""
    preferred: Outcome | None = None
    """Vote; None until it is cast."""


class Ballot(BaseModel):
    """All pairs for one voter, in display order."""

    model_config = ConfigDict(extra="forbid")

    vivace_votes: Literal[1] = 1
    """Version of this file format."""
    voter: str
    a: str
    b: str
    """Systems, as the folders they were given as."""
    pairs: str
    """Identifies the set of pairs, see `pairs.digest`."""
    votes: list[Vote]
    closed: bool = False
    """True once the voter has seen the result, after which no votes are accepted."""


def new_ballot(
    voter: str, systems: tuple[str, str], pairs: str, clips: Sequence[str], rng: np.random.Generator
) -> Ballot:
    """Return an empty ballot: clips in random order, each system on the left of a random half of them.

    With an odd number, a random system gets the extra one.
    """
    count = len(clips)
    both: tuple[Side, Side] = ("a", "b") if rng.integers(2) else ("b", "a")
    sides = [both[place % 2] for place in range(count)]
    rng.shuffle(sides)
    votes = [Vote(clip=clips[place], left=side) for place, side in zip(rng.permutation(count), sides, strict=True)]
    return Ballot(voter=voter, a=systems[0], b=systems[1], pairs=pairs, votes=votes)


def judge(vote: Vote, choice: Choice) -> None:
    """Record a voter's choice."""
    other: Side = "b" if vote.left == "a" else "a"
    vote.preferred = {"left": vote.left, "right": other, "tie": "tie"}[choice]


def said(vote: Vote) -> Choice | None:
    """Return the voter's choice, without revealing the systems."""
    if vote.preferred is None or vote.preferred == "tie":
        return vote.preferred
    return "left" if vote.preferred == vote.left else "right"


def ballot_path(folder: Path, voter: str) -> Path:
    """Return the path of a voter's ballot.

    Raises:
        UsageError: a name that is not valid for a file.
    """
    if not _VOTER.fullmatch(voter):
        raise UsageError(f"{voter[:40]!r} is no name for a ballot; give 1 to 40 letters, digits, - or _")
    return folder / f"{voter.casefold()}.json"


def write_ballot(folder: Path, ballot: Ballot) -> None:
    """Write a ballot; the old file stays intact until the new one is complete.

    Raises:
        SinkWriteError: it cannot be written.
    """
    path = ballot_path(folder, ballot.voter)
    partial = path.with_suffix(".part")
    write_text(partial, ballot.model_dump_json(indent=1) + "\n")
    partial.replace(path)


def read_ballot(path: Path) -> Ballot:
    """Return the ballot in a file.

    Raises:
        SourceUnsupportedError: the file is not a ballot.
    """
    try:
        return Ballot.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SourceUnsupportedError(f"{path}: cannot be read ({error.strerror}); give the folder of votes") from error
    except ValidationError as error:
        problems = describe_invalid(error.errors())
        raise SourceUnsupportedError(f"{path} holds no votes of `vivace bench prefer`: {problems}") from error


def read_ballots(folder: Path) -> list[Ballot]:
    """Return the ballots of a folder, by voter.

    Raises:
        SourceNotFoundError: there is none.
        SourceUnsupportedError: a file that is not a ballot.
        UsageError: they are of different pairs.
    """
    ballots = [read_ballot(path) for path in sorted(folder.glob("*.json"))]
    if not ballots:
        raise SourceNotFoundError(f"no votes in {folder}; `vivace bench prefer` writes them")
    for ballot in ballots[1:]:
        if ballot.pairs != ballots[0].pairs:
            raise UsageError(
                f"the votes of {ballots[0].voter} and {ballot.voter} in {folder} are of different pairs; "
                "keep each set of pairs in a folder of its own"
            )
    return ballots


def share(ballots: Iterable[Ballot]) -> Share | None:
    """Return the preferences in these ballots; None without votes."""
    by_clip: dict[str, list[Outcome]] = {}
    for ballot in ballots:
        for vote in ballot.votes:
            if vote.preferred is not None:
                by_clip.setdefault(vote.clip, []).append(vote.preferred)
    return share_of(by_clip) if by_clip else None
