"""The page on which pairs are judged, and what it asks. Nothing that it is told says which system is on which side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from vivace.bench.prefer.ballots import (
    Ballot,
    Choice,
    Vote,
    ballot_path,
    judge,
    new_ballot,
    read_ballot,
    read_ballots,
    said,
    share,
    write_ballot,
)
from vivace.bench.prefer.pairs import Pair, Side
from vivace.serve.http.errors import ApiError, install_errors
from vivace.serve.http.guard import Guard, GuardRules

WEB = Path(__file__).parent / "web"
MAX_BODY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Poll:
    """Pairs that are voted on, and where votes go."""

    systems: tuple[str, str]
    """What a and b are called."""
    pairs: Mapping[str, Pair]
    videos: Mapping[tuple[str, Side], Path]
    """Of every pair, by its name and by which system is on its left."""
    digest: str
    folder: Path
    """Of the ballots."""

    def open(self, voter: str) -> Ballot:
        """Return a voter's ballot, a new one where there is none.

        Raises:
            UsageError: a name that cannot be one.
            SourceUnsupportedError: its file is no ballot.
        """
        path = ballot_path(self.folder, voter)
        if path.exists():
            return read_ballot(path)
        ballot = new_ballot(voter, self.systems, self.digest, list(self.pairs), np.random.default_rng())
        write_ballot(self.folder, ballot)
        return ballot


class Judgement(BaseModel):
    """What a voter says of a pair."""

    choice: Choice


router = APIRouter(prefix="/ballots/{voter}")


def _poll(request: Request) -> Poll:
    poll: Poll = request.app.state.poll
    return poll


def _shown(poll: Poll, ballot: Ballot) -> dict[str, Any]:
    return {
        "closed": ballot.closed,
        "pairs": [{"title": poll.pairs[vote.clip].title, "choice": said(vote)} for vote in ballot.votes],
    }


@router.put("")
async def open_ballot(request: Request, voter: str) -> dict[str, Any]:
    """Begin a ballot, or go on with it."""
    poll = _poll(request)
    return _shown(poll, poll.open(voter))


@router.get("/{place:int}.mp4")
async def video(request: Request, voter: str, place: int) -> FileResponse:
    """Return the video of a pair."""
    poll = _poll(request)
    vote = _vote(poll.open(voter), place)
    return FileResponse(poll.videos[vote.clip, vote.left], headers={"Cache-Control": "no-store"})


@router.put("/{place:int}")
async def vote(request: Request, voter: str, place: int, judgement: Judgement) -> dict[str, Any]:
    """Take a vote."""
    poll = _poll(request)
    ballot = poll.open(voter)
    if ballot.closed:
        raise ApiError(409, "closed", "this ballot is closed, since its result was shown")
    judge(_vote(ballot, place), judgement.choice)
    write_ballot(poll.folder, ballot)
    return _shown(poll, ballot)


@router.put("/result")
async def close(request: Request, voter: str) -> dict[str, Any]:
    """Close a ballot that is complete, and tell what was preferred, by everybody and by this voter."""
    poll = _poll(request)
    ballot = poll.open(voter)
    left = sum(vote.preferred is None for vote in ballot.votes)
    if left:
        raise ApiError(
            409, "incomplete", f"{left} pairs are still to be judged; the result is for those who have voted"
        )
    if not ballot.closed:
        ballot.closed = True
        write_ballot(poll.folder, ballot)
    return {"systems": poll.systems, "all": _share(read_ballots(poll.folder)), "own": _share([ballot])}


def _vote(ballot: Ballot, place: int) -> Vote:
    if not 0 <= place < len(ballot.votes):
        raise ApiError(404, "not_found", f"there is no pair {place}; there are {len(ballot.votes)}")
    return ballot.votes[place]


def _share(ballots: Sequence[Ballot]) -> dict[str, Any]:
    found = share(ballots)
    assert found is not None, "a ballot that is complete has votes"
    voters = sum(share([ballot]) is not None for ballot in ballots)
    return {**asdict(found), "votes": found.votes, "voters": voters}


def create_app(poll: Poll) -> FastAPI:
    """Return the page of a poll, for this machine alone."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.poll = poll
    install_errors(app)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=WEB, html=True))
    app.add_middleware(Guard, rules=GuardRules(max_body_bytes=MAX_BODY_BYTES, local_only=True))
    return app
