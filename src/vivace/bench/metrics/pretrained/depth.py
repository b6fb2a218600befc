"""MiDaS: agreement of the depth that a network estimates for the output with that for the source."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.bench.metrics.judge import HubJudge, transformers
from vivace.bench.metrics.pretrained.tensors import HALF, features

READINGS = (
    Reading(
        key="depth_mse",
        title="Depth error (MiDaS)",
        unit="",
        direction="lower",
        needs=(),
        source="Ranftl et al. 2021 (DPT-Large, MiDaS 3); Live2Diff, table 1, made free of scale",
        meaning="0: the depth guessed from the output is the source's; 1: it has nothing to do with it.",
        low=0.0,
        high=1.0,
    ),
)


class Depth(HubJudge):
    """DPT-Large, the network of MiDaS 3, through transformers, from files on this machine."""

    name = "MiDaS 3 (DPT-Large)"
    readings = READINGS
    repo = "Intel/dpt-large"
    short = "MiDaS"

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return the depth error of each frame.

        The inverse depth of both pictures is estimated, the output's is fitted to the source's by scale and shift
        (least squares), and the mean square error is divided by the source's variance. Live2Diff's figure is the mean
        square in MiDaS' own units: the two are not comparable.
        """
        pairs = zip(self._guess(footage.output), self._guess(footage.source), strict=True)
        return {"depth_mse": np.array([aligned_error(output, source) for output, source in pairs])}

    def _guess(self, frames: Frames) -> NDArray[np.float32]:
        model = self._model
        side = int(model.config.image_size)

        def network(batch: Any) -> Any:
            return model(batch).predicted_depth

        return features(frames, network, side, HALF, HALF, crop=False)

    @cached_property
    def _model(self) -> Any:
        folder = self.folder()
        model = transformers().DPTForDepthEstimation
        return model.from_pretrained(folder, local_files_only=True).eval()


def aligned_error(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Return the mean square of `wanted - (a found + b)` over the variance of `wanted`, 0 to 1, for the best a and b.

    NaN if `wanted` is constant.
    """
    x, y = found.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    x, y = x - x.mean(), y - y.mean()
    spread = float(y @ y)
    if spread < 1e-9 * y.size:
        return float("nan")
    own = float(x @ x)
    explained = float(x @ y) ** 2 / own if own > 1e-9 * x.size else 0.0
    return max(0.0, 1 - explained / spread)
