import io

import pytest
from rich.console import Console

from bench.documents import METRICS, document, row
from vivace.bench.document import Interval
from vivace.bench.report.formats import arrow, as_text, half_as_text, with_half
from vivace.bench.report.tables import print_document


def printed(made, width: int) -> str:
    console = Console(width=width, file=io.StringIO())
    print_document(made, console)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    return text


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (12.3456, 0.05, "12.35"),
        (12.3456, 0.5, "12.35"),
        (12.3456, 5.0, "12.3"),
        (12345.6, 30.0, "12 346"),
        (0.123456, 0.0, "0.1235"),
        (24.0, 0.0, "24"),
        (0.0, 0.0, "0"),
        (-1.5, 0.2, "−1.50"),
        (-0.0001, 0.5, "0.00"),
        (1e-9, 0.0, "0.000000"),
    ],
)
def test_a_figure_has_the_digits_its_interval_bears_out(value, half, text):
    assert as_text(value, half) == text


def test_a_difference_has_a_sign_unless_it_is_nothing():
    assert as_text(0.25, 0.01, sign=True) == "+0.250"
    assert as_text(-0.25, 0.01, sign=True) == "−0.250"
    assert as_text(0.0001, 0.5, sign=True) == "0.00"


def test_half_an_interval_has_the_decimals_of_its_value():
    assert half_as_text(12.3456, 0.5) == "0.50"
    assert half_as_text(1.0, 0.0) == ""
    assert with_half(Interval(metric="m", value=1.0, low=0.9, high=1.1, cases=3)) == "1.00 ± 0.10"
    assert with_half(Interval(metric="m", value=1.0, low=1.0, high=1.0, cases=3)) == "1"


def test_the_arrow_says_which_way_is_better():
    assert {info.direction: arrow(info) for info in METRICS} == {"lower": "↓", "higher": "↑", "target": "→1"}


@pytest.mark.parametrize("width", [48, 80, 120, 200])
def test_every_metric_and_system_is_printed_at_any_width(width):
    text = printed(document(), width)
    words = " ".join(text.split())
    for name in ("Speed", "Latency", "Quality", "mini", "passthrough", "per-frame", "CLIP", "caught"):
        assert name in words
    assert words.count(" ± ") >= (18 if width >= 80 else 1)


def test_the_first_column_of_figures_is_the_subject():
    made = document([row("passthrough", 0.0, role="baseline"), row("mini", 1.0)])
    header = next(line for line in printed(made, 120).splitlines() if "mini" in line)
    assert header.index("mini") < header.index("passthrough")


def test_where_a_baseline_wins_is_marked():
    lines = printed(document(), 160).splitlines()
    assert next(line for line in lines if "Untouched" in line).count("*") == 1
    assert next(line for line in lines if "Style strength" in line).count("*") == 1  # per-frame, stronger
    assert next(line for line in lines if "Cost of a frame" in line).count("*") == 1
    assert any("a baseline does better than mini" in line for line in lines)


def test_where_no_baseline_ran_no_mark_is_explained():
    assert "*" not in printed(document([row("mini", 1.0)]), 120)


def test_a_metric_that_a_system_has_not_is_a_dash():
    made = document([row("mini", 1.0), row("passthrough", 0.0, role="baseline", metrics=METRICS[:3])])
    assert "–" in printed(made, 120)


def test_text_is_not_taken_for_markup():
    made = document([row("[red]mini[/red]", 1.0)])
    assert "[red]mini[/red]" in printed(made, 120)


def test_a_busy_machine_is_told_where_time_was_measured():
    busy = document().machine.model_copy(update={"load_average": (3.0, 2.0, 1.0)})
    assert "load 3.0 on 2 cores" in printed(document(machine=busy), 120)
    assert "load" not in printed(document(), 120)
    quality = [m for m in METRICS if m.group == "quality"]
    assert "load" not in printed(document([row("mini", 1.0, metrics=quality)], metrics=quality, machine=busy), 120)
