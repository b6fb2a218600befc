"""Laws of the style teachers."""

from __future__ import annotations

import pytest
import torch

from tolerance import ROUNDING
from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.mini.textures import make_textures, screens
from vivace.train.teachers import TEACHERS, TeacherTextures, brush, gradient_map, posterise


def textures(size: int, count: int = 1, seed: int = 0, scale: float = 1.0) -> TeacherTextures:
    fields = make_textures(size, size, seed)
    noise, bands, strokes = (
        torch.from_numpy(f)[None].expand(count, -1, -1, -1) for f in (fields.noise, fields.bands, fields.strokes)
    )
    printed = torch.from_numpy(screens(size, size, scale, scale))[None].expand(count, -1, -1, -1)
    return TeacherTextures(noise, bands, strokes, printed, scale)


def picture(size: int = 64, seed: int = 0) -> torch.Tensor:
    """Return a smooth coloured picture with an edge in it."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    x = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)
    x[..., size // 3 : size // 2, :] *= 0.3
    return x


@pytest.mark.parametrize("style", STYLE_KEYS)
def test_a_teacher_keeps_shape_range_and_input(style):
    x = picture()
    before = x.clone()
    y = TEACHERS[style](x, textures(64))
    assert y.shape == x.shape
    assert torch.isfinite(y).all()
    assert y.min() >= 0
    assert y.max() <= 1.02
    torch.testing.assert_close(x, before)


@pytest.mark.parametrize("style", STYLE_KEYS)
def test_a_batch_is_painted_as_its_pictures_alone(style):
    x = torch.cat([picture(seed=1), picture(seed=2)])
    both = TEACHERS[style](x, textures(64, count=2))
    for i in range(2):
        torch.testing.assert_close(both[i : i + 1], TEACHERS[style](x[i : i + 1], textures(64)), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("style", STYLE_KEYS)
def test_black_and_white_frames_are_painted_without_numbers_that_are_none(style):
    for level in (0.0, 1.0):
        assert torch.isfinite(TEACHERS[style](torch.full((1, 3, 64, 64), level), textures(64))).all()


@pytest.mark.parametrize("style", ["oil", "swirl", "watercolour", "noir"])
def test_texture_noise_is_the_one_that_was_given(style):
    x = picture()
    a, b, c = (TEACHERS[style](x, textures(64, seed=s)) for s in (0, 0, 1))
    torch.testing.assert_close(a, b)
    assert (a - c).abs().mean() > 1e-3


def test_styles_are_distinct():
    x = picture(128)
    painted = {style: teacher(x, textures(128)) for style, teacher in TEACHERS.items()}
    for a in STYLE_KEYS:
        for b in STYLE_KEYS:
            assert a == b or (painted[a] - painted[b]).abs().mean() > 0.02, (a, b)


def test_brush_strokes_run_along_their_angle():
    strokes = textures(128).strokes
    flat = brush(strokes, torch.zeros(1, 1, 128, 128))
    along, across = (flat.diff(dim=d).abs().mean() for d in (3, 2))
    assert along < 0.5 * across


def test_posterising_gives_that_many_levels():
    t = torch.linspace(0, 1, 2000)
    levels = posterise(t, 5, 60.0)
    flat = levels[1:][levels.diff().abs() < ROUNDING * levels.abs().max()]
    assert len(torch.unique((flat * 100).round())) in {5, 6}


def test_a_gradient_map_hits_its_stops():
    stops = [(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    out = gradient_map(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3), stops)
    torch.testing.assert_close(out[0, :, 0].T, torch.tensor(stops))
