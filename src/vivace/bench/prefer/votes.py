"""`vivace bench votes`: votes as shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from vivace.bench.document import dump_json, write_text
from vivace.bench.prefer.ballots import Ballot, read_ballots, share
from vivace.bench.stats.shares import Share


def votes_command(folder: Path, json_path: Path | None = None) -> None:
    """Print the preferences in a folder of ballots, over all voters and by each.

    Args:
        folder: folder of the ballots.
        json_path: also write the shares there.

    Raises:
        SourceNotFoundError: there are no votes.
        UsageError: they are of different pairs.
        SinkWriteError: the shares cannot be written.
    """
    ballots = read_ballots(folder)
    shares = {name: found for name, voted in _by_voter(ballots).items() if (found := share(voted)) is not None}
    _print(ballots[0].a, ballots[0].b, shares)
    if json_path is not None:
        fields = {name: asdict(found) for name, found in shares.items()}
        write_text(json_path, dump_json({"a": ballots[0].a, "b": ballots[0].b, "shares": fields}))


def _by_voter(ballots: Sequence[Ballot]) -> dict[str, Sequence[Ballot]]:
    return {"all": ballots, **{f"voter {ballot.voter}": [ballot] for ballot in ballots}}


def _print(a: str, b: str, shares: Mapping[str, Share]) -> None:
    console = Console()
    if not shares:
        console.print("nothing was judged yet")
        return
    table = Table("", "votes", a, "neither", b, f"share of {a}")
    for name, found in shares.items():
        told = f"{100 * found.share:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"
        table.add_row(name, *map(str, (found.votes, found.a, found.tie, found.b)), told)
    console.print(table)
    preferred = {"a": a, "b": b, None: None}[shares["all"].preferred]
    console.print(
        "no preference beyond chance: 50 % lies in the interval" if preferred is None else f"{preferred} is preferred",
        markup=False,
    )
