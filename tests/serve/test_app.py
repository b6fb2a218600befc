"""Sessions, models, presets, recordings and health over HTTP."""

from __future__ import annotations

import base64
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from fakes import FakeModel
from http_fakes import OFFER, SDP_HEADERS, FakePeers, Running, running, settings_for, wait_loaded
from patience import PATIENCE_S
from vivace.serve.app import create_app
from vivace.serve.auth import make_secret, make_token
from vivace.serve.http.guard import HEADERS
from vivace.serve.served_model import OPENING_STEPS
from vivace.serve.session_manager import SessionManager
from vivace.serve.thumbnails import FRAMES, render

NAME = "20260101-120000-0123456789abcdef.mp4"


def error(answer: object) -> tuple[int, str]:
    """Return status and code of an error, which must have the common form."""
    body = answer.json()  # type: ignore[attr-defined]
    assert set(body) <= {"code", "message", "retry_after_s"}, body
    assert body["message"], body
    return answer.status_code, body["code"]  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def server() -> Running:
    with running() as made:
        yield made


# Sessions


def test_a_session_is_opened_seen_and_ended(server: Running) -> None:
    session = server.open(controls={"prompt": "red"})
    assert session["state"] == "live"
    assert session["model"] == "fake"
    path = f"/v1/sessions/{session['id']}"
    seen = server.client.get(path).json()
    assert seen["state"] == "live"
    assert "secret" not in seen
    ended = server.client.delete(path, headers={"x-session-secret": session["secret"]})
    assert ended.status_code == 204
    assert error(server.client.get(path)) == (410, "session_ended")
    assert error(server.client.get("/v1/sessions/neverwas")) == (404, "no_session")


def test_a_prompt_the_model_does_not_know_is_left_out_and_said(server: Running) -> None:
    answer = server.client.post("/v1/sessions", json={"controls": {"prompt": "gibberish", "strength": 0.5}})
    assert answer.status_code == 201
    session = answer.json()
    assert session["notices"] == [
        {
            "type": "notice",
            "code": "unknown_prompt",
            "message": "no idea; near is blue. The session begins without it.",
            "control": "prompt",
            "matches": [["blue", 0.4], ["green", 0.1]],
            "understood": [],
        }
    ]
    assert "notices" not in server.client.get(f"/v1/sessions/{session['id']}").json(), "they repeat the owner's words"
    again = server.open(resume={"id": session["id"], "secret": session["secret"]})
    assert again["notices"] == session["notices"]
    server.manager.end(session["id"], "admin", "")
    known = server.open(controls={"prompt": "red"})
    assert known["notices"] == []
    server.manager.end(known["id"], "admin", "")


def test_steering_needs_the_secret(server: Running) -> None:
    session = server.open()
    path = f"/v1/sessions/{session['id']}"
    for headers in ({}, {"x-session-secret": "guess"}, {"x-session-secret": "é".encode()}):
        if headers:  # without one, the operator at this machine asks
            assert error(server.client.delete(path, headers=headers)) == (403, "secret")
        assert error(server.client.post(path + "/offer", json={"sdp": OFFER}, headers=headers)) == (403, "secret")
        assert error(server.client.post(path + "/whip", content=OFFER, headers=headers | SDP_HEADERS))[0] == 403
    server.manager.end(session["id"], "admin", "")


def test_operators_see_how_sessions_do_and_end_them(server: Running) -> None:
    session = server.open()
    (seen,) = server.client.get("/v1/sessions").json()["sessions"]
    assert (seen["id"], seen["client"], seen["state"]) == (session["id"], "address:testclient", "live")
    assert seen["stats"]["fps_out"] is None
    assert "secret" not in seen
    assert server.client.get("/admin").status_code == 200
    assert server.client.delete(f"/v1/sessions/{session['id']}").status_code == 204
    assert server.client.get(f"/v1/sessions/{session['id']}").status_code == 410
    ended = server.manager.how_ended(session["id"])
    assert ended is not None
    assert ended.reason == "admin"


def test_a_lost_client_gets_its_session_back(server: Running) -> None:
    first = server.open()
    again = server.open(resume={"id": first["id"], "secret": first["secret"]})
    assert again["id"] == first["id"]
    server.manager.end(first["id"], "admin", "")
    renewed = server.open(resume={"id": first["id"], "secret": first["secret"]})
    assert renewed["id"] != first["id"]
    server.manager.end(renewed["id"], "admin", "")


def test_who_finds_no_slot_waits_and_then_is_sent_away() -> None:
    with running(settings_for(slots=1, queue_length=1)) as server:
        assert server.open()["state"] == "live"
        waiting = server.open()
        assert (waiting["state"], waiting["position"]) == ("waiting", 1)
        assert waiting["retry_after_s"] is None
        full = server.client.post("/v1/sessions", json={})
        assert error(full) == (503, "queue_full")
        assert int(full.headers["retry-after"]) >= 1
        assert full.json()["retry_after_s"] > 0


def test_one_client_has_a_limit_of_sessions() -> None:
    with running(settings_for(max_sessions_per_client=1)) as server:
        server.open()
        assert error(server.client.post("/v1/sessions", json={}))[1] == "too_many_sessions"
        quota = server.client.get("/v1/quota").json()
        assert (quota["sessions"], quota["max_sessions"]) == (1, 1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "nope"}, 404, "unknown_model"),
        ({"controls": {"prompt": "gibberish", "denoising_steps": 3}}, 422, "control"),
        ({"controls": {"options": {"nope": 1}}}, 422, "control"),
        ({"controls": {"strength": 3}}, 422, "invalid"),
        ({"controls": {"prompt": "x" * 2_001}}, 422, "invalid"),
        ({"controls": {"strenght": 1}}, 422, "invalid"),
        ({"anything": 1}, 422, "invalid"),
    ],
)
def test_what_cannot_be_is_refused_with_its_cause(server: Running, body: dict, status: int, code: str) -> None:
    answer = server.client.post("/v1/sessions", json=body)
    assert error(answer) == (status, code)
    assert len(answer.json()["message"]) < 300
    assert not server.manager.sessions()


def test_a_body_that_is_no_json_is_refused(server: Running) -> None:
    answer = server.client.post("/v1/sessions", content=b"\x00{", headers={"content-type": "application/json"})
    assert error(answer) == (422, "invalid")
    assert answer.json()["message"].startswith("not JSON (")


def test_an_offer_is_answered(server: Running) -> None:
    session = server.open()
    secret = {"x-session-secret": session["secret"]}
    answer = server.client.post(session["offer_url"], json={"sdp": OFFER, "type": "offer"}, headers=secret)
    assert answer.json() == {"sdp": "v=0\r\ns=answer to both\r\n", "type": "answer"}
    bad = server.client.post(session["offer_url"], json={"sdp": "garbage", "type": "offer"}, headers=secret)
    assert error(bad) == (400, "usage")
    assert server.peers.made[-1].closed
    assert not server.peers.made[-2].closed
    again = server.client.post(session["offer_url"], json={"sdp": OFFER, "type": "offer"}, headers=secret)
    assert again.status_code == 200
    assert server.peers.made[-3].closed, "one picture goes in: the newer connection brings it"
    server.manager.end(session["id"], "admin", "")


def test_the_list_of_sessions_shows_no_secrets(server: Running) -> None:
    session = server.open()
    listed = server.client.get("/v1/sessions")
    assert session["id"] in listed.text
    assert session["secret"] not in listed.text
    server.manager.end(session["id"], "admin", "")


# Choices


def test_models_come_with_a_schema_of_their_options(server: Running) -> None:
    (model,) = server.client.get("/v1/models").json()["models"]
    assert (model["name"], model["loaded"], model["styles"]) == ("fake", True, ["red", "green", "blue"])
    options = model["options"]["properties"]
    assert options["strength"]["minimum"] == 0
    assert options["strength"]["maximum"] == 1
    assert options["denoising_steps"]["enum"] == [1, 2, 4]
    assert options["size"]["multiple"] == 8


def test_presets_have_prompts_and_thumbnails(server: Running) -> None:
    presets = server.client.get("/v1/presets").json()["presets"]
    assert len(presets) >= 8
    assert all(set(preset) == {"key", "title", "prompt", "thumbnail"} for preset in presets)


def test_a_thumbnail_is_painted_by_the_model_once(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivace.serve.http.catalog.PRESETS", (("scarlet", "scarlet", "red"),))
    answer = server.client.get("/v1/presets/scarlet.jpg")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "max-age" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).width >= 256
    resets = len(server.manager.models.served().model.opened)
    assert server.client.get("/v1/presets/scarlet.jpg").content == answer.content
    assert len(server.manager.models.served().model.opened) == resets
    assert error(server.client.get("/v1/presets/nope.jpg")) == (404, "no_preset")


def test_a_session_has_its_own_picture_painted_small(server: Running) -> None:
    opened = server.client.post("/v1/sessions", json={}).json()
    file = io.BytesIO()
    Image.new("RGB", (300, 400), (200, 200, 200)).save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    own = {"X-Session-Secret": opened["secret"]}
    where = f"/v1/sessions/{opened['id']}/thumbnail"
    answer = server.client.post(where, json={"prompt": "red", "picture": url}, headers=own)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "no-store"
    painted = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert painted.shape == (144, 256, 3)
    expected = render(server.manager.models.served().model, "red", [np.full((144, 256, 3), 200, np.uint8)] * FRAMES)
    np.testing.assert_allclose(painted.astype(int), expected, atol=12)  # a JPEG of one colour
    assert error(server.client.post(where, json={"prompt": "red", "picture": url})) == (403, "secret")
    refused = server.client.post(where, json={"prompt": "lego", "picture": url}, headers=own)
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_prompt")
    damaged = server.client.post(where, json={"prompt": "red", "picture": url[:60]}, headers=own)
    assert damaged.status_code == 422
    server.client.delete(f"/v1/sessions/{opened['id']}", headers=own)


def test_the_page_learns_what_it_needs(server: Running) -> None:
    config = server.client.get("/v1/config").json()
    assert config["token_needed"] is False
    assert config["recording"] is False
    assert config["limits"]["max_prompt_chars"] == 2_000


# Recordings


def test_recordings_are_listed_fetched_in_parts_and_deleted(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(bytes(range(256)))
    (tmp_path / "notes.txt").write_text("not a recording")
    with running(settings_for(tmp_path)) as server:
        (listed,) = server.client.get("/v1/recordings").json()["recordings"]
        assert (listed["name"], listed["bytes"]) == (NAME, 256)
        whole = server.client.get(listed["url"])
        assert whole.content == bytes(range(256))
        assert NAME in whole.headers["content-disposition"]
        part = server.client.get(listed["url"], headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
        assert server.client.delete(listed["url"]).status_code == 204
        assert not (tmp_path / NAME).exists()
        assert error(server.client.get(listed["url"])) == (404, "no_recording")


def test_a_recording_is_its_makers_and_the_operators(tmp_path: Path) -> None:
    secret = make_secret()
    now_s = __import__("time").time()
    maker, other, admin, viewer = (
        {"authorization": "Bearer " + make_token(secret, frozenset([scope]), expires_s=60, now_s=now_s)}
        for scope in ("publish", "publish", "admin", "view")
    )
    (tmp_path / NAME).write_bytes(b"of a server before this one")
    with running(settings_for(tmp_path, token_secret=secret)) as server:
        client = server.client
        session = client.post("/v1/sessions", json={}, headers=maker).json()
        live = server.manager.get(session["id"])
        name = live.recorder.start().name
        path = f"/v1/recordings/{name}"
        while live.recorder.current is None or not live.recorder.current.frames:
            live.push(np.zeros((16, 32, 3), np.uint8))
        (mine,) = client.get("/v1/recordings", headers=maker).json()["recordings"]
        assert (mine["name"], mine["title"], mine["writing"]) == (name, "", True)
        assert abs(mine["began_s"] - now_s) < 60
        assert error(client.delete(path, headers=maker)) == (409, "recording")
        live.end("absent", "the page crashed")
        while client.get("/v1/recordings", headers=maker).json()["recordings"][0]["writing"]:
            pass

        assert client.patch(path, json={"title": " The rehearsal "}, headers=maker).status_code == 204
        assert client.get("/v1/recordings", headers=maker).json()["recordings"][0]["title"] == "The rehearsal"
        assert client.get("/v1/recordings", headers=other).json()["recordings"] == []
        assert {each["name"] for each in client.get("/v1/recordings", headers=admin).json()["recordings"]} == {
            name,
            NAME,
        }
        assert error(client.get("/v1/recordings", headers=viewer)) == (403, "scope")
        assert client.get(path, headers=viewer).status_code == 200, "it was told the name"
        for refused in (client.patch(path, json={"title": "x"}, headers=other), client.delete(path, headers=other)):
            assert error(refused) == (403, "owner")
        assert client.patch(path, json={"title": "x" * 201}, headers=maker).status_code == 422
        assert client.delete(path, headers=maker).status_code == 204
        assert [file.name for file in tmp_path.iterdir()] == [NAME], "nothing of it is left"


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "..%2Fsecret.mp4", "%2e%2e%2fsecret.mp4", "....//secret.mp4", "%00.mp4", NAME + "%0a", "a" * 3000],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (folder / "notes.txt").write_text("secret")
    (folder / NAME.replace("0123", "9999")).symlink_to(tmp_path / "secret.mp4")
    with running(settings_for(folder)) as server:
        for path in (name, NAME.replace("0123", "9999")):
            for method in ("GET", "DELETE"):
                answer = server.client.request(method, f"/v1/recordings/{path}")
                assert answer.status_code in (404, 405), answer.text
                assert b"secret" not in answer.content.replace(b"secret.mp4", b"")
        assert not server.client.get("/v1/recordings").json()["recordings"]


# For operators


def test_health_and_readiness_follow_the_session_manager() -> None:
    with running() as server:
        assert server.client.get("/healthz").json()["status"] == "ok"
        assert server.client.get("/readyz").status_code == 200
        server.manager.draining = True
        assert error(server.client.get("/readyz")) == (503, "not_ready")
        assert server.client.get("/healthz").status_code == 200
        assert error(server.client.post("/v1/sessions", json={})) == (503, "draining")


def test_the_api_describes_itself(server: Running) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    for path in ("/v1/sessions", "/whip", "/v1/sessions/{session_id}/whep", "/v1/models", "/v1/quota", "/metrics"):
        assert path in paths
    refused = paths["/v1/sessions"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert refused["$ref"].endswith("/ErrorBody")
    page = server.client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text.replace("http://www.w3.org/", ""), "nothing of its page comes from elsewhere"


def test_every_error_has_one_shape(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert error(server.client.get("/v1/nothing")) == (404, "not_found")
    assert error(server.client.put("/v1/models")) == (405, "method")
    monkeypatch.setattr(server.manager, "quota", lambda _: 1 / 0)
    assert error(server.client.get("/v1/quota")) == (500, "internal")


def test_every_answer_protects_the_page(server: Running) -> None:
    for path in ("/healthz", "/v1/nothing", "/v1/models"):
        headers = server.client.get(path).headers
        for name, value in HEADERS.items():
            assert headers[name] == value
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert "access-control-allow-origin" not in server.client.get("/v1/models").headers


# Tokens


def test_with_a_secret_everything_but_health_and_the_page_needs_a_token(tmp_path: Path) -> None:
    secret = make_secret()
    tokens = {
        scope: make_token(secret, frozenset([scope]), expires_s=60, now_s=__import__("time").time())
        for scope in ("publish", "view", "admin")
    }

    with running(settings_for(tmp_path, token_secret=secret), base_url="https://studio.example") as server:
        client = server.client

        def status(method: str, path: str, scope: str | None = None, **what: object) -> int:
            headers = {} if scope is None else {"authorization": f"Bearer {tokens[scope]}"}
            return client.request(method, path, headers=headers, **what).status_code

        assert client.get("/healthz").status_code == 200
        assert client.get("/v1/config").json()["token_needed"] is True
        missing = client.post("/v1/sessions", json={})
        assert error(missing) == (401, "no_token")
        wrong = client.get("/v1/models", headers={"authorization": "Bearer v1.a.b"})
        assert error(wrong) == (401, "bad_token")
        for refused in (missing, wrong, client.get("/metrics"), client.post("/whip"), client.get("/v1/sessions/x")):
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert status("POST", "/v1/sessions", "view", json={}) == 403
        assert status("POST", "/v1/sessions", "publish", json={}) == 201
        (session,) = server.manager.sessions()
        path = f"/v1/sessions/{session.id}"
        assert status("GET", path, "view") == 200
        assert status("GET", path) == 401
        assert client.get(path + "?token=" + tokens["view"]).status_code == 200
        for operators in ("/metrics", "/v1/sessions"):
            assert status("GET", operators, "publish") == 403
            assert status("GET", operators, "admin") == 200
        assert status("DELETE", path, "publish") == 403, "somebody else's session"
        assert status("DELETE", path, "admin") == 204


def test_a_token_for_one_session_shows_no_other() -> None:
    secret = make_secret()
    now_s = __import__("time").time()
    with running(settings_for(token_secret=secret)) as server:
        first, second = (server.manager.open_session(client=name) for name in "ab")
        token = make_token(secret, frozenset(["view"]), expires_s=60, now_s=now_s, session=first.id)
        headers = {"authorization": f"Bearer {token}"} | SDP_HEADERS
        assert server.client.post(f"/v1/sessions/{first.id}/whep", content=OFFER, headers=headers).status_code == 201
        refused = server.client.post(f"/v1/sessions/{second.id}/whep", content=OFFER, headers=headers)
        assert error(refused) == (403, "session")


# Addresses and origins


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.7:8787", ""])
def test_without_tokens_only_requests_to_this_machine_by_name_are_served(server: Running, host: str) -> None:
    assert error(server.client.get("/v1/models", headers={"host": host})) == (421, "host")


@pytest.mark.parametrize("host", ["localhost:8787", "127.0.0.1:8787", "[::1]:8787", "localhost"])
def test_loopback_has_several_names(server: Running, host: str) -> None:
    assert server.client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:9999", "http://[", "http://localhost.evil"]
)
def test_pages_of_other_origins_are_refused(server: Running, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answer = server.client.request(method, "/v1/sessions", headers={"origin": origin})
        assert error(answer) == (403, "origin")
        assert "access-control-allow-origin" not in answer.headers


def test_our_own_page_is_welcome(server: Running) -> None:
    assert server.client.get("/v1/models", headers={"origin": "http://localhost"}).status_code == 200


def test_an_origin_on_the_list_may_read_and_no_other() -> None:
    with running(settings_for(allowed_origins=["https://stage.example"])) as server:
        headers = {"origin": "https://stage.example", "access-control-request-method": "POST"}
        asked = server.client.options("/v1/sessions", headers=headers)
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "https://stage.example"
        assert "Origin" in asked.headers["vary"]
        answer = server.client.get("/v1/models", headers={"origin": "https://stage.example"})
        assert answer.headers["access-control-allow-origin"] == "https://stage.example"
        assert error(server.client.get("/v1/models", headers={"origin": "https://other.example"}))[1] == "origin"


def test_bodies_have_a_limit_however_they_come() -> None:
    with running(settings_for(max_body_bytes=1_000)) as server:
        long = json.dumps({"controls": {"prompt": "x" * 1_000}}).encode()
        kind = {"content-type": "application/json"}
        assert error(server.client.post("/v1/sessions", content=long, headers=kind)) == (413, "too_large")

        def in_parts() -> object:
            yield from (long[:600], long[600:])

        assert error(server.client.post("/v1/sessions", content=in_parts(), headers=kind)) == (413, "too_large")
        assert error(server.client.get("/v1/models", headers={"content-length": "-5"})) == (413, "too_large")


def test_a_server_answers_while_its_model_is_loaded() -> None:
    may_load = threading.Event()

    def load(_name: str) -> FakeModel:
        assert may_load.wait(PATIENCE_S)
        return FakeModel(record=False)

    settings = settings_for()
    manager = SessionManager(settings, load_model=load)
    app = create_app(settings, manager, peer_factory=FakePeers())
    try:
        with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
            assert client.get("/").status_code == 200
            assert client.get("/healthz").status_code == 200
            assert client.get("/v1/config").json()["loading"] == {"model": "fake", "done": 0, "steps": OPENING_STEPS}
            offer = {"content": OFFER, "headers": SDP_HEADERS}
            for method, path, what in (
                ("GET", "/readyz", {}),
                ("POST", "/v1/sessions", {"json": {}}),
                ("POST", "/whip", offer),
                ("GET", "/v1/presets/ink.jpg", {}),
            ):
                refused = client.request(method, path, **what)
                assert error(refused) == (503, "loading"), path
                assert "fake is being loaded, 0 of" in refused.json()["message"]
                assert int(refused.headers["retry-after"]) >= 1
            may_load.set()
            wait_loaded(manager)
            assert client.get("/v1/config").json()["loading"] is None
            assert client.get("/readyz").status_code == 200
            assert client.post("/v1/sessions", json={}).status_code == 201
    finally:
        may_load.set()
