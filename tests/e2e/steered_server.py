"""A program for a test: `vivace serve` around two fake models, of which the first has its own controls."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import NEGATIVE_PROMPT, FakeModel, FakeState
from vivace.models.base import NOTHING, Chunk, Prompt
from vivace.models.controls import ControlSpec
from vivace.serve.http import catalog
from vivace.serve.main import serve
from vivace.serve.settings_sources import read_settings

OPTIONS = (
    ControlSpec(name="depth_every", help="Frames between two looks at depth", default=1, low=1, high=8, whole=True),
    ControlSpec(name="warp", help="How much of the noise moves with the source", default=0.0, low=0.0, high=1.0),
    ControlSpec(name="follow_camera", kind="switch", help="Move the noise with the camera", default=False),
    ControlSpec(
        name="anchor_every",
        help="Frames after which anchors are set anew; 0 never",
        default=600,
        low=0,
        high=10**6,
        whole=True,
    ),
    ControlSpec(name="decoder", kind="choice", help="Which decoder paints", default="fast", choices=("fast", "fine")),
    ControlSpec(name="title", kind="text", help="Words in the picture", default=""),
    ControlSpec(name="anchor", kind="event", help="Anchor the memory on the pictures to come"),
    ControlSpec(name="lora ink", help="Weight of a LoRA", default=1.0, low=0.0, high=2.0, shared=True),
    ControlSpec(name="look", kind="image", size=(8, 8), help="The picture to paint like"),
    ControlSpec(name="keyframe", kind="image", help="A frame that was edited"),
    ControlSpec(name="keyframe_source", kind="image", help="The same before its edit"),
    ControlSpec(name="area", kind="mask", help="Where it is painted so"),
    ControlSpec(name="window", scope="stream", help="Frames to look back at", default=8, low=1, high=64, whole=True),
    NEGATIVE_PROMPT,
)


class Steered(FakeModel):
    """Model that paints the mean colour of `look`, as brightly as the mean of `area`, and of an edited key frame."""

    def open(self, size: tuple[int, int], *, seed: int = 0, options: Mapping[str, Any] = NOTHING) -> FakeState:
        print("opened with", dict(options), flush=True)
        return super().open(size, seed=seed)

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> NDArray[np.float32] | None:
        led = np.zeros(3, np.float32) if "keyframe" in options else None
        return led if prompt is None else prompt.embeds

    def _step(self, state: FakeState, chunk: Chunk) -> NDArray[np.uint8]:
        rgb = super()._step(state, chunk)
        if (look := chunk.options.get("look")) is not None:
            area = chunk.options.get("area")
            rgb[:] = look.mean(axis=(0, 1)) * (1.0 if area is None else area.mean() / 255)
        key, before = (chunk.options.get(name) for name in ("keyframe", "keyframe_source"))
        if key is not None and before is not None and key.shape == before.shape and (key != before).any():
            rgb[:] = key.mean(axis=(0, 1))
        return rgb


def load(name: str) -> FakeModel:
    if name == "mini":
        return FakeModel(record=False)
    conditions = ("prompt", "strength")
    return Steered(conditions=conditions, options=OPTIONS, default_strength=0.5, lag=1, record=False)


if __name__ == "__main__":
    catalog.PRESETS = tuple((style, style, style) for style in ("red", "green", "blue"))
    settings = read_settings(
        {
            "models": ["live2diff", "mini"],
            "size": (128, 128),
            "dynamic_size": None,
            "slots": 2,
            "port": int(sys.argv[1]),
        }
    )
    sys.exit(serve(settings, load_model=load))
