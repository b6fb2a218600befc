"""The flags of `vivace run` about models, and the prompts that may be typed while it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App
from PIL import Image

import vivace.models
from fakes import NEGATIVE_PROMPT, FakeModel
from vivace.cli import main
from vivace.cli.app import build_app
from vivace.cli.loading import LoadFlags, texts_by_name
from vivace.cli.run_options import RunOptions
from vivace.cli.steer import steer
from vivace.errors import SinkError, SinkUnsupportedError, SinkWriteError, UsageError
from vivace.media.frame import Frame
from vivace.media.images import ImagesSink
from vivace.media.open import open_source
from vivace.media.sink import NullSink, Sink
from vivace.models.controls import ControlSpec
from vivace.models.loading import LoadOptions
from vivace.settings import Settings
from vivace.stream import Stream

OPTIONS = (
    ControlSpec(name="warp", help="how much of the noise moves", default=0.0, low=0.0, high=1.0),
    ControlSpec(name="anchor", kind="event", help="a change anchors anew"),
    NEGATIVE_PROMPT,
)
CONDITIONS = ("prompt", "strength")


@pytest.fixture
def app() -> App:
    return build_app(Settings())


def parsed(app: App, line: str) -> RunOptions:
    _, bound, _ = app.parse_args(line, exit_on_error=False, print_error=False)
    options: RunOptions = bound.arguments["options"]
    return options


def test_flags_become_options_for_loading(app: App) -> None:
    flags = (
        "--style felted --lora a.safetensors --lora b=c.safetensors=0.5 --lora d=e --file motion=x=y.ckpt "
        "--file vae=v --device cuda:1 --precision f16 --set autoencoder=full --set guidance=self "
        "--set lora_scaling=reference --set clip_skip=2 --set warp=0.5"
    )
    options, of_the_stream = parsed(app, f"run a {flags}").loading.load_options("live2diff", steps=3)
    assert of_the_stream == {"warp": "0.5"}
    assert options == LoadOptions(
        style="felted",
        steps=3,
        loras={"a.safetensors": 1.0, "b=c.safetensors": 0.5, "d=e": 1.0},
        files={"motion": "x=y.ckpt", "vae": "v"},
        device="cuda:1",
        precision="f16",
        controls={"autoencoder": "full", "guidance": "self", "lora_scaling": "reference", "clip_skip": 2},
    )


def test_without_flags_nothing_is_asked_for(app: App) -> None:
    assert LoadFlags().load_options("mini") == (LoadOptions(), {})
    assert parsed(app, "run a --seed 1").strength is None


@pytest.mark.parametrize("pair", ["motion", "=x", "motion=", " =x"])
def test_a_file_without_its_role_is_refused(pair: str) -> None:
    with pytest.raises(UsageError, match=r"--file .*give ROLE=PATH"):
        LoadFlags(file=[pair]).load_options("mini")


def test_texts_by_name_are_parted_at_the_first_sign() -> None:
    assert texts_by_name("--set", "NAME=VALUE", ["a=1", " b = x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(UsageError, match="--set 'a': give NAME=VALUE"):
        texts_by_name("--set", "NAME=VALUE", ["a"])


class Loads:
    """Stand-in for `load_model` that records its arguments."""

    def __init__(self, model: FakeModel) -> None:
        self.model = model
        self.asked: dict[str, Any] = {}

    def __call__(self, name: str, **asked: Any) -> FakeModel:
        self.asked = {"name": name, **asked}
        return self.model


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads(FakeModel(conditions=CONDITIONS, options=OPTIONS, default_strength=0.5))
    monkeypatch.setattr(vivace.models, "load_model", loads)
    return loads


RUN = ["run", "scene:gallery", "--size", "32x16", "--max-frames", "3", "-o", "null", "-p", "red"]


def test_a_run_steers_the_models_own_controls(loads: Loads) -> None:
    flags = [
        "--steps",
        "2",
        "--set",
        "negative_prompt=green",
        "--set",
        "warp=0.5",
        "--runtime",
        "eager",
        "--threads",
        "1",
    ]
    assert main([*RUN, *flags]) == 0
    assert loads.asked == {"name": "mini", "runtime": "eager", "threads": 1, "options": LoadOptions()}
    chunk = loads.model.chunks[0]
    assert (chunk.strength, chunk.denoising_steps, chunk.options["warp"]) == (0.5, 2, 0.5)
    assert chunk.options["negative_prompt"].text == "green"


@pytest.mark.parametrize("lag", [1, 3])
def test_a_lagging_model_gives_as_many_frames_as_were_asked_for(
    lag: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vivace.models, "load_model", Loads(FakeModel(lag=lag)))
    stats = tmp_path / "stats.json"
    assert main([*RUN, "--stats", str(stats)]) == 0
    assert json.loads(stats.read_text())["frames_out"] == 3


def test_steps_that_a_style_settles_are_asked_for_when_the_model_is_loaded(loads: Loads) -> None:
    assert main([*RUN, "--model", "live2diff", "--style", "felted", "--steps", "4", "--strength", "1"]) == 0
    assert loads.asked["options"] == LoadOptions(style="felted", steps=4)
    assert loads.model.chunks[0].strength == 1.0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model", "live2diff", "--style", "feltd"], "did you mean 'felted'"),
        (["--set", "warp"], "give NAME=VALUE"),
        (["--device", "gpu"], "no device 'gpu'"),
        (["--precision", "f8"], "--precision"),
    ],
)
def test_what_is_mistyped_is_said_before_anything_is_opened(
    flags: list[str], said: str, loads: Loads, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "no-such-file.mp4", *flags]) == 2
    assert said in capsys.readouterr().err
    assert loads.asked == {}


@pytest.mark.parametrize(
    ("line", "name", "wanted"),
    [
        ("/strength 0.25", "strength", 0.25),
        ("/strength", "strength", 0.5),
        ("/seed 7", "seed", 7),
        ("/seed", "seed", 0),
        ("/steps 4", "denoising_steps", 4),
        ("/set warp=0.5", "options", {"warp": 0.5}),
        ("/set warp=", "options", {}),
        ("/set", "options", {}),
        ("/anchor", "events", {"anchor": 1}),
    ],
)
def test_a_line_after_a_slash_sets_a_control(line: str, name: str, wanted: object) -> None:
    model = FakeModel(conditions=CONDITIONS, options=OPTIONS, default_strength=0.5)
    with Stream(model, prompt="red", strength=1.0) as stream:
        assert steer(stream, line).update_index == 1
        assert getattr(stream.controls, name) == wanted
        assert stream.controls.prompt is not None
        assert stream.controls.prompt.text == "red"


def test_prompts_may_be_typed() -> None:
    with Stream(FakeModel(options=OPTIONS), prompt="red") as stream:
        steer(stream, "blue")
        steer(stream, "/set negative_prompt=green")
        controls = stream.controls
        assert controls.prompt is not None
        assert (controls.prompt.text, controls.options["negative_prompt"].text) == ("blue", "green")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/strenth 1", "there is no /strenth; there are /strength, /seed"),
        ("/strength much", "strength is 'much', not a number; give 0 to 1"),
        ("/seed 1.5", "seed is 1.5, not a whole number"),
        ("/set warp", "/set 'warp': give NAME=VALUE"),
        ("/set wrap=1", "did you mean 'warp'"),
        ("/set warp=much", "warp is 'much', not a number"),
        ("/set anchor=1", "anchor is an event"),
        ("/anchor 1", "there is no /anchor; there are /strength"),
        ("/", "there is no /"),
    ],
)
def test_a_typed_line_that_cannot_be_used_changes_nothing(line: str, said: str) -> None:
    with Stream(FakeModel(conditions=CONDITIONS, options=OPTIONS), prompt="red") as stream:
        before = stream.controls
        with pytest.raises(UsageError, match=said):
            steer(stream, line)
        assert stream.controls is before


# Several outputs


def test_several_outputs_get_every_frame(loads: Loads, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a.mp4", tmp_path / "frames"
    run = ["run", "scene:gallery", "--size", "32x16", "--max-frames", "5", "-p", "red", "--every-frame"]
    assert main([*run, "-o", str(first), "-o", f"{second}/", "-o", "null"]) == 0
    assert len(loads.model.chunks) >= 5
    with open_source(first) as source:
        assert len(list(source)) == 5
    assert len(list(second.iterdir())) == 5
    said = capsys.readouterr().out
    assert f"5 to {second}" in said
    assert "5 to null, 0 lost" in said


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize("error", [SinkWriteError, SinkUnsupportedError])
@pytest.mark.parametrize(("failing", "kind"), [("null", NullSink), ("frames/", ImagesSink)])
def test_an_output_that_fails_is_told_and_the_others_go_on(
    failing: str,
    kind: type[Sink],
    error: type[SinkError],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both the first output, to which the run itself writes, and a further one, which has its own thread."""

    def fail(_sink: Sink, _frame: Frame) -> None:
        raise error(f"{failing}: writing failed (No space left on device)")

    monkeypatch.setattr(kind, "write", fail)
    monkeypatch.chdir(tmp_path)
    run = ["run", "scene:gallery", "--size", "32x16", "--max-frames", "5", "-p", "red", "--every-frame"]
    outputs = ["a.mp4", failing] if failing == "null" else [failing, "a.mp4"]
    assert main([*run, "-o", outputs[0], "-o", outputs[1]]) == 3
    with open_source("a.mp4") as source:
        assert len(list(source)) == 5
    said = capsys.readouterr()
    assert "No space left on device" in said.err
    assert "5 " in said.out
    assert "a.mp4" in said.out


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dead", ["rtmp://127.0.0.1:1/live/hush", "whip:http://127.0.0.1:1/whip#token=hush"])
def test_a_server_that_is_not_there_costs_the_file_nothing(
    dead: str, first: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outputs = [dead, "a.mp4"] if first else ["a.mp4", dead]
    run = ["run", "scene:gallery?frames=30", "--size", "32x16", "-p", "red", "--every-frame"]
    assert main([*run, "-o", outputs[0], "-o", outputs[1]]) == 3
    with open_source("a.mp4") as source:
        assert len(list(source)) == 30
    said = capsys.readouterr().err
    assert "refused" in said or "no connection" in said
    assert "hush" not in said


@pytest.mark.usefixtures("loads")
def test_a_run_whose_outputs_have_all_failed_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_sink: Sink, _frame: Frame) -> None:
        raise SinkWriteError("writing failed (No space left on device)")

    for kind in (NullSink, ImagesSink):
        monkeypatch.setattr(kind, "write", fail)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "scene:gallery", "--size", "32x16", "-p", "red", "-o", "frames/", "-o", "null"]) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("loads")
@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (["null", "null"], "-o null is given twice"),
        (["a.mp4", "./a.mp4"], "a.mp4 is given twice"),
        (["null", "nowhere/a.mp4"], "there is no folder nowhere"),
        (["a.mp4", "a.xyz"], "unknown kind of file .xyz"),
        (["frames/", "a.xyz"], "unknown kind of file .xyz"),
    ],
)
def test_outputs_that_cannot_be_are_refused_and_none_is_left_behind(
    outputs: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [part for output in outputs for part in ("-o", output)]
    assert main(["run", "scene:gallery", "-p", "red", *flags]) in (2, 3)
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("loads")
def test_photographs_go_to_pictures_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 16), "grey").save("photo.png")
    run = ["run", "photo.png", "-p", "red"]
    assert main([*run, "-o", "a.png", "-o", "b.jpg"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "a.png", "b.jpg"}
    assert main([*run, "-o", "null", "-o", "c.png"]) == 0
    assert Path("c.png").exists()
    assert main([*run, "-o", "d.png", "-o", "d.mp4"]) == 2
    assert "a photograph is written as a picture" in capsys.readouterr().err
    assert main([*run, "-o", "inks/", "--live"]) == 2
    assert "--live is for streams" in capsys.readouterr().err
    assert not Path("inks").exists()
