"""How a figure is written: as many digits as its interval bears out."""

from __future__ import annotations

import math

from vivace.bench.document import Interval, MetricInfo

MAX_DECIMALS = 6
ARROWS = {"higher": "↑", "lower": "↓"}


def decimals(value: float, half: float) -> int:
    """Return how many decimals to write: two digits of the half interval, or four of a value without one."""
    if half > 0:
        return max(0, min(MAX_DECIMALS, 1 - math.floor(math.log10(half))))
    if value == 0 or float(value).is_integer():
        return 0
    return max(0, min(MAX_DECIMALS, 3 - math.floor(math.log10(abs(value)))))


def figure(value: float, half: float = 0.0, *, sign: bool = False) -> str:
    """Return a value as text; `sign` also writes the plus. A minus is a minus sign, thousands are set apart."""
    text = f"{value:{'+' if sign else ''},.{decimals(value, half)}f}"
    if not text.strip("+-0.,"):  # rounded to nothing: no sign either
        text = text.lstrip("+-")
    return text.replace("-", "−").replace(",", " ")


def half_figure(value: float, half: float) -> str:
    """Return half an interval as text, with the decimals of its value; empty where there is none."""
    text = f"{half:,.{decimals(value, half)}f}".replace(",", " ")
    return text if text.strip("0.") else ""


def with_half(interval: Interval) -> str:
    """Return `value ± half`, or the value alone where there is no interval."""
    half = half_figure(interval.value, interval.half)
    return figure(interval.value, interval.half) + (f" ± {half}" if half else "")


def arrow(info: MetricInfo) -> str:
    """Return which way is better: ↑, ↓, or → and the best value."""
    if info.direction == "target":
        return f"→ {figure(info.target or 0.0)}"
    return ARROWS[info.direction]


def titled(info: MetricInfo) -> str:
    """Return a metric's title, its unit and which way is better."""
    unit = f", {info.unit}" if info.unit else ""
    return f"{info.title}{unit} {arrow(info)}"
