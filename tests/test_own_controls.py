"""A control is declared once, by its family: every way to set it follows from the declaration.

The family here is invented, and unknown to the rest of the house. It has a control of every kind and scope.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fakes import FakeModel, FakeState, pictures
from http_fakes import Running, running
from serve_rig import grey, in_loop, opened, running_manager, until
from vivace import LoadOptions, Stream, messages
from vivace.bench.systems.baselines import PerFrame
from vivace.cli import main
from vivace.cli.steer import steer
from vivace.errors import ControlError, SourceNotFoundError, UnknownPromptError, UsageError
from vivace.models import load_model
from vivace.models.base import NOTHING
from vivace.models.controls import ControlSpec
from vivace.models.family import Family, families
from vivace.stream.pictures import read_picture

DECLARED = (
    ControlSpec(name="grain", help="Size of the grain, px.", default=2, low=1, high=8, whole=True),
    ControlSpec(name="warp", help="How much of the noise moves.", default=0.0),
    ControlSpec(name="follow", kind="switch", help="Move with the camera.", default=False),
    ControlSpec(name="decoder", kind="choice", help="Which decoder paints.", default="fast", choices=("fast", "fine")),
    ControlSpec(name="title", kind="text", help="Words in the picture.", default=""),
    ControlSpec(name="avoid", kind="text", encoded=True, help="What shall not be seen."),
    ControlSpec(name="look", kind="image", size=(4, 4), help="The picture to paint like."),
    ControlSpec(name="area", kind="mask", help="Where the grain lies."),
    ControlSpec(name="key", kind="image", encoded=True, help="The first picture."),
    ControlSpec(name="anchor", kind="event", help="Set the anchors anew."),
    ControlSpec(name="window", scope="stream", help="Frames to look back at.", default=8, low=1, high=64, whole=True),
    ControlSpec(name="stage", kind="image", scope="stream", help="What the stream begins with."),
)
LOADING = (
    ControlSpec(
        name="body", kind="choice", scope="model", help="Which weights.", default="small", choices=("small", "large")
    ),
    ControlSpec(name="layers", scope="model", help="Layers to leave out.", high=4, whole=True),
    ControlSpec(name="folded", kind="switch", scope="model", help="Fold norms into weights.", default=True),
    ControlSpec(name="dialect", kind="text", scope="model", help="Of the words it reads.", default="en"),
)
FAMILY = Family(
    name="made up", runtimes=("eager",), load=f"{__name__}:load", controls=LOADING + DECLARED
)  # fmt: skip
PROFILE = """
name = "own"
family = "made up"
summary = "Adds."
licence = "MIT"
"""

PICTURE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
HALF = np.zeros((6, 8), np.uint8)
HALF[:, :3] = 255
TYPED = {"grain": "3", "warp": "0.5", "follow": "on", "decoder": "fine", "title": "a b", "avoid": "green"}
SET: dict[str, Any] = {"grain": 3.0, "warp": 0.5, "follow": True, "decoder": "fine", "title": "a b"}


class OwnModel(FakeModel):
    """Model of the family."""

    def __init__(self, loaded: Mapping[str, Any]) -> None:
        super().__init__(options=DECLARED)
        self.spec = replace(self.spec, family=FAMILY.name)
        self.loaded = loaded
        self.made: list[tuple[str, Any]] = []
        self.opened_with: list[Mapping[str, Any]] = []

    def open(self, size: tuple[int, int], *, seed: int = 0, options: Mapping[str, Any] = NOTHING) -> FakeState:
        self.opened_with.append(options)
        return super().open(size, seed=seed)

    def encode_control(self, name: str, value: Any) -> Any:
        self.made.append((name, value))
        return super().encode_control(name, value)


MODELS: list[OwnModel] = []


def load(profile: Any, *, runtime: Any, threads: Any, options: LoadOptions) -> OwnModel:
    MODELS.append(OwnModel(options.controls))
    return MODELS[-1]


@pytest.fixture(autouse=True)
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of the profile of the family, which is installed."""
    known = {**families(), FAMILY.name: FAMILY}
    for module in ("family", "catalog"):
        monkeypatch.setattr(f"vivace.models.{module}.families", lambda: known)
    monkeypatch.setattr("vivace.stream.options.families", lambda: known)
    (tmp_path / "own.toml").write_text(PROFILE)
    return str(tmp_path / "own.toml")


@pytest.fixture
def model(profile: str) -> OwnModel:
    made = load_model(profile)
    assert isinstance(made, OwnModel)
    return made


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Return pictures by control."""
    for name, pixels in (("look", PICTURE), ("area", HALF), ("key", PICTURE), ("stage", PICTURE)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return {name: str(tmp_path / f"{name}.png") for name in ("look", "area", "key", "stage")}


def sent(pixels: Any) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def check(options: Mapping[str, Any]) -> None:
    """Check the values that a step got."""
    assert {name: options[name] for name in SET} == SET
    assert options["avoid"].embeds.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(options["look"], read_picture(DECLARED[6], PICTURE))
    assert options["look"].shape == (4, 4, 3)
    np.testing.assert_array_equal(options["area"], HALF)
    assert options["key"] == ("key", PICTURE.mean())


RUN = ["run", "scene:gallery", "--size", "32x16", "--max-frames", "3", "-o", "null", "-p", "red"]


def flags_of(texts: Mapping[str, str]) -> list[str]:
    return [part for name, text in texts.items() for part in ("--set", f"{name}={text}")]


def test_from_the_command_line(profile: str, files: dict[str, str]) -> None:
    settled = {"window": "16", "body": "large", "layers": "2", "folded": "off"}
    assert main([*RUN, "--model", profile, *flags_of({**TYPED, **files, **settled})]) == 0
    model = MODELS[-1]
    assert model.loaded == {"body": "large", "layers": 2, "folded": False, "dialect": "en"}
    first, second, *_ = (chunk.options for chunk in model.chunks)
    check(first)
    assert all(second[name] is first[name] for name in files)  # read, fitted and encoded once
    assert [name for name, _ in model.made] == ["avoid", "key"]
    (options,) = model.opened_with
    assert options.keys() == {"window", "stage"}
    assert options["window"] == 16
    np.testing.assert_array_equal(options["stage"], PICTURE)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decoder=slow", "decoder is 'slow'; give fast or fine; the default is fast"),
        ("body=huge", "body is 'huge'; give small or large; the default is small"),
        ("layers=2.5", "layers is 2.5, not a whole number; give a whole number, 0 to 4"),
        ("layers=9", "layers is 9"),
        ("windw=3", "fake has no option 'windw'; did you mean 'window'?"),
        ("look=/no/such.png", "look /no/such.png: no such file"),
        (f"look={__file__}", "test_own_controls.py cannot be read as a picture (none that is known)"),
    ],
)
def test_a_value_it_cannot_take_is_refused_on_the_command_line(
    profile: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--model", profile, "--set", text]) in (2, 3)
    told = capsys.readouterr().err
    assert said in told
    assert "None" not in told


def test_typed_while_it_runs(model: OwnModel, files: dict[str, str]) -> None:
    with Stream(model, prompt="red") as stream:
        for name, text in {**TYPED, **files}.items():
            if name != "stage":
                steer(stream, f"/set {name}={text}")
        steer(stream, "/anchor")
        check(stream.controls.options)
        assert stream.controls.events == {"anchor": 1}
        steer(stream, "/set look=")
        assert "look" not in stream.controls.options
        with pytest.raises(UsageError, match="window is fixed when a stream opens; open another one with it"):
            steer(stream, "/set window=4")
        with pytest.raises(UsageError, match="body is fixed when the model is loaded; load it with body"):
            steer(stream, "/set body=large")


def test_a_picture_is_set_at_a_frame_and_cleared_by_none(model: OwnModel) -> None:
    with Stream(model, prompt="red", detect_cuts=False) as stream:
        source = iter(pictures(4))
        stream.push(next(source).rgb)
        assert stream.update(options={"look": PICTURE}).frame_index == 1
        stream.push(next(source).rgb)
        for wrong in (b"no picture", PICTURE[..., 0], "nothing.png"):
            with pytest.raises((ControlError, SourceNotFoundError)):
                stream.update(options={"look": wrong, "grain": 3})
        stream.push(next(source).rgb)  # it goes on as before
        stream.update(options={"look": None})
        stream.push(next(source).rgb)
    assert ["look" in chunk.options for chunk in model.chunks] == [False, True, True, False]
    assert model.chunks[1].options["look"] is model.chunks[2].options["look"]


def test_what_a_stream_opens_with_holds_at_every_size(model: OwnModel) -> None:
    with Stream(model, prompt="red", options={"window": 4}) as stream:
        frame = next(iter(pictures(1)))
        stream.push(frame.rgb)
        stream.update(size=(16, 16))
        stream.push(frame.rgb)
    assert model.opened_with == [{"window": 4}, {"window": 4}]
    assert model.chunks[-1].options == {"window": 4}


def test_loaded_from_an_application(profile: str) -> None:
    model = load_model(profile, options=LoadOptions(controls={"body": "large"}))
    assert isinstance(model, OwnModel)
    assert model.loaded == {"body": "large", "layers": None, "folded": True, "dialect": "en"}
    for wrong, said in (
        ({"bdy": "large"}, "the family 'made up' has no control 'bdy'; did you mean 'body'"),
        ({"body": 3}, "body is 3; give small or large"),
        ({"grain": 3}, "has no control 'grain'"),
    ):
        with pytest.raises(UsageError, match=said):
            load_model(profile, options=LoadOptions(controls=wrong))


@in_loop
async def test_by_a_message(model: OwnModel) -> None:
    later = {**SET, "avoid": "green", "look": sent(PICTURE), "area": sent(HALF), "key": sent(PICTURE)}
    said = json.dumps({"type": "update", "controls": {"options": later, "events": ["anchor"]}})
    update = messages.Update.model_validate_json(said)
    async with running_manager(model) as manager:
        session = await opened(manager, options={"window": 16, "stage": sent(PICTURE)})
        before = len(model.chunks)
        assert (await session.update(update.controls)).accepted
        session.push(grey())
        await until(lambda: len(model.chunks) > before)
        check(model.chunks[before].options)
        assert model.chunks[before].events == {"anchor"}
        assert model.opened_with[-1]["window"] == 16
        for wrong, said in (
            ({"window": 4}, "window is fixed when a stream opens"),
            ({"body": "large"}, "body is fixed when the model is loaded"),
            ({"look": "/etc/hostname"}, "look begins with '/etc/hostname'; give a PNG"),
            ({"look": "data:image/png;base64,AAAA"}, "look cannot be read as a picture"),
            ({"avoid": "purple"}, "avoid: no idea"),
        ):
            ack = await session.update(messages.Controls(options=wrong))
            assert not ack.accepted
            assert said in ack.message
        cleared = messages.Controls(options={"look": None, "area": "", "key": None})
        assert (await session.update(cleared)).accepted
        session.push(grey())
        await until(lambda: len(model.chunks) > before + 1)
        assert not {"look", "area", "key"} & model.chunks[-1].options.keys()


def test_a_prompt_of_its_own_that_is_not_known_is_told_by_its_name(model: OwnModel) -> None:
    with Stream(model) as stream, pytest.raises(UnknownPromptError) as caught:
        stream.update(options={"avoid": "purple"})
    assert (caught.value.control, caught.value.matches[0][0]) == ("avoid", "blue")


@pytest.fixture
def served(model: OwnModel) -> Iterator[Running]:
    with running(model=model) as served:
        yield served


def test_what_it_can_be_is_published(served: Running) -> None:
    (shown,) = served.client.get("/v1/models").json()["models"]
    own = shown["options"]["properties"]["options"]["properties"]
    picture = {"type": "string", "contentEncoding": "data-url", "maxLength": messages.MAX_PICTURE_CHARS}
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
        "avoid": {
            "title": "Avoid", "description": "What shall not be seen.", "type": "string", "maxLength": 2000,
        },
        "look": {
            "title": "Look", "description": "The picture to paint like.", "kind": "image", "size": [4, 4], **picture,
        },
        "area": {"title": "Area", "description": "Where the grain lies.", "kind": "mask", "size": None, **picture},
        "key": {"title": "Key", "description": "The first picture.", "kind": "image", "size": None, **picture},
        "window": {
            "title": "Window", "description": "Frames to look back at.", "scope": "stream",
            "type": "integer", "minimum": 1, "maximum": 64, "default": 8,
        },
        "stage": {
            "title": "Stage", "description": "What the stream begins with.", "scope": "stream", "kind": "image",
            "size": None, **picture,
        },
    }  # fmt: skip
    (event,) = shown["options"]["properties"]["events"]["items"]["oneOf"]
    assert event == {"const": "anchor", "title": "Anchor", "description": "Set the anchors anew."}
    mask = shown["options"]["properties"]["mask"]
    assert (mask["kind"], mask["contentEncoding"]) == ("mask", "data-url")  # the stream's own, described alike


def test_a_session_may_open_with_it_over_http(served: Running) -> None:
    body = {"controls": {"options": {"window": 3, "look": sent(PICTURE)}}}
    assert served.client.post("/v1/sessions", json=body).status_code == 201
    body["controls"]["options"]["look"] = "data:image/png;base64,AAAA"
    answer = served.client.post("/v1/sessions", json=body)
    assert (answer.status_code, "look cannot be read" in answer.json()["message"]) == (422, True)


def test_a_picture_beyond_a_messages_limit_is_refused_in_one_sentence_and_the_session_goes_on(served: Running) -> None:
    opened = served.client.post("/v1/sessions", json={}).json()
    with served.control(opened) as socket:
        for number, given in enumerate(("x" * (messages.MAX_PICTURE_CHARS + 1), [1], sent(PICTURE))):
            update = {"type": "update", "id": str(number), "controls": {"options": {"look": given}}}
            socket.send_text(json.dumps(update))
        answers: dict[str, dict[str, Any]] = {}
        while len(answers) < 3:
            answer = json.loads(socket.receive_text())
            if answer.get("id"):
                answers[answer["id"]] = answer
    assert answers["0"]["message"] == "update.controls.options.look.str: String should have at most 4194304 characters"
    assert answers["1"]["message"].startswith(
        "update.controls.options.look: give a number, true or false, text, or null"
    )
    assert answers["2"]["accepted"]


def test_shown_on_the_command_line(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "show", profile]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for control in (*LOADING, *DECLARED):
        assert f"{control.name}" in told
        assert control.help in told
    assert main(["models", "check", profile]) == 0
    assert "own has no files to check" in capsys.readouterr().out


def test_a_model_within_another_takes_its_controls(model: OwnModel) -> None:
    """The benchmark's baselines contain a model in this way."""
    with Stream(PerFrame(model), size=(64, 48), prompt="red", options={"avoid": "green", "window": 9}) as stream:
        assert len(stream.push(PICTURE.repeat(8, 0).repeat(8, 1))) == 1
    assert model.made == [("avoid", "green")]
    assert [dict(options) for options in model.opened_with] == [{"window": 9}]
