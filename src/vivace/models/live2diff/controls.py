"""Declarations of the family's own controls."""

from __future__ import annotations

from typing import Literal, get_args

from vivace.checkpoints.profile import LoraScaling
from vivace.models.controls import ControlSpec
from vivace.models.lora_controls import lora_option

Guidance = Literal["none", "self", "initialize"]

LOADING = (
    ControlSpec(
        name="autoencoder", kind="choice", scope="model", choices=("tiny", "full"), default="tiny",
        help="The tiny autoencoder, which is fast, or the full one of Stable Diffusion.",
    ),
    ControlSpec(
        name="guidance", kind="choice", scope="model", choices=get_args(Guidance), default="none",
        help="Whether a prompt is pushed beyond itself: away from the frame's own noise, or from a negative prompt, "
        "which takes one row more.",
    ),
    ControlSpec(
        name="lora_scaling", kind="choice", scope="model", choices=get_args(LoraScaling), default="alpha",
        help="Whether a LoRA's own alpha / rank counts, or is ignored, as the published implementation does.",
    ),
    ControlSpec(
        name="clip_skip", scope="model", high=24, whole=True,
        help="Last layers of the text encoder to leave out; the style's own if not given.",
    ),
)  # fmt: skip
OPTIONS = (
    ControlSpec(name="anchor", kind="event", help="Set the anchors anew from the last eight frames."),
    # Twenty seconds at 30 fps: often enough for a wandering camera, rare enough to cost next to nothing.
    ControlSpec(
        name="anchor_every", help="Frames after which anchors are set anew; 0 never.", default=600, high=1e6, whole=True
    ),
    ControlSpec(
        name="anchor_joint", kind="switch", help="Denoise anchors together, as trained; off copies them, for free.",
        default=True,
    ),
    ControlSpec(
        name="depth_every", help="Depth is estimated in every n-th frame.", default=1, low=1, high=60, whole=True
    ),
    ControlSpec(
        name="follow_camera", kind="switch", help="Move the noise with the camera, so that texture stays on the world.",
        default=False,
    ),
)  # fmt: skip
GUIDED = (
    ControlSpec(
        name="guidance_scale", help="With guidance: how far the prompt is pushed beyond itself; 1 not at all.",
        default=1.4, low=1, high=10,
    ),
    ControlSpec(name="guidance_delta", help="With guidance: how much of the residual counts.", default=0.5),
)  # fmt: skip
NEGATIVE_PROMPT = ControlSpec(
    name="negative_prompt",
    kind="text",
    encoded=True,
    excludes=True,
    help="With guidance `initialize`: what shall not be seen.",
)


def options_of(guidance: Guidance, loras: dict[str, float]) -> tuple[ControlSpec, ...]:
    """Return the controls of a model loaded with this guidance and with LoRAs of these weights."""
    weights = (lora_option(name, weight) for name, weight in loras.items())
    guided = () if guidance == "none" else GUIDED
    negative = (NEGATIVE_PROMPT,) if guidance == "initialize" else ()
    return (*negative, *OPTIONS, *guided, *weights)
