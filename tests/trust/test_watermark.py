"""The watermark survives the usual processing of videos, and is never found where there was none."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vivace.errors import ControlError
from vivace.media.frame import Frame, Rgb
from vivace.media.open import open_sink, open_source
from vivace.trust.watermark import code
from vivace.trust.watermark import search as searching
from vivace.trust.watermark.detect import WatermarkDetector, detect_watermark, search_by_second, search_watermark
from vivace.trust.watermark.embed import WatermarkEmbedder
from vivace.trust.watermark.search import TOLERATED_FALSE_ALARM, Place, Reading, _places_like, _tail
from vivace.worlds import make_scene

PAYLOAD = 0xFACADE_C0FFEE
SIZE = (512, 288)
NOISE = 100.0
"""Standard deviation of the noise, levels; at 80, one second is enough."""


def frame(rgb: Rgb, index: int = 0, source: Rgb | None = None, *, painted: bool = True) -> Frame:
    return Frame(rgb, index, index, Fraction(1, 8), 0.0, source_rgb=source, painted=painted)


@pytest.fixture(scope="module")
def pictures() -> list[Rgb]:
    scene = make_scene("game", SIZE)
    return [scene.render(index / 8) for index in range(8)]


@pytest.fixture(scope="module")
def marked(pictures: list[Rgb]) -> list[Rgb]:
    embedder = WatermarkEmbedder(PAYLOAD)
    return [embedder.mark(rgb) for rgb in pictures]


def resized(rgb: Rgb, scale: float) -> Rgb:
    size = round(rgb.shape[1] * scale), round(rgb.shape[0] * scale)
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))


def jpeg(rgb: Rgb) -> Rgb:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer).convert("RGB"))


CHANGES = {
    "nothing": lambda rgb: rgb,
    "half the size": lambda rgb: resized(rgb, 0.5),
    "half as large again": lambda rgb: resized(rgb, 1.5),
    "an odd size": lambda rgb: resized(rgb, 0.83),
    "4:3": lambda rgb: rgb[:, 64:448],
    "bars": lambda rgb: np.pad(rgb, ((40, 40), (12, 30), (0, 0))),
    "a quarter turn": lambda rgb: np.rot90(rgb),
    "mirrored": lambda rgb: rgb[:, ::-1],
    "darker": lambda rgb: (255 * (rgb / 255) ** 1.25).round().astype(np.uint8),
    "brighter": lambda rgb: (255 * (rgb / 255) ** 0.8).round().astype(np.uint8),
    "JPEG": jpeg,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_payload_survives(marked: list[Rgb], change: str) -> None:
    reading = detect_watermark(CHANGES[change](rgb) for rgb in marked[::3])
    assert reading.payload == PAYLOAD
    assert reading.false_alarm < TOLERATED_FALSE_ALARM


def test_a_payload_survives_a_file_of_ours_and_is_found_in_its_seconds(
    marked: list[Rgb], pictures: list[Rgb], tmp_path: Path
) -> None:
    shown = [*marked, *pictures, *marked]
    with open_sink(tmp_path / "out.mp4") as sink:
        for index, rgb in enumerate(shown):
            sink.write(frame(rgb, index))
    with open_source(tmp_path / "out.mp4") as source:
        *growing, found = search_by_second(source)
    assert [(each.searched_s, len(each.marked)) for each in growing] == [(1, 1), (2, 1)]
    assert found.payload == PAYLOAD
    assert [second.second for second in found.marked] == [0, 2]
    assert found.searched_s == 3
    assert found.false_alarm < TOLERATED_FALSE_ALARM


def test_what_is_too_faint_in_a_second_is_read_in_several(marked: list[Rgb]) -> None:
    """Noise that differs between pictures hides the pattern, which stands still, in each second alone."""
    random = np.random.default_rng(3)

    def noisy(rgb: Rgb) -> Rgb:
        return np.clip(rgb + random.normal(0, NOISE, rgb.shape), 0, 255).round().astype(np.uint8)

    found = search_watermark(frame(noisy(marked[index % 8]), index) for index in range(4 * 8))
    assert (found.payload, found.together, found.searched_s) == (PAYLOAD, True, 4)
    assert found.false_alarm < TOLERATED_FALSE_ALARM


@pytest.mark.parametrize(("part", "payload"), [(np.s_[:, 256:], PAYLOAD), (np.s_[72:216, 128:384], None)])
def test_a_half_that_was_repainted_is_read_and_a_quarter_is_found(
    pictures: list[Rgb], marked: list[Rgb], part: tuple[slice, slice], payload: int | None
) -> None:
    mixed = [rgb.copy() for rgb in pictures[::3]]
    for rgb, with_mark in zip(mixed, marked[::3], strict=True):
        rgb[part] = with_mark[part]
    reading = detect_watermark(map(jpeg, mixed))
    assert reading.place.part
    assert reading.payload == payload
    assert reading.false_alarm < TOLERATED_FALSE_ALARM


def test_a_crop_and_a_turn_need_more_than_a_copy() -> None:
    """More likely cases need less: an unchanged picture counts as one place, a crop of it as all offsets."""
    usual, part, crop, other = (
        Place(1.0, (0, False), (0.0, 0.0), 6.5),
        Place(1.0, (0, False), (0.0, 0.0), 6.5, part=True),
        Place(1.0, (0, False), (3.0, 0.0), 6.5),
        Place(1.2, (0, False), (0.0, 0.0), 6.5),
    )
    bounds = [Reading(place, _places_like(place, 200)).false_alarm for place in (usual, part, crop, other)]
    assert bounds == sorted(bounds)
    assert bounds[1] < TOLERATED_FALSE_ALARM < bounds[2]


def test_every_place_that_is_tried_is_counted(pictures: list[Rgb], monkeypatch: pytest.MonkeyPatch) -> None:
    """A search of a picture without a watermark tries no more places, and reads no more messages, than are counted."""
    tried: Counter[str] = Counter()
    scores, compare, parts, found = (getattr(searching, name) for name in ("_scores", "_compare", "_parts", "_found"))

    def counted_scores(*given: Any) -> Any:
        tried["offsets"] += (done := scores(*given)).size
        return done

    def counted_compare(band: Any, scale: float, offsets: int, turns: Any = searching._TURNS) -> Any:
        tried["scales and turns at first"] += len(turns) if len(turns) == 8 else 0
        return compare(band, scale, offsets, turns)

    def counted_parts(band: Any) -> Any:
        tried["parts"] += len(found_parts := list(parts(band)))
        return iter(found_parts)

    def counted_found(*given: Any) -> Any:
        tried["messages"] += 1
        return found(*given)

    monkeypatch.setattr(searching, "_LIKELY_PART", -np.inf)
    monkeypatch.setattr(searching, "_scores", counted_scores)
    monkeypatch.setattr(searching, "_compare", counted_compare)
    monkeypatch.setattr(searching, "_parts", counted_parts)
    monkeypatch.setattr(searching, "_found", counted_found)
    assert detect_watermark(pictures[:1]).payload is None
    crop, other = Place(1.0, (0, False), (3.0, 0.0)), Place(1.2, (0, False))
    elsewhere = tried["offsets"] - _places_like(crop, 0)
    assert 0 < elsewhere <= _places_like(other, tried["scales and turns at first"])
    assert tried["parts"] == _places_like(Place(1.0, (0, False), part=True), 0)
    assert tried["messages"] == searching._PLACES_READ


def test_parts_of_a_picture_score_as_random_signs_do(pictures: list[Rgb]) -> None:
    """Of random pilots, no larger share than the bound scores as high in a part of one picture, whatever it shows."""
    detector = WatermarkDetector()
    detector.add(pictures[0])
    band = detector._bands[1]
    top, bottom, left, right = 0, band.values.shape[0] // 2, band.values.shape[1] // 2, band.values.shape[1]
    alone = replace(band, values=np.zeros_like(band.values))
    alone.values[top:bottom, left:right] = band.values[top:bottom, left:right]
    pilots = searching._harmonics(searching._tile_spectrum(alone, 1.0), [(0, False)])[0, searching.harmonics().is_pilot]
    signs = np.random.default_rng(5).choice([-1.0, 1.0], (2, 50_000, len(pilots)))
    scores = (signs[0] @ pilots.real + signs[1] @ pilots.imag) / searching._norm(pilots)
    assert scores.std() == pytest.approx(1, rel=0.02)
    for score in (1.0, 2.0, 3.0, 3.5):
        assert (scores >= score).mean() <= _tail(score)


def test_the_bound_is_below_what_random_signs_give() -> None:
    """The share of random pictures of signs with such a score is below the bound, at every observable score."""
    random = np.random.default_rng(4)
    weights = np.r_[np.ones(20), np.full(5, 4.0)]
    scores = random.choice([-1.0, 1.0], (200_000, len(weights))) @ weights / np.sqrt(np.square(weights).sum())
    for score in (0.5, 1.0, 2.0, 3.0):
        assert (scores >= score).mean() <= _tail(score) <= np.exp(-(score**2) / 2) * 1.6


def test_nothing_is_found_where_nothing_is(pictures: list[Rgb]) -> None:
    reading = detect_watermark(pictures[::3])
    assert reading.payload is None
    assert reading.false_alarm > 1e-3
    found = search_watermark(frame(rgb, index) for index, rgb in enumerate(pictures[:2]))
    assert (found.payload, found.marked, found.false_alarm) == (None, (), 1.0)


def test_one_colour_and_noise_hold_no_watermark() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    for rgb in (np.full((96, 128, 3), 128, np.uint8), np.zeros((64, 64, 3), np.uint8), noise):
        assert detect_watermark([rgb]).false_alarm > 1e-3


def test_payloads_do_not_mix(pictures: list[Rgb]) -> None:
    for payload in (0, 1, 2**48 - 1):
        assert detect_watermark([WatermarkEmbedder(payload).mark(pictures[0])]).payload == payload


def test_what_was_not_repainted_stays_exact(pictures: list[Rgb]) -> None:
    source = pictures[0]
    mask = np.random.default_rng(1).random(source.shape[:2]) < 0.5
    mask[100:200] = False
    painted = np.where(mask[..., None], 255 - source, source)
    done = WatermarkEmbedder(PAYLOAD)(frame(painted, source=source)).rgb
    assert np.array_equal(done[~mask], source[~mask])
    assert (done[mask] != painted[mask]).any()
    everywhere = WatermarkEmbedder(PAYLOAD, everywhere=True)(frame(painted, source=source)).rgb
    assert (everywhere[~mask] != source[~mask]).any()


def test_a_frame_that_shows_its_source_stays_unless_all_are_marked(pictures: list[Rgb]) -> None:
    shown = frame(pictures[0], source=pictures[0], painted=False)
    assert WatermarkEmbedder(PAYLOAD)(shown) is shown
    assert not np.array_equal(WatermarkEmbedder(PAYLOAD, everywhere=True)(shown).rgb, shown.rgb)


@pytest.mark.parametrize("size", [(512, 288), (257, 131), (33, 9), (8, 8), (7, 5), (1, 1)])
def test_every_size_is_marked_by_a_few_levels(size: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    rgb = random.choice(np.array([0, 1, 2, 128, 253, 254, 255], np.uint8), (size[1], size[0], 3))
    done = WatermarkEmbedder(PAYLOAD).mark(rgb)
    assert np.abs(done.astype(int) - rgb).max() <= 4


def test_the_mark_is_faint_and_faintest_where_nothing_hides_it(pictures: list[Rgb], marked: list[Rgb]) -> None:
    errors = [np.square(after.astype(float) - before).mean() for before, after in zip(pictures, marked, strict=True)]
    assert 10 * np.log10(255**2 / max(errors)) > 44
    flat = np.full((256, 256, 3), 128, np.uint8)
    assert np.square(WatermarkEmbedder(PAYLOAD).mark(flat).astype(float) - flat).mean() < 0.4 * min(errors)


def test_colours_stay(pictures: list[Rgb], marked: list[Rgb]) -> None:
    change = marked[0].astype(int) - pictures[0]
    inside = (pictures[0] >= 4) & (pictures[0] <= 251)
    assert (np.ptp(change[inside.all(axis=2)], axis=1) == 0).all()
    assert not change[~inside].any()
    assert abs(change.mean()) < 0.05


@pytest.mark.parametrize("payload", [-1, 2**48, "abc", 1.5, None])
def test_a_payload_that_does_not_fit_is_refused(payload: object) -> None:
    with pytest.raises(ControlError, match="2\\^48"):
        WatermarkEmbedder(payload)  # type: ignore[arg-type]


def test_the_code_corrects_what_noise_turns_around() -> None:
    random = np.random.default_rng(3)
    for payload in random.integers(1 << 48, size=8):
        signs = code.encode(code.message_bits(int(payload)))
        # one sign in four is wrong
        noisy = signs + 1.5 * random.standard_normal(len(signs))
        assert (np.sign(noisy) != signs).mean() > 0.2
        assert code.read_message(code.decode(noisy[None])[0]) == payload


def test_the_check_finds_every_burst_that_it_should() -> None:
    bits = code.message_bits(PAYLOAD)
    assert code.read_message(bits) == PAYLOAD
    for length in range(1, 13):
        for at in range(len(bits) - length + 1):
            wrong = bits.copy()
            wrong[at] ^= 1
            wrong[at + length - 1] ^= length > 1
            assert code.read_message(wrong) is None


def test_messages_of_different_payloads_are_far_apart() -> None:
    signs = [code.encode(code.message_bits(1 << place)) for place in range(48)]
    assert all((one != other).sum() > 80 for one, other in pairwise(signs))
