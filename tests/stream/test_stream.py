import io

import numpy as np
import pytest
from PIL import Image

from fakes import EMBEDS, SIZE, FakeClock, FakeModel, FakeSource, fail_on, paint, picture, pictures
from vivace.errors import (
    CapacityError,
    ControlError,
    SessionClosedError,
    SourceNotFoundError,
    StepError,
    UnknownModelError,
    UnknownPromptError,
    UsageError,
)
from vivace.models.base import StepResult
from vivace.stream import Stream
from vivace.stream.mask import VideoMask

RED = np.array(EMBEDS["red"], np.float32)


def stream_of(model: FakeModel | None = None, **options) -> Stream:
    return Stream(model or FakeModel(), **{"prompt": "red", "detect_cuts": False, **options})


def test_a_pushed_picture_comes_back_painted():
    with stream_of() as stream:
        [out] = stream.push(picture(0))
    np.testing.assert_array_equal(out.rgb, paint(picture(0), RED))
    assert out.index == 0


def test_what_is_printed_says_what_it_is_and_no_arrays():
    with stream_of(prompt="blue", strength=0.5) as stream:
        [out] = stream.push(picture(0))
        ack = stream.update(prompt="red")
        assert repr(stream) == "<Stream of fake: prompt='red', strength=0.5>"
    assert repr(stream).startswith("<closed Stream")
    assert "index=0" in repr(out)
    assert "text='red'" in repr(ack)
    assert "array" not in repr(out) + repr(ack)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(out._repr_png_()))), out.rgb)


def test_pushed_frames_are_timed_by_their_capture():
    clock = FakeClock(50.0)
    with stream_of(clock=clock) as stream:
        outs = [stream.push(picture(0))[0]]
        clock.advance(0.04)
        outs += stream.push(picture(1))
        outs += stream.push(picture(2), capture_time_s=50.1)
        outs += stream.push(picture(3), capture_time_s=50.1)  # the same time, or an earlier one
        outs += stream.push(picture(4), capture_time_s=49.0)
    assert [out.capture_time_s for out in outs] == [50.0, 50.04, 50.1, 50.1, 49.0]
    assert [float(out.pts * out.time_base) for out in outs] == pytest.approx([0, 0.04, 0.1, 0.100001, 0.100002])


@pytest.mark.parametrize(("chunk_frames", "lag", "warmup"), [(1, 0, 0), (1, 0, 2), (1, 3, 2), (4, 0, 8), (4, 3, 5)])
def test_a_still_is_what_the_model_gives_of_it_once_its_memory_is_filled(chunk_frames, lag, warmup):
    model = FakeModel(chunk_frames=chunk_frames, lag=lag, warmup_frames=warmup)
    rgb, memory = picture(3), np.zeros_like(picture(3))
    for _ in range(warmup):
        memory = memory // 2 + rgb // 2
    with stream_of(model) as stream:
        stream.push(picture(0))
        stream.flush()
        for _ in range(2):  # earlier pushes, other stills included, do not count
            out = stream.still(rgb)
            np.testing.assert_array_equal(out.rgb, paint(rgb, RED, memory=memory))
            np.testing.assert_array_equal(out.source_rgb, rgb)
            assert (out.index, out.pts) == (0, 0)
        stats = stream.stats()
        assert stats.frames_in == stats.frames_out == 3
        [pushed] = stream.push(picture(0)) + stream.flush()
        np.testing.assert_array_equal(pushed.rgb, paint(picture(0), RED))


def test_stills_are_each_at_their_own_size_and_full_effort():
    model = FakeModel(still_area_px=512 * 512)
    clock = FakeClock()
    model.on_step = lambda _chunk: clock.advance(5.0)
    with stream_of(model, clock=clock, fps=30) as stream:
        for size in [(200, 96), (96, 200), (96, 200), (320, 240)]:
            for _ in range(4):
                assert stream.still(picture(1, size)).size == size
        assert stream.still(picture(1, (1000, 500))).size == (512, 256)
        assert {chunk.effort for chunk in model.chunks} == {1.0}
        assert stream.stats().decisions == ()
    with stream_of(model, size=(64, 32)) as stream:
        assert stream.still(picture(1, (200, 96))).size == (64, 32)


def test_a_prompt_given_between_stills_is_all_there_in_the_next():
    with stream_of(crossfade_s=60.0) as stream:
        stream.still(picture(0))
        stream.update(prompt="blue")
        np.testing.assert_array_equal(
            stream.still(picture(1)).rgb, paint(picture(1), np.array(EMBEDS["blue"], np.float32))
        )


def test_a_still_that_fails_is_an_error_and_never_the_source():
    stream = stream_of(FakeModel(warmup_frames=2, on_step=fail_on(2)))
    with stream, pytest.raises(StepError, match="no more ink"):
        stream.still(picture(0))


def test_a_still_in_the_middle_of_something_else_is_refused():
    with stream_of(FakeModel(lag=1)) as stream:
        stream.push(picture(0))
        with pytest.raises(UsageError, match=r"flush\(\)"):
            stream.still(picture(1))
        stream.flush()
        stream.still(picture(1))
    with pytest.raises(SessionClosedError):
        stream.still(picture(1))


@pytest.mark.parametrize(("chunk_frames", "lag"), [(1, 2), (4, 3)])
def test_the_last_pushed_pictures_come_out_and_another_input_begins(chunk_frames, lag):
    clock = FakeClock(50.0)
    with stream_of(FakeModel(chunk_frames=chunk_frames, lag=lag), clock=clock) as stream, stream_of() as plain:
        assert stream.flush() == []
        for _ in range(2):
            outs = [out for index in range(6) for out in stream.push(picture(index))] + stream.flush()
            expected = [out for index in range(6) for out in plain.push(picture(index))] + plain.flush()
            assert [out.index for out in outs] == list(range(6))
            assert [out.rgb.tolist() for out in outs] == [out.rgb.tolist() for out in expected]
        assert stream.flush() == []
        assert stream.stats().frames_out == stream.stats().frames_in == 12
        assert stream.stats().resets == {"input": 1}
    with pytest.raises(SessionClosedError):
        stream.flush()


def test_the_time_a_frame_spends_inside_a_lagging_model_is_latency():
    clock = FakeClock(50.0)
    with stream_of(FakeModel(lag=2), clock=clock) as stream:
        for index in range(8):
            stream.push(picture(index))
            clock.advance(0.1)
        latency = stream.stats().latency_ms
    assert [latency["p50"], latency["p99"]] == pytest.approx([200, 200], rel=0.02)


@pytest.mark.parametrize(
    ("rgb", "message"),
    [
        (None, "the picture is None"),
        ([[1, 2, 3]], "give a uint8 array"),
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"uint8 \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
    ],
)
def test_what_is_no_picture_is_refused(rgb, message):
    with stream_of() as stream, pytest.raises(ControlError, match=message):
        stream.push(rgb)


@pytest.mark.parametrize("time_s", [float("nan"), float("inf"), "now"])
def test_what_is_no_time_is_refused(time_s):
    with stream_of() as stream, pytest.raises(ControlError, match="capture_time_s"):
        stream.push(picture(0), capture_time_s=time_s)


def test_pictures_of_any_size_come_out_at_one_size():
    with stream_of() as stream:
        sizes = [stream.push(picture(0, size))[0].size for size in [(128, 96), (64, 48), (30, 200), (1, 1)]]
    assert sizes == [(72, 56)] * 4
    assert stream.stats().size == (72, 56)


def test_a_size_that_is_named_is_the_size():
    with stream_of(size=(64, 40)) as stream:
        assert stream.push(picture(0, (128, 96)))[0].size == (64, 40)


def test_a_prompt_the_model_does_not_know_is_refused_at_the_start():
    with pytest.raises(UnknownPromptError, match="no idea; near is blue") as caught:
        stream_of(prompt="xyzzy")
    assert (caught.value.control, caught.value.matches) == ("prompt", (("blue", 0.4), ("green", 0.1)))


def test_a_prompt_the_model_does_not_know_changes_nothing_later():
    with stream_of() as stream:
        stream.push(picture(0))
        for unknown in ({"prompt": "xyzzy"}, {"prompt": "?!"}):
            with pytest.raises(UnknownPromptError, match=r"no idea|letter"):
                stream.update(strength=0.1, **unknown)
        assert (stream.controls.prompt.text, stream.controls.strength) == ("red", 1.0)
        assert stream.push(picture(1))[0].control_index == 0


def test_an_update_is_acknowledged_with_its_first_frame_and_what_the_model_understood():
    with stream_of() as stream:
        assert stream.update(strength=0.5).frame_index == 0
        stream.push(picture(0))
        stream.push(picture(1))
        ack = stream.update(prompt="green", seed=3)
        assert (ack.update_index, ack.frame_index, ack.applied) == (2, 2, ("seed", "prompt"))
        assert (ack.prompt.known, ack.prompt.confidence, ack.message) == (True, 0.9, "taken as green")
        [out] = stream.push(picture(2))
    assert (out.index, out.control_index) == (2, 2)


def test_places_that_the_prompt_changes_and_that_are_not_there_are_told_with_their_frames():
    class Looking(FakeModel):
        def result(self, rgb):
            return StepResult(rgb, absent=("hair",) if rgb.mean() > 100 else ())

    with Stream(Looking(), prompt="green", crossfade_s=0) as stream:
        levels = (150, 0, 180)
        told = [stream.push(np.full((8, 16, 3), level, np.uint8))[0].absent for level in levels]
        assert told == [("hair",), (), ("hair",)]
        assert stream.stats().absent == {"hair": 2}


def test_no_prompt_shows_the_source_and_says_so():
    rgb = picture(0)
    with stream_of(prompt=None) as stream:
        assert stream.push(rgb)[0].rgb is rgb
        assert stream.stats().prompt is None
        assert stream.stats().frames_untouched == 1
        stream.update(prompt="red")
        assert "untouched" in stream.update(prompt=None).message


def test_prompts_are_encoded_by_updates_and_never_by_frames():
    model = FakeModel()
    with stream_of(model) as stream:
        for index in range(5):
            stream.push(picture(index))
        assert model.encoded == ["red"]
        stream.update(prompt="green")
        stream.push(picture(5))
    assert model.encoded == ["red", "green"]


@pytest.mark.parametrize(
    "changes", [{"strength": 2}, {"prompt": ""}, {"nonsense": 1}, {"mask": "1,2"}, {"size": (1, 1)}]
)
def test_an_update_that_cannot_be_used_changes_nothing(changes):
    with stream_of() as stream:
        stream.push(picture(0))
        before = stream.controls
        with pytest.raises(ControlError):
            stream.update(seed=5, **changes)
        assert stream.controls is before


def test_a_rectangle_outside_the_picture_is_refused_when_it_is_set():
    with stream_of() as stream:
        stream.push(picture(0))
        with pytest.raises(ControlError, match="outside the output of 32x16"):
            stream.update(mask="40,0,4,4")
        stream.update(mask="24,0,4,4")
        with pytest.raises(ControlError, match="outside the output of 16x8"):
            stream.update(size=(16, 8))


def test_a_mask_file_that_is_missing_is_named_and_nothing_changes(tmp_path):
    with stream_of() as stream:
        with pytest.raises(SourceNotFoundError, match="gone"):
            stream.update(mask=tmp_path / "gone.png", strength=0.1)
        assert stream.controls.strength == 1.0
    with pytest.raises(SourceNotFoundError, match="gone"):
        stream_of(mask=str(tmp_path / "gone.png"))


@pytest.mark.parametrize(
    ("options", "error"), [({"size": SIZE}, CapacityError), ({"size": SIZE, "finish": [3]}, ControlError)]
)
def test_a_stream_that_cannot_be_opened_leaves_no_mask_open(monkeypatch, options, error):
    def full(*_args, **_controls):
        raise MemoryError

    model = FakeModel()
    monkeypatch.setattr(model, "open", full)
    files = []

    def opened(spec):
        files.append(FakeSource(pictures(2)))
        return VideoMask(files[-1], owned=True)

    monkeypatch.setattr("vivace.stream.controls.open_mask", opened)
    with pytest.raises(error):
        stream_of(model, mask="mask.mp4", **options)
    assert all(file.closed.is_set() for file in files)


def test_a_new_size_applies_at_the_boundary_and_can_be_given_back():
    with stream_of() as stream:
        stream.push(picture(0))
        stream.update(size=(16, 8))
        assert stream.push(picture(1))[0].size == (16, 8)
        stream.update(size=None)
        assert stream.push(picture(2))[0].size == SIZE


@pytest.mark.parametrize("options", [{"fps": 0}, {"fps": float("nan")}, {"deadline_ms": -1}, {"fps": "30"}])
def test_a_budget_that_cannot_be_is_refused(options):
    with pytest.raises(ControlError, match=r"fps|deadline_ms"):
        stream_of(**options)


def test_an_unknown_model_is_refused():
    with pytest.raises(UnknownModelError):
        Stream("no-such-model")


def test_a_closed_stream_takes_nothing_and_still_tells_what_it_did():
    stream = stream_of()
    stream.push(picture(0))
    stream.close()
    stream.close()
    for use in (
        lambda: stream.push(picture(1)),
        lambda: stream.update(strength=0.5),
        lambda: stream.run(FakeSource(pictures(1))),
    ):
        with pytest.raises(SessionClosedError, match="closed"):
            use()
    assert stream.stats().frames_out == 1


def test_pushed_frames_add_up_and_latency_is_measured():
    clock = FakeClock()
    model = FakeModel(on_step=lambda chunk: clock.advance(0.020))
    with stream_of(model, clock=clock) as stream:
        for index in range(4):
            stream.push(picture(index), capture_time_s=clock() - 0.005)
            clock.advance(0.013)
        stats = stream.stats()
    assert (stats.frames_in, stats.frames_out, stats.dropped) == (4, 4, 0)
    assert stats.latency_ms["p50"] == pytest.approx(25.0, rel=0.02)
    assert stats.stages_ms["denoise"]["p95"] == pytest.approx(20.0, rel=0.02)
    assert stats.stages_ms["capture"]["p50"] == pytest.approx(5.0, rel=0.02)
    assert stats.time_to_first_frame_ms == pytest.approx(20.0)
    assert stats.fps == pytest.approx(1 / 0.033, rel=0.01)


def test_prompt_to_pixel_runs_from_the_update_to_the_frame():
    clock = FakeClock()
    with stream_of(clock=clock) as stream:
        stream.push(picture(0))
        clock.advance(0.010)
        stream.update(prompt="green")
        clock.advance(0.023)
        stream.push(picture(1))
        assert stream.stats().prompt_to_pixel_ms["p50"] == pytest.approx(23.0)


def test_a_pushed_cross_fade_takes_its_time_from_capture_times():
    model = FakeModel()
    with stream_of(model, crossfade_s=0.1) as stream:
        stream.push(picture(0), capture_time_s=1.0)
        stream.update(prompt="green")
        for time_s in (1.02, 1.05, 1.5):
            stream.push(picture(0), capture_time_s=time_s)
    assert [float(chunk.embeds[1]) for chunk in model.chunks] == pytest.approx([0, 0.2, 0.5, 1.0])


def test_a_failing_stream_leaves_another_alone():
    model = FakeModel()
    with stream_of(model) as broken, stream_of(model) as healthy:
        expected = [paint(picture(0), RED)]
        model.on_step = fail_on(0)
        broken.push(picture(0))
        np.testing.assert_array_equal(healthy.push(picture(0))[0].rgb, expected[0])
        assert broken.stats().last_error == "no more ink"
        assert healthy.stats().last_error is None


def test_a_source_may_be_named():
    with stream_of() as stream, pytest.raises(SourceNotFoundError, match="no-such-clip"):
        stream.run("no-such-clip.mp4")
