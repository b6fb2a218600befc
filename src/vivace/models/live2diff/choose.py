"""The steps of a style."""

from __future__ import annotations

from vivace.diffusion.lcm import ORIGINAL_STEPS
from vivace.errors import UsageError
from vivace.models.live2diff.profile import Live2DiffStyle


def steps_of(style: Live2DiffStyle, steps: int | None) -> tuple[int, ...]:
    """Return the timestep indices of a style for a number of steps, at the style's own strength.

    Raises:
        UsageError: more steps than there are timesteps at that strength.
    """
    if steps in (None, len(style.t_index)):
        return style.t_index
    first, left = style.t_index[0], ORIGINAL_STEPS - style.t_index[0]
    if not 1 <= steps <= left:
        raise UsageError(f"style {style.name!r} has 1 to {left} steps at its strength, not {steps}")
    return tuple(first + step * left // steps for step in range(steps))
