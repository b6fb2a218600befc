"""No test of a stream may leave a thread behind."""

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    # By identity and before the test: models on the CPU share a thread for the life of the process.
    before = {*threading.enumerate()}
    yield
    left = [thread.name for thread in {*threading.enumerate()} - before if thread.name.startswith("vivace-")]
    assert left == []
