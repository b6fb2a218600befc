"""Requests to plans: what the reader understood, with the looks as the painting model knows them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np

from vivace.errors import ControlError
from vivace.models.base import Prompt, PromptEdit, is_saved_look
from vivace.models.edits.painters import MOST_LOOKS
from vivace.models.edits.places import EVERYTHING, PLACES, parts_of
from vivace.models.edits.plan import PlaceEdit, Rgb, Tint, confined, to_plan, whole
from vivace.models.mini2.looks import LOOKS
from vivace.models.mini2.text.reader import Request, read_request
from vivace.models.mini2.text.reading import Edit, Reading
from vivace.regions.names import COLOURS

_SURE = 0.5
"""Least confidence of a reading to be preferred to that of the painting model, which knows no places."""
_TITLES = {look.key: look.title for look in LOOKS}
_LOOK = {"": 1.0, "little": 0.5, "much": 1.0}
_TINT = {"": 0.9, "little": 0.45, "much": 1.0}
_BLUR = {"": 0.6, "little": 0.25, "much": 1.0}
"""Weights of edits by the amount that is asked for."""
_SHADES: Mapping[str, tuple[float, Rgb]] = {"dark": (0.55, (0.0, 0.0, 0.0)), "light": (0.5, (1.0, 1.0, 1.0))}
"""Mixtures that are shades: the colour's share, and the colour of the rest."""
_GONE = " (seen behind it: what a camera that stands still has seen there, else what is around it)"
_CLEAR = " (where the output can be transparent; elsewhere black)"
_PICTURE = " (the one that is given as 'background')"
_CANNOT = {
    "undo": "Say 'undo' by itself, to a stream that has had a prompt.",
    "stronger": "Nothing there could be stronger; say it of a look, a colour or a blur, or set the strength.",
    "weaker": "Nothing there could be weaker; say it of a look, a colour or a blur, or set the strength.",
}
_OPPOSITE = {"stronger": "weaker", "weaker": "stronger"}
_ELSEWHERE = ("place", "transport")
"""Rules of the reader by which a request is to be somewhere else."""
_OTHER_PLACE = "Other places cannot be invented; give a picture of one as 'background'"

Encode = Callable[[str], Prompt]
"""Encoder of the painting model: a prompt for all of the picture."""


class _NotServedError(Exception):
    """An edit that is understood and cannot be made; says why, in words, and which looks are near."""

    def __init__(self, reason: str, near: tuple[tuple[str, float], ...] = ()) -> None:
        super().__init__(reason)
        self.near = near


def whole_request(text: str, now: str | None, before: str | None) -> str | None:
    """Return what a request asks for by itself: of "stronger" and "weaker" all of the prompt `now`, of "undo" `before`.

    "Stronger, and make my shirt blue" is the prompt `now`, stronger, and more.

    Raises:
        ControlError: there is nothing to undo, or nothing stronger or weaker.
    """
    edits = () if is_saved_look(text) else _sure_edits(text)
    if len(edits) > 1 and edits[0].action in _OPPOSITE and now is not None and not is_saved_look(now):
        return f"{now}, {text}"
    if len(edits) != 1:
        return text
    [edit] = edits
    if edit.action == "undo":
        if now is None and before is None:
            raise ControlError("there is nothing to undo; say how the picture should look")
        return before
    if edit.action not in _OPPOSITE or now is None or is_saved_look(now):
        return text
    step, back = (f", {Edit(action, on=edit.on).sentence}" for action in (edit.action, _OPPOSITE[edit.action]))
    # A step back takes the one before it away, so that requests do not grow. "Very ink" is painted as "ink" is: from
    # there a little of it is two steps away.
    for asked in (now.removesuffix(back), now + step, now + 2 * step):
        if _distinct(_sure_edits(asked)) != _distinct(_sure_edits(now)):
            return asked
    raise ControlError(f"'{now}' gets no {edit.action}; set the strength, or say how the picture should look")


def _sure_edits(text: str) -> tuple[Edit, ...]:
    reading = read_request(text).reading
    return reading.edits if reading.confidence >= _SURE else ()


def _distinct(edits: tuple[Edit, ...]) -> list[Edit]:
    """Return edits with one amount for those that are painted alike."""
    return [replace(edit, amount="") if edit.action == "look" and edit.amount == "much" else edit for edit in edits]


def encode(text: str, paint: Encode) -> Prompt:
    """Return a prompt whose `embeds` are a plan; `paint` encodes looks, and requests that name no place.

    An edit that cannot be made leaves the prompt unknown, with what was understood and why, and of a look the nearest.

    Raises:
        ControlError: what `paint` refuses.
    """
    request = None if is_saved_look(text) else read_request(text)
    reading = Reading() if request is None else request.reading
    whole_picture = paint(text)
    message = whole_picture.message + _left_to_mini2(whole_picture, reading, paint)
    plain = replace(whole_picture, embeds=whole(whole_picture.embeds), message=message)
    if request is not None and request.reason in _ELSEWHERE and reading.confidence >= _SURE:
        return _elsewhere(plain, [_TITLES[key] for key, _ in request.near()], paint)
    if request is None or not _has_more(reading):
        return _weakened(plain, reading, whole_picture, paint)
    if reading.confidence < _SURE and plain.known:
        return plain
    try:
        return _encoded(text, request, paint, len(whole_picture.embeds))
    except _NotServedError as reason:
        message = f"Understood: {_noun_for_place(reading.sentence, request)}. {reason}"
        near, edits = reason.near, tuple(map(_said, reading.edits))
        return replace(plain, known=False, confidence=reading.confidence, matches=near, message=message, edits=edits)


def _weakened(plain: Prompt, reading: Reading, whole_picture: Prompt, paint: Encode) -> Prompt:
    """Return a look on all of the picture as weak as it is asked for, if its painting model has no amounts."""
    if not plain.known or [edit.amount for edit in reading.edits] != ["little"]:
        return plain
    [edit] = reading.edits
    look = paint(_named(edit))
    if not look.known or not np.array_equal(look.embeds, whole_picture.embeds):
        return plain
    edits = (_said(edit, tuple(style for style, _ in plain.matches)),)
    embeds = whole(whole_picture.embeds, _LOOK["little"])
    return replace(plain, embeds=embeds, message=reading.sentence, edits=edits)


def _left_to_mini2(prompt: Prompt, reading: Reading, paint: Encode) -> str:
    """Return a sentence that names `mini2` where a request names looks that this model does not have, else nothing."""
    looks = {key for edit in reading.edits if edit.action == "look" for key in edit.what} & _TITLES.keys()
    missing = sorted(_TITLES[key] for key in looks if not paint(_TITLES[key]).known)
    if not missing or reading.confidence < _SURE:
        return ""
    left_out = f" {_listed(missing).capitalize()} is left out." if prompt.known else ""
    return f"{left_out} The model mini2 paints {_listed(missing)}."


def _elsewhere(plain: Prompt, near: Sequence[str], paint: Encode) -> Prompt:
    """Return the nearest that there is to another place: the look that it names, behind people, else a refusal."""
    elsewhere = PromptEdit("elsewhere")
    if plain.known:
        embeds = confined(plain.embeds, "background")
        styles = " and ".join(_TITLES.get(style, style) for style, _ in plain.matches)
        edit = PromptEdit("look", tuple(style for style, _ in plain.matches), ("background",))
        message = f"{styles} on the background. {_OTHER_PLACE}."
        return replace(plain, embeds=embeds, matches=(), message=message, edits=(edit, elsewhere))
    looks = [each for each in map(paint, near) if each.known]
    offer = f", or say 'the background in {looks[0].text}'" if looks else ""
    matches = tuple((each.matches[0][0], each.confidence) for each in looks)
    message = f"Understood: another place behind you. {_OTHER_PLACE}{offer}."
    return replace(plain, matches=matches, message=message, edits=(elsewhere,))


def _has_more(reading: Reading) -> bool:
    """Tell whether a request asks for more than one look on all of the picture."""
    return any(edit.action != "look" or edit.on or edit.keep for edit in reading.edits)


def _encoded(text: str, request: Request, paint: Encode, dim: int) -> Prompt:
    reading = request.reading
    places: dict[str, PlaceEdit] = {}
    edits = []
    confidence = reading.confidence
    for edit in reading.edits:
        look = None
        if edit.action == "look" or (edit.action == "replace" and edit.what <= _TITLES.keys()):
            look = _look_of(edit, paint)
            confidence = min(confidence, look.confidence)
        edits.append(_said(edit, () if look is None else tuple(style for style, _ in look.matches)))
        for name in _places_of(edit, request):
            places[name] = _edited(places.get(name, PlaceEdit()), edit, look)
        for name in _kept(edit) - EVERYTHING:
            places.setdefault(name, PlaceEdit())  # it lies over what is changed
    made = places.values()
    looks = {place.embeds.tobytes() for place in made if place.embeds is not None}
    if len(looks) > MOST_LOOKS:
        raise _NotServedError(f"These are {len(looks)} looks in one picture; ask for {MOST_LOOKS} at most.")
    said = _noun_for_place(reading.sentence, request)
    said += _GONE * any(place.gone > 0 for place in made) + _CLEAR * any(place.clear > 0 for place in made)
    said += _PICTURE * any(place.picture > 0 for place in made)
    return Prompt(text, to_plan(places, dim), True, confidence, message=said, edits=tuple(edits))


def _noun_for_place(sentence: str, request: Request) -> str:
    """Return a sentence about a request with the nouns of things and parts for the places that stand for them."""
    nouns = {**({"clothes": "clothes"} if request.which else {}), **request.parts}
    for place, noun in nouns.items():
        which = f"{request.which} " if request.which and place == "clothes" else ""
        sentence = sentence.replace(f"the {place}", f"the {which}{noun}")
    return sentence


def _said(edit: Edit, styles: tuple[str, ...] = ()) -> PromptEdit:
    """Return an edit as pages are told of it, with its look by the names of styles where the model has it."""
    what, on, keep = (tuple(sorted(names)) for names in (edit.what, edit.on, edit.keep))
    return PromptEdit(edit.action, styles or what, on, keep, edit.amount)


def _named(edit: Edit) -> str:
    """Return the titles of an edit's looks."""
    return " and ".join(_TITLES[key] for key in sorted(edit.what))


def _look_of(edit: Edit, paint: Encode) -> Prompt:
    look = paint(_named(edit))
    if not look.known:
        raise _NotServedError(look.message + _left_to_mini2(look, Reading((edit,)), paint), look.matches)
    return look


def _places_of(edit: Edit, request: Request) -> frozenset[str]:
    """Return the places that an edit changes, in the plan's terms."""
    for place in sorted(edit.on & request.parts.keys() - {"subject"}):
        if _exact(place, request) == place:
            noun = request.parts[place]
            by_colour = f", or its colour, as in 'the blue {noun}'" if place == "clothes" else ""
            raise _NotServedError(f"There is no finder for the {noun} alone: name the {place} as a whole{by_colour}.")
    unknown = sorted((edit.on | edit.keep) - frozenset(PLACES))
    if unknown:
        raise _NotServedError(
            f"Things that are {' and '.join(unknown)} are not found; name the place, as in 'my shirt'."
        )
    changed = frozenset[str]().union(*(parts_of(_exact(place, request)) for place in edit.on)) or EVERYTHING
    return changed - frozenset[str]().union(*map(parts_of, _kept(edit)))


def _exact(place: str, request: Request) -> str:
    """Return the place as a request tells it from others: things are not people, nor are all clothes red."""
    if place == "subject" and place in request.parts:
        return "object"
    worn = f"{request.which} {place}"
    return worn if worn in PLACES else place


def _kept(edit: Edit) -> frozenset[str]:
    """Return the places that an edit keeps; of "the red car" the colour says which thing is meant."""
    return edit.keep - {"subject"} if edit.keep & COLOURS.keys() else edit.keep


def _edited(place: PlaceEdit, edit: Edit, look: Prompt | None) -> PlaceEdit:
    """Return what is done at a place after one more edit of it."""
    if look is not None:
        return replace(place, embeds=look.embeds, look=_LOOK[edit.amount])
    match edit.action:
        case "recolour":
            return replace(place, tint=Tint(_TINT[edit.amount], _mean_colour(edit)))
        case "blur":
            return replace(place, blur=_BLUR[edit.amount])
        case "replace" if "video" in edit.what:
            raise _NotServedError("A video cannot be put there; a picture can, given as 'background'.")
        case "replace" if "picture" in edit.what:
            return replace(place, picture=1.0)
        case "replace" if "transparent" in edit.what:
            return replace(place, clear=1.0)
        case "replace":
            return replace(place, fill=Tint(1.0, _mean_colour(edit)))
        case "remove" if "background" in edit.on:
            return replace(place, clear=1.0)
        case "remove":
            return replace(place, gone=1.0)
        case "reset":
            return PlaceEdit()
        case action:
            raise _NotServedError(_CANNOT[action])


def _mean_colour(edit: Edit) -> Rgb:
    found = [colour_of(name) for name in sorted(edit.what)]
    if not found or None in found:
        unknown = [name for name, colour in zip(sorted(edit.what), found, strict=True) if colour is None]
        raise _NotServedError(f"{_listed(unknown)} is not a known colour; known: {', '.join(colours())}.")
    known = [colour for colour in found if colour is not None]
    red, green, blue = (sum(parts) / len(known) for parts in zip(*known, strict=True))
    return red, green, blue


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "What comes instead"


@cache
def colours() -> Mapping[str, Rgb]:
    """Return the colours that have a name."""
    table = tomllib.loads((resources.files("vivace.models.edits") / "colours.toml").read_text("utf-8"))
    return {name: _rgb(code) for name, code in table.items()}


def _rgb(code: str) -> Rgb:
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def colour_of(name: str) -> Rgb | None:
    """Return a colour by its name, with a shade or without ("dark green"); None where it has none."""
    if name in colours():
        return colours()[name]
    shade, _, plain = name.partition(" ")
    if shade not in _SHADES or plain not in colours():
        return None
    share, rest = _SHADES[shade]
    red, green, blue = (share * own + (1 - share) * other for own, other in zip(colours()[plain], rest, strict=True))
    return red, green, blue
