"""Shared fixtures: the folder of the fakes on the path, and failures that belong to any test."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from vivace.models.keyframes.model import KeyframeModel
    from vivace.models.mini.model import MiniModel
    from vivace.models.mini.state import MiniState

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("VIVACE_MARKS", "none")  # tests that compare pictures and files need them unmarked
# A slow or busy machine fails no test: no deadline, and no complaint that examples take long to make.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

_unlogged: list[str] = []
"""Log lines that a handler could not write, with their origin; `logging` itself only prints `Logging error`."""


def _note_logging_error(handler: logging.Handler, record: logging.LogRecord) -> None:
    where = "".join(traceback.format_stack()[-8:-2])
    _unlogged.append(f"{handler} could not write {record.getMessage()!r}:\n{traceback.format_exc()}\nfrom\n{where}")


logging.Handler.handleError = _note_logging_error  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _every_log_line_is_written() -> Iterator[None]:
    """Fail a test in which a log line was lost, for example to a closed stream."""
    yield
    lost = list(_unlogged)
    _unlogged.clear()
    assert not lost, "\n".join(lost)


@pytest.fixture(scope="module")
def one_torch_thread() -> Iterator[None]:
    """Let torch compute with one thread: with the tiny networks of tests, several only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def mini() -> KeyframeModel[MiniState]:
    """Return the embedded model with its real weights, loaded once, and compiled once for each size."""
    from vivace.models import load_model

    return load_model("mini")


@pytest.fixture(scope="session")
def painter(mini: KeyframeModel[MiniState]) -> MiniModel:
    """Return the part of the embedded model that paints whole pictures, by a mixture of styles `[16]`."""
    return mini.painter.painter


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Count a skipped test as failed where everything must run, and lines a thread failed to log after its test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    problems = [f"logging error: {text}" for text in _unlogged]
    skipped = reporter.stats.get("skipped")
    if skipped and os.environ.get("VIVACE_TEST_NO_SKIPS", "") not in ("", "0"):
        problems.append(f"{len(skipped)} skipped, which VIVACE_TEST_NO_SKIPS forbids")
    for problem in problems:
        reporter.write_line(problem, red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
