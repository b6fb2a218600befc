"""Laws of a served frame's cost: no lock of the manager, no account that nobody reads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from serve_rig import grey, in_loop, opened, running_manager, until
from vivace.serve.session_manager import SessionManager
from vivace.stream.histogram import Histogram


class CountedLock:
    """Lock that counts its holders."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.taken_by: list[str] = []

    def __enter__(self) -> Any:
        self.taken_by.append(threading.current_thread().name)
        return self._lock.__enter__()

    def __exit__(self, *error: Any) -> Any:
        return self._lock.__exit__(*error)


async def paint(manager: SessionManager, session: Any, frames: int = 5) -> None:
    for index in range(frames):
        session.push(grey(index))
        before = session.account.frame_index
        await until(lambda seen=before: session.account.frame_index > seen)


@in_loop
async def test_a_step_takes_no_lock_of_the_session_manager() -> None:
    async with running_manager() as manager:
        session = await opened(manager)
        manager._lock = lock = CountedLock()  # type: ignore[assignment]
        await paint(manager, session)
        assert [name for name in lock.taken_by if "engine" in name] == []


@in_loop
async def test_a_frame_is_counted_once_in_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[float] = []
    monkeypatch.setattr(Histogram, "add", lambda _self, time_ms: added.append(time_ms))
    async with running_manager() as manager:
        session = await opened(manager)
        await paint(manager, session)
        await until(lambda: len(added) == 5 * len(("receive", "wait", "prepare", "denoise", "refine", "server")))


@in_loop
async def test_how_long_steps_take_reaches_admission_with_the_next_tick() -> None:
    async with running_manager() as manager:
        session = await opened(manager)
        served = session.served
        await paint(manager, session, 3)
        assert len(served.steps) == 3
        manager.tick()
        assert not served.steps
