"""Presence of the requested style: on built-in scenes painted by the style teachers, and on unpainted pictures."""

from __future__ import annotations

import shutil
from functools import cache

import numpy as np
import pytest

from tolerance import near
from vivace.bench.metrics.footage import Footage
from vivace.bench.metrics.style import METRICS, classifier_version, shares, style_recognised, style_strength
from vivace.errors import CheckpointError, ControlError, UsageError
from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.style.classifier import (
    CLASSES,
    FOLDER,
    NONE,
    PROFILE,
    StyleClassifier,
    read_metadata,
    shipped_classifier,
    working_size,
)
from vivace.train.classic import ClassicFilter
from vivace.worlds import make_scene

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SIZE = (256, 256)


@cache
def sources():
    """Return two pictures of scenes with enough content for the teachers, `[2 h w 3]`."""
    return np.stack([make_scene(name, SIZE, seed=5).render(2.0) for name in ("walkers", "table")])


@cache
def painted(style):
    """Return `sources` painted by the style's teacher."""
    painter = ClassicFilter(SIZE, seed=77)
    return np.stack([painter.paint(style, rgb) for rgb in sources()])


def footage(output, style="ink", **more):
    return Footage(source=sources(), output=output, fps=24.0, style=style, **more)


def test_the_files_are_those_of_the_version():
    classifier = shipped_classifier()
    metadata = read_metadata((FOLDER / "style.safetensors").read_bytes())
    assert classifier.version == classifier_version() == metadata["version"]
    assert int(metadata["trained_steps"]) > 0
    assert (*STYLE_KEYS, "none") == CLASSES


def test_other_files_are_refused(tmp_path):
    for name in ("style.xml", "style.safetensors"):
        shutil.copy(FOLDER / name, tmp_path)
    StyleClassifier.load(tmp_path)
    weights = bytearray((tmp_path / "style.safetensors").read_bytes())
    weights[-1] ^= 1
    (tmp_path / "style.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="sha256"):
        StyleClassifier.load(tmp_path)
    (tmp_path / "style.xml").unlink()
    with pytest.raises(CheckpointError, match=r"style\.xml"):
        StyleClassifier.load(tmp_path, PROFILE)


@pytest.mark.parametrize("style", STYLE_KEYS)
def test_a_painted_scene_is_recognised_and_of_full_strength(style):
    assert style_recognised(footage(painted(style), style)) == pytest.approx([1, 1])
    assert style_strength(footage(painted(style), style)).mean() > 0.5


def test_passing_through_has_no_style_at_all():
    for style in STYLE_KEYS:
        assert not style_recognised(footage(sources(), style)).any()
        assert not style_strength(footage(sources(), style)).any()


def test_what_a_camera_or_codec_does_is_no_style():
    rng = np.random.default_rng(0)
    noisy = np.clip(sources() * 0.85 + rng.normal(0, 4, sources().shape) + 6, 0, 255).astype(np.uint8)
    for style in STYLE_KEYS:
        assert not style_recognised(footage(noisy, style)).any()
        assert np.abs(style_strength(footage(noisy, style))).max() < 0.25


def test_another_style_is_not_the_one_asked_for():
    assert not style_recognised(footage(painted("oil"), "ink")).any()
    assert np.abs(style_strength(footage(painted("oil"), "ink"))).max() < 0.2


@pytest.mark.parametrize("style", ["ink", "oil", "night", "pixel", "sepia"])
def test_strength_grows_with_the_blend(style):
    found = []
    for strength in (0, 0.25, 0.5, 0.75, 1):
        blend = sources() + (painted(style).astype(np.float32) - sources()) * strength
        found.append(style_strength(footage(np.round(blend).astype(np.uint8), style)))
    assert found[0] == pytest.approx([0, 0])
    assert (np.diff(found, axis=0) > -0.01).all()
    assert (np.diff(np.array(found)[[0, 2, 4]], axis=0) > 0).all()


def test_the_same_picture_gives_the_same_number_in_any_process():
    picture = painted("comic")[0]
    here = shipped_classifier().shares(picture)
    again = StyleClassifier.load().shares(picture)
    assert np.array_equal(here, again)
    assert near(here.sum(), 1)


def test_inside_a_mask_only_the_masked_area_counts():
    mask = np.zeros((2, *SIZE[::-1]), bool)
    mask[:, 60:220, 40:180] = True
    output = np.where(mask[..., None], painted("ink"), sources())
    assert style_recognised(footage(output, mask=mask)).all()
    assert not style_recognised(footage(output, mask=~mask)).any()
    assert style_strength(footage(output, mask=mask)).min() > 0.5
    tiny = np.zeros_like(mask)
    tiny[:, 5:9, 5:9] = True
    assert np.isnan(style_recognised(footage(output, mask=tiny))).all()
    assert np.isnan(style_strength(footage(output, mask=tiny))).all()


def test_a_source_that_has_the_style_already_says_nothing():
    again = Footage(source=painted("sepia"), output=painted("sepia"), fps=24.0, style="sepia")
    assert np.isnan(style_recognised(again)).all()
    assert np.isnan(style_strength(again)).all()


def test_a_frozen_picture_in_the_style_scores_and_the_metric_says_so():
    frozen = np.repeat(painted("noir")[:1], 2, axis=0)
    assert style_recognised(footage(frozen, "noir")).all()
    assert all("frozen" in metric.meaning for metric in METRICS)


def test_pictures_of_any_size_are_judged():
    assert working_size((256, 256)) == (256, 256)
    assert working_size((96, 64)) == (96, 64)
    for size in ((1280, 720), (512, 512), (640, 360), (100, 75), (1920, 360)):
        width, height = working_size(size)
        assert width % 16 == height % 16 == 0
        assert width * height <= 1.3 * 256 * 256
    wide = np.repeat(painted("ink"), 3, axis=2)
    assert (shares(wide).argmax(1) == CLASSES.index("ink")).all()
    with pytest.raises(ControlError, match="working_size"):
        shipped_classifier().shares(np.zeros((70, 64, 3), np.uint8))


def test_an_unknown_style_is_refused():
    with pytest.raises(UsageError, match="watercolor"):
        style_strength(footage(sources(), "watercolor"))
    assert CLASSES[NONE] == "none"
