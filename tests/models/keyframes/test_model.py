"""Laws of key frames around the embedded model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.keyframes.test_follower import SIZE, painted, scene
from vivace import Stream
from vivace.errors import BackendUnavailableError, ControlError
from vivace.models import base, load_model
from vivace.models.base import Chunk
from vivace.models.keyframes.model import note_on
from vivace.runtime.exported.openvino import OpenVinoNetwork


def step(model, state, picture: np.ndarray, prompt: str | None = None, **options) -> np.ndarray:
    given = {
        name: model.encode_control(name, value) if name == "keyframe" else value for name, value in options.items()
    }
    encoded = None if prompt is None else model.encode_prompt(prompt)
    plan = model.compose(encoded, given)
    [result] = model.step([state], [Chunk(picture[None], plan, options=given)])
    if isinstance(result.edited, str):
        return result.rgb[0] if result.edited == "all" else picture
    return np.where(result.edited[0][..., None] > 0, result.rgb[0], picture)


def test_what_the_painting_model_can_do_is_not_lost(mini) -> None:
    verbs = [each for each in vars(base).values() if getattr(each, "_is_runtime_protocol", False)]
    can = [[each.__name__ for each in verbs if isinstance(model, each)] for model in (mini.painter, mini)]
    assert can[0] == can[1]
    assert {"KeepsMemory", "RefersToPrompts"} <= {*can[0]}
    with Stream(mini, size=SIZE, prompt="ink") as stream:
        stream.update(prompt="oil painting")
        assert stream.update(prompt="undo").whole_prompt == "ink"


def test_without_a_key_frame_nothing_differs_from_the_painting_model(mini) -> None:
    own, inner = mini.open(SIZE), mini.painter.open(SIZE)
    for shift in (0, 2, 4):
        led = step(mini, own, scene(shift), "ink")
        np.testing.assert_array_equal(led, step(mini.painter, inner, scene(shift), "ink"))


def test_a_key_frame_needs_no_prompt_and_taking_it_away_leaves_the_source(mini) -> None:
    state, edit, key = mini.open(SIZE), painted(scene()), scene()
    led = step(mini, state, scene(), keyframe=edit, keyframe_source=key)
    assert np.abs(led[40:52, 60:80].astype(int) - scene()[40:52, 60:80]).mean() > 10
    assert mini.compose(None, {}) is None


def test_a_key_frame_is_laid_over_what_the_prompt_paints(mini) -> None:
    state, plain = mini.open(SIZE), mini.painter.open(SIZE)
    for _ in range(2):
        looked = step(mini.painter, plain, scene(), "black and white film noir")
    led = step(mini, state, scene(), "black and white film noir", keyframe=painted(looked), keyframe_source=looked)
    np.testing.assert_array_equal(
        led[80:, :20], step(mini.painter, mini.painter.open(SIZE), scene(), "black and white film noir")[80:, :20]
    )
    assert led[44, 60, 0] > led[44, 60, 1] + 20


def test_a_saved_stream_goes_on_to_the_byte(mini) -> None:
    edit, key = painted(scene()), scene()
    with_key = {"keyframe": mini.encode_control("keyframe", edit), "keyframe_source": key}
    plan = mini.compose(mini.encode_prompt("ink"), with_key)

    def led(state, shift: int) -> np.ndarray:
        return mini.step([state], [Chunk(scene(shift)[None], plan, options=with_key)])[0].rgb

    state, other = mini.open(SIZE), mini.open(SIZE)
    led(state, 0)
    mini.restore(other, mini.save(state))
    assert mini.save(other).keys() == mini.save(state).keys(), "before its first frame, too"
    np.testing.assert_array_equal(led(state, 2), led(other, 2))
    mini.restore(other, mini.save(state))
    for each in (state, other):
        mini.reset(each)
    np.testing.assert_array_equal(led(state, 40), led(other, 40), "a cut is one to what was restored")


def test_a_restored_key_frame_that_is_taken_away_does_not_come_back_in_place_of_the_next(mini) -> None:
    state, other, picture = mini.open(SIZE), mini.open(SIZE), scene(seed=9)
    step(mini, state, scene(), keyframe=painted(scene()))
    mini.restore(other, mini.save(state))
    step(mini, other, picture, "ink")
    led = step(mini, other, picture, keyframe=painted(picture, -30))
    assert (led[44, 30] != picture[44, 30]).any()
    np.testing.assert_array_equal(led[44, 100], picture[44, 100])


def test_networks_are_compiled_where_a_key_frame_is_set_and_not_on_the_path_of_frames(
    mini, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled, compile_ = [], OpenVinoNetwork._compile
    monkeypatch.setattr(OpenVinoNetwork, "_compile", lambda *given: compiled.append(1) or compile_(*given))
    picture = scene(size=(176, 112))  # a size that no other test has
    with Stream(mini, size=(176, 112)) as stream:
        stream.push(picture)
        before = len(compiled)
        stream.update(options={"keyframe": painted(picture)})
        assert len(compiled) == before + 2, "one reads the key frame, one follows it"
        stream.push(picture)
        stream.update(options={"keyframe": painted(picture, 5)})
        stream.push(picture)
        assert len(compiled) == before + 2


@pytest.mark.parametrize("name", ["mini", "mini2"])
def test_a_key_frame_is_followed_with_as_many_threads_as_the_model_has(name: str) -> None:
    networks = load_model(name, threads=1)._networks()
    assert [each._config["INFERENCE_NUM_THREADS"] for each in networks] == [1, 1]
    assert load_model(name, threads=1)._networks() is networks, "loaded once"


def test_at_another_size_a_key_frame_is_held_against_the_frame_at_which_it_was_set() -> None:
    with Stream("mini", size=SIZE) as stream:
        stream.update(options={"keyframe": painted(scene())})
        stream.push(scene())
        size = SIZE[0] * 3 // 2, SIZE[1] * 3 // 2
        stream.update(size=size)
        picture = scene(20)
        [led] = stream.push(picture)
        assert led.size == size
        assert not stream.stats().notes
        changed = (led.rgb != np.asarray(led.source_rgb)).any(-1)
        assert 0.01 < changed.mean() < 0.5, "the edit, and not all of the picture"


@pytest.mark.parametrize(
    ("edit", "key", "note"),
    [
        (painted(scene()), scene(), ""),
        (scene(), scene(), "no edit"),
        (np.zeros_like(scene()), scene(), "one colour"),
        (scene() // 3, scene(), ""),
        (scene(seed=7), scene(), "does not look like"),
        (255 - scene(), scene(), "does not look like"),
    ],
)
def test_what_is_odd_about_a_key_frame_is_said(edit: np.ndarray, key: np.ndarray, note: str) -> None:
    said = note_on(edit, edit, key)
    assert note in said
    assert bool(said) == bool(note)


def test_a_crop_is_said_and_the_stream_tells_its_notes() -> None:
    with Stream("mini", size=SIZE) as stream:
        stream.update(options={"keyframe": scene(size=(96, 96)), "keyframe_source": scene()})
        for _ in range(2):
            assert stream.push(scene())
        [note] = stream.stats().notes
        assert "96x96" in note


@pytest.mark.parametrize("size", [(64, 48), (500, 500), (30, 400)])
def test_a_key_frame_of_another_size_is_brought_to_the_streams(mini, size: tuple[int, int]) -> None:
    edit = np.full((size[1], size[0], 3), 90, np.uint8)
    assert step(mini, mini.open(SIZE), scene(), keyframe=edit).shape == scene().shape


def test_a_stream_takes_key_frames_while_it_runs() -> None:
    with Stream("mini", size=SIZE) as stream:
        [before] = stream.push(scene())
        np.testing.assert_array_equal(before.rgb, scene())
        stream.update(options={"keyframe": painted(scene()), "keyframe_source": scene()})
        [led] = stream.push(scene())
        assert (led.rgb != scene()).any()
        stream.update(options={"keyframe": None, "keyframe_source": None})
        [after] = stream.push(scene())
        np.testing.assert_array_equal(after.rgb, scene())
        with pytest.raises(ControlError, match="keyframe"):
            stream.update(options={"keyframe": 3})


def test_a_source_of_the_former_key_frame_is_not_taken_for_that_of_the_next() -> None:
    other = scene(seed=5)
    with Stream("mini", size=SIZE) as stream:
        stream.update(options={"keyframe": Image.fromarray(painted(scene())), "keyframe_source": scene()})
        stream.push(scene())
        stream.update(options={"keyframe": painted(scene(), 10)})  # another edit of the same source
        [led] = stream.push(scene())
        np.testing.assert_array_equal(led.rgb[44, 46], scene()[44, 46])
        stream.update(options={"keyframe": painted(other)})
        [led] = stream.push(other)
        assert not stream.stats().notes
        assert led.rgb[44, 60, 0] > led.rgb[44, 60, 2] + 100
        np.testing.assert_array_equal(led.rgb[80:, :20], other[80:, :20])


def test_a_folder_holds_several_key_frames_with_their_sources(tmp_path: Path) -> None:
    for seed, colour in ((3, (230, 40, 40)), (5, (40, 40, 230))):
        edit = scene(seed=seed)
        Image.fromarray(edit).save(tmp_path / f"{seed}.source.png")
        edit[30:62, 40:84] = colour
        Image.fromarray(edit).save(tmp_path / f"{seed}.png")
    with Stream("mini", size=SIZE) as stream:
        stream.update(options={"keyframe": tmp_path})
        [led] = stream.push(scene(seed=5))
        assert np.abs(led.rgb[44, 60].astype(int) - (40, 40, 230)).max() < 30
        (tmp_path / "5.source.png").unlink()
        with pytest.raises(ControlError, match=r"5\.source\.png"):
            stream.update(options={"keyframe": tmp_path})
        (tmp_path / "empty").mkdir()
        with pytest.raises(ControlError, match="0 pictures"):
            stream.update(options={"keyframe": tmp_path / "empty"})


WITHOUT_OPENCV = """
import sys
sys.modules["cv2"] = None
from vivace.cli import main
print(*(main(command.split()) for command in sys.argv[1:]))
"""


def test_without_opencv_every_command_says_what_to_install(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    commands = [
        *("run a.png --keyframe a.png", "bench keyframes"),
        *("train keyframes run .", "train keyframes evaluate ."),
    ]
    looks = "train looks bake . --teachers ."  # needs it only later
    called = [sys.executable, "-c", WITHOUT_OPENCV, *commands, looks]
    done = subprocess.run(called, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split()[:-1] == [str(BackendUnavailableError.exit_code)] * len(commands)
    assert done.stderr.count("pip install '.[keyframes]'") == len(commands)
    assert "MANIFEST.csv" in done.stderr
