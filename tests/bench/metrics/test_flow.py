import cv2
import numpy as np
import pytest

import moving
from vivace.bench.metrics.flow import dis_motion


@pytest.fixture(scope="module")
def clip():
    return moving.footage(4, back=(2, 1), front=None)


def test_known_motion_is_found_where_it_can_be_seen(clip):
    flow, visible = dis_motion(clip.source)
    assert flow.shape == (*clip.source.shape[:3], 2)
    assert not visible[0].any()
    for i in range(1, 4):
        assert visible[i].mean() > 0.9
        assert np.abs(flow[i][visible[i]] - (-2, -1)).mean() < 0.1


def test_what_comes_into_the_picture_was_not_seen(clip):
    _, visible = dis_motion(clip.source)
    assert not visible[1:, :, :1].any()


def test_what_was_hidden_is_mostly_known_to_have_been():
    clip = moving.footage(6, back=(0, 0), front=(-8, 0))
    _, visible = dis_motion(clip.source)
    hidden = ~clip.visible_back
    assert visible[1:][hidden[1:]].mean() < 0.5
    assert visible[1:][~hidden[1:]].mean() > 0.85


def test_nothing_is_seen_across_a_cut():
    clip = moving.footage(16, front=None, cut=10)
    _, visible = dis_motion(clip.source)
    assert not visible[10].any()
    assert visible[[9, 11]].mean() > 0.9


def test_the_same_frames_give_the_same_flow_and_threads_stay_as_they_were(clip):
    before = cv2.getNumThreads()
    first, second = dis_motion(clip.source), dis_motion(clip.source)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert cv2.getNumThreads() == before
