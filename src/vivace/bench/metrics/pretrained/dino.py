"""DINO: agreement of the output's layout with the source's, and constancy of its subject."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.bench.metrics.judge import HubJudge, transformers
from vivace.bench.metrics.pretrained.tensors import IMAGENET_MEAN, IMAGENET_STD, consistency, features

READINGS = (
    Reading(
        key="dino_structure",
        title="DINO structure distance",
        unit="",
        direction="lower",
        needs=(),
        source="Tumanyan et al. 2022 (Splice), keys of the last layer; ViT-B/16",
        meaning="0: the output's parts relate to each other as the source's do; published editors lie at 0.01 to 0.1.",
        low=0.0,
        high=4.0,
    ),
    Reading(
        key="vbench_subject",
        title="VBench subject consistency",
        unit="",
        direction="higher",
        needs=(),
        source="VBench (Huang et al. 2024), DINO ViT-B/16",
        meaning="How alike all frames are to DINO; it never looks at the source, and a frozen picture has 1.",
        low=0.0,
        high=1.0,
    ),
)


class Dino(HubJudge):
    """DINO ViT-B/16 through transformers, from files on this machine."""

    name = "DINO ViT-B/16"
    readings = READINGS
    repo = "facebook/dino-vitb16"
    short = "DINO"

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return structure distance and VBench's subject consistency.

        `dino_structure` is the mean square difference of the two pictures' matrices of cosines between the keys of all
        patches in the last layer, 0 to 4.
        """
        keys, classes = self._look(footage.output)
        source_keys, _ = self._look(footage.source)
        pairs = zip(keys, source_keys, strict=True)
        distances = [float(np.square(_likeness(a) - _likeness(b)).mean(dtype=np.float64)) for a, b in pairs]
        return {"dino_structure": np.array(distances), "vbench_subject": consistency(classes)}

    def _look(self, frames: Frames) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the keys of all tokens, `[t n c]`, and the class token of each picture, `[t c]`."""
        model = self._model
        kept: list[Any] = []
        last = [module for name, module in model.named_modules() if name.rsplit(".")[-1] in ("k_proj", "key")][-1]
        hook = last.register_forward_hook(lambda _module, _inputs, keys: kept.append(keys))
        try:
            side = int(model.config.image_size)

            def network(batch: Any) -> Any:
                return model(batch).last_hidden_state[:, 0]

            classes = features(frames, network, side, IMAGENET_MEAN, IMAGENET_STD, crop=False)
        finally:
            hook.remove()
        return np.concatenate([keys.float().numpy() for keys in kept]), classes

    @cached_property
    def _model(self) -> Any:
        folder = self.folder()
        model = transformers().ViTModel
        return model.from_pretrained(folder, local_files_only=True, add_pooling_layer=False).eval()


def _likeness(keys: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of every token's key with every other's, `[n n]`."""
    unit = keys / np.maximum(np.linalg.norm(keys, axis=1, keepdims=True), 1e-8)
    return np.asarray(unit @ unit.T, np.float32)
