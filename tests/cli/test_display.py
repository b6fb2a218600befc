"""Messages to a person while a stream runs and after its end."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fakes import FakeClock, FakeModel
from vivace.cli.display import SHOWN_PROMPT_CHARS, LiveLine, not_found, shorten, status_line, summary
from vivace.cli.keys import PromptLine
from vivace.stream import Stats, Stream


@pytest.fixture
def stats() -> Stats:
    with Stream(FakeModel(), prompt="red", size=(32, 16)) as stream:
        for _ in range(3):
            stream.push(np.zeros((16, 32, 3), np.uint8))
        return stream.stats()


def test_the_live_line_holds_rate_latency_drops_effort_and_prompt(stats: Stats) -> None:
    line = status_line(stats).plain
    for word in ("3 frames", "fps", "p95", "0 dropped", "effort 100%", '"red"'):
        assert word in line


def test_figures_that_do_not_exist_yet_are_dashes() -> None:
    with Stream(FakeModel()) as stream:
        line = status_line(stream.stats()).plain
    assert "– fps" in line
    assert "no prompt" in line


def test_the_summary_says_where_it_went_and_what_made_it(stats: Stats) -> None:
    said = summary(stats, 3, "out.mp4", 1.25)
    for word in ("3 frames to out.mp4", "1.2 s", "p50", "p95", "0 dropped", "fake u8"):
        assert word in said


def test_the_summary_counts_what_was_written(stats: Stats) -> None:
    """On a full disk the last painted frame was not written."""
    assert summary(stats, 1, "out.mp4", 1.0).startswith("1 frame to out.mp4")


def test_places_that_were_not_found_are_said_and_how_often(stats: Stats) -> None:
    assert not_found(stats) == ""
    stats = replace(stats, frames_out=300, absent={"lips": 300, "hair": 34})
    assert not_found(stats) == "not found in the picture: hair in 34 of 300 frames, lips"


def test_a_long_prompt_takes_one_short_line() -> None:
    shown = shorten("ink\n" * 1000)
    assert "\n" not in shown
    assert len(shown) <= SHOWN_PROMPT_CHARS + 2


def test_without_a_terminal_nothing_is_drawn_and_notices_are_lines(stats: Stats) -> None:
    out = io.StringIO()
    keys = PromptLine(io.StringIO())
    with LiveLine(keys, Console(file=out)) as line:
        line.update(lambda: pytest.fail("nobody looks"))
        line.notice("[not] markup")
    assert out.getvalue() == "[not] markup\n"


def test_the_line_is_redrawn_in_time_and_no_sooner(stats: Stats) -> None:
    clock = FakeClock()
    asked = []

    def ask() -> Stats:
        asked.append(clock())
        return stats

    with LiveLine(PromptLine(io.StringIO()), Console(file=io.StringIO(), force_terminal=True), clock) as line:
        for _ in range(10):
            line.update(ask)
            clock.advance(0.1)
    assert len(asked) == 4


def test_every_notice_is_shown_to_its_end_and_stays(stats: Stats) -> None:
    out, clock = io.StringIO(), FakeClock()
    console = Console(file=out, force_terminal=True, width=60)
    with LiveLine(PromptLine(io.StringIO()), console, clock) as line:
        line.notice(" ".join(["word"] * 40) + " last of the first")
        line.notice("second")
        for _ in range(50):
            line.update(lambda: stats)
            clock.advance(1.0)
    assert out.getvalue().index("last of the first") < out.getvalue().index("second")
    assert out.getvalue().count("second") == 1, "it is not drawn again, and so not erased with the line"
