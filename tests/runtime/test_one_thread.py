"""All of a model's work on a CPU is done by one thread, whoever asks for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vivace.runtime.one_thread import OneThread, cpu_thread, right_here


def test_all_callers_are_served_by_the_same_thread() -> None:
    call = OneThread("test")
    with ThreadPoolExecutor(4) as others:
        served = {*others.map(lambda _: call(threading.get_ident), range(40)), call(threading.get_ident)}
    assert len(served) == 1
    assert threading.get_ident() not in served
    assert right_here(threading.get_ident) == threading.get_ident()


def test_one_call_runs_at_a_time() -> None:
    call, inside, most = OneThread("test"), [0], [0]

    def work() -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1

    with ThreadPoolExecutor(4) as others:
        list(others.map(lambda _: call(work), range(200)))
    assert (inside[0], most[0]) == (0, 1)


def test_what_runs_there_may_call_again() -> None:
    call = OneThread("test")
    assert call(lambda: call(lambda: call(max, 1, 2))) == 2


def test_errors_come_back_to_the_caller_and_end_nothing() -> None:
    call = OneThread("test")
    with pytest.raises(ZeroDivisionError):
        call(lambda: 1 / 0)
    assert call(max, 3, 4) == 4


def test_models_on_the_cpu_share_the_thread() -> None:
    assert cpu_thread() is cpu_thread()
