import io
import json

import pytest
from rich.console import Console

from bench.documents import METRICS, document, info, row
from vivace.bench.document import write_document
from vivace.bench.report.compare import compare_command, compare_documents, print_comparison
from vivace.errors import UsageError


def rows(effort: float, *, seed: int = 0, name: str = "mini"):
    return [row(name, effort, seed=seed), row("passthrough", 0.0, role="baseline", seed=9)]


def write(path, *args, **fields):
    write_document(path, document(*args, **fields))
    return path


def verdicts(comparison, system="mini"):
    (found,) = (found for found in comparison.rows if found.b == system)
    return {change.metric: change.verdict for change in found.changes}


def test_a_document_compared_with_itself_is_all_noise_without_a_warning():
    comparison = compare_documents(document(), document())
    assert {verdict for found in comparison.rows for verdict in verdicts(comparison, found.b).values()} == {"noise"}
    assert comparison.warnings == ()
    assert comparison.worse == 0


def test_each_metric_is_judged_in_its_own_direction():
    found = verdicts(compare_documents(document(rows(1.0)), document(rows(0.5, seed=3))))
    assert found == {
        "frame_p50_ms": "better",
        "latency_p95_ms": "better",
        "warp_error": "better",
        "flicker_ratio": "better",
        "untouched_psnr": "better",
        "style_strength": "worse",
    }


def test_only_a_subject_that_got_worse_counts():
    baselines = document([row("mini", 1.0), row("passthrough", 1.0, role="baseline")])
    assert compare_documents(document(rows(1.0)), baselines).worse == 0
    assert compare_documents(document(rows(0.5)), document(rows(1.0))).worse == 7


def test_two_models_under_two_names_are_compared():
    comparison = compare_documents(document(rows(1.0)), document(rows(0.5, name="mini-next")))
    assert comparison.rows[0].a == "mini"
    assert verdicts(comparison, "mini-next")["warp_error"] == "better"


def test_a_row_can_be_picked_or_paired_with_another():
    one = document(rows(1.0))
    (found,) = compare_documents(one, one, row="passthrough").rows
    assert (found.a, found.b) == ("passthrough", "passthrough")
    (found,) = compare_documents(one, one, row="passthrough=mini").rows
    assert (found.a, found.b) == ("passthrough", "mini")


@pytest.mark.parametrize("name", ["none", "mini=none", "none=mini", ""])
def test_a_row_that_is_not_there_is_named(name):
    with pytest.raises(UsageError, match="A has mini, passthrough"):
        compare_documents(document(rows(1.0)), document(rows(1.0)), row=name)


def test_documents_without_a_common_row_cannot_be_compared():
    a, b = document([row("x", 0.0, role="baseline")]), document([row("y", 0.0, role="baseline")])
    with pytest.raises(UsageError, match="nothing to compare"):
        compare_documents(a, b)


@pytest.mark.parametrize(
    ("fields", "warning"),
    [
        ({"seed": 7}, "seeds differ (0, 7)"),
        ({"settings": {"protocol": "full", "size": [256, 256], "frames": 12}}, "setting protocol differs"),
        ({"settings": {"protocol": "quick", "size": [512, 512], "frames": 12}}, "setting size differs"),
        ({"settings": {"protocol": "quick", "size": [256, 256]}}, "setting frames differs (12, None)"),
        ({"settings": {"speed": {"fps": 30}}}, "setting speed.fps differs (None, 30)"),
    ],
)
def test_what_was_measured_otherwise_is_warned_about(fields, warning):
    warnings = compare_documents(document(), document(**fields)).warnings
    assert any(warning in line for line in warnings)


def test_another_machine_is_warned_about_where_time_was_measured():
    other = document().machine.model_copy(update={"cpu": "Faster CPU"})
    assert any(
        "machines differ in cpu" in line for line in compare_documents(document(), document(machine=other)).warnings
    )
    quality = [described for described in METRICS if described.group == "quality"]
    a, b = (
        document([row("mini", 1.0, metrics=quality)], metrics=quality, machine=machine)
        for machine in (document().machine, other)
    )
    assert compare_documents(a, b).warnings == ()


def test_a_benchmark_that_moved_under_its_systems_is_noticed():
    moved = document([row("mini", 1.0), row("passthrough", 0.1, role="baseline", seed=9)])
    warnings = compare_documents(document(rows(1.0)), moved).warnings
    (warning,) = (line for line in warnings if "passthrough changes nothing, and yet moved" in line)
    assert "Warp error" in warning
    assert "Cost of a frame" not in warning  # which depends on the machine


def test_a_busy_machine_is_warned_about():
    busy = document().machine.model_copy(update={"load_average": (3.0, 2.0, 1.0)})
    assert any(
        "B was measured on a busy machine" in line
        for line in compare_documents(document(), document(machine=busy)).warnings
    )


def test_a_metric_that_changed_its_meaning_is_not_compared():
    changed = [info("warp_error", "higher", unit="levels") if m.key == "warp_error" else m for m in METRICS]
    comparison = compare_documents(document(), document(metrics=changed))
    assert any("warp_error means another thing" in line for line in comparison.warnings)
    assert "warp_error" not in verdicts(comparison)


def test_metrics_and_cases_of_one_document_only_are_named():
    fewer = document([row("mini", 1.0, metrics=METRICS[:-1])])
    assert any("only A has style_strength" in line for line in compare_documents(document(), fewer).warnings)
    whole = row("mini", 1.0)
    part = whole.model_copy(update={"measurements": [m for m in whole.measurements if not m.case.startswith("rain")]})
    warnings = compare_documents(document([whole]), document([part])).warnings
    assert any("measured in A only, left out: rain/style/ink" in line for line in warnings)


@pytest.mark.parametrize("width", [40, 80, 160])
def test_every_metric_and_verdict_is_printed_at_any_width(width):
    console = Console(width=width, file=io.StringIO())
    comparison = compare_documents(document(rows(1.0)), document(rows(0.5)))
    print_comparison(comparison, console, names=("a.json", "b.json"))
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert text.count("better") >= 5
    assert "worse" in text
    assert "by chance" in " ".join(text.split())


def test_the_command_ends_with_0_unless_asked_to_fail(tmp_path, capsys):
    a, b = write(tmp_path / "a.json", rows(0.5)), write(tmp_path / "b.json", rows(1.0))
    assert compare_command(a, b) == 0
    assert compare_command(a, b, fail_on_worse=True) == 1
    assert compare_command(b, a, row="passthrough", fail_on_worse=True) == 0
    assert compare_command(a, a, fail_on_worse=True) == 0
    assert "warp error" in capsys.readouterr().out.lower()


def test_the_comparison_is_written_as_json(tmp_path, capsys):
    a, b = write(tmp_path / "a.json", rows(0.5)), write(tmp_path / "b.json", rows(1.0))
    compare_command(a, b, json_path=tmp_path / "c.json")
    fields = json.loads((tmp_path / "c.json").read_text("utf-8"))
    assert fields["worse"] == 7
    assert fields["rows"][0]["changes"][0]["verdict"] == "worse"
