"""A model's own options: numbers it may be set to at any frame, checked against what its spec says of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from vivace.errors import ControlError
from vivace.models.base import ModelOption, ModelSpec
from vivace.stream.checks import brief, number_in

ANCHOR = "anchor"
"""Where a model has an option of this name, any change of it asks for the anchors to be set anew."""


def check_options(value: object, spec: ModelSpec) -> dict[str, float | None]:
    """Return changes of a model's options by name; None is the default. As a whole, None is the default of all.

    Raises:
        ControlError: not a mapping, an option the model does not have, or a value out of its range.
    """
    if value is None:
        return {option.name: None for option in spec.options}
    if not isinstance(value, Mapping):
        raise ControlError(f"options is {brief(value)}; give a mapping of names to numbers")
    known = {option.name: option for option in spec.options}
    for name in value:
        if name not in known:
            raise ControlError(_no_such_option(name, spec, known))
    return {name: None if given is None else _number(known[name], given) for name, given in value.items()}


def merge_options(before: Mapping[str, float], changes: Mapping[str, float | None]) -> dict[str, float]:
    """Return options with checked changes; what is at its default again is left out."""
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def next_anchor(options: Mapping[str, float], spec: ModelSpec) -> dict[str, float]:
    """Return the change of options that asks a model to set its anchors anew.

    Raises:
        ControlError: the model has no such option.
    """
    option = next((each for each in spec.options if each.name == ANCHOR), None)
    if option is None:
        raise ControlError(f"{spec.name} keeps no anchors that could be set anew (it has no option {ANCHOR!r})")
    value = options.get(ANCHOR, option.default) + 1
    return {ANCHOR: value if value <= option.high else option.low}


def _number(option: ModelOption, value: object) -> float:
    remedy = f"give {option.low:.12g} to {option.high:.12g}, or None for {option.default:.12g}"
    number = number_in(f"option {option.name}", value, option.low, option.high, remedy)
    if option.whole and not number.is_integer():
        raise ControlError(f"option {option.name} is {brief(number)}, not a whole number; {remedy}")
    return number


def _no_such_option(name: object, spec: ModelSpec, known: Mapping[str, ModelOption]) -> str:
    if not known:
        return f"{spec.name} has no options of its own, so none is called {brief(name)}; leave it out"
    near = difflib.get_close_matches(str(name)[:64], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return f"{spec.name} has no option {brief(name)}; {hint}"
