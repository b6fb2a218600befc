"""Finishers of frames: on every way out, in order, never skipped, and no change without any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fakes import FakeClock, FakeModel, FakeSource, picture, pictures
from serve_rig import grey, in_loop, next_of, opened, running_manager, until
from vivace import messages
from vivace.errors import ControlError, SessionClosedError, StepError
from vivace.media.frame import Frame
from vivace.stream import Stream

WHITE = (255, 255, 255)


def label(frame: Frame) -> Frame:
    """Draw a white rectangle into the upper left corner."""
    canvas = Image.fromarray(frame.rgb)
    ImageDraw.Draw(canvas).rectangle((0, 0, 7, 3), fill=WHITE)
    return replace(frame, rgb=np.asarray(canvas))


def invert_label(frame: Frame) -> Frame:
    rgb = frame.rgb.copy()
    rgb[:4, :8] = 255 - rgb[:4, :8]
    return replace(frame, rgb=rgb)


def labelled(rgb: np.ndarray) -> np.ndarray:
    expected = rgb.copy()
    expected[:4, :8] = 255
    return expected


def stream_of(*finish, model: FakeModel | None = None, **options) -> Stream:
    return Stream(model or FakeModel(), **{"prompt": "red", "detect_cuts": False, "finish": finish, **options})


def outputs(stream: Stream, way: str) -> list[Frame]:
    match way:
        case "push":
            return [frame for index in range(4) for frame in stream.push(picture(index))] + stream.flush()
        case "still":
            return [stream.still(picture(index)) for index in range(4)]
        case _:
            return list(stream.run(FakeSource(pictures(4)), live=False))


@pytest.mark.parametrize("way", ["push", "still", "run"])
@pytest.mark.parametrize(
    ("model", "controls"),
    [
        (FakeModel, {}),
        (lambda: FakeModel(lag=2), {}),
        (lambda: FakeModel(chunk_frames=3, warmup_frames=2), {}),
        (FakeModel, {"strength": 0.0}),
        (FakeModel, {"prompt": None}),
        (FakeModel, {"mask": "16,8,8,8"}),
    ],
    ids=["one", "trails", "chunks", "strength 0", "no prompt", "mask"],
)
def test_every_way_out_of_a_stream_leads_through_the_finishers(way, model, controls):
    with stream_of(model=model(), **controls) as stream:
        plain = outputs(stream, way)
    with stream_of(label, model=model(), **controls) as stream:
        finished = outputs(stream, way)
        stats = stream.stats()
    assert len(finished) == len(plain) == 4
    for before, after in zip(plain, finished, strict=True):
        np.testing.assert_array_equal(after.rgb, labelled(before.rgb))
        np.testing.assert_array_equal(after.source_rgb, before.source_rgb)
        assert list(after.marks)[-1] == "finish"
        assert "finish" not in before.marks
    assert list(stats.stages_ms) == ["capture", "prepare", "denoise", "refine", "finish", "encode"]
    assert stats.stages_ms["finish"]["p50"] is not None


@pytest.mark.parametrize("controls", [{"strength": 0.0}, {"prompt": None}])
def test_without_a_finisher_the_picture_is_the_source_itself(controls):
    rgb = picture(1)
    with stream_of(**controls) as stream:
        [out] = stream.push(rgb)
    assert out.rgb is rgb
    assert not out.painted


def test_finishers_work_in_order():
    with stream_of(label, invert_label) as stream:
        [out] = stream.push(picture(0))
    assert (out.rgb[:4, :8] == 0).all()


def test_a_finisher_sees_the_source_and_whether_anything_was_painted():
    seen = []

    def look(frame: Frame) -> Frame:
        seen.append((frame.painted, np.array_equal(frame.rgb, frame.source_rgb)))
        return frame

    with stream_of(look) as stream:
        [out] = stream.push(picture(0))
        stream.update(strength=0.0)
        stream.push(picture(1))
    assert seen == [(True, False), (False, True)]
    assert out.rgb.flags.writeable


def test_a_still_is_finished_once():
    seen = []

    def count(frame: Frame) -> Frame:
        seen.append(frame.index)
        return frame

    with stream_of(count, model=FakeModel(warmup_frames=5)) as stream:
        stream.still(picture(0))
    assert seen == [0]


def into_the_source(frame: Frame) -> Frame:
    frame.rgb[:] = 0
    return frame


def broken(_frame: Frame) -> Frame:
    raise RuntimeError("no key")


@pytest.mark.parametrize("finish", [broken, None, "label", ["label"], [broken, 3]])
def test_what_is_no_list_of_finishers_is_told_before_a_stream_begins(finish):
    with pytest.raises(ControlError, match=r"finish (is|holds)"):
        Stream(FakeModel(), finish=finish)


@pytest.mark.parametrize(
    ("finisher", "says"),
    [
        (broken, "frame 1 cannot be finished by broken: RuntimeError: no key"),
        (into_the_source, "frame 1 cannot be finished by into_the_source: ValueError"),
        (lambda _frame: None, "returned NoneType instead of a Frame"),
        (lambda frame: replace(frame, rgb=frame.rgb[:4]), r"returned uint8 \(4, 32, 3\) instead of"),
        (lambda frame: replace(frame, rgb=frame.rgb.astype(np.float32)), "returned float32"),
    ],
)
@pytest.mark.parametrize("way", ["push", "run"])
def test_a_finisher_that_fails_ends_the_stream_and_no_frame_leaves_without_it(way, finisher, says):
    def from_the_second_on(frame: Frame) -> Frame:
        return label(frame) if frame.index == 0 else finisher(frame)

    from_the_second_on.__name__ = getattr(finisher, "__name__", "finisher")
    got: list[Frame] = []
    before = picture(1).copy()
    with stream_of(from_the_second_on, strength=0.0) as stream:
        with pytest.raises(StepError, match=says):
            if way == "push":
                for index in range(4):
                    got += stream.push(picture(index))
            else:
                for frame in stream.run(FakeSource(pictures(4)), live=False):
                    got.append(frame)
        with pytest.raises(SessionClosedError):
            stream.push(picture(2))
        with pytest.raises(SessionClosedError, match="has ended"):
            stream.update(strength=0.5)
    assert [frame.index for frame in got] == [0]
    assert (got[0].rgb[:4, :8] == 255).all()
    np.testing.assert_array_equal(picture(1), before)


def test_the_deadline_counts_what_finishing_takes():
    clock = FakeClock()

    def slow(frame: Frame) -> Frame:
        clock.advance(0.05)
        return frame

    with stream_of(slow, model=FakeModel(efforts=(1.0, 0.5)), deadline_ms=33.0, clock=clock) as stream:
        for index in range(20):
            stream.push(picture(index))
        assert stream.stats().effort_frames[0.5] > 0


@in_loop
async def test_viewers_and_recordings_of_a_served_session_get_finished_frames(tmp_path):
    made: list[str] = []

    def finishers(session: str):
        made.append(session)
        return [label]

    async with running_manager(finishers=finishers, recordings=tmp_path) as manager:
        session = await opened(manager)
        viewer = session.subscribe()
        recorded: list[Frame] = []
        session.recorder.offer = recorded.append
        session.push(grey())
        out = await anext(viewer)
        await until(lambda: recorded)
        assert (out.rgb[:4, :8] == 255).all()
        assert not (out.rgb == 255).all()
        assert recorded[0] is out
        assert made == [session.id]
        assert session.account.totals()["finish"].count >= 1


@in_loop
async def test_a_finisher_that_fails_ends_its_session_alone():
    def finishers(session: str):
        return [broken] if not made else [label]

    made: list[str] = []
    async with running_manager(finishers=finishers) as manager:
        bad = await opened(manager)
        made.append(bad.id)
        good = await opened(manager, client="eve")
        viewer, events, other = bad.subscribe(), bad.events(), good.subscribe()
        bad.push(grey())
        ended = await next_of(events, messages.Ended)
        assert (ended.reason, "cannot be finished by broken" in ended.message) == ("failed", True)
        assert [frame async for frame in viewer] == []
        good.push(grey())
        assert ((await anext(other)).rgb[:4, :8] == 255).all()
