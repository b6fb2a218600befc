from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest

from fakes import EMBEDS, SIZE, FakeModel, fail_on, paint, pictures
from vivace.errors import CapacityError, SessionClosedError, StepError
from vivace.media.size import Size
from vivace.models.base import StepResult
from vivace.stream.account import Account
from vivace.stream.controls import ControlBoard, Controls
from vivace.stream.mask import open_mask
from vivace.stream.painter import ProcessorPolicy
from vivace.stream.processor import FrameProcessor

RED, GREEN = (np.array(EMBEDS[name], np.float32) for name in ("red", "green"))


def made(count: int, edited="all", *, size: Size = SIZE) -> StepResult:
    return StepResult(np.zeros((count, size[1], size[0], 3), np.uint8), edited)


class Rig:
    """Processor with everything it needs, and a way to steer it."""

    def __init__(self, model: FakeModel | None = None, *, policy: ProcessorPolicy | None = None, **controls) -> None:
        self.model = model or FakeModel()
        prompt = controls.pop("prompt", "red")
        controls.setdefault("crossfade_s", 0.0)
        encoded = None if prompt is None else self.model.encode_prompt(prompt)
        self.board = ControlBoard(Controls(prompt=encoded, **controls))
        self.meter = Account()
        self.processor = FrameProcessor(
            self.model, SIZE, self.board, self.meter, policy or ProcessorPolicy(live=False, detect_cuts=False)
        )

    def update(self, **changes) -> int:
        if isinstance(changes.get("prompt"), str):
            changes["prompt"] = self.model.encode_prompt(changes["prompt"])
        return self.board.submit(changes, arrived_s=0.0)[1]

    def play(self, frames):
        return [out for frame in frames for out in self.processor.step(frame)]

    @property
    def stats(self):
        return self.meter.stats(
            model="fake", runtime=self.model.runtime, size=None, prompt=None, budget_ms=None, decisions=()
        )


def rgbs(frames):
    return [frame.rgb.tolist() for frame in frames]


def test_a_frame_keeps_its_place_and_its_history():
    [source] = pictures(1)
    [out] = Rig().processor.step(source)
    assert (out.index, out.pts, out.time_base, out.capture_time_s) == (0, 0, source.time_base, source.capture_time_s)
    assert list(out.marks) == ["prepare", "denoise", "refine"]
    assert sorted(out.marks.values()) == list(out.marks.values())
    np.testing.assert_array_equal(out.rgb, paint(source.rgb, RED))
    assert out.source_rgb is source.rgb


def test_later_frames_never_change_earlier_output():
    frames, others = pictures(12), [*pictures(6), *pictures(12, gaps=range(6))[::-1]]
    assert rgbs(Rig().play(frames))[:6] == rgbs(Rig().play(others))[:6]


def test_the_same_seed_gives_the_same_output_and_another_seed_another():
    frames = pictures(6)
    assert rgbs(Rig(seed=3).play(frames)) == rgbs(Rig(seed=3).play(frames))
    assert rgbs(Rig(seed=3).play(frames)) != rgbs(Rig(seed=4).play(frames))


def test_two_interleaved_sessions_equal_two_separate_ones():
    one, two = pictures(8), pictures(20)[12:]
    alone = [rgbs(Rig(prompt="red").play(one)), rgbs(Rig(prompt="blue", seed=5).play(two))]
    model = FakeModel()
    first, second = Rig(model, prompt="red"), Rig(model, prompt="blue", seed=5)
    together = [[], []]
    for a, b in zip(one, two, strict=True):
        together[0] += rgbs(first.processor.step(a))
        together[1] += rgbs(second.processor.step(b))
    assert together == alone


def test_no_prompt_shows_the_source_itself_and_never_calls_the_model():
    rig = Rig(prompt=None)
    frames = pictures(3)
    assert all(out.rgb is frame.rgb for out, frame in zip(rig.play(frames), frames, strict=True))
    assert rig.model.chunks == []
    assert rig.stats.frames_untouched == 3


def test_strength_0_is_the_source_exactly():
    rig = Rig(strength=0.0)
    frames = pictures(3)
    assert all(out.rgb is frame.rgb for out, frame in zip(rig.play(frames), frames, strict=True))


def test_painting_begins_afresh_after_a_pause():
    rig = Rig()
    frames = pictures(6)
    rig.play(frames[:2])
    rig.update(strength=0.0)
    rig.play(frames[2:4])
    rig.update(strength=1.0)
    [out] = rig.play(frames[4:5])
    np.testing.assert_array_equal(out.rgb, paint(frames[4].rgb, RED))
    assert rig.stats.resets == {"resumed": 1}


def test_an_update_is_in_force_at_the_frame_it_names_and_not_before():
    rig = Rig()
    frames = pictures(6, gaps=[3])
    outs = rig.play(frames[:3])
    assert rig.update(strength=0.0) == 3  # frame 3 was lost on the way: the next one is the first
    outs += rig.play(frames[3:])
    assert [(out.index, out.control_index) for out in outs] == [(0, 0), (1, 0), (2, 0), (4, 1), (5, 1)]
    assert outs[3].rgb is frames[3].rgb


def test_a_prompt_blends_in_over_time_of_the_stream_from_its_first_frame_on():
    rig = Rig(crossfade_s=0.2)  # five frames at 25 fps
    frames = pictures(12)
    rig.play(frames[:4])
    assert rig.update(prompt="green") == 4
    rig.play(frames[4:])
    shares = [float(chunk.embeds[1]) for chunk in rig.model.chunks]
    assert shares == pytest.approx([0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1])
    assert rig.model.chunks[-1].embeds is not None
    np.testing.assert_array_equal(rig.model.chunks[-1].embeds, GREEN)
    assert rig.stats.resets == {}


def test_a_prompt_switches_where_the_model_says_so_and_stays_one_object():
    model = FakeModel()
    model.spec = replace(model.spec, prompt_change="switch")
    rig = Rig(model, crossfade_s=0.2)
    frames = pictures(8)
    rig.play(frames[:4])
    rig.update(prompt="green")
    rig.play(frames[4:])
    before, after = (chunk.embeds for chunk in model.chunks[3:5])
    np.testing.assert_array_equal(after, GREEN)
    assert all(chunk.embeds is before for chunk in model.chunks[:4])
    assert all(chunk.embeds is after for chunk in model.chunks[4:])


def test_a_first_prompt_fades_in_over_the_source_and_the_last_one_out():
    rig = Rig(prompt=None, crossfade_s=0.2)
    grey = [frame.rgb * 0 + 100 for frame in pictures(1)]
    frames = [type(f)(grey[0], f.index, f.pts, f.time_base, f.capture_time_s) for f in pictures(16)]
    rig.play(frames[:2])
    rig.update(prompt="red")
    outs = rig.play(frames[2:8])
    reds = [int(out.rgb[0, 0, 0]) for out in outs]
    assert reds[0] > 100
    assert len(rig.model.chunks) == 6
    rig.update(prompt=None)
    outs = rig.play(frames[8:])
    assert outs[-1].rgb is frames[-1].rgb
    assert 0 < sum(out.rgb is not frame.rgb for out, frame in zip(outs, frames[8:], strict=True)) < 6


def test_outside_the_mask_the_source_is_exact():

    rig = Rig(mask=open_mask("8,4,16,8"))
    frames = pictures(3)
    inside = np.zeros(SIZE[::-1], bool)
    inside[4:12, 8:24] = True
    for frame, out in zip(frames, rig.play(frames), strict=True):
        np.testing.assert_array_equal(out.rgb[~inside], frame.rgb[~inside])
        assert (out.rgb[inside] != frame.rgb[inside]).any(axis=-1).all()


def test_another_seed_forgets_the_past_and_keeps_the_prompt():
    rig = Rig()
    frames = pictures(4)
    rig.play(frames[:3])
    rig.update(seed=9)
    [out] = rig.play(frames[3:])
    np.testing.assert_array_equal(out.rgb, paint(frames[3].rgb, RED, seed=9))
    assert rig.stats.resets == {"seed": 1}


@pytest.mark.parametrize("controls", [{"prompt": None}, {"strength": 0.0}])
def test_a_file_that_passes_as_it_is_opens_no_model_until_something_is_painted(controls):
    rig = Rig(**controls)
    frames = pictures(6)
    outs = rig.play(frames[:2])
    rig.update(seed=4)
    rig.update(size=(16, 8))
    outs += rig.play(frames[2:4])
    assert rig.model.opened == []
    assert not any(out.painted for out in outs)
    rig.update(prompt="red", strength=1.0, size=None)
    [out, _] = rig.play(frames[4:])
    assert rig.model.opened == [SIZE]
    np.testing.assert_array_equal(out.rgb, paint(frames[4].rgb, RED, seed=4))
    live = Rig(policy=ProcessorPolicy(live=True), **controls)
    assert live.model.opened == [SIZE], "it is ready before it is wanted"


def test_another_size_is_opened_by_the_caller_and_taken_at_the_boundary():
    rig = Rig()
    frames = pictures(4)
    rig.play(frames[:2])
    rig.processor.prepare((16, 8), 0)
    assert rig.model.opened == [SIZE, (16, 8)]
    rig.update(size=(16, 8))
    outs = rig.play(frames[2:])
    assert [out.size for out in outs] == [(16, 8)] * 2
    assert rig.model.opened == [SIZE, (16, 8)]
    assert rig.stats.resets == {"size": 1}


def test_another_size_and_seed_at_once():
    rig = Rig()
    frames = pictures(2)
    rig.play(frames[:1])
    rig.processor.prepare((16, 8), 0)  # with a seed that changes before the boundary
    rig.update(size=(16, 8), seed=2)
    [out] = rig.play(frames[1:])
    from vivace.media.convert import cover

    np.testing.assert_array_equal(out.rgb, paint(cover(frames[1].rgb, (16, 8)), RED, seed=2))


def test_a_size_that_the_model_fails_to_open_at_the_boundary_ends_the_stream_and_says_why():
    rig = Rig()
    frames = pictures(3)
    rig.play(frames[:1])

    def broken(_size, *, seed=0):
        raise RuntimeError(f"no kernel for seed {seed}")

    rig.model.open = broken
    rig.update(size=(16, 8))
    with pytest.raises(RuntimeError, match="no kernel"):
        rig.play(frames[1:2])
    with pytest.raises(SessionClosedError, match="RuntimeError: no kernel for seed 0"):
        rig.play(frames[2:])


def scenes(*seeds, each=10):
    """Return frames of several scenes, without gaps."""
    frames = pictures(each * len(seeds), SIZE)
    out = []
    for number, frame in enumerate(frames):
        rng = np.random.default_rng(1000 + seeds[number // each])
        rgb = np.kron(rng.integers(0, 256, (4, 8, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
        out.append(type(frame)(rgb, frame.index, frame.pts, frame.time_base, frame.capture_time_s))
    return out


def test_nothing_of_the_old_scene_is_left_after_a_cut():
    rig = Rig(policy=ProcessorPolicy(live=False))
    frames = scenes(1, 2)
    outs = rig.play(frames)
    np.testing.assert_array_equal(outs[10].rgb, paint(frames[10].rgb, RED))
    assert rig.model.resets == ["nothing"]
    assert (rig.stats.cuts, rig.stats.resets) == (1, {"cut": 1})


def test_cuts_can_be_ignored():
    rig = Rig(policy=ProcessorPolicy(live=False, detect_cuts=False))
    rig.play(scenes(1, 2))
    assert rig.model.resets == []


CHUNKS = [(3, None, 0), (1, None, 2), (4, None, 3), (4, 1, 0), (3, 5, 3)]


@pytest.mark.parametrize(
    ("chunk_frames", "first", "lag"), [(1, None, 0), (3, None, 0), (1, None, 2), (4, None, 3), (4, 1, 0), (3, 5, 3)]
)
def test_chunks_and_lag_change_when_frames_come_and_nothing_else(chunk_frames, first, lag):
    rig = Rig(FakeModel(chunk_frames=chunk_frames, first_chunk_frames=first, lag=lag))
    frames = pictures(14)
    outs = rig.play(frames)
    begin = first or 0
    assert len(outs) == max(0, begin + (14 - begin) // chunk_frames * chunk_frames - lag)
    outs += rig.processor.flush()
    assert [out.index for out in outs] == list(range(14))
    assert rgbs(outs) == rgbs(Rig().play(frames))


@pytest.mark.parametrize(("chunk_frames", "first", "lag"), CHUNKS)
def test_a_cut_brings_out_what_is_inside_before_it_forgets(chunk_frames, first, lag):
    policy = ProcessorPolicy(live=False)
    frames = scenes(1, 2)
    rig = Rig(FakeModel(chunk_frames=chunk_frames, first_chunk_frames=first, lag=lag), policy=policy)
    outs = rig.play(frames) + rig.processor.flush()
    assert [out.index for out in outs] == list(range(20))
    assert rgbs(outs) == rgbs(Rig(policy=policy).play(frames))


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": (16, 8)}, {"prompt": None}, {"strength": 0.0}])
@pytest.mark.parametrize(("chunk_frames", "first", "lag"), CHUNKS)
def test_chunks_and_lag_change_nothing_about_a_change_of_controls(chunk_frames, first, lag, change):
    rig = Rig(FakeModel(chunk_frames=chunk_frames, first_chunk_frames=first, lag=lag))
    frames = pictures(17)
    outs = rig.play(frames[:9])
    first = rig.update(**change)
    outs += rig.play(frames[9:]) + rig.processor.flush()
    assert [out.index for out in outs] == list(range(17))
    assert [out.index >= first for out in outs] == [out.control_index == 1 for out in outs]
    plain = Rig()
    expected = plain.play(frames[:first])
    plain.update(**change)
    assert rgbs(outs) == rgbs(expected + plain.play(frames[first:]))


@pytest.mark.parametrize("lag", [1, 2, 3])
def test_what_a_frame_is_painted_with_travels_with_it_through_the_lag(lag):
    conditions = ("prompt", "strength")
    rig, plain = (Rig(FakeModel(lag=each, conditions=conditions)) for each in (lag, 0))
    frames = pictures(20)
    outs, expected, firsts = [], [], []
    negative = rig.model.encode_prompt("red")
    changes = [{"prompt": "green"}, {"strength": 0.5}, {"options": {"negative_prompt": negative}}, {"seed": 3}]
    for number, change in enumerate([*changes, {}]):
        outs += rig.play(frames[4 * number : 4 * number + 4])
        expected += plain.play(frames[4 * number : 4 * number + 4])
        firsts.append(rig.update(**change))
        plain.update(**change)
    outs += rig.processor.flush()
    assert firsts == [4, 8, 12, 16, 20]
    assert [out.control_index for out in outs] == [number for number in range(5) for _ in range(4)]
    assert rgbs(outs) == rgbs(expected)


@pytest.mark.parametrize(("chunk_frames", "lag"), [(1, 1), (1, 3), (4, 3)])
def test_a_model_that_resets_in_flight_is_not_drained_at_a_cut(chunk_frames, lag):
    policy = ProcessorPolicy(live=False)
    frames = scenes(1, 2, 3)
    rig = Rig(FakeModel(chunk_frames=chunk_frames, lag=lag, resets_in_flight=True), policy=policy)
    outs = rig.play(frames)
    assert rig.model.resets == ["inside", "inside"]
    assert len(rig.model.chunks) == sum(-(-10 // chunk_frames) for _ in range(2)) + 10 // chunk_frames
    outs += rig.processor.flush()
    assert [out.index for out in outs] == list(range(30))
    assert rgbs(outs) == rgbs(Rig(policy=policy).play(frames))


def test_one_frame_in_gives_one_frame_out_across_cuts_and_seeds_where_the_model_resets_in_flight():
    rig = Rig(FakeModel(lag=2, resets_in_flight=True), policy=ProcessorPolicy(live=False))
    frames = scenes(1, 2)
    given = []
    for frame in frames:
        given.append(len(rig.processor.step(frame)))
        if frame.index == 14:
            rig.update(seed=4)
    assert given == [0, 0] + [1] * 18
    assert rig.stats.resets == {"cut": 1, "seed": 1}
    assert len(rig.processor.flush()) == 2


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": (16, 8)}, {"prompt": None}, {"strength": 0.0}])
@pytest.mark.parametrize("lag", [1, 3])
def test_resetting_in_flight_changes_nothing_about_a_change_of_controls(lag, change):
    rig, plain = Rig(FakeModel(lag=lag, resets_in_flight=True)), Rig()
    frames = pictures(17)
    outs, expected = rig.play(frames[:9]), plain.play(frames[:9])
    assert rig.update(**change) == plain.update(**change) == 9
    outs, expected = outs + rig.play(frames[9:]), expected + plain.play(frames[9:])
    for each in (rig, plain):
        each.update(prompt="blue", strength=1.0)
    outs += rig.play(pictures(24)[17:]) + rig.processor.flush()
    assert rgbs(outs) == rgbs(expected + plain.play(pictures(24)[17:]))


def test_after_another_input_nothing_inside_is_kept():
    rig = Rig(FakeModel(lag=2, resets_in_flight=True))
    rig.play(pictures(5))
    rig.processor.begin(SIZE, rig.processor.policy)
    outs = rig.play(pictures(5)) + rig.processor.flush()
    assert rig.model.resets == ["nothing"]
    assert rgbs(outs) == rgbs(Rig().play(pictures(5)))


def test_a_failure_soon_after_a_cut_in_flight_shows_nothing_of_the_old_scene_in_the_new_one():
    policy = ProcessorPolicy(live=False)
    rig = Rig(FakeModel(lag=3, resets_in_flight=True, on_step=fail_on(11)), policy=policy)
    frames = scenes(1, 2)
    outs = rig.play(frames) + rig.processor.flush()
    assert [out.index for out in outs] == list(range(20))
    assert rig.model.resets == ["inside", "nothing"]
    for index in (8, 9):  # old pictures that were inside, shown in place of the last good one
        np.testing.assert_array_equal(outs[index].rgb, outs[7].rgb)
    for index in (10, 11):
        np.testing.assert_array_equal(outs[index].rgb, frames[index].rgb)


def test_time_inside_the_model_is_no_time_of_preparation():
    clock = SlowClock()
    model = FakeModel(lag=2, on_step=clock.step)
    clock.full_ms = 50.0
    board = ControlBoard(Controls(prompt=model.encode_prompt("red")))
    processor = FrameProcessor(model, SIZE, board, Account(), ProcessorPolicy(live=False), clock=clock)
    *_, out = [out for frame in pictures(4) for out in processor.step(frame)]
    assert out.marks["denoise"] - out.marks["prepare"] == pytest.approx(0.15)  # its own step and two more


def test_a_strength_that_reaches_the_model_is_not_blended_but_at_0():
    rig = Rig(FakeModel(conditions=("prompt", "strength")), strength=0.25)
    frames = pictures(4)
    outs = rig.play(frames[:2])
    np.testing.assert_array_equal(outs[0].rgb, paint(frames[0].rgb, RED * 0.25))
    rig.update(strength=0.001)  # would be nothing if it were blended
    rig.play(frames[2:3])
    assert [chunk.strength for chunk in rig.model.chunks] == [0.25, 0.25, 0.001]
    rig.update(strength=0.0)
    assert rig.play(frames[3:])[0].rgb is frames[3].rgb
    assert len(rig.model.chunks) == 3


def test_a_model_without_strength_is_always_asked_for_all_of_it():
    rig = Rig(strength=0.5)
    rig.play(pictures(1))
    assert rig.model.chunks[0].strength == 1.0


def test_masks_and_the_presence_of_a_prompt_blend_where_the_strength_is_the_models():

    rig = Rig(FakeModel(conditions=("prompt", "strength")), strength=0.5, mask=open_mask("0,0,16,16"), crossfade_s=0.2)
    frames = pictures(12)
    [out] = rig.play(frames[:1])
    np.testing.assert_array_equal(out.rgb[:, :16], paint(frames[0].rgb, RED * 0.5)[:, :16])
    np.testing.assert_array_equal(out.rgb[:, 16:], frames[0].rgb[:, 16:])
    rig.play(frames[1:3])
    rig.update(prompt=None)
    outs = rig.play(frames[3:])
    assert {chunk.strength for chunk in rig.model.chunks} == {0.5}
    assert 4 <= len(rig.model.chunks) - 3 <= 5  # while it fades
    assert outs[-1].rgb is frames[-1].rgb


def test_options_reach_the_model_with_their_frame():
    rig = Rig(FakeModel())
    frames = pictures(3)
    rig.play(frames[:1])
    rig.update(options={"depth_every": 2.0})
    rig.play(frames[1:2])
    rig.update(options={"depth_every": None, "warp": 1.0})
    rig.play(frames[2:])
    assert [chunk.options for chunk in rig.model.chunks] == [{}, {"depth_every": 2.0}, {"warp": 1.0}]


def test_what_drains_a_model_is_its_last_chunk_in_all_but_the_picture():
    rig = Rig(FakeModel(lag=1, conditions=("prompt", "strength")), strength=0.5, options={"warp": 2.0})
    rig.play(pictures(2))
    rig.processor.flush()
    *_, last, padding = rig.model.chunks
    assert (padding.strength, padding.options) == (last.strength, last.options) == (0.5, {"warp": 2.0})


def test_a_failed_step_shows_the_last_good_picture_and_begins_anew():
    rig = Rig(FakeModel(on_step=fail_on(2)))
    frames = pictures(5)
    outs = rig.play(frames)
    np.testing.assert_array_equal(outs[2].rgb, outs[1].rgb)
    np.testing.assert_array_equal(outs[3].rgb, paint(frames[3].rgb, RED))
    assert [out.index for out in outs] == list(range(5))
    assert rig.stats.resets == {"error": 1}
    assert rig.stats.last_error == "no more ink"


def test_a_failed_first_step_shows_the_source():
    rig = Rig(FakeModel(on_step=fail_on(0, error=lambda: ValueError("odd"))))
    frames = pictures(2)
    outs = rig.play(frames)
    np.testing.assert_array_equal(outs[0].rgb, frames[0].rgb)
    assert rig.stats.last_error == "ValueError: odd"


def test_nothing_of_another_input_stands_in_for_a_failed_picture():
    rig = Rig(FakeModel(on_step=fail_on(2, 3)))
    rig.play(pictures(3))
    rig.processor.begin(SIZE, rig.processor.policy)
    [source] = pictures(4)[3:]
    np.testing.assert_array_equal(rig.play([source])[0].rgb, source.rgb)


def test_too_many_failures_end_the_session_by_name_and_no_other_session():
    model = FakeModel()
    broken, healthy = Rig(model), Rig(model)
    model.on_step = fail_on(*range(100))
    frames = pictures(6)
    broken.play(frames[:2])
    with pytest.raises(StepError, match="failed 3 times in a row, so this stream ends: no more ink"):
        broken.play(frames[2:3])
    with pytest.raises(SessionClosedError, match="no more ink"):
        broken.play(frames[3:4])
    model.on_step = None
    assert len(healthy.play(frames)) == 6


def test_failures_with_good_frames_between_them_end_nothing():
    rig = Rig(FakeModel(on_step=fail_on(0, 1, 3, 4, 6, 7)))
    assert len(rig.play(pictures(12))) == 12


def test_a_failure_inside_a_lagging_model_loses_no_frame():
    rig = Rig(FakeModel(lag=2, on_step=fail_on(4)))
    outs = rig.play(pictures(9)) + rig.processor.flush()
    assert [out.index for out in outs] == list(range(9))


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([made(1, size=(3, 3))], "returned uint8 (1, 3, 3, 3) instead of uint8 ('n', 16, 32, 3)"),
        ([StepResult(np.zeros((1, 16, 32, 3), np.float32))], "returned float32 (1, 16, 32, 3) instead of uint8"),
        ([made(2)], "returned 2 pictures; 0 to 1 of the 1 it holds are due"),
        ([np.zeros((1, 16, 32, 3), np.uint8)], "returned ndarray instead of a StepResult"),
        ([made(1, "some")], "returned edited='some' instead of 'all', 'none' or a mask"),
        ([StepResult(made(1).rgb, work=float("nan"))], "returned work=nan"),
        ([StepResult(made(1).rgb, work=7.0)], "returned work=7.0"),
        ([], "returned 0 results of one stream"),
        ([made(1), made(1)], "returned 2 results of one stream"),
        ([made(1, np.zeros((2, 4, 4), np.uint8))], "a mask uint8 (2, 4, 4) for 1 pictures"),
        ([made(1, np.zeros((1, 4, 4), np.float32))], "a mask float32 (1, 4, 4) for 1 pictures"),
        ([made(1, np.zeros((1, 0, 4), np.uint8))], "a mask uint8 (1, 0, 4) for 1 pictures"),
    ],
)
def test_a_model_that_returns_something_else_than_promised_has_failed(results, said):
    model = FakeModel(lag=1)
    model.step = lambda states, chunks: results
    rig = Rig(model)
    [source] = pictures(1)
    np.testing.assert_array_equal(rig.play([source])[0].rgb, source.rgb)
    assert said in rig.stats.last_error


@pytest.mark.parametrize("chunk_frames", [1, 2])
def test_a_model_cannot_write_into_the_source(chunk_frames):
    def scribble(chunk):
        chunk.rgb[:] = 0

    rig = Rig(FakeModel(chunk_frames=chunk_frames, on_step=scribble))
    frames = pictures(2)
    before = rgbs(frames)
    assert rgbs(rig.play(frames)) == before
    assert "read-only" in rig.stats.last_error


def test_a_size_that_another_change_overtakes_is_let_go():
    rig = Rig()
    rig.play(pictures(1))
    rig.processor.prepare((16, 8), 0)
    spare = rig.processor._painter._spare
    rig.processor.prepare(SIZE, 0)
    assert (spare._state, rig.processor._painter._spare) == (None, None)


def test_a_model_that_trails_by_more_than_it_says_has_failed():
    model = FakeModel(lag=1)
    model.keeps_back = lambda: 2
    rig = Rig(model)
    assert [out.index for out in rig.play(pictures(3)) + rig.processor.flush()] == [0, 1, 2]
    assert "returned 0 pictures; 1 to 2 of the 2 it holds are due" in rig.stats.last_error


@pytest.mark.parametrize(("chunk_frames", "lag"), [(1, 3), (4, 5)])
def test_how_many_pictures_a_step_gives_is_the_models_word(chunk_frames, lag):
    rig = Rig(FakeModel(chunk_frames=chunk_frames, lag=lag))
    held = cycle((lag, 0, 2, 1, lag, lag, 0))
    rig.model.keeps_back = lambda: next(held)
    frames = pictures(15)
    outs = rig.play(frames) + rig.processor.flush()
    assert [out.index for out in outs] == list(range(15))
    assert rgbs(outs) == rgbs(Rig().play(frames))


def test_where_the_model_edited_nothing_the_source_is_exact():
    rig = Rig()
    rig.model.result = lambda rgb: StepResult(rgb, "none")
    frames = pictures(3)
    assert all(out.rgb is frame.rgb for out, frame in zip(rig.play(frames), frames, strict=True))


@pytest.mark.parametrize("chunk_frames", [1, 2])
def test_the_users_mask_and_the_models_are_joined(chunk_frames):
    grid = np.zeros((4, 2, 4), np.uint8)
    for index in range(4):
        grid[index, :, index:] = 255  # a different one for each picture, on a grid of 8 x 8 px
    rig = Rig(FakeModel(chunk_frames=chunk_frames), mask=open_mask("0,0,32,12"))
    given = iter(grid.reshape(-1, chunk_frames, 2, 4))
    rig.model.result = lambda rgb: StepResult(rgb, next(given))
    frames = pictures(4)
    for index, (out, frame, full) in enumerate(zip(rig.play(frames), frames, Rig().play(frames), strict=True)):
        inside = np.zeros((16, 32), bool)
        inside[:12, 8 * index :] = True
        np.testing.assert_array_equal(out.rgb, np.where(inside[..., None], full.rgb, frame.rgb))


def test_what_stands_in_for_a_failed_picture_leaves_alone_what_the_model_left_alone():
    rig = Rig(FakeModel(on_step=fail_on(1)))
    mask = np.array([[[255, 0]]], np.uint8)
    rig.model.result = lambda rgb: StepResult(rgb, mask)
    frames = pictures(2)
    first, second = rig.play(frames)
    np.testing.assert_array_equal(second.rgb, first.rgb)
    np.testing.assert_array_equal(second.rgb[:, 16:], frames[0].rgb[:, 16:])


def test_the_work_of_a_step_is_what_the_model_did_and_not_what_it_was_asked_for():
    rig = Rig()
    shares = iter((0.5, 0.25, None, 0.25))
    rig.model.result = lambda rgb: StepResult(rgb, work=next(shares))
    rig.play(pictures(4))
    assert rig.stats.work_share == pytest.approx(0.5)
    assert rig.stats.effort_frames == {1.0: 4}


def test_running_out_of_memory_frees_the_buffers_and_says_what_fits():
    rig = Rig(FakeModel(on_step=fail_on(1, error=MemoryError)))
    frames = pictures(3)
    rig.play(frames[:1])
    with pytest.raises(CapacityError, match=r"needs 2 MiB for a stream of 32x16 px.*16x8 needs 1 MiB"):
        rig.play(frames[1:2])
    assert rig.processor._painter._slot._state is None
    with pytest.raises(SessionClosedError):
        rig.play(frames[2:])


def test_running_out_of_memory_at_the_smallest_size_says_so():
    class Full(FakeModel):
        def open(self, size, *, seed=0):
            raise MemoryError

    with pytest.raises(CapacityError, match="smallest size"):
        FrameProcessor(Full(), (8, 8), ControlBoard(Controls()), Account())


class SlowClock:
    """Clock on which the model's steps take a given time."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.full_ms = 0.0

    def __call__(self) -> float:
        return self.now_s

    def step(self, chunk) -> None:
        self.now_s += self.full_ms * chunk.effort / 1e3


class CompilingModel(FakeModel):
    """Model that counts the streams whose efforts were prepared, and the frames before that."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[tuple[Size, int]] = []

    def prepare_efforts(self, state) -> None:
        self.prepared.append((state.size, len(self.chunks)))


@pytest.mark.parametrize(
    ("policy", "prepares"),
    [
        (ProcessorPolicy(live=True, budget_ms=33.0), True),
        (ProcessorPolicy(live=True), False),
        (ProcessorPolicy(live=False, budget_ms=33.0), False),
    ],
)
def test_a_stream_with_a_deadline_gets_ready_for_every_effort_before_a_frame_needs_it(policy, prepares):
    model = CompilingModel()
    board = ControlBoard(Controls(prompt=model.encode_prompt("red")))
    processor = FrameProcessor(model, SIZE, board, Account(), policy)
    assert model.prepared == ([(SIZE, 0)] if prepares else [])
    for frame in pictures(2):
        processor.step(frame)
    processor.prepare((16, 8), 0)
    assert model.prepared[1:] == ([((16, 8), 2)] if prepares else [])
    board.submit({"size": (16, 8)}, arrived_s=0.0)
    processor.step(pictures(3)[2])
    assert processor.size == (16, 8)
    processor.begin((16, 8), ProcessorPolicy(live=True, budget_ms=20.0))
    assert model.prepared[-1] == ((16, 8), 3)
    assert len(model.prepared) == (3 if prepares else 1)


@pytest.mark.parametrize("live", [True, False])
def test_effort_follows_the_deadline_live_and_only_live(live):
    clock = SlowClock()
    clock.full_ms = 50.0
    model = FakeModel(on_step=clock.step)
    board = ControlBoard(Controls(prompt=model.encode_prompt("red")))
    processor = FrameProcessor(model, SIZE, board, Account(), ProcessorPolicy(live=live, budget_ms=33.0), clock=clock)
    for frame in pictures(30):
        processor.step(frame)
    efforts = {chunk.effort for chunk in model.chunks}
    assert efforts == ({1.0, 0.75, 0.5} if live else {1.0})
    assert bool(processor.deadline.decisions) == live


class TransparentModel(FakeModel):
    """Model that cuts out the left half: black and transparent elsewhere."""

    def result(self, rgb):
        rgb = rgb.copy()
        alpha = np.full(rgb.shape[:3], 255, np.uint8)
        rgb[:, :, SIZE[0] // 2 :] = alpha[:, :, SIZE[0] // 2 :] = 0
        return StepResult(rgb, alpha=alpha)


def test_a_model_may_make_the_output_transparent_as_far_as_it_is_shown():
    [source] = pictures(1)
    cut = np.where(np.arange(SIZE[0]) < SIZE[0] // 2, 255, 0)
    [out] = Rig(TransparentModel()).processor.step(source)
    np.testing.assert_array_equal(out.alpha, np.broadcast_to(cut, SIZE[::-1]))
    [half] = Rig(TransparentModel(), strength=0.5).processor.step(source)
    np.testing.assert_allclose(half.alpha, np.broadcast_to((255 + cut) / 2, SIZE[::-1]), atol=1)
    mask = open_mask("0,0,1,0.5")
    mask.prepare(SIZE)
    [upper] = Rig(TransparentModel(), mask=mask).processor.step(source)
    assert (upper.alpha[SIZE[1] // 2 :] == 255).all()
    np.testing.assert_array_equal(upper.rgb[SIZE[1] // 2 :], source.rgb[SIZE[1] // 2 :])


def test_a_source_that_is_transparent_stays_so_where_the_model_says_nothing_of_it():
    [source] = pictures(1)
    source = replace(source, alpha=np.full(SIZE[::-1], 100, np.uint8))
    [out] = Rig().processor.step(source)
    assert (out.alpha == 100).all()
    [cut] = Rig(TransparentModel()).processor.step(source)
    assert set(np.unique(cut.alpha)) == {0, 100}


def test_a_failed_step_shows_the_last_picture_as_transparent_as_it_was():
    first, second = pictures(2)
    rig = Rig(TransparentModel(on_step=fail_on(1)))
    [out], [stand_in] = rig.processor.step(first), rig.processor.step(second)
    np.testing.assert_array_equal(stand_in.rgb, out.rgb)
    np.testing.assert_array_equal(stand_in.alpha, out.alpha)
