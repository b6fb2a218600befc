"""Laws of every family, on a tiny network with random weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from live2diff_latents import Denoised, LatentFrame, clip_visibility, step, warm_up
from live2diff_tiny import T_INDEX, TOLERANCE, H, W, prompt, video
from vivace.diffusion.lcm import add_noise, predict_x0, rows_of, schedule_by_index
from vivace.errors import ControlError
from vivace.models.live2diff.batch import StreamBatch
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.motion import ClipContext
from vivace.models.live2diff.state import LiveState
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.models.live2diff.window import ANCHORS, SLOTS, row_window, window_at


def opened(batch: StreamBatch, rows: int = 2, *, seed: int = 0, guidance: Guidance = "none") -> LiveState:
    return batch.open(schedule_by_index(T_INDEX[rows]), H, W, seed=seed, guidance=guidance, tokens=5)


def play(batch: StreamBatch, state: LiveState, clip: Tensor, text: Tensor) -> list[Tensor]:
    """Return the finished latents of a whole clip, warm-up included."""
    done = list(warm_up(batch, state, *clip[:, :ANCHORS], text))
    for latents, depth in clip[:, ANCHORS:].transpose(0, 1):
        (result,) = step(batch, [state], [LatentFrame(latents, depth, text)])
        if result.latents is not None:
            done.append(result.latents)
    return done


@pytest.fixture
def batch(tiny_unet: Live2DiffUNet) -> StreamBatch:
    return StreamBatch(tiny_unet)


# -- causality, offline, batched ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 3])
def test_later_frames_never_change_earlier_ones(batch: StreamBatch, rows: int) -> None:
    clip = video(30)
    changed = clip.clone()
    changed[:, 20:] = video(10, seed=7)
    before, after = (play(batch, opened(batch, rows), each, prompt()) for each in (clip, changed))
    assert len(before) == 30 - (rows - 1)
    assert all(torch.equal(a, b) for a, b in zip(before[:20], after[:20], strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(before[20:], after[20:], strict=True))


@pytest.mark.parametrize("rows", [1, 2, 3])
@torch.inference_mode()
def test_streaming_equals_offline(batch: StreamBatch, tiny_unet: Live2DiffUNet, rows: int) -> None:
    """A clip as long as the window, denoised at once under the mask of training, equals the stream's output.

    Beyond the window the stream remembers more than a clip could: features of a frame hold what it saw at its time.
    """
    clip, text = video(SLOTS + rows - 1), prompt()
    state = opened(batch, rows)
    streamed = play(batch, state, clip, text)
    x0, depth = clip[0, :SLOTS], clip[1, :SLOTS]
    for row in range(rows):
        level = rows_of(state.settings.schedule, row, row + 1)
        x_t = add_noise(x0, state.settings.noise.row(row).expand_as(x0), level)
        noise = tiny_unet(x_t, depth, level.timesteps, text[None], ClipContext(SLOTS, visible=clip_visibility(SLOTS)))
        x0 = predict_x0(x_t, noise, level)
    assert len(streamed) == SLOTS
    assert (torch.stack(streamed) - x0).abs().max() <= TOLERANCE


def test_streams_in_one_call_are_what_they_are_alone(batch: StreamBatch) -> None:
    """Streams of different age, prompt, seed and number of steps share a call and nothing else."""
    settings = [(1, 0, 0), (2, 3, 5), (3, 7, 12)]
    states, alone, clips = [], [], []
    for rows, seed, age in settings:
        clip = video(ANCHORS + age + 6, seed)
        alone.append(play(batch, opened(batch, rows, seed=seed), clip, prompt(seed))[-4:])
        state = opened(batch, rows, seed=seed)
        play(batch, state, clip[:, : ANCHORS + age], prompt(seed))
        states.append(state)
        clips.append(clip[:, ANCHORS + age :])
    together: list[list[Denoised]] = []
    for n in range(6):
        frames = [LatentFrame(*clip[:, n], prompt(seed)) for clip, (_, seed, _) in zip(clips, settings, strict=True)]
        together.append(step(batch, states, frames))
    for index, expected in enumerate(alone):
        found = torch.stack([call[index].x0[-1] for call in together[-4:]])
        assert (found - torch.stack(expected)).abs().max() <= TOLERANCE


# -- endless, deterministic, reset -------------------------------------------------------------------------------------


def test_a_stream_is_endless() -> None:
    """After hundreds of frames a stream has its initial memory footprint, and paints as it did."""
    with torch.random.fork_rng():
        torch.manual_seed(6)
        smallest = UNetConfig(channels=(32,), layers=1, groups=8, text_channels=8, depth_channels=(4,))
        batch = StreamBatch(Live2DiffUNet(smallest).eval())
    state = batch.open(schedule_by_index(T_INDEX[2]), 2, 2, tokens=5)
    clip, text = torch.randn((2, 64, 4, 2, 2), generator=torch.Generator().manual_seed(0)), prompt()
    warm_up(batch, state, *clip[:, :ANCHORS], text)
    places = [layer.data_ptr() for layer in state.cache.layers]
    assert state.nbytes == batch.nbytes(state.settings.schedule, 2, 2, tokens=5)
    spread = []
    for n in range(496):
        (done,) = step(batch, [state], [LatentFrame(*clip[:, n % 64], text)])
        spread.append(float(done.x0[-1].std()))
    assert [layer.data_ptr() for layer in state.cache.layers] == places
    assert state.nbytes == batch.nbytes(state.settings.schedule, 2, 2, tokens=5)
    # The clip is repeated, so the window of the last turn has the content of the second turn's.
    assert spread[-48:] == pytest.approx(spread[64:112], rel=1e-3)


def test_positions_never_run_out() -> None:
    for frame in [*range(8, 40), 10**6, 10**12 + 5]:
        visible, positions, slot = row_window(frame)
        assert all(visible)
        assert positions[:ANCHORS] == list(range(ANCHORS))
        assert sorted(positions) == list(range(SLOTS))
        assert positions[slot] == SLOTS - 1
        _, _, previous = row_window(frame - 1)
        assert positions[previous] == SLOTS - 2


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
def test_a_row_sees_only_frames_that_were(rows: int) -> None:
    """The slots that a row sees are the anchors and exactly the last frames it has written."""
    written: list[dict[int, int]] = [{} for _ in range(rows)]
    for call in range(40):
        window = window_at(call, rows)
        for row in range(rows):
            frame = call - row
            written[row][int(window.slots[row])] = frame
            seen = [slot for slot in range(ANCHORS, SLOTS) if window.visible[row, slot]]
            in_order = sorted(seen, key=lambda slot: int(window.positions[row, slot]))
            expected = list(range(max(frame - 7, 0), frame + 1))
            assert [written[row][slot] for slot in in_order] == expected


def test_the_same_seed_gives_the_same_stream_and_another_does_not(batch: StreamBatch) -> None:
    clip, text = video(14), prompt()
    first, again, other = (torch.stack(play(batch, opened(batch, seed=s), clip, text)) for s in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_survives_a_reset(batch: StreamBatch) -> None:
    clip, text, state = video(20), prompt(), opened(batch)
    clean = torch.stack(play(batch, state, clip, text))
    play(batch, state, torch.full_like(clip, torch.nan), text)
    assert state.cache.layers[0].isnan().any()
    batch.reset(state)
    assert not any(layer.any() for layer in (*state.cache.layers, state.latents, state.depth))
    assert torch.equal(torch.stack(play(batch, state, clip, text)), clean)
    play(batch, state, torch.full_like(clip, torch.nan), text)
    assert torch.equal(torch.stack(play(batch, state, clip, text)), clean), "a warm-up is a reset of its own"


def test_a_reset_may_change_the_seed(batch: StreamBatch) -> None:
    clip, text, state = video(12), prompt(), opened(batch, seed=1)
    expected = torch.stack(play(batch, opened(batch, seed=2), clip, text))
    play(batch, state, clip, text)
    batch.reset(state, seed=2)
    assert torch.equal(torch.stack(play(batch, state, clip, text)), expected)


# -- what changes while it runs ----------------------------------------------------------------------------------------


def test_prompt_and_strength_change_from_one_frame_to_the_next(batch: StreamBatch) -> None:
    clip, state = video(12), opened(batch)
    warm_up(batch, state, *clip[:, :ANCHORS], prompt())
    (plain,) = step(batch, [state], [LatentFrame(*clip[:, 8], prompt())])
    (prompted,) = step(batch, [state], [LatentFrame(*clip[:, 8], prompt(1))])
    batch.set_schedule(state, schedule_by_index([20, 40]))
    (stronger,) = step(batch, [state], [LatentFrame(*clip[:, 8], prompt(1))])
    assert not torch.equal(plain.x0[0], prompted.x0[0])
    assert stronger.x0[0].isfinite().all()
    assert not torch.equal(prompted.x0[0], stronger.x0[0])
    with pytest.raises(ControlError, match="denoises in 2 steps"):
        batch.set_schedule(state, schedule_by_index([20]))


def test_odd_sizes_work(batch: StreamBatch) -> None:
    """Latents of any size: pictures need a multiple of 8 px, not of 64."""
    state = batch.open(schedule_by_index(T_INDEX[2]), 5, 7, tokens=5)
    frames = torch.randn((2, ANCHORS + 2, 4, 5, 7), generator=torch.Generator().manual_seed(1))
    done = play(batch, state, frames, prompt())
    assert [each.shape for each in done] == [(4, 5, 7)] * (ANCHORS + 1)
    assert torch.stack(done).isfinite().all()
