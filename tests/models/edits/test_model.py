"""Laws of edits at places around the embedded model, with a finder that knows the position of everything."""

from __future__ import annotations

import numpy as np
import pytest

from models.edits.figure import HEIGHT, PLACES, SIZE, WIDTH, KnowingFinder, picture
from vivace.models.base import Chunk
from vivace.models.edits.behind import SURE_FRAMES
from vivace.models.edits.model import EditingModel
from vivace.models.edits.painters import REMEMBERED_FRAMES


@pytest.fixture(scope="module")
def model(painter):
    return EditingModel(painter, KnowingFinder)


def play(model, state, text: str, count: int = 3, first: int = 0) -> list:
    embeds = model.encode_prompt(text).embeds
    return [model.step([state], [Chunk(picture(first + i)[None], embeds)])[0] for i in range(count)]


def shown(result, source: np.ndarray) -> np.ndarray:
    """Return the picture that a stream shows: the result where it was edited, else the source."""
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


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("me in ink, the room in oil", ("person",)),
        ("make my shirt red and blur my eyes", ("clothes", "eyes")),
        ("turn the red car blue", ("red",)),
        ("blur everything but me", ()),
        ("ink", ()),
    ],
)
def test_what_is_asked_for_and_not_there_is_told(model, text, absent):
    state = model.open(SIZE)
    assert [result.absent for result in play(model, state, text)] == [()] * 3
    state.finder.gone = True
    assert {result.absent for result in play(model, state, text)} == {absent}


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
        assert i == 0 or state.behind.plate.known.all()
        model.step([state], [Chunk(np.ascontiguousarray(world[:, i : i + WIDTH])[None], embeds)])
        state.finder.gone = i == 0
    assert not state.behind.plate.known[PLACES["person"]].any()


def test_a_camera_that_moves_slowly_has_seen_nothing_in_its_place(model):
    rng = np.random.default_rng(0)
    world = np.kron(rng.integers(0, 256, (8, 40, 3), np.uint8), np.ones((8, 8, 1), np.uint8)).astype(float)
    embeds, state = model.encode_prompt("remove me").embeds, model.open(SIZE)
    state.finder.gone = True
    for frame in range(60):
        left, share = divmod(0.3 * frame, 1)
        here, next_px = (world[:, int(left) + px :][:, :WIDTH] for px in (0, 1))
        there = ((1 - share) * here + share * next_px).round().astype(np.uint8)
        state.finder.gone = frame < 12
        model.step([state], [Chunk(np.ascontiguousarray(there)[None], embeds)])
    assert not state.behind.plate.known[PLACES["person"]].any()


def test_two_things_that_are_gone_are_not_seen_behind_each_other(model):
    room = picture()
    there = room.copy()
    there[PLACES["person"]], there[PLACES["red"]] = (200, 0, 0), (0, 0, 255)
    both = (model.encode_prompt("remove me").embeds + model.encode_prompt("remove the red thing").embeds) / 2
    state = model.open(SIZE)
    for _ in range(SURE_FRAMES + 1):
        model.step([state], [Chunk(there[None], both)])
    assert not state.behind.plate.known[PLACES["person"] | PLACES["red"]].any()


def test_what_was_seen_behind_is_of_this_request(model):
    state = model.open(SIZE)
    state.finder.gone = True
    play(model, state, "remove me", SURE_FRAMES)
    play(model, state, "blur the background", 1)
    assert state.behind.plate is None


@pytest.mark.parametrize("between", ["ink", "make the sky green"])
def test_places_are_found_anew_after_frames_in_which_none_was_looked_for(model, between):
    state = model.open(SIZE)
    play(model, state, "make my shirt red")
    play(model, state, between)
    assert frozenset({"clothes"}) not in state.light
    assert between != "ink" or state.finder.resets == 1


def test_the_light_of_a_thing_that_comes_back_is_that_of_now(model):
    embeds, state = model.encode_prompt("make my shirt red").embeds, model.open(SIZE)
    dark, bright = np.full((HEIGHT, WIDTH, 3), 30, np.uint8), np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    for gone, source in ((False, dark), (True, bright), (False, bright)):
        state.finder.gone = gone
        [result] = model.step([state], [Chunk(source[None], embeds)])
    [alone] = model.step([model.open(SIZE)], [Chunk(bright[None], embeds)])
    np.testing.assert_array_equal(result.rgb, alone.rgb)


def test_a_prompt_about_a_thing_of_a_colour_begins_without_a_jump(model):
    """The thing is told from what it lies on as much as the prompt is in force, not at once."""
    ink, blue = (model.encode_prompt(text).embeds for text in ("ink", "turn the red car blue"))
    state, source = model.open(SIZE), picture()
    [before] = model.step([state], [Chunk(source[None], ink)])
    model.reset(state)
    [begun] = model.step([state], [Chunk(source[None], 0.98 * ink + 0.02 * blue)])
    apart = np.abs(shown(begun, source).astype(int) - before.rgb[0])[PLACES["red"]]
    assert apart.max() <= 0.02 * 255 * 2


def test_a_look_keeps_its_memory_while_another_comes_and_goes(model, painter):
    """A sky that is visible for some frames does not take the person's memory."""
    state = model.open(SIZE)
    both = model.encode_prompt("the sky in oil, me in ink").embeds
    without = model.encode_prompt("me in ink").embeds
    embeds, alone = painter.encode_prompt("ink").embeds, painter.open(SIZE)
    for i, plan in enumerate([without, without, both, both, without, both]):
        [result] = model.step([state], [Chunk(picture(i)[None], plan)])
        [own] = painter.step([alone], [Chunk(picture(i)[None], embeds)])
        person = PLACES["person"]
        np.testing.assert_array_equal(shown(result, picture(i))[person], own.rgb[0][person])


def test_a_look_that_was_long_out_of_the_picture_begins_anew(model):
    state, embeds = model.open(SIZE), model.encode_prompt("me in ink").embeds
    play(model, state, "me in ink")
    state.finder.gone = True
    play(model, state, "me in ink", REMEMBERED_FRAMES + 1)
    state.finder.gone = False
    [back] = model.step([state], [Chunk(picture()[None], embeds)])
    [new] = model.step([model.open(SIZE)], [Chunk(picture()[None], embeds)])
    np.testing.assert_array_equal(back.rgb, new.rgb)


def test_one_look_at_two_places_is_painted_once(model, painter, monkeypatch):
    steps = []
    step = painter.step
    monkeypatch.setattr(painter, "step", lambda *given: (steps.append(1), step(*given))[1])
    whole, person = (model.encode_prompt(text).embeds for text in ("ink", "me in ink"))
    model.step([model.open(SIZE)], [Chunk(picture()[None], 0.3 * whole + 0.7 * person)])
    assert len(steps) == 1


@pytest.mark.parametrize("size", [(64, 64), (64, 112), (80, 64), (258, 64)])
def test_every_edit_is_made_at_odd_sizes(painter, size):
    model = EditingModel(painter, lambda size: KnowingFinder(size))
    width, height = size
    source = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for text in ("remove me", "blur the background", "make my shirt red", "remove the background", "me in ink"):
        embeds = model.encode_prompt(text).embeds
        [result] = model.step([model.open(size)], [Chunk(source[None], embeds)])
        assert result.rgb.shape == (1, height, width, 3)


def test_without_a_background_the_output_is_transparent_there(model):
    [result] = play(model, model.open(SIZE), "remove the background", count=1)
    np.testing.assert_array_equal(result.alpha[0], np.where(PLACES["person"], 255, 0))
    seen = shown(result, picture())
    np.testing.assert_array_equal(seen[PLACES["person"]], picture()[PLACES["person"]])
    assert not seen[~PLACES["person"]].any()


def test_a_matte_keeps_a_place_whatever_the_prompt_paints(model):
    options = {"matte": "face"}
    for prompt in (None, model.encode_prompt("ink"), model.encode_prompt("turn the red car blue")):
        plan = model.compose(prompt, options)
        [result] = model.step([model.open(SIZE)], [Chunk(picture()[None], plan, options=options)])
        np.testing.assert_array_equal(result.alpha[0] > 0, PLACES["face"])
        assert not shown(result, picture())[~PLACES["face"]].any()


def test_a_picture_is_shown_behind_the_person_and_painted_where_the_prompt_says_so(model):
    beach = np.full((40, 40, 3), (240, 220, 150), np.uint8)
    options = {"background": beach}
    person = PLACES["person"]
    for text in (None, "make my shirt red"):
        plan = model.compose(None if text is None else model.encode_prompt(text), options)
        [result] = model.step([model.open(SIZE)], [Chunk(picture()[None], plan, options=options)])
        np.testing.assert_array_equal(shown(result, picture())[~person], beach[0, :1].repeat((~person).sum(), 0))
    green = model.compose(model.encode_prompt("green background"), options)
    [result] = model.step([model.open(SIZE)], [Chunk(picture()[None], green, options=options)])
    assert (shown(result, picture())[~person] != beach[0, 0]).any()


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


@pytest.mark.parametrize(
    ("text", "place", "same"),
    [
        ("blur it", "background", "blur the background"),
        ("make it red", "clothes", "make my shirt red"),
        ("make it blue", "red", "turn the red thing blue"),
    ],
)
def test_the_chosen_place_confines_every_edit_that_names_none(model, text, place, same):
    composed = model.compose(model.encode_prompt(text), {"place": place})
    np.testing.assert_array_equal(composed, model.encode_prompt(same).embeds)


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
