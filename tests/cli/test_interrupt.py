"""Ctrl-C once asks to finish; twice ends at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from vivace.cli.interrupt import Interrupt

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def test_work_is_never_cut_in_half() -> None:
    done = []
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        done.append("written")
        assert interrupt.requested
    assert done == ["written"]


def test_a_wait_is_broken() -> None:
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt), interrupt.waiting():
        signal.raise_signal(signal.SIGINT)


def test_a_wait_after_a_request_does_not_begin() -> None:
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interrupt.waiting():
            pytest.fail("the wait began")


def test_handlers_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_request_ends_at_once() -> None:
    code = (
        "import signal, sys\n"
        "from vivace.cli.interrupt import Interrupt\n"
        "with Interrupt(before_exit=lambda: print('restored', flush=True)):\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('still here', flush=True)\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    print('never', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stdout.split("\n")[:2] == ["still here", "restored"]
    assert "never" not in done.stdout


def test_a_wait_on_a_condition_is_broken() -> None:
    """The condition on which a stream's consumer waits for a frame."""
    condition = threading.Condition()
    timer = threading.Timer(0.05, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
    timer.start()
    with Interrupt() as interrupt, pytest.raises(KeyboardInterrupt), interrupt.waiting(), condition:
        condition.wait()
    timer.join()
