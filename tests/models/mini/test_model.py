"""Laws of the embedded model with its shipped weights, through the runtime that streams use."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

from vivace.errors import CheckpointError, ControlError, StepError, UnknownModelError, UsageError
from vivace.models import describe, list_models, load_model
from vivace.models.base import Chunk
from vivace.models.effort_levels import EFFORT_SCALES
from vivace.models.mini.model import SPEC
from vivace.models.mini.state import geometry
from vivace.models.mini.styles import STYLE_COUNT
from vivace.models.mini.weights import FOLDER, read_files, read_tensors

SIZE = (96, 64)


@pytest.fixture(scope="module")
def model(painter):
    return painter


def pictures(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> list[np.ndarray]:
    """Return smooth moving pictures, like a camera's, not white noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    phase = rng.uniform(0, 6, (3, 3))
    return [
        np.stack(
            [
                127 + 120 * np.sin(x / (7 + 3 * c) + phase[c, 0] + i / 4) * np.cos(y / (9 + c) + phase[c, 1])
                for c in range(3)
            ],
            -1,
        ).astype(np.uint8)
        for i in range(count)
    ]


def style(index: int) -> np.ndarray:
    return np.eye(STYLE_COUNT, dtype=np.float32)[index]


def paint(model, state, frames, embeds=None, **how) -> list[np.ndarray]:
    embeds = style(1) if embeds is None else embeds
    return [model.step([state], [Chunk(frame[None], embeds, **how)])[0].rgb[0] for frame in frames]


def test_later_input_never_changes_earlier_output(model):
    frames = pictures(6)
    first = paint(model, model.open(SIZE), frames)
    second = paint(model, model.open(SIZE), [*frames[:5], 255 - frames[5]])
    for a, b in zip(first[:5], second[:5], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[5], second[5])


def test_a_stream_is_deterministic_for_a_seed_and_differs_for_another(model):
    frames = pictures(3)
    oil = style(4)
    a = paint(model, model.open(SIZE, seed=7), frames, oil)
    b = paint(model, model.open(SIZE, seed=7), frames, oil)
    c = paint(model, model.open(SIZE, seed=8), frames, oil)
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_two_interleaved_sessions_equal_two_separate_ones(model):
    ours, theirs = pictures(5), pictures(5, seed=9)
    alone = paint(model, model.open(SIZE), ours), paint(model, model.open(SIZE, seed=2), theirs, style(6))
    a, b = model.open(SIZE), model.open(SIZE, seed=2)
    for i in range(5):
        together = model.step([a, b], [Chunk(ours[i][None], style(1)), Chunk(theirs[i][None], style(6))])
        np.testing.assert_array_equal(together[0].rgb[0], alone[0][i])
        np.testing.assert_array_equal(together[1].rgb[0], alone[1][i])


def test_the_cache_is_written_in_place_and_memory_stays_flat(model):
    state = model.open(SIZE)
    frames = pictures(4)
    paint(model, state, frames * 3)
    keys = state.levels[0].ring.keys
    address = keys.__array_interface__["data"]
    tracemalloc.start()
    paint(model, state, frames * 25)
    gc.collect()
    early, _ = tracemalloc.get_traced_memory()
    paint(model, state, frames * 50)
    gc.collect()
    late, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert state.levels[0].ring.keys.__array_interface__["data"] == address
    assert late - early < 64 * 1024


def test_positions_never_run_out(model):
    state = model.open(SIZE)
    paint(model, state, pictures(8))
    ring = state.levels[0].ring
    # After a hundred thousand more frames only the counters have grown.
    ring.frames += 100_000
    later = paint(model, state, pictures(2))[-1]
    fresh = model.open(SIZE)
    paint(model, fresh, pictures(8))
    np.testing.assert_array_equal(later, paint(model, fresh, pictures(2))[-1])


@pytest.mark.parametrize("steps", SPEC.denoising_steps)
def test_a_reset_forgets_everything(model, steps):
    frames = pictures(3)
    state = model.open(SIZE)
    paint(model, state, pictures(6, seed=5), denoising_steps=steps)
    model.reset(state)
    np.testing.assert_array_equal(paint(model, state, frames), paint(model, model.open(SIZE), frames))


def test_a_reset_with_a_seed_lays_new_textures(model):
    frames = pictures(2)
    state = model.open(SIZE, seed=0)
    paint(model, state, frames)
    model.reset(state, seed=5)
    np.testing.assert_array_equal(paint(model, state, frames), paint(model, model.open(SIZE, seed=5), frames))


@pytest.mark.parametrize("size", [(64, 64), (98, 66), (256, 144), (200, 300)])
def test_any_even_size_is_painted_at_that_size_and_costs_the_bytes_foretold(model, size):
    state = model.open(size)
    assert state.nbytes <= model.nbytes(size)
    assert paint(model, state, pictures(1, size))[0].shape == (size[1], size[0], 3)
    for buffers in state.levels:  # a camera that moves evenly takes the most
        buffers.move_textures((0.0, 8.0 * buffers.geometry.scale_x))
        buffers.textures.look_ahead()
    assert state.nbytes == model.nbytes(size)


@pytest.mark.parametrize("size", [(97, 64), (0, 0), (32, 32), (100_000, 100_000), (-64, 64)])
def test_sizes_that_cannot_be_are_refused_with_what_would_do(model, size):
    with pytest.raises(ControlError, match="x"):
        model.open(size)


@pytest.mark.parametrize("steps", SPEC.denoising_steps)
def test_every_advertised_step_count_runs_and_the_counts_differ(model, steps):
    frames = pictures(2)
    one = paint(model, model.open(SIZE), frames)
    many = paint(model, model.open(SIZE), frames, denoising_steps=steps)
    assert (steps == 1) == np.array_equal(one[-1], many[-1])


def test_less_effort_works_on_a_smaller_grid_and_still_fills_the_picture(model):
    size = (256, 256)
    state = model.open(size)
    for level, effort in enumerate(SPEC.efforts):
        out = paint(model, state, pictures(1, size), effort=effort)[0]
        assert out.shape == (256, 256, 3)
        assert state.level == level
    grids = [geometry(size, scale).working_width for scale in EFFORT_SCALES]
    assert grids == sorted(set(grids), reverse=True)


def test_nothing_is_compiled_while_a_stream_runs_that_prepared_its_efforts(model, monkeypatch):
    size = (96, 64)  # of no other test
    state = model.open(size)
    model.prepare_efforts(state)

    def never(*shapes: object) -> None:
        raise AssertionError(f"compiled {shapes} in the middle of a stream")

    monkeypatch.setattr(model._network, "_compile", never)
    for effort in (*SPEC.efforts, SPEC.efforts[0]):
        assert paint(model, state, pictures(1, size), effort=effort)[0].shape == (64, 96, 3)


def test_styles_differ_from_each_other_and_from_the_source(model):
    frames = pictures(2, (128, 128))
    outs = [paint(model, model.open((128, 128)), frames, style(i))[-1].astype(int) for i in range(STYLE_COUNT)]
    for i, a in enumerate(outs):
        assert np.abs(a - frames[-1]).mean() > 4, SPEC.styles[i]
        for j, b in enumerate(outs[:i]):
            assert np.abs(a - b).mean() > 3, (SPEC.styles[i], SPEC.styles[j])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_end_the_step_and_are_not_remembered(model, monkeypatch, bad):
    state = model.open(SIZE)
    paint(model, state, pictures(2))
    buffers = state.levels[0]
    kept = buffers.ring.keys.copy()
    run = buffers.executor.run

    def broken():
        outputs = {name: np.array(array) for name, array in run().items()}
        outputs["small"][0, 1, 5, 7] = bad
        return outputs

    monkeypatch.setattr(buffers.executor, "run", broken)
    with pytest.raises(StepError, match="not finite"):
        paint(model, state, pictures(1))
    np.testing.assert_array_equal(buffers.ring.keys, kept)


def test_a_chunk_of_the_wrong_size_is_refused(model):
    with pytest.raises(ControlError, match="resize it first"):
        model.step([model.open(SIZE)], [Chunk(np.zeros((1, 10, 10, 3), np.uint8), style(0))])


def test_a_prompt_is_encoded_once(model):
    assert model.encode_prompt("a pencil sketch") is model.encode_prompt("a pencil sketch")


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_profile_names_the_files_that_ship():
    import hashlib

    profile = describe("mini")
    assert profile in list_models()
    for name, spec in profile.files.items():
        assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == spec.sha256, (
            f"run `vivace train export --install` for {name}"
        )


def test_shipped_weights_are_small_and_half_precision():
    size = sum(p.stat().st_size for p in FOLDER.iterdir() if p.suffix in {".safetensors", ".xml"})
    assert size < 25 * 2**20
    tensors, _ = read_tensors(FOLDER / "mini.safetensors")
    assert {t.dtype for n, t in tensors.items() if not n.startswith("graph.")} == {np.dtype(np.float16)}


def test_an_unknown_model_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownModelError, match="did you mean 'mini'"):
        load_model("mimi")


def test_an_unknown_runtime_is_refused():
    with pytest.raises(UsageError, match="openvino, eager"):
        load_model("mini", runtime="abacus")


def test_missing_damaged_and_foreign_weights_are_refused_by_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"mini\.xml"):
        read_files(tmp_path)
    (tmp_path / "mini.xml").write_bytes(b"<net/>")
    with pytest.raises(CheckpointError, match="missing"):
        read_files(tmp_path)
    whole = (FOLDER / "mini.safetensors").read_bytes()
    (tmp_path / "mini.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        read_files(tmp_path)
    (tmp_path / "mini.safetensors").write_bytes((FOLDER / "text.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="another model"):
        read_files(tmp_path)
