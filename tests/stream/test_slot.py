"""Streams of one model take turns at its device."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest
from tests.fakes import EMBEDS, SIZE, FakeModel, fail_on, picture

from patience import PATIENCE_S
from vivace.bench.systems.baselines import Forwarding
from vivace.errors import StepError
from vivace.models.base import Chunk, StreamModel
from vivace.stream.slot import ModelSlot

CHUNK = Chunk(picture(1)[None], np.array(EMBEDS["red"], np.float32))


def opened(model: StreamModel) -> ModelSlot:
    return ModelSlot(model, SIZE, 0)


def play(slot: ModelSlot) -> None:
    for _ in range(100):
        slot.step(CHUNK)
        slot.forget()


def test_steps_and_resets_of_one_model_never_overlap() -> None:
    model = FakeModel(on_step=lambda _: time.sleep(0), record=False)  # lets others in, if possible
    # A model that wraps another has the same turn.
    slots = [opened(model), opened(model), opened(Forwarding(model))]
    with ThreadPoolExecutor(len(slots)) as threads:
        list(threads.map(play, slots))  # the model asserts it


def test_a_step_that_fails_gives_the_turn_to_the_next() -> None:
    model = FakeModel(on_step=fail_on(0))
    failing, other = opened(model), opened(model)
    with pytest.raises(StepError):
        failing.step(CHUNK)
    with ThreadPoolExecutor(1) as thread:
        assert len(thread.submit(other.step, CHUNK).result(PATIENCE_S).rgb) == 1


def test_a_model_that_could_not_be_opened_at_its_first_step_is_opened_at_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = FakeModel()
    slot = ModelSlot(model, SIZE, 0, at_once=False)
    with monkeypatch.context() as broken:
        broken.setattr(model, "open", Mock(side_effect=RuntimeError("driver")))
        with pytest.raises(RuntimeError, match="driver"):
            slot.step(CHUNK)
    slot.forget()
    assert not slot.used
    assert len(slot.step(CHUNK).rgb) == 1


def test_another_model_is_stepped_meanwhile() -> None:
    with ThreadPoolExecutor(1) as thread:
        other = opened(FakeModel())
        slot = opened(FakeModel(on_step=lambda chunk: thread.submit(other.step, chunk).result(PATIENCE_S) and None))
        assert len(slot.step(CHUNK).rgb) == 1


def test_a_stream_may_be_opened_and_closed_during_a_step() -> None:
    model = FakeModel()

    def open_and_close() -> None:
        opened(model).close()

    with ThreadPoolExecutor(1) as thread:
        slot, other = opened(model), opened(model)

        def meanwhile(_: Chunk) -> None:
            other.close()
            open_and_close()
            thread.submit(open_and_close).result(PATIENCE_S)

        model.on_step = meanwhile
        assert len(slot.step(CHUNK).rgb) == 1
