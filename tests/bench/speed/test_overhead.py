"""Overhead is the time of threads that run Python outside the calls of the network and of the codecs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread, current_thread
from threading import enumerate as running

import av
import numpy as np
import pytest

from vivace.bench.speed.overhead import OverheadMeter, thread_cpu_s
from vivace.media.encode import VideoSink
from vivace.media.open import open_source
from vivace.runtime.exported.openvino import import_openvino


class Cpu:
    """CPU clocks of threads, by script."""

    def __init__(self) -> None:
        self.spent_s: dict[Thread, float] = {}

    def spend(self, seconds: float) -> None:
        self.spent_s[current_thread()] = self.of(current_thread()) + seconds

    def of(self, thread: Thread) -> float:
        if not thread.is_alive():
            raise OSError("it has ended")
        return self.spent_s.get(thread, 0.0)

    def now(self) -> float:
        return self.of(current_thread())

    def meter(self) -> OverheadMeter:
        return OverheadMeter(now_s=self.now, thread_s=self.of)


def test_what_calls_take_is_left_out_and_all_else_is_counted() -> None:
    cpu = Cpu()
    meter = cpu.meter()
    call = meter.timed(cpu.spend)

    def packets() -> Iterator[int]:
        for number in range(3):
            cpu.spend(10.0)
            yield number

    cpu.spend(1.0)
    call(100.0)
    cpu.spend(0.5)
    for _ in meter.timed_iterator(packets)():
        cpu.spend(0.25)
    nested = meter.timed(lambda: call(50.0))
    nested()
    assert meter.read_ms() == pytest.approx(2250.0)


def test_a_call_that_fails_is_left_out_and_over() -> None:
    cpu = Cpu()
    meter = cpu.meter()

    def fail() -> None:
        cpu.spend(3.0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        meter.timed(fail)()
    cpu.spend(1.0)
    assert meter.read_ms() == pytest.approx(1000.0)


def test_threads_add_up_also_within_a_call_and_after_they_have_ended() -> None:
    cpu = Cpu()
    meter = cpu.meter()
    inside, leave = Event(), Event()

    def long_call() -> None:
        cpu.spend(40.0)
        inside.set()
        leave.wait()

    def work() -> None:
        cpu.spend(2.0)
        meter.timed(long_call)()
        cpu.spend(4.0)

    other = Thread(target=work)
    other.start()
    inside.wait()
    cpu.spend(1.0)
    assert meter.read_ms() == pytest.approx(3000.0)  # of the other thread, its value before the call
    leave.set()
    other.join()
    assert meter.read_ms() == pytest.approx(3000.0)  # of the ended one, its last value
    assert other not in running()


def test_the_calls_of_openvino_and_pyav_are_wrapped_while_it_is_open(tmp_path: Path) -> None:
    ov = import_openvino()
    names = [(ov.InferRequest, "infer"), (av.CodecContext, "decode"), (av.container.OutputContainer, "mux")]
    before = [getattr(owner, name) for owner, name in names]
    asked: list[float] = []

    def count() -> float:
        asked.append(0.0)
        return 0.0

    x = ov.opset13.parameter([1], np.float32)
    request = ov.Core().compile_model(ov.Model([ov.opset13.relu(x)], [x]), "CPU").create_infer_request()
    with OverheadMeter(now_s=count, thread_s=lambda thread: 0.0) as meter:
        request.infer([np.float32([-1.0])])
        assert (meter.network_calls, len(asked)) == (1, 2)
        with open_source("scene:gallery?frames=3", size=(64, 64)) as source:
            frames = list(source)
        assert len(asked) == 2  # a drawn source has no codec
        with VideoSink(tmp_path / "out.mp4", "mp4") as sink:
            for frame in frames:
                sink.write(frame)
        written = len(asked)
        assert written >= 2 + 2 * 3 * 2  # each frame is encoded and muxed
        with open_source(tmp_path / "out.mp4") as source:
            assert len(list(source)) == 3
        assert len(asked) >= written + 2 * 3 * 2  # and read and decoded
    assert [getattr(owner, name) for owner, name in names] == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's clocks of threads")
def test_another_threads_clock_is_read_and_one_that_is_not_there_is_an_error() -> None:
    ready, leave = Event(), Event()

    def work() -> None:
        sum(range(10_000))
        ready.set()
        leave.wait()

    other = Thread(target=work)
    other.start()
    ready.wait()
    assert 0 < thread_cpu_s(other) <= thread_cpu_s(other)
    leave.set()
    other.join()
    other._native_id = 2**23  # type: ignore[attr-defined]  # beyond what the kernel numbers threads with
    with pytest.raises(OSError, match="Invalid argument"):
        thread_cpu_s(other)
    with pytest.raises(OSError, match="Linux only"):
        thread_cpu_s(Thread())
