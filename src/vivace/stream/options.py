"""Validation of a model's own controls against the declarations in its spec."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from vivace.checks import brief
from vivace.errors import ControlError, UnknownPromptError
from vivace.models.base import EncodesControls, ModelSpec, Prompt, StreamModel
from vivace.models.controls import PICTURES, ControlSpec, unknown
from vivace.models.family import families
from vivace.stream.moderation import Moderator
from vivace.stream.pictures import is_folder, read_pairs, read_picture


def check_options(
    value: object, model: StreamModel[Any], *, opening: bool = False, moderator: Moderator
) -> dict[str, Any]:
    """Return validated values of a model's own controls by name, pictures read and prompts encoded.

    Args:
        value: values by name, None for a default; None as a whole resets everything that may change.
        model: model whose controls they are.
        opening: true when a stream opens; only then may controls of scope `stream` be set.
        moderator: may refuse texts and pictures.

    Raises:
        PolicyError: a text or a picture is refused.
        UnknownPromptError: the model cannot serve a prompt.
        ControlError: not a mapping, a control that the model lacks, or a value that it cannot take now.
        SourceNotFoundError: a picture does not exist.
    """
    known = {option.name: option for option in model.spec.options}
    if value is None:
        return {name: None for name, option in known.items() if option.kind != "event" and option.scope == "frame"}
    if not isinstance(value, Mapping):
        raise ControlError(f"options is {brief(value)}; give a mapping of names to values")
    for name in value:
        if name not in known:
            raise _no_such(name, model.spec, known)
        if known[name].kind == "event":
            raise ControlError(f"{name} is an event, which holds no value; name it among the events")
        if known[name].scope == "stream" and not opening:
            raise ControlError(f"{name} is fixed when a stream opens; open another one with it")
    return {
        name: None if given is None else _value(known[name], given, model, moderator) for name, given in value.items()
    }


def check_events(value: object, spec: ModelSpec) -> frozenset[str]:
    """Return the events to fire at the next frame.

    Raises:
        ControlError: not a list of names, or an event that the model lacks.
    """
    if value is None:
        return frozenset()
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        raise ControlError(f"events is {brief(value)}; give a list of names")
    known = {option.name: option for option in spec.options if option.kind == "event"}
    for name in value:
        if not isinstance(name, str) or name not in known:
            raise unknown(name, spec.name, known, "event")
    return frozenset(value)


def parse_options(texts: Mapping[str, str], spec: ModelSpec) -> dict[str, Any]:
    """Return typed texts as values of the controls' kinds; unknown names stay text for `check_options` to report."""
    known = {option.name: option for option in spec.options}
    return {name: known[name].parse(text) if name in known else text for name, text in texts.items()}


def merge_options(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return options updated with validated changes; options back at their default are left out."""
    return {name: value for name, value in {**before, **changes}.items() if value is not None}


def check_text(name: str, text: str) -> str:
    """Return a prompt's text without surrounding space.

    Raises:
        UnknownPromptError: the text has no letter or digit.
    """
    text = text.strip()
    if not any(character.isalnum() for character in text):
        raise UnknownPromptError(f"{name} is {brief(text)}, without a letter or digit; say it in words", control=name)
    return text


def known_prompt(name: str, prompt: Prompt) -> Prompt:
    """Return the prompt if the model can serve it.

    Raises:
        UnknownPromptError: it cannot.
    """
    if not prompt.known:
        message = prompt.message or f"the model cannot serve {brief(prompt.text)}"
        raise UnknownPromptError(
            message if name == "prompt" else f"{name}: {message}",
            control=name,
            matches=prompt.matches,
            edits=prompt.edits,
        )
    return prompt


def _value(option: ControlSpec, given: object, model: StreamModel[Any], moderator: Moderator) -> Any:
    value: Any
    if option.several and is_folder(given):
        value = read_pairs(option, given)
    else:
        value = read_picture(option, given) if option.kind in PICTURES else option.check(given)
    if option.kind == "image":
        for picture in value if isinstance(value, tuple) else [(value,)]:
            moderator.check_picture(option.name, picture[-1])
    elif option.kind == "text" and not option.excludes:
        moderator.check_text(option.name, value)
    if not option.encoded:
        return value
    if option.kind == "text":
        if not value.strip():
            return None
        value = check_text(option.name, value)
    made = cast(EncodesControls, model).encode_control(option.name, value)
    return known_prompt(option.name, made) if isinstance(made, Prompt) else made


def _no_such(name: object, spec: ModelSpec, known: Mapping[str, ControlSpec]) -> ControlError:
    family = families().get(spec.family)
    if family is not None and any(name == control.name for control in family.loading):
        return ControlError(f"{name} is fixed when the model is loaded; load it with {name}, or leave it out")
    refusal = unknown(name, spec.name, known, "option")
    has_it = [each.name for each in families().values() if any(name == own.name for own in each.controls)]
    if not has_it:
        return refusal
    return ControlError(f"{refusal}; {' and '.join(has_it)} {'has' if len(has_it) == 1 else 'have'} one")
