"""Residual guidance: pushing a prompt beyond itself at no, or next to no, extra cost (Kodaira et al., StreamDiffusion).

Classifier-free guidance compares the prediction under the prompt with one under another text, which doubles the work.
Here the other prediction is not made but computed: the noise that would lead from `x_t` straight back to an *origin*,

    residual = (x_t - sqrt(alpha_bar) * origin) / sqrt(1 - alpha_bar)

and the guided prediction is `delta * residual + scale * (predicted - delta * residual)`. With `self` the origin is the
source itself, so that guidance leads away from it. With `initialize` it is what the network makes of the first row's
`x_t` under the negative prompt, once a frame: one more row in the batch, with a cache of its own. The origin belongs to
the frame and moves down the rows with it.
"""

from __future__ import annotations

from torch import Tensor


def residual_noise(x_t: Tensor, origin: Tensor, sqrt_alpha: Tensor, sqrt_beta: Tensor) -> Tensor:
    """Return the noise that leads from `x_t [t ...]` back to `origin [t ...]` in one step (equation 6 of the paper)."""
    return (x_t - sqrt_alpha * origin) / sqrt_beta


def guide(predicted: Tensor, residual: Tensor, scale: Tensor, delta: Tensor) -> Tensor:
    """Return the guided noise; a `scale` of 1 is the prediction itself, whatever `delta` (equation 4)."""
    against = delta * residual
    return against + scale * (predicted - against)
