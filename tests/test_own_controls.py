"""A control is declared once, by the family that has it: every way to set it follows from the declaration."""

from __future__ import annotations

import json
from typing import Any

import pytest

import vivace.models
from fakes import FakeModel
from http_fakes import running
from serve_rig import grey, in_loop, opened, running_hub, until
from vivace import Stream, messages
from vivace.cli import main
from vivace.cli.steer import steer
from vivace.models.base import ControlSpec

DECLARED = (
    ControlSpec(name="grain", help="Size of the grain, px.", default=2, low=1, high=8, whole=True),
    ControlSpec(name="warp", help="How much of the noise moves."),
    ControlSpec(name="follow", kind="switch", help="Move with the camera.", default=False),
    ControlSpec(name="decoder", kind="choice", help="Which decoder paints.", default="fast", choices=("fast", "fine")),
    ControlSpec(name="title", kind="text", help="Words in the picture.", default=""),
    ControlSpec(name="anchor", kind="event", help="Set the anchors anew."),
)
"""The made-up family's: nothing else in the house knows of them."""
TYPED = {"grain": "3", "warp": "0.5", "follow": "on", "decoder": "fine", "title": "a b"}
SET: dict[str, Any] = {"grain": 3.0, "warp": 0.5, "follow": True, "decoder": "fine", "title": "a b"}


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    model = FakeModel(options=DECLARED)
    monkeypatch.setattr(vivace.models, "load_model", lambda *_, **__: model)
    return model


def test_from_the_command_line(model: FakeModel) -> None:
    flags = [part for name, text in TYPED.items() for part in ("--set", f"{name}={text}")]
    run = ["run", "scene:gallery", "--size", "32x16", "--max-frames", "2", "-o", "null", "-p", "red"]
    assert main([*run, *flags]) == 0
    assert model.chunks[0].options == SET


def test_a_value_it_cannot_take_is_refused_on_the_command_line(
    model: FakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "scene:gallery", "-o", "null", "-p", "red", "--set", "decoder=slow"]) == 2
    assert "decoder is 'slow'; give fast, fine" in capsys.readouterr().err
    assert model.chunks == []


def test_typed_while_it_runs(model: FakeModel) -> None:
    with Stream(model, prompt="red") as stream:
        for name, text in TYPED.items():
            steer(stream, f"/set {name}={text}")
        steer(stream, "/anchor")
        assert (stream.controls.options, stream.controls.events) == (SET, {"anchor": 1})


@in_loop
async def test_by_a_message(model: FakeModel) -> None:
    said = json.dumps({"type": "update", "controls": {"options": SET, "events": ["anchor"]}})
    update = messages.Update.model_validate_json(said)
    async with running_hub(model) as hub:
        session = await opened(hub)
        before = len(model.chunks)
        assert (await session.update(update.controls)).accepted
        session.push(grey())
        await until(lambda: len(model.chunks) > before)
        assert (model.chunks[before].options, model.chunks[before].events) == (SET, {"anchor"})


def test_what_it_can_be_is_published(model: FakeModel) -> None:
    with running(model=model) as served:
        (shown,) = served.client.get("/v1/models").json()["models"]
    own = shown["options"]["properties"]["options"]["properties"]
    assert own == {
        "grain": {
            "title": "Grain", "description": "Size of the grain, px.",
            "type": "integer", "minimum": 1, "maximum": 8, "default": 2,
        },
        "warp": {
            "title": "Warp", "description": "How much of the noise moves.",
            "type": "number", "minimum": 0, "maximum": 1, "default": 0,
        },
        "follow": {
            "title": "Follow", "description": "Move with the camera.", "type": "boolean", "default": False,
        },
        "decoder": {
            "title": "Decoder", "description": "Which decoder paints.",
            "type": "string", "enum": ["fast", "fine"], "default": "fast",
        },
        "title": {
            "title": "Title", "description": "Words in the picture.",
            "type": "string", "maxLength": 2000, "default": "",
        },
    }  # fmt: skip
    (event,) = shown["options"]["properties"]["events"]["items"]["oneOf"]
    assert event == {"const": "anchor", "title": "Anchor", "description": "Set the anchors anew."}
