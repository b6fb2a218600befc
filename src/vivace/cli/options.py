"""Values of flags that need reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cyclopts import Token

from vivace.media.size import parse_size

__all__ = ["parse_size", "whole"]


def whole(type_: Any, tokens: Sequence[Token]) -> int:  # noqa: ARG001  (what cyclopts calls)
    """Return a whole number. The parser's own conversion would round 2.5 to 2 without a word.

    Raises:
        ValueError: anything else; the parser names the flag.
    """
    text = tokens[0].value
    try:
        return int(text)
    except ValueError:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise ValueError(f"{shown!r} is not a whole number.") from None
