"""Formatting of figures, with as many digits as their interval supports."""

from __future__ import annotations

import math

from vivace.bench.document import Interval, MetricInfo

MAX_DECIMALS = 6
MAX_DIGITS = 4
"""Most significant digits of a value, however precise it is."""
ARROWS = {"higher": "↑", "lower": "↓"}


def decimals(value: float, half: float, digits: int = MAX_DIGITS) -> int:
    """Return the number of decimals: two digits of the half interval, and at most `digits` of the value."""
    if half == 0 and float(value).is_integer():
        return 0
    largest = max(abs(value), half)
    of_value = digits - 1 - math.floor(math.log10(largest))
    of_half = 1 - math.floor(math.log10(half)) if half > 0 else of_value
    return max(0, min(MAX_DECIMALS, of_value, of_half))


def as_text(value: float, half: float = 0.0, *, sign: bool = False, places: int | None = None) -> str:
    """Return a value as text, with a true minus sign and grouped thousands.

    Args:
        value: value to write.
        half: half its interval, which determines the decimals.
        sign: also write a plus.
        places: decimals to write, whatever the interval.
    """
    places = decimals(value, half) if places is None else places
    text = f"{value:{'+' if sign else ''},.{places}f}"
    if not text.strip("+-0.,"):  # rounded to zero: no sign either
        text = text.lstrip("+-")
    return text.replace("-", "−").replace(",", " ")


def half_as_text(value: float, half: float, *, places: int | None = None) -> str:
    """Return half an interval as text, with the decimals of its value; empty if it rounds to zero."""
    text = as_text(half, places=decimals(value, half) if places is None else places)
    return text if text.strip("0.") else ""


def with_half(interval: Interval, *, places: int | None = None) -> str:
    """Return `value ± half`, or the value alone if the interval is zero."""
    half = half_as_text(interval.value, interval.half, places=places)
    return as_text(interval.value, interval.half, places=places) + (f" ± {half}" if half else "")


def arrow(info: MetricInfo) -> str:
    """Return the better direction: ↑, ↓, or → and the best value."""
    if info.direction == "target":
        return f"→{as_text(info.target or 0.0)}"
    return ARROWS[info.direction]


def short(value: float) -> str:
    """Return a value as text with three digits, where several stand side by side."""
    return as_text(value, places=decimals(value, 0.0, digits=3))


def titled(info: MetricInfo) -> str:
    """Return a metric's direction, title and unit."""
    unit = f", {info.unit}" if info.unit else ""
    return f"{arrow(info)} {info.title}{unit}"
