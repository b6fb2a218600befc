"""Validation of users' values, and their short representation in messages, however large or odd they are."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from vivace.errors import ControlError
from vivace.redaction import redact_address

_BRIEF_CHARS = 60


def brief(value: object) -> str:
    """Return a value for a message: short text in full, long text abbreviated, other objects by type."""
    if isinstance(value, str):
        shown = redact_address(value)  # before it is cut, or half a password may remain
        return repr(shown) if len(shown) <= _BRIEF_CHARS else f"{shown[:_BRIEF_CHARS]!r}... ({len(value):,} characters)"
    if isinstance(value, int) and abs(value) >= 10**15:
        # Python refuses to print integers of thousands of digits.
        return f"{'-' if value < 0 else ''}about 10^{int(math.log10(abs(value)))}"
    if isinstance(value, (tuple, list)):
        shown = ", ".join(brief(item) for item in value[:4])
        return f"({shown}{', ...' if len(value) > 4 else ''})"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"of type {type(value).__name__}"


def number_in(name: str, value: object, low: float, high: float, remedy: str, *, whole: bool = False) -> float:
    """Return a finite real number within `[low, high]`, as an exact `int` if it must be `whole`.

    Raises:
        ControlError: anything else, NaN and booleans included; names the value and the remedy.
    """
    kind = "whole number" if whole else "number"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ControlError(f"{name} is {brief(value)}, not a {kind}; {remedy}")
    number = cast(float, value)
    if not low <= number <= high:  # false for NaN too
        raise ControlError(f"{name} is {brief(value)}; {remedy}")
    if whole and int(number) != number:
        raise ControlError(f"{name} is {brief(value)}, not a {kind}; {remedy}")
    return int(number) if whole else float(number)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a message: the known name that was probably meant, and all known names."""
    known = list(known)
    near = difflib.get_close_matches(name[:64], known, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(known) or 'none'}"


class Table(BaseModel):
    """Pydantic model for tables from outside: an unknown key is an error that names the nearest known one.

    Fields with `init=False` are not keys: the owner of the table fills them in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _check_keys(cls, table: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Validate the table and report every unknown key beside all other errors."""
        if isinstance(table, cls):
            return handler(table)
        if not isinstance(table, dict):
            raise ValueError(f"must be a table, not {brief(table)}")
        known = [key for key, field in cls.model_fields.items() if field.init is not False]
        unknown = [
            ValueError(f"no key {brief(key)} is known here; {nearest(key, known)}")
            for key in sorted(table.keys() - set(known))
        ]
        found = [InitErrorDetails(type="value_error", input=table, ctx={"error": error}) for error in unknown]
        try:
            made = handler({key: value for key, value in table.items() if key in known})
        except ValidationError as error:
            if not found:
                raise
            found += [
                InitErrorDetails(
                    type=PydanticCustomError(each["type"], each["msg"]),
                    loc=each["loc"],
                    input=each["input"],
                )
                for each in error.errors(include_url=False)
            ]
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return made
