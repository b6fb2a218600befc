from dataclasses import replace

import numpy as np
import pytest

import moving
from vivace.bench.metrics.boundary import occlusion_boundary
from vivace.bench.metrics.structure import boundary_recall, depth_order, edge_agreement


def contrasting(count=10):
    """Return a clip whose square is much brighter than its background."""
    clip = moving.footage(count)
    source = clip.source // 3
    source[clip.mask] = clip.source[clip.mask] // 3 + 160
    return replace(clip, source=source, output=source)


def noise_like(clip):
    return clip.with_output(np.random.default_rng(1).integers(0, 256, clip.source.shape, dtype=np.uint8))


def test_identical_edges_agree():
    assert edge_agreement(moving.footage(3)) == pytest.approx(1)


def test_contrast_brightness_and_polarity_do_not_matter():
    clip = moving.footage(3)
    for output in (255 - clip.source, clip.source // 2, clip.source // 2 + 100):
        assert np.all(edge_agreement(clip.with_output(output)) > 0.98)


def test_unrelated_noise_and_blank_pictures_have_no_edges_in_common():
    clip = moving.footage(3)
    assert np.abs(edge_agreement(noise_like(clip))).max() < 0.1
    assert np.all(edge_agreement(moving.blank(clip)) == 0)


def test_edges_turned_by_a_right_angle_are_the_opposite_of_agreement():
    stripes = np.tile((128 + 60 * np.sin(np.arange(96) / 2))[None, :, None], (96, 1, 3)).astype(np.uint8)
    clip = moving.footage(1)
    clip = replace(clip, source=stripes[None], output=stripes.transpose(1, 0, 2)[None])
    assert edge_agreement(clip)[0] < -0.7


def test_a_frozen_picture_agrees_less_and_less():
    agreement = edge_agreement(moving.frozen(moving.footage(12, back=(2, 1))))
    assert agreement[0] == pytest.approx(1)
    assert agreement[8:].max() < 0.2


def test_touching_without_a_jump_in_depth_is_no_boundary():
    ids = np.zeros((8, 8), np.uint16)
    ids[:, 4:] = 1
    near = np.where(ids == 1, 2.0, 2.05).astype(np.float32)
    assert len(occlusion_boundary(ids, near).near_x) == 0
    far = np.where(ids == 1, 2.0, np.inf).astype(np.float32)
    boundary = occlusion_boundary(ids, far)
    assert set(boundary.near_x) == {4}
    assert set(boundary.far_x) == {3}


def test_boundaries_that_stand_out_are_recalled_in_any_style():
    clip = contrasting()
    assert boundary_recall(clip).min() > 0.95
    assert boundary_recall(moving.painted(clip)).min() > 0.95


def test_no_edges_and_edges_everywhere_recall_no_more_than_chance():
    clip = contrasting()
    assert np.all(boundary_recall(moving.blank(clip)) == 0)
    assert abs(np.mean(boundary_recall(noise_like(clip)))) < 0.12


def test_a_frozen_picture_recalls_boundaries_no_more_once_they_have_moved():
    recall = boundary_recall(moving.frozen(contrasting(14)))
    assert recall[0] > 0.95
    assert recall[-1] < 0.4


def test_a_scene_in_which_nothing_hides_anything_has_no_boundaries():
    clip = moving.footage(3, front=None)
    assert np.isnan(boundary_recall(clip)).all()
    assert np.isnan(depth_order(clip)).all()


def test_edges_move_with_the_nearer_surface():
    clip = moving.footage(10)
    assert np.nanmean(depth_order(clip)) > 0.8
    assert np.nanmean(depth_order(moving.painted(clip))) > 0.8


@pytest.mark.parametrize("back", [(1, 0), (0, 0), (-2, 0)])
def test_a_frozen_picture_has_no_depth_order(back):
    order = depth_order(moving.frozen(moving.footage(10, back=back)))
    assert order[1:] == pytest.approx(-1)


def test_edges_that_move_with_the_background_have_the_wrong_order():
    clip = moving.footage(10)
    background = moving.footage(10, front=None)
    assert np.nanmean(depth_order(clip.with_output(background.source))) < -0.8


def test_blank_and_boiling_pictures_have_no_order():
    clip = moving.footage(10)
    assert np.nanmax(np.abs(depth_order(moving.blank(clip)))) == 0
    assert abs(np.nanmean(depth_order(noise_like(clip)))) < 0.1


def test_depth_order_leaves_cuts_out():
    assert list(np.flatnonzero(np.isnan(depth_order(moving.footage(10, cut=4))))) == [0, 4]
