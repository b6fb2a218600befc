"""Controls of a model on the server: strength, negative prompt, options, and those closed to clients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import vivace.models
from fakes import EMBEDS, NEGATIVE_PROMPT, SIZE, FakeModel, fail_on
from http_fakes import Running, running, settings_for
from serve_rig import grey, in_loop, next_of, opened, running_manager, until
from vivace import messages
from vivace.errors import CapacityError, UsageError
from vivace.models.controls import ControlSpec
from vivace.models.loading import LoadOptions
from vivace.runtime.device import Device
from vivace.serve.limits import SharedOptionError
from vivace.serve.served_model import free_bytes
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.serve.settings_sources import read_settings
from vivace.stream.slot import ModelSlot

OPTIONS = (
    ControlSpec(name="depth_every", help="frames between two looks at depth", default=1, low=1, high=8, whole=True),
    ControlSpec(name="anchor", kind="event", help="a change anchors anew"),
    ControlSpec(name="lora ink", help="weight of a LoRA", default=1.0, low=0.0, high=2.0, shared=True),
    NEGATIVE_PROMPT,
)
CONDITIONS = ("prompt", "strength")


def steered(**changes: Any) -> FakeModel:
    """Return a model with its own controls."""
    return FakeModel(conditions=CONDITIONS, options=OPTIONS, default_strength=0.5, **changes)


@in_loop
async def test_controls_of_its_own_reach_the_model() -> None:
    model = steered()
    async with running_manager(model) as manager:
        session = await opened(manager, options={"depth_every": 2, "negative_prompt": "green"})
        before = len(model.chunks)
        session.push(grey())
        await until(lambda: len(model.chunks) == before + 1)
        assert (await session.update(messages.Controls(events=["anchor"]))).applied == ["events"]
        session.push(grey())
        await until(lambda: len(model.chunks) == before + 2)
        ack = await session.update(
            messages.Controls(options={"depth_every": None, "negative_prompt": ""}, strength=0.75)
        )
        assert ack.accepted
        session.push(grey())
        await until(lambda: len(model.chunks) == before + 3)
        first, second, third = model.chunks[before:]
        assert (first.options, third.options) == (second.options, {})
        assert first.options["depth_every"] == 2.0
        assert (first.events, second.events, third.events) == (set(), {"anchor"}, set())
        assert [chunk.strength for chunk in (first, second, third)] == [0.5, 0.5, 0.75]
        np.testing.assert_array_equal(first.options["negative_prompt"].embeds, EMBEDS["green"])


@pytest.mark.parametrize(
    ("controls", "code", "reason"),
    [
        ({"options": {"lora ink": 0.5}}, "shared_option", "changes fake for everybody.*ask who runs it"),
        ({"options": {"lora ink": None, "depth_every": 2}}, "shared_option", "leave it out"),
        ({"options": {"depth_evry": 2}}, "control", "did you mean 'depth_every'"),
        ({"options": {"depth_every": 2.5}}, "control", "not a whole number"),
        ({"options": {"depth_every": True}}, "control", "depth_every is True, not a whole number"),
        ({"events": ["lora ink"]}, "shared_option", "lora ink"),
        ({"events": ["depth_every"]}, "control", "fake has no event 'depth_every'; known: anchor"),
        ({"options": {"negative_prompt": "purple"}}, "unknown_prompt", "negative_prompt: no idea"),
        ({"prompt": "purple"}, "unknown_prompt", "no idea"),
    ],
)
@in_loop
async def test_a_refused_update_has_a_code_and_changes_nothing(controls: Any, code: str, reason: str) -> None:
    async with running_manager(steered(record=False)) as manager:
        session = await opened(manager)
        before = session._board.controls
        ack = await session.update(messages.Controls(**controls))
        assert (ack.accepted, ack.code) == (False, code)
        with pytest.raises(AssertionError, match=reason):
            raise AssertionError(ack.message)
        assert session._board.controls is before


@in_loop
async def test_a_session_does_not_begin_with_a_shared_option_either() -> None:
    async with running_manager(steered(record=False)) as manager:
        with pytest.raises(SharedOptionError, match="lora ink"):
            manager.open_session(client="ada", controls=messages.Controls(options={"lora ink": 1.0}))
        assert manager.sessions() == []


@pytest.fixture(scope="module")
def server() -> Any:
    with running(model=steered(record=False)) as made:
        yield made


def test_a_shared_option_is_refused_over_http_with_its_code(server: Running) -> None:
    answer = server.client.post("/v1/sessions", json={"controls": {"options": {"lora ink": 0.5}}})
    assert (answer.status_code, answer.json()["code"]) == (422, "shared_option")


def test_a_page_can_build_inputs_for_what_a_client_may_set(server: Running) -> None:
    (model,) = server.client.get("/v1/models").json()["models"]
    properties = model["options"]["properties"]
    assert model["spec"]["default_strength"] == properties["strength"]["default"] == 0.5
    own = properties["options"]["properties"]
    assert own["depth_every"] == {
        "title": "Depth every", "description": "frames between two looks at depth",
        "type": "integer", "minimum": 1, "maximum": 8, "default": 1,
    }  # fmt: skip
    assert own["negative_prompt"]["title"] == "Negative prompt"
    assert set(own) == {"depth_every", "negative_prompt"}
    assert properties["events"]["items"]["oneOf"] == [
        {"const": "anchor", "title": "Anchor", "description": "a change anchors anew"}
    ]
    assert [option["name"] for option in model["spec"]["options"] if option["shared"]] == ["lora ink"]


def test_a_model_without_them_shows_none_of_them() -> None:
    with running() as plain:
        (model,) = plain.client.get("/v1/models").json()["models"]
    assert not {"options", "events"} & set(model["options"]["properties"])
    assert model["options"]["properties"]["strength"]["default"] == 1.0


# Loading


def test_only_the_first_model_is_loaded_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def load(name: str, **options: Any) -> FakeModel:
        asked[name] = options
        return FakeModel(record=False)

    monkeypatch.setattr(vivace.models, "load_model", load)
    loading = LoadOptions(style="felted", steps=2)
    manager = SessionManager(
        ServeSettings(models=["live2diff", "mini"], size=SIZE, runtime="eager", loading=loading, threads=1)
    )
    manager.models.served("live2diff")
    manager.models.served("mini")
    assert asked["live2diff"] == {"runtime": "eager", "threads": 1, "options": loading}
    assert asked["mini"] == {"threads": 1}
    for served in manager.models.loaded().values():
        served.engine.stop()


def test_clients_learn_a_profiles_name_and_not_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str, **_: Any) -> FakeModel:
        asked.append(name)
        return FakeModel(record=False)

    monkeypatch.setattr(vivace.models, "load_model", load)
    settings = settings_for(models=["/srv/secret/house.toml", "mini"])
    with running(settings, fake=False) as served:
        assert [model["name"] for model in served.client.get("/v1/models").json()["models"]] == ["house", "mini"]
        assert served.open(model="house")["model"] == "house"
        assert "secret" not in served.client.get("/v1/models").text
    assert asked == ["/srv/secret/house.toml"]


def test_how_a_model_is_loaded_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVACE_SERVE_LOADING", '{"style": "felted", "loras": {"a.safetensors": 0.5}}')
    monkeypatch.setenv("VIVACE_SERVE_LOADING__STEPS", "3")
    assert read_settings().loading == LoadOptions(style="felted", loras={"a.safetensors": 0.5}, steps=3)
    monkeypatch.setenv("VIVACE_SERVE_LOADING__DEVICE", "gpu")
    with pytest.raises(UsageError, match="no device 'gpu'"):
        read_settings()


# Memory


class OutOfMemoryError(RuntimeError):
    """Error named like torch's."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough"),
        CapacityError("choose a smaller size"),
    ],
)
def test_too_little_memory_of_a_device_is_told_with_what_would_fit(error: Exception) -> None:
    model = steered(record=False)

    def fail(size: tuple[int, int], *, seed: int = 0) -> None:
        raise error

    model.open = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(CapacityError, match=r"needs 2 MiB for a stream of 32x16 px.*16x8 needs 1 MiB"):
        ModelSlot(model, SIZE, 0)


@in_loop
async def test_a_device_that_runs_out_in_a_step_ends_that_session_with_what_would_fit() -> None:
    model = steered(record=False)
    async with running_manager(model) as manager:
        session = await opened(manager)
        events = session.events()
        model.on_step = fail_on(0, error=lambda: OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
        session.push(grey())
        assert "16x8 needs 1 MiB" in (await next_of(events, messages.Ended)).message
        assert manager.ready


@in_loop
async def test_sessions_share_the_memory_of_the_device_their_model_is_on() -> None:
    class WithMemory(Device):
        def free_bytes(self) -> int:
            return 4 * 2**20

    model = FakeModel(record=False)
    model.device = WithMemory("GPU: none")
    async with running_manager(model) as manager:
        assert manager.snapshot().models[0].memory_limit_bytes == 2 * 2**20
    assert free_bytes(FakeModel()) > 2**20
