import numpy as np
import pytest

from vivace.bench.metrics import METRICS
from vivace.bench.metrics.footage import Footage
from vivace.bench.quality.benchmark import Showing
from vivace.bench.quality.cases import Case
from vivace.bench.report.album import Album


def showing(task: str = "style", clip: str = "walkers", values: tuple[float, ...] = (0.5, 0.5, 0.2, 0.4), **series):
    """Return a case of four frames; `values` are those of `edge_agreement`."""
    frames = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    case = Case(clip, task, "ink", "ink drawing", 4, "ink")
    found = {"mini": series or {"edge_agreement": np.array(values)}}
    footage = Footage(frames, 255 - frames, 24.0)
    return Showing(case, footage, {"mini": footage.output, "passthrough": frames}, found)


def test_the_worst_frame_is_the_worst_of_all_cases():
    album = Album("mini")
    album.show(showing(clip="walkers", values=(0.9, 0.9, 0.6, 0.4)))
    album.show(showing(clip="game", values=(0.9, 0.9, 0.2, 0.4)))
    album.show(showing(clip="mover", values=(0.9, 0.9, 0.3, 0.3)))
    (worst,) = album.material().worst
    assert (worst.metric, worst.case, worst.index, worst.value) == ("edge_agreement", "game/style/ink", 2, 0.2)


def test_the_beginning_of_a_stream_is_not_looked_at():
    album = Album("mini")
    album.show(showing(values=(0.0, 0.0, 0.6, 0.8)))
    assert album.material().worst[0].index == 2


def test_where_nothing_went_wrong_there_is_no_worst_frame():
    perfect = next(metric for metric in METRICS if metric.key == "edge_agreement").high
    album = Album("mini")
    album.show(showing(values=(perfect,) * 4))
    assert album.material().worst == ()


def test_a_frame_of_which_a_metric_says_nothing_is_not_the_worst():
    album = Album("mini")
    album.show(showing(values=(np.nan, np.nan, np.nan, 0.7)))
    album.show(showing(clip="game", values=(np.nan,) * 4))
    assert album.material().worst[0].index == 3


def test_each_task_of_a_clip_has_one_strip_and_every_case_is_listed():
    album = Album("mini")
    for task in ("style", "style", "region", "edit"):
        album.show(showing(task))
    assert [strip.case for strip in album.strips] == ["walkers/style/ink", "walkers/region/ink", "walkers/edit/ink"]
    assert len(album.cases) == 4


def test_drift_is_shown_over_minutes():
    album = Album("mini")
    album.show(showing("drift", minutes=np.arange(3.0), drift_contrast=np.array([0.0, 0.5, 1.0])))
    (curve,) = album.material().curves
    assert (curve.part, curve.title, list(curve.x)) == ("drift", "Contrast", [0.0, 1.0, 2.0])
    assert curve.lines == {"mini": pytest.approx([0.0, 0.5, 1.0])}
    assert album.strips == []
