"""Residual guidance: classifier-free guidance at little or no extra cost (Kodaira et al., StreamDiffusion).

Classifier-free guidance compares the prediction under the prompt with one under another text, which doubles the work.
Here the other prediction is computed directly, as the noise that leads from `x_t` straight back to an *origin*,

    residual = (x_t - sqrt(alpha_bar) * origin) / sqrt(1 - alpha_bar)

and the guided prediction is `delta * residual + scale * (predicted - delta * residual)`. With `self` the origin is the
source, so that guidance leads away from it. With `initialize` it is the network's prediction of x_0 from the first
row's `x_t` under the negative prompt, once per frame: one more row in the batch, with a cache of its own. The origin
belongs to the frame and moves down the rows with it.
"""

from __future__ import annotations

from torch import Tensor


def residual_noise(x_t: Tensor, origin: Tensor, sqrt_alpha: Tensor, sqrt_beta: Tensor) -> Tensor:
    """Return the noise that leads from `x_t [t ...]` back to `origin [t ...]` in one step (equation 6 of the paper)."""
    return (x_t - sqrt_alpha * origin) / sqrt_beta


def guide(predicted: Tensor, residual: Tensor, scale: Tensor, delta: Tensor) -> Tensor:
    """Return the guided noise; a `scale` of 1 gives the prediction itself, whatever `delta` (equation 4)."""
    against = delta * residual
    return against + scale * (predicted - against)
