"""A model's own controls, checked against what its spec declares of them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from vivace.errors import ControlError
from vivace.models.base import ControlSpec, ControlValue, ModelSpec
from vivace.stream.checks import brief, number_in

MAX_TEXT_CHARS = 2_000
ON, OFF = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
"""How a switch may be typed."""


def check_options(value: object, spec: ModelSpec) -> dict[str, ControlValue | None]:
    """Return changes of a model's own controls by name; None is the default. As a whole, None is the default of all.

    Raises:
        ControlError: not a mapping, a control the model does not have, or a value that it cannot take.
    """
    if value is None:
        return {option.name: None for option in spec.options if option.kind != "event"}
    if not isinstance(value, Mapping):
        raise ControlError(f"options is {brief(value)}; give a mapping of names to values")
    known = {option.name: option for option in spec.options}
    for name in value:
        if name not in known:
            raise ControlError(_no_such_option(name, spec, known))
        if known[name].kind == "event":
            raise ControlError(f"option {name} is an event, which holds no value; name it among the events")
    return {name: None if given is None else _value(known[name], given) for name, given in value.items()}


def check_events(value: object, spec: ModelSpec) -> frozenset[str]:
    """Return what shall happen at the next frame.

    Raises:
        ControlError: not a list of names, or an event the model does not have.
    """
    if value is None:
        return frozenset()
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise ControlError(f"events is {brief(value)}; give a list of names")
    known = {option.name: option for option in spec.options if option.kind == "event"}
    for name in value:
        if not isinstance(name, str) or name not in known:
            raise ControlError(_no_such_option(name, spec, known, "event"))
    return frozenset(value)


def parse_options(texts: Mapping[str, str], spec: ModelSpec) -> dict[str, ControlValue]:
    """Return typed values as what the controls of these names hold; `check_options` judges what is left.

    Raises:
        ControlError: a text that is no such value.
    """
    kinds = {option.name: option.kind for option in spec.options}
    return {name: _parsed(name, kinds.get(name, "text"), text) for name, text in texts.items()}


def _parsed(name: str, kind: str, text: str) -> ControlValue:
    word = text.casefold()
    if kind == "switch" and word in ON + OFF:
        return word in ON
    if kind != "number":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise ControlError(f"option {name} is {brief(text)}, not a number") from error


def merge_options(
    before: Mapping[str, ControlValue], changes: Mapping[str, ControlValue | None]
) -> dict[str, ControlValue]:
    """Return options with checked changes; what is at its default again is left out."""
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def _value(option: ControlSpec, value: object) -> ControlValue:
    name = f"option {option.name}"
    if option.kind == "number":
        return _number(option, name, value)
    default = f"or None for {option.default!r}"
    if option.kind == "switch":
        if not isinstance(value, bool):
            raise ControlError(f"{name} is {brief(value)}; it is a switch: give True or False, {default}")
        return value
    if not isinstance(value, str):
        raise ControlError(f"{name} is {brief(value)}; give text, {default}")
    if option.kind == "choice" and value not in option.choices:
        raise ControlError(f"{name} is {brief(value)}; give {', '.join(option.choices)}, {default}")
    if len(value) > MAX_TEXT_CHARS:
        raise ControlError(f"{name} has {len(value):,} characters; the limit is {MAX_TEXT_CHARS:,}: say it shorter")
    return value


def _number(option: ControlSpec, name: str, value: object) -> float:
    remedy = f"give {option.low:.12g} to {option.high:.12g}, or None for {option.default:.12g}"
    number = number_in(name, value, option.low, option.high, remedy)
    if option.whole and not number.is_integer():
        raise ControlError(f"{name} is {brief(number)}, not a whole number; {remedy}")
    return number


def _no_such_option(name: object, spec: ModelSpec, known: Mapping[str, ControlSpec], what: str = "option") -> str:
    if not known:
        return f"{spec.name} has no {what}s of its own, so none is called {brief(name)}; leave it out"
    near = difflib.get_close_matches(str(name)[:64], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return f"{spec.name} has no {what} {brief(name)}; {hint}"
