"""The training loop of a LoRA: the objective of `models.wan.objective`, of which only the adapters are trained.

A run can be stopped at any step and goes on to the same numbers: what is drawn depends on the step alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from vivace.models.wan.lora import layer_name
from vivace.models.wan.network import WanNetwork
from vivace.models.wan.objective import flow_loss
from vivace.models.wan.profile import Sampling
from vivace.train.lora.examples import Example
from vivace.train.processes import replacing, restoring, save_checkpoint

CHECKPOINT, LORA, LOG = "checkpoint.pt", "lora.safetensors", "log.jsonl"
"""Files in the folder of a run."""


@dataclass(frozen=True, slots=True)
class FitConfig:
    """A run of the trainer."""

    out: Path
    steps: int = 1000
    rank: int = 16
    """Rank of the adapters; their alpha is the same, so that they are merged at full strength with weight 1."""
    learning_rate: float = 1e-4
    warmup_steps: int = 20
    seed: int = 0
    save_every: int = 50
    """Steps between two checkpoints."""


class Adapter(nn.Module):
    """A linear layer that stays, and the two factors of its change."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        device = base.weight.device
        self.down = nn.Parameter((torch.randn(rank, base.in_features) * base.in_features**-0.5).to(device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Return the changed layer's output `[… out]` for `x [… in]`."""
        change = F.linear(F.linear(x, self.down.to(x.dtype)), self.up.to(x.dtype))
        result: Tensor = self.base(x) + change
        return result


def add_adapters(network: WanNetwork, rank: int, seed: int) -> dict[str, Adapter]:
    """Put an adapter in the place of every linear layer within the blocks; return them by their names in files."""
    adapters = {}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for name, module in list(network.blocks.named_modules()):
            if isinstance(module, nn.Linear):
                parent, _, leaf = name.rpartition(".")
                adapter = Adapter(module, rank)
                setattr(network.blocks.get_submodule(parent), leaf, adapter)
                adapters[layer_name(f"blocks.{name}")] = adapter
    return adapters


def fit(
    network: WanNetwork,
    sampling: Sampling,
    examples: Sequence[Path],
    cfg: FitConfig,
    report: Callable[[int, float], object] = lambda _step, _loss: None,
) -> Path:
    """Train adapters until `cfg.steps`, from the checkpoint of the run if there is one; return the LoRA's file.

    Args:
        network: frozen, and changed in place.
        sampling: of the checkpoint.
        examples: files of `encode_clips`.
        cfg: of the run.
        report: told the step and its loss.

    Raises:
        CheckpointError: the run's checkpoint is damaged, or of another rank or model.
    """
    cfg.out.mkdir(parents=True, exist_ok=True)
    adapters = nn.ModuleDict(add_adapters(network.requires_grad_(False), cfg.rank, cfg.seed))
    weights = [weight for weight in adapters.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, cfg.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    step, path = 0, cfg.out / CHECKPOINT
    if path.exists():
        with restoring(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
            _load(adapters, state["adapters"])
            optimiser.load_state_dict(state["optimiser"])
            step = int(state["step"])
    device = network.patch_embedding.weight.device
    network.recompute = device.type == "cuda"
    try:
        while step < cfg.steps:
            generator = torch.Generator().manual_seed(cfg.seed * 1_000_003 + step)
            chosen = examples[int(torch.randint(len(examples), (), generator=generator))]
            began_s = time.monotonic()
            clip = Example.read(chosen, device)
            loss = flow_loss(network, sampling, clip.latents, clip.embeds, generator, clip.source)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 1.0)
            for group in optimiser.param_groups:
                group["lr"] = cfg.learning_rate * min(1.0, (step + 1) / cfg.warmup_steps)
            optimiser.step()
            step += 1
            line = {
                "step": step,
                "loss": round(float(loss.detach()), 5),
                "seconds": round(time.monotonic() - began_s, 3),
            }
            with (cfg.out / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
            report(step, line["loss"])
            if step % cfg.save_every == 0 and step < cfg.steps:
                _save(adapters, optimiser, step, cfg)
    finally:
        # Ctrl-C ends between or within steps; what was reached is kept.
        _save(adapters, optimiser, step, cfg)
    return cfg.out / LORA


def _load(adapters: nn.ModuleDict, state: dict[str, Tensor]) -> None:
    own = _trained(adapters)
    if own.keys() != state.keys() or any(own[name].shape != value.shape for name, value in state.items()):
        raise ValueError("it has adapters of another rank or model")
    for name, value in state.items():
        own[name].data.copy_(value)


def _trained(adapters: nn.ModuleDict) -> dict[str, Tensor]:
    """Return the factors of all adapters, by their names in LoRA files."""
    factors: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        assert isinstance(adapter, Adapter)
        factors |= {f"{name}.lora_down.weight": adapter.down, f"{name}.lora_up.weight": adapter.up}
    return factors


def _save(adapters: nn.ModuleDict, optimiser: torch.optim.Optimizer, step: int, cfg: FitConfig) -> None:
    factors = {name: factor.detach().cpu().contiguous() for name, factor in _trained(adapters).items()}
    state = {"adapters": factors, "optimiser": optimiser.state_dict(), "step": step}
    save_checkpoint(cfg.out / CHECKPOINT, state)
    alphas = {f"{name}.alpha": torch.tensor(float(cfg.rank)) for name in adapters}
    with replacing(cfg.out / LORA) as partial:
        save_file(factors | alphas, partial, {"format": "pt", "step": str(step), "rank": str(cfg.rank)})
