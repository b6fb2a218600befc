"""The message of a stream that does not fit into memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import FakeModel
from mini2_folder import random_folder
from vivace.errors import CapacityError, StepError
from vivace.models import load_model
from vivace.models.capacity import memory_for
from vivace.models.mini import model as mini_model
from vivace.models.mini2 import model as mini2_model


class OutOfMemoryError(RuntimeError):
    """Error of the same name as torch's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        CapacityError("no memory"),
    ],
    ids=lambda error: str(error) or type(error).__name__,
)
def test_what_a_stream_needs_and_what_would_fit_is_said(error: Exception) -> None:
    with (
        pytest.raises(CapacityError, match=r"needs 2 MiB for a stream of 32x16 px.*16x8 needs 1 MiB"),
        memory_for(FakeModel(), (32, 16)),
    ):
        raise error


@pytest.mark.parametrize("error", [StepError("no more ink"), RuntimeError("a bug"), KeyboardInterrupt()])
def test_other_errors_are_left_as_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as raised, memory_for(FakeModel(), (32, 16)):
        raise error
    assert raised.value is error


def test_the_embedded_models_say_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(mini_model, "open_buffers", full)
    monkeypatch.setattr(mini2_model.EffortBuffers, "open", full)
    for name in ("mini", random_folder(tmp_path)):
        model = load_model(name, threads=1)
        with pytest.raises(CapacityError, match=rf"{model.spec.name} needs \d+ MiB for a stream of 96x64 px"):
            model.open((96, 64))
