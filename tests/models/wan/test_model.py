"""The family's promises to a stream, with tiny weights under every convention of the shipped profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wan_mirror as toy
from vivace.errors import CapacityError, ControlError
from vivace.models import load_model
from vivace.models.base import Chunk, RuntimeInfo
from vivace.models.loading import LoadOptions
from vivace.models.wan import model as module
from vivace.models.wan.codec import CodecState
from vivace.models.wan.model import WanModel
from vivace.models.wan.program import FlowProgram
from vivace.models.wan.ring import RollingMemory, RowsAttention
from vivace.models.wan.stream_state import WanStream
from vivace.runtime.torch.compiled import compiler_problem

CPU = torch.device("cpu")
Load = Callable[..., WanModel]
SIZE = (80, 64)
RED, INK = "turn the red mug into a glass", "ink sketch of a fox in the snow"


def clip(model: WanModel, chunks: int, seed: int = 0) -> list[np.ndarray]:
    """Return pictures, one chunk after the other."""
    rng = np.random.default_rng(seed)
    frames = (model.spec.frames_of_chunk(number) for number in range(chunks))
    return [rng.integers(0, 256, (each, SIZE[1], SIZE[0], 3), np.uint8) for each in frames]


@dataclass
class Told:
    """Inputs of a chunk."""

    prompt: str = RED
    strength: float | None = None
    options: dict[str, Any] | None = None


PLAIN = Told()


def chunk_of(model: WanModel, rgb: np.ndarray, told: Told) -> Chunk:
    strength = model.spec.default_strength if told.strength is None else told.strength
    return Chunk(rgb, model.encode_prompt(told.prompt).embeds, strength=strength, options=told.options or {})


def run(
    model: WanModel, pictures: Sequence[np.ndarray], told: Told | Sequence[Told] = PLAIN, *, seed: int = 1
) -> list[np.ndarray]:
    """Return the output of each step."""
    return run_on(model, model.open(SIZE, seed=seed), pictures, told)


def run_on(
    model: WanModel, state: WanStream, pictures: Sequence[np.ndarray], told: Told | Sequence[Told] = PLAIN
) -> list[np.ndarray]:
    each = [told] * len(pictures) if isinstance(told, Told) else told
    return [model.step([state], [chunk_of(model, *pair)])[0].rgb for pair in zip(pictures, each, strict=True)]


def joined(made: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(made)


def alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether pictures are equal up to the rounding of their bytes."""
    return first.shape == second.shape and int(np.abs(first.astype(int) - second.astype(int)).max(initial=0)) <= 1


@pytest.fixture(params=toy.PROFILES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


FIRST = {"liveedit": [9, 12, 12, 12], "causal-forcing": [1, 4, 4, 4], "streamdiffusionv2": [5, 0, 4, 4]}


def test_pictures_come_as_the_first_latent_allows(load: Load, name: str) -> None:
    model = load(name)
    made = run(model, clip(model, 4))
    assert [len(each) for each in made] == FIRST.get(name, FIRST["liveedit"])
    inside = 0
    for number, each in enumerate(made):
        inside += model.spec.frames_of_chunk(number) - len(each)
        assert inside <= model.spec.output_lag_frames
    assert all(each.shape[1:] == (SIZE[1], SIZE[0], 3) and each.dtype == np.uint8 for each in made)
    assert joined(made).std() > 1


def test_a_stream_is_the_same_for_a_seed(load: Load, name: str) -> None:
    model = load(name)
    pictures = clip(model, 3)
    first, again, other = (joined(run(model, pictures, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_comes_later_changes_nothing(load: Load, name: str) -> None:
    model = load(name)
    pictures = clip(model, 5)
    later = [*pictures[:3], *clip(model, 5, seed=9)[3:]]
    one, other = (run(model, each) for each in (pictures, later))
    assert np.array_equal(joined(one[:3]), joined(other[:3]))
    assert not np.array_equal(joined(one[3:]), joined(other[3:]))


def test_streams_in_one_step_are_as_alone(load: Load, name: str) -> None:
    model = load(name)
    pictures, others = clip(model, 4), clip(model, 4, seed=5)
    alone = [run(model, pictures), run(model, others, Told(INK), seed=2)]
    states = [model.open(SIZE, seed=1), model.open(SIZE, seed=2)]
    for step, both in enumerate(zip(pictures, others, strict=True)):
        chunks = [chunk_of(model, rgb, told) for rgb, told in zip(both, (Told(), Told(INK)), strict=True)]
        for row, result in enumerate(model.step(states, chunks)):
            assert alike(result.rgb, alone[row][step]), (step, row)


def test_a_stream_that_forgets_is_as_new(load: Load, name: str) -> None:
    model = load(name)
    pictures, state = clip(model, 3), model.open(SIZE, seed=1)
    first = joined(run_on(model, state, pictures))
    run_on(model, state, clip(model, 5, seed=4)[3:], Told(INK))
    model.reset(state)
    assert np.array_equal(joined(run_on(model, state, pictures)), first)
    model.reset(state, seed=2)
    assert np.array_equal(joined(run_on(model, state, pictures)), joined(run(model, pictures, seed=2)))


@pytest.mark.parametrize("how", ["recache", "fade", "switch"])
def test_another_prompt_changes_nothing_before_it(load: Load, name: str, how: str) -> None:
    model = load(name)
    if how not in model.spec.options[0].choices:
        assert name == "streamdiffusionv2"
        return
    pictures, options = clip(model, 6), {"prompt_switch": how}
    before, after = Told(options=options), Told(INK, options=options)
    same = run(model, pictures, before)
    switched = run(model, pictures, [before] * 3 + [after] * 3)
    assert np.array_equal(joined(same[:3]), joined(switched[:3]))
    if name != "streamdiffusionv2":  # what is inside comes out first
        assert not np.array_equal(same[3], switched[3])
    assert not np.array_equal(joined(same[4:]), joined(switched[4:]))


def test_ways_to_change_a_prompt_are_different_and_end_at_the_same_words(load: Load) -> None:
    model = load("longlive")
    pictures = clip(model, 7)
    found = {}
    for how in ("recache", "fade", "switch"):
        options = {"prompt_switch": how, "fade_chunks": 2}
        state = model.open(SIZE, seed=1)
        made = run_on(model, state, pictures, [Told(options=options)] * 2 + [Told(INK, options=options)] * 5)
        found[how] = joined(made[2:])
        fresh = model.open(SIZE, seed=1)
        run_on(model, fresh, pictures[:1], Told(INK))
        assert state.prompt.text is not None
        assert fresh.prompt.text is not None
        for ours, theirs in zip(state.prompt.text, fresh.prompt.text, strict=True):
            assert torch.allclose(ours.keys, theirs.keys, atol=1e-5)
    assert not np.array_equal(found["recache"], found["switch"])
    assert not np.array_equal(found["fade"], found["switch"])


def test_the_same_words_again_are_no_change(load: Load) -> None:
    model = load("self-forcing")
    pictures = clip(model, 3)
    state = model.open(SIZE, seed=1)
    made = []
    for rgb in pictures:
        chunk = chunk_of(model, rgb, Told())
        made.append(model.step([state], [replace(chunk, embeds=chunk.embeds.copy())])[0].rgb)
    assert np.array_equal(joined(made), joined(run(model, pictures)))


@pytest.mark.parametrize("autoencoder", ["tiny", "full"])
def test_streaming_is_as_all_at_once(load: Load, autoencoder: str) -> None:
    """A clip encoded at once, and its latents decoded at once, equal the inputs and outputs of a stream."""
    model = load("causal-forcing", controls={"autoencoder": autoencoder})
    pictures, state = clip(model, 5), model.open(SIZE, seed=1)
    made: list[torch.Tensor] = []
    decode = model.components.autoencoder.decode
    seen: list[torch.Tensor] = []
    encode = model.components.autoencoder.encode

    class Watched:
        def encode(self, rgb: torch.Tensor, codec: CodecState) -> torch.Tensor:
            seen.append(encode(rgb, codec))
            return seen[-1]

        def decode(self, latents: torch.Tensor, codec: CodecState) -> torch.Tensor:
            made.append(latents)
            return decode(latents, codec)

    watched = WanModel(
        replace(model.components, autoencoder=Watched()), model.device, info=RuntimeInfo("eager", "CPU", "f32")
    )
    made.clear()
    seen.clear()
    shown = joined(run_on(watched, state, pictures))
    frames = torch.tensor(joined(pictures))
    assert torch.allclose(encode(frames, CodecState()), torch.cat(seen, 1), atol=1e-5)
    assert alike(decode(torch.cat(made, 1), CodecState()).numpy(), shown)


@pytest.mark.slow  # the memory alone has its own test, see `test_memory.test_positions_have_no_end`
@pytest.mark.parametrize("name", ["causal-forcing", "streamdiffusionv2"])
def test_a_stream_has_no_end(load: Load, name: str) -> None:
    model = load(name, steps=1)
    state = model.open(SIZE, seed=1)
    addresses = [layer.data_ptr() for layer in layers(state)]
    first, rgb = clip(model, 2)
    for number in range(1105):
        [result] = model.step([state], [chunk_of(model, rgb if number else first, Told())])
    assert state.chunk > 1100
    assert addresses == [layer.data_ptr() for layer in layers(state)]
    assert len(state.clean) <= model.components.checkpoint.sampling.window
    assert result.rgb.std() > 1


def layers(state: WanStream) -> list[torch.Tensor]:
    """Return the buffers of all memories of a stream."""
    return [layer for memory in state.memories for layer in memory.buffers.layers]


def test_a_stream_takes_no_more_memory_than_is_said(load: Load, name: str) -> None:
    for autoencoder in ("tiny", "full"):
        model = load(name, controls={"autoencoder": autoencoder})
        state = model.open((64, 64), seed=1)
        run_on(model, state, [each[:, :64, :64] for each in clip(model, 3 if model.spec.chunk_frames > 4 else 8)])
        took = sum(layer.nbytes for layer in layers(state))
        took += state.codec.seen.nbytes + state.codec.shown.nbytes + sum(each.nbytes for each in state.clean)
        took += sum(part.nbytes for layer in state.prompt.text or () for part in (layer.keys, layer.values))
        assert took <= model.nbytes((64, 64)) <= 2 * took


def test_too_little_memory_is_said_with_what_would_fit(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("longlive")
    monkeypatch.setattr(module.TorchDevice, "free_bytes", lambda _: model.nbytes((256, 256)) - 1)
    with pytest.raises(CapacityError, match=r"needs .* MiB for a stream of 256x256 px.*128x128 needs"):
        model.open((256, 256))
    model.open((128, 128))


def test_at_full_strength_the_source_does_not_matter(load: Load) -> None:
    model = load("self-forcing")
    one, other = (joined(run(model, clip(model, 2, seed), Told(strength=1.0))) for seed in (0, 1))
    assert np.array_equal(one, other)
    one, other = (joined(run(model, clip(model, 2, seed), Told(strength=0.7))) for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_less_strength_takes_fewer_steps(load: Load) -> None:
    model = load("self-forcing")
    calls: list[int] = []
    handle = model.components.network.register_forward_hook(lambda *_: calls.append(1))
    counts = {}
    for strength in (1.0, 0.94, 0.9, 0.7, 0.1):
        calls.clear()
        run(model, clip(model, 1), Told(strength=strength))
        counts[strength] = len(calls)
    handle.remove()
    assert counts == {1.0: 5, 0.94: 4, 0.9: 3, 0.7: 2, 0.1: 2}


def test_a_weakly_noised_stream_batch_stays_near_its_source(load: Load) -> None:
    model = load("streamdiffusionv2", controls={"autoencoder": "full"})
    pictures = clip(model, 5)
    latents = {}
    for strength in (0.8, 0.2):
        state = model.open(SIZE, seed=1)
        run_on(model, state, pictures, Told(strength=strength))
        assert state.batch is not None
        latents[strength] = list(state.batch.timesteps)
    assert latents == {0.8: [700, 500], 0.2: [175, 125]}


def test_the_mask_cache_leaves_tokens_out_of_middle_steps(load: Load) -> None:
    model = load("liveedit")
    pictures = clip(model, 4)
    state = model.open(SIZE, seed=1)
    tokens: list[int] = []
    part = model.components.network.blocks[0].self_attn.q
    handle = part.register_forward_hook(lambda module, given, output: tokens.append(output.shape[1]))
    run_on(model, state, pictures, Told(options={"mask_cache": True, "mask_share": 0.5}))
    handle.remove()
    whole = tokens[0]
    by_chunk = [tokens[at : at + 5] for at in range(0, len(tokens), 5)]
    assert by_chunk[0] == [whole] * 5
    for calls in by_chunk[1:]:
        assert [each == whole for each in calls] == [True, False, False, True, True]
    off = run(model, pictures)
    on_off = run(model, pictures, [Told(options={"mask_cache": True})] + [Told()] * 3)
    assert np.array_equal(joined(off), joined(on_off))


REGIONS = Told(options={"region_cache": True})


@pytest.mark.parametrize("name", ["liveedit", "causal-forcing"])
def test_the_region_cache_computes_what_changes(load: Load, name: str) -> None:
    model = load(name)
    still = np.random.default_rng(3).integers(0, 256, (1, SIZE[1], SIZE[0], 3), np.uint8)
    pictures = [np.repeat(still, model.spec.frames_of_chunk(number), 0) for number in range(5)]
    pictures[3] = pictures[3].copy()
    pictures[3][-1, :32, :32] = 255 - pictures[3][-1, :32, :32]
    state = model.open(SIZE, seed=1)
    works, latents = [], []
    for rgb in pictures:
        works.append(model.step([state], [chunk_of(model, rgb, REGIONS)])[0].work)
        latents.append(state.clean[-1][0, 0, :16].clone())
    # A token is computed in every chunk by turns, and more of them where the picture changes and changes back.
    assert works[0] is None
    assert works[1:] == pytest.approx([0.05, 0.05, 0.45, 0.45], abs=0.1)
    near, far = (slice(None), slice(0, 4), slice(0, 4)), (slice(None), slice(4, 8), slice(6, 10))
    assert torch.equal(latents[3][far], latents[2][far])
    assert not torch.isclose(latents[3][near], latents[2][near]).any()


def test_the_region_cache_computes_all_where_all_changes_or_another_prompt_begins(load: Load) -> None:
    model = load("liveedit")
    pictures = clip(model, 4)
    assert np.array_equal(joined(run(model, pictures)), joined(run(model, pictures, REGIONS)))
    state = model.open(SIZE, seed=1)
    still = [np.repeat(pictures[0][:1], model.spec.frames_of_chunk(number), 0) for number in range(4)]
    prompts = [RED, RED, INK, INK]
    told = [Told(prompt, options={"region_cache": True}) for prompt in prompts]
    works = [model.step([state], [chunk_of(model, *each)])[0].work for each in zip(still, told, strict=True)]
    assert [work is None for work in works] == [True, False, True, False]


def test_tokens_that_are_computed_attend_to_what_the_others_were(load: Load) -> None:
    """A call of some tokens gives what a call of all does where the others have the keys and values they had."""
    model = load("liveedit")
    network = model.components.network
    state = model.open(SIZE, seed=1)
    run_on(model, state, clip(model, 2))
    [ring] = state.memories
    assert isinstance(ring, RollingMemory)
    x, times = torch.randn(1, 3, 32, 8, 10), torch.full((1, 3), 500.0)
    text = network.encode_text(torch.randn(1, 4, network.cfg.text_dim))
    whole = network(x, times, text, RowsAttention([ring.chunk(3)]))
    tokens = torch.tensor([0, 3, 7, 19])
    part = ring.part_of(3, tokens)
    assert ring.part_of(3, tokens.to("meta")).device.type == "meta"  # on a GPU indices are where the tokens are
    made = network(x, times, text, RowsAttention([ring.region(3, tokens)]), part=part)
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask.view(-1)[tokens] = True
    latents = mask.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.allclose(made[..., latents], whole[..., latents], atol=1e-5)
    assert not made[..., ~latents].any()


def test_pictures_of_another_size_are_refused(load: Load) -> None:
    model = load("liveedit")
    state = model.open(SIZE)
    rgb = clip(model, 1)[0]
    with pytest.raises(ControlError, match="resize it first"):
        model.step([state], [chunk_of(model, rgb[:, :-1], Told())])
    with pytest.raises(ControlError, match="multiples of 16"):
        model.open((104, 64))


@pytest.mark.slow  # compiles the tiny transformer twice
def test_a_compiled_stream_paints_what_an_eager_one_does(load: Load) -> None:
    assert not compiler_problem("cpu")
    model = load("longlive")
    compiled = WanModel(model.components, model.device, info=model.runtime, mode="compiled")
    pictures = clip(model, 7)
    told = [Told()] * 5 + [Told(INK, options={"prompt_switch": "recache"})] * 2
    state = compiled.open(SIZE, seed=1)
    assert state.program is not None
    assert alike(joined(run_on(compiled, state, pictures, told)), joined(run(model, pictures, told)))


@pytest.mark.parametrize("name", ["longlive", "causal-forcing"])
def test_a_program_over_a_full_ring_is_the_network(load: Load, name: str) -> None:
    """As it is recorded on a GPU, run eagerly: what changes from call to call is data at fixed addresses."""
    model = load(name)
    pictures = clip(model, 8 if model.spec.chunk_frames > 4 else 24)
    told = [Told()] * (len(pictures) - 2) + [Told(INK, options={"prompt_switch": "recache"})] * 2
    state, sampling = model.open(SIZE, seed=1), model.components.checkpoint.sampling
    shape = (sampling.chunk, SIZE[1] // 8, SIZE[0] // 8)
    [memory] = state.memories
    state.program = FlowProgram(model.components.network, memory.buffers, shape, model.device, "eager")
    calls: list[int] = []
    program = state.program._program
    state.program._program = lambda: (calls.append(1), program())  # type: ignore[assignment]
    assert alike(joined(run_on(model, state, pictures, told)), joined(run(model, pictures, told)))
    full = len(pictures) - -(-sampling.window // sampling.chunk) + 1
    assert len(calls) >= 2 * full


@pytest.mark.gpu
def test_a_recorded_stream_paints_what_an_eager_one_does(mirrors: dict[str, Path]) -> None:
    eager, recorded = (
        load_model(str(mirrors["longlive"]), runtime=runtime, options=LoadOptions(random_weights=True, device="cuda"))
        for runtime in ("eager", "compiled")
    )
    assert isinstance(recorded, WanModel)
    assert recorded.runtime.runtime == "compiled"
    assert isinstance(eager, WanModel)
    pictures = clip(eager, 8)
    first, second = (joined(run(model, pictures)) for model in (eager, recorded))
    assert np.abs(first.astype(int) - second.astype(int)).mean() < 2, "bf16 rounds differently, and nothing more"
