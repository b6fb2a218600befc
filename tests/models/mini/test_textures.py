"""Laws of the texture basis."""

from __future__ import annotations

import numpy as np

from vivace.models.mini.textures import SCREEN_PERIOD_PX, STROKE_COUNT, STROKE_FIELDS, make_textures, screens


def test_the_same_seed_gives_the_same_fields_and_another_seed_others():
    a, b, c = make_textures(64, 96, 3), make_textures(64, 96, 3), make_textures(64, 96, 4)
    np.testing.assert_array_equal(a.strokes, b.strokes)
    assert not np.allclose(a.noise, c.noise)


def test_fields_are_normal_with_unit_variance():
    fields = make_textures(128, 128, 0)
    for group in (fields.noise, fields.bands, fields.strokes[:STROKE_COUNT]):
        np.testing.assert_allclose(group.std(axis=(1, 2)), 1, atol=0.05)
    # Neighbouring directions are alike, so blends of them come out somewhat stronger.
    np.testing.assert_allclose(fields.strokes[STROKE_COUNT:].std(axis=(1, 2)), 1.1, atol=0.2)


def test_fields_wrap_around_without_a_seam():
    strokes = make_textures(96, 96, 1).bands[1]
    inside = np.abs(np.diff(strokes, axis=1)).mean()
    across = np.abs(strokes[:, 0] - strokes[:, -1]).mean()
    assert across < 1.5 * inside


def test_each_stroke_field_is_smoothest_along_its_own_direction():
    strokes = make_textures(128, 128, 2).strokes[:STROKE_COUNT]
    change = [np.abs(np.roll(s, 3, axis=1) - s).mean() for s in strokes]
    assert int(np.argmin(change)) == 0  # angle 0 runs along x
    change = [np.abs(np.roll(s, 3, axis=0) - s).mean() for s in strokes]
    assert int(np.argmin(change)) == 4  # angle 90 degrees runs along y


def test_screens_repeat_after_their_period_at_every_scale():
    for scale in (1, 2):
        s = screens(48 * scale, 64 * scale, scale, scale)
        period = SCREEN_PERIOD_PX * scale
        np.testing.assert_allclose(s[:, period:, period:], s[:, :-period, :-period], atol=1e-4)


def test_a_window_of_a_torus_wraps():
    fields = make_textures(64, 64, 0)
    window = fields.window(60, 60, 8, 8)
    np.testing.assert_array_equal(window.noise[:, 4:, 4:], fields.noise[:, :4, :4])


def test_free_brush_work_turns_with_the_place():
    fields = make_textures(128, 128, 2)
    assert len(fields.strokes) == STROKE_FIELDS
    for flow in fields.strokes[STROKE_COUNT:]:
        # No one direction is smooth everywhere.
        along = [np.abs(np.roll(flow, 3, axis=a) - flow).mean() for a in (0, 1)]
        assert max(along) < 1.6 * min(along)
