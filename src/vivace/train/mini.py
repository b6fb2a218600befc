"""Training loop of the embedded model: flow matching with noise-coupled targets, resumable at any step.

It runs in one process per device; on a CPU, one process per core with averaged gradients is faster than one process
with many threads. A run ends when its budget of minutes is spent; the learning rate follows the spent share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vivace.models.mini.graph import resize
from vivace.models.mini.network import MiniNet
from vivace.train.batches import Batch, BatchStream
from vivace.train.losses import picture_loss, temporal_loss
from vivace.train.processes import agreed, joined, moving_average, restoring, save_checkpoint

SAY_EVERY_S = 20
Net = Callable[..., tuple[Tensor, Tensor, Tensor]]
"""`MiniNet`, compiled or not."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """Configuration of a training run."""

    targets: Path
    out: Path
    budget_minutes: float = 90.0
    clips: int | None = None
    """Clips per step and process, four frames each; 3 on a CPU, where many small steps learn faster than few large
    ones, 48 on a GPU."""
    crop: int = 128
    """Working size of most batches, px."""
    wide_crop: int = 192
    """Working size of some batches, px."""
    learning_rate: float = 1.2e-3
    warmup_steps: int = 150
    ema: float = 0.998
    seed: int = 0
    save_every_minutes: float = 4.0
    compile: bool = True


def rate(spent: float, step: int, cfg: TrainConfig) -> float:
    """Return the learning rate after the share `spent` of the budget: warm-up, flat, then linear to a hundredth."""
    flat = 0.35
    falling = 1.0 if spent < flat else max(0.01, (1 - spent) / (1 - flat))
    return cfg.learning_rate * min(1.0, (step + 1) / cfg.warmup_steps) * falling


def history(net: Net, batch: Batch, t: Tensor) -> Tensor:
    """Return a substitute for each previous output at the working size, `[n 3 h w]`; zero where it is dropped.

    History augmentation: a stream is fed with its own mistakes, so training shows a past with mistakes: noise, the look
    of another prompt, or the model's own output.
    """
    n = len(t)
    size = batch.noise.shape[-2:]
    past = batch.target
    draw = torch.rand(n // batch.frames, device=t.device).repeat_interleave(batch.frames)
    if torch.rand(()) < 0.25:
        with torch.no_grad():
            own = render(net, batch, batch.noise, torch.zeros_like(batch.noise), torch.ones_like(t))
        past = torch.where(draw.view(-1, 1, 1, 1) < 0.6, own.clamp(-1, 1), past)
    past = torch.where((draw > 0.92).view(-1, 1, 1, 1), batch.other, past)
    past = resize(past, size)
    noisy = torch.randn_like(past) * (torch.rand(n, 1, 1, 1, device=t.device) * 0.2)
    past = torch.cat([past[:1], (past + noisy)[:-1]])
    kept = batch.follows & (torch.rand(n, device=t.device) > 0.35)
    return past * kept.view(-1, 1, 1, 1)


def render(net: Net, batch: Batch, x_t: Tensor, previous: Tensor, t: Tensor) -> Tensor:
    """Run the network on a batch; return `[n 3 H W]` float."""
    small = resize(batch.source, batch.noise.shape[-2:])
    pictures = torch.cat([x_t, small, previous], 1)
    with torch.autocast(pictures.device.type, torch.bfloat16):
        out, _, _ = net(
            pictures, batch.screens, batch.textures, batch.source, batch.fine_screens, batch.strokes,
            batch.conditions(t), batch.memory(),
        )  # fmt: skip
    return out.float()


class Objective(nn.Module):
    """Flow matching: the loss of the picture predicted from a random point of the path from noise to target."""

    def __init__(self, net: MiniNet, compiled_px: int) -> None:
        """Compile for working sizes up to `compiled_px` px: rare sizes take longer to compile than to run."""
        super().__init__()
        self.net = net
        self.compiled_px = compiled_px
        self.fast = torch.compile(net.forward, dynamic=False) if compiled_px else net.forward

    def forward(self, batch: Batch) -> Tensor:
        """Return the loss of a batch."""
        n = len(batch.source)
        device = batch.source.device
        # A stream takes one step from pure noise by default; the rest of the path serves 2 and 4 steps.
        t = torch.where(torch.rand(n, device=device) < 0.75, 1.0, 0.2 + 0.8 * torch.rand(n, device=device))
        clean = resize(batch.target, batch.noise.shape[-2:])
        w = t.view(-1, 1, 1, 1)
        net = self.fast if batch.noise.shape[-1] <= self.compiled_px else self.net
        x = render(net, batch, w * batch.noise + (1 - w) * clean, history(self.net, batch, t), t)
        return picture_loss(x, batch.target) + temporal_loss(x, batch.target, batch.follows)


def train(cfg: TrainConfig, rank: int = 0, world: int = 1) -> None:
    """Train until the budget is spent, from `out/checkpoint.pt` if there is one.

    Raises:
        CheckpointError: the checkpoint is damaged or of another architecture.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(cfg.seed)
    net = MiniNet().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), cfg.learning_rate, betas=(0.9, 0.98), weight_decay=0.02)
    ema = moving_average(net, cfg.ema)
    progress = {"step": 0.0, "minutes": 0.0, "frames": 0.0}
    cfg.out.mkdir(parents=True, exist_ok=True)
    checkpoint = cfg.out / "checkpoint.pt"
    if checkpoint.exists():
        with restoring(checkpoint):
            state = torch.load(checkpoint, map_location=device, weights_only=True)
            net.load_state_dict(state["net"])
            optimiser.load_state_dict(state["optimiser"])
            ema.module.load_state_dict(state["ema"])
            progress = state["progress"]
            ema.n_averaged.fill_(int(progress["step"]))
    # After a resume, every process draws different samples from the first time.
    torch.manual_seed(cfg.seed * 1000 + rank + int(progress["step"]) * 7)
    clips = cfg.clips or (48 if device.type == "cuda" else 3)
    stream = BatchStream(
        cfg.targets,
        seed=cfg.seed * 1000 + rank + int(progress["step"]) * 7,
        clips=clips,
        crop=cfg.crop,
        wide_crop=cfg.wide_crop,
    )
    workers = max(1, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 0
    batches = iter(DataLoader(stream, batch_size=None, num_workers=workers))
    objective = joined(Objective(net, cfg.crop if cfg.compile else 0), world)
    began = saved = said = time.monotonic()
    running: float | None = None
    earlier_minutes = progress["minutes"]

    def save() -> None:
        weights = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "ema": ema.module.state_dict()}
        save_checkpoint(checkpoint, {**weights, "progress": progress})

    while True:
        spent = progress["minutes"] / cfg.budget_minutes
        if agreed(spent >= 1, world):
            break
        lr = rate(spent, int(progress["step"]), cfg)
        for group in optimiser.param_groups:
            group["lr"] = lr
        batch = next(batches).to(device)
        loss = objective(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        ema.update_parameters(net)
        progress["step"] += 1
        progress["frames"] += len(batch.source) * world
        progress["minutes"] = earlier_minutes + (time.monotonic() - began) / 60
        value = float(loss.detach())
        running = value if running is None else 0.98 * running + 0.02 * value
        if rank == 0 and int(progress["step"]) % 25 == 0:
            line = {**{k: round(v, 2) for k, v in progress.items()}, "loss": round(running, 4), "lr": round(lr, 6)}
            with (cfg.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                print(
                    f"{progress['minutes']:.1f} of {cfg.budget_minutes:g} min, step {line['step']:.0f},"
                    f" {line['frames']:.0f} frames, loss {line['loss']:.3f}",
                    file=sys.stderr,
                )
        if rank == 0 and time.monotonic() - saved > cfg.save_every_minutes * 60:
            save()
            saved = time.monotonic()
    if rank == 0:
        save()
        (cfg.out / "config.json").write_text(json.dumps({k: str(v) for k, v in asdict(cfg).items()}, indent=2))
