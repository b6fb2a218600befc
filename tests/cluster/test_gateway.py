"""A gateway over workers on real sockets: what a client sees while sessions are placed, moved and lost."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

import vivace.client
from cluster.local_cluster import LocalCluster, LocalDirectory, local_cluster
from fakes import FakeClock
from http_fakes import OFFER, SDP_HEADERS
from patience import PATIENCE_S
from serve_rig import in_loop
from vivace.client import ServerError
from vivace.cluster.registrar import open_registrar
from vivace.cluster.scaling import IDLE_S, Bounds, Scaling
from vivace.cluster.worker import Worker
from vivace.errors import UsageError
from vivace.messages import Controls
from vivace.serve.auth import make_secret, make_token
from vivace.serve.version import VERSION


async def asked(cluster: LocalCluster, method: str, path: str, **what: Any) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=cluster.url, timeout=PATIENCE_S) as http:
        return await http.request(method, path, **what)


def owner(session: dict[str, Any]) -> dict[str, str]:
    return {"X-Session-Secret": session["secret"]}


async def opened(cluster: LocalCluster, **body: Any) -> dict[str, Any]:
    answer = await asked(cluster, "POST", "/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@in_loop
async def test_two_workers_take_twice_the_sessions_of_one_and_what_is_beyond_waits(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", "two", queue_length=1) as cluster:
        states = [(await opened(cluster))["state"] for _ in range(6)]
        assert states == ["live"] * 4 + ["waiting"] * 2
        refused = await asked(cluster, "POST", "/v1/sessions", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")
        assert int(refused.headers["retry-after"]) >= 1
        quota = (await asked(cluster, "GET", "/v1/quota")).json()
        assert (quota["slots"], quota["free_slots"], quota["waiting"]) == (4, 0, 2)
        held = {name: len(each.worker.manager.sessions()) for name, each in cluster.workers.items()}
        assert held == {"one": 3, "two": 3}


@in_loop
async def test_a_client_steers_through_the_gateway_and_may_as_well_go_straight(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", "two") as cluster, vivace.client.connect(cluster.url) as client:
        async with await client.open(prompt="red", seed=5) as session:
            assert (await session.update(strength=0.5)).accepted
            with pytest.raises(vivace.errors.ControlError):
                await session.update(options={"nothing": 1})
            where = cluster.session_on(session.id)
            assert where is not None
            hello = cluster.workers[where].worker.hello
            assert hello is not None
            async with vivace.client.connect(hello.url) as straight:
                answer = await straight.request("GET", f"/v1/sessions/{session.id}")
                assert answer.json()["state"] == "live"
            answer = await asked(cluster, "POST", session.info.whep_url, content=OFFER, headers=SDP_HEADERS)
            assert answer.status_code in (400, 422), "the worker's own answer to half an offer"
        await cluster.until(lambda: cluster.session_on(session.id) is None)


@in_loop
async def test_a_killed_workers_sessions_go_on_elsewhere_as_they_were_and_others_notice_nothing(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", "two", slots=4) as cluster, vivace.client.connect(cluster.url) as client:
        sessions = [await client.open(prompt="red", seed=index) for index in range(4)]
        for session in sessions:
            assert (await session.update(strength=0.25)).accepted
        places = {session.id: cluster.session_on(session.id) for session in sessions}
        assert sorted(places.values()) == ["one", "one", "two", "two"]  # type: ignore[type-var]
        await cluster.until(lambda: _told(cluster, {session.id for session in sessions}, 0.25))
        await cluster.kill("one")
        for index, session in enumerate(sessions):
            async with asyncio.timeout(PATIENCE_S):
                while True:  # an update that was under way is to be asked for again
                    try:
                        assert (await session.update(crossfade_s=1.0)).accepted
                        break
                    except ServerError:
                        await asyncio.sleep(0.01)
            record = cluster.workers["two"].worker.record(session.id)
            assert record is not None
            assert record.secret == session.info.secret
            assert (record.controls.prompt, record.controls.seed, record.controls.strength) == ("red", index, 0.25)
            assert session.ended is None
            await session.close()


def _told(cluster: LocalCluster, ids: set[str], strength: float) -> bool:
    records = cluster.directory.registrar._directory
    found = [records.find(session_id) for session_id in ids]
    return all(each is not None and each[0].controls.strength == strength for each in found)


@in_loop
async def test_a_page_takes_its_session_back_by_its_secret_wherever_it_is_now(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", "two") as cluster:
        session = await opened(cluster, controls={"prompt": "red"})
        first = cluster.session_on(session["id"])
        assert first is not None
        await cluster.kill(first)
        resume = {"id": session["id"], "secret": session["secret"]}
        again = await opened(cluster, controls={"prompt": "red"}, resume=resume)
        assert (again["id"], again["secret"]) == (session["id"], session["secret"])
        assert cluster.session_on(session["id"]) == ({"one", "two"} - {first}).pop()
        other = await opened(cluster, resume={"id": session["id"], "secret": "wrong"})
        assert other["id"] != session["id"], "a session of its own"
        answer = await asked(cluster, "DELETE", f"/v1/sessions/{other['id']}", headers=owner(other))
        assert answer.status_code == 204


@in_loop
async def test_a_drained_worker_hands_its_sessions_over_and_may_be_started_anew(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", slots=4) as cluster, vivace.client.connect(cluster.url) as client:
        session = await client.open(prompt="red")
        link = (
            await asked(
                cluster,
                "PUT",
                f"/v1/sessions/{session.id}/links/watch",
                headers={"X-Session-Secret": session.info.secret},
            )
        ).json()
        refused = await asked(cluster, "POST", "/v1/cluster/workers/one/drain", json={"restart": True})
        assert refused.status_code == 409
        nobody = await asked(cluster, "POST", "/v1/cluster/workers/three/drain", json={})
        assert nobody.status_code == 404
        assert "1 sessions of one find no other place" in refused.json()["message"]
        await cluster.start("two")
        moved = await asked(cluster, "POST", "/v1/cluster/workers/one/drain", json={"restart": True})
        assert moved.json() == {"moved": 1, "stayed": 0}
        assert cluster.workers["one"].restarts == 1
        assert cluster.session_on(session.id) == "two"
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert (await session.update(strength=0.5)).accepted
                    break
                except ServerError:
                    await asyncio.sleep(0.01)
        watched = await asked(
            cluster, "GET", f"/v1/sessions/{session.id}", headers={"Authorization": f"Bearer {link['token']}"}
        )
        assert watched.json()["id"] == session.id, "its links go with it"
        back = await asked(cluster, "POST", "/v1/cluster/workers/one/drain", json={"on": False})
        assert back.json() == {"moved": 0, "stayed": 0}
        there = await asked(cluster, "POST", f"/v1/cluster/sessions/{session.id}/move", json={"to": "one"})
        assert there.json() == {"worker": "one"}
        assert (await asked(cluster, "POST", "/v1/cluster/sessions/nobody/move", json={})).status_code == 404
        nowhere = await asked(cluster, "POST", f"/v1/cluster/sessions/{session.id}/move", json={"to": "three"})
        assert nowhere.status_code == 503
        assert "three" in nowhere.json()["message"]
        await session.close()


@in_loop
async def test_while_the_directory_is_away_sessions_go_on_and_what_changed_is_told_after(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one") as cluster, vivace.client.connect(cluster.url) as client:
        session = await client.open(prompt="red")
        cluster.directory.away = True
        assert (await session.update(strength=0.125)).accepted, "the channel stands"
        refused = await asked(cluster, "POST", "/v1/sessions", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "no_directory")
        cluster.directory.registrar = open_registrar(  # another process, with the same file
            VERSION, lambda: 0.0, cluster.state, cluster.reach, default_model="fake", max_sessions_per_client=50
        )
        cluster.directory.away = False
        await cluster.until(lambda: _told(cluster, {session.id}, 0.125))
        assert (await opened(cluster))["state"] == "live"
        await session.close()


@in_loop
async def test_a_worker_that_was_cut_off_lets_go_of_what_another_has_by_now(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "one", "two") as cluster, vivace.client.connect(cluster.url) as client:
        session = await client.open(prompt="red", seed=7)
        here = cluster.session_on(session.id)
        assert here is not None
        (there,) = {"one", "two"} - {here}
        cut_off = cluster.workers[here].worker
        cut_off._directory = line = LocalDirectory(cluster.directory.registrar)
        line.away = True
        registrar = cluster.directory.registrar
        registrar.unreachable(registrar._directory.place_on(here))
        found = await asked(
            cluster, "GET", f"/v1/sessions/{session.id}", headers={"X-Session-Secret": session.info.secret}
        )
        assert found.status_code == 200
        assert cluster.workers[there].worker.record(session.id) is not None, "it goes on where it is asked for"
        assert cut_off.record(session.id) is not None, "nobody has told the other one"
        line.away = False
        await cluster.until(lambda: cut_off.record(session.id) is None)
        async with asyncio.timeout(PATIENCE_S):
            while (
                record := cluster.workers[there].worker.record(session.id)
            ) is None or record.controls.strength != 0.5:
                with suppress(ServerError):
                    await session.update(strength=0.5)
                await asyncio.sleep(0.01)
        assert cluster.session_on(session.id) == there
        assert (record.controls.prompt, record.controls.seed) == ("red", 7)
        await session.close()


@in_loop
async def test_a_worker_that_offers_more_than_it_has_costs_a_client_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with local_cluster(tmp_path, "one", "liar", slots=1, queue_length=0) as cluster:
        liar = cluster.workers["liar"].worker
        loads = liar._loads
        monkeypatch.setattr(
            liar, "_loads", lambda: {name: load.model_copy(update={"free": 200.0}) for name, load in loads().items()}
        )
        liar.manager.open_session(client="somebody")
        await cluster.until(lambda: cluster.directory.registrar.workers()[0].models["fake"].free == 200.0)
        session = await opened(cluster)
        assert cluster.session_on(session["id"]) == "one"
        refused = await asked(cluster, "POST", "/v1/sessions", json={})
        assert refused.status_code == 503


@in_loop
async def test_operators_see_all_workers_on_one_page_and_strangers_nothing(tmp_path: Path) -> None:
    secret = make_secret()
    async with local_cluster(tmp_path, "one", "two", token_secret=secret) as cluster:
        admin, guest = (
            {"Authorization": f"Bearer {make_token(secret, frozenset({scope}), expires_s=60, now_s=time.time())}"}
            for scope in ("admin", "publish")
        )
        assert (await asked(cluster, "POST", "/v1/sessions", json={})).status_code == 401
        session = (await asked(cluster, "POST", "/v1/sessions", json={}, headers=guest)).json()
        for path in ("/metrics", "/v1/cluster", "/v1/sessions"):
            assert (await asked(cluster, "GET", path, headers=guest)).status_code == 403
            assert (await asked(cluster, "GET", path)).status_code == 401
        text = (await asked(cluster, "GET", "/metrics", headers=admin)).text
        assert text.count("# TYPE vivace_slots gauge") == 1
        assert 'vivace_slots{model="fake",worker="one"} 2.0' in text
        assert 'vivace_slots{model="fake",worker="two"} 2.0' in text
        token = admin["Authorization"].removeprefix("Bearer ")
        assert 'worker="two"' in (await asked(cluster, "GET", f"/metrics?token={token}")).text
        workers = (await asked(cluster, "GET", "/v1/cluster", headers=admin)).json()["workers"]
        assert [each["name"] for each in workers] == ["one", "two"]
        listed = (await asked(cluster, "GET", "/v1/sessions", headers=admin)).json()["sessions"]
        assert [each["id"] for each in listed] == [session["id"]]
        assert (await asked(cluster, "GET", "/v1/models", headers=guest)).json()["models"][0]["name"] == "fake"
        assert (await asked(cluster, "GET", "/")).status_code == 200


@in_loop
async def test_a_worker_whose_clock_is_a_day_ahead_serves_and_refuses_only_tokens_that_are_shorter(
    tmp_path: Path,
) -> None:
    secret, day_s = make_secret(), 86_400.0
    async with local_cluster(tmp_path, "one", token_secret=secret) as cluster:
        access = cluster.workers["one"].worker._app.state.server.access_control
        access._clock = lambda: time.time() + day_s

        async def open_with(expires_s: float) -> httpx2.Response:
            token = make_token(secret, frozenset({"publish"}), expires_s=expires_s, now_s=time.time())
            headers = {"Authorization": f"Bearer {token}"}
            return await asked(cluster, "POST", "/v1/sessions", json={}, headers=headers)

        short = await open_with(day_s / 2)
        assert (short.status_code, short.json()["code"]) == (401, "expired_token")
        session = (await open_with(2 * day_s)).json()
        assert cluster.session_on(session["id"]) == "one"
        assert cluster.takes("one"), "its reports are by no clock of its own"


@in_loop
async def test_what_cannot_be_is_said_by_the_gateway_as_by_a_server(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        assert (await asked(cluster, "GET", "/readyz")).json()["code"] == "loading"
        assert (await asked(cluster, "POST", "/v1/sessions", json={})).json()["code"] == "loading"
        assert (await asked(cluster, "POST", "/v1/sessions", json={"model": "other"})).status_code == 404
        assert (await asked(cluster, "POST", "/v1/sessions", json={"mode": 1})).status_code == 422
        assert (await asked(cluster, "GET", "/v1/sessions/nobody")).status_code == 404
        assert (await asked(cluster, "GET", "/v1/models")).json()["code"] == "no_worker"
        await cluster.start("one")
        assert (await asked(cluster, "GET", "/readyz")).status_code == 200
        assert (await asked(cluster, "GET", "/v1/nothing")).status_code == 404
        assert (await asked(cluster, "GET", "/v1/recordings/none.mp4")).json()["code"] == "no_recording"
        async with vivace.client.connect(cluster.url) as client:
            session = await client.open(controls=Controls(prompt="red"))
            await session.close()
        model = cluster.models["one"]
        with pytest.raises(UsageError, match="there is a worker one already, at http"):
            await Worker(cluster.settings, "one", cluster.directory, load_model=lambda _: model).run()
        assert cluster.takes("one")


@in_loop
async def test_a_worker_comes_when_sessions_wait_takes_them_and_one_that_is_not_needed_goes(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, "w0", queue_length=2) as cluster:
        clock = FakeClock()
        registrar, fleet = cluster.directory.registrar, _Fleet()
        registrar._scaling, registrar._fleet = Scaling(Bounds(1, 2), clock), fleet
        sessions = [await opened(cluster) for _ in range(3)]
        await cluster.until(lambda: fleet.started == ["w1"])
        await cluster.start("w1")
        waiting = sessions[2]
        await cluster.until(lambda: cluster.session_on(waiting["id"]) == "w1")
        assert (await asked(cluster, "GET", f"/v1/sessions/{waiting['id']}")).json()["state"] == "live"
        for session in sessions[:2]:
            await asked(cluster, "DELETE", f"/v1/sessions/{session['id']}", headers=owner(session))
        await cluster.until(lambda: registrar._scaling is not None and registrar._scaling._idle_since_s is not None)
        clock.advance(IDLE_S)
        await cluster.until(lambda: fleet.stopped == ["w0"])
        assert cluster.session_on(waiting["id"]) == "w1"


class _Fleet:
    def __init__(self) -> None:
        self.started: list[str] = []
        self.stopped: list[str] = []

    def start(self, names: list[str]) -> None:
        self.started += names

    def stop(self, name: str) -> None:
        self.stopped.append(name)
