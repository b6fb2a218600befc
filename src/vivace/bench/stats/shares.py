"""Shares of votes in pairs, with their intervals.

A tie counts half for each, as is usual for win rates of pairwise votes. The interval is Wilson's (E. B. Wilson, JASA
22, 1927), which stays within 0 to 1 and is valid for few votes and near the ends, where the normal approximation and
the bootstrap shrink to nothing. Votes on one clip are correlated, so they are discounted by the design effect (L. Kish,
*Survey Sampling*, 1965): the variance of the share over clips, relative to that of as many independent votes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Z = 1.959963984540054
"""Normal quantile of a two-sided 95 % interval."""

Outcome = Literal["a", "b", "tie"]
_WORTH = {"a": 1.0, "tie": 0.5, "b": 0.0}


@dataclass(frozen=True, slots=True)
class Share:
    """Preference for a over b."""

    a: int
    tie: int
    b: int
    share: float
    """Share of a, 0 to 1; a tie is half a vote."""
    low: float
    high: float
    """Ends of the 95 % interval over clips like these; the voters are taken as fixed."""

    @property
    def votes(self) -> int:
        """Number of votes."""
        return self.a + self.tie + self.b

    @property
    def preferred(self) -> Literal["a", "b"] | None:
        """System whose share exceeds one half by more than chance; None if neither's does."""
        return "a" if self.low > 0.5 else "b" if self.high < 0.5 else None


def share_of(by_clip: Mapping[str, Sequence[Outcome]]) -> Share:
    """Return the share of all votes, given by clip.

    Raises:
        ValueError: there is no vote.
    """
    worth = [[_WORTH[vote] for vote in votes] for votes in by_clip.values() if votes]
    votes = [vote for found in by_clip.values() for vote in found]
    share = math.fsum(map(math.fsum, worth)) / len(votes) if votes else math.nan
    low, high = wilson(share, _independent(worth, share))
    return Share(votes.count("a"), votes.count("tie"), votes.count("b"), share, low, high)


def wilson(share: float, votes: float) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of a share, 0 to 1, for a number of independent votes.

    Raises:
        ValueError: no votes.
    """
    if votes <= 0:
        raise ValueError("no votes have no share")
    squared = Z * Z / votes
    middle = (share + squared / 2) / (1 + squared)
    half = Z / (1 + squared) * math.sqrt(share * (1 - share) / votes + squared / (4 * votes))
    # At the ends the exact value is the share itself; rounding must not exclude it.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def _independent(worth: Sequence[Sequence[float]], share: float) -> float:
    """Return the equivalent number of independent votes, between the number of clips and that of votes."""
    clips, votes = len(worth), sum(map(len, worth))
    spread = share * (1 - share)
    if clips < 2 or spread == 0:
        return clips  # the variation over clips cannot be estimated
    off = math.fsum(math.fsum(vote - share for vote in found) ** 2 for found in worth)
    variance = clips / (clips - 1) * off / votes**2
    return min(votes, max(clips, spread / variance)) if variance > 0 else votes
