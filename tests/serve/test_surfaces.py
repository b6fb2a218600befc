"""OSC steers the sessions of a server, and the sound of a session its own controls."""

from __future__ import annotations

import asyncio
import logging

import pytest
from pythonosc.udp_client import SimpleUDPClient

from fakes import FakeClock
from http_fakes import OFFER, SDP_HEADERS, running, settings_for
from serve_rig import grey, in_loop, opened, running_manager, until
from sounds import opus, timed
from vivace.errors import UsageError
from vivace.serve.session import LiveSession
from vivace.serve.surfaces import OscSurface
from vivace.show.osc import LOCAL


def seed(session: LiveSession) -> int:
    return session._board.controls.seed


@in_loop
async def test_osc_steers_every_live_session_or_one_by_its_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running_manager() as manager:
        surface = OscSurface("0", manager)
        surface.begin()
        port = surface._receiver.port
        assert f"OSC on {LOCAL}:{port}" in caplog.text, "programs of this machine alone"
        desk = SimpleUDPClient(LOCAL, port)
        left, right = [await opened(manager, client=name) for name in ("ada", "bob")]
        told = right.events()
        desk.send_message("/vivace/seed", 7)
        await until(lambda: seed(left) == seed(right) == 7)
        desk.send_message(f"/vivace/{right.id}/seed", 8)
        await until(lambda: seed(right) == 8)
        assert seed(left) == 7
        desk.send_message("/vivace/prompt", "purple")  # which the model does not know
        desk.send_message("/vivace/nobody/seed", 9)
        desk.send_message("/vivace/seed", 10)
        await until(lambda: seed(left) == seed(right) == 10)
        await asyncio.to_thread(surface.close)
        surface.close()
        told.close()
        desk._sock.close()
    assert "there is no stream 'nobody' here" in caplog.text
    assert "near is blue" in caplog.text
    assert "1 for no stream here" in caplog.text


def test_a_port_that_cannot_be_had_is_said() -> None:
    with pytest.raises(UsageError, match="give a port"):
        OscSurface("desk", None)  # type: ignore[arg-type]


@in_loop
async def test_controls_follow_the_sound_of_their_session_and_of_no_other() -> None:
    clock = FakeClock()
    tones_s = tuple(0.4 + 0.8 * number for number in range(3))
    async with running_manager(
        clock=clock, grace_s=1000.0, idle_s=1000.0, drive=["strength=level:0.25..0.75"]
    ) as manager:
        heard, mute = [await opened(manager, client=name) for name in ("ada", "bob")]
        packets = list(timed(opus(2.4, tones_s, length_s=0.2), clock()))
        strengths: dict[str, list[float]] = {heard.id: [], mute.id: []}
        for _ in range(60):
            for session in (heard, mute):
                before = session.newest
                session.push(grey(100), clock())
                await until(lambda session=session, before=before: session.newest is not before)
                strengths[session.id].append(session._board.controls.strength)
            while packets and packets[0].time_s <= clock() + 0.04:
                heard.hear(packets.pop(0))
            clock.advance(0.04)
    assert max(strengths[heard.id]) == pytest.approx(0.75, abs=0.02)
    assert min(strengths[heard.id]) == 0.25
    assert set(strengths[mute.id]) == {0.25}, "silence"


def test_a_client_chooses_what_follows_its_sound_and_is_told_what_cannot() -> None:
    with running(settings_for(drive=["strength=level"], slots=3)) as server:
        of_server, of_client = server.open(), server.open(drive=["seed=beat"])
        records = [server.manager.get(session["id"])._record.drive for session in (of_server, of_client)]
        assert records == [("strength=level",), ("seed=beat",)]
        refused = server.client.post("/v1/sessions", json={"drive": ["strenght=level"]})
        assert refused.status_code == 422
        assert "did you mean 'strength'" in refused.json()["message"]
        by_whip = server.client.post("/whip?drive=seed=onset&drive=strength=bass", content=OFFER, headers=SDP_HEADERS)
        assert by_whip.status_code == 201, by_whip.text
        assert server.manager.sessions()[-1]._record.drive == ("seed=onset", "strength=bass")
