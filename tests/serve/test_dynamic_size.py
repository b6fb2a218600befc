"""Outputs that grow while there is time: step by step, never at the cost of others, and back when time is short."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from fakes import FakeClock, FakeModel
from patience import PATIENCE_S
from serve_rig import grey, in_loop, next_of, running_manager, until
from vivace import messages
from vivace.media.frame import Frame
from vivace.serve.session import LiveSession
from vivace.serve.session_manager import SessionManager
from vivace.serve.shape import MAX_LARGER_SIZES, larger_areas

BASE, LARGEST = (64, 64), (128, 128)
SOURCE = (640, 640)
FPS = 25.0


class Machine:
    """Device with a given step time for each natural area; time passes only with steps and frames."""

    def __init__(self, base_ms: float) -> None:
        self.base_ms = base_ms
        self.clock = FakeClock()
        self.model = FakeModel(on_step=lambda chunk: self._step(chunk.rgb[0].size, chunk.effort), record=False)

    def _step(self, values: int, effort: float) -> None:
        self.clock.advance(self.base_ms / 1e3 * effort * values / (3 * BASE[0] * BASE[1]))


async def play(session: LiveSession, machine: Machine, seconds: float) -> list[Frame]:
    """Send pictures for this duration and return the resulting frames."""
    viewer = session.subscribe()
    seen = []
    for _ in range(round(seconds * FPS)):
        due_s = machine.clock() + 1 / FPS
        session.push(grey(size=SOURCE))
        async with asyncio.timeout(PATIENCE_S):
            seen.append(await anext(viewer))
        await until(lambda: not session._dynamic_size.preparing)
        machine.clock.advance(max(0.0, due_s - machine.clock()))
    viewer.close()
    return seen


async def begin(manager: SessionManager, **controls: object) -> LiveSession:
    session = manager.open_session(client="ada", controls=messages.Controls(prompt="red", crossfade_s=0, **controls))
    session.push(grey(size=SOURCE))
    await until(lambda: session._processor is not None)
    return session


def sizes_of(frames: list[Frame]) -> list[tuple[int, int]]:
    """Return sizes in order of arrival, each as often as it came."""
    sizes = [frame.size for frame in frames]
    return [size for place, size in enumerate(sizes) if not place or size != sizes[place - 1]]


def test_areas_go_from_the_largest_down_to_what_is_worth_it() -> None:
    assert larger_areas(512 * 288, 1280 * 720) == pytest.approx((6.25, 2.25))
    assert larger_areas(256 * 256, 1280 * 720) == pytest.approx((14.0625, 5.0625, 2.25))
    assert larger_areas(512 * 288, 512 * 288) == larger_areas(512 * 288, 342 * 192) == ()


@in_loop
async def test_an_output_grows_while_there_is_time_and_comes_down_within_a_second_when_there_is_none() -> None:
    machine = Machine(base_ms=4)
    async with running_manager(machine.model, machine.clock, size=BASE, dynamic_size=LARGEST) as manager:
        session = await begin(manager)
        events = session.events()
        grown = await play(session, machine, 16)
        assert sizes_of(grown) == [BASE, (96, 96), LARGEST]
        indices = [frame.index for frame in grown]
        assert indices == list(range(indices[0], indices[0] + len(indices)))  # no picture was lost for it
        session.tell_stats()
        stats = await next_of(events, messages.Stats)
        assert (stats.size, stats.effort) == (LARGEST, 1.0)
        machine.base_ms = 30
        began_s = machine.clock()
        shrunk = await play(session, machine, 4)
        assert sizes_of(shrunk) == [LARGEST, (96, 96), BASE]
        first_smaller = next(frame for frame in shrunk if frame.size != LARGEST)
        assert first_smaller.capture_time_s - began_s < 1.0
        assert sizes_of(await play(session, machine, 30)) == [BASE]
        manager.end(session.id, "client", "")


@in_loop
async def test_where_the_settings_ask_for_no_growth_nothing_grows() -> None:
    machine = Machine(base_ms=1)
    async with running_manager(machine.model, machine.clock, size=BASE) as manager:
        session = await begin(manager)
        assert sizes_of(await play(session, machine, 10)) == [BASE]


@in_loop
async def test_a_size_that_the_user_names_is_kept_and_time_is_saved_by_effort() -> None:
    machine = Machine(base_ms=2)
    async with running_manager(machine.model, machine.clock, size=BASE, dynamic_size=LARGEST) as manager:
        session = await begin(manager, size=(80, 80))
        assert sizes_of(await play(session, machine, 12)) == [(80, 80)]
        other = await begin(manager)
        await play(other, machine, 16)
        assert other.size == LARGEST
        assert (await other.update(messages.Controls(size=(96, 96)))).accepted
        machine.base_ms = 22
        seen = await play(other, machine, 6)
        assert sizes_of(seen) == [(96, 96)]
        assert other._processor is not None
        assert other._processor.deadline.effort < 1.0


@in_loop
async def test_what_a_slot_may_need_is_not_grown_into() -> None:
    """States take 12 MiB, grown 27 and 48; of 40 the second slot's 12 stay free."""
    machine = Machine(base_ms=1)
    changes = {"size": BASE, "dynamic_size": LARGEST, "memory_limit_mib": 40}
    async with running_manager(machine.model, machine.clock, **changes) as manager:
        session = await begin(manager)
        await play(session, machine, 30)
        assert session.size == (96, 96)
        other = await begin(manager)
        assert other.state == "live"


@in_loop
async def test_sessions_of_other_shapes_grow_into_no_more_networks_than_a_server_keeps() -> None:
    machine = Machine(base_ms=1)
    changes = {"size": BASE, "dynamic_size": LARGEST, "memory_limit_mib": 4096}
    async with running_manager(machine.model, machine.clock, **changes) as manager:
        for shape in ((640, 640), (640, 480), (640, 360)):
            session = manager.open_session(client="ada", controls=messages.Controls(prompt="red"))
            session.push(grey(size=shape))
            await until(lambda session=session: session._processor is not None)
            viewer = session.subscribe()
            for _ in range(12 * 25):
                machine.clock.advance(0.04)
                session.push(grey(size=shape))
                await anext(viewer)
                await until(lambda session=session: not session._dynamic_size.preparing)
            viewer.close()
            manager.end(session.id, "client", "")
        larger = {size for size in machine.model.opened if size[0] * size[1] > 1.2 * BASE[0] * BASE[1]}
        assert len(larger) == MAX_LARGER_SIZES


@in_loop
async def test_the_room_for_an_area_that_is_wanted_no_more_is_given_back() -> None:
    machine = Machine(base_ms=4)
    ready = threading.Event()
    opened: Callable[..., object] = machine.model.open

    def slowly(size: tuple[int, int], **options: int) -> object:
        if size[0] * size[1] > 1.2 * BASE[0] * BASE[1]:
            assert ready.wait(PATIENCE_S)
        return opened(size, **options)

    machine.model.open = slowly  # type: ignore[method-assign,assignment]
    changes = {"size": BASE, "dynamic_size": LARGEST, "memory_limit_mib": 4096}
    async with running_manager(machine.model, machine.clock, **changes) as manager:
        session = await begin(manager)
        admission = session.served.admission
        before = admission.state_bytes
        viewer = session.subscribe()

        async def frames(count: int) -> None:
            for _ in range(count):
                machine.clock.advance(0.04)
                session.push(grey(size=SOURCE))
                await anext(viewer)

        while not session._dynamic_size.preparing:
            await frames(1)
        await until(lambda: admission.state_bytes > before)
        machine.base_ms = 60  # while the larger one is compiled
        await frames(10)
        ready.set()
        await until(lambda: not session._dynamic_size.preparing)
        await frames(2)
        await until(lambda: admission.state_bytes == before)
        assert session.size == BASE
        viewer.close()
