"""What all tests share: the folder of the fakes on the path, since tests are imported one by one."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Count a skipped test as failed where everything must run: a missing package is no pass."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped") if reporter is not None else None
    if skipped and os.environ.get("VIVACE_TEST_NO_SKIPS", "") not in ("", "0"):
        reporter.write_line(f"{len(skipped)} skipped, which VIVACE_TEST_NO_SKIPS forbids", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
