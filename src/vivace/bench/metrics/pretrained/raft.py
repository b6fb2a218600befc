"""RAFT: warp error and VBench's dynamic degree with the flow that other benchmarks use."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.flow import consistent
from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.bench.metrics.judge import checkpoint_file, missing_packages, needs
from vivace.bench.metrics.motion import warp_error
from vivace.bench.metrics.pixels import nothing
from vivace.errors import BackendUnavailableError
from vivace.media.frame import Rgb

CHECKPOINT = "raft-things-802bbcfd.ckpt"
CHECKPOINT_URL = f"https://github.com/hmorimitsu/ptlflow/releases/download/weights1/{CHECKPOINT}"
DYNAMIC_FPS = 8.0
TOP_SHARE = 0.05

Flow = NDArray[np.float32]

READINGS = (
    Reading(
        key="raft_warp_error",
        title="Warp error (RAFT)",
        unit="",
        direction="lower",
        needs=(),
        source="Lai et al. 2018 (L1) with RAFT flow of the source (Teed & Deng 2020)",
        meaning="As warp_error, with estimated flow: for comparison with figures of others. Rewards blank pictures.",
        low=0.0,
        high=1.0,
    ),
    Reading(
        key="vbench_dynamic",
        title="VBench dynamic degree",
        unit="",
        direction="higher",
        needs=(),
        source="VBench (Huang et al. 2024), RAFT",
        meaning="Share of clips that move much; 0 for a frozen one. It does not ask whether the motion is right.",
        low=0.0,
        high=1.0,
    ),
)


class Raft:
    """RAFT through the package `ptlflow`, from a file on this machine."""

    name = "RAFT"
    readings = READINGS

    def __init__(self, weights: Path | None = None) -> None:
        """Look for the checkpoint in `weights` and in the cache of torch.hub."""
        self._weights = weights

    def reason(self) -> str | None:
        """Return what is missing."""
        how = f"put {CHECKPOINT_URL} into WEIGHTS or the cache of torch.hub"
        found = checkpoint_file(CHECKPOINT, self._weights)
        return needs(missing_packages("ptlflow", "torch"), "RAFT", found, how)

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return the warp error by RAFT's flow of the source, and the dynamic degree of the output."""
        count, height, width = footage.source.shape[:3]
        flow, visible = np.zeros((count, height, width, 2), np.float32), np.zeros((count, height, width), np.bool_)
        for index in range(1, count):
            now, before = footage.source[index], footage.source[index - 1]
            flow[index] = self.flow(now, before)
            visible[index] = consistent(flow[index], self.flow(before, now))
        if footage.visible_back is not None:
            # Known cuts are not bridged, whatever RAFT estimates.
            visible[~footage.visible_back.any(axis=(1, 2))] = False
        estimated = replace(footage, flow_back=flow, visible_back=visible)
        return {"raft_warp_error": warp_error(estimated), "vbench_dynamic": self._dynamic(footage.output, footage.fps)}

    def _dynamic(self, frames: Frames, fps: float) -> Series:
        """Return 1 or 0 for all frames: whether enough pairs of frames, at 8 per second, move much.

        A pair moves much if the mean of the 5 % fastest px exceeds 6 px at 256 px on the shorter side; enough is a
        quarter of the frames.
        """
        chosen = frames[:: max(1, round(fps / DYNAMIC_FPS))]
        if len(chosen) < 2:
            return nothing(len(frames))
        limit = 6 * min(frames.shape[1:3]) / 256
        moving = 0
        for before, now in pairwise(chosen):
            flow = self.flow(before, now)
            speed = np.sort(np.hypot(flow[..., 0], flow[..., 1]).ravel())
            moving += bool(speed[-max(1, int(len(speed) * TOP_SHARE)) :].mean() > limit)
        return np.full(len(frames), float(moving >= round(len(chosen) / 4)))

    def flow(self, start: Rgb, end: Rgb) -> Flow:
        """Return the flow from one picture to another, `[h w 2]` (x, y), px."""
        import torch

        # The package uses OpenCV's order of channels.
        pair = np.stack([start, end])[..., ::-1].astype(np.float32) / 255
        images = torch.from_numpy(np.ascontiguousarray(pair.transpose(0, 3, 1, 2)))[None]
        with torch.inference_mode():
            found = self._model({"images": images})["flows"][0, 0]
        return np.asarray(found.permute(1, 2, 0).float().numpy(), np.float32)

    @cached_property
    def _model(self) -> Any:
        checkpoint = checkpoint_file(CHECKPOINT, self._weights)
        if (reason := self.reason()) or checkpoint is None:
            raise BackendUnavailableError(f"RAFT {reason}")
        return importlib.import_module("ptlflow").get_model("raft", ckpt_path=str(checkpoint)).eval()
