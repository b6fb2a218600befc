"""A manager with a fake model and a fake clock, and waits for other threads without guessed sleeps."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from fakes import SIZE, FakeClock, FakeModel
from patience import PATIENCE_S
from vivace import messages
from vivace.serve.marking import Marking
from vivace.serve.session import LiveSession
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.stream.finish import Finisher
from vivace.trust.moderation import Moderation


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def settings(**changes: Any) -> ServeSettings:
    """Return settings for a fake model, with two slots."""
    return ServeSettings(**{"models": ["fake"], "size": SIZE, "dynamic_size": None, "slots": 2, **changes})


@asynccontextmanager
async def running_manager(
    model: FakeModel | None = None,
    clock: Callable[[], float] | None = None,
    finishers: Callable[[str], Sequence[Finisher]] = lambda _session: (),
    marking: Marking | None = None,
    moderation: Moderation | None = None,
    **changes: Any,
) -> AsyncIterator[SessionManager]:
    """Yield a started manager; its clock stands still by default."""
    the_model = model or FakeModel(record=False)
    manager = SessionManager(
        settings(**changes), lambda _name: the_model, clock or FakeClock(), finishers, marking, moderation
    )
    await manager.start()
    try:
        yield manager
    finally:
        await manager.stop()


def grey(level: int = 100, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a flat picture."""
    return np.full((size[1], size[0], 3), level, np.uint8)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until another thread has done something; fail if it does not."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "it never happened"
        await asyncio.sleep(0.001)


async def opened(
    manager: SessionManager, prompt: str | None = "red", client: str = "ada", **controls: Any
) -> LiveSession:
    """Return a live session whose model is open."""
    session = manager.open_session(client=client, controls=messages.Controls(prompt=prompt, crossfade_s=0, **controls))
    session.push(grey())
    await until(lambda: session._processor is not None)
    return session


async def next_of(events: Any, kind: type) -> Any:
    """Return the next event of a kind."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__} came")
