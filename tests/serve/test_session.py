"""A live session: its frames come out painted, for all of its viewers, and for nobody else."""

from __future__ import annotations

import asyncio
import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image

from fakes import EMBEDS, SIZE, FakeClock, FakeModel, fail_on, paint
from patience import PATIENCE_S
from serve_rig import grey, in_loop, next_of, opened, running_manager, until
from vivace import messages
from vivace.errors import ControlError, SessionClosedError
from vivace.serve.statistics import NetworkReport


async def shown(subscription):
    async with asyncio.timeout(PATIENCE_S):
        return await anext(subscription)


def mask_url(alpha: np.ndarray, mode: str = "L") -> str:
    file = io.BytesIO()
    Image.fromarray(alpha).convert(mode).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@in_loop
async def test_a_frame_comes_out_painted_with_its_tag_and_its_history():
    async with running_manager() as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        session.push(grey(), 99.5, tag=4711)
        out = await shown(viewer)
        np.testing.assert_array_equal(out.rgb, paint(grey(), EMBEDS["red"]))
        assert (out.tag, out.capture_time_s, out.control_index) == (4711, 99.5, 0)
        assert list(out.marks) == ["receive", "wait", "prepare", "denoise", "refine"]
        assert session.size == SIZE


@in_loop
async def test_frames_that_a_model_gives_at_once_are_shown_one_by_one():
    clock = FakeClock(100.0)
    async with running_manager(FakeModel(chunk_frames=4, record=False), clock) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        for number in range(4):
            session.push(grey(number), 100.0 + 0.04 * number)
            await until(lambda: not session._queue.frames)
        seen = [(await shown(viewer)).index]
        for _ in range(3):
            clock.advance(0.04)
            seen.append((await shown(viewer)).index)
        assert seen == list(range(seen[0], seen[0] + 4))
        assert viewer.dropped == 0
        presenter = session._presenter
        session.end("admin", "")
        assert await asyncio.to_thread(presenter.join, PATIENCE_S)


@in_loop
async def test_pixels_of_two_sessions_never_mix():
    """Each session has its own level and prompt; every picture of its viewer must consist of just these."""
    async with running_manager() as manager:
        names = ["red", "blue"]
        sessions = [await opened(manager, name, seed=index) for index, name in enumerate(names)]
        viewers = [session.subscribe() for session in sessions]
        seen = [0, 0]
        for round_index in range(40):
            for index, session in enumerate(sessions):
                session.push(grey(20 + 40 * index), tag=round_index * 2 + index)
            for index, viewer in enumerate(viewers):
                out = await shown(viewer)
                base = out.rgb.astype(int) - np.rint(np.array(EMBEDS[names[index]]) * 64).astype(int) - 3 * index
                # The rest is the source and the memory of earlier ones: equal channels, in this level's range
                assert (base == base[0, 0, 0]).all()
                assert 20 + 40 * index <= base[0, 0, 0] <= 2 * (20 + 40 * index)
                assert out.tag % 2 == index
                seen[index] += 1
        assert seen == [40, 40]


@in_loop
async def test_every_viewer_sees_the_same_and_a_slow_one_holds_up_nobody():
    async with running_manager() as manager:
        session = await opened(manager)
        quick, slow = session.subscribe(), session.subscribe()
        for index in range(5):
            session.push(grey(), tag=index)
            assert (await shown(quick)).tag == index
        await until(lambda: session.account.drops["unread"] == 4)
        assert (await shown(slow)).tag == 4
        assert (quick.dropped, slow.dropped) == (0, 4)
        quick.close()
        quick.close()
        assert len(session._fanout._subscriptions) == 1
        with pytest.raises(StopAsyncIteration):
            await shown(quick)


@in_loop
async def test_a_busy_engine_takes_the_newest_frame_and_counts_the_others():
    gate, began = threading.Event(), threading.Event()

    def hold(_chunk):
        began.set()
        assert gate.wait(PATIENCE_S)

    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        model.on_step = hold
        session.push(grey(), tag=0)
        await until(began.is_set)
        for tag in (1, 2, 3):
            assert session.push(grey(), tag=tag)
        gate.set()
        await until(lambda: session.account.frame_index == 4)
        assert (await shown(viewer)).tag == 3
        assert session.account.drops["late"] == 2


@in_loop
async def test_an_update_is_exact_about_its_first_frame_and_told_when_that_leaves():
    async with running_manager() as manager:
        session = await opened(manager)
        viewer, events = session.subscribe(), session.events()
        session.push(grey())
        assert (await shown(viewer)).control_index == 0
        ack = await session.update(messages.Controls(prompt="blue", strength=1.0), "u7")
        assert (ack.id, ack.accepted, ack.update_index, ack.frame_index) == ("u7", True, 1, 2)
        assert set(ack.applied) == {"prompt", "strength"}
        assert (ack.message, ack.matches) == ("taken as blue", [("blue", 1.0)])
        session.push(grey())
        out = await shown(viewer)
        assert (out.index in (2, 3), out.control_index) == (True, 1)
        assert out.rgb[0, 0, 2] > out.rgb[0, 0, 0]
        applied = await next_of(events, messages.Applied)
        assert (applied.update_index, applied.frame_index in (2, 3)) == (1, True), "the last picture again, or the next"


@in_loop
async def test_a_change_is_seen_before_the_next_picture_and_once_for_each():
    async with running_manager(clock=FakeClock(100.0)) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        session.push(grey(), 99.5, tag=7)
        before = await shown(viewer)
        await session.update(messages.Controls(prompt="blue", crossfade_s=0.0))
        again = await shown(viewer)
        assert (again.tag, again.capture_time_s, again.control_index) == (7, 100.0, 1)
        assert (again.index, again.pts > before.pts) == (before.index + 1, True)
        assert again.rgb[0, 0, 2] > before.rgb[0, 0, 2]
        await session.update(messages.Controls(strength=0.5))
        session.push(grey(), tag=8)
        after = await shown(viewer)
        assert (after.tag, after.index, after.control_index) == (8, again.index + 1, 2)
        assert session.account.drops["late"] == 0


@in_loop
async def test_a_change_waits_for_the_next_picture_where_there_is_no_time_for_another():
    async with running_manager(clock=FakeClock(100.0)) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        session.push(grey())
        before = await shown(viewer)
        with session.served.engine._changed:
            session.served.engine._step_s = 1.0
        await session.update(messages.Controls(strength=0.5))
        session.push(grey(), tag=8)
        after = await shown(viewer)
        assert (after.tag, after.index, after.control_index) == (8, before.index + 1, 1), "nothing between them"


@pytest.mark.parametrize(
    ("controls", "reason"),
    [
        ({"prompt": "purple"}, "no idea; near is blue"),
        ({"denoising_steps": 3}, "trained for 1, 2, 4"),
        ({"size": (30, 16)}, "multiples of 8"),
        ({"size": (8192, 8192)}, "out of range"),
        ({"mask": "data:text/html;base64,AAAA"}, "give a PNG"),
    ],
)
@in_loop
async def test_what_cannot_be_done_is_refused_with_the_reason_and_changes_nothing(controls, reason):
    async with running_manager() as manager:
        session = await opened(manager)
        ack = await session.update(messages.Controls(strength=0.5, **controls))
        assert not ack.accepted
        assert ack.applied == []
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(ack.message)
        assert session._board.controls.strength == 1.0


@in_loop
async def test_outside_the_brush_the_picture_is_the_cameras():
    async with running_manager() as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        alpha = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        alpha[:, :8] = 255
        assert (await session.update(messages.Controls(mask=mask_url(alpha)))).accepted
        session.push(grey())
        out = await shown(viewer)
        np.testing.assert_array_equal(out.rgb[:, 8:], grey()[:, 8:])
        assert (out.rgb[:, :8, 0] > 100).all()
        assert (await session.update(messages.Controls(mask=""))).accepted
        session.push(grey())
        assert ((await shown(viewer)).rgb[..., 0] > 100).all()


@in_loop
async def test_an_empty_prompt_shows_the_source_itself():
    async with running_manager() as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        assert (await session.update(messages.Controls(prompt=""))).accepted
        picture = grey(7)
        session.push(picture)
        assert (await shown(viewer)).rgb is picture


@in_loop
async def test_the_output_has_the_shape_of_the_source_and_follows_when_it_turns():
    async with running_manager(size=(32, 32)) as manager:
        session = manager.open_session(client="ada", controls=messages.Controls(prompt="red"))
        session.push(grey(size=(320, 160)))
        await until(lambda: session._processor is not None)
        viewer = session.subscribe()
        session.push(grey(size=(320, 160)))
        landscape = (await shown(viewer)).rgb.shape
        assert landscape[1] > landscape[0]
        session.push(grey(size=(160, 80)))  # a sender that saves bits: the same shape, the same output
        assert (await shown(viewer)).rgb.shape == landscape
        session.push(grey(size=(160, 320)))
        await until(lambda: session._dynamic_size._change is not None or session.size[1] > session.size[0])
        await until(lambda: not session._dynamic_size.preparing)
        viewer.close()
        viewer = session.subscribe()
        session.push(grey(size=(160, 320)))
        portrait = (await shown(viewer)).rgb.shape
        assert portrait[:2] == landscape[1::-1]


@in_loop
async def test_the_model_is_opened_for_pictures_that_are_announced():
    async with running_manager(size=(32, 32)) as manager:
        session = manager.open_session(client="ada", controls=messages.Controls(prompt="red"))
        session.expect((160, 320))
        await until(lambda: session.size is not None)
        viewer = session.subscribe()
        session.push(grey(size=(160, 320)))
        first = await shown(viewer)
        assert first.index == 0, "not even the first picture waits for the model"
        assert first.rgb.shape[0] > first.rgb.shape[1]
        session.expect((320, 160))
        await until(lambda: session._dynamic_size._change is not None)
        session.push(grey(size=(320, 160)))
        assert (await shown(viewer)).rgb.shape[:2] == first.rgb.shape[1::-1]


@in_loop
async def test_another_size_is_opened_at_once_or_refused_when_there_is_no_room():
    async with running_manager(memory_limit_mib=8) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        assert (await session.update(messages.Controls(size=(64, 32)))).accepted
        session.push(grey())
        assert (await shown(viewer)).rgb.shape == (32, 64, 3)
        ack = await session.update(messages.Controls(size=(512, 512)))
        assert not ack.accepted
        assert "choose a smaller size" in ack.message
        session.push(grey())
        assert (await shown(viewer)).rgb.shape == (32, 64, 3)


@in_loop
async def test_three_failed_steps_end_that_session_only():
    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        broken, healthy = await opened(manager, "red"), await opened(manager, "blue")
        events, viewer = broken.events(), healthy.subscribe()
        model.on_step = fail_on(0, 1, 2)
        for _ in range(3):
            before = broken.account.frame_index
            broken.push(grey())
            await until(lambda before=before: broken.account.frame_index > before or broken.state == "ended")
        ended = await next_of(events, messages.Ended)
        assert ended.reason == "failed"
        assert "failed 3 times in a row, so this stream ends: no more ink" in ended.message
        assert not broken.push(grey())
        healthy.push(grey())
        assert (await shown(viewer)).rgb[0, 0, 2] > 100
        assert manager.ready


@in_loop
async def test_running_out_of_memory_ends_with_what_would_fit_and_the_engine_lives():
    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        broken = await opened(manager)
        events = broken.events()
        model.on_step = fail_on(0, error=MemoryError)
        broken.push(grey())
        ended = await next_of(events, messages.Ended)
        assert "16x8 needs 1 MiB" in ended.message
        again = await opened(manager)
        viewer = again.subscribe()
        again.push(grey())
        assert (await shown(viewer)).rgb[0, 0, 0] > 100


@in_loop
async def test_memory_that_runs_out_beside_the_model_says_what_would_fit_too():
    def fail(_frame):
        raise MemoryError

    async with running_manager() as manager:
        session = await opened(manager)
        events = session.events()
        session._processor.step = fail
        session.push(grey())
        assert "16x8 needs 1 MiB" in (await next_of(events, messages.Ended)).message


@in_loop
async def test_a_model_that_cannot_be_opened_ends_the_session_with_the_reason():
    def fail(size, *, seed=0):
        raise MemoryError

    model = FakeModel(record=False)
    async with running_manager(model) as manager:
        model.open = fail
        session = manager.open_session(client="ada")
        events = session.events()
        session.push(grey())
        ended = await next_of(events, messages.Ended)
        assert (ended.reason, "needs 2 MiB" in ended.message) == ("failed", True)
        assert manager.sessions() == []


@in_loop
async def test_a_mistake_of_ours_ends_the_session_without_telling_the_client_our_secrets(caplog):
    async with running_manager() as manager:
        session = await opened(manager)
        events = session.events()
        session._publish = None
        session.push(grey())
        ended = await next_of(events, messages.Ended)
        assert ended.message == "The server made a mistake; it is in its log. Open a new session."
        assert "NoneType" in caplog.text


@in_loop
async def test_events_begin_with_the_present_state_and_end_with_the_end():
    async with running_manager() as manager:
        session = await opened(manager)
        events = session.events()
        session.end("admin", "because")
        session.end("client", "too late")
        told = [event async for event in events]
        assert [event.type for event in told] == ["live", "ended"]
        assert (told[0].session, told[0].size) == (session.id, SIZE)
        assert (told[1].reason, told[1].message) == ("admin", "because")
        assert [event.type async for event in session.events()] == ["ended"]
        assert [frame async for frame in session.subscribe()] == []
        with pytest.raises(SessionClosedError):
            await session.update(messages.Controls(strength=0.1))


@in_loop
async def test_unread_statistics_are_replaced_and_other_events_never_lost():
    async with running_manager() as manager:
        session = await opened(manager)
        events = session.events()
        for index in range(50):
            session.tell_stats()
            if index % 10 == 0:
                session.tell(messages.Error(code="x", message=str(index)))
        session.end("client")
        kinds = [event.type async for event in events]
        assert kinds == ["live", *["error"] * 5, "stats", "ended"]


@in_loop
async def test_a_listener_that_never_listens_is_let_go():
    async with running_manager() as manager:
        session = await opened(manager)
        events = session.events()
        for index in range(1000):
            session.tell(messages.Error(code="x", message=str(index)))
        assert len([event async for event in events]) <= 260


@in_loop
async def test_statistics_say_what_is_measured():
    clock = FakeClock()
    async with running_manager(clock=clock) as manager:
        session = await opened(manager)
        viewer, events = session.subscribe(), session.events()
        for _ in range(30):
            clock.advance(0.04)
            captured_s = clock()
            clock.advance(0.01)
            session.push(grey(), captured_s)
            frame = await shown(viewer)
            session.report_sent(frame, clock() + 0.005)
        session.report_network(NetworkReport(rtt_ms=20.0, loss=0.0, bitrate_kbps=900.0))
        session.report_presented([(1, 62.0), (2, 64.0), (3, float("nan")), (4, -5.0), (5, 66.0)])
        session.tell_stats()
        stats = await next_of(events, messages.Stats)
        assert stats.fps_in == pytest.approx(20, rel=0.1)
        assert stats.fps_out == pytest.approx(20, rel=0.1)
        assert stats.age_ms == pytest.approx(10)
        assert stats.stages_ms["receive"].p50 == pytest.approx(10, rel=0.01)
        assert stats.stages_ms["encode"].p50 == pytest.approx(5, rel=0.01)
        assert stats.stages_ms["server"].p95 == pytest.approx(15, rel=0.01)
        assert stats.glass_to_glass_ms.p50 == pytest.approx(64, rel=0.01)
        assert (stats.effort, stats.rtt_ms, stats.bitrate_kbps, stats.drops) == (1.0, 20.0, 900.0, {"opening": 1})
        assert (stats.limit, stats.recording) == ("camera", None)


@pytest.mark.parametrize("shape", [(16, 32), (16, 32, 4), (0, 32, 3)])
@in_loop
async def test_what_is_no_picture_is_refused(shape):
    async with running_manager() as manager:
        session = manager.open_session(client="ada")
        with pytest.raises(ControlError, match="give uint8"):
            session.push(np.zeros(shape, np.uint8))


@in_loop
async def test_a_picture_that_is_too_large_is_refused():
    async with running_manager(max_frame_px=1000) as manager:
        session = manager.open_session(client="ada")
        with pytest.raises(ControlError, match="1,000 pixels"):
            session.push(grey(size=(40, 30)))


@in_loop
async def test_sessions_that_run_at_once_share_the_budget():
    clock = FakeClock()
    async with running_manager(clock=clock, budget_ms=40.0) as manager:
        one, two = await opened(manager), await opened(manager)
        viewer, other = one.subscribe(), two.subscribe()
        for _ in range(60):
            clock.advance(0.04)
            one.push(grey())
            await shown(viewer)
        assert one._processor.deadline.budget_ms == pytest.approx(40, rel=0.05)
        for _ in range(60):
            clock.advance(0.04)
            for session, each in ((one, viewer), (two, other)):
                session.push(grey())
                await shown(each)
        assert one._processor.deadline.budget_ms == pytest.approx(20, rel=0.05)
