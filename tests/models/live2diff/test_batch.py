"""Events of a running stream: its first frames, cuts, changes, new anchors, guidance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from live2diff_latents import LatentFrame, step, warm_up
from live2diff_tiny import T_INDEX, TOLERANCE, H, W, prompt, video
from tolerance import near
from vivace.diffusion.lcm import add_noise, predict_x0, rows_of, schedule_by_index
from vivace.models.live2diff.anchors import AnchorClock
from vivace.models.live2diff.batch import StreamBatch
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.guidance import guide, residual_noise
from vivace.models.live2diff.motion import ClipContext
from vivace.models.live2diff.noise import Noise, draw_noise, shift_of
from vivace.models.live2diff.unet import Live2DiffUNet
from vivace.models.live2diff.window import ANCHORS, SLOTS, rolling_slots, scene_window


class Player:
    """Player that runs clips through a stream and keeps its output."""

    def __init__(self, batch: StreamBatch, rows: int = 2, *, seed: int = 0, guidance: Guidance = "none") -> None:
        self.batch = batch
        self.state = batch.open(schedule_by_index(T_INDEX[rows]), H, W, seed=seed, guidance=guidance, tokens=5)
        self.out: list[Tensor] = []
        self.text = prompt()

    def play(self, clip: Tensor) -> Player:
        for latents, depth in clip.transpose(0, 1):
            (done,) = step(self.batch, [self.state], [LatentFrame(latents, depth, self.text)])
            if done.latents is not None:
                self.out.append(done.latents.clone())
        return self

    def drain(self) -> list[Tensor]:
        """Flush the frames inside; the frames that push are not counted."""
        self.play(video(self.state.rows - 1, seed=99))
        return self.out


@pytest.fixture
def batch(tiny_unet: Live2DiffUNet) -> StreamBatch:
    return StreamBatch(tiny_unet)


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# -- the first frames --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_output_begins_with_the_first_frame(batch: StreamBatch, rows: int) -> None:
    player = Player(batch, rows)
    for frame in range(1, 20):
        player.play(video(19)[:, frame - 1 : frame])
        assert len(player.out) == max(0, frame - (rows - 1))
    assert torch.stack(player.out).isfinite().all()


def test_the_first_frame_is_what_it_is_alone(batch: StreamBatch) -> None:
    """The window of the first frame holds nothing but itself."""
    clip = video(3)
    (first, *_) = Player(batch, 3).play(clip).out
    state = Player(batch, 3).state
    x0 = clip[0, :1]
    for row in range(3):
        level = rows_of(state.settings.schedule, row, row + 1)
        x_t = add_noise(x0, state.settings.noise.row(row)[None], level)
        noise = batch.unet(x_t, clip[1, :1], level.timesteps, prompt()[None], ClipContext(1))
        x0 = predict_x0(x_t, noise, level)
    assert (first - x0[0]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_from_the_ninth_frame_on_a_stream_is_what_a_warm_up_makes_of_it(batch: StreamBatch, rows: int) -> None:
    """The anchors are set row by row right before the following frame arrives there."""
    clip = video(30)
    grown = Player(batch, rows).play(clip).out
    warm = Player(batch, rows)
    warm_up(warm.batch, warm.state, *clip[:, :ANCHORS], warm.text)
    after = warm.play(clip[:, ANCHORS:]).out
    assert same(grown[ANCHORS:], after)


@pytest.mark.parametrize("rows", [1, 3])
def test_later_frames_never_change_earlier_ones_from_the_very_first(batch: StreamBatch, rows: int) -> None:
    clip = video(24)
    for place in (1, 5, 8, 9, 17):
        changed = clip.clone()
        changed[:, place:] = video(24 - place, seed=7)
        before, after = (Player(batch, rows).play(each).out for each in (clip, changed))
        assert same(before[:place], after[:place])
        assert not torch.equal(before[place], after[place])


def test_the_window_grows_one_slot_a_frame_and_then_rolls() -> None:
    for number in range(SLOTS):
        visible, positions, slot = scene_window(number)
        assert sum(visible) == number + 1
        assert slot == number
        assert positions == list(range(SLOTS))
    for number in range(SLOTS, 60):
        visible, positions, slot = scene_window(number)
        assert all(visible)
        assert positions[slot] == SLOTS - 1
        assert slot >= ANCHORS
        assert rolling_slots(number)[-1] == slot
        assert rolling_slots(number)[:-1] == rolling_slots(number - 1)[1:]


# -- cuts and changes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_cut_loses_no_frame_and_leaves_no_trace(batch: StreamBatch, rows: int) -> None:
    """Frames before it are as without the cut, frames after it as without a past."""
    before, after = video(21), video(20, seed=5)
    player = Player(batch, rows).play(before)
    batch.begin_scene(player.state)
    out = player.play(after).drain()
    assert same(out[:21], Player(batch, rows).play(before).drain())
    assert same(out[21:], Player(batch, rows).play(after).drain())


def test_a_cut_in_the_middle_of_setting_anchors_leaves_no_trace(batch: StreamBatch) -> None:
    for early in (1, 3, 8, 9, 10):
        before, after = video(early), video(20, seed=5)
        player = Player(batch, 3).play(before)
        batch.begin_scene(player.state)
        out = player.play(after).drain()
        assert same(out[early:], Player(batch, 3).play(after).drain())


def _new_prompt(player: Player) -> None:
    player.text = prompt(1)


def _new_strength(player: Player) -> None:
    player.batch.set_schedule(player.state, schedule_by_index([20, 31, 41]))


def _new_seed(player: Player) -> None:
    player.batch.set_seed(player.state, 9)


@pytest.mark.parametrize("change", [_new_prompt, _new_strength, _new_seed])
def test_a_change_begins_with_one_frame(batch: StreamBatch, change: Callable[[Player], None]) -> None:
    clip = video(30)
    plain = Player(batch, 3).play(clip).drain()
    player = Player(batch, 3).play(clip[:, :20])
    change(player)
    changed = player.play(clip[:, 20:]).drain()
    assert same(changed[:20], plain[:20]), "frames inside are made as they began"
    assert all(not torch.equal(a, b) for a, b in zip(changed[20:], plain[20:], strict=True))


def test_a_stream_changed_before_its_first_frame_never_knew_otherwise(batch: StreamBatch) -> None:
    clip, player = video(12), Player(batch, 3)
    _new_strength(player)
    _new_seed(player)
    other = Player(batch, 3, seed=9)
    _new_strength(other)
    assert same(player.play(clip).out, other.play(clip).out)


# -- anchors set anew --------------------------------------------------------------------------------------------------


def anchors_set_at(clock: AnchorClock, looks: list[str]) -> list[int]:
    return [number for number, look in enumerate(looks) if clock.due(number, look)]


def test_anchors_are_due_once_there_are_eight_frames_and_then_by_age() -> None:
    clock = AnchorClock()
    assert anchors_set_at(clock, ["a"] * 100) == [8]
    clock.begin_scene()
    clock.every = 30
    assert anchors_set_at(clock, ["a"] * 100) == [8, 38, 68, 98]


def test_copied_anchors_need_a_full_window() -> None:
    clock = AnchorClock()
    clock.joint, clock.every = False, 30
    assert anchors_set_at(clock, ["a"] * 100) == [30, 60, 90]
    clock.begin_scene()
    clock.ask()
    assert anchors_set_at(clock, ["a"] * 20) == [16]


def test_anchors_are_due_when_a_change_has_settled() -> None:
    fading = [f"{step}" for step in range(20, 28)]
    assert anchors_set_at(AnchorClock(), ["a"] * 20 + fading + ["b"] * 40) == [8, 36]


def test_anchors_are_due_on_request() -> None:
    clock = AnchorClock()
    assert anchors_set_at(clock, ["a"] * 12) == [8]
    clock.ask()
    assert [clock.due(number, "a") for number in (12, 13)] == [True, False]


@pytest.mark.parametrize("rows", [1, 3])
def test_anchors_set_anew_are_the_last_eight_frames_denoised_together(batch: StreamBatch, rows: int) -> None:
    clip = video(40)
    player = Player(batch, rows).play(clip[:, :30])
    player.state.clock.ask()
    player.play(clip[:, 30 : 30 + rows])
    fresh = Player(batch, rows)
    warm_up(batch, fresh.state, *clip[:, 22:30], fresh.text)
    for ours, expected in zip(player.state.cache.layers, fresh.state.cache.layers, strict=True):
        assert torch.equal(ours[..., :ANCHORS, :], expected[..., :ANCHORS, :])


def test_copied_anchors_are_the_rolling_half_of_the_ring(batch: StreamBatch) -> None:
    clip = video(40)
    asked, left = Player(batch, 2), Player(batch, 2)
    for player in (asked, left):
        player.state.clock.joint = False
        player.play(clip[:, :21])
    before = [layer[0].clone() for layer in asked.state.cache.layers]
    asked.state.clock.ask()
    for player in (asked, left):
        player.play(clip[:, 21:23])
    slots = rolling_slots(20)
    for found, first_row, other in zip(asked.state.cache.layers, before, left.state.cache.layers, strict=True):
        assert torch.equal(found[0][:, :, :ANCHORS], first_row[:, :, slots])
        # The second row was copied a call later; frame 21 has since overwritten the oldest of the ring there.
        assert torch.equal(found[1][:, :, 1:ANCHORS], other[1][:, :, slots[1:]])


def test_setting_anchors_anew_touches_nothing_else(batch: StreamBatch) -> None:
    clip = video(40)
    asked, left = (Player(batch, 3).play(clip[:, :20]) for _ in range(2))
    asked.state.clock.ask()
    assert same(asked.play(clip[:, 20:]).out[:20], left.play(clip[:, 20:]).out[:20])
    assert not torch.equal(asked.out[20], left.out[20])


# -- guidance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", ["self", "initialize"])
def test_a_scale_of_one_is_no_guidance(batch: StreamBatch, guidance: Guidance) -> None:
    clip = video(14)
    plain = Player(batch, 3).play(clip).out
    player = Player(batch, 3, guidance=guidance)
    batch.set_guidance(player.state, 1.0, 0.7, prompt(3))
    guided = torch.stack(player.play(clip).out)
    assert (guided - torch.stack(plain)).abs().max() <= TOLERANCE


@pytest.mark.parametrize("guidance", ["self", "initialize"])
def test_guidance_changes_the_picture_the_more_the_larger(batch: StreamBatch, guidance: Guidance) -> None:
    clip = video(14)
    plain = torch.stack(Player(batch, 2).play(clip).out)
    distances = []
    for scale in (1.1, 1.4, 2.0):
        player = Player(batch, 2, guidance=guidance)
        batch.set_guidance(player.state, scale, 0.5, prompt(3))
        distances.append(float((torch.stack(player.play(clip).out) - plain).abs().mean()))
    assert 0 < distances[0] < distances[1] < distances[2]


def test_only_the_negative_row_sees_the_negative_prompt(batch: StreamBatch) -> None:
    clip = video(14)

    def played(guidance: Guidance, scale: float, negative: int) -> list[Tensor]:
        player = Player(batch, 2, guidance=guidance)
        batch.set_guidance(player.state, scale, 0.5, prompt(negative))
        return player.play(clip).out

    assert same(played("self", 1.5, 3), played("self", 1.5, 4))
    unguided = [torch.stack(played("initialize", 1.0, negative)) for negative in (3, 4)]
    assert (unguided[0] - unguided[1]).abs().max() <= TOLERANCE
    assert not same(played("initialize", 1.5, 3), played("initialize", 1.5, 4))


def test_the_residual_is_that_of_the_published_recursion() -> None:
    """StreamDiffusion carries the residual noise itself from row to row; this one follows from the frame's start."""
    schedule = schedule_by_index([30, 36, 42])
    a, b = schedule.sqrt_alpha.double(), schedule.sqrt_beta.double()
    generator = torch.Generator().manual_seed(3)
    source, *fresh = torch.randn((4, 4, H, W), generator=generator).double()
    predictions = torch.randn((3, 4, H, W), generator=generator).double()
    scale, delta = torch.tensor(1.4).double(), torch.tensor(0.5).double()
    theirs = fresh[0]
    x_t = a[0] * source + b[0] * fresh[0]
    for row in range(3):
        ours = residual_noise(x_t, source, a[row], b[row])
        assert near(ours, theirs)
        noise = guide(predictions[row], ours, scale, delta)
        x0 = (x_t - b[row] * noise) / a[row]
        if row < 2:
            step = (b[row] * theirs - b[row] * noise) / a[row]
            theirs = fresh[row + 1] + a[row + 1] / b[row + 1] * step
            x_t = a[row + 1] * x0 + b[row + 1] * fresh[row + 1]


# -- noise -------------------------------------------------------------------------------------------------------------


def test_moved_noise_is_the_same_noise_elsewhere() -> None:
    noise = Noise(draw_noise(3, 2, 8, 12))
    moved = noise.row(1, (2, -3))
    assert torch.equal(moved[:, 2:, :-3], noise.row(1)[:, :-2, 3:])
    assert sorted(moved.flatten().tolist()) == sorted(noise.row(1).flatten().tolist())
    assert [shift_of(offset) for offset in [(0.0, 3.9), (4.1, -12.1), (-20.0, 16.0)]] == [(0, 0), (1, -2), (-2, 2)]


def test_noise_moves_with_the_frame_and_not_before_it(batch: StreamBatch) -> None:
    clip = video(30)
    plain = Player(batch, 3).play(clip).drain()
    player = Player(batch, 3).play(clip[:, :20])
    batch.shift_noise(player.state, (1, 2))
    moved = player.play(clip[:, 20:]).drain()
    assert same(moved[:20], plain[:20])
    assert not torch.equal(moved[20], plain[20])
