"""The control channel: a client's messages, the answers, and the server's own messages."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.websockets import WebSocketDisconnect

from fakes import SIZE, FakeClock, FakeModel
from http_fakes import Running, running, settings_for
from patience import PATIENCE_S
from vivace.errors import (
    BackendUnavailableError,
    CapacityError,
    ControlError,
    SourceNotFoundError,
    StepError,
    VivaceError,
)
from vivace.messages import Controls
from vivace.models.base import StepResult
from vivace.serve.auth import make_secret
from vivace.serve.control import FLOOD_S, ControlLimits, Conversation, Rate
from vivace.serve.recording import RecordingStore
from vivace.serve.schema import control_schema

PICTURE = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)


class Channel:
    """Test's end of a control WebSocket; skips statistics unless they are asked for."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    def say(self, **message: Any) -> None:
        self.socket.send_text(json.dumps(message))

    def hear(self, *kinds: str) -> dict[str, Any]:
        """Return the next message of one of these kinds."""
        while True:
            message = json.loads(self.socket.receive_text())
            if message["type"] in kinds:
                return message


@contextmanager
def channel(server: Running, session: dict[str, Any]) -> Iterator[Channel]:
    with server.control(session) as socket:
        yield Channel(socket)


def push(server: Running, session: dict[str, Any], count: int = 1) -> None:
    live = server.manager.get(session["id"])
    for _ in range(count):
        assert live.push(PICTURE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(settings_for(tmp_path, slots=1)) as made:
        yield made


def test_the_server_speaks_first(server: Running) -> None:
    live, waiting = server.open(), server.open()
    with channel(server, live) as first, channel(server, waiting) as second:
        assert first.hear("live", "waiting")["session"] == live["id"]
        assert second.hear("live", "waiting")["position"] == 1
        first.say(type="end")
        assert first.hear("ended")["reason"] == "client"
        assert second.hear("live")["session"] == waiting["id"]


def test_an_update_is_acknowledged_and_its_first_frame_announced(server: Running) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.hear("live")
        control.say(type="update", id="7", controls={"prompt": "red", "strength": 0.5})
        ack = control.hear("ack")
        assert (ack["id"], ack["accepted"], sorted(ack["applied"])) == ("7", True, ["prompt", "strength"])
        for _ in range(100):  # until the model is open for the first frame's shape
            push(server, session)
            control.say(type="ping", id="p")
            if control.hear("pong", "applied")["type"] == "applied":
                break
        else:
            pytest.fail("no frame came out")


def test_what_one_sets_is_told_to_the_others_without_pictures_and_events(server: Running) -> None:
    session = server.open()
    picture = data_url(Image.new("L", (4, 4)))
    with channel(server, session) as first, channel(server, session) as second:
        for each in (first, second):
            each.hear("live")
        first.say(type="update", id="1", controls={"mask": picture})  # of which nothing is told
        first.say(type="update", id="2", controls={"prompt": "gibberish"})
        first.say(type="update", id="3", controls={"prompt": "red", "strength": None, "mask": picture})
        assert second.hear("changed") == {
            "type": "changed",
            "controls": {"prompt": "red", "strength": None},
            "message": "taken as red",
            "matches": [["red", 1.0]],
            "understood": [],
        }
        second.say(type="update", id="4", controls={"seed": 7})
        assert first.hear("changed")["controls"] == {"seed": 7}, "nobody is told of their own"


class Continuing(FakeModel):
    def whole_request(self, text: str, now: str | None, before: str | None) -> str | None:
        return before if text == "back" else text


def test_of_a_prompt_that_refers_to_one_before_it_all_hear_the_whole_one() -> None:
    with running(settings_for(slots=1), model=Continuing()) as server:
        session = server.open(controls={"prompt": "red"})
        with channel(server, session) as first, channel(server, session) as second:
            second.hear("live")
            for text, whole, told in (("blue", None, "blue"), ("back", "red", "red"), ("back", "blue", "blue")):
                first.say(type="update", id=text, controls={"prompt": text})
                assert first.hear("ack")["prompt"] == whole
                assert second.hear("changed")["controls"] == {"prompt": told}
        assert server.manager.get(session["id"]).record.controls.prompt == "blue"


class Looking(FakeModel):
    def result(self, rgb: np.ndarray) -> StepResult:
        return StepResult(rgb, absent=("hair",))


def test_places_that_are_not_in_the_picture_are_told_with_the_statistics() -> None:
    with running(settings_for(slots=1), model=Looking()) as server:
        session = server.open(controls={"prompt": "red"})
        with channel(server, session) as control:
            assert control.hear("stats")["absent"] == []
            for _ in range(100):  # until a frame is painted
                push(server, session)
                if control.hear("stats")["absent"] == ["hair"]:
                    break
            else:
                pytest.fail("it was not told")


def data_url(picture: Image.Image) -> str:
    """Return a picture as encoded in a message."""
    written = io.BytesIO()
    picture.save(written, "PNG")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


def test_null_is_the_default_of_every_control_and_what_is_left_out_stays(server: Running) -> None:
    session = server.open(controls={"strength": 0.5, "denoising_steps": None})
    live = server.manager.get(session["id"])
    fresh = server.manager.get(server.open()["id"])
    mask = data_url(Image.new("L", (4, 4)))
    steered = {"prompt": "red", "seed": 7, "crossfade_s": 2, "mask": mask, "size": [64, 32]}
    with channel(server, session) as control:
        control.hear("live")
        for controls in (steered, {"crossfade_s": None}, dict.fromkeys(Controls.model_fields)):
            control.say(type="update", id="1", controls=controls)
            ack = control.hear("ack")
            assert ack["accepted"], ack
            assert set(ack["applied"]) == set(controls)
            if controls == {"crossfade_s": None}:
                assert (live._board.controls.strength, live._board.controls.seed) == (0.5, 7)
    for field in fields(live._board.controls):
        ours, theirs = (getattr(each._board.controls, field.name) for each in (live, fresh))
        assert ours == theirs, field.name


def test_what_the_model_cannot_do_is_refused_with_the_reason(server: Running) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.say(type="update", id="1", controls={"prompt": "gibberish", "strength": 0.1})
        ack = control.hear("ack")
        assert (ack["id"], ack["accepted"], ack["applied"]) == ("1", False, [])
        assert "near is" in ack["message"]
        assert (ack["code"], ack["matches"]) == ("unknown_prompt", [["blue", 0.4], ["green", 0.1]])


def test_a_session_without_its_prompt_says_so_until_it_has_one(server: Running) -> None:
    session = server.open(controls={"prompt": "gibberish"})
    (notice,) = session["notices"]
    with channel(server, session) as control:
        assert control.hear("live", "notice")["type"] == "live"
        assert control.hear("notice") == notice
        control.say(type="update", id="1", controls={"prompt": "purple"})
        assert not control.hear("ack")["accepted"]
        control.say(type="update", id="2", controls={"prompt": "red"})
        assert control.hear("ack")["accepted"]
    with channel(server, session) as control:
        control.say(type="ping", id="p")
        assert control.hear("pong", "notice")["type"] == "pong"


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "[" * 5_000, '{"type":"nope"}', '{"type":"ping","more":1}', "\x00", '{"type":"update"}',
        '{"type":"update","controls":{"strength":7}}', '{"type":"update","controls":{"seed":1e400}}',
        '{"type":"ping","presented":[[1,2,3]]}', '{"type":"update","controls":{"prompt":"' + "x" * 2_001 + '"}}',
    ],
)  # fmt: skip
def test_nonsense_is_answered_and_the_session_goes_on(server: Running, text: str) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.socket.send_text(text)
        refused = control.hear("error")
        assert refused["code"] == "invalid"
        assert len(refused["message"]) <= 500
        control.say(type="ping", id="still here")
        assert control.hear("pong")["id"] == "still here"


def test_the_answer_to_what_cannot_be_used_says_what_it_answers(server: Running) -> None:
    with channel(server, server.open()) as control:
        for controls, said in (
            ({"promt": "x"}, "update.controls: no key 'promt' is known here; did you mean 'prompt'?"),
            ({"events": [["flash"]]}, "events.0"),
            ({"promt": "x", "options": {"depth": []}}, "options.depth: give a number, true or false, text"),
            ({"promt": "x", "strength": 7}, "strength: Input should be less than or equal to 1"),
            ({"prompt": "x" * 2_001}, "2000"),
        ):
            control.say(type="update", id="3", controls=controls)
            refused = control.hear("error")
            assert refused["id"] == "3"
            assert said in refused["message"]
        control.say(type="update", id="x" * 65, controls={})
        assert control.hear("error")["id"] is None


@pytest.mark.parametrize("kind", [CapacityError, StepError, BackendUnavailableError, SourceNotFoundError, ControlError])
def test_a_refusal_has_the_same_code_over_http_and_on_the_channel_as_in_python(kind: type[VivaceError]) -> None:
    model = FakeModel(record=False)
    with running(settings_for(slots=1), model=model) as server:
        session = server.open()

        def encode_prompt(_text: str) -> None:
            raise kind("not now")

        model.encode_prompt = encode_prompt  # type: ignore[method-assign, assignment]
        assert server.client.post("/v1/sessions", json={"controls": {"prompt": "red"}}).json()["code"] == kind.code
        with channel(server, session) as control:
            control.say(type="update", controls={"prompt": "red"})
            assert control.hear("ack")["code"] == kind.code


def test_binary_nonsense_too(server: Running) -> None:
    with channel(server, server.open()) as control:
        control.socket.send_bytes(bytes(range(256)))
        assert control.hear("error")["code"] == "invalid"


def test_recording_begins_and_ends_with_the_request_s_id(server: Running, tmp_path: Path) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.say(type="record", id="off", on=False)
        assert control.hear("error", "recorded")["code"] == "not_recording"
        control.say(type="record", id="on", on=True)
        begun = control.hear("recorded")
        assert (begun["id"], begun["on"]) == ("on", True)
        control.say(type="record", id="stop", on=False)
        done = control.hear("recorded")
        assert (done["id"], done["on"], done["name"]) == ("stop", False, begun["name"])
        assert done["url"] == f"/v1/recordings/{done['name']}"


class PickingModel(FakeModel):
    """Knows which place is at a px: the left half and the right half."""

    def places_at(self, rgb: np.ndarray, x: int, y: int) -> tuple[str, ...]:
        assert rgb.shape[:2] == (16, 32)
        assert 0 <= y < 16
        return ("left", "background") if x < 16 else ("right",)


def test_a_click_is_answered_with_the_places_that_are_there(tmp_path: Path) -> None:
    model = PickingModel(record=False)
    with running(settings_for(tmp_path, slots=1, size=SIZE), model=model) as server:
        session = server.open(controls={"prompt": "red"})
        with channel(server, session) as control:
            control.hear("live")
            control.say(type="pick", x=0.5, y=0.5)
            assert "no picture yet" in control.hear("error")["message"]
            for _ in range(100):  # until the model is open for the first frame's shape
                push(server, session)
                control.say(type="pick", x=0.5, y=0.5)
                if control.hear("picked", "error")["type"] == "picked":
                    break
            for x, places in (
                (0, ["left", "background"]),
                (0.49, ["left", "background"]),
                (0.5, ["right"]),
                (1, ["right"]),
            ):
                control.say(type="pick", id=str(x), x=x, y=1)
                assert control.hear("picked") == {"type": "picked", "id": str(x), "places": places}
            control.say(type="pick", id="2", x=1.5, y=0)
            assert control.hear("error")["code"] == "invalid"


def test_while_a_click_is_looked_at_others_are_answered(tmp_path: Path) -> None:
    looking, seen = threading.Event(), threading.Event()

    class SlowModel(FakeModel):
        def places_at(self, rgb: np.ndarray, x: int, y: int) -> tuple[str, ...]:
            seen.set()
            looking.wait(PATIENCE_S)
            return ("here",)

    with running(settings_for(tmp_path, slots=1, size=SIZE), model=SlowModel(record=False)) as server:
        session = server.open(controls={"prompt": "red"})
        with channel(server, session) as control:
            control.hear("live")
            while not seen.is_set():  # until the model is open for the first frame's shape
                push(server, session)
                control.say(type="pick", id="first", x=0.5, y=0.5)
                control.say(type="ping", id="p")
                control.hear("pong")
            control.say(type="pick", id="second", x=0.5, y=0.5)
            control.say(type="ping", id="alive")
            refused = control.hear("error")
            while refused["id"] != "second":
                refused = control.hear("error")
            assert refused["code"] == "busy"
            assert control.hear("pong")["id"] == "alive"
            looking.set()
            assert control.hear("picked") == {"type": "picked", "id": "first", "places": ["here"]}


def test_where_the_model_paints_whole_pictures_nothing_can_be_picked(server: Running) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.say(type="pick", id="1", x=0.5, y=0.5)
        error = control.hear("error")
        assert (error["id"], error["code"]) == ("1", "control")
        assert "whole pictures" in error["message"]


def test_sound_is_turned_off_and_on_for_all_and_all_are_told(server: Running) -> None:
    session = server.open()
    with channel(server, session) as control, channel(server, session) as other:
        for on in (False, True):
            control.say(type="sound", id="s", on=on)
            assert control.hear("sound") == {"type": "sound", "id": "s", "on": on}
            assert other.hear("sound")["on"] is on
        control.say(type="sound", on="perhaps")
        assert control.hear("error")["code"] == "invalid"


def test_a_recording_that_begins_on_a_slow_disk_holds_up_nobody(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[asyncio.AbstractEventLoop | None] = []
    look = RecordingStore.new_path

    def looked_at(store: RecordingStore) -> Path:
        loops.append(asyncio._get_running_loop())
        return look(store)

    monkeypatch.setattr(RecordingStore, "new_path", looked_at)
    with channel(server, server.open()) as control:
        control.say(type="record", id="on", on=True)
        assert control.hear("recorded")["on"]
    assert loops == [None]


def test_where_nothing_is_recorded_it_says_so() -> None:
    with running(settings_for(None)) as server, channel(server, server.open()) as control:
        control.say(type="record", id="1", on=True)
        refused = control.hear("error")
        assert (refused["id"], refused["code"]) == ("1", "recording_off")


def test_a_drain_is_told_and_closes_the_channel(server: Running) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.hear("live")
        server.client.portal.call(server.manager.drain, 0.0)  # type: ignore[union-attr]
        assert control.hear("ended")["reason"] == "drain"
        with pytest.raises(WebSocketDisconnect) as closed:
            control.socket.receive_text()
        assert closed.value.code == 1000


def test_losing_the_channel_does_not_end_the_session(server: Running) -> None:
    session = server.open()
    with channel(server, session) as control:
        control.hear("live")
    assert server.manager.get(session["id"]).state == "live"
    assert not server.manager.get(session["id"]).presence.connected
    with channel(server, session) as control:
        assert control.hear("live")["session"] == session["id"]
        assert server.manager.get(session["id"]).presence.connected


@pytest.mark.parametrize(("url", "code"), [("/v1/sessions/none/control?secret=x", 4404), ("{control}?secret=x", 4403)])
def test_a_refusal_comes_as_a_message_and_a_close_code(server: Running, url: str, code: int) -> None:
    session = server.open()
    with server.websocket(url.format(control=session["control_url"])) as socket:
        assert json.loads(socket.receive_text())["type"] == "error"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == code


def test_a_client_that_was_away_is_told_how_its_session_ended(server: Running) -> None:
    session = server.open()
    server.manager.end(session["id"], "idle", "No picture came.")
    with channel(server, session) as control:
        assert control.hear("ended", "error") == {"type": "ended", "reason": "idle", "message": "No picture came."}


def test_without_a_token_the_channel_is_closed_with_4401() -> None:
    with running(settings_for(token_secret=make_secret())) as server:
        live = server.manager.open_session(client="a")
        with server.websocket(f"/v1/sessions/{live.id}/control?secret={live.secret}") as socket:
            assert json.loads(socket.receive_text())["code"] == "no_token"


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "evil.example"}])
def test_foreign_pages_and_names_open_no_channel(server: Running, headers: dict[str, str]) -> None:
    session = server.open()
    with (
        pytest.raises(WebSocketDisconnect) as refused,
        server.websocket(f"{session['control_url']}?secret={session['secret']}", headers=headers),
    ):
        pass
    assert refused.value.status_code in (403, 421)  # type: ignore[attr-defined]


# Limits


class Quiet:
    """Session without requests."""

    id = "quiet"
    presence = SimpleNamespace(touch=lambda: None)


def conversation(per_s: float = 10, max_bytes: int = 1_000) -> tuple[Conversation, list[Any], FakeClock]:
    said: list[Any] = []
    clock = FakeClock()

    async def send(message: Any) -> None:
        said.append(message)

    limits = ControlLimits(per_s, max_bytes)
    return Conversation(Quiet(), send, limits, clock=clock), said, clock  # type: ignore[arg-type]


PING = '{"type":"ping"}'


def test_a_rate_allows_bursts_and_recovers() -> None:
    clock = FakeClock()
    rate = Rate(10, clock=clock)
    assert [rate.take() for _ in range(21)] == [True] * 20 + [False]
    clock.advance(0.1)
    assert [rate.take() for _ in range(2)] == [True, False]
    clock.advance(3_600)
    assert sum(rate.take() for _ in range(50)) == 20


def test_too_many_messages_are_answered_once_and_left_out() -> None:
    talk, said, clock = conversation()
    for _ in range(30):
        assert asyncio.run(talk.take(PING))
    assert [message.type for message in said] == ["pong"] * 20 + ["error"]
    assert said[-1].code == "too_many_messages"
    clock.advance(1)
    assert asyncio.run(talk.take(PING))
    assert said[-1].type == "pong"


def test_a_flood_is_cut_off() -> None:
    talk, said, _ = conversation()

    async def flood() -> int:
        taken = 0
        while await talk.take(PING):
            taken += 1
        return taken

    assert asyncio.run(flood()) == 20 + FLOOD_S * 10 - 1
    assert len(said) == 21


def test_a_flood_that_lasts_is_cut_off_although_some_of_it_is_within_the_limit() -> None:
    talk, said, clock = conversation()

    async def flood() -> float:
        began_s = clock()
        while await talk.take(PING):
            clock.advance(0.01)  # 100 a second, where 10 are allowed
        return clock() - began_s

    assert asyncio.run(flood()) < 2 * FLOOD_S
    assert [message.type for message in said].count("error") == 1


def test_a_message_has_a_limit_of_bytes() -> None:
    talk, said, _ = conversation(max_bytes=100)
    assert asyncio.run(talk.take(" " * 101))
    assert said[-1].code == "too_large"


def test_a_flood_over_a_socket_closes_it_and_spares_the_session() -> None:
    with running(settings_for(max_messages_per_s=1)) as server:
        session = server.open()
        with pytest.raises(WebSocketDisconnect) as closed, channel(server, session) as control:
            for _ in range(50):
                control.say(type="ping")
            while True:
                control.socket.receive_text()
        assert closed.value.code == 1008
        assert server.manager.get(session["id"]).state == "live"


# The schema in the docs

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "control-v1.json"


def test_the_schema_in_the_docs_is_that_of_the_messages() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == control_schema(), (
        "it is old: python -m vivace.serve.schema > docs/schema/control-v1.json"
    )


def test_the_schema_knows_every_message_of_both_sides() -> None:
    client, server = control_schema()["oneOf"]
    assert set(client["discriminator"]["mapping"]) == {"update", "ping", "record", "sound", "source", "pick", "end"}
    told = {
        "waiting",
        "live",
        "ack",
        "applied",
        "stats",
        "picked",
        "recorded",
        "ended",
        "error",
        "pong",
        "notice",
        "changed",
        "sound",
    }
    assert told == set(server["discriminator"]["mapping"])
