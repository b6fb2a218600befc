"""The typed client against a server on a real socket."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vivace.client
from fakes import NEGATIVE_PROMPT, FakeModel
from http_fakes import OFFER, settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from vivace.client import ServerError, ServerUnreachableError
from vivace.client.rtc import RtcSession
from vivace.errors import ControlError, SessionClosedError, UnknownPromptError, UsageError
from vivace.messages import Ended, Live, Notice, Waiting
from vivace.models.controls import ControlSpec
from vivace.serve.auth import make_secret, make_token
from vivace.serve.limits import RefusedError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder: Path = tmp_path_factory.mktemp("recordings")
    with live_server(settings_for(folder, slots=1)) as made:
        yield made


def test_a_session_is_opened_steered_and_ended(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client:
            session = await client.open(prompt="red", strength=0.5)
            async with session:
                await session.wait_live()
                ack = await session.update(prompt="blue", seed=3)
                assert ack.accepted
                assert sorted(ack.applied) == ["prompt", "seed"]
                with pytest.raises(UnknownPromptError, match="no idea") as unknown:
                    await session.update(prompt="gibberish", seed=5)
                assert unknown.value.matches == (("blue", 0.4), ("green", 0.1))
                assert await session.ping() > 0
            kinds = [type(event) async for event in session.events()]
            assert kinds[0] is Live
            assert kinds[-1] is Ended
            assert session.ended is not None
            assert session.ended.reason == "client"
            with pytest.raises(SessionClosedError):
                await session.update(strength=1)

    asyncio.run(use())
    assert not server.manager.sessions()


def test_controls_of_the_models_own_are_set_at_the_opening_and_later() -> None:
    option = ControlSpec(
        name="depth_every", help="frames between two looks at depth", default=1, low=1, high=8, whole=True
    )
    model = FakeModel(options=(option, NEGATIVE_PROMPT), record=False)

    async def use(url: str, server: LiveServer) -> None:
        async with vivace.client.connect(url) as client:
            session = await client.open(prompt="red", options={"depth_every": 2, "negative_prompt": "green"})
            async with session:
                await session.wait_live()
                controls = server.manager.get(session.id)._board.controls
                assert controls.options["depth_every"] == 2.0
                assert controls.options["negative_prompt"].text == "green"
                await session.update(strength=0.25, seed=4)
                assert (await session.update(strength=None)).applied == ["strength"]
                controls = server.manager.get(session.id)._board.controls
                assert (controls.strength, controls.seed) == (1.0, 4)
                ack = await session.update(options={"depth_every": None, "negative_prompt": ""})
                assert ack.applied == ["options"]
                controls = server.manager.get(session.id)._board.controls
                assert controls.options == {}
                with pytest.raises(ControlError, match="did you mean 'depth_every'"):
                    await session.update(options={"depth_evry": 2})

    with live_server(model=model) as made:
        asyncio.run(use(made.url, made))


def test_a_prompt_the_model_does_not_know_keeps_no_session_from_opening(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client:
            async with await client.open(prompt="gibberish", strength=0.5) as session:
                (notice,) = session.notices
                assert (notice.code, notice.control) == ("unknown_prompt", "prompt")
                events = session.events()
                assert isinstance(await anext(events), Live)
                assert await anext(events) == notice
                nearest, _ = notice.matches[0]
                assert (await session.update(prompt=nearest)).message == "taken as blue"
            with pytest.raises(ServerError) as refused:
                await client.open(prompt="gibberish", options={"nope": 1})
            assert (refused.value.code, refused.value.status) == ("control", 422)

    asyncio.run(use())
    assert not server.manager.sessions()


def test_who_asks_is_in_no_log_and_no_message(server: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the user and password of a URL, nor a token or a session's secret."""
    address = server.url.replace("://", "://me:hush@")

    async def use() -> list[str]:
        async with vivace.client.connect(address) as client, await client.open(prompt="red") as session:
            assert (await session.update(prompt="blue")).accepted
            with pytest.raises(ServerError) as refused:
                await client.request("GET", "/nowhere")
            said = [session.info.secret, repr(session.info), client.url, str(refused.value)]
        async with vivace.client.connect(server.url, token="hush.hush.hush") as client:
            await client.models()
        return said

    with caplog.at_level(logging.DEBUG):
        secret, *said = asyncio.run(use())
    who = base64.b64encode(b"me:hush").decode()
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    shown = "\n".join([*said, *lines])
    assert "HTTP Request" in shown, "the library below does log"
    assert not [word for word in ("hush", who, secret) if word in shown]


@pytest.mark.parametrize("address", ["http://me:hush@127.0.0.1:1", "http://127.0.0.1:1/?token=hush"])
def test_a_server_that_is_not_there_is_named_without_secrets(address: str) -> None:
    async def use() -> None:
        async with vivace.client.connect(address) as client:
            await client.models()

    with pytest.raises(ServerUnreachableError, match=r"127\.0\.0\.1:1.*does not answer") as error:
        asyncio.run(use())
    assert "hush" not in "".join(traceback.format_exception(error.value))


def test_a_proxy_in_front_hears_who_asks_on_both_ways() -> None:
    """The password of a URL still opens it, for requests and for the control channel."""
    heard: list[tuple[str, str]] = []

    async def use(url: str) -> None:
        async with vivace.client.connect(url.replace("://", "://me:a%2Fb@")) as client, await client.open():
            pass

    with live_server() as made:
        inner = made.server.config.loaded_app

        async def listening(scope: Any, receive: Any, send: Any) -> None:
            heard.append((scope["type"], dict(scope["headers"])[b"authorization"].decode()))
            await inner(scope, receive, send)

        made.server.config.loaded_app = listening
        asyncio.run(use(made.url))
    basic = f"Basic {base64.b64encode(b'me:a/b').decode()}"
    assert {kind for kind, _ in heard} == {"http", "websocket"}
    assert {who for _, who in heard} == {basic}


def test_a_request_says_once_who_asks() -> None:
    async def use() -> None:
        async with vivace.client.connect("http://me:hush@127.0.0.1:1", token="hush"):
            pass

    with pytest.raises(UsageError, match="not both") as error:
        asyncio.run(use())
    assert "hush" not in str(error.value)


def test_a_value_that_cannot_be_used_is_refused_before_it_is_sent(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client, await client.open() as session:
            with pytest.raises(ControlError, match="strength"):
                await session.update(strength=3)
            with pytest.raises(ControlError, match="strenght"):
                await session.update(strenght=1)

    asyncio.run(use())


def test_waiting_is_told_and_ends_when_a_slot_comes_free(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client:
            first, second = await client.open(), await client.open()
            assert (first.info.state, second.info.state, second.info.position) == ("live", "waiting", 1)
            waiting = asyncio.create_task(second.wait_live())
            await first.close()
            await waiting
            assert second.state == "live"
            seen = [type(event) async for event in _until_live(second)]
            assert Waiting in seen
            await second.close()

    asyncio.run(use())


async def _until_live(session):  # type: ignore[no-untyped-def]
    async for event in session.events():
        yield event
        if isinstance(event, Live):
            return


def test_recording_is_asked_for_and_answered(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client, await client.open() as session:
            begun = await session.record(True)
            done = await session.record(False)
            assert (begun.on, done.on, done.name) == (True, False, begun.name)
            with pytest.raises(ServerError) as refused:
                await session.record(False)
            assert refused.value.code == "not_recording"

    asyncio.run(use())


def test_a_session_of_a_server_that_is_only_starting_is_waited_for(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def check_loaded() -> None:
        asked.append(1)
        if len(asked) < 3:
            raise RefusedError("loading", "fake is being loaded", 0.01)

    monkeypatch.setattr(server.manager.models, "check_loaded", check_loaded)

    async def use() -> None:
        async with vivace.client.connect(server.url) as client, await client.open() as session:
            await session.wait_live()

    asyncio.run(use())
    assert len(asked) >= 3


def test_refusals_are_errors_with_code_and_status(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client:
            with pytest.raises(ServerError) as refused:
                await client.open(model="nope")
            assert (refused.value.code, refused.value.status) == ("unknown_model", 404)
            with pytest.raises(ServerError) as refused:
                await client.download("nothing.mp4")
            assert refused.value.code == "no_recording"
            session = await client.open()
            assert (await client.offer(session.info, OFFER)).startswith("v=0")
            await session.close()

    asyncio.run(use())


def test_what_the_server_has_is_listed(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client:
            assert (await client.models())[0]["name"] == "fake"
            assert (await client.presets())[0]["prompt"]
            assert (await client.quota())["slots"] == 1
            assert isinstance(await client.recordings(), list)

    asyncio.run(use())


def test_many_updates_at_once_each_get_their_own_answer(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client, await client.open() as session:
            seeds = [session.update(seed=seed) for seed in range(20)]
            numbers = [ack.update_index for ack in await asyncio.gather(*seeds)]
            assert numbers == list(range(1, 21))

    asyncio.run(use())


def test_a_token_opens_what_is_closed_without() -> None:
    secret = make_secret()
    with live_server(settings_for(token_secret=secret)) as server:
        token = make_token(secret, frozenset(["publish"]), expires_s=60, now_s=time.time())

        async def use(with_token: str | None) -> None:
            async with vivace.client.connect(server.url, token=with_token) as client, await client.open() as session:
                assert (await session.update(prompt="red")).accepted

        asyncio.run(use(token))
        with pytest.raises(ServerError) as refused:
            asyncio.run(use(None))
        assert refused.value.code == "no_token"


def test_a_lost_channel_is_found_again_and_the_session_is_the_same(server: LiveServer) -> None:
    async def use() -> None:
        async with vivace.client.connect(server.url) as client, await client.open(prompt="red") as session:
            assert session._socket is not None
            session._socket.transport.abort()
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    try:
                        ack = await session.update(prompt="blue")
                    except ServerUnreachableError:
                        await asyncio.sleep(0.02)
                    else:
                        break
            assert ack.accepted
            assert [live.id for live in server.manager.sessions()] == [session.id]

    asyncio.run(use())


def test_a_message_of_another_version_is_left_out_and_the_channel_goes_on(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    class Newer(Notice):
        since: str = "2.0"

    async def use() -> None:
        async with vivace.client.connect(server.url) as client, await client.open(prompt="red") as session:
            assert await anext(session.events())  # the server listens for it
            newer = Newer(code="unknown_prompt", message="", control="prompt", matches=[])
            server.manager.get(session.id).tell(newer)
            assert (await session.update(prompt="blue")).accepted

    asyncio.run(use())
    assert "since" in caplog.text


def test_a_server_that_is_gone_for_good_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(server: LiveServer) -> None:
        async with vivace.client.connect(server.url) as client:
            session = await client.open()
            await asyncio.to_thread(server.manager.end, session.id, "admin", "The operator ended it.")
            events = [event async for event in session.events()]
            assert isinstance(events[-1], Ended)
            assert events[-1].reason == "admin"
            await session.close()

    with live_server() as server:
        asyncio.run(use(server))

    async def knock() -> None:
        async with vivace.client.connect(server.url) as client:
            with pytest.raises(ServerUnreachableError, match="vivace serve"):
                await client.models()

    asyncio.run(knock())


@pytest.mark.parametrize("url", ["", "localhost:8787", "ftp://x", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    async def use() -> None:
        async with vivace.client.connect(url):
            pass

    with pytest.raises(UsageError, match="http"):
        asyncio.run(use())


@pytest.mark.parametrize(
    "wrong", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), None]
)
def test_a_picture_that_is_none_is_told_where_it_is_published(wrong: Any) -> None:
    async def exchange(_offer: str) -> str:
        raise AssertionError

    with pytest.raises(ControlError, match="the picture is"):
        RtcSession(exchange).publish(wrong)
