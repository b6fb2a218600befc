"""WHIP and WHEP, according to their RFCs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from http_fakes import OFFER, SDP_HEADERS, FakePeers, Running, running, settings_for
from patience import PATIENCE_S
from serve_rig import in_loop
from vivace.errors import UsageError
from vivace.serve.auth import make_secret, make_token
from vivace.serve.http import state
from vivace.serve.http.errors import ApiError
from vivace.serve.settings import IceServer


@pytest.fixture
def server() -> Iterator[Running]:
    with running(settings_for(slots=2, queue_length=1)) as made:
        yield made


def test_publishing_to_the_server_makes_a_session_that_ends_with_it(server: Running) -> None:
    answer = server.client.post("/whip?prompt=red&strength=0.5", content=OFFER, headers=SDP_HEADERS)
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/sdp"
    assert answer.text.startswith("v=0")
    assert answer.headers["etag"].startswith('"')
    (session,) = server.manager.sessions()
    assert answer.headers["location"].startswith(f"/v1/sessions/{session.id}/whip/")
    assert server.client.delete(answer.headers["location"]).status_code == 200
    assert server.peers.made[-1].closed
    assert not server.manager.sessions()
    assert server.client.delete(answer.headers["location"]).status_code == 404


def test_a_prompt_the_model_does_not_know_stops_no_publisher_and_is_said_in_a_header(server: Running) -> None:
    answer = server.client.post("/whip?prompt=gibberish+%C3%A9&strength=0.5", content=OFFER, headers=SDP_HEADERS)
    assert answer.status_code == 201
    (session,) = server.manager.sessions()
    controls = session._board.controls
    assert (controls.prompt, controls.strength) == (None, 0.5)
    said = json.loads(answer.headers["vivace-notices"])
    assert said == [json.loads(notice.model_dump_json()) for notice in session.notices]
    assert (said[0]["code"], said[0]["matches"][0][0]) == ("unknown_prompt", "blue")

    watched = server.client.post(f"/v1/sessions/{session.id}/whep", content=OFFER, headers=SDP_HEADERS)
    assert watched.status_code == 201
    assert "vivace-notices" not in watched.headers, "a viewer gets the source, not the publisher's words"
    url = f"/v1/sessions/{session.id}/whip?secret={session.secret}"
    assert "vivace-notices" in server.client.post(url, content=OFFER, headers=SDP_HEADERS).headers

    known = server.client.post("/whip?prompt=red", content=OFFER, headers=SDP_HEADERS)
    assert "vivace-notices" not in known.headers
    assert server.client.post("/whip?prompt=red&strength=7", content=OFFER, headers=SDP_HEADERS).status_code == 422


def test_publishing_to_a_session_replaces_who_published_before(server: Running) -> None:
    session = server.open()
    url = session["whip_url"] + "?secret=" + session["secret"]
    first = server.client.post(url, content=OFFER, headers=SDP_HEADERS)
    second = server.client.post(url, content=OFFER, headers=SDP_HEADERS)
    assert (first.status_code, second.status_code) == (201, 201)
    assert [peer.closed for peer in server.peers.made] == [True, False]
    server.client.delete(second.headers["location"])
    assert server.manager.get(session["id"]).state == "live", "the session is its owner's, not the publisher's"


def test_any_number_of_viewers_up_to_a_limit_watch(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MAX_VIEWERS", 3)
    session = server.open()
    answers = [server.client.post(session["whep_url"], content=OFFER, headers=SDP_HEADERS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 503]
    assert not any(peer.closed for peer in server.peers.made)
    assert server.client.delete(answers[0].headers["location"]).status_code == 200
    assert server.client.post(session["whep_url"], content=OFFER, headers=SDP_HEADERS).status_code == 201


def test_ending_a_session_ends_its_connections(server: Running) -> None:
    session = server.open()
    server.client.post(session["whep_url"], content=OFFER, headers=SDP_HEADERS)
    server.client.delete(f"/v1/sessions/{session['id']}", headers={"x-session-secret": session["secret"]})
    assert all(peer.closed for peer in server.peers.made)


@in_loop
async def test_a_connection_that_fails_to_close_keeps_no_other_open(caplog: pytest.LogCaptureFixture) -> None:
    peers = state.Peers(made := FakePeers())
    session: Any = SimpleNamespace(id="s")
    for _ in range(3):
        await peers.answer(session, "play", OFFER)

    async def fail() -> None:
        raise ConnectionError("its socket is gone")

    made.made[0].close = fail  # type: ignore[method-assign]
    await peers.close_ended(set())
    assert [peer.closed for peer in made.made] == [False, True, True]
    assert "its socket is gone" in caplog.text
    await peers.close_all()
    assert caplog.text.count("failed to close") == 1, "it was given up"


@in_loop
async def test_why_there_is_no_connection_is_told_even_where_closing_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peers = state.Peers(made := FakePeers())

    async def fail() -> None:
        raise ConnectionError("its socket is gone")

    def failing(session: Any, role: Any, *, half: bool) -> Any:
        peer = made(session, role)
        peer.close = fail  # type: ignore[method-assign]
        return peer

    peers.factory = failing
    session: Any = SimpleNamespace(id="s")
    with pytest.raises(UsageError, match="the offer is none"):
        await peers.answer(session, "play", "hello")
    assert "its socket is gone" in caplog.text
    assert peers.watching() == 0


@in_loop
async def test_connections_of_a_link_that_is_withdrawn_are_closed_together() -> None:
    peers = state.Peers(made := FakePeers())
    session: Any = SimpleNamespace(id="s")
    withdrawn, all_closing = asyncio.Event(), asyncio.Barrier(4)  # each waits for the others: one by one would hang
    for _ in range(3):
        await peers.answer(session, "play", OFFER, withdrawn)
        made.made[-1].close = all_closing.wait  # type: ignore[assignment]
    await peers.answer(session, "play", OFFER)
    withdrawn.set()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(peers.close_withdrawn(), all_closing.wait())
    assert peers.watching() == 1


def test_a_viewer_may_ask_for_half_the_size(server: Running) -> None:
    session = server.open()
    for query, half in (("", False), ("?size=half", True), ("?size=full", False)):
        answer = server.client.post(session["whep_url"] + query, content=OFFER, headers=SDP_HEADERS)
        assert answer.status_code == 201
        assert server.peers.made[-1].half is half
    assert server.client.post(session["whep_url"] + "?size=tiny", content=OFFER, headers=SDP_HEADERS).status_code == 422


@in_loop
async def test_a_connection_that_is_being_made_counts_and_is_closed_like_any_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a link withdrawn at that moment would stay in force, and simultaneous requests would pass a limit."""
    monkeypatch.setattr(state, "MAX_VIEWERS", 1)
    peers = state.Peers(made := FakePeers())
    session: Any = SimpleNamespace(id="s")
    go_on = asyncio.Event()

    async def answer_slowly(offer: str) -> str:
        await go_on.wait()
        if made.made[0].closed:
            raise UsageError("this connection was closed before it was made")
        return offer

    def slow(session: Any, role: Any, *, half: bool) -> Any:
        peer = made(session, role)
        if peer is made.made[0]:
            peer.answer = answer_slowly  # type: ignore[method-assign]
        return peer

    peers.factory = slow
    withdrawn = asyncio.Event()
    coming = asyncio.create_task(peers.answer(session, "play", OFFER, withdrawn))
    await asyncio.sleep(0)
    assert peers.watching("s") == 1
    with pytest.raises(ApiError, match="this session has 1 viewers"):
        await peers.answer(session, "play", OFFER)
    withdrawn.set()
    await peers.close_withdrawn()
    assert made.made[0].closed
    go_on.set()
    with pytest.raises(UsageError, match="closed before"):
        await coming
    assert peers.watching() == 0


@in_loop
async def test_who_is_stopped_while_it_closes_connections_leaves_them_to_be_closed() -> None:
    """A server that ends stops supervising connections, and then closes all."""
    peers = state.Peers(made := FakePeers())
    session: Any = SimpleNamespace(id="s")
    for _ in range(2):
        await peers.answer(session, "play", OFFER)
    slow, close = asyncio.Event(), made.made[0].close

    async def close_slowly() -> None:
        await slow.wait()
        await close()

    made.made[0].close = close_slowly  # type: ignore[method-assign]
    sweeping = asyncio.create_task(peers.close_ended(set()))
    await asyncio.sleep(0)
    sweeping.cancel()
    await asyncio.wait([sweeping])
    slow.set()
    await peers.close_all()
    assert [peer.closed for peer in made.made] == [True, True]


def test_ice_servers_come_as_links_with_their_credentials() -> None:
    ice = [IceServer(urls=["stun:a", "turn:b?transport=udp"], username='u"x', credential="p")]  # type: ignore[arg-type]
    with running(settings_for(ice_servers=ice)) as server:
        link = server.client.post("/whip", content=OFFER, headers=SDP_HEADERS).headers["link"]
        assert '<stun:a>; rel="ice-server"' in link
        assert '<turn:b?transport=udp>; rel="ice-server"; username="u\\"x"; credential="p"' in link
        assert server.open()["ice_servers"] == [
            {"urls": ["stun:a", "turn:b?transport=udp"], "username": 'u"x', "credential": "p"}
        ]


def test_options_say_what_may_be_posted(server: Running) -> None:
    asked = server.client.options("/whip")
    assert asked.status_code == 204
    assert asked.headers["accept-post"] == "application/sdp"


def test_no_trickle_is_405_where_the_connection_is_and_404_where_none_is(server: Running) -> None:
    location = server.client.post("/whip", content=OFFER, headers=SDP_HEADERS).headers["location"]
    fragment = {"content-type": "application/trickle-ice-sdpfrag"}
    refused = server.client.patch(location, content="a=candidate:1", headers=fragment)
    assert refused.status_code == 405
    assert "DELETE" in refused.headers["allow"]
    assert server.client.patch(location + "x", content="", headers=fragment).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (OFFER, "application/json", 415),
        (OFFER, "", 415),
        ("", "application/sdp", 400),
        ("garbage", "application/sdp", 400),
        (b"\xff\xfe", "application/sdp", 400),
        ("v=0" + "x" * 70_000, "application/sdp", 413),
    ],
)
def test_an_offer_that_is_none_leaves_nothing_behind(
    server: Running, content: str | bytes, kind: str, status: int
) -> None:
    answer = server.client.post("/whip", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["message"]
    assert not server.manager.sessions()
    assert all(peer.closed for peer in server.peers.made)


def test_a_full_server_answers_503_because_whip_cannot_wait(server: Running) -> None:
    for _ in range(2):
        server.open()
    refused = server.client.post("/whip", content=OFFER, headers=SDP_HEADERS)
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert len(server.manager.sessions()) == 2


def test_connections_cannot_be_ended_through_another_session(server: Running) -> None:
    first, second = server.open(), server.open()
    location = server.client.post(first["whep_url"], content=OFFER, headers=SDP_HEADERS).headers["location"]
    name = location.rpartition("/")[2]
    assert server.client.delete(f"/v1/sessions/{second['id']}/whep/{name}").status_code == 404
    assert server.client.delete(f"/v1/sessions/{first['id']}/whip/{name}").status_code == 404
    assert not server.peers.made[-1].closed


def test_who_published_with_a_token_in_the_address_ends_without_one() -> None:
    """Programs that can set no header take the `Location` as it is."""
    secret = make_secret()
    token = make_token(secret, frozenset(["publish"]), expires_s=60, now_s=time.time())
    with running(settings_for(token_secret=secret)) as server:
        assert server.client.post("/whip", content=OFFER, headers=SDP_HEADERS).status_code == 401
        made = server.client.post(f"/whip?token={token}", content=OFFER, headers=SDP_HEADERS)
        assert made.status_code == 201
        assert token not in made.headers["location"]
        assert server.client.delete(made.headers["location"]).status_code == 200
        assert not server.manager.sessions()
