"""Training loop of the style classifier: cross-entropy with shares, resumable at any step.

Batches and dropout are seeded by the step, so a resumed run sees the same as an uninterrupted one.
"""

from __future__ import annotations

import json
import math
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vivace.errors import CheckpointError
from vivace.train.classifier.network import StyleNet
from vivace.train.classifier.samples import SampleSource
from vivace.train.processes import moving_average, restoring, save_checkpoint

STEPS = 7500
LOG_EVERY = 100
SAVE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Configuration of a training run."""

    targets: Path
    out: Path
    steps: int = STEPS
    batch: int = 32
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    weight_decay: float = 0.02
    ema: float = 0.998
    seed: int = 0


def rate(step: int, cfg: FitConfig) -> float:
    """Return the learning rate of a step: warm-up, then a half cosine to a hundredth."""
    falling = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / cfg.steps))
    return cfg.learning_rate * min(1.0, (step + 1) / cfg.warmup_steps) * falling


def loss_of(logits: Tensor, shares: Tensor) -> Tensor:
    """Return the cross-entropy of `logits [b c]` with `shares [b c]`, minus its minimum (their entropy), nats."""
    entropy = -torch.special.xlogy(shares, shares).sum(1)
    return (-(shares * torch.log_softmax(logits, 1)).sum(1) - entropy).mean()


def fit(cfg: FitConfig, *, report: Callable[[int], None] = lambda _step: None) -> Path:
    """Train until all steps are done, from `out/checkpoint.pt` if there is one; return its path.

    Raises:
        SourceNotFoundError: there are no targets.
        CheckpointError: the checkpoint is damaged or of another network.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = SampleSource(cfg.targets, seed=cfg.seed)
    torch.manual_seed(cfg.seed)
    net = StyleNet().to(device)
    optimiser = torch.optim.AdamW(net.parameters(), cfg.learning_rate, weight_decay=cfg.weight_decay)
    ema = moving_average(net, cfg.ema)
    step = 0
    cfg.out.mkdir(parents=True, exist_ok=True)
    checkpoint = cfg.out / "checkpoint.pt"
    if checkpoint.exists():
        with restoring(checkpoint):
            state = torch.load(checkpoint, map_location=device, weights_only=True)
            net.load_state_dict(state["net"])
            optimiser.load_state_dict(state["optimiser"])
            ema.module.load_state_dict(state["ema"])
            step = int(state["step"])
            ema.n_averaged.fill_(step)
    report(step)
    saved, running, since = time.monotonic(), 0.0, step
    while step < cfg.steps:
        samples = source.draw(step, cfg.batch).to(device)
        torch.manual_seed(cfg.seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = rate(step, cfg)
        loss = loss_of(net(samples.pictures, samples.areas), samples.shares)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        ema.update_parameters(net)
        step += 1
        running += float(loss.detach())
        if step % LOG_EVERY == 0:
            with (cfg.out / "log.jsonl").open("a") as log:
                log.write(json.dumps({"step": step, "loss": round(running / (step - since), 4)}) + "\n")
            running, since = 0.0, step
            report(step)
        if step == cfg.steps or time.monotonic() - saved > SAVE_EVERY_S:
            weights = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "ema": ema.module.state_dict()}
            save_checkpoint(checkpoint, {**weights, "step": step})
            saved = time.monotonic()
    return checkpoint


def load(path: Path) -> tuple[StyleNet, int]:
    """Return the averaged network of a checkpoint, ready for inference, and its number of training steps.

    Raises:
        CheckpointError: missing, damaged or of another network.
    """
    net = StyleNet()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(state["ema"])
        return net.eval(), int(state["step"])
    except (OSError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path}: no checkpoint of the style classifier ({error}); make one: vivace train classifier fit"
        ) from error
