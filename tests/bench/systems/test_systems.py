"""Measured systems: the same stream as an application's, and baselines that keep their promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fakes import FakeModel
from live2diff_tiny import tiny_model
from vivace.bench.latency.webrtc_server import SlowModel
from vivace.bench.metrics.footage import Frames
from vivace.bench.systems.baselines import ClassicFilter, Forwarding, Frozen, Once, Passthrough, PerFrame
from vivace.bench.systems.faults import FAULTS, Faulty, LeakyModel
from vivace.bench.systems.system import ModelSystem, Painted, Request
from vivace.models import base, load_model
from vivace.models.base import StepResult, StreamModel
from vivace.stream import Stream

REQUEST = Request((96, 64), 24.0, "black ink brush drawing", case="clip/style/ink", style="ink")
RED = Request((96, 64), 24.0, "red", case="clip/edit")


@pytest.fixture(scope="module")
def model() -> StreamModel:
    return load_model("mini", threads=1)


@pytest.fixture(scope="module")
def source() -> Frames:
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (16, 24, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    return np.stack([large[2 * i : 2 * i + 64, 3 * i : 3 * i + 96] for i in range(5)])


@pytest.fixture(scope="module")
def masks(source: Frames) -> np.ndarray:
    masks = np.zeros(source.shape[:3], bool)
    for index, mask in enumerate(masks):
        mask[10:40, 5 * index : 5 * index + 40] = True
    return masks


def test_a_model_is_run_as_an_application_runs_it(model: StreamModel, source: Frames) -> None:
    painted = ModelSystem(model).run(REQUEST, source)
    assert painted.refused is None
    with Stream(model, prompt=REQUEST.prompt, size=(96, 64)) as stream:
        pushed = [stream.push(rgb, index / 24.0)[0].rgb for index, rgb in enumerate(source)]
    assert np.array_equal(painted.frames, np.stack(pushed))


def test_the_mask_of_each_frame_is_the_one_used(model: StreamModel, source: Frames, masks: np.ndarray) -> None:
    painted = ModelSystem(model).run(replace(REQUEST, mask=masks), source).frames
    assert np.array_equal(painted[~masks], source[~masks])
    for index in range(len(source)):
        assert np.abs(painted[index][masks[index]].astype(int) - source[index][masks[index]]).mean() > 5


def test_a_prompt_that_cannot_be_served_shows_the_source_and_says_why(model: StreamModel, source: Frames) -> None:
    painted = ModelSystem(model).run(replace(REQUEST, prompt="qwrtz plkjh vbnmx"), source)
    assert painted.refused
    assert np.array_equal(painted.frames, source)


def test_per_frame_knows_nothing_of_the_frame_before(model: StreamModel, source: Frames) -> None:
    system = ModelSystem(PerFrame(model), name="per-frame")
    still = np.repeat(source[:1], 4, axis=0)
    painted = system.run(REQUEST, still).frames
    assert all(np.array_equal(painted[0], frame) for frame in painted[1:])
    after_others = system.run(REQUEST, np.concatenate([source[1:4], source[:1]])).frames[-1]
    assert np.array_equal(after_others, painted[0])


def test_passthrough_and_frozen_do_nothing(source: Frames, masks: np.ndarray) -> None:
    class Negative:
        name, role, about = "negative", "subject", ""
        runs = 0

        def accepts(self, request: Request) -> str | None:
            return None

        def run(self, request: Request, source: Frames) -> Painted:
            self.runs += 1
            return Painted(255 - source)

    negative = Negative()
    once = Once(negative)
    assert np.array_equal(Passthrough().run(REQUEST, source).frames, source)
    once.run(REQUEST, source)
    assert np.array_equal(Frozen(once).run(REQUEST, source).frames, np.repeat(255 - source[:1], len(source), axis=0))
    assert negative.runs == 1
    kept = Frozen(once).run(replace(REQUEST, case="other", mask=masks), source).frames
    assert negative.runs == 2
    assert np.array_equal(kept[~masks], source[~masks])


def test_the_filter_paints_inside_the_mask_and_styles_only(source: Frames, masks: np.ndarray) -> None:
    system = ClassicFilter()
    painted = system.run(replace(REQUEST, mask=masks), source).frames
    assert np.array_equal(painted[~masks], source[~masks])
    assert np.abs(painted[masks].astype(int) - source[masks]).mean() > 5
    assert system.accepts(replace(REQUEST, style=None)) is not None


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.key)
def test_a_planted_fault_is_small_and_there(fault, source: Frames, masks: np.ndarray) -> None:
    request = replace(REQUEST, mask=masks, fps=2 / 60)
    spoilt = Faulty(Passthrough(), fault).run(request, source).frames
    assert spoilt.shape == source.shape
    assert spoilt.dtype == np.uint8
    assert not np.array_equal(spoilt, source)
    if fault.key == "delay":
        assert np.array_equal(spoilt[1:], source[:-1])
    else:
        assert np.abs(spoilt.astype(int) - source).max() <= 7


def test_pictures_of_a_model_that_trails_lie_beside_those_they_were_made_of(source: Frames) -> None:
    at_once = ModelSystem(FakeModel(lag=0)).run(RED, source[:, :64, :96]).frames
    trailing = ModelSystem(FakeModel(lag=3)).run(RED, source[:, :64, :96]).frames
    assert np.array_equal(trailing, at_once)
    # In a network, only the parts that change with the frame can be recognised.
    system = ModelSystem(tiny_model((25, 34, 43)))
    changed = source.copy()
    changed[2] = 255 - changed[2]
    before, after = (system.run(REQUEST, frames).frames for frames in (source, changed))
    assert [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)][:3] == [False, False, True]


def test_per_frame_of_a_model_that_trails_is_that_of_one_that_does_not(source: Frames) -> None:
    for chunk_frames, lag in ((1, 2), (2, 3)):
        models = (
            PerFrame(FakeModel(chunk_frames=chunk_frames, lag=lag)),
            PerFrame(FakeModel(chunk_frames=chunk_frames)),
        )
        trailing, at_once = (ModelSystem(model).run(RED, source).frames for model in models)
        assert np.array_equal(trailing, at_once)
    painted = ModelSystem(PerFrame(tiny_model())).run(REQUEST, np.repeat(source[:1], 3, axis=0)).frames
    assert all(np.array_equal(painted[0], frame) for frame in painted[1:])


class AbleModel(FakeModel):
    """Model with every optional ability."""

    def prepare_efforts(self, state) -> None:
        self.prepared = state

    def compose(self, prompt, options):
        return -prompt.embeds

    def save(self, state):
        return {"memory": state.memory.copy()}

    def restore(self, state, memory) -> None:
        state.memory[...] = memory["memory"]

    def places_at(self, rgb, x, y):
        return ("person",)

    def whole_request(self, text, now, before):
        return text


ABILITIES = [kind for kind in vars(base).values() if getattr(kind, "_is_runtime_protocol", False)]


@pytest.mark.parametrize("wrap", [Forwarding, PerFrame, LeakyModel, lambda model: SlowModel(model, 0.0)])
def test_a_model_within_another_is_able_to_do_what_it_is_and_no_more(wrap) -> None:
    plain, able = FakeModel(), AbleModel()
    assert ABILITIES
    for ability in ABILITIES:
        assert isinstance(able, ability), "this test has to know of every ability"
        assert isinstance(wrap(able), ability)
        assert isinstance(wrap(wrap(able)), ability)
        assert not isinstance(wrap(plain), ability)
    within = wrap(able)
    state = within.open((96, 64))
    within.prepare_efforts(state)
    assert able.prepared is state
    state.memory[...] = 7
    memory = within.save(state)
    within.reset(state)
    within.restore(state, memory)
    assert (state.memory == 7).all()
    with Stream(within, prompt="red", size=(96, 64)) as stream:
        painted = stream.push(np.full((64, 96, 3), 100, np.uint8))[0].rgb
    assert (painted == (36, 100, 100)).all()


@pytest.mark.parametrize("edited", ["none", "mixed", "mask"])
def test_per_frame_keeps_what_a_model_that_trails_left_alone(source: Frames, edited: str) -> None:
    half = np.array([[[255, 0]]], np.uint8)

    def result(rgb: np.ndarray) -> StepResult:
        if edited == "none" or (edited == "mixed" and not len(rgb)):
            return StepResult(rgb, "none")
        return StepResult(rgb, np.tile(half, (len(rgb), 1, 1)))

    model = FakeModel(lag=1)
    model.result = result  # type: ignore[method-assign]
    painted = ModelSystem(PerFrame(model)).run(RED, source).frames
    width = source.shape[2]
    assert np.array_equal(painted[:, :, width // 2 :], source[:, :, width // 2 :])
    assert np.array_equal(painted, source) == (edited == "none")
