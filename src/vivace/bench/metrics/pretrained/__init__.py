"""Judges that need weights made by others.

Nothing is downloaded: a judge whose weights are not on the machine is not run, and says so.
"""

from __future__ import annotations

from pathlib import Path

from vivace.bench.metrics.judge import Judge, Unavailable
from vivace.bench.metrics.pretrained.clip import ClipJudge
from vivace.bench.metrics.pretrained.depth import Depth
from vivace.bench.metrics.pretrained.dino import Dino
from vivace.bench.metrics.pretrained.perceptual import Lpips
from vivace.bench.metrics.pretrained.raft import Raft
from vivace.bench.metrics.vmaf import Vmaf

__all__ = ["Judge", "judges"]


def judges(weights: Path | None = None) -> tuple[Judge, ...]:
    """Return all judges, whether they can run here (`reason`) or not.

    Args:
        weights: folder with weights, searched besides the caches of the Hugging Face hub and of torch.hub.
    """
    return (
        Vmaf(),
        ClipJudge(weights),
        Lpips(weights),
        Dino(weights),
        Depth(weights),
        Raft(weights),
        Unavailable("VBench motion smoothness", "needs the frame interpolator AMT-S; there is no adapter"),
        Unavailable("VBench imaging quality", "needs MUSIQ; there is no adapter"),
        Unavailable("VBench aesthetic quality", "needs CLIP ViT-L/14 and the LAION head; there is no adapter"),
    )
