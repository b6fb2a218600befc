"""Readings of requests: their places, their actions, and the message."""

from __future__ import annotations

import numpy as np
import pytest

from vivace.errors import ControlError
from vivace.models.base import PromptEdit
from vivace.models.edits.places import EVERYTHING, parts_of
from vivace.models.edits.plan import read_plan
from vivace.models.edits.prompts import colour_of, colours, encode, whole_request
from vivace.models.mini.text import TextEncoder

TEXT = TextEncoder.load()
PERSON = parts_of("person")


@pytest.mark.parametrize("text", ["ink", "half oil, half neon", "a moonlit night", "qwertz"])
def test_a_request_without_a_place_is_the_painting_models_affair(text: str) -> None:
    own, plain = encode(text, TEXT.encode), TEXT.encode(text)
    [look] = read_plan(own.embeds).looks
    assert look.embeds is not None
    np.testing.assert_array_equal(look.embeds, plain.embeds)
    assert (look.places, look.weight) == (EVERYTHING, 1)
    assert (own.known, own.message, own.matches) == (plain.known, plain.message, plain.matches)


@pytest.mark.parametrize(
    ("text", "looks"),
    [("clay", "clay"), ("me in clay", "clay"), ("x-ray and gold", "gold and x-ray"), ("banana", None), ("oil", None)],
)
def test_a_look_that_only_mini2_has_is_said_to_be_there(text: str, looks: str | None) -> None:
    prompt = encode(text, TEXT.encode)
    assert prompt.known == (text == "oil")
    assert prompt.message.endswith(f" The model mini2 paints {looks}.") == (looks is not None)


@pytest.mark.parametrize("text", ["half stained glass, half ink", "a little stained glass and cartoon"])
def test_a_look_that_is_left_out_is_said(text: str) -> None:
    prompt = encode(text, TEXT.encode)
    assert prompt.known
    assert prompt.message.endswith(" Stained glass is left out. The model mini2 paints stained glass.")


@pytest.mark.parametrize(
    ("text", "style", "places"),
    [
        ("me in anime", "cel", PERSON),
        ("the background in watercolour", "watercolour", parts_of("background")),
        ("oil on everything but my face", "oil", EVERYTHING - parts_of("face")),
        ("my hair in neon", "neon", frozenset({"hair"})),
    ],
)
def test_a_look_at_a_place(text: str, style: str, places: frozenset[str]) -> None:
    prompt = encode(text, TEXT.encode)
    layers = read_plan(prompt.embeds)
    [look] = layers.looks
    assert prompt.known
    assert look.places == places
    np.testing.assert_array_equal(look.embeds, TEXT.encode(style).embeds)
    assert layers.tints == layers.blurs == layers.fills == ()


def test_two_looks_at_two_places() -> None:
    layers = read_plan(encode("me in ink, the room in watercolour", TEXT.encode).embeds)
    assert {look.places for look in layers.looks} == {PERSON, parts_of("background")}


def test_a_chain_of_a_tint_and_a_blur() -> None:
    layers = read_plan(encode("make my shirt dark green and blur the background a little", TEXT.encode).embeds)
    [tint], [blur] = layers.tints, layers.blurs
    assert tint.places == {"clothes"}
    assert tint.rgb == pytest.approx(colour_of("dark green"))
    assert blur.places == parts_of("background")
    assert 0 < blur.weight < read_plan(encode("blur the background", TEXT.encode).embeds).blurs[0].weight


def test_a_background_of_one_colour_and_one_that_is_removed() -> None:
    green, nothing = (
        read_plan(encode(text, TEXT.encode).embeds).fills for text in ("green background", "remove the background")
    )
    assert green[0].places == parts_of("background")
    assert nothing == ()


@pytest.mark.parametrize("text", ["remove the background", "cut me out", "transparent background"])
def test_without_a_background_the_output_is_transparent_there(text: str) -> None:
    prompt = encode(text, TEXT.encode)
    [clear] = read_plan(prompt.embeds).clear
    assert clear.places == parts_of("background")
    assert "transparent" in prompt.message


def test_the_users_picture_is_put_behind_the_person_and_a_video_is_refused() -> None:
    prompt = encode("use my picture as the background", TEXT.encode)
    [picture] = read_plan(prompt.embeds).pictures
    assert picture.places == parts_of("background")
    refused = encode("put a video behind me", TEXT.encode)
    assert not refused.known
    assert "a picture can" in refused.message


@pytest.mark.parametrize(
    ("text", "offer"), [("put me on a beach", "golden hour"), ("put me on a beach in hawaii", "golden hour")]
)
def test_another_place_is_refused_with_what_can_be_had(text: str, offer: str) -> None:
    prompt = encode(text, TEXT.encode)
    assert not prompt.known
    assert "give a picture of one as 'background'" in prompt.message
    assert f"the background in {offer}" in prompt.message
    assert TEXT.encode(prompt.matches[0][0]).known


def test_another_place_that_is_named_by_a_look_is_that_look_behind_people() -> None:
    prompt = encode("snowy mountains behind me", TEXT.encode)
    [look] = read_plan(prompt.embeds).looks
    assert prompt.known
    assert look.places == parts_of("background")
    assert "give a picture" in prompt.message


def test_a_thing_that_is_kept_is_not_painted() -> None:
    layers = read_plan(encode("ink on everything but the red car", TEXT.encode).embeds)
    [look] = layers.looks
    assert look.places == EVERYTHING
    assert layers.present == {"red": 1.0}


def test_a_thing_is_meant_by_its_colour() -> None:
    layers = read_plan(encode("turn the red car blue", TEXT.encode).embeds)
    [tint] = layers.tints
    assert (tint.places, layers.present) == (frozenset({"red"}), {"red": 1.0})


def test_who_wears_it_is_no_place_of_its_own_and_its_colour_says_which() -> None:
    layers = read_plan(encode("make the red dress of the woman green", TEXT.encode).embeds)
    [tint] = layers.tints
    assert tint.places == {"red clothes"}
    assert tint.rgb == pytest.approx(colour_of("green"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "make my hat red",
            "colour the hat red. There is no finder for the hat alone: name the clothes as a whole, or",
        ),
        ("färbe meine Hose blau", "There is no finder for the trousers alone"),
        ("my shirt and my nose in ink", "There is no finder for the nose alone: name the face as a whole."),
        ("make my beard green", "There is no finder for the beard alone: name the hair as a whole."),
    ],
)
def test_a_part_without_a_finder_is_said_and_nothing_else_is_painted(text: str, said: str) -> None:
    prompt = encode(text, TEXT.encode)
    assert not prompt.known
    assert said in prompt.message


def test_a_part_that_has_a_colour_is_found_by_it_and_one_that_is_kept_may_be_more() -> None:
    [tint] = read_plan(encode("make the blue trousers red", TEXT.encode).embeds).tints
    assert tint.places == {"blue clothes"}
    [look] = read_plan(encode("oil on everything but my hat", TEXT.encode).embeds).looks
    assert look.places == EVERYTHING - {"clothes"}


@pytest.mark.parametrize(
    ("text", "place"), [("the dog", "object"), ("the thing in my hand", "object"), ("the subject", "subject")]
)
def test_a_thing_is_no_person(text: str, place: str) -> None:
    prompt = encode(f"remove {text}", TEXT.encode)
    [gone] = read_plan(prompt.embeds).gone
    assert gone.places == parts_of(place)


def test_a_look_that_describes_a_thing_is_not_painted() -> None:
    layers = read_plan(encode("remove the dotted mug", TEXT.encode).embeds)
    assert (layers.looks, [gone.places for gone in layers.gone]) == ((), [{"object"}])


def test_the_picture_as_it_is_is_nothing_to_do() -> None:
    prompt = encode("show the real picture", TEXT.encode)
    assert prompt.known
    assert not list(read_plan(prompt.embeds).all)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("me as a zombie", "Understood: zombie skin on the person. I do not know how to paint 'zombie skin'"),
        ("make my shirt red, then undo", "Say 'undo' by itself"),
        ("undo", "to a stream that has had a prompt"),
        ("my hair in rainbow colours", "rainbow is not a known colour"),
        ("my face in ink, my hair in oil, the room in watercolour", "These are 3 looks in one picture"),
    ],
)
def test_an_edit_that_cannot_be_made_says_what_was_understood(text: str, said: str) -> None:
    prompt = encode(text, TEXT.encode)
    assert not prompt.known
    assert said in prompt.message


def test_every_colour_of_the_reader_has_one() -> None:
    from vivace.regions.names import COLOURS

    assert colours().keys() >= set(COLOURS)
    assert colour_of("dark red") < colour_of("red") < colour_of("light red")
    assert colour_of("octarine") is None


def test_the_edits_are_told_as_data_for_pages_to_say_in_their_language() -> None:
    served = encode("me in anime, keep my hair, blur the background a little", TEXT.encode)
    assert served.edits == (
        PromptEdit("look", ("cel",), ("person",), ("hair",)),
        PromptEdit("blur", (), ("background",), (), "little"),
    )
    refused = encode("me as a zombie", TEXT.encode)
    assert [(edit.action, edit.on) for edit in refused.edits] == [("look", ("person",))]
    assert refused.matches
    assert [edit.action for edit in encode("snowy mountains behind me", TEXT.encode).edits] == ["look", "elsewhere"]
    assert encode("ink", TEXT.encode).edits == ()


def test_things_are_removed_and_how_is_said() -> None:
    prompt = encode("remove the person in the red jacket", TEXT.encode)
    [gone] = read_plan(prompt.embeds).gone
    assert gone.places == PERSON
    assert "what is around it" in prompt.message


@pytest.mark.parametrize(
    ("text", "now", "whole"),
    [
        ("stronger", "make my shirt red", "make my shirt red, stronger"),
        ("mehr davon", "make my shirt red, weaker", "make my shirt red"),
        ("stronger on the hair", "make my hair blue, weaker", "make my hair blue, weaker, stronger on the hair"),
        ("too much", "ink", "ink, weaker"),
        ("too much", "very strong ink", "very strong ink, weaker, weaker"),
        ("weaker hair", "make my hair blue and blur the background", None),
        ("stronger, and make my shirt blue", "oil", "oil, stronger, and make my shirt blue"),
        ("make my shirt blue, stronger", "oil", "make my shirt blue, stronger"),
        ("undo", "ink", "oil"),
        ("ink", "oil", "ink"),
        ("qwertz", "oil", "qwertz"),
        ("stronger", None, "stronger"),
    ],
)
def test_a_request_that_refers_to_the_one_before_is_a_whole_one(text: str, now: str | None, whole: str | None) -> None:
    asked = whole_request(text, now, "oil")
    assert asked == whole or (whole is None and now is not None and asked.startswith(now))
    assert asked == text or whole_request(asked, None, None) == asked, "it refers to none"


def test_steps_to_and_fro_end_where_they_began() -> None:
    now = "ink"
    for step in ("weaker", "stronger") * 20:
        asked = whole_request(step, now, None)
        assert asked is not None
        now = asked
        assert encode(now, TEXT.encode).known
    assert now == "ink"


def test_stronger_and_weaker_are_steps_of_the_last_edit_or_of_the_one_that_is_named() -> None:
    def tints_and_blurs(text: str) -> tuple[list[float], list[float]]:
        plan = read_plan(encode(text, TEXT.encode).embeds)
        return [layer.weight for layer in plan.tints], [layer.weight for layer in plan.blurs]

    [tint], [blur] = tints_and_blurs("make my hair blue and blur the background")
    [weaker], [same] = tints_and_blurs("make my hair blue and blur the background, weaker on the hair")
    assert (weaker < tint, same) == (True, blur)
    [same], [stronger] = tints_and_blurs("make my hair blue and blur the background, stronger")
    assert (same, stronger > blur) == (tint, True)
    assert tints_and_blurs("make my hair blue, weaker, stronger") == ([tint], [])


def test_a_little_of_a_look_is_half_of_it_where_the_painting_model_knows_no_amounts() -> None:
    [look] = read_plan(encode("ink, a little", TEXT.encode).embeds).looks
    [full] = read_plan(encode("ink", TEXT.encode).embeds).looks
    assert (look.places, look.weight, full.weight) == (EVERYTHING, 0.5, 1.0)
    assert np.allclose(look.embeds, full.embeds)


@pytest.mark.parametrize(("text", "now"), [("stronger", "ink"), ("weaker", "ink, a little"), ("undo", None)])
def test_what_cannot_go_further_is_refused(text: str, now: str | None) -> None:
    with pytest.raises(ControlError, match=r"no stronger|no weaker|nothing to undo"):
        whole_request(text, now, None)
