"""Refused requests are refused on every path, with the reason, and counted."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from http_fakes import OFFER, SDP_HEADERS, Running, running, settings_for
from serve.test_metrics import samples
from serve_rig import in_loop, opened, running_manager
from vivace import messages
from vivace.cli.moderation import ModerationFlags
from vivace.cli.serve import ServeFlags, serve_settings
from vivace.client.control import _refusal
from vivace.errors import PolicyError, UsageError
from vivace.settings import Settings
from vivace.trust.moderation import Moderation

BAD = "a naked man"


@pytest.fixture
def server() -> Iterator[Running]:
    with running(settings_for(slots=4, max_sessions_per_client=4), moderation=Moderation.of(None)) as made:
        yield made


def counted(server: Running) -> dict[str, float]:
    return {name[1]: value for name, value in samples(server).items() if name[0] == "vivace_requests_refused_total"}


def test_no_session_opens_with_what_is_not_painted(server: Running) -> None:
    answer = server.client.post("/v1/sessions", json={"controls": {"prompt": BAD}})
    assert answer.status_code == 422
    said = answer.json()
    assert (said["code"], said["reason"]) == ("policy", "sexual")
    assert said["message"].startswith("prompt asks for sexual content ('naked')")
    assert server.manager.sessions() == []
    assert counted(server) == {"minors": 0, "sexual": 1, "impersonation": 0}


def test_whip_says_so_too(server: Running) -> None:
    answer = server.client.post("/whip", params={"prompt": BAD}, content=OFFER, headers=SDP_HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (422, "policy")
    assert server.manager.sessions() == []


def test_an_update_is_refused_with_the_reason_and_the_picture_stays(server: Running) -> None:
    session = server.open(controls={"prompt": "red"})
    with server.control(session) as channel:
        channel.send_json({"type": "update", "id": "1", "controls": {"prompt": "as Taylor Swift", "seed": 4}})
        while (said := channel.receive_json())["type"] != "ack":
            pass
    assert (said["accepted"], said["code"], said["reason"], said["applied"]) == (False, "policy", "impersonation", [])
    controls = server.manager.get(session["id"])._board.controls
    assert controls.prompt is not None
    assert (controls.prompt.text, controls.seed) == ("red", 0)
    assert counted(server)["impersonation"] == 1


def test_a_thumbnail_of_it_is_not_painted_either(server: Running) -> None:
    session = server.open()
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG")
    picture = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    answer = server.client.post(
        f"/v1/sessions/{session['id']}/thumbnail",
        json={"prompt": BAD, "picture": picture},
        headers={"x-session-secret": session["secret"]},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "policy")


@in_loop
async def test_guests_and_data_channels_are_no_way_around(tmp_path: Path) -> None:
    """Both call the same function as the WebSocket; an accepted update of another control leaves the count as it is."""
    async with running_manager(moderation=Moderation.of(None)) as manager:
        session = await opened(manager)
        ack = await session.update(messages.Controls(prompt="make me a toddler"))
        assert (ack.accepted, ack.code, ack.reason) == (False, "policy", "minors")
        assert (await session.update(messages.Controls(strength=0.5))).accepted
        assert manager.snapshot().refused == {"minors": 1, "sexual": 0, "impersonation": 0}


def test_a_server_may_do_without_a_list() -> None:
    with running(moderation=Moderation.of("off")) as server:
        session = server.open(controls={"prompt": BAD})
        assert [notice["code"] for notice in session["notices"]] == ["unknown_prompt"]
        assert counted(server) == {}


def test_the_list_is_named_by_flag_setting_or_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serve_settings(ServeFlags(), Settings()).policy is None
    assert serve_settings(ServeFlags(moderation=ModerationFlags(policy="off")), Settings()).policy == "off"
    monkeypatch.setenv("VIVACE_POLICY", "mine.toml")
    assert serve_settings(ServeFlags(), Settings.from_environment()).policy == "mine.toml"
    monkeypatch.setenv("VIVACE_SERVE_POLICY", "off")
    assert serve_settings(ServeFlags(), Settings.from_environment()).policy == "off"
    with pytest.raises(UsageError, match=r"the policy .*mine\.toml cannot be read"):
        Moderation.of(str(tmp_path / "mine.toml"))


def test_the_client_raises_what_a_stream_here_would() -> None:
    ack = messages.Ack(accepted=False, frame_index=0, update_index=0, applied=[], code="policy", reason="minors")
    told = messages.Ack.model_validate_json(json.dumps(ack.model_dump(mode="json")))
    error = _refusal(told.code, "no", told.matches, told.reason)
    assert isinstance(error, PolicyError)
    assert error.reason == "minors"
