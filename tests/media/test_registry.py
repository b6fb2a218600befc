"""Kinds of source that other rooms and programs bring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from types import ModuleType

import numpy as np
import pytest

from vivace.errors import SourceUnsupportedError, UsageError
from vivace.media import registry
from vivace.media.clock import Clock
from vivace.media.frame import Frame
from vivace.media.open import open_source
from vivace.media.registry import register_source, source_words
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo


class Flat(Source):
    """Three pictures of one brightness."""

    def __init__(self, rest: str, *, size: Size | None, fps: float | None, stall_timeout_s: float, clock: Clock):
        self.asked = (fps, stall_timeout_s)
        self._value = int(rest)
        self._clock = clock
        super().__init__(SourceInfo(name=f"flat:{rest}", size=size or (8, 8), fps=fps or 25.0))

    def _read(self) -> Iterator[Frame]:
        width, height = self.info.size
        for index in range(3):
            rgb = np.full((height, width, 3), self._value, np.uint8)
            yield Frame(rgb, index, index, Fraction(1, 25), self._clock())


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program's own kind of source, `flat:BRIGHTNESS`."""
    program = ModuleType("a_program")
    program.Flat = Flat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_program", program)
    monkeypatch.setattr(registry, "_OPENERS", dict(registry._OPENERS))
    register_source("flat", "a_program:Flat")


@pytest.mark.usefixtures("flat")
def test_a_registered_kind_opens_by_its_word_with_what_was_asked() -> None:
    source = open_source("flat:7", size=(16, 10), fps=12.5, stall_timeout_s=3.0, clock=lambda: 42.0)
    assert isinstance(source, Flat)
    assert source.asked == (12.5, 3.0)
    with source:
        frames = list(source)
    assert [frame.rgb.shape for frame in frames] == [(10, 16, 3)] * 3
    assert frames[0].rgb.max() == frames[0].rgb.min() == 7
    assert frames[0].capture_time_s == 42.0


@pytest.mark.usefixtures("flat")
@pytest.mark.parametrize(("spec", "error"), [("", UsageError), ("whep://host/live", SourceUnsupportedError)])
def test_messages_name_every_kind(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        open_source(spec)
    assert {"camera", "screen", "scene", "flat"} <= {*source_words()}
    assert all(word in str(caught.value) for word in source_words())
