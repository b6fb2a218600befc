from bench.documents import document, info
from vivace.bench.document import Measurement, Row
from vivace.bench.report.material import Material
from vivace.bench.report.page import render
from vivace.bench.report.timing import curves, distributions, stages

SERIES = {
    "mini": {"frame_ms/256x256": [20.0, 21.0, 22.0], "capture_to_present_ms/live/24fps/256x256": [40.0, 41.0]},
    "passthrough": {"frame_ms/256x256": [2.0, 2.1], "gap_ms/live/24fps/256x256": []},
}


def test_systems_measured_on_the_same_case_share_a_plot():
    found = {curve.title: curve for curve in curves(SERIES)}
    assert list(found) == ["Cost of a frame, 256x256", "Capture to present, live/24fps/256x256"]
    together = found["Cost of a frame, 256x256"]
    assert list(together.lines) == ["mini", "passthrough"]
    assert len(together.x) == 3
    assert together.part == "speed"


def test_live_values_are_spread_beside_the_cameras_period():
    (found,) = distributions(SERIES)
    assert found.limits == {"camera period": 1000.0 / 24.0}
    assert found.part == "latency"


def test_stages_come_from_the_document():
    infos = [
        info(f"{kind}_{stage}_ms_p{share}", "lower", group="speed" if kind == "stage" else "latency", unit="ms")
        for kind in ("stage", "live")
        for stage in ("capture", "denoise")
        for share in (50, 95)
    ]
    measured = [Measurement(metric=m.key, case="256x256", value=float(len(m.key))) for m in infos]
    made = document([Row(system="mini", role="subject", about="", measurements=measured, summary=[])], metrics=infos)
    found = stages(made)
    assert list(found) == ["speed", "latency"]
    (speed,) = found["speed"]
    assert speed.bars == {"256x256": {"capture": 20.0, "denoise": 20.0}}
    page = render(made, Material(series=SERIES))
    for title in ("Where the time goes, every frame", "Where the time goes, live", "Cost of a frame, 256x256"):
        assert title in page


def test_nothing_measured_is_nothing_drawn():
    assert curves({}) == []
    assert distributions({"mini": {"frame_ms/a": [1.0]}}) == []
    assert stages(document()) == {}
