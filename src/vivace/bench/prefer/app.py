"""Voting page and its API. It gets no information about which system is on which side."""

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
    """Pairs to vote on, and the folder for the votes."""

    systems: tuple[str, str]
    """Names of the systems a and b."""
    pairs: Mapping[str, Pair]
    videos: Mapping[tuple[str, Side], Path]
    """Videos by pair name and by the system on the left."""
    digest: str
    folder: Path
    """Folder of the ballots."""

    def open(self, voter: str) -> Ballot:
        """Return a voter's ballot, creating it if there is none.

        Raises:
            UsageError: an invalid name.
            SourceUnsupportedError: its file is not a ballot.
        """
        path = ballot_path(self.folder, voter)
        if path.exists():
            return read_ballot(path)
        ballot = new_ballot(voter, self.systems, self.digest, list(self.pairs), np.random.default_rng())
        write_ballot(self.folder, ballot)
        return ballot


class Judgement(BaseModel):
    """A voter's judgement of a pair."""

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
    """Create or resume a ballot."""
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
    """Record a vote."""
    poll = _poll(request)
    ballot = poll.open(voter)
    if ballot.closed:
        raise ApiError(409, "closed", "this ballot is closed, since its result was shown")
    judge(_vote(ballot, place), judgement.choice)
    write_ballot(poll.folder, ballot)
    return _shown(poll, ballot)


@router.put("/result")
async def close(request: Request, voter: str) -> dict[str, Any]:
    """Close a complete ballot, and return the preferences of all voters and of this one."""
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
    """Return the app that serves a poll's page to this machine."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.poll = poll
    install_errors(app)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=WEB, html=True))
    app.add_middleware(Guard, rules=GuardRules(max_body_bytes=MAX_BODY_BYTES, local_only=True))
    return app
