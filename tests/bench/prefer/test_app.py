"""The page's requests: a ballot resumes where it was left, and the result follows the last judgement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from vivace.bench.prefer.app import Poll, create_app
from vivace.bench.prefer.ballots import read_ballot
from vivace.bench.prefer.pairs import Pair


@pytest.fixture
def poll(tmp_path: Path) -> Poll:
    votes = tmp_path / "votes"
    votes.mkdir()
    pairs, videos = {}, {}
    for name in ("x", "y", "z"):
        pairs[name] = Pair(name, tmp_path, tmp_path, tmp_path, prompt="ink")
        for side in ("a", "b"):
            videos[name, side] = tmp_path / f"{name}-{side}.mp4"
            videos[name, side].write_bytes(f"{name}-{side}".encode())
    return Poll(("seed1/", "seed2/"), pairs, videos, "digest", votes)  # type: ignore[arg-type]


@pytest.fixture
def client(poll: Poll) -> Iterator[TestClient]:
    with TestClient(create_app(poll), base_url="http://localhost") as client:
        yield client


def test_votes_are_taken_kept_and_told_by_system(client: TestClient, poll: Poll) -> None:
    shown = client.put("/ballots/anna").json()
    assert shown == {"closed": False, "pairs": [{"title": "Asked for: “ink”", "choice": None}] * 3}
    for place, choice in enumerate(("left", "right", "tie")):
        shown = client.put(f"/ballots/anna/{place}", json={"choice": choice}).json()
    assert [pair["choice"] for pair in shown["pairs"]] == ["left", "right", "tie"]
    assert client.put("/ballots/Anna").json() == shown
    votes = read_ballot(poll.folder / "anna.json").votes
    assert [vote.preferred for vote in votes[:2]] == [votes[0].left, "b" if votes[1].left == "a" else "a"]
    told = client.put("/ballots/anna/result").json()
    assert told["systems"] == ["seed1/", "seed2/"]
    assert told["all"] == told["own"]
    assert (told["own"]["votes"], told["own"]["tie"], told["own"]["voters"]) == (3, 1, 1)


def test_the_video_is_that_of_the_side_the_ballot_says(client: TestClient, poll: Poll) -> None:
    client.put("/ballots/anna")
    for place, vote in enumerate(read_ballot(poll.folder / "anna.json").votes):
        answer = client.get(f"/ballots/anna/{place}.mp4")
        assert answer.text == f"{vote.clip}-{vote.left}"
        assert not any(f"{vote.clip}-{vote.left}" in value for value in answer.headers.values())


def test_nothing_the_page_is_told_before_the_result_names_a_system(client: TestClient) -> None:
    told = client.put("/ballots/anna").text + client.put("/ballots/anna/0", json={"choice": "left"}).text
    told += client.put("/ballots/anna/result").text + "".join(client.get(path).text for path in ("/", "/prefer.js"))
    assert "seed" not in told
    assert json.loads(client.put("/ballots/anna").text)["pairs"][0].keys() == {"title", "choice"}


def test_the_result_is_for_those_who_have_judged_all_and_closes_their_ballot(client: TestClient) -> None:
    assert client.put("/ballots/bo/result").status_code == 409
    for place in range(3):
        client.put(f"/ballots/anna/{place}", json={"choice": "tie"})
    told = client.put("/ballots/anna/result").json()
    assert (told["all"]["voters"], told["all"]["share"]) == (1, 0.5)  # bo has not voted
    answer = client.put("/ballots/anna/0", json={"choice": "left"})
    assert (answer.status_code, answer.json()["code"]) == (409, "closed")
    assert client.put("/ballots/anna").json()["closed"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/ballots/anna/9", {"choice": "left"}, 404),
        ("/ballots/anna/0", {"choice": "a"}, 422),
        ("/ballots/a%20b", None, 400),
    ],
)
def test_what_cannot_be_is_said(client: TestClient, path: str, body: object, status: int) -> None:
    answer = client.put(path, json=body)
    assert answer.status_code == status
    assert answer.json()["message"]


def test_only_this_machine_is_served(poll: Poll) -> None:
    with TestClient(create_app(poll), base_url="http://rebound.example") as client:
        assert client.put("/ballots/anna").status_code == 421
    assert not list(poll.folder.iterdir())
