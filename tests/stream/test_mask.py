import numpy as np
import pytest
from PIL import Image

from fakes import FakeSource
from vivace.errors import ControlError, SourceNotFoundError
from vivace.media.frame import Frame
from vivace.stream.blend import FULL, Region
from vivace.stream.mask import VIDEO_SNAP, open_mask

SIZE = (32, 16)


def weights_of(region: Region, size=SIZE) -> np.ndarray:
    """Return weights of the whole picture `[h w]`, the same for the three colours of a pixel."""
    whole = np.zeros((size[1], size[0]), np.uint16)
    if not region.empty:
        x, y, width, height = region.box
        inside = region.weights(FULL).reshape(height, width, 3)
        assert (inside == inside[..., :1]).all()
        whole[y : y + height, x : x + width] = inside[..., 0]
    return whole


def weights(spec, size=SIZE, time_s=0.0):
    return weights_of(open_mask(spec).region(size, time_s), size)


def test_no_mask_is_no_mask():
    assert open_mask(None) is None


@pytest.mark.parametrize(
    "spec", ["8,4,16,8", (8, 4, 16, 8), [8.0, 4.0, 16.0, 8.0], "0.25,0.25,0.5,0.5", " 8 , 4,16, 8"]
)
def test_a_rectangle_in_px_or_fractions(spec):
    expected = np.zeros((16, 32), int)
    expected[4:12, 8:24] = 256
    np.testing.assert_array_equal(weights(spec), expected)


def test_a_rectangle_is_cut_off_at_the_edge_and_refused_outside():
    assert weights("30,0,50,4")[0].tolist() == [0] * 30 + [256] * 2
    with pytest.raises(ControlError, match="32,0,4,4 lies outside the output of 32x16"):
        open_mask("32,0,4,4").prepare(SIZE)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("1,2,3", "3 numbers"),
        ("1,2,0,4", "w and h above 0"),
        ("-1,2,3,4", "x and y from 0"),
        ("nan,0,1,1", "x and y from 0"),
        ("inf,0,1,1", "x and y from 0"),
        ("", "rectangle x,y,w,h"),
        ("x" * 1_000_000, "1,000,000 characters"),
        (7, "mask is 7"),
        ({"a": 1}, "of type dict"),
        (np.zeros((4, 4, 3), np.uint8), r"\(4, 4, 3\); give \[h w\]"),
        (np.zeros((0, 4), np.uint8), "give"),
        (np.full((4, 4), np.nan), "floats are 0 to 1"),
        (np.full((4, 4), 255.0), "floats are 0 to 1"),
        (np.zeros((4, 4), np.int64), "int64"),
    ],
)
def test_what_is_no_mask_is_refused_with_a_remedy(spec, message):
    with pytest.raises(ControlError, match=message) as caught:
        open_mask(spec)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.float32])
def test_an_array_of_any_kind(kind):
    array = np.zeros((16, 32), kind)
    array[:8] = 255 if kind is np.uint8 else 1
    out = weights(array)
    assert (out[:8] == 256).all()
    assert (out[8:] == 0).all()


def test_an_array_is_copied():
    array = np.zeros((16, 32), np.uint8)
    mask = open_mask(array)
    array[:] = 255
    assert mask.region(SIZE, 0.0).empty


def test_a_picture_is_scaled_to_the_output_with_soft_edges(tmp_path):
    image = np.zeros((64, 128), np.uint8)
    image[:, 64:] = 255
    Image.fromarray(image).save(tmp_path / "mask.png")
    for spec in (str(tmp_path / "mask.png"), tmp_path / "mask.png"):
        out = weights(spec)
        assert out.shape == (16, 32)
        assert (out[:, :14] == 0).all()
        assert (out[:, 18:] == 256).all()


def test_what_is_transparent_in_a_picture_is_not_painted(tmp_path):
    rgba = np.full((16, 32, 4), 255, np.uint8)
    rgba[:, :16, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "mask.png")
    out = weights(tmp_path / "mask.png")
    assert (out[:, :16] == 0).all()
    assert (out[:, 16:] == 256).all()


def test_a_picture_that_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(SourceNotFoundError, match=r"nothing\.png"):
        open_mask(tmp_path / "nothing.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ControlError, match=r"broken\.png cannot be read"):
        open_mask(tmp_path / "broken.png")
    with pytest.raises(SourceNotFoundError, match="nothing"):
        open_mask(str(tmp_path / "nothing.mp4"))
    with pytest.raises(SourceNotFoundError, match="nobody-of-that-name"):
        open_mask("~nobody-of-that-name/mask.png")


def mask_video(values, *, fps=25):
    from fractions import Fraction

    return FakeSource(
        [Frame(np.full((16, 32, 3), v, np.uint8), i, 500 + i, Fraction(1, fps), 0.0) for i, v in enumerate(values)]
    )


def test_a_video_of_masks_plays_with_the_stream_and_its_last_picture_stays():
    mask = open_mask(mask_video([0, 100, 255]))
    seen = [int(weights_of(mask.region(SIZE, 7.0 + step / 25))[0, 0]) for step in range(5)]
    assert seen == [0, 100, 256, 256, 256]


def test_a_video_of_masks_keeps_its_own_rate():
    mask = open_mask(mask_video([10, 40, 80, 120, 160, 200], fps=50))
    # Every second picture, as the stream has half the rate; the values are those of region weights (0..256).
    assert [int(weights_of(mask.region(SIZE, step / 25))[0, 0]) for step in range(3)] == [0, 80, 161]


def test_codec_noise_near_black_and_white_is_black_and_white():
    mask = open_mask(mask_video([VIDEO_SNAP, 255 - VIDEO_SNAP]))
    assert mask.region(SIZE, 0.0).empty
    assert (weights_of(mask.region(SIZE, 0.04)) == 256).all()


def test_a_video_without_frames_is_refused():
    with pytest.raises(ControlError, match="no frames"):
        open_mask(mask_video([]))


def test_a_source_of_the_callers_is_not_closed_with_the_mask():
    source = mask_video([0, 255])
    open_mask(source).close()
    assert not source.closed.is_set()
