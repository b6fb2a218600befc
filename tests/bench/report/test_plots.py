import re

import numpy as np

from bench.documents import document, info
from vivace.bench.report.material import Curve, Distribution, Stages
from vivace.bench.report.palette import Palette
from vivace.bench.report.plots import MAX_POINTS, Plots, clip_means, thin


def plots() -> Plots:
    return Plots(Palette(["mini", "passthrough"]))


def test_a_system_has_one_colour_everywhere():
    drawn = plots()
    x = [0.0, 1.0, 2.0]
    curve = drawn.curve(Curve("drift", "t", "", "s", x, {"passthrough": x, "mini": x}))
    distribution = drawn.distribution(Distribution("latency", "t", "ms", {"mini": x, "passthrough": x}))
    assert {key.name: key.colour for key in curve.keys} == {key.name: key.colour for key in distribution.keys}
    assert {key.name: key.colour for key in drawn.point_keys(["mini"])} == {"mini": "var(--s0)"}


def test_a_name_that_begins_with_a_systems_has_its_colour():
    palette = Palette(["mini", "mini-next", "passthrough"])
    numbers = {name: palette.number(name) for name in ("mini", "mini-next", "passthrough")}
    assert len(set(numbers.values())) == 3
    assert palette.number("mini, 512x512") == numbers["mini"]
    assert palette.number("mini-next, 512x512") == numbers["mini-next"]
    assert palette.number("miniature") not in numbers.values()
    assert palette.number("another") not in numbers.values()


def test_the_usual_baselines_look_the_same_in_every_report():
    speed, quality = Palette(["mini", "passthrough"]), Palette(["mini", "per-frame", "filter", "passthrough", "frozen"])
    assert speed.colour("passthrough") == quality.colour("passthrough")
    assert len({quality.colour(name) for name in quality.systems}) == 5


def test_no_colour_of_a_drawing_is_fixed():
    """Fixed colours would not follow the colour scheme."""
    x = [0.0, 1.0, 2.0]
    drawn = plots()
    svgs = [
        drawn.curve(Curve("drift", "t", "u", "s", x, {"mini": x, "source": x})).svg,
        drawn.distribution(Distribution("latency", "t", "ms", {"mini": x}, {"deadline": 1.0})).svg,
        drawn.stages(Stages("t", {"a": {"one": 1.0, "two": 2.0}})).svg,
        drawn.by_clip(info("m", "target"), {"mini": {"a": 1.0, "b": 2.0}}).svg,
    ]
    for svg in svgs:
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", svg)
        assert "var(--" in svg


def test_a_long_line_is_thinned_and_keeps_its_outliers():
    y = np.zeros(10_000)
    y[5000] = 99.0
    x, middle, low, high = thin(np.arange(10_000.0), y)
    assert len(x) == len(middle) == MAX_POINTS
    assert middle.max() == 0.0
    assert low.max() == 0.0
    assert high.max() == 99.0


def test_a_short_line_is_drawn_as_it_is():
    y = np.array([1.0, np.nan, 3.0])
    assert thin(np.arange(3.0), y)[1] is y


def test_gaps_of_a_long_line_stay_gaps_without_a_warning():
    y = np.ones(10_000)
    y[2000:4000] = np.nan
    x, middle, _, _ = thin(np.arange(10_000.0), y)
    assert np.isnan(middle[(x > 2100) & (x < 3900)]).all()
    assert np.isfinite(middle[(x < 1900) | (x > 4100)]).all()


def test_what_is_nothing_does_not_look_like_much():
    tiny = [0.0, 1e-6, 0.0]
    plain = plots().curve(Curve("drift", "t", "%", "min", [0, 1, 2], {"mini": tiny})).svg
    spanned = plots().curve(Curve("drift", "t", "%", "min", [0, 1, 2], {"mini": tiny}, least_span=2.0)).svg
    assert "−0.5" in re.findall(r">([−\d.]+)</text>", spanned)
    assert "−0.5" not in re.findall(r">([−\d.]+)</text>", plain)


def test_the_words_of_a_drawing_say_what_it_shows():
    svg = plots().distribution(Distribution("latency", "Latency", "ms", {"mini": [10.0, 20.0, 30.0]})).svg
    assert 'aria-label="Latency: mini median 20, 95 % below 29 ms"' in svg


def test_lines_without_values_are_drawn_as_nothing():
    nan = float("nan")
    drawn = plots()
    assert "<svg" in drawn.curve(Curve("drift", "t", "", "s", [0, 1], {"mini": [nan, nan]})).svg
    assert "<svg" in drawn.distribution(Distribution("latency", "t", "ms", {"mini": [nan]})).svg
    assert "<svg" in drawn.distribution(Distribution("latency", "t", "ms", {"mini": [5.0, 5.0]})).svg
    assert "<svg" in drawn.curve(Curve("drift", "t", "", "s", [], {})).svg


def test_clips_are_the_first_part_of_a_case():
    means = clip_means(document(), document().metric("warp_error"))
    assert list(means) == ["mini", "passthrough", "per-frame"]
    assert list(means["mini"]) == ["walkers", "mover", "game", "rain", "table"]
