from bench.documents import document, row
from vivace.bench.document import Measurement, Row
from vivace.bench.lines import blocks, ordered_rows


def wins(made) -> set[tuple[str | None, str, str]]:
    found = [block for group in ("speed", "latency", "quality") for block in blocks(made, group)]
    return {(block.case, line.info.key, system) for block in found for line in block.lines for system in line.wins}


def test_a_metric_that_doing_nothing_wins_is_known():
    won = wins(document())
    assert (None, "untouched_psnr", "passthrough") in won
    assert (None, "flicker_ratio", "passthrough") in won
    assert ("256x256", "frame_p50_ms", "passthrough") in won
    assert (None, "style_strength", "passthrough") not in won
    assert ("256x256", "frame_p50_ms", "per-frame") not in won


def test_single_figures_win_by_their_side():
    def single(system, role, value):
        taken = Measurement(metric="frame_p50_ms", case="256x256", value=value)
        return Row(system=system, role=role, about="", measurements=[taken], summary=[])

    made = document([single("mini", "subject", 20.0), single("a", "baseline", 19.0), single("b", "baseline", 21.0)])
    assert wins(made) == {("256x256", "frame_p50_ms", "a")}


def test_without_a_subject_nobody_wins():
    assert wins(document([row("passthrough", 0.0, role="baseline")])) == set()


def test_speed_is_listed_case_by_case_and_quality_over_all():
    assert [block.case for block in blocks(document(), "speed")] == ["256x256", "512x512"]
    (quality,) = blocks(document(), "quality")
    assert quality.case is None
    assert {line.cells["mini"].cases for line in quality.lines} == {5}


def test_a_group_that_was_not_measured_has_no_block():
    made = document([row("mini", 1.0, metrics=[m for m in document().metrics if m.group == "quality"])])
    assert blocks(made, "speed") == []


def test_subjects_come_first():
    made = document([row("passthrough", 0.0, role="baseline"), row("mini", 1.0)])
    assert [found.system for found in ordered_rows(made)] == ["mini", "passthrough"]
