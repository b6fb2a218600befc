"""Promises of the finder of regions to a stream.

People are those of scikit-image's portrait of Eileen Collins (NASA, public domain): networks do not recognise drawn
figures.
"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

from vivace.errors import ControlError
from vivace.regions.finder import Found, RegionFinder
from vivace.regions.names import COLOURS, REGIONS, check_names
from vivace.regions.pick import at, pick

SIZE = 256, 256
PERSON = frozenset({"person", "background"})


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """Return a portrait, `uint8 [512 512 3]`."""
    return np.ascontiguousarray(data.astronaut())


def mask_of(place: tuple[slice, slice]) -> np.ndarray:
    mask = np.zeros((256, 256), np.uint8)
    mask[place] = 255
    return mask


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ControlError, match=r"elbow.*person.*yellow"):
        check_names({"person", "elbow"})
    with pytest.raises(ControlError, match="elbow"):
        RegionFinder.open(SIZE, {"elbow"})


def test_a_picture_of_another_size_is_refused() -> None:
    finder = RegionFinder.open(SIZE)
    with pytest.raises(ControlError, match=r"256, 256"):
        finder.find(np.zeros((100, 256, 3), np.uint8), PERSON)


def test_only_what_is_wanted_is_loaded() -> None:
    finder = RegionFinder.open(SIZE)
    assert finder.find(np.zeros((256, 256, 3), np.uint8), ()) == {}
    assert finder.loaded == ()
    finder.prepare({"yellow"})
    assert finder.loaded == ()
    finder.prepare({"person"})
    assert finder.loaded == ("BodyWatcher", "Outline")
    finder.prepare({"lips"})
    assert finder.loaded == ("BodyWatcher", "Outline", "FaceWatcher")


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_where_nobody_is_nothing_of_a_person_is_found(shade: int) -> None:
    wanted = frozenset(REGIONS) - {"sky"}
    finder = RegionFinder.open(SIZE, wanted)
    rng = np.random.default_rng(shade)
    for _ in range(4):
        noise = rng.integers(-3, 4, (256, 256, 3))
        found = finder.find(np.clip(noise + shade, 0, 255).astype(np.uint8), wanted)
        assert found["background"].presence == 1
        assert found["background"].mask.min() == 255
        for name in wanted - {"background"}:
            assert found[name].presence == 0, name
            assert not found[name].mask.any(), name


def test_a_person_and_her_parts_are_found_in_one_picture(portrait: np.ndarray) -> None:
    found = RegionFinder.open((512, 512)).find(portrait, REGIONS)
    person = found["person"].mask
    assert found["person"].presence > 0.6
    assert np.array_equal(found["background"].mask, 255 - person)
    assert np.array_equal(found["subject"].mask, person)
    # points (x, y) that are of it, and points that are not
    for name, inside, outside in (
        ("person", [(225, 110), (180, 330), (240, 40)], [(330, 60), (100, 120), (500, 240)]),
        ("face", [(225, 125), (200, 125)], [(225, 30), (225, 220)]),
        ("hair", [(170, 80), (240, 30)], [(225, 125), (200, 400)]),
        ("clothes", [(100, 320), (120, 420)], [(225, 110), (240, 30)]),
        ("lips", [(222, 147)], [(222, 120)]),
        ("eyes", [(204, 101), (248, 103)], [(222, 147)]),
    ):
        assert found[name].presence > 0, name
        for x, y in inside:
            assert found[name].mask[y, x] >= 128, (name, x, y)
        for x, y in outside:
            assert found[name].mask[y, x] < 128, (name, x, y)


def dressed(portrait: np.ndarray, clothes: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """Return the portrait with clothes of another colour, nearly as light and dark as they were."""
    light = 0.8 + 0.4 * portrait.mean(axis=2, keepdims=True) / 255
    return np.where(clothes[..., None] > 127, rgb * light, portrait).astype(np.uint8)


def test_clothes_of_the_colour_of_the_hair_are_no_hair(portrait: np.ndarray) -> None:
    found = RegionFinder.open((512, 512)).find(portrait, {"hair", "clothes"})
    of_hair = dressed(portrait, found["clothes"].mask, np.median(portrait[found["hair"].mask > 200], axis=0))
    found = RegionFinder.open((512, 512)).find(of_hair, {"hair", "clothes"})
    assert found["hair"].mask[:100].any()
    assert not found["hair"].mask[160:].any()
    assert found["clothes"].mask[180:190, 130:140].min() > 127


def test_a_throat_in_the_shade_of_the_chin_is_no_shirt(portrait: np.ndarray) -> None:
    clothes = RegionFinder.open((512, 512)).find(portrait, {"clothes"})["clothes"].mask
    near = Image.fromarray(dressed(portrait, clothes, np.full(3, 30))[:230])
    shaded = tuple((portrait[120:130, 200:210].mean(axis=(0, 1)) * 0.6).astype(int).tolist())
    ImageDraw.Draw(near).polygon([(180, 160), (265, 160), (285, 205), (224, 222), (165, 205)], fill=shaded)
    found = RegionFinder.open(near.size).find(np.asarray(near), {"clothes"})
    assert found["clothes"].mask[175:195, 200:250].mean() < 64
    assert found["clothes"].mask[190:200, 130:140].min() > 127


def test_a_click_picks_the_smallest_region_under_it(portrait: np.ndarray) -> None:
    found = RegionFinder.open((512, 512)).find(portrait, {"person", "background", "face", "lips"})
    assert at(222, 147, found) == ("lips", "face", "person")
    assert at(222, 120, found) == ("face", "person")
    assert at(180, 330, found) == ("person",)
    assert at(330, 60, found) == ("background",)
    assert at(5, 5, {"face": Found(mask_of(np.s_[100:120, 100:120]), 1.0)}) == ()


@pytest.mark.parametrize(
    ("place", "first"), [((222, 147), "lips"), ((240, 30), "hair"), ((120, 420), "clothes"), ((330, 60), "background")]
)
def test_a_click_on_a_picture_means_the_part_first_and_then_the_person(
    portrait: np.ndarray, place: tuple[int, int], first: str
) -> None:
    picked = pick(portrait, *place)
    assert picked[0] == first
    assert "subject" not in picked
    assert ("person" in picked) == (first != "background")


def test_a_click_on_a_thing_means_its_colour_and_beside_it_the_background() -> None:
    picture = np.full((256, 256, 3), 110, np.uint8)
    picture[60:120, 20:80] = 230, 200, 30
    picture[200:, 200:] = 20, 60, 200
    assert pick(picture, 250, 250)[0] == "blue"
    assert "yellow" in pick(picture, 30, 100)
    assert not {"yellow", "blue"} & set(pick(picture, 150, 20))


def test_the_same_pictures_give_the_same_masks(portrait: np.ndarray) -> None:
    def masks() -> list[np.ndarray]:
        finder = RegionFinder.open((512, 512), {"person", "hair", "red"})
        pictures = (np.roll(portrait, shift, axis=1) for shift in (0, 3, 6, 9, 9))
        return [each.mask for rgb in pictures for each in finder.find(rgb, {"person", "hair", "red"}).values()]

    for one, other in zip(masks(), masks(), strict=True):
        assert np.array_equal(one, other)


def test_masks_go_with_the_person_between_looks(portrait: np.ndarray) -> None:
    finder = RegionFinder.open((512, 512), {"person"})
    first = finder.find(portrait, {"person"})["person"].mask
    for shift in (8, 16):
        mask = finder.find(np.roll(portrait, shift, axis=1), {"person"})["person"].mask > 127
        moved = np.roll(first, shift, axis=1) > 127
        both, either = (mask & moved)[:, 40:-40], (mask | moved)[:, 40:-40]
        assert both.sum() / either.sum() > 0.97


def test_who_leaves_is_gone_and_comes_back(portrait: np.ndarray) -> None:
    wanted = {"person", "face", "clothes"}
    finder = RegionFinder.open((512, 512), wanted)
    empty = np.full_like(portrait, 90)
    presences = []
    for rgb in (portrait, *[empty] * 9, *[portrait] * 12):
        found = finder.find(rgb, wanted)
        presences.append({name: each.presence for name, each in found.items()})
    assert presences[9] == {"person": 0, "face": 0, "clothes": 0}
    assert min(presences[-1].values()) > 0.5


def test_a_cut_leaves_nothing_of_the_past(portrait: np.ndarray) -> None:
    finder = RegionFinder.open((512, 512), PERSON)
    finder.find(portrait, PERSON)
    finder.reset()
    found = finder.find(np.ascontiguousarray(portrait[:, ::-1]), PERSON)
    alone = RegionFinder.open((512, 512)).find(np.ascontiguousarray(portrait[:, ::-1]), PERSON)
    assert np.array_equal(found["person"].mask, alone["person"].mask)


@pytest.mark.parametrize("name", ["person", "face", "hair", "lips", "red"])
def test_a_region_that_was_not_wanted_for_a_while_is_found_anew(portrait: np.ndarray, name: str) -> None:
    turned = np.ascontiguousarray(portrait[:, ::-1])
    finder = RegionFinder.open((512, 512), {name, "sky"})
    for wanted, rgb in (({name}, portrait), ({"sky"}, portrait), ({"sky"}, turned)):
        finder.find(rgb, wanted)
    alone = RegionFinder.open((512, 512)).find(turned, {name})
    assert np.array_equal(finder.find(turned, {name})[name].mask, alone[name].mask)


def test_whoever_is_far_is_looked_for_in_the_whole_picture_again_where_only_faces_are_wanted(
    portrait: np.ndarray,
) -> None:
    """People are searched in a part of the picture; a later request for lips alone means all of it."""
    far = np.full((512, 1024, 3), 90, np.uint8)
    far[200:456, 100:356] = portrait[::2, ::2]
    finder = RegionFinder.open((1024, 512), {"person", "lips"})
    for _ in range(6):
        finder.find(far, {"person", "lips"})
    moved = np.full_like(far, 90)
    moved[:, 512:] = portrait
    alone = RegionFinder.open((1024, 512))
    for each in (finder, alone):
        each.find(moved, {"lips"})
    for _ in range(3):
        found, expected = (each.find(moved, {"lips"})["lips"].mask for each in (finder, alone))
    assert expected.any()
    assert np.array_equal(found, expected)


def test_what_has_a_colour_is_found_and_nothing_else() -> None:
    picture = np.full((256, 256, 3), 110, np.uint8)
    picture[60:120, 80:160] = 230, 200, 30
    picture[160:220, 40:90] = 30, 60, 200
    found = RegionFinder.open(SIZE).find(picture, {"yellow", "blue", "red"})
    for name, place in (("yellow", np.s_[60:120, 80:160]), ("blue", np.s_[160:220, 40:90])):
        wanted = mask_of(place) > 0
        mask = found[name].mask > 127
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.9
        assert found[name].presence == 1
    assert found["red"].presence == 0
    assert not found["red"].mask.any()


def test_a_thing_of_a_colour_has_its_shadow_and_not_what_is_apart_or_far_larger() -> None:
    picture = np.full((256, 256, 3), (110, 120, 130), np.uint8)
    shaded = 88, 76, 12
    picture[60:120, 60:120], picture[120:160, 60:120] = (220, 190, 30), shaded
    picture[60:100, 180:220] = shaded
    mask = RegionFinder.open(SIZE).find(picture, {"yellow"})["yellow"].mask
    assert mask[64:156, 64:116].min() > 127
    assert not mask[:, 170:].any()
    picture[120:] = shaded
    assert not RegionFinder.open(SIZE).find(picture, {"yellow"})["yellow"].mask[130:].any()


@pytest.mark.parametrize(
    ("name", "rgb"),
    [
        *(("red", (200, 20, 30)), ("orange", (240, 130, 20)), ("yellow", (240, 210, 40)), ("green", (40, 150, 50))),
        *(("blue", (30, 70, 200)), ("purple", (120, 40, 160)), ("pink", (245, 160, 190)), ("brown", (110, 70, 40))),
        *(("black", (12, 12, 14)), ("white", (245, 245, 244)), ("grey", (128, 128, 128)), ("navy", (20, 25, 70))),
        *(
            ("turquoise", (50, 200, 190)),
            ("cyan", (40, 210, 240)),
            ("magenta", (220, 30, 180)),
            ("beige", (225, 210, 180)),
        ),
        *(("maroon", (110, 20, 40)), ("olive", (110, 110, 40)), ("blonde", (220, 190, 130)), ("ginger", (180, 90, 40))),
        ("silver", (190, 192, 195)),
    ],
)
def test_every_colour_is_told(name: str, rgb: tuple[int, int, int]) -> None:
    found = RegionFinder.open(SIZE).find(np.full((256, 256, 3), rgb, np.uint8), {name})
    assert found[name].mask.min() > 200


def test_names_of_regions_and_colours_are_apart() -> None:
    assert not set(REGIONS) & COLOURS.keys()


def outdoors() -> np.ndarray:
    picture = np.empty((256, 256, 3), np.uint8)
    picture[:110] = np.linspace((90, 140, 210), (170, 200, 235), 110)[:, None].astype(np.uint8)
    rng = np.random.default_rng(0)
    picture[110:] = np.array((50, 110, 40)) + rng.integers(-25, 26, (146, 256, 1))
    picture[60:200, 100:130] = 90, 60, 40
    return picture


def test_the_sky_is_found_and_ends_where_something_stands_before_it() -> None:
    found = RegionFinder.open(SIZE).find(outdoors(), {"sky"})["sky"]
    wanted = mask_of(np.s_[:110, :]) > 0
    wanted[60:110, 100:130] = False
    mask = found.mask > 127
    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.9
    assert found.presence > 0.35


def test_turned_over_there_is_no_sky() -> None:
    found = RegionFinder.open(SIZE).find(np.ascontiguousarray(outdoors()[::-1]), {"sky"})["sky"]
    assert found.presence == 0
    assert not found.mask.any()
