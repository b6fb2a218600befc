"""Laws of edits at places around the embedded model, with a finder that knows where everything is."""

from __future__ import annotations

import numpy as np
import pytest

from models.edits.figure import HEIGHT, PLACES, SIZE, WIDTH, KnowingFinder, picture
from vivace.models.base import Chunk
from vivace.models.edits.behind import SURE_FRAMES
from vivace.models.edits.model import EditingModel


@pytest.fixture(scope="module")
def model(painter):
    return EditingModel(painter, KnowingFinder)


def play(model, state, text: str, count: int = 3, first: int = 0) -> list:
    embeds = model.encode_prompt(text).embeds
    return [model.step([state], [Chunk(picture(first + i)[None], embeds)])[0] for i in range(count)]


def shown(result, source: np.ndarray) -> np.ndarray:
    """Return what a stream shows: the result where it was edited, else the source."""
    if isinstance(result.edited, str):
        return result.rgb[0] if result.edited == "all" else source
    return np.where(result.edited[0][..., None] > 0, result.rgb[0], source)


def test_a_look_on_all_of_the_picture_is_the_painting_models_own(model, painter):
    plain, state = painter.open(SIZE), model.open(SIZE)
    embeds = painter.encode_prompt("ink").embeds
    for i, result in enumerate(play(model, state, "ink")):
        [own] = painter.step([plain], [Chunk(picture(i)[None], embeds)])
        np.testing.assert_array_equal(result.rgb, own.rgb)
        assert result.edited == own.edited == "all"
    assert state.finder.asked == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("me in ink", PLACES["person"]),
        ("the background in ink", ~PLACES["person"]),
        ("ink on everything but my face", ~PLACES["face"]),
        ("make my shirt red", PLACES["clothes"]),
        ("blur the background", ~PLACES["person"]),
        ("make the sky green", PLACES["sky"]),
        ("turn the red car blue", PLACES["red"]),
        ("keep my face, me in ink", PLACES["person"] & ~PLACES["face"]),
    ],
)
def test_nothing_changes_outside_the_place(model, text: str, place: np.ndarray):
    for i, result in enumerate(play(model, model.open(SIZE), text)):
        seen = shown(result, picture(i))
        np.testing.assert_array_equal(seen[~place], picture(i)[~place])
        assert np.abs(seen[place].astype(int) - picture(i)[place]).mean() > 1


def test_two_looks_are_each_in_their_place_as_if_alone(model, painter):
    results = play(model, model.open(SIZE), "me in ink, the room in watercolour")
    for style, place in (("ink", PLACES["person"]), ("watercolour", ~PLACES["person"])):
        state, embeds = painter.open(SIZE), painter.encode_prompt(style).embeds
        for i, result in enumerate(results):
            [own] = painter.step([state], [Chunk(picture(i)[None], embeds)])
            np.testing.assert_array_equal(shown(result, picture(i))[place], own.rgb[0][place])


def test_a_tinted_thing_has_the_colour_and_keeps_its_shading(model):
    [result] = play(model, model.open(SIZE), "make my shirt blue", count=1)
    seen, before = (x[PLACES["clothes"]].astype(float) for x in (shown(result, picture()), picture()))
    red, green, blue = seen.mean(0)
    assert blue > 1.5 * max(red, green)
    assert np.corrcoef(seen.mean(-1), before @ [0.299, 0.587, 0.114])[0, 1] > 0.9


def test_a_look_is_painted_of_the_tinted_picture(model):
    plain, tinted = (
        shown(play(model, model.open(SIZE), text, count=1)[0], picture())[PLACES["clothes"]].astype(float).mean(0)
        for text in ("me in watercolour", "me in watercolour and make my shirt red")
    )
    assert tinted[0] - tinted[2] > plain[0] - plain[2] + 10


def test_blur_takes_nothing_from_the_person(model):
    source = picture()
    source[PLACES["person"]] = (255, 0, 0)
    source[~PLACES["person"]] = (0, 0, 255)
    embeds = model.encode_prompt("blur the background, strongly").embeds
    [result] = model.step([model.open(SIZE)], [Chunk(source[None], embeds)])
    assert shown(result, source)[~PLACES["person"]][:, 0].max() <= 2


def test_half_way_into_an_edit_is_half_of_it(model):
    embeds = model.encode_prompt("green background").embeds
    nothing = model.encode_prompt("show the real picture").embeds
    state, source = model.open(SIZE), picture()
    full, half = (
        shown(model.step([state], [Chunk(source[None], e)])[0], source).astype(int)
        for e in (embeds, 0.5 * embeds + 0.5 * nothing)
    )
    np.testing.assert_allclose(half, (full + source) / 2, atol=2)


def test_half_way_between_two_looks_is_their_mixture(model, painter):
    first, second = (model.encode_prompt(text).embeds for text in ("me in ink", "me in oil"))
    [result] = model.step([model.open(SIZE)], [Chunk(picture()[None], (first + second) / 2)])
    mixed = (painter.encode_prompt("ink").embeds + painter.encode_prompt("oil").embeds) / 2
    [own] = painter.step([painter.open(SIZE)], [Chunk(picture()[None], mixed)])
    person = PLACES["person"]
    np.testing.assert_array_equal(shown(result, picture())[person], own.rgb[0][person])


def test_a_fade_between_two_places_shows_both_in_part(model):
    first, second = (model.encode_prompt(text).embeds for text in ("me in ink", "the background in oil"))
    [result] = model.step([model.open(SIZE)], [Chunk(picture()[None], (first + second) / 2)])
    changed = np.abs(shown(result, picture()).astype(int) - picture())
    assert min(changed[PLACES["person"]].mean(), changed[~PLACES["person"]].mean()) > 1


def test_nobody_there_leaves_the_source(model, painter, monkeypatch):
    state = model.open(SIZE)
    state.finder.gone = True
    monkeypatch.setattr(painter, "step", None)  # there is nothing to paint
    for i, result in enumerate(play(model, state, "me in ink")):
        np.testing.assert_array_equal(shown(result, picture(i)), picture(i))


def test_what_is_gone_shows_what_a_still_camera_has_seen_behind_it(model):
    room = picture()
    embeds = model.encode_prompt("remove me").embeds
    state = model.open(SIZE)
    state.finder.gone = True
    for _ in range(SURE_FRAMES):
        model.step([state], [Chunk(room[None], embeds)])
    state.finder.gone = False
    there = room.copy()
    there[PLACES["person"]] = (200, 0, 0)
    [result] = model.step([state], [Chunk(there[None], embeds)])
    np.testing.assert_allclose(shown(result, there).astype(int), room, atol=1)


def test_what_nobody_has_seen_is_filled_with_what_is_around(model):
    there = np.full((HEIGHT, WIDTH, 3), (20, 90, 160), np.uint8)
    there[PLACES["person"]] = (200, 0, 0)
    embeds = model.encode_prompt("remove me").embeds
    [result] = model.step([model.open(SIZE)], [Chunk(there[None], embeds)])
    np.testing.assert_allclose(shown(result, there).astype(int) - (20, 90, 160), 0, atol=2)


def test_a_camera_that_moves_has_seen_nothing(model):
    rng = np.random.default_rng(0)
    world = np.kron(rng.integers(0, 256, (8, 30, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    embeds = model.encode_prompt("remove me").embeds
    state = model.open(SIZE)
    state.finder.gone = True
    for i in [*[0] * SURE_FRAMES, 8]:
        assert i == 0 or state.behind.known.all()
        model.step([state], [Chunk(np.ascontiguousarray(world[:, i : i + WIDTH])[None], embeds)])
        state.finder.gone = i == 0
    assert not state.behind.known[PLACES["person"]].any()


def test_nothing_is_painted_where_no_look_is_asked_for(model):
    assert [result.work for result in play(model, model.open(SIZE), "blur the background")] == [0.0] * 3


def test_a_cut_forgets_where_everything_was(model):
    state = model.open(SIZE)
    play(model, state, "make my shirt red")
    model.reset(state)
    assert (state.finder.resets, state.light) == (1, {})


def test_a_stream_goes_on_from_what_was_saved(model):
    state = model.open(SIZE)
    play(model, state, "me in ink, the room in oil")
    again = model.open(SIZE)
    model.restore(again, model.save(state))
    for first, second in zip(
        *(play(model, each, "me in ink, the room in oil", first=3) for each in (state, again)), strict=True
    ):
        np.testing.assert_array_equal(first.rgb, second.rgb)


def test_the_chosen_place_confines_what_names_none(model):
    prompt = model.encode_prompt("ink")
    composed = model.compose(prompt, {"place": "person"})
    np.testing.assert_array_equal(composed, model.encode_prompt("me in ink").embeds)
    named = model.encode_prompt("the background in ink")
    assert model.compose(named, {"place": "person"}) is named.embeds
    assert model.compose(prompt, {}) is prompt.embeds
    assert model.compose(None, {"place": "face"}) is None


def test_streams_in_one_step_equal_streams_alone(model):
    texts = ("me in ink", "make my shirt red", "oil")
    alone = [play(model, model.open(SIZE), text, count=2) for text in texts]
    states = [model.open(SIZE) for _ in texts]
    embeds = [model.encode_prompt(text).embeds for text in texts]
    for i in range(2):
        together = model.step(states, [Chunk(picture(i)[None], e) for e in embeds])
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one.rgb, other[i].rgb)


def test_the_figure_is_as_large_as_it_says():
    assert picture().shape == (HEIGHT, WIDTH, 3)
