"""Links to watch and to steer a session: their rights, their limits, and that each can be withdrawn."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.websockets import WebSocketDisconnect

from http_fakes import OFFER, SDP_HEADERS, Running, running, settings_for
from vivace.serve.auth import make_secret, make_token
from vivace.serve.links import session_of
from vivace.show.script import read_script

SECRET = make_secret()


@pytest.fixture(params=["tokens", "this machine alone"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Return a server, with and without required tokens; its client has one."""
    asks = request.param == "tokens"
    settings = settings_for(slots=2, token_secret=SECRET if asks else None)
    with running(settings, base_url="https://studio.example" if asks else "http://localhost") as made:
        if asks:
            token = make_token(SECRET, frozenset(["publish"]), expires_s=600, now_s=time.time())
            made.client.headers["authorization"] = f"Bearer {token}"
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def owner(session: dict[str, Any]) -> dict[str, str]:
    return {"x-session-secret": session["secret"]}


def link_of(server: Running, session: dict[str, Any], kind: str) -> dict[str, Any]:
    answer = server.client.put(f"/v1/sessions/{session['id']}/links/{kind}", headers=owner(session))
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def guest(server: Running, session: dict[str, Any], token: str) -> Any:
    host = "wss://studio.example" if "authorization" in server.client.headers else "ws://localhost"
    return server.client.websocket_connect(f"{host}{session['control_url']}?token={token}", headers=bearer(token))


def hear(socket: Any, kind: str) -> dict[str, Any]:
    """Return the next message of a type."""
    while True:
        message: dict[str, Any] = socket.receive_json()
        if message["type"] == kind:
            return message


def test_a_link_is_made_once_and_says_which_pages_it_opens(server: Running) -> None:
    session = server.open()
    watch, steer = (link_of(server, session, kind) for kind in ("watch", "steer"))
    assert watch == link_of(server, session, "watch")
    assert session_of(watch["token"]) == session["id"]
    assert watch["token"] != steer["token"]
    place = f"{session['id']}#token="
    assert watch["pages"] == {page: f"/{page}/{place}{watch['token']}" for page in ("watch", "clean")}
    assert steer["pages"] == {"steer": f"/steer/{place}{steer['token']}"}
    assert code(server.client.put(f"/v1/sessions/{session['id']}/links/watch")) == (403, "secret")
    assert code(server.client.put("/v1/sessions/x/links/watch", headers=owner(session))) == (404, "no_session")
    assert server.client.put(f"/v1/sessions/{session['id']}/links/own", headers=owner(session)).status_code == 422


def test_who_has_the_link_to_watch_watches_and_does_nothing_else(server: Running) -> None:
    session, other = server.open(), server.open()
    token = link_of(server, session, "watch")["token"]
    path = f"/v1/sessions/{session['id']}"
    seen = server.client.get(path, headers=bearer(token)).json()
    assert (seen["state"], seen["viewers"], seen["painted"]) == ("live", 0, False)
    assert "secret" not in seen
    watched = server.client.post(f"{path}/whep", content=OFFER, headers=bearer(token) | SDP_HEADERS)
    assert watched.status_code == 201
    assert server.client.get(path, headers=bearer(token)).json()["viewers"] == 1
    refused = [
        server.client.post("/v1/sessions", json={}, headers=bearer(token)),
        server.client.post("/whip", content=OFFER, headers=bearer(token) | SDP_HEADERS),
        server.client.delete(path, headers=bearer(token)),
        server.client.post(f"{path}/offer", json={"sdp": OFFER}, headers=bearer(token)),
        server.client.put(f"{path}/links/steer", headers=bearer(token)),
        server.client.post("/v1/qr", json={"text": "x"}, headers=bearer(token)),
        server.client.get("/metrics", headers=bearer(token)),
    ]
    assert [code(answer) for answer in refused] == [(403, "scope")] * len(refused)
    elsewhere = server.client.post(
        f"/v1/sessions/{other['id']}/whep", content=OFFER, headers=bearer(token) | SDP_HEADERS
    )
    assert code(elsewhere) == (403, "session")
    with guest(server, session, token) as socket:
        assert socket.receive_json()["code"] == "scope"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4403


def test_who_has_the_link_to_steer_steers_and_neither_ends_nor_records_nor_keeps_the_session(server: Running) -> None:
    session = server.open()
    live = server.manager.get(session["id"])
    token = link_of(server, session, "steer")["token"]
    assert server.client.get("/v1/models", headers=bearer(token)).status_code == 200
    with guest(server, session, token) as socket:
        assert hear(socket, "live")["session"] == session["id"]
        assert server.client.get(f"/v1/sessions/{session['id']}").json()["control_channels"] == 1
        assert not live.presence.connected, "only its owner keeps a session"
        socket.send_json({"type": "update", "id": "1", "controls": {"prompt": "red"}})
        assert hear(socket, "ack")["accepted"]
        for message in (
            {"type": "end"},
            {"type": "record", "id": "2", "on": True},
            {"type": "record", "on": False},
            {"type": "source", "size": [64, 64]},
        ):
            socket.send_json(message)
            assert hear(socket, "error")["code"] == "guest"
        assert live.recorder.current is None
        assert live.size is None
    assert live.state == "live"
    for headers in (bearer(token), bearer(token) | {"x-session-secret": "guess"}):
        assert code(server.client.delete(f"/v1/sessions/{session['id']}", headers=headers)) == (403, "scope")
    assert server.client.get(f"/v1/sessions/{session['id']}").json()["control_channels"] == 0


def test_a_link_that_is_withdrawn_opens_nothing_and_lets_go_of_who_came_by_it(server: Running) -> None:
    session = server.open()
    path = f"/v1/sessions/{session['id']}"
    watch, steer = (link_of(server, session, kind)["token"] for kind in ("watch", "steer"))
    server.client.post(f"{path}/whep", content=OFFER, headers=bearer(watch) | SDP_HEADERS)
    with guest(server, session, steer) as socket:
        hear(socket, "live")
        assert server.client.delete(f"{path}/links/steer", headers=owner(session)).status_code == 204
        assert hear(socket, "error")["code"] == "link_withdrawn"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4401
    with guest(server, session, steer) as socket:
        assert socket.receive_json()["code"] == "link_withdrawn"
    assert not server.peers.made[0].closed, "the other link is in force"
    assert server.client.get(path, headers=bearer(watch)).status_code == 200

    assert server.client.delete(f"{path}/links/watch", headers=owner(session)).status_code == 204
    assert server.peers.made[0].closed
    assert code(server.client.get(path, headers=bearer(watch))) == (401, "link_withdrawn")
    assert link_of(server, session, "watch")["token"] != watch
    assert server.manager.get(session["id"]).state == "live"


def test_a_link_that_is_withdrawn_while_an_offer_arrives_opens_nothing(server: Running) -> None:
    session = server.open()
    path = f"/v1/sessions/{session['id']}"
    watch = link_of(server, session, "watch")["token"]

    async def scene() -> httpx2.Response:
        transport = httpx2.ASGITransport(server.client.app)
        async with httpx2.AsyncClient(transport=transport, base_url=server.client.base_url) as client:

            async def body() -> AsyncIterator[bytes]:
                yield OFFER[:4].encode()
                keys = dict(server.client.headers) | owner(session)
                assert (await client.delete(f"{path}/links/watch", headers=keys)).status_code == 204
                yield OFFER[4:].encode()

            return await client.post(f"{path}/whep", content=body(), headers=bearer(watch) | SDP_HEADERS)

    assert server.client.portal is not None
    assert code(server.client.portal.call(scene)) == (401, "link_withdrawn")
    assert not server.peers.made


def test_a_link_of_a_session_that_ended_says_so_and_a_guessed_one_says_nothing(server: Running) -> None:
    session = server.open()
    token = link_of(server, session, "watch")["token"]
    server.manager.end(session["id"], "client", "You ended the session.")
    ended = server.client.get(f"/v1/sessions/{session['id']}", headers=bearer(token))
    assert code(ended) == (410, "session_ended")
    assert "You ended the session." in ended.json()["message"]
    guessed = server.client.get("/v1/sessions/abcdefghijkl", headers=bearer("abcdefghijkl.AAAAAAAAAAAAAAAAAAAAAA"))
    assert code(guessed) == (404, "no_session")
    for page in ("watch", "steer", "clean"):
        assert server.client.get(f"/{page}/abcdefghijkl").headers["content-type"].startswith("text/html")


def test_a_whip_publisher_is_told_its_sessions_secret_and_links(server: Running) -> None:
    answer = server.client.post("/whip?prompt=red", content=OFFER, headers=SDP_HEADERS)
    (session,) = server.manager.sessions()
    assert answer.headers["x-session-secret"] == session.secret
    named = dict(re.findall(r'<([^>]+)>; rel="urn:x-vivace:(\w+)"', answer.headers["link"]))
    assert {name: address for address, name in named.items()} == {
        "whep": f"/v1/sessions/{session.id}/whep",
        **{page: f"/{page}/{session.id}#token={session.links.make('watch').token}" for page in ("watch", "clean")},
        "steer": f"/steer/{session.id}#token={session.links.make('steer').token}",
    }
    again = server.client.post(
        f"/v1/sessions/{session.id}/whip?secret={session.secret}", content=OFFER, headers=SDP_HEADERS
    )
    assert "x-session-secret" not in again.headers, "who publishes there knows it"
    watched = server.client.post(f"/v1/sessions/{session.id}/whep", content=OFFER, headers=SDP_HEADERS)
    assert not {"x-session-secret", "link"} & set(watched.headers)


def test_a_page_stays_while_another_program_publishes_and_its_own_picture_waits(server: Running) -> None:
    session = server.open()
    headers = owner(session)
    server.client.post(session["offer_url"], json={"sdp": OFFER}, headers=headers)
    published = server.client.post(session["whip_url"], content=OFFER, headers=headers | SDP_HEADERS)
    page, program = server.peers.made
    assert (page.closed, page.held, program.held) == (False, True, False)
    server.client.post(session["offer_url"], json={"sdp": OFFER}, headers=headers)
    anew = server.peers.made[-1]
    assert (page.closed, program.closed, anew.held) == (True, False, True)
    server.client.delete(published.headers["location"])
    assert (anew.closed, anew.held) == (False, False)


def test_a_qr_code_is_drawn_of_a_text_in_the_body(server: Running) -> None:
    drawn = server.client.post("/v1/qr", json={"text": "https://studio.example/watch/x"})
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.startswith("<svg")
    assert drawn.text != server.client.post("/v1/qr", json={"text": "https://studio.example/watch/y"}).text
    for text in ("", "x" * 501):
        assert server.client.post("/v1/qr", json={"text": text}).status_code == 422


def test_what_a_link_opens_with_is_in_no_log(server: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "vivace"):
        session = server.open()
        tokens = [link_of(server, session, kind)["token"] for kind in ("watch", "steer")]
        for token in tokens:
            server.client.get(f"/v1/sessions/{session['id']}?token={token}")
            server.client.get(f"/v1/nothing/{token}")
            with guest(server, session, token) as socket:
                socket.receive_json()
        server.client.delete(f"/v1/sessions/{session['id']}", headers=owner(session))
    said = caplog.text + json.dumps([repr(link) for link in server.manager.sessions()])
    assert not [secret for secret in (*tokens, session["secret"]) if secret in said]
    assert server.client.get(f"/watch/{session['id']}").headers["referrer-policy"] == "no-referrer"


def test_what_was_steered_is_given_to_the_owner_as_a_script(server: Running, tmp_path: Path) -> None:
    session = server.client.post("/v1/sessions", json={"controls": {"prompt": "red", "strength": 0.5}}).json()
    address = f"/v1/sessions/{session['id']}/show"
    link = link_of(server, session, "steer")["token"]
    with guest(server, session, link) as socket:
        socket.send_text(json.dumps({"type": "update", "controls": {"seed": 4}}))
        assert hear(socket, "ack")["accepted"]
    assert server.client.get(address, headers=bearer(link)).status_code in (401, 403)
    answer = server.client.get(address, headers=owner(session))
    assert answer.headers["content-type"].startswith("application/toml")
    assert "show.toml" in answer.headers["content-disposition"]
    path = tmp_path / "show.toml"
    path.write_text(answer.text)
    [cue, *_] = read_script(path).cues
    assert (cue.at, dict(cue.values)) == (0.0, {"prompt": "red", "strength": 0.5})
