from bench.documents import document, info, row
from vivace.bench.document import Document, Measurement, Row
from vivace.bench.report.lines import blocks, ordered_rows


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


def percentiles(**blocks) -> Document:
    infos = [
        info(f"stage_ms_p{share}", "lower", title=f"Stage p{share}", group="speed", unit="ms") for share in (50, 95, 99)
    ]
    rows = [
        Row(
            system=system,
            role="subject" if system == "mini" else "baseline",
            about="",
            measurements=[
                Measurement(metric=described.key, case="256x256", value=level + place, **blocks)
                for place, described in enumerate(infos)
            ],
            summary=[],
        )
        for system, level in (("mini", 4.0), ("passthrough", 1.0))
    ]
    return document(rows, metrics=infos)


def test_percentiles_without_intervals_share_a_line():
    ((block,),) = [blocks(percentiles(), "speed")]
    (line,) = block.lines
    assert line.titled == "↓ Stage p50 · p95 · p99, ms"
    assert line.text("mini") == "4 · 5 · 6"
    assert line.wins == {"passthrough"}
    assert [one.titled for one in line.apart()] == ["↓ Stage p50, ms", "↓ Stage p95, ms", "↓ Stage p99, ms"]


def test_percentiles_with_intervals_have_a_line_each():
    (block,) = blocks(percentiles(blocks=[1.0, 2.0, 3.0]), "speed")
    assert [line.title for line in block.lines] == ["Stage p50", "Stage p95", "Stage p99"]
    assert " ± " in block.lines[0].text("mini")
    assert " ± " not in block.lines[0].text("mini", ranges=False)


def test_a_system_that_was_not_measured_has_no_text():
    (block,) = blocks(percentiles(), "speed")
    assert block.lines[0].text("nobody") is None
