"""The short form of the fault run: the faults that a server meets, and that nothing remains.

Long form: fault_run.py.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

import pytest

import fault_run
from serve.faults import planted
from serve.faults.rough import SHORT

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes through /proc"),
]


@pytest.mark.slow
def test_a_server_survives_its_clients_and_nothing_is_left_of_them(tmp_path: Path) -> None:
    fault_run.run_real(tmp_path, SHORT, fault_run.Report())


def test_a_step_that_raises_ends_its_session_and_no_other() -> None:
    asyncio.run(planted.step_raises())


def test_a_step_with_a_bug_ends_its_session_and_no_other() -> None:
    asyncio.run(planted.step_has_a_bug())


def test_a_step_without_memory_ends_its_session_and_no_other() -> None:
    asyncio.run(planted.step_out_of_memory())


def test_a_full_disk_ends_the_recording_and_not_the_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL, logger="libav"):
        asyncio.run(planted.full_disk(tmp_path))
