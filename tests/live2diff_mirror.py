"""A folder of models with tiny random weights: every part of the real one, in a few megabytes.

    python tests/live2diff_mirror.py FOLDER

writes `FOLDER/tiny.toml`, a profile of the live2diff family, and `FOLDER/mirror`, laid out as the hub's repositories
and as a folder of models, so that `vivace models pull FOLDER/tiny.toml --mirror file://FOLDER/mirror` and everything
after it runs without a network.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn

from vivace.checkpoints.lora import TEXT_PREFIX, UNET_PREFIX, lora_targets
from vivace.models.live2diff.autoencoder import (
    LDM_AUTOENCODER,
    FullAutoencoder,
    FullConfig,
    TinyAutoencoder,
    TinyConfig,
    ldm_autoencoder_name,
)
from vivace.models.live2diff.checkpoint import LDM_TEXT, is_added, ldm_name
from vivace.models.live2diff.detector import DepthDetector, DetectorConfig, midas_name
from vivace.models.live2diff.prompts import END, START
from vivace.models.live2diff.text import ClipText, TextConfig
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig

Tensors = dict[str, Tensor]
MERGES = ["c a", "ca t</w>", "d o", "do g</w>", "i n", "in k</w>"]
ALPHABET = sorted(ByteLevel.alphabet())
WORDS = [*ALPHABET, *(f"{letter}</w>" for letter in ALPHABET), *(merge.replace(" ", "") for merge in MERGES)]

UNET = UNetConfig(channels=(32, 32), layers=1, groups=8, text_channels=16, depth_channels=(4, 8))
TEXT = TextConfig(vocabulary=len(WORDS) + 2, width=16, inner=32, layers=3, heads=2)
TINY = TinyConfig(width=8, blocks=(1, 1, 1, 1))
FULL = FullConfig(channels=(8, 8, 8, 8), layers=1, groups=4)
DETECTOR = DetectorConfig(
    stem=8, stages=(16, 24, 32), depths=(1, 1, 1), groups=4, width=32, inner=48, layers=4, heads=2, hooks=(2, 3),
    fusion=16, side=64,
)  # fmt: skip
NETWORK = {"unet": UNET, "text": TEXT, "tiny": TINY, "full": FULL, "detector": DETECTOR}

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"
STYLE_BASE = "Model/painted.safetensors"
STYLE_LORA = "LoRA/brush.safetensors"
WORD = "embeddings/sks.safetensors"


def seeded(kind: type[nn.Module], cfg: object, seed: int) -> nn.Module:
    """Return a module with random weights in which every tensor matters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = kind(cfg)
        for parameter in module.parameters():
            parameter.data += torch.randn(parameter.shape) * 0.05
    return module.requires_grad_(False).eval()


def state_of(module: nn.Module) -> Tensors:
    """Return tensors that share no memory, as they are saved."""
    return {key: value.clone().contiguous() for key, value in module.state_dict().items()}


def lora_of(targets: dict[str, Tensor], seed: int, *, rank: int = 2, every: int = 1) -> Tensors:
    """Return a LoRA in kohya's naming on every n-th layer, with half the usual scale."""
    generator = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for key, weight in list(targets.items())[::every]:
        outputs, inputs, *kernel = weight.shape
        tensors[f"{key}.lora_down.weight"] = torch.randn(rank, inputs, *kernel, generator=generator) * 0.1
        tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, rank, *[1] * len(kernel), generator=generator) * 0.1
        tensors[f"{key}.alpha"] = torch.tensor(rank / 2)
    return tensors


def whole_model(seed: int) -> Tensors:
    """Return a whole model as styles are published: UNet, text encoder and autoencoder under LDM's names."""
    unet, text, full = (
        seeded(Live2DiffUNet, UNET, seed),
        seeded(ClipText, TEXT, seed),
        seeded(FullAutoencoder, FULL, seed),
    )
    tensors = {ldm_name(k, layers=UNET.layers): v for k, v in state_of(unet).items() if not is_added(k)}
    tensors |= {LDM_TEXT + key: value for key, value in state_of(text).items()}
    tensors |= {LDM_AUTOENCODER + ldm_autoencoder_name(k): v for k, v in state_of(full.net).items()}
    return tensors


def motion_file(unet: nn.Module) -> dict[str, Any]:
    """Return live2diff.ckpt: wrapped for training on many devices, with the step it came from."""
    state = {f"module.{key}": value for key, value in state_of(unet).items() if is_added(key)}
    return {"global_step": 191999, "state_dict": state}


def original_detector(detector: DepthDetector) -> Tensors:
    """Return the depth detector as MiDaS publishes it."""
    state = detector.net.state_dict()
    tensors = {midas_name(k): v.clone() for k, v in state.items() if ".attention.attention." not in k}
    for layer in range(DETECTOR.layers):
        for leaf in ("weight", "bias"):
            parts = [
                state[f"dpt.encoder.layer.{layer}.attention.attention.{part}.{leaf}"]
                for part in ("query", "key", "value")
            ]
            tensors[f"pretrained.model.blocks.{layer}.attn.qkv.{leaf}"] = torch.cat(parts)
    return tensors


def write(folder: Path) -> Path:
    """Write profile and mirror into a folder and return the profile's path."""
    mirror = folder / "mirror"
    unet, text = seeded(Live2DiffUNet, UNET, 1), seeded(ClipText, TEXT, 1)
    detector = seeded(DepthDetector, DETECTOR, 1)
    detector.net.head.head[4].bias.data.fill_(1)
    vocabulary = {word: number for number, word in enumerate([*WORDS, START, END])}
    config = {
        "_class_name": "UNet2DConditionModel",
        "block_out_channels": list(UNET.channels),
        "cross_attention_dim": UNET.text_channels,
        "in_channels": UNET.latent_channels,
    }
    both = lora_targets(unet, UNET_PREFIX) | lora_targets(text, TEXT_PREFIX)
    still = {key: weight for key, weight in lora_targets(unet, UNET_PREFIX).items() if "motion" not in key}
    base = {key: value for key, value in state_of(unet).items() if not is_added(key)}
    contents: dict[str, object] = {
        "Leoxing/Live2Diff/live2diff.ckpt": motion_file(unet),
        f"{SD}/unet/config.json": json.dumps(config),
        f"{SD}/unet/diffusion_pytorch_model.safetensors": base,
        f"{SD}/unet/diffusion_pytorch_model.fp16.safetensors": {key: value.half() for key, value in base.items()},
        f"{SD}/text_encoder/model.safetensors": state_of(text),
        f"{SD}/vae/diffusion_pytorch_model.safetensors": state_of(seeded(FullAutoencoder, FULL, 1).net),
        f"{SD}/tokenizer/vocab.json": json.dumps(vocabulary),
        f"{SD}/tokenizer/merges.txt": "\n".join(["#version: 0.2", *MERGES, ""]),
        "latent-consistency/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors": lora_of(still, 5),
        "madebyollin/taesd/diffusion_pytorch_model.safetensors": state_of(seeded(TinyAutoencoder, TINY, 1).net),
        "Intel/dpt-hybrid-midas/model.safetensors": state_of(detector.net),
        "dpt_hybrid_384.pt": original_detector(detector),
        STYLE_BASE: whole_model(2),
        STYLE_LORA: lora_of(both, 6, every=3),
        WORD: {"sks": torch.randn(2, TEXT.width, generator=torch.Generator().manual_seed(8))},
    }
    for name, content in contents.items():
        _save(mirror / name, content)
    profile = folder / "tiny.toml"
    profile.write_text(_profile(mirror), "utf-8")
    return profile


def _save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, "utf-8")
    elif path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)


def _profile(mirror: Path) -> str:
    """Return the shipped profile with the sizes of these files, tiny widths, and one style besides the plain one."""
    shipped = (resources.files("vivace.models") / "profiles" / "live2diff.toml").read_text("utf-8")
    conventions = shipped[shipped.index("[conventions]") : shipped.index("[network.")]
    files = []
    for role, spec in tomllib.loads(shipped)["files"].items():
        files.append(f"[files.{role}]")
        files += [f"{key} = {_toml(value)}" for key, value in spec.items() if key in ("licence", "optional", "unless")]
        files += _source(spec, mirror, known=role != "detector")
        for name, variant in spec.get("variants", {}).items():
            files += [f"[files.{role}.variants.{name}]", *_source(variant, mirror, known=False)]
    network = []
    for part, cfg in NETWORK.items():
        network.append(f"[network.{part}]")
        network += [f"{name} = {_toml(getattr(cfg, name))}" for name in type(cfg).__slots__]
    styles = f"""
[styles.plain]
summary = "Nothing on top."
t_index = [30, 40]
clip_skip = 1

[styles.painted]
summary = "Another base, a LoRA and a learned word."
prompt = "painted, {{}}"
t_index = [25, 34, 43]
clip_skip = 2
base = {{ path = "{STYLE_BASE}", obtain = "a friend" }}
loras = [{{ path = "{STYLE_LORA}", obtain = "a friend", weight = 0.7 }}]
words.sks = {{ path = "{WORD}", obtain = "a friend" }}
"""
    head = 'name = "tiny"\nfamily = "live2diff"\nsummary = "A toy for tests."\nlicence = "Apache-2.0"\n'
    return "\n".join([head, *files, "", conventions, *network, styles])


def _source(spec: dict[str, Any], mirror: Path, *, known: bool) -> list[str]:
    lines = [f"{key} = {_toml(spec[key])}" for key in ("repo", "path") if key in spec]
    path = mirror / spec.get("repo", "") / spec["path"]
    if known:
        content = path.read_bytes()
        lines += [f"size = {len(content)}", f'sha256 = "{hashlib.sha256(content).hexdigest()}"']
    return lines


def _toml(value: object) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
