"""CLIP: agreement of the output with the prompt, and from frame to frame."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.bench.metrics.judge import HubJudge, transformers
from vivace.bench.metrics.pretrained.tensors import CLIP_MEAN, CLIP_STD, consistency, cosine, features

READINGS = (
    Reading(
        key="clip_text",
        title="CLIP text alignment",
        unit="",
        direction="higher",
        needs=("prompt",),
        source="Radford et al. 2021, ViT-B/32; as of TGVE and StreamDiffusionV2",
        meaning="Cosine of picture and prompt; published editors lie at 0.25 to 0.28, so a hundredth is much.",
        low=-1.0,
        high=1.0,
    ),
    Reading(
        key="clip_consistency",
        title="CLIP frame consistency",
        unit="",
        direction="higher",
        needs=(),
        source="Esser et al. 2023 (Gen-1), ViT-B/32; as of Live2Diff",
        meaning="Cosine of consecutive frames; published editors lie at 0.91 to 0.98. A frozen picture has 1.",
        low=-1.0,
        high=1.0,
    ),
    Reading(
        key="vbench_background",
        title="VBench background consistency",
        unit="",
        direction="higher",
        needs=(),
        source="VBench (Huang et al. 2024), CLIP ViT-B/32",
        meaning="How alike all frames are to CLIP; it never looks at the source, and a frozen picture has 1.",
        low=0.0,
        high=1.0,
    ),
)


class ClipJudge(HubJudge):
    """CLIP ViT-B/32 through transformers, from files on this machine."""

    name = "CLIP ViT-B/32"
    readings = READINGS
    repo = "openai/clip-vit-base-patch32"
    short = "CLIP"

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return text alignment (with a prompt), frame consistency and VBench's background consistency.

        `clip_text` is the cosine of each frame with the prompt, -1 to 1. `clip_consistency` is the cosine with the
        frame before; pairs across cuts are left out if cuts are known. Frames are scaled to 224 px on the shorter side
        and centre-cropped, as in CLIP's training.
        """
        pictures = self._pictures(footage.output)
        found: dict[str, Series] = {}
        if footage.prompt is not None:
            found["clip_text"] = cosine(pictures, self._text(footage.prompt)[None])
        steady = np.full(len(pictures), np.nan)
        steady[1:] = cosine(pictures[1:], pictures[:-1])
        if footage.visible_back is not None:
            steady[~footage.visible_back.any(axis=(1, 2))] = np.nan
        found["clip_consistency"] = steady
        found["vbench_background"] = consistency(pictures)
        return found

    def _pictures(self, frames: Frames) -> NDArray[np.float32]:
        model, _ = self._loaded
        side = int(model.config.vision_config.image_size)

        def network(batch: Any) -> Any:
            return model.visual_projection(model.vision_model(batch).pooler_output)

        return features(frames, network, side, CLIP_MEAN, CLIP_STD, crop=True)

    def _text(self, prompt: str) -> NDArray[np.float32]:
        import torch

        model, tokenizer = self._loaded
        longest = int(model.config.text_config.max_position_embeddings)
        tokens = tokenizer([prompt], truncation=True, max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            pooled = model.text_model(tokens["input_ids"], tokens["attention_mask"]).pooler_output
            return np.asarray(model.text_projection(pooled)[0].float().numpy(), np.float32)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        folder = self.folder()
        model = transformers().CLIPModel.from_pretrained(folder, local_files_only=True).eval()
        return model, transformers().CLIPTokenizer.from_pretrained(folder, local_files_only=True)
