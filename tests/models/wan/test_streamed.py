"""The family in the live loop and in the server: sources that do not fit chunks, and changes in the middle of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

import wan_mirror as toy
from fakes import FakeClock
from patience import PATIENCE_S
from serve_rig import in_loop, opened, running_manager, until
from vivace.media.frame import Frame
from vivace.models.wan.model import WanModel
from vivace.stream import Stream

Load = Callable[..., WanModel]
SIZE = (64, 64)
RED, INK = "turn the red mug into a glass", "ink sketch of a fox in the snow"


def still(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a picture, different for every index, of one scene."""
    level = np.full((size[1], size[0], 3), 90, np.uint8)
    level[:, : 1 + index % size[0]] = 140
    return level


def indices(frames: list[Frame]) -> list[int]:
    return [frame.index for frame in frames]


@pytest.fixture(params=toy.PROFILES)
def model(request: pytest.FixtureRequest, load: Load) -> WanModel:
    return load(request.param, steps=1)


@pytest.mark.parametrize("frames", [1, 3, 17])
def test_a_source_that_is_no_whole_number_of_chunks_comes_out_whole(model: WanModel, frames: int) -> None:
    with Stream(model, prompt=RED, size=SIZE, detect_cuts=False) as stream:
        out = [frame for index in range(frames) for frame in stream.push(still(index))]
        out += stream.flush()
    assert indices(out) == list(range(frames))
    assert all(frame.painted for frame in out)


def test_a_change_in_the_midst_of_a_chunk_loses_no_frame(model: WanModel) -> None:
    changes = {5: {"prompt": INK}, 9: {"size": (80, 64)}, 14: {"seed": 3}, 20: {"prompt": None}, 23: {"prompt": RED}}
    with Stream(model, prompt=RED, size=SIZE, detect_cuts=False) as stream:
        out: list[Frame] = []
        for index in range(30):
            if index in changes:
                stream.update(**changes[index])
            out += stream.push(still(index))
        out += stream.flush()
        assert stream.stats().last_error is None
    assert indices(out) == list(range(30))
    assert out[-1].rgb.shape == (64, 80, 3)


def test_a_cut_begins_anew_with_a_short_chunk(load: Load) -> None:
    model = load("longlive", steps=1)
    dark, bright = (
        np.kron(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
        for seed in (1, 2)
    )
    with Stream(model, prompt=RED, size=SIZE) as stream:
        out = [frame for index in range(24) for frame in stream.push(dark if index < 11 else bright)] + stream.flush()
        resets = stream.stats().resets
    assert indices(out) == list(range(24))
    assert resets.get("cut") == 1


@pytest.mark.parametrize("name", ["liveedit", "causal-forcing"])
def test_a_picture_by_itself_is_painted(load: Load, name: str) -> None:
    with Stream(load(name, steps=1), prompt=RED) as stream:
        assert stream.still(still(3, (96, 64))).rgb.shape == (64, 96, 3)


@pytest.mark.parametrize("name", toy.PROFILES)
def test_a_session_of_the_server_is_painted(load: Load, name: str) -> None:
    model = load(name, steps=1)

    @in_loop
    async def served() -> None:
        async with running_manager(model, FakeClock(100.0), size=SIZE) as manager:
            session = await opened(manager, RED)
            viewer = session.subscribe()
            came = asyncio.ensure_future(anext(viewer))
            for number in range(4 * model.spec.chunk_frames):  # those that came while it opened may be lost
                session.push(still(number), 100.0)
                await until(lambda: not session._queue.frames)
            async with asyncio.timeout(PATIENCE_S):
                frame = await came
            assert frame.painted
            presenter = session._presenter
            session.end("admin", "")
            assert presenter is not None
            assert await asyncio.to_thread(presenter.join, PATIENCE_S)

    served()
