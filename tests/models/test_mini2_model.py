"""Laws of `mini2` as streams use it, with random weights."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.edits.figure import PLACES, KnowingFinder
from models.edits.figure import SIZE as FIGURE_SIZE
from models.edits.figure import picture as figure
from tolerance import near
from vivace import Stream
from vivace.errors import CheckpointError, ControlError, UnknownPromptError, UsageError
from vivace.memory.region_cache import FIRST_WAIT
from vivace.models import LoadOptions, list_models, load_model
from vivace.models.base import Chunk
from vivace.models.edits.model import EditingModel
from vivace.models.edits.places import EVERYTHING
from vivace.models.edits.plan import read_plan
from vivace.models.mini2.looks import LOOK_KEYS, LOOKS
from vivace.models.mini2.mixture import Mixture
from vivace.models.mini2.model import SPEC, Mini2Model
from vivace.models.mini2.saved import Look, look_text
from vivace.models.mini2.state import Mini2State

SIZE = (96, 64)
Pictures = Sequence[np.ndarray]


@pytest.fixture(scope="module")
def model(mini2_profile: str) -> Mini2Model:
    loaded = load_model(mini2_profile, threads=1)
    assert isinstance(loaded.painter.painter, Mini2Model)
    return loaded.painter.painter


def pictures(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    whole = np.asarray(Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((400, 400)))
    return [np.ascontiguousarray(whole[3 * i : 3 * i + size[1], 5 * i : 5 * i + size[0]]) for i in range(count)]


def paint(model: Mini2Model, state: Mini2State, frames: Pictures, look: str = "oil", **how: Any) -> list[np.ndarray]:
    code = model.encode_prompt(look).embeds
    return [model.step([state], [Chunk(frame[None], code, **how)])[0].rgb[0] for frame in frames]


def png(pixels: np.ndarray | Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, kind, **how)
    return file.getvalue()


def test_it_ships_and_is_found_by_path_too(model: Mini2Model) -> None:
    assert model.spec is SPEC
    assert "mini2" in [each.name for each in list_models()]
    shipped = load_model("mini2", threads=1)
    assert shipped.spec.options[: len(SPEC.options)] == SPEC.options
    [painted] = paint(shipped, shipped.open(SIZE), pictures(1), "sepia")
    red, green, blue = painted.reshape(-1, 3).mean(0)
    assert red > green > blue


def test_later_input_never_changes_earlier_output_and_streams_are_deterministic(model: Mini2Model) -> None:
    frames = pictures(4)
    first = paint(model, model.open(SIZE), frames)
    second = paint(model, model.open(SIZE), [*frames[:3], 255 - frames[3]])
    for a, b in zip(first[:3], second[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[3], second[3])
    assert not np.array_equal(first[0], paint(model, model.open(SIZE, seed=1), frames[:1])[0])


def test_interleaved_streams_are_independent(model: Mini2Model) -> None:
    ours, theirs = pictures(4), pictures(4, seed=5)
    alone = paint(model, model.open(SIZE), ours), paint(model, model.open(SIZE, seed=2), theirs, "neon")
    a, b = model.open(SIZE), model.open(SIZE, seed=2)
    codes = [model.encode_prompt(look).embeds for look in ("oil", "neon")]
    for i in range(4):
        together = model.step([a, b], [Chunk(ours[i][None], codes[0]), Chunk(theirs[i][None], codes[1])])
        np.testing.assert_array_equal(together[0].rgb[0], alone[0][i])
        np.testing.assert_array_equal(together[1].rgb[0], alone[1][i])


def test_a_reset_forgets_and_takes_another_seed(model: Mini2Model) -> None:
    frames = pictures(2)
    state = model.open(SIZE)
    paint(model, state, pictures(5, seed=3), denoising_steps=2)
    model.reset(state)
    np.testing.assert_array_equal(paint(model, state, frames), paint(model, model.open(SIZE), frames))
    model.reset(state, seed=4)
    np.testing.assert_array_equal(paint(model, state, frames), paint(model, model.open(SIZE, seed=4), frames))


@pytest.mark.parametrize("effort", SPEC.efforts)
def test_a_restored_stream_goes_on_as_the_saved_one(model: Mini2Model, effort: float) -> None:
    frames = pictures(6)
    state, other = model.open(SIZE), model.open(SIZE)
    paint(model, state, frames[:3], effort=effort)
    model.restore(other, model.save(state))
    # Nothing is shared with the state that was saved.
    after = paint(model, state, frames[3:], effort=effort)
    for a, b in zip(after, paint(model, other, frames[3:], effort=effort), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_endless_run_takes_the_bytes_it_began_with(model: Mini2Model) -> None:
    state = model.open(SIZE)
    held = state.nbytes
    assert held == model.nbytes(SIZE)
    addresses = [buffers.blocks.array.ctypes.data for buffers in state.levels]
    for effort in SPEC.efforts:
        paint(model, state, pictures(20), effort=effort)
    assert state.nbytes == held
    assert [buffers.blocks.array.ctypes.data for buffers in state.levels] == addresses


@pytest.mark.parametrize("size", [(98, 66), (200, 300)])
def test_any_even_size_is_painted_at_that_size_at_any_effort(model: Mini2Model, size: tuple[int, int]) -> None:
    state = model.open(size)
    assert state.nbytes == model.nbytes(size)
    for level, effort in enumerate(SPEC.efforts):
        painted = paint(model, state, pictures(1, size), effort=effort)[0]
        assert painted.shape == (size[1], size[0], 3)
        assert painted.flags.c_contiguous
        assert state.level == level


@pytest.mark.parametrize("size", [(97, 64), (32, 32), (100_000, 64)])
def test_sizes_that_cannot_be_are_refused(model: Mini2Model, size: tuple[int, int]) -> None:
    with pytest.raises(ControlError, match="x"):
        model.open(size)
    with pytest.raises(ControlError, match="resize it first"):
        model.step([model.open(SIZE)], [Chunk(np.zeros((1, 64, 64, 3), np.uint8), np.zeros(64, np.float32))])


def test_step_counts_differ_and_each_begins_with_the_previous_output(model: Mini2Model) -> None:
    frames = pictures(2)
    found = {steps: paint(model, model.open(SIZE), frames, denoising_steps=steps)[-1] for steps in (1, 2, 4)}
    assert not np.array_equal(found[1], found[2])
    assert not np.array_equal(found[2], found[4])
    fresh = paint(model, model.open(SIZE), frames[1:])[-1]
    assert not np.array_equal(found[1], fresh)


def test_nothing_is_compiled_while_a_stream_runs_that_prepared_its_efforts(
    model: Mini2Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = model.open((128, 96))
    model.prepare_efforts(state)

    def never(*shapes: object) -> None:
        raise AssertionError(f"compiled {shapes} in the middle of a stream")

    for network in (model._networks.whole, model._networks.tiles):
        monkeypatch.setattr(network, "_compile", never)
    for effort in SPEC.efforts:
        paint(model, state, pictures(1, (128, 96)), effort=effort)


def test_textures_lie_where_the_world_went(model: Mini2Model) -> None:
    state = model.open(SIZE)
    buffers = state.levels[0]
    strokes, screens = buffers.rest[..., :16].copy(), buffers.rest[..., 16:29].copy()
    buffers.move_textures(8.0, -12.0)
    np.testing.assert_array_equal(buffers.blocks.textures[..., :16], np.roll(strokes, (2, -3), (0, 1)))
    np.testing.assert_array_equal(buffers.blocks.textures[..., 16:29], screens)
    np.testing.assert_array_equal(buffers.blocks.textures[..., 29:], np.roll(buffers.rest[..., 29:], (2, -3), (0, 1)))
    buffers.move_textures(0.0, 0.0)
    np.testing.assert_array_equal(buffers.blocks.textures, buffers.rest)


def test_the_exported_graph_paints_what_torch_paints(mini2_profile: str, model: Mini2Model) -> None:
    oracle = load_model(mini2_profile, runtime="eager")
    frames = pictures(2)
    ours, theirs = paint(model, model.open(SIZE), frames), paint(oracle, oracle.open(SIZE), frames)
    # The exported one may compute in bf16.
    assert np.abs(ours[0].astype(int) - theirs[0].astype(int)).mean() < 1.5


# -- looks -------------------------------------------------------------------------------------------------------------


def test_every_look_is_reached_by_its_key_and_its_title(model: Mini2Model) -> None:
    for look in LOOKS:
        for text in (look.key, look.title, f"a street in {look.title}"):
            assert model.encode_prompt(text).matches == ((look.key, 1.0),), text


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("half oil, half neon", {"oil": 0.5, "neon": 0.5}),
        ("anime with fog", {"anime": 0.5, "fog": 0.5}),
        ("70% stained glass and 30% snow", {"stained_glass": 0.7, "snow": 0.3}),
        ("a touch of gold", {"gold": 0.2, "source": 0.8}),
        ("charcoal 0.3", {"charcoal": 0.3, "source": 0.7}),
        ("lego bricks, no fog", {"toy_bricks": 1.0}),
        ("vaporwav", {"vaporwave": 1.0}),
        ("ukiyo-e", {"woodblock": 1.0}),
    ],
)
def test_mixtures_and_strengths_are_sums_of_codes(model: Mini2Model, text: str, shares: dict[str, float]) -> None:
    prompt = model.encode_prompt(text)
    assert prompt.known
    table = model._codes.table
    wanted = sum(share * table[LOOK_KEYS.index(key)] for key, share in shares.items())
    assert near(prompt.embeds, wanted, np.abs(table).max())


@pytest.mark.parametrize("text", ["a cat on a sofa", "steampunk", "not oil", "olive oil"])
def test_what_names_no_look_is_refused_with_offers_that_are_known(model: Mini2Model, text: str) -> None:
    prompt = model.encode_prompt(text)
    assert not prompt.known
    assert all(model.encode_prompt(name).known for name, _ in prompt.matches)
    with pytest.raises(UnknownPromptError):
        Stream(model, prompt=text)


def test_a_look_by_name_and_by_file_paints_the_same(model: Mini2Model) -> None:
    text = look_text(Look("half and half", Mixture({"oil": 0.5, "neon": 0.5})))
    saved = model.encode_prompt(text)
    assert saved.text == "half and half"
    np.testing.assert_array_equal(saved.embeds, model.encode_prompt("half oil, half neon").embeds)
    frames = pictures(2)
    named = [Stream(model, prompt=prompt, size=SIZE, crossfade_s=0) for prompt in ("half oil, half neon", text)]
    for frame in frames:
        (first,), (second,) = (stream.push(frame) for stream in named)
        np.testing.assert_array_equal(first.rgb, second.rgb)


def test_a_picture_alone_is_the_look_and_is_read_once(model: Mini2Model, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []
    read = model._pictures.numbers
    monkeypatch.setattr(model._pictures, "numbers", lambda rgb: (calls.append(rgb.shape), read(rgb))[1])
    style = png(pictures(1, (300, 200), seed=8)[0])
    with Stream(model, size=SIZE, crossfade_s=0, options={"style_image": style}) as stream:
        painted = [stream.push(frame)[0].rgb for frame in pictures(3)]
        assert calls == [(256, 256, 3)]
        assert not np.array_equal(painted[0], pictures(1)[0])
        stream.update(options={"style_image": None})
        after = stream.push(pictures(1)[0])[0].rgb
    np.testing.assert_array_equal(after, pictures(1)[0])


def test_prompt_and_picture_share_the_look(model: Mini2Model) -> None:
    prompt = model.encode_prompt("oil")
    code = model.encode_control("style_image", pictures(1, (256, 256))[0])
    assert model.compose(None, {}) is None
    assert model.compose(prompt, {}) is prompt.embeds
    assert model.compose(None, {"style_image": code}) is code
    half = model.compose(prompt, {"style_image": code})
    assert near(half, (code + prompt.embeds) / 2)
    whole = model.compose(prompt, {"style_image": code, "style_share": 1.0})
    assert near(whole, code)


def test_style_pictures_of_every_kind_do_the_right_thing_and_the_stream_goes_on(
    model: Mini2Model, tmp_path: Path
) -> None:
    colours = pictures(1, (40, 24), seed=2)[0]
    grey = Image.fromarray(colours[..., 0])
    turned = Image.Exif()
    turned[0x0112] = 6
    moving = [Image.fromarray(colours), Image.fromarray(255 - colours)]
    with Stream(model, prompt="oil", size=SIZE, crossfade_s=0) as stream:
        codes = {}
        for name, data in {
            "colours": png(colours),
            "grey": png(grey),
            "tiny": png(colours[:1, :1]),
            "alpha": png(np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])),
            "turned": png(Image.fromarray(colours), "JPEG", exif=turned, quality=95),
            "upright": png(Image.fromarray(colours).rotate(-90, expand=True), "JPEG", quality=95),
        }.items():
            stream.update(options={"style_image": data})
            codes[name] = stream.controls.options["style_image"]
            assert stream.push(pictures(1)[0])
        np.testing.assert_array_equal(codes["alpha"], codes["colours"])
        assert np.abs(codes["turned"] - codes["upright"]).mean() < 0.1 * np.abs(codes["upright"]).mean()
        huge = b"P6 20000 10000 255\n"
        for data, said in (
            (png(colours)[:90], "cannot be read as a picture"),
            (b"not a picture", "cannot be read as a picture"),
            (huge, "is too large; the limit is 64,000,000 pixels"),
            (
                png(moving[0], "GIF", save_all=True, append_images=moving[1:], duration=100),
                "is animated; give a still picture",
            ),
        ):
            with pytest.raises(ControlError, match=said):
                stream.update(options={"style_image": data})
            assert stream.controls.options["style_image"] is codes["upright"]
            assert stream.push(pictures(1)[0])


def test_a_new_picture_fades_in_like_a_prompt(model: Mini2Model) -> None:
    with Stream(model, prompt="oil", size=SIZE, crossfade_s=10, options={"style_share": 1.0}) as stream:
        stream.push(pictures(1)[0])
        before = stream._processor._painter._fade.at(0.0).embeds
        stream.update(options={"style_image": png(pictures(1, (64, 64), seed=9)[0])})
        stream.push(pictures(1)[0])
        fade = stream._processor._painter._fade
        assert fade._length_s == 10
        np.testing.assert_array_equal(fade._start.embeds, before)
        assert near(fade._goal.embeds, stream.controls.options["style_image"])


# -- files -------------------------------------------------------------------------------------------------------------


def test_files_of_other_weights_are_refused(mini2_profile: str, tmp_path: Path) -> None:
    for path in Path(mini2_profile).parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "mini2.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + b"somebody")
    with pytest.raises(CheckpointError, match="is not the file that profile 'mini2' names"):
        load_model(str(tmp_path / "mini2.toml"))
    weights.unlink()
    with pytest.raises(CheckpointError, match="cannot read"):
        load_model(str(tmp_path / "mini2.toml"))
    with pytest.raises(UsageError, match="has no option 'seed'"):
        load_model(mini2_profile, options=LoadOptions(seed=3))


# -- edits at places ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def editing(model: Mini2Model) -> EditingModel[Mini2State]:
    return EditingModel(model, KnowingFinder)


def test_a_look_of_its_own_is_painted_at_a_place_and_the_rest_stays(editing: EditingModel[Mini2State]) -> None:
    prompt = editing.encode_prompt("me in charcoal")
    assert prompt.known
    [result] = editing.step([editing.open(FIGURE_SIZE)], [Chunk(figure()[None], prompt.embeds)])
    assert not isinstance(result.edited, str)
    assert (result.edited[0][~PLACES["person"]] == 0).all()
    assert (result.edited[0][PLACES["person"]] == 255).all()
    assert result.work == 1.0


def test_a_look_at_a_place_is_painted_where_the_picture_changes(editing: EditingModel[Mini2State]) -> None:
    state = editing.open((256, 256))
    still = Chunk(pictures(1, (256, 256))[0][None], editing.encode_prompt("me in charcoal").embeds)
    works = [editing.step([state], [still])[0].work for _ in range(FIRST_WAIT + 5)]
    assert works == [1.0] * (FIRST_WAIT + 1) + [4 / 64] * 4


def test_a_style_picture_is_mixed_into_looks_where_they_are(
    model: Mini2Model, editing: EditingModel[Mini2State]
) -> None:
    code = editing.encode_control("style_image", pictures(1, (256, 256))[0])
    options = {"style_image": code, "style_share": 0.25}
    assert editing.compose(None, {}) is None
    alone = read_plan(editing.compose(None, options)).whole
    assert alone is not None
    assert near(alone.embeds, code)
    shirt = read_plan(editing.compose(editing.encode_prompt("make my shirt red"), options))
    assert near(shirt.looks[0].embeds, code)
    assert shirt.looks[0].places == EVERYTHING
    assert len(shirt.tints) == 1
    [mixed] = read_plan(editing.compose(editing.encode_prompt("me in oil"), options)).looks
    assert near(mixed.embeds, 0.25 * code + 0.75 * model.encode_prompt("oil").embeds)
    assert "background" not in mixed.places
