"""Shares of votes in pairs, with their intervals.

A tie counts half for each, as win rates of pairwise votes are usually given. The interval is Wilson's (E. B. Wilson,
JASA 22, 1927), which stays inside 0 to 1 and is right for few votes and near the ends, where the textbook's and the
bootstrap's shrink to nothing. Votes on one clip are alike, whoever casts them, so they count as fewer than they are: by
the design effect (L. Kish, *Survey Sampling*, 1965), the variance of the share over clips, over that of as many
independent votes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Z = 1.959963984540054
"""Of 95 %, two-sided."""

Outcome = Literal["a", "b", "tie"]
_WORTH = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True, slots=True)
class Share:
    """How often a was preferred to b."""

    a: int
    tie: int
    b: int
    share: float
    """Of a, 0 to 1, a tie being half a vote."""
    low: float
    high: float
    """The ends of its 95 % interval, over clips like these; the voters are those who voted."""

    @property
    def votes(self) -> int:
        """How many there are."""
        return self.a + self.tie + self.b

    @property
    def preferred(self) -> Literal["a", "b"] | None:
        """The one whose share is above one half by more than chance, if one is."""
        return "a" if self.low > 0.5 else "b" if self.high < 0.5 else None


def share_of(by_clip: Mapping[str, Sequence[Outcome]]) -> Share:
    """Return the share of all votes, given by the clip they are on.

    Raises:
        ValueError: there is no vote.
    """
    worth = [[_WORTH[vote] for vote in votes] for votes in by_clip.values() if votes]
    votes = [vote for found in by_clip.values() for vote in found]
    share = math.fsum(map(math.fsum, worth)) / len(votes) if votes else math.nan
    low, high = wilson(share, _independent(worth, share))
    return Share(votes.count("a"), votes.count("tie"), votes.count("b"), share, low, high)


def wilson(share: float, votes: float) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of a share, 0 to 1, of so many independent votes.

    Raises:
        ValueError: no votes.
    """
    if votes <= 0:
        raise ValueError("no votes have no share")
    squared = Z * Z / votes
    middle = (share + squared / 2) / (1 + squared)
    half = Z / (1 + squared) * math.sqrt(share * (1 - share) / votes + squared / (4 * votes))
    # At the ends the exact value is the share itself; rounding must not leave it outside.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def _independent(worth: Sequence[Sequence[float]], share: float) -> float:
    """Return how many independent votes tell as much: from as many as there are clips to as many as votes."""
    clips, votes = len(worth), sum(map(len, worth))
    spread = share * (1 - share)
    if clips < 2 or spread == 0:
        return clips  # how votes on other clips would differ cannot be seen
    off = math.fsum(math.fsum(vote - share for vote in found) ** 2 for found in worth)
    variance = clips / (clips - 1) * off / votes**2
    return min(votes, max(clips, spread / variance)) if variance > 0 else votes
