"""Laws of every source, for any reader and any closer."""

from __future__ import annotations

import threading
from collections.abc import Generator
from fractions import Fraction

import numpy as np

from vivace.media.frame import Frame
from vivace.media.pacing import PacedSource
from vivace.media.source import Source, SourceInfo

WAIT_S = 10.0


class Reluctant(Source):
    """Endless source that closes slowly."""

    def __init__(self) -> None:
        super().__init__(SourceInfo("reluctant", (8, 8)))
        self.releasing = threading.Event()
        self.may_release = threading.Event()
        self.released = 0

    def _read(self) -> Generator[Frame, None, None]:
        for index in range(10**6):
            yield Frame(np.zeros((8, 8, 3), np.uint8), index, index, Fraction(1, 30), 0.0)

    def _release(self) -> None:
        self.releasing.set()
        assert self.may_release.wait(WAIT_S)
        self.released += 1


def test_a_reader_meets_the_end_while_another_thread_closes() -> None:
    source = Reluctant()
    frames = iter(source)
    next(frames)
    closer = threading.Thread(target=source.close)
    closer.start()
    assert source.releasing.wait(WAIT_S)
    # Only once the reader waits, too; a reader that does not wait fails at once.
    threading.Timer(0.05, source.may_release.set).start()
    assert next(frames, None) is None
    closer.join(WAIT_S)
    assert source.released == 1


def test_closing_twice_lets_go_once() -> None:
    source = Reluctant()
    source.may_release.set()
    next(iter(source))
    source.close()
    source.close()
    assert source.released == 1
    assert list(source) == []


def test_warnings_are_told_when_they_come_and_those_from_before_first() -> None:
    source, told = Reluctant(), list[str]()
    source.warnings.append("damaged")
    source.warnings.tell(told.append)
    assert told == ["damaged"]
    PacedSource(source).warnings.append("reconnected")
    assert told == source.warnings == ["damaged", "reconnected"]
    source.may_release.set()
    source.close()
