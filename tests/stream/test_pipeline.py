"""Running a source through a stream: arrivals, drops, and the end. No test depends on speed."""

import threading
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from fakes import EMBEDS, SIZE, FakeClock, FakeModel, FakeSource, fail_on, paint, picture, pictures
from vivace.errors import SourceLostError, StepError, UsageError
from vivace.media.frame import Frame
from vivace.stream import Stream

RED = np.array(EMBEDS["red"], np.float32)
LIMIT_S = 20.0


def stream_of(model: FakeModel | None = None, **options) -> Stream:
    options = {"prompt": "red", "size": SIZE, "detect_cuts": False, **options}
    return Stream(model or FakeModel(), **options)


def rgbs(frames):
    return [frame.rgb.tolist() for frame in frames]


def test_every_frame_arrives_in_order_with_its_place_in_the_stream():
    source = FakeSource(pictures(40))
    with stream_of() as stream:
        outs = list(stream.run(source))
        stats = stream.stats()
    assert [out.index for out in outs] == list(range(40))
    assert [out.pts for out in outs] == list(range(40))
    assert {out.time_base for out in outs} == {Fraction(1, 25)}
    assert source.closed.is_set()
    assert (stats.frames_in, stats.frames_out, stats.dropped) == (40, 40, 0)


def test_running_equals_pushing():
    frames = pictures(12)
    with stream_of() as one, stream_of() as two:
        assert rgbs(one.run(FakeSource(frames))) == rgbs(out for frame in frames for out in two.push(frame.rgb))


def test_running_twice_gives_the_same_twice():
    frames = pictures(12)
    with stream_of() as stream:
        first = rgbs(stream.run(FakeSource(frames)))
        assert rgbs(stream.run(FakeSource(frames))) == first
        assert stream.stats().resets == {"input": 1}


def test_two_streams_at_the_same_time_equal_two_after_one_another():
    frames, others = pictures(30), pictures(60)[30:]
    model = FakeModel()
    expected = [rgbs(stream_of().run(FakeSource(frames))), rgbs(stream_of(prompt="blue").run(FakeSource(others)))]
    got: dict[int, list] = {}

    def play(key: int, prompt: str, pictures_: list[Frame]) -> None:
        with stream_of(model, prompt=prompt) as stream:
            got[key] = rgbs(stream.run(FakeSource(pictures_)))

    threads = [
        threading.Thread(target=play, args=(0, "red", frames)),
        threading.Thread(target=play, args=(1, "blue", others)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert [got[0], got[1]] == expected


def test_decoding_runs_ahead_by_a_few_frames_and_no_more():
    source = FakeSource(pictures(100))
    with stream_of() as stream:
        frames = stream.run(source)
        next(frames)
        settled = threading.Event()
        before = -1
        while source.delivered != before:
            before = source.delivered
            settled.wait(0.05)
        # In the consumer's hands, two mailboxes of two, and one each in the hands of the two threads.
        assert source.delivered <= 1 + 2 + 2 + 1 + 1
        assert len(list(frames)) == 99


class Camera(FakeSource):
    """Live source whose every frame waits for the test's permission."""

    def __init__(self, count: int, **options) -> None:
        self.allowed = threading.Semaphore(0)
        super().__init__(pictures(count), live=True, before_frame=self._wait, **options)

    def _wait(self, index: int) -> None:
        assert self.allowed.acquire(timeout=LIMIT_S)


def wait_until(condition) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never happened")


def test_live_the_newest_frame_wins_and_the_others_are_counted_as_late():
    entered, go = threading.Event(), threading.Semaphore(0)

    def slow(chunk) -> None:
        entered.set()
        assert go.acquire(timeout=LIMIT_S)

    camera = Camera(10)
    with stream_of(FakeModel(on_step=slow)) as stream:
        frames = stream.run(camera)
        outs = []
        reader = threading.Thread(target=lambda: outs.extend(frames))
        reader.start()
        camera.allowed.release()
        assert entered.wait(LIMIT_S)  # frame 0 is in the model, and takes its time
        camera.allowed.release(8)
        wait_until(lambda: stream.stats().frames_in == 9)
        for count in range(1, 3):
            go.release()
            wait_until(lambda count=count: stream.stats().frames_out == count)
        go.release()
        camera.allowed.release()
        reader.join(LIMIT_S)
        stats = stream.stats()
    assert [out.index for out in outs] == [0, 8, 9]
    assert stats.drops == {"source": 0, "late": 7, "unread": 0}
    assert stats.frames_in == stats.frames_out + stats.dropped == 10


def test_live_a_slow_consumer_gets_the_newest_frame_and_never_lags():
    camera = Camera(12)
    camera.allowed.release(1)
    with stream_of() as stream:
        frames = stream.run(camera)
        first = next(frames)
        for index in range(1, 11):
            camera.allowed.release()
            # One after the other through the model, none of them taken.
            wait_until(lambda index=index: sum(stream.stats().effort_frames.values()) == index + 1)
        second = next(frames)
        camera.allowed.release()
        rest = list(frames)
        stats = stream.stats()
    assert (first.index, second.index, [frame.index for frame in rest]) == (0, 10, [11])
    assert stats.drops == {"source": 0, "late": 0, "unread": 9}


def test_frames_a_live_source_lost_by_itself_are_counted():
    source = FakeSource(pictures(10, gaps=[3, 4, 7]))
    with stream_of() as stream:
        outs = list(stream.run(source))
        stats = stream.stats()
    assert [out.index for out in outs] == [0, 1, 2, 5, 6, 8, 9]
    assert stats.drops["source"] == 3
    assert stats.frames_in == 10


def test_a_source_that_fails_half_way_delivers_what_came_before_and_then_its_error():
    source = FakeSource(pictures(7), error=SourceLostError("camera 0 was unplugged"))
    outs = []

    def watch(stream: Stream) -> None:
        for out in stream.run(source):
            outs.append(out.index)

    with stream_of() as stream:
        with pytest.raises(SourceLostError, match="unplugged"):
            watch(stream)
        assert len(list(stream.run(FakeSource(pictures(3))))) == 3  # the stream itself still works
    assert outs == list(range(7))
    assert source.closed.is_set()


def test_frames_inside_a_lagging_model_come_out_before_the_sources_error():
    source = FakeSource(pictures(7), error=SourceLostError("gone"))
    outs = []
    with stream_of(FakeModel(chunk_frames=2, lag=3)) as stream:
        frames = stream.run(source)
        outs = [next(frames).index for _ in range(7)]
        with pytest.raises(SourceLostError):
            next(frames)
    assert outs == list(range(7))


def test_an_unforeseen_error_in_a_source_is_not_swallowed():
    with stream_of() as stream, pytest.raises(ZeroDivisionError):
        list(stream.run(FakeSource(pictures(2), error=ZeroDivisionError())))


def test_a_model_that_fails_for_good_ends_the_run_by_name_and_closes_the_source():
    source = FakeSource(pictures(500))
    with stream_of(FakeModel(on_step=fail_on(*range(5, 600)))) as stream, pytest.raises(StepError, match="3 times"):
        list(stream.run(source))
    assert source.closed.is_set()
    assert source.delivered < 500


@pytest.mark.parametrize("live", [True, False])
def test_leaving_early_ends_the_threads_and_closes_the_source(live):
    source = FakeSource(pictures(500), live=live)
    with stream_of() as stream:
        for _ in stream.run(source):
            break
    assert source.closed.is_set()


def test_an_error_of_the_consumer_ends_the_threads_and_closes_the_source():
    source = FakeSource(pictures(500))

    def consume(stream: Stream) -> None:
        for _ in stream.run(source):
            raise RuntimeError("disk full")

    with stream_of() as stream, pytest.raises(RuntimeError, match="disk full"):
        consume(stream)
    assert source.closed.is_set()


def test_closing_from_another_thread_ends_the_iteration():
    camera = Camera(10)
    camera.allowed.release(2)
    stream = stream_of()
    outs = []
    reader = threading.Thread(target=lambda: outs.extend(stream.run(camera)))
    reader.start()
    wait_until(lambda: stream.stats().frames_out >= 1)
    closer = threading.Thread(target=stream.close)
    closer.start()
    camera.allowed.release(8)  # a camera that goes on delivering keeps nothing alive
    closer.join(LIMIT_S)
    reader.join(LIMIT_S)
    assert not reader.is_alive()
    assert 1 <= len(outs) < 10
    assert camera.closed.is_set()


def test_closing_inside_the_loop_ends_it():
    stream = stream_of()
    outs = []
    for out in stream.run(FakeSource(pictures(50))):
        outs.append(out)
        stream.close()
    assert len(outs) == 1


def test_a_second_run_at_the_same_time_is_refused():
    with stream_of() as stream:
        first = stream.run(FakeSource(pictures(50)))
        next(first)
        with pytest.raises(UsageError, match="another Stream"):
            stream.run(FakeSource(pictures(1)))
        with pytest.raises(UsageError, match="another Stream"):
            stream.push(picture(0))
        first.close()
        assert len(stream.push(picture(0))) == 1


def test_a_run_that_is_never_iterated_starts_nothing():
    source = FakeSource(pictures(5))
    with stream_of() as stream:
        stream.run(source)
    assert source.delivered == 0


def test_updates_while_it_runs_are_in_force_exactly_from_the_frame_they_name():
    acks = []
    with stream_of(crossfade_s=0) as stream:
        outs = []
        for out in stream.run(FakeSource(pictures(200))):
            outs.append(out)
            if out.index % 10 == 0:
                acks.append(stream.update(strength=(len(acks) % 5) / 4))
    assert len(acks) == 20
    for ack, following in zip(acks, [*acks[1:], None], strict=True):
        last = following.frame_index if following else 200
        made = [out.control_index for out in outs if ack.frame_index <= out.index < last]
        assert set(made) <= {ack.update_index}


def test_updates_from_many_threads_are_in_force_exactly_from_the_frames_they_name():
    acks = []
    lock = threading.Lock()
    stop = threading.Event()

    def steer(stream: Stream, number: int) -> None:
        rng = np.random.default_rng(number)
        while not stop.is_set():
            ack = stream.update(strength=float(rng.random()))
            with lock:
                acks.append(ack)
            stop.wait(0.001)

    with stream_of() as stream:
        threads = [threading.Thread(target=steer, args=(stream, number)) for number in range(3)]
        for thread in threads:
            thread.start()
        outs = list(stream.run(FakeSource(pictures(300))))
        stop.set()
        for thread in threads:
            thread.join(LIMIT_S)
    during = [ack for ack in acks if 0 < ack.frame_index < 300]
    assert sorted(ack.update_index for ack in acks) == list(range(1, len(acks) + 1))
    for ack in during:
        assert outs[ack.frame_index].control_index >= ack.update_index
        assert outs[ack.frame_index - 1].control_index < ack.update_index


def test_a_file_run_live_is_paced_and_stamped_when_due():
    frames = pictures(5, fps=500)
    with stream_of(clock=FakeClock()) as stream:
        outs = list(stream.run(FakeSource(frames, fps=500), live=True))
    gaps_s = [(b.capture_time_s - a.capture_time_s) / (b.index - a.index) for a, b in pairwise(outs)]
    assert gaps_s == pytest.approx([1 / 500] * len(gaps_s))


def test_a_foreign_source_that_is_not_live_cannot_be_paced_and_says_so():
    class Foreign:
        def __init__(self) -> None:
            self.inner = FakeSource(pictures(2))
            self.info = self.inner.info
            self.close = self.inner.close

        def __iter__(self):
            return iter(self.inner)

    with stream_of() as stream:
        with pytest.raises(UsageError, match="live=False"):
            list(stream.run(Foreign(), live=True))
        assert len(list(stream.run(Foreign()))) == 2


def test_the_budget_follows_the_sources_rate_live_and_there_is_none_otherwise():
    with stream_of() as stream:
        list(stream.run(FakeSource(pictures(3), live=True, fps=25)))
        assert stream.stats().budget_ms == pytest.approx(40.0)
        list(stream.run(FakeSource(pictures(3), live=False, fps=25)))
        assert stream.stats().budget_ms is None
    with stream_of(fps=50) as stream:
        list(stream.run(FakeSource(pictures(3), live=True, fps=25)))
        assert stream.stats().budget_ms == pytest.approx(20.0)


def test_every_stage_is_measured():
    with stream_of() as stream:
        list(stream.run(FakeSource(pictures(20))))
        stats = stream.stats()
    assert all(times["p95"] is not None for times in stats.stages_ms.values())
    assert stats.latency_ms["p99"] is not None
    assert stats.time_to_first_frame_ms is not None
    assert stats.fps is not None


def test_the_frame_at_which_the_consumer_leaves_is_measured_like_any_other():
    with stream_of() as stream:
        for _ in stream.run(FakeSource(pictures(20))):
            break
        stats = stream.stats()
    assert stats.frames_out == 1
    assert stats.latency_ms["p50"] is not None
    assert stats.stages_ms["encode"]["p50"] is not None


def test_an_endless_stream_is_accounted_for_in_constant_memory():
    import tracemalloc

    rgb = picture(0, (8, 8))
    frames = (Frame(rgb, index, index, Fraction(1, 25), 0.0) for index in range(6_000))
    traced_bytes = np.zeros(6_000, np.int64)
    tracemalloc.start()
    try:
        with stream_of(FakeModel(record=False), size=(8, 8)) as stream:
            for out in stream.run(FakeSource(frames, size=(8, 8))):
                traced_bytes[out.index] = tracemalloc.get_traced_memory()[0]
            assert stream.stats().frames_out == 6_000
    finally:
        tracemalloc.stop()
    # The least of a hundred frames: the number under way, and other load, differ between frames.
    assert traced_bytes[5_800:5_900].min() - traced_bytes[2_000:2_100].min() < 15_000


def test_the_first_frame_is_painted_like_any_other():
    frames = pictures(1)
    with stream_of() as stream:
        [out] = stream.run(FakeSource(frames))
    np.testing.assert_array_equal(out.rgb, paint(frames[0].rgb, RED))
