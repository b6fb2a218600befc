"""Thumbnails: their content, and that they take no time from streams."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fakes import FakeClock, FakeModel
from http_fakes import running
from serve_rig import in_loop
from vivace.serve import thumbnails
from vivace.serve.costs import StepCosts
from vivace.serve.limits import RefusedError
from vivace.serve.thumbnails import FRAMES, Thumbnails, frames_needed, render, scene_pictures


@pytest.mark.parametrize(("chunk_frames", "lag"), [(1, 0), (1, 3), (4, 1), (4, 3)])
def test_a_thumbnail_is_the_second_picture_however_late_a_model_gives_it(chunk_frames: int, lag: int) -> None:
    plain = render(FakeModel(), "red", scene_pictures(thumbnails.SIZE, FRAMES))
    model = FakeModel(chunk_frames=chunk_frames, lag=lag)
    picture = render(model, "red", scene_pictures(thumbnails.SIZE, frames_needed(model.spec)))
    assert picture.shape == plain.shape == (144, 256, 3)
    assert sum(len(chunk.rgb) for chunk in model.chunks) == frames_needed(model.spec)
    if chunk_frames == 1:
        np.testing.assert_array_equal(picture, plain)


def test_a_model_that_takes_seconds_paints_no_thumbnails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivace.serve.served_model.calibrate", lambda *_: 3_000.0)
    with running() as slow:
        answer = slow.client.get(slow.client.get("/v1/presets").json()["presets"][0]["thumbnail"])
        assert (answer.status_code, answer.json()["code"]) == (404, "no_thumbnail")


class IdleEngine:
    """Engine that does deferrable work at once, each in 20 ms, or has no time at all."""

    def __init__(self, clock: FakeClock, *, live: bool, idle: bool = True) -> None:
        self.clock, self.live, self.idle = clock, live, idle

    def share_s(self) -> float:
        return 0.04 if self.live else float("inf")

    def when_idle(self, act: Callable[[], Any]) -> Future[Any]:
        done: Future[Any] = Future()
        if self.idle:
            self.clock.advance(0.02)
            done.set_result(act())
        return done


@pytest.mark.parametrize("live", [False, True])
@in_loop
async def test_thumbnails_rest_while_somebody_is_live(live: bool) -> None:
    clock, slept = FakeClock(), []

    async def sleep(s: float) -> None:
        slept.append(s)
        clock.advance(s)

    class Taking(FakeModel):
        def _step(self, state, chunk):
            clock.advance(0.03)
            return super()._step(state, chunk)

    served = SimpleNamespace(
        model=Taking(record=False),
        engine=IdleEngine(clock, live=live),
        admission=SimpleNamespace(costs=StepCosts((256, 256), 1.0)),
    )
    painted = Thumbnails(clock, sleep)
    rgb = np.zeros((144, 256, 3), np.uint8)
    for _ in range(3):
        assert await painted.of_picture(served, "red", rgb, "someone")
    rest_s = 2 * 0.03 * (1 / thumbnails.SHARE - 1) - 0.05 if live else 0
    assert slept == pytest.approx([0, rest_s, rest_s])


@in_loop
async def test_thumbnails_of_a_model_that_has_no_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "PATIENCE_S", 0.01)
    engine = IdleEngine(FakeClock(), live=True, idle=False)
    served = SimpleNamespace(
        model=FakeModel(), engine=engine, admission=SimpleNamespace(costs=StepCosts((256, 256), 1.0))
    )
    with pytest.raises(RefusedError, match="no time") as refused:
        await Thumbnails().of_picture(served, "red", np.zeros((144, 256, 3), np.uint8), "someone")
    assert refused.value.code == "busy"
    assert not served.model.opened
