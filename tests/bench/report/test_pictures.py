import base64
import io

import numpy as np
from PIL import Image

from bench.materials import picture as made
from vivace.bench.report.pictures import WIDTHS_PX, Picture, fitting_width, outline, picture


def decoded(shown: Picture) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(shown.uri.partition("base64,")[2])))


def test_a_picture_looks_the_same_in_the_page():
    rgb = made(0, (128, 96))
    back = np.asarray(decoded(picture(rgb, 256)).convert("RGB")).astype(int)
    assert back.shape == rgb.shape
    assert np.abs(back - rgb).mean() < 8


def test_a_wide_picture_is_made_smaller_and_keeps_its_shape():
    shown = picture(made(0, (512, 288)), 128)
    assert (shown.width, shown.height) == decoded(shown).size == (128, 72)


def test_the_outline_follows_the_edge_of_the_mask():
    mask = np.zeros((48, 64), np.bool_)
    mask[10:30, 20:40] = True
    drawn = np.asarray(decoded(outline(mask, 256)).convert("LA"))
    opaque = drawn[..., 1] > 0
    assert opaque[10, 20:40].all()
    assert (drawn[10, 20:40, 0] == 255).all()
    assert (drawn[9, 20:40, 0] == 0).all()
    assert not opaque[12:28, 22:38].any()
    assert not opaque[:8].any()
    assert not opaque[33:].any()


def test_the_width_is_the_largest_that_the_budget_allows():
    pictures = [np.random.default_rng(i).integers(0, 256, (256, 256, 3), np.uint8) for i in range(6)]
    assert fitting_width(pictures, 1e9) == WIDTHS_PX[0]
    assert fitting_width(pictures, 1.0) == WIDTHS_PX[-1]
    middle = fitting_width(pictures, 6 * len(picture(pictures[0], 160).uri) * 1.1)
    assert middle == 160
    assert fitting_width([], 1.0) == WIDTHS_PX[0]
