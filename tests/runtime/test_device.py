"""Laws of a device: one call at a time, in turn, for any caller and any failure, in its thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from patience import PATIENCE_S
from vivace.runtime.device import Device
from vivace.runtime.torch.device import open_device


@pytest.fixture(params=[None, "test-device"], ids=["in the caller's thread", "in its own thread"])
def device(request: pytest.FixtureRequest) -> Device:
    return Device("none", thread=request.param)


def test_all_that_asks_for_the_turn_gets_it_alone(device: Device) -> None:
    inside, most = [0], [0]

    def work() -> None:
        inside[0] += 1
        time.sleep(0)  # lets others in, if possible
        most[0] = max(most[0], inside[0])
        inside[0] -= 1

    with ThreadPoolExecutor(4) as others:
        list(others.map(lambda _: device.in_turn(work), range(200)))
    assert (inside[0], most[0]) == (0, 1)


def test_what_fails_gives_the_turn_back(device: Device) -> None:
    with pytest.raises(ZeroDivisionError):
        device.in_turn(lambda: 1 / 0)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(device.in_turn, max, 3, 4).result(PATIENCE_S) == 4


def test_what_has_the_turn_may_ask_again(device: Device) -> None:
    def asks() -> tuple[int, int, int]:
        return device.in_turn(max, 1, 2), device.call(max, 2, 3), device.call(device.in_turn, max, 3, 4)

    with ThreadPoolExecutor(1) as other:
        assert other.submit(device.in_turn, asks).result(PATIENCE_S) == (2, 3, 4)


def test_the_turn_at_another_device_is_free(device: Device) -> None:
    with ThreadPoolExecutor(1) as other:
        another = Device("another")
        assert device.in_turn(lambda: other.submit(another.in_turn, max, 3, 4).result(PATIENCE_S)) == 4


def test_what_needs_no_turn_waits_for_none_unless_there_is_one_thread() -> None:
    device = Device("none")
    with ThreadPoolExecutor(1) as other:
        assert device.in_turn(lambda: other.submit(device.call, max, 3, 4).result(PATIENCE_S)) == 4


def test_a_thread_of_its_own_serves_all_callers() -> None:
    device = Device("none", thread="test-device")
    with ThreadPoolExecutor(4) as others:
        served = {
            *others.map(lambda _: device.in_turn(threading.get_ident), range(40)),
            device.call(threading.get_ident),
        }
    assert len(served) == 1
    assert threading.get_ident() not in served
    assert Device("none").in_turn(threading.get_ident) == threading.get_ident()


def test_models_of_torch_on_the_cpu_share_its_cores_in_one_thread() -> None:
    assert open_device("cpu") is open_device("cpu")
    assert open_device("cpu").call(threading.get_ident) != threading.get_ident()
