"""A measurement in a process of its own: the cause of its end is reported correctly, where it was requested."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path

import pytest

from vivace.bench.job import Job, run_job
from vivace.bench.latency.webrtc_run import live, serving
from vivace.bench.process import ending, last_words
from vivace.bench.systems.system import model_spec
from vivace.errors import CapacityError, DeviceError, MediaError, UsageError, VivaceError

TASKS = """
import os, signal

def mistake(job, report):
    return {}["model"]

def refused(job, report):
    from vivace.client import ServerError
    raise ServerError("rtsp://me:hush@host is full", code="full")

def without_memory(job, report):
    raise MemoryError

def dead(job, report):
    os.kill(os.getpid(), getattr(signal, job.settings["sign"]))

def gone(job, report):
    os._exit(7)
"""


def ignore(done: int, total: int) -> None:
    """Ignore the progress."""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module with failing tasks, which child processes can import."""
    (tmp_path / "failing_tasks.py").write_text(TASKS)
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    return "failing_tasks"


def failure(task: str, **settings: object) -> VivaceError:
    with pytest.raises(VivaceError) as caught:
        run_job(Job(task, model_spec("mini"), settings), ignore)
    return caught.value


def test_a_mistake_is_told_as_one_with_its_traceback(tasks: str) -> None:
    error = failure(f"{tasks}:mistake")
    assert type(error) is VivaceError
    assert error.exit_code == 1
    assert "KeyError: 'model'" in str(error)
    assert "report" in str(error)
    assert "memory" not in str(error)
    (trace,) = error.__notes__
    assert 'return {}["model"]' in trace


def test_an_error_of_a_class_of_its_own_comes_as_the_nearest_that_is_known(tasks: str) -> None:
    error = failure(f"{tasks}:refused")
    assert type(error) is MediaError
    assert str(error) == "rtsp://***@host is full"


def test_too_little_memory_is_only_what_was_told_so(tasks: str) -> None:
    error = failure(f"{tasks}:without_memory")
    assert type(error) is CapacityError
    assert "memory" in str(error)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("sign", ["SIGKILL", "SIGTERM"])
def test_a_process_that_was_killed_is_told_by_the_signal(tasks: str, sign: str) -> None:
    error = failure(f"{tasks}:dead", sign=sign)
    assert type(error) is DeviceError
    assert f"was killed by {sign}" in str(error)
    assert ("memory" in str(error)) == (sign == "SIGKILL")


def test_a_process_that_leaves_without_a_word_is_told_by_its_exit_code(tasks: str) -> None:
    error = failure(f"{tasks}:gone")
    assert type(error) is DeviceError
    assert str(error) == "the measuring process ended with exit code 7 before it was done"


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended with exit code 0"), (3, "ended with exit code 3"), (-250, "was killed by signal 250")],
)
def test_an_end_is_worded_by_its_code(code: int, words: str) -> None:
    assert ending(code) == words
    assert ending(-signal.SIGTERM) == "was killed by SIGTERM"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"INFO x\nvivace: no model 'nimi'\n        `vivace models list`\n", "; it said: vivace: no model 'nimi'"),
        (b"Traceback:\n  File\nKeyError: 'x'\n", "; it said: KeyError: 'x'"),
    ],
)
def test_last_words_are_without_their_remedy(said: bytes, words: str) -> None:
    assert last_words(io.BytesIO(said)) == words


@pytest.mark.e2e
def test_a_server_that_does_not_start_is_told_by_its_own_words() -> None:
    words = r"ended with exit code 2 before it listened; it said: .*no model 'nimi'"
    with pytest.raises(DeviceError, match=words), serving("nimi", 1, None):
        pass


def test_what_a_server_would_not_know_of_is_refused() -> None:
    spec = model_spec("mini", runtime="openvino")
    with pytest.raises(UsageError, match="runtime"):
        live(Job("t", spec, {"size": (64, 64), "fps": 30.0}), ignore)
