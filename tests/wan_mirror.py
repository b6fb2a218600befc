"""A mirror of tiny files with random weights for a profile of the causal Wan family, and the profile for them.

    python tests/wan_mirror.py liveedit folder    # writes folder/liveedit.toml and folder/mirror

The profile is the shipped one with tiny widths, so that every convention of it is at work.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from vivace.models.wan.network import WanConfig, WanNetwork
from vivace.models.wan.taehv import Taehv, TaehvConfig
from vivace.models.wan.vae import VaeConfig, WanVae

PROFILES = ("liveedit", "self-forcing", "causal-forcing", "longlive", "streamdiffusionv2")
TEXT = "a an the turn red mug into glass ink sketch of watercolour painting moonlit night fox in snow"
WORDS = ["<pad>", "</s>", "<unk>", *TEXT.split()]
NETWORK: dict[str, dict[str, Any]] = {
    "transformer": {"dim": 48, "ffn_dim": 64, "freq_dim": 32, "text_dim": 16, "text_len": 12, "heads": 2, "layers": 2},
    "text": {"vocab_size": 40, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
    "vae": {"width": 4},
    "taehv": {"encoder": 8, "decoder": [16, 12, 8, 8]},
}
Tensors = dict[str, Tensor]
WAN = "Wan-AI/Wan2.1-T2V-1.3B"


def seeded(make: Any, cfg: Any, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make(cfg).eval()


def state_of(module: nn.Module) -> Tensors:
    return {key: value.detach().clone() for key, value in module.state_dict().items()}


@torch.no_grad()
def transformer(*, channels: int = 16, seed: int = 1, **also: Any) -> WanNetwork:
    """Return a transformer in which every part visibly matters."""
    network = seeded(WanNetwork, WanConfig(**NETWORK["transformer"], in_channels=channels, **also), seed)
    for name, parameter in network.named_parameters():
        if re.search(r"(_attn\.o|ffn\.2|head\.head|text_embedding\.2)\.weight$", name):
            parameter *= 4
    return network  # type: ignore[return-value]


@torch.no_grad()
def tiny_autoencoder(seed: int = 1) -> Taehv:
    """Return an autoencoder whose pictures are neither black nor white."""
    taehv = seeded(Taehv, TaehvConfig(8, tuple(NETWORK["taehv"]["decoder"])), seed)
    last = taehv.decoder[-1]
    last.weight *= 12
    last.bias.fill_(0.6)
    return taehv  # type: ignore[return-value]


def text_encoder(seed: int = 1) -> UMT5EncoderModel:
    return seeded(UMT5EncoderModel, UMT5Config(**NETWORK["text"]), seed)  # type: ignore[return-value]


def wan_text(encoder: UMT5EncoderModel) -> Tensors:
    """Return the encoder's weights under Wan's own names."""
    names = {
        "layer.0.SelfAttention.relative_attention_bias": "pos_embedding.embedding",
        "layer.0.SelfAttention": "attn",
        "layer.0.layer_norm": "norm1",
        "layer.1.DenseReluDense.wi_0": "ffn.gate.0",
        "layer.1.DenseReluDense.wi_1": "ffn.fc1",
        "layer.1.DenseReluDense.wo": "ffn.fc2",
        "layer.1.layer_norm": "norm2",
        "encoder.block": "blocks",
        "encoder.final_layer_norm": "norm",
        "shared": "token_embedding",
    }
    found = {}
    for key, value in state_of(encoder).items():
        if key == "encoder.embed_tokens.weight":
            continue
        for theirs, ours in names.items():
            key = key.replace(theirs, ours)
        found[key] = value
    return found


def tokenizer() -> str:
    found = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    return found.to_str()


def training_names(state: Tensors) -> Tensors:
    """Return weights as saved by a training run on several devices."""
    return {f"model._fsdp_wrapped_module.{key}": value for key, value in state.items()}


def peft_lora(network: nn.Module, seed: int = 7, rank: int = 2) -> Tensors:
    """Return a LoRA on every linear layer of the blocks, under peft's names."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, part in network.named_modules():
        if isinstance(part, nn.Linear) and name.startswith("blocks."):
            outputs, inputs = part.weight.shape
            base = f"base_model.model.{name}"
            tensors[f"{base}.lora_A.weight"] = torch.randn(rank, inputs, generator=generator) * 0.1
            tensors[f"{base}.lora_B.weight"] = torch.randn(outputs, rank, generator=generator) * 0.1
    return tensors


def contents(name: str) -> dict[str, Any]:
    """Return the files of a profile by their place of publication."""
    network = transformer(channels=32 if name == "liveedit" else 16)
    state = state_of(network)
    generators: dict[str, dict[str, Any]] = {
        "liveedit": {"cp-cp/LiveEdit/ar-forcing_002000.pt": {"generator": training_names(state)}},
        "self-forcing": {
            "gdhe17/Self-Forcing/checkpoints/self_forcing_dmd.pt": {
                "generator": training_names(state_of(transformer(seed=2))),
                "generator_ema": {f"model.{key}": value for key, value in state.items()},
                "critic": {"model.nothing": torch.zeros(1)},
            }
        },
        "causal-forcing": {
            "zhuhz22/Causal-Forcing/framewise/causal_forcing.pt": {"generator_ema": training_names(state)},
            "zhuhz22/Causal-Forcing/chunkwise/causal_forcing.pt": {
                "generator": training_names(state_of(transformer(seed=3)))
            },
        },
        "longlive": {
            "Efficient-Large-Model/LongLive-1.3B/models/longlive_base.pt": {"generator": training_names(state)},
            "Efficient-Large-Model/LongLive-1.3B/models/lora.pt": {"generator_lora": peft_lora(network)},
        },
        "streamdiffusionv2": {"jerryfeng/StreamDiffusionV2/wan_causal_dmd_v2v/model.pt": state},
    }
    return {
        **generators[name],
        f"{WAN}/models_t5_umt5-xxl-enc-bf16.pth": wan_text(text_encoder()),
        f"{WAN}/google/umt5-xxl/tokenizer.json": tokenizer(),
        f"{WAN}/Wan2.1_VAE.pth": state_of(seeded(WanVae, VaeConfig(**NETWORK["vae"]), 1)),
        "Kijai/WanVideo_comfy/taew2_1.safetensors": state_of(tiny_autoencoder()),
    }


def write(name: str, folder: Path) -> Path:
    """Write profile and mirror into a folder and return the profile's path."""
    for path, content in contents(name).items():
        save(folder / "mirror" / path, content)
    shipped = (resources.files("vivace.models") / "profiles" / f"{name}.toml").read_text("utf-8")
    tables = []
    for part, table in NETWORK.items():
        tables.append(f"\n[network.{part}]")
        tables += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    profile = folder / f"{name}.toml"
    shipped = re.sub(r"^(size|sha256) = .*\n", "", shipped, flags=re.MULTILINE)  # of the real files
    profile.write_text(shipped + "\n".join(tables) + "\n", "utf-8")
    return profile


def save(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, "utf-8")
    elif path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)


if __name__ == "__main__":
    print(write(sys.argv[1], Path(sys.argv[2])))
