"""A program for a test: `vivace serve` around two fake models, of which the first has controls of its own."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import FakeModel
from vivace.models.base import ModelOption
from vivace.serve.main import serve
from vivace.serve.settings import ServeSettings

OPTIONS = (
    ModelOption("depth_every", "Frames between two looks at depth", 1, 1, 8, whole=True),
    ModelOption("warp", "How much of the noise moves with the source", 0.0, 0.0, 1.0),
    ModelOption("follow_camera", "1 moves the noise with the camera", 0, 0, 1, whole=True),
    ModelOption("anchor_every", "Frames after which anchors are set anew; 0 never", 600, 0, 10**6, whole=True),
    ModelOption("anchor", "Anchor the memory on the pictures to come", 0, 0, 2**31, whole=True),
    ModelOption("lora ink", "Weight of a LoRA", 1.0, 0.0, 2.0, shared=True),
)


def load(name: str) -> FakeModel:
    if name == "mini":
        return FakeModel(record=False)
    conditions = ("prompt", "strength", "negative_prompt")
    return FakeModel(conditions=conditions, options=OPTIONS, default_strength=0.5, lag=1, record=False)


if __name__ == "__main__":
    settings = ServeSettings(models=["live2diff", "mini"], size=(128, 128), slots=2, port=int(sys.argv[1]))
    sys.exit(serve(settings, load_model=load))
