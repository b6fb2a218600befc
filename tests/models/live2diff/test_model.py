"""Laws of every family for Live2Diff as a stream sees it: pictures in, pictures out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from live2diff_tiny import tiny_model
from vivace.errors import CapacityError, ControlError, StepError
from vivace.models.base import Chunk
from vivace.models.live2diff.batch import StreamBatch
from vivace.models.live2diff.model import Live2DiffModel
from vivace.models.live2diff.stream_state import StreamState

SIZE = (96, 64)
Pictures = NDArray[np.uint8]


def clip(frames: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Pictures:
    """Return a clip of random blocks, `[f h w 3]`."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 256, (frames, size[1] // 8, size[0] // 8, 3), np.uint8)
    return np.repeat(np.repeat(blocks, 8, 1), 8, 2)


def chunk(model: Live2DiffModel, rgb: Pictures, prompt: str = "a felt world", **changes: object) -> Chunk:
    plain = Chunk(rgb[None], model.encode_prompt(prompt).embeds, strength=model.spec.default_strength)
    return replace(plain, **changes)  # type: ignore[arg-type]


def play(model: Live2DiffModel, state: StreamState, pictures: Pictures, **changes: object) -> list[Pictures]:
    out: list[Pictures] = []
    for rgb in pictures:
        (painted,) = model.step([state], [chunk(model, rgb, **changes)])
        out.extend(painted.rgb)
    return out


def same(a: Sequence[Pictures], b: Sequence[Pictures]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def model() -> Live2DiffModel:
    return tiny_model()


def test_it_says_what_it_is(model: Live2DiffModel) -> None:
    spec = model.spec
    assert (spec.family, spec.chunk_frames, spec.output_lag_frames) == ("live2diff", 1, 1)
    assert (spec.denoising_steps, spec.default_strength, spec.size_multiple) == ((2,), pytest.approx(0.4), 8)
    assert spec.resets_in_flight
    assert "strength" in spec.conditions
    assert "negative_prompt" not in {option.name for option in spec.options}
    assert "negative_prompt" in {option.name for option in tiny_model(guidance="initialize").spec.options}


@pytest.mark.parametrize("t_index", [(35,), (30, 40), (30, 36, 42)])
def test_pictures_trail_by_the_lag_and_no_more(t_index: tuple[int, ...]) -> None:
    model = tiny_model(t_index)
    state, lag = model.open(SIZE), len(t_index) - 1
    assert model.spec.output_lag_frames == lag
    for number, rgb in enumerate(clip(6), start=1):
        (painted,) = model.step([state], [chunk(model, rgb)])
        assert painted.rgb.shape == (int(number > lag), SIZE[1], SIZE[0], 3)
        assert painted.rgb.dtype == np.uint8


def test_later_pictures_never_change_earlier_ones(model: Live2DiffModel) -> None:
    pictures = clip(20)
    changed = np.concatenate([pictures[:12], clip(8, seed=5)])
    before, after = (play(model, model.open(SIZE), each) for each in (pictures, changed))
    assert same(before[:12], after[:12])
    assert not same(before[12:], after[12:])


def test_streams_in_one_call_are_what_they_are_alone(model: Live2DiffModel) -> None:
    clips = [clip(12, seed) for seed in range(3)]
    alone = [play(model, model.open(SIZE, seed=seed), pictures) for seed, pictures in enumerate(clips)]
    states = [model.open(SIZE, seed=seed) for seed in range(3)]
    together: list[list[Pictures]] = [[], [], []]
    for frame in range(12):
        painted = model.step(states, [chunk(model, pictures[frame]) for pictures in clips])
        for out, result in zip(together, painted, strict=True):
            out.extend(result.rgb)
    for ours, expected in zip(together, alone, strict=True):
        difference = np.stack(ours).astype(int) - np.stack(expected)
        assert np.abs(difference).max() <= 1, "to rounding"


def test_streams_of_several_sizes_share_a_call(model: Live2DiffModel) -> None:
    sizes = [(64, 64), (72, 104)]
    clips = [clip(3, size=size) for size in sizes]
    alone = [play(model, model.open(size), pictures) for size, pictures in zip(sizes, clips, strict=True)]
    states = [model.open(size) for size in sizes]
    for frame in range(3):
        painted = model.step(states, [chunk(model, pictures[frame]) for pictures in clips])
    assert all(np.array_equal(found.rgb[0], expected[-1]) for found, expected in zip(painted, alone, strict=True))


def test_the_same_seed_gives_the_same_pictures_and_another_does_not(model: Live2DiffModel) -> None:
    pictures = clip(8)
    first, again, other = (play(model, model.open(SIZE, seed=seed), pictures) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)


def test_bytes_are_known_before_they_are_allocated() -> None:
    for guidance in ("none", "initialize"):
        model = tiny_model((30, 36, 42), guidance=guidance)
        state = model.open(SIZE)
        assert model.nbytes(SIZE) == state.nbytes
        assert model.nbytes((192, 128)) > 3 * model.nbytes(SIZE)


def test_on_a_cpu_the_memory_for_streams_is_the_machines(model: Live2DiffModel) -> None:
    assert model.device.free_bytes() is None


def test_a_reset_leaves_no_trace(model: Live2DiffModel) -> None:
    state, pictures = model.open(SIZE, seed=2), clip(12)
    clean = play(model, state, pictures)
    model.reset(state)
    assert same(play(model, state, pictures), clean)
    model.reset(state, seed=7)
    assert same(play(model, state, pictures), play(model, model.open(SIZE, seed=7), pictures))


def test_a_cut_brings_out_what_is_inside_and_begins_afresh(model: Live2DiffModel) -> None:
    before, after = clip(11), clip(12, seed=4)
    state = model.open(SIZE)
    out = play(model, state, before)
    model.reset(state, keep="inside")
    out += play(model, state, after)
    assert same(out[:10], play(model, model.open(SIZE), before))
    assert same(out[11:], play(model, model.open(SIZE), after))


@pytest.mark.parametrize("cut", [5, 8, 9, 10, 11, 14])
def test_frames_inside_at_a_cut_come_out_as_if_there_were_none(cut: int) -> None:
    # At 9 and 10 the first anchors are on their way through the rows.
    model, before = tiny_model((30, 36, 42)), clip(17)
    state = model.open(SIZE)
    out = play(model, state, before[:cut])
    model.reset(state, keep="inside")
    out += play(model, state, clip(2, seed=4))
    assert same(out[:cut], play(model, model.open(SIZE), before[: cut + 2])[:cut])


@pytest.mark.parametrize("t_index", [(35,), (30, 36, 42)])
def test_a_perfect_prediction_gives_every_picture_back(
    t_index: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path of the pixels: if the network knew the exact noise, each picture would come out as it went in."""
    model, pictures = tiny_model(t_index), clip(12)
    state = model.open(SIZE)

    def know(batch: StreamBatch, x_t: Tensor, *_: object) -> Tensor:
        del batch
        drawn = state.live.settings.noise.values
        return drawn if len(x_t) == len(drawn) else drawn[:1].expand_as(x_t)

    monkeypatch.setattr(StreamBatch, "_predict", know)
    out = play(model, state, pictures)
    seen = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    expected = (model.components.autoencoder.decode(model.components.autoencoder.encode(seen)) + 1) * 127.5
    differences = np.stack(out).astype(float) - expected.permute(0, 2, 3, 1).numpy()[: len(out)]
    assert np.abs(differences).max() <= 1.0


# -- what a user steers ------------------------------------------------------------------------------------------------


def test_prompt_and_strength_change_from_one_frame_on(model: Live2DiffModel) -> None:
    pictures = clip(14)
    plain = play(model, model.open(SIZE), pictures)
    for changes in ({"strength": 0.8}, {"prompt": "another world"}):
        state = model.open(SIZE)
        changed = play(model, state, pictures[:8]) + play(model, state, pictures[8:], **changes)
        assert same(changed[:8], plain[:8])
        assert not np.array_equal(changed[8], plain[8])


def test_more_strength_leaves_less_of_the_source(model: Live2DiffModel) -> None:
    """With almost no strength the same picture comes through for every prompt."""
    pictures = clip(3)
    spread = []
    for strength in (0.05, 0.4, 0.9):
        a, b = (
            np.stack(play(model, model.open(SIZE), pictures, prompt=prompt, strength=strength)).astype(int)
            for prompt in ("one", "two other words")
        )
        spread.append(np.abs(a - b).mean())
    assert spread[0] < spread[1] < spread[2]


def test_depth_may_be_looked_at_less_often(model: Live2DiffModel) -> None:
    pictures = clip(10)
    every, third = (
        play(model, model.open(SIZE), pictures, options={"depth_every": number} if number > 1 else {})
        for number in (1, 3)
    )
    assert np.array_equal(every[0], third[0])
    assert not np.array_equal(every[1], third[1])
    still = np.repeat(pictures[:1], 10, 0)
    every, third = (play(model, model.open(SIZE), still, options={"depth_every": number}) for number in (1, 3))
    assert same(every, third), "where nothing moves, nothing is lost"


def test_noise_follows_the_camera(model: Live2DiffModel) -> None:
    wide = np.kron(clip(1, seed=3, size=(320, 160))[0, ::8, ::8], np.ones((8, 8, 1), np.uint8))
    panned = np.stack([wide[40:104, 16 * n : 16 * n + 96] for n in range(8)])
    fixed, following = (
        play(model, model.open(SIZE), panned, options={"follow_camera": value}) for value in (False, True)
    )
    assert np.array_equal(fixed[0], following[0])
    assert not same(fixed, following)
    still = np.repeat(panned[:1], 8, 0)
    fixed, following = (
        play(model, model.open(SIZE), still, options={"follow_camera": value}) for value in (False, True)
    )
    assert same(fixed, following)


def test_anchors_are_set_anew_on_request(model: Live2DiffModel) -> None:
    pictures = clip(24)
    plain = play(model, model.open(SIZE), pictures)
    state = model.open(SIZE)
    asked = play(model, state, pictures[:16]) + play(model, state, pictures[16:17], events={"anchor"})
    asked += play(model, state, pictures[17:])
    assert same(asked[:16], plain[:16])
    assert not np.array_equal(asked[16], plain[16])


@pytest.mark.parametrize("guidance", ["self", "initialize"])
def test_guidance_is_an_option_of_models_loaded_with_it(guidance: str) -> None:
    model = tiny_model(guidance=guidance)  # type: ignore[arg-type]
    pictures = clip(6)
    assert "guidance_scale" in {option.name for option in model.spec.options}
    plain = play(tiny_model(), tiny_model().open(SIZE), pictures)
    none, much = (play(model, model.open(SIZE), pictures, options={"guidance_scale": scale}) for scale in (1.0, 3.0))
    assert np.abs(np.stack(none).astype(int) - np.stack(plain)).max() <= 1
    assert not same(none, much)


def test_a_negative_prompt_reaches_the_picture() -> None:
    model = tiny_model(guidance="initialize")
    pictures = clip(6)
    options = {"guidance_scale": 3.0}
    plain = play(model, model.open(SIZE), pictures, options=options)
    against, empty = (
        play(model, model.open(SIZE), pictures, options=options | {"negative_prompt": prompt})
        for prompt in (model.encode_control("negative_prompt", text) for text in ("blurry fog", ""))
    )
    assert same(plain, empty), "no negative prompt is an empty one"
    assert not same(plain, against)


def test_without_a_negative_prompt_again_it_is_the_empty_one_again() -> None:
    model, pictures = tiny_model(guidance="initialize"), clip(6)
    options = {"guidance_scale": 3.0}
    state = model.open(SIZE)
    negative = model.encode_control("negative_prompt", "blurry fog")
    play(model, state, pictures[:1], options=options | {"negative_prompt": negative})
    model.reset(state)
    assert same(play(model, state, pictures, options=options), play(model, model.open(SIZE), pictures, options=options))


def test_a_lora_changes_its_weight_while_the_stream_runs() -> None:
    model, pictures = tiny_model(lora_weight=0.8), clip(12)
    (option,) = (option for option in model.spec.options if option.name == "lora_felt")
    assert option.shared
    assert option.default == 0.8
    plain = play(model, model.open(SIZE), pictures)
    state = model.open(SIZE)
    out = play(model, state, pictures[:6]) + play(model, state, pictures[6:], options={"lora_felt": 0.0})
    assert same(out[:5], plain[:5])
    assert not np.array_equal(out[6], plain[6])
    without = tiny_model(lora_weight=0.0)
    model.reset(state)
    found = play(model, state, pictures, options={"lora_felt": 0.0})
    assert same(found, play(without, without.open(SIZE), pictures))
    model.reset(state)
    assert same(play(model, state, pictures), plain), "what is no longer asked for is at its default"


def test_another_stream_does_not_take_a_lora_back() -> None:
    model, pictures = tiny_model(lora_weight=0.8), clip(4)
    asking, other = model.open(SIZE), model.open(SIZE, seed=1)
    play(model, asking, pictures, options={"lora_felt": 0.1})
    play(model, other, pictures)
    assert model.components.loras[0].weights == {"felt": 0.1}


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(100, 64), (64, 60), (32, 64), (4096, 64)])
def test_sizes_it_cannot_paint_are_refused(model: Live2DiffModel, size: tuple[int, int]) -> None:
    with pytest.raises(ControlError, match=r"multiples of 8 px|64x64 to 2048x2048 px"):
        model.open(size)


def test_pictures_of_another_size_are_refused(model: Live2DiffModel) -> None:
    with pytest.raises(ControlError, match="resize it first"):
        model.step([model.open(SIZE)], [chunk(model, clip(1, size=(64, 64))[0])])


def test_numbers_that_are_not_finite_are_an_error_and_not_a_picture(model: Live2DiffModel) -> None:
    state, pictures = model.open(SIZE), clip(4)
    embeds = np.full_like(model.encode_prompt("x").embeds, np.nan)
    with pytest.raises(StepError, match="not finite"):
        play(model, state, pictures, embeds=embeds)
    model.reset(state)
    assert same(play(model, state, pictures), play(model, model.open(SIZE), pictures))


def test_too_little_memory_says_how_much_is_needed(model: Live2DiffModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(type(model.components.unet), "open_cache", full)
    with pytest.raises(CapacityError, match=r"needs \d.* MiB"):
        model.open(SIZE)


def test_stages_are_timed_when_asked(model: Live2DiffModel) -> None:
    state = model.open(SIZE)
    play(model, state, clip(2))
    assert model.timer.take() == {}
    model.timer.enabled = True
    try:
        play(model, state, clip(3))
        times = model.timer.take()
    finally:
        model.timer.enabled = False
    assert {stage: len(values) for stage, values in times.items()} == {"encode": 3, "depth": 3, "unet": 3, "decode": 3}


def test_the_memory_of_a_closed_stream_is_free_at_once(model: Live2DiffModel) -> None:
    state = model.open(SIZE)
    play(model, state, clip(3))
    gone = weakref.ref(state)
    gc.disable()
    try:
        del state
        assert gone() is None
    finally:
        gc.enable()
