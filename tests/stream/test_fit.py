import dataclasses

import numpy as np
import pytest

from fakes import FakeModel
from vivace.errors import ControlError
from vivace.media.convert import cover
from vivace.media.size import cover_box
from vivace.stream.fit import check_size, choose_size

SPEC = FakeModel().spec


@pytest.mark.parametrize("source", [(640, 360), (480, 640), (4000, 2250), (100, 100), (64, 40), (1920, 1080)])
def test_a_chosen_size_keeps_the_aspect_and_the_area(source):
    width, height = choose_size(source, SPEC)
    assert width % 8 == height % 8 == 0
    assert width <= source[0]
    assert height <= source[1]
    assert width * height <= SPEC.default_area_px * 1.2
    # At most as far off as rounding each side to the nearest multiple.
    scale = min(1.0, (SPEC.default_area_px / (source[0] * source[1])) ** 0.5)
    assert abs(width - source[0] * scale) < 8
    assert abs(height - source[1] * scale) < 8


@pytest.mark.parametrize("source", [(1, 1), (3, 2000), (20000, 5), (7, 7)])
def test_an_absurd_source_still_has_a_size_the_model_can_do(source):
    assert check_size(choose_size(source, SPEC), SPEC)


@pytest.mark.parametrize("source", [(6000, 700), (500, 3000), (6, 40), (30, 8), (2, 3)])
def test_no_side_is_cut_off_to_reach_the_models_longest_or_shortest(source):
    spec = dataclasses.replace(SPEC, size_multiple=1, default_area_px=512 * 512)
    width, height = choose_size(source, spec)
    scale = max(width, height) / max(source)
    assert abs(width - source[0] * scale) <= 0.5 + scale / 2
    assert abs(height - source[1] * scale) <= 0.5 + scale / 2


def test_a_picture_by_itself_is_as_large_as_it_was_up_to_what_the_model_paints():
    spec = dataclasses.replace(SPEC, size_multiple=2, still_area_px=512 * 512)
    assert choose_size((400, 300), spec) == (74, 56)
    assert choose_size((400, 300), spec, still=True) == (400, 300)
    assert choose_size((4000, 3000), spec, still=True) == (512, 384)
    assert choose_size((301, 199), spec, still=True) == (300, 198)
    assert choose_size((400, 300), dataclasses.replace(spec, still_area_px=None), still=True) == (74, 56)


def test_a_source_without_a_size_is_refused_with_a_remedy():
    with pytest.raises(ControlError, match=r"0x0.*give an output size"):
        choose_size((0, 0), SPEC)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((0, 64), "0x64 is out of range"),
        ((-8, 64), "-8x64 is out of range"),
        ((10**400, 64), r"10\^400.*give \(width"),
        ((513, 64), "513x64 is out of range; fake does 8x8 to 512x512"),
        ((100, 60), "multiples of 8 px, and 96x64 is the nearest"),
        ((64.0, 64), "whole px"),
        ((True, 64), "whole px"),
        ((float("nan"), 64), "whole px"),
        ((64,), "whole px"),
        ("64x64", "'64x64'; give"),
        ("9" * 10_000_000, "10,000,000 characters"),
        (64, "size is 64"),
    ],
)
def test_a_size_that_cannot_be_is_refused_with_a_remedy(size, message):
    with pytest.raises(ControlError, match=message) as caught:
        check_size(size, SPEC)
    assert len(str(caught.value)) < 300


def test_the_nearest_size_that_is_offered_works():
    spec = dataclasses.replace(SPEC, min_size=(20, 20), max_size=(100, 100))
    with pytest.raises(ControlError, match="24x96 is the nearest"):
        check_size((20, 100), spec)
    assert check_size((24, 96), spec) == (24, 96)


def test_numpy_whole_numbers_are_a_size():
    assert check_size((np.int64(64), np.uint16(32)), SPEC) == (64, 32)


def test_a_picture_of_the_right_size_is_not_touched():
    rgb = np.zeros((16, 32, 3), np.uint8)
    assert cover(rgb, (32, 16)) is rgb


def test_a_picture_is_centre_cropped_and_never_stretched():
    rgb = np.zeros((40, 120, 3), np.uint8)
    rgb[:, 40:80] = 255
    out = cover(rgb, (40, 40))
    assert out.shape == (40, 40, 3)
    assert (out[:, 3:37] == 255).all()


def test_the_middle_stays_the_middle_when_a_picture_is_scaled():
    rgb = np.zeros((90, 160, 3), np.uint8)
    rgb[:, 80:] = 200
    out = cover(rgb, (64, 40))
    assert out[:, :30].max() < 8
    assert out[:, 34:].min() > 190


@pytest.mark.parametrize("output", [(64, 64), (8, 512), (512, 8), (200, 112)])
@pytest.mark.parametrize("source", [(1920, 1080), (37, 911), (1, 1), (512, 8)])
def test_the_part_that_is_shown_is_centred_and_has_the_outputs_aspect(source, output):
    x, y, width, height = cover_box(source, output)
    assert abs(x - (source[0] - x - width)) <= 1
    assert abs(y - (source[1] - y - height)) <= 1
    assert width == source[0] or height == source[1]
    assert abs(width * output[1] / output[0] - height) <= max(1.0, output[1] / output[0])


def test_an_output_of_the_sources_aspect_shows_all_of_it():
    assert cover_box((1920, 1080), (640, 360)) == (0, 0, 1920, 1080)
