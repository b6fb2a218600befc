"""Cost of a system's approximations: its output against its own without them."""

from __future__ import annotations

import numpy as np

from vivace.bench.metrics.footage import Footage, Metric, Series
from vivace.bench.metrics.pixels import nothing
from vivace.bench.metrics.similarity import psnr_db


def fidelity_psnr(footage: Footage) -> Series:
    """Return the PSNR of each frame against the exact run, dB, 0 to 100 (identical), higher is better."""
    assert footage.exact is not None
    return np.array([psnr_db(output, exact) for output, exact in zip(footage.output, footage.exact, strict=True)])


def fidelity_rel_rmse(footage: Footage) -> Series:
    """Return the relative RMSE of each frame against the exact run, at least 0, lower is better.

    `sqrt(mean (output - exact)²) / (std(exact) + 1)`, in levels of 255. SANA-Streaming's RelRMSE divides by the
    reference's spread in the same way, but on latents, which other systems do not have.
    """
    assert footage.exact is not None
    errors = nothing(len(footage.output))
    for index, (output, exact) in enumerate(zip(footage.output, footage.exact, strict=True)):
        difference = output.astype(np.float32) - exact
        errors[index] = np.sqrt(np.square(difference).mean(dtype=np.float64)) / (float(exact.std()) + 1)
    return errors


def fidelity_temporal(footage: Footage) -> Series:
    """Return the difference of each frame's change from that of the exact run, 0 to 2, lower is better.

    `mean |(O_i - O_{i-1}) - (X_i - X_{i-1})| / 255`: the temporal MAE of StreamDiffusionV2's evaluation. NaN in frame
    0.
    """
    assert footage.exact is not None
    errors = nothing(len(footage.output))
    off = [o.astype(np.int16) - x for o, x in zip(footage.output, footage.exact, strict=True)]
    for index in range(1, len(off)):
        errors[index] = np.abs(off[index] - off[index - 1]).mean(dtype=np.float64) / 255
    return errors


METRICS = (
    Metric(
        key="fidelity_psnr",
        title="PSNR to the exact run",
        unit="dB",
        direction="higher",
        needs=("exact",),
        source="StreamDiffusionV2, video metrics",
        meaning="100: the short cuts change nothing; above 40: nobody sees it; under 30: visibly another picture.",
        measure=fidelity_psnr,
        low=0.0,
        high=100.0,
    ),
    Metric(
        key="fidelity_rel_rmse",
        title="Relative error to the exact run",
        unit="",
        direction="lower",
        needs=("exact",),
        source="SANA-Streaming (RelRMSE), on pixels",
        meaning="0: the same as without short cuts; 1: as far off as a plain grey picture.",
        measure=fidelity_rel_rmse,
        low=0.0,
    ),
    Metric(
        key="fidelity_temporal",
        title="Temporal error to the exact run",
        unit="",
        direction="lower",
        needs=("exact",),
        source="StreamDiffusionV2, video metrics (temporal MAE)",
        meaning="How differently it changes from frame to frame; 0: just as without short cuts.",
        measure=fidelity_temporal,
        low=0.0,
        high=2.0,
    ),
)
