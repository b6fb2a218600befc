"""The session manager: admission, the queue, the detection of clients that left, and the end."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest

from fakes import NEGATIVE_PROMPT, SIZE, FakeClock, FakeModel, fail_on
from patience import PATIENCE_S
from serve_rig import grey, in_loop, next_of, opened, running_manager, until
from vivace import messages
from vivace.errors import ControlError, SessionClosedError, UnknownModelError
from vivace.serve.limits import RefusedError
from vivace.serve.record import SessionRecord
from vivace.serve.rtc.factory import PeerFactory
from vivace.serve.rtc.peer import LOOK_S
from vivace.serve.session_manager import TICK_S, SessionManager


def vivace_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("vivace-")}


@in_loop
async def test_who_finds_no_slot_waits_and_moves_up_when_one_ends():
    async with running_manager(slots=1) as manager:
        first = manager.open_session(client="ada")
        waiting = [manager.open_session(client="bob"), manager.open_session(client="cyd")]
        assert [session.state for session in (first, *waiting)] == ["live", "waiting", "waiting"]
        events = [session.events() for session in waiting]
        told = [await next_of(each, messages.Waiting) for each in events]
        assert [each.position for each in told] == [1, 2]
        assert [each.retry_after_s for each in told] == [None, None]
        assert waiting[0].push(grey())
        assert waiting[0].account.drops["waiting"] == 1
        first.end("client")
        assert [session.state for session in waiting] == ["live", "waiting"]
        assert (await next_of(events[0], messages.Live)).session == waiting[0].id
        assert (await next_of(events[1], messages.Waiting)).position == 1


@in_loop
async def test_a_full_queue_refuses_and_leaves_nothing_behind():
    async with running_manager(slots=1, queue_length=1) as manager:
        for client in ("ada", "bob"):
            manager.open_session(client=client)
        with pytest.raises(RefusedError, match="try again later") as caught:
            manager.open_session(client="cyd")
        assert caught.value.code == "queue_full"
        assert caught.value.retry_after_s > 0
        assert len(manager.sessions()) == 2
        assert manager.quota("cyd").sessions == 0


@in_loop
async def test_a_client_has_as_many_sessions_as_it_may():
    async with running_manager(slots=5, max_sessions_per_client=2) as manager:
        mine = [manager.open_session(client="ada") for _ in range(2)]
        with pytest.raises(RefusedError, match="this client has 2 sessions") as caught:
            manager.open_session(client="ada")
        assert caught.value.code == "too_many_sessions"
        manager.open_session(client="bob")
        assert (manager.quota("ada").sessions, manager.quota("ada").free_slots) == (2, 2)
        assert manager.end(mine[0].id, "client")
        assert not manager.end(mine[0].id, "client")
        manager.open_session(client="ada")


@in_loop
async def test_what_cannot_be_opened_is_refused_by_name():
    async with running_manager() as manager:
        with pytest.raises(UnknownModelError, match="does not offer the model 'maxi'; it has fake"):
            manager.open_session(client="ada", model="maxi")
        with pytest.raises(ControlError, match="trained for"):
            manager.open_session(client="ada", controls=messages.Controls(prompt="purple", denoising_steps=3))
        for limit, choice in ((64 * 2**20, "choose 128x128"), (1000, "fits at no size")):
            manager.models.served().admission.memory_limit_bytes = limit
            with pytest.raises(RefusedError, match=f"needs 768 MiB .*{choice}"):
                manager.open_session(client="ada", controls=messages.Controls(size=(512, 512)))
        with pytest.raises(SessionClosedError, match="there is no session"):
            manager.get("nobody")
        assert manager.sessions() == []


@pytest.mark.parametrize("prompt", ["purple", "?!", "🎨"])
@in_loop
async def test_a_prompt_the_model_does_not_know_keeps_no_session_from_opening(prompt):
    async with running_manager() as manager:
        session = manager.open_session(client="ada", controls=messages.Controls(prompt=prompt, strength=0.5))
        (notice,) = session.notices
        assert (notice.code, notice.control) == ("unknown_prompt", "prompt")
        assert notice.message.endswith(". The session begins without it.")
        if prompt == "purple":
            assert notice.message.startswith("no idea; near is blue")
            assert notice.matches == [("blue", 0.4), ("green", 0.1)]
        events = session.events()
        assert isinstance(await anext(events), messages.Live)
        assert await anext(events) == notice
        controls = session._board.controls
        assert (controls.prompt, controls.strength) == (None, 0.5), "the source, and all else as it was asked for"
        viewer = session.subscribe()
        session.push(grey())
        await until(lambda: session._processor is not None)
        picture = grey(7)
        session.push(picture)
        assert (await anext(viewer)).rgb is picture
        await session.update(messages.Controls(strength=0.7))
        assert session.notices == (notice,)
        assert not (await session.update(messages.Controls(prompt="purple"))).accepted
        assert session.notices == (notice,)
        assert (await session.update(messages.Controls(prompt="red"))).accepted
        assert session.notices == ()


@in_loop
async def test_each_prompt_that_is_left_out_has_a_notice_of_its_own():
    async with running_manager(FakeModel(options=(NEGATIVE_PROMPT,), record=False)) as manager:
        wish = messages.Controls(prompt="purple", options={"negative_prompt": "beige"}, seed=3)
        session = manager.open_session(client="ada", controls=wish)
        assert sorted(notice.control for notice in session.notices) == ["negative_prompt", "prompt"]
        controls = session._board.controls
        assert (controls.prompt, controls.options, controls.seed) == (None, {}, 3)
        await session.update(messages.Controls(prompt="red"))
        assert [notice.control for notice in session.notices] == ["negative_prompt"]
        await session.update(messages.Controls(options={"negative_prompt": "green"}))
        assert session.notices == ()


@in_loop
async def test_a_session_that_is_given_back_keeps_the_prompt_it_had():
    async with running_manager() as manager:
        session = manager.open_session(client="ada", controls=messages.Controls(prompt="red"))
        wish = messages.Controls(prompt="purple")
        assert manager.open_session(client="ada", controls=wish, resume=session.secret) is session
        assert session._board.controls.prompt.text == "red"
        session.end("client")
        renewed = manager.open_session(client="ada", controls=wish, resume=session.secret)
        assert [notice.code for notice in renewed.notices] == ["unknown_prompt"]


@in_loop
async def test_a_client_that_is_silent_is_absent_may_come_back_and_is_ended_after_the_grace_time():
    clock = FakeClock()
    async with running_manager(clock=clock, heartbeat_s=10, grace_s=20) as manager:
        session = manager.open_session(client="ada")
        clock.advance(9)
        session.presence.touch()
        clock.advance(9)
        manager.tick()
        assert (session.state, manager.snapshot().absent) == ("live", 0)
        clock.advance(15)
        manager.tick()
        assert (session.state, manager.snapshot().absent) == ("live", 1)
        events = session.events()
        assert manager.open_session(client="else", resume=session.secret) is session
        assert [(await next_of(events, messages.Live)).resumed for _ in range(2)] == [False, True]
        assert manager.snapshot().absent == 0
        clock.advance(31)
        manager.tick()
        ended = await next_of(events, messages.Ended)
        assert (session.state, ended.reason) == ("ended", "absent")
        assert "30 s" in ended.message or "31 s" in ended.message
        assert manager.sessions() == []


@in_loop
async def test_a_session_is_given_back_to_whoever_knows_its_secret_alone():
    async with running_manager(slots=5) as manager:
        session = manager.open_session(client="ada")
        assert manager.open_session(client="eve", resume=session.secret) is session, "from another address, too"
        assert manager.open_session(client="ada", resume="guess") is not session
        session.end("client")
        assert manager.open_session(client="ada", resume=session.secret) is not session


@in_loop
async def test_a_connection_is_a_sign_of_life_until_it_ends():
    clock = FakeClock()
    async with running_manager(clock=clock, heartbeat_s=10, grace_s=20, idle_s=1000) as manager:
        session = manager.open_session(client="ada")
        detach = session.attach()
        clock.advance(500)
        manager.tick()
        assert session.state == "live"
        detach(clock())
        detach(clock())
        clock.advance(29)
        manager.tick()
        assert session.state == "live"
        clock.advance(1)
        manager.tick()
        assert session.end_reason == "absent"


@in_loop
async def test_a_page_that_crashed_frees_its_slot_within_twelve_seconds():
    clock = FakeClock()
    async with running_manager(clock=clock, slots=1) as manager:
        session, other = await opened(manager), manager.open_session(client="bob")
        other.attach()
        close_channel, close_peer = session.attach(), session.attach()
        close_channel(clock())  # the system closes its sockets
        heard_s = clock()
        silence_s = PeerFactory(manager.settings).limits.silence_s
        clock.advance(silence_s + LOOK_S)  # UDP has no such signal
        close_peer(heard_s)
        manager.tick()
        assert session.state == "live"
        clock.advance(12 - TICK_S - silence_s - LOOK_S)
        manager.tick()
        assert (session.end_reason, other.state) == ("absent", "live")


@in_loop
async def test_a_session_without_pictures_is_idle():
    clock = FakeClock()
    async with running_manager(clock=clock, idle_s=60) as manager:
        session = await opened(manager)
        session.attach()
        clock.advance(59)
        session.push(grey())
        clock.advance(59)
        manager.tick()
        assert session.state == "live"
        clock.advance(1)
        manager.tick()
        assert (session.end_reason, "60 s" in session.end_message) == ("idle", True)


@in_loop
async def test_waiting_is_not_idling():
    clock = FakeClock()
    async with running_manager(clock=clock, slots=1, idle_s=60) as manager:
        for client in ("ada", "bob"):
            manager.open_session(client=client).attach()
        clock.advance(61)
        manager.tick()
        [session] = manager.sessions()
        assert (session.client, session.state) == ("bob", "live")
        clock.advance(59)
        manager.tick()
        assert session.state == "live"


@in_loop
async def test_draining_takes_nobody_in_tells_everybody_and_ends_who_stays():
    async with running_manager(slots=1) as manager:
        live, waiting = manager.open_session(client="ada"), manager.open_session(client="bob")
        events, others = live.events(), waiting.events()
        draining = asyncio.create_task(manager.drain(0.2))
        notice = await next_of(events, messages.Error)
        assert notice.code == "draining"
        assert (await next_of(others, messages.Ended)).reason == "drain"
        assert (live.state, manager.ready) == ("live", False)
        with pytest.raises(RefusedError, match="shutting down") as caught:
            manager.open_session(client="cyd")
        assert caught.value.code == "draining"
        await draining
        assert (await next_of(events, messages.Ended)).reason == "drain"
        assert manager.snapshot().ended == {"drain": 2}


@in_loop
async def test_draining_is_over_when_everybody_has_left():
    async with running_manager() as manager:
        session = manager.open_session(client="ada")
        draining = asyncio.create_task(manager.drain(60.0))
        await asyncio.sleep(0)
        session.end("client")
        async with asyncio.timeout(PATIENCE_S):
            await draining


@in_loop
async def test_nothing_is_left_of_ended_sessions():
    class Watched(FakeModel):
        def open(self, size, *, seed=0):
            state = super().open(size, seed=seed)
            states.append(weakref.ref(state))
            return state

    states = []
    model = Watched(record=False)
    before = vivace_threads()
    async with running_manager(model, slots=4) as manager:
        for _ in range(20):
            session = await opened(manager)
            viewer = session.subscribe()
            session.push(grey())
            await anext(viewer)
            session.end("client")
            viewer.close()
        del session, viewer
        await until(lambda: gc.collect() >= 0 and all(state() is None for state in states))
        snapshot = manager.snapshot()
        assert (snapshot.opened, snapshot.ended, snapshot.live) == (20, {"client": 20}, 0)
        assert (snapshot.models[0].live, snapshot.models[0].state_bytes) == (0, 0)
        assert snapshot.drops["opening"] == 20
    assert vivace_threads() == before


@in_loop
async def test_a_session_that_ends_while_its_model_is_opened_leaves_nothing():
    gate, began = threading.Event(), threading.Event()

    class Slow(FakeModel):
        def open(self, size, *, seed=0):
            if not managers:
                return super().open(size, seed=seed)
            began.set()
            assert gate.wait(PATIENCE_S)
            states.append(weakref.ref(state := super().open(size, seed=seed)))
            return state

    states, managers = [], []
    async with running_manager(Slow(record=False)) as manager:
        managers.append(manager)
        session = manager.open_session(client="ada", controls=messages.Controls(prompt="red"))
        session.push(grey())
        await until(began.is_set)
        session.end("client")
        gate.set()
        await until(lambda: states and states[0]() is None)
        assert session._processor is None
        assert manager.models.served().engine._queues == []


@in_loop
async def test_how_a_session_ended_is_known_to_who_was_away():
    async with running_manager() as manager:
        session = manager.open_session(client="ada")
        assert manager.how_ended(session.id) is None
        session.end("admin", "The operator ended it.")
        assert manager.how_ended(session.id) == messages.Ended(reason="admin", message="The operator ended it.")
        with pytest.raises(SessionClosedError, match=r"has ended \(admin\): The operator"):
            manager.get(session.id)
        for _ in range(300):
            manager.open_session(client="ada").end("client")
        assert manager.how_ended(session.id) is None


@in_loop
async def test_the_snapshot_counts_what_happened():
    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        session.push(grey())
        await anext(viewer)
        await until(lambda: manager.snapshot().stages["server"].count == 1)
        snapshot = manager.snapshot()
        assert (snapshot.live, snapshot.waiting, snapshot.recordings) == (1, 0, 0)
        assert snapshot.newest_frame_age_s == 0.0
        assert snapshot.stages["denoise"].count == 1
        assert (snapshot.models[0].slots, snapshot.models[0].engine_alive) == (2, True)
        assert snapshot.models[0].state_bytes == model.nbytes((32, 16))
        model.on_step = fail_on(0, 1, 2)
        for _ in range(3):
            before = session.account.frame_index
            session.push(grey())
            await until(lambda before=before: session.account.frame_index > before or session.state == "ended")
        assert manager.snapshot().ended == {"failed": 1}


@in_loop
async def test_slots_are_measured_when_none_are_set():
    clock = FakeClock()
    model = FakeModel(record=False, on_step=lambda _chunk: clock.advance(0.029))
    async with running_manager(model, clock, slots=None, min_fps=10.0, max_sessions_per_client=9) as manager:
        assert manager.snapshot().models[0].step_ms == pytest.approx(29)
        assert manager.quota("ada").slots == 3
        states = [manager.open_session(client="ada").state for _ in range(5)]
        assert states == ["live"] * 3 + ["waiting"] * 2


@in_loop
async def test_slots_follow_the_steps_that_are_painted():
    clock = FakeClock()
    model = FakeModel(record=False, on_step=lambda _chunk: clock.advance(0.030))
    async with running_manager(model, clock, slots=None, min_fps=10.0, budget_ms=1000.0) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        model.on_step = lambda _chunk: clock.advance(0.080)
        for _ in range(5):
            session.push(grey())
            await anext(viewer)
        await until(lambda: manager.quota("ada").slots == 1)


@in_loop
async def test_housekeeping_goes_on_by_itself_and_after_a_failure(monkeypatch, caplog):
    monkeypatch.setattr("vivace.serve.session_manager.TICK_S", 0.001)
    calls = []

    def tick(manager):
        calls.append(manager)
        if len(calls) == 1:
            raise ValueError("odd")

    monkeypatch.setattr(SessionManager, "tick", tick)
    async with running_manager():
        await until(lambda: len(calls) > 2)
    assert "housekeeping failed" in caplog.text


@in_loop
async def test_a_shape_that_the_model_fails_with_is_in_the_log_and_the_stream_goes_on(caplog):
    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        session = await opened(manager)

        def fail(size, *, seed=0):
            raise RuntimeError("no network of this shape")

        model.open = fail
        session.push(grey(size=(16, 32)))
        await until(lambda: "no network of this shape" in caplog.text)
        async with asyncio.timeout(PATIENCE_S):
            frames = session.subscribe()
            session.push(grey(size=(16, 32)))
            assert (await anext(aiter(frames))).rgb.shape[:2] == (16, 32)
            frames.close()


@in_loop
async def test_a_tick_sends_statistics_to_the_live_and_positions_to_the_waiting():
    async with running_manager(slots=1) as manager:
        live, waiting = manager.open_session(client="ada"), manager.open_session(client="bob")
        events, others = live.events(), waiting.events()
        await next_of(others, messages.Waiting)
        manager.tick()
        assert (await next_of(events, messages.Stats)).frame_index == 0
        assert (await next_of(others, messages.Waiting)).position == 1


@in_loop
async def test_sessions_open_from_many_threads_at_once_and_never_too_many():
    async with running_manager(slots=3, queue_length=4, max_sessions_per_client=100) as manager:

        def attempt(_number):
            try:
                return manager.open_session(client="ada").state
            except RefusedError as error:
                return error.code

        results = await asyncio.gather(*(asyncio.to_thread(attempt, number) for number in range(20)))
        assert sorted(results) == ["live"] * 3 + ["queue_full"] * 13 + ["waiting"] * 4


@in_loop
async def test_a_session_is_told_what_it_is_promised_and_who_waits_which_size_would_begin_at_once():
    clock = FakeClock()
    model = FakeModel(on_step=lambda _chunk: clock.advance(0.02), record=False)  # 3 per frame of 66.7 ms
    small, large = SIZE, (4 * SIZE[0], SIZE[1])
    async with running_manager(model, clock, slots=None, max_output_px=8 * SIZE[0] * SIZE[1]) as manager:
        first = manager.open_session(client="ada", fps=5.0)  # a third of the others' rate
        live = await next_of(first.events(), messages.Live)
        assert live.fps == pytest.approx(first.served.admission.promised_fps(first.served.demand(small, 1 / 3)))
        assert live.fps == pytest.approx(5.0, rel=0.1)
        manager.open_session(client="bob")
        waiting = manager.open_session(client="cyd", controls=messages.Controls(size=large))
        told = await next_of(waiting.events(), messages.Waiting)
        assert told.position == 1
        assert told.offer is not None
        assert told.offer[0] * told.offer[1] < large[0] * large[1]
        assert (await waiting.update(messages.Controls(size=told.offer))).accepted
        assert waiting.state == "live"
        assert waiting.promised_fps == pytest.approx(15.0, rel=0.1)


@in_loop
async def test_another_process_goes_on_with_a_session_as_it_was_steered():
    async with running_manager() as there, running_manager() as here:
        heard: list[str] = []
        there.on_change = heard.append
        session = there.open_session(client="ada", controls=messages.Controls(prompt="red", seed=7, strength=0.5))
        token = session.links.make("watch").token
        assert (await session.update(messages.Controls(strength=0.25))).accepted
        assert heard == [session.id] * 3, "opened, shared, steered"
        record = SessionRecord.model_validate_json(session.record.model_dump_json(exclude_unset=True))
        session.end("moved", "elsewhere")
        assert heard[3:] == [session.id]
        again = here.restore(record)
        assert here.restore(record) is again
        assert (again.id, again.secret, again.record) == (session.id, session.secret, session.record)
        assert (again._board.controls.strength, again._board.controls.seed) == (0.25, 7)
        assert again.links.find(token) is not None
        assert here.open_session(client="ada", resume=session.secret) is again
    async with running_manager(slots=1) as full:
        full.open_session(client="bob")
        with pytest.raises(RefusedError, match="no free slot for session"):
            full.restore(record)
        assert len(full.sessions()) == 1
        assert full.models.served().admission.waiting == 0
