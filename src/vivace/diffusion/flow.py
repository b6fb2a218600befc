"""Flow matching on a straight path between noise and picture (Lipman et al., 2023; Liu et al., 2023).

`x_t = t * noise + (1 - t) * x`, with t = 1 pure noise. Works on any array type with arithmetic.
"""

from __future__ import annotations

from typing import TypeVar

ArrayT = TypeVar("ArrayT")


def denoising_times(steps: int) -> tuple[float, ...]:
    """Return the times at which `steps` evenly spaced denoising steps begin, from 1 downwards.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"denoising_steps must be at least 1, not {steps}")
    return tuple(1 - i / steps for i in range(steps))


def euler_step(x_t: ArrayT, x: ArrayT, t: float, t_next: float) -> ArrayT:
    """Move from `x_t` at time `t` towards the predicted picture `x`, to time `t_next < t`.

    The velocity of the straight path is `(x_t - x) / t`.
    """
    return x_t + (x_t - x) * ((t_next - t) / t)  # type: ignore[operator]
