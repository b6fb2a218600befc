"""A complete model with tiny random weights, made in a second and without files."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.checkpoints.lora import UNET_PREFIX, LoraLayer, LoraStack
from vivace.models.base import RuntimeInfo
from vivace.models.live2diff.components import Components, StyleInfo
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.model import Live2DiffModel
from vivace.models.live2diff.prompts import ClipPrompts, HashTokenizer
from vivace.models.live2diff.text import ClipText, TextConfig
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.runtime.torch.device import open_device

UNET = UNetConfig(channels=(32, 32), layers=1, groups=8, text_channels=16, depth_channels=(4, 8))
TEXT = TextConfig(vocabulary=200, width=16, inner=32, layers=1, heads=2, tokens=9)


H, W = 4, 6
"""Size of the latents of `video`."""
TOLERANCE = 2e-5
"""Tolerance between two float32 computations of the same result."""
T_INDEX = {1: [35], 2: [30, 40], 3: [30, 36, 42]}
"""Step indices, by the number of steps."""


def video(frames: int, seed: int = 0) -> Tensor:
    """Return latents and depth of a clip, `[2 f 4 h w]`."""
    return torch.randn((2, frames, 4, H, W), generator=torch.Generator().manual_seed(seed))


def prompt(seed: int = 0) -> Tensor:
    """Return an embedding `[5 8]`."""
    return torch.randn((5, 8), generator=torch.Generator().manual_seed(100 + seed))


class Shrink:
    """Autoencoder without weights: means of 8 x 8 px, and their colours enlarged again."""

    def encode(self, pictures: Tensor) -> Tensor:
        means = F.avg_pool2d(pictures, 8)
        return torch.cat([means, means.mean(1, keepdim=True)], 1)

    def decode(self, latents: Tensor) -> Tensor:
        return F.interpolate(latents[:, :3], scale_factor=8.0, mode="nearest").tanh()


def brightness(pictures: Tensor) -> Tensor:
    """Return depth without weights: bright is near."""
    return pictures.mean(1) + 1


def tiny_components(
    t_index: tuple[int, ...] = (30, 40), *, guidance: Guidance = "none", lora_weight: float | None = None
) -> Components:
    """Return components in which every weight matters."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        unet, text = Live2DiffUNet(UNET).eval(), ClipText(TEXT).eval()
    loras: tuple[LoraStack, ...] = ()
    if lora_weight is not None:
        generator = torch.Generator().manual_seed(8)
        down, up = (torch.randn(shape, generator=generator) for shape in ((4, 32), (32, 4)))
        name = f"{UNET_PREFIX}down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
        stack = LoraStack(unet, UNET_PREFIX)
        stack.add("felt", {name: LoraLayer({"lora_down": down, "lora_up": up})}, weight=lora_weight)
        loras = (stack,)
    prompts = ClipPrompts(HashTokenizer(TEXT.vocabulary), text)
    style = StyleInfo("tiny", "A tiny random network.", "none", t_index, guidance)
    return Components(unet, Shrink(), brightness, prompts, style, loras)


def tiny_model(
    t_index: tuple[int, ...] = (30, 40), *, guidance: Guidance = "none", lora_weight: float | None = None
) -> Live2DiffModel:
    """Return a model of `tiny_components`, in eager mode."""
    components = tiny_components(t_index, guidance=guidance, lora_weight=lora_weight)
    return Live2DiffModel(components, open_device("cpu"), info=RuntimeInfo("eager", "CPU", "f32"))
