"""Training loop of key frames: regression to exact renders, on the network's own history, resumable at any step.

A run is a folder: `checkpoint.pt`, `log.csv` (a row every few steps), `segments.csv` (a row per start). The same
command starts and resumes it; SIGTERM and Ctrl-C save and end it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vivace.errors import CheckpointError
from vivace.models.keyframes.motion import carry, find, grey, search, trust
from vivace.models.keyframes.network import KeyframeNet
from vivace.models.mini2.config import BLOCK_PX
from vivace.train.keyframes.pairs import Example, Pool, draw_example, known_motion
from vivace.train.keyframes.student import Followed, follow, inputs, remember, to_rgb
from vivace.train.looks.fit import Progress, Stop, learning_rate, log_line, log_segment
from vivace.train.looks.losses import picture_loss, temporal_loss
from vivace.train.looks.material import read_material
from vivace.train.looks.optimiser import Optimiser
from vivace.train.looks.student import signed
from vivace.train.processes import agreed, joined, moving_average, restoring, save_checkpoint

SIDES = (128, 192, 256)
"""Sides of the views, px; a batch of smaller ones has more, of about as many px."""
ANEW = 0.5
"""Share of steps with new examples; the others go on with the last ones, on the network's own outputs."""
SAY_EVERY_STEPS = 20
_SEARCH = search()


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Configuration of a training run."""

    out: Path
    data: Path
    """Folder of licensed pictures, with a MANIFEST.csv."""
    targets: Path | None = None
    """Folder of the baked targets of looks, whose pictures are edits, too."""
    steps: int | None = None
    """Last step; None runs until stopped."""
    cool_down: int = 0
    """Steps before `steps` in which the learning rate falls, linearly to a hundredth; 0 keeps it."""
    pairs: int = 4
    """Examples of 192 px per step, over all processes."""
    crop: int = 192
    learning_rate: float = 8e-4
    warmup_steps: int = 100
    ema: float = 0.998
    seed: int = 0
    save_every_minutes: float = 3.0


class Objective(nn.Module):
    """Trained module: from examples to the terms of their loss."""

    def __init__(self, net: KeyframeNet) -> None:
        super().__init__()
        self.net = net
        self.last: tuple[list[Example], Tensor] | None = None
        """Examples of the last step, and the output for their last frames `[n 3 h w]`."""

    def forward(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return the loss of two frames of each example, the second given the network's own first, by its terms.

        History augmentation: the past of the first frame is none, the target with noise, out of place or blurred, the
        source (an edit that has just been made), or another edit (a key frame that has just been replaced). Examples
        that are given again go on from the output of the step before, so that errors of long streams are met.
        """
        keys, edits = (signed([getattr(e, part)[0] for e in examples]) for part in ("sources", "targets"))
        sources, targets = (
            torch.stack([signed([getattr(e, part)[n] for e in examples]) for n in (1, 2)], 1)
            for part in ("sources", "targets")
        )
        memory = remember(self.net, keys, edits) if rng.random() > 0.08 else None
        frames = [
            [Followed(e.sources[n], e.sources[0], e.targets[0], known_motion(e, n, rng)) for e in examples]
            for n in (1, 2)
        ]
        if self.last is not None and self.last[0] is examples:
            past, certain = _carried_past(examples, self.last[1], sources[:, 0], rng, 1)
        else:
            past, certain = _first_past(sources[:, 0], targets[:, 0], rng)
        first = follow(self.net, *inputs(frames[0], past, certain), memory)
        past, certain = _carried_past(examples, first.detach(), sources[:, 1], rng, 2)
        second = follow(self.net, *inputs(frames[1], past, certain), memory)
        self.last = examples, second.detach()
        nothing = torch.zeros(len(examples))
        picture = sum(picture_loss(x, targets[:, n], sources[:, n], nothing) for n, x in enumerate((first, second)))
        temporal = temporal_loss(torch.stack([first, second], 1), targets, sources, nothing).mean()
        assert isinstance(picture, Tensor)
        return {"picture": 0.5 * picture, "temporal": temporal}


def _first_past(source: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    past = source.clone()
    certain = torch.zeros(len(source), 1, *(side // BLOCK_PX for side in source.shape[2:]))
    for n in range(len(source)):
        pick = rng.random()
        if pick < 0.4:
            continue
        certain[n] = 1
        if pick < 0.75:
            wrong = target[n].roll(tuple(int(v) for v in rng.integers(-1, 2, 2)), (1, 2))
            wrong = wrong + float(rng.uniform(0, 0.1)) * torch.from_numpy(
                rng.standard_normal(tuple(wrong.shape), np.float32)
            )
            weight = float(rng.uniform(0.5, 1))
            past[n] = (source[n] + weight * (wrong - source[n])).clamp(-1, 1)
        elif pick < 0.88:
            past[n] = target[n][torch.from_numpy(rng.permutation(3))]
    return past, certain


def _carried_past(
    examples: list[Example], painted: Tensor, source: Tensor, rng: np.random.Generator, frame: int
) -> tuple[Tensor, Tensor]:
    """Return the other frame's output, carried to frame 1 or 2, and the trust in it."""
    pictures = to_rgb(painted)
    past = source.clone()
    certain = torch.zeros(len(source), 1, *(side // BLOCK_PX for side in source.shape[2:]))
    for n, example in enumerate(examples):
        if rng.random() < 0.1:
            continue
        now, before = example.sources[frame], example.sources[3 - frame]
        motion = find(_SEARCH, grey(now), grey(before), None)
        past[n] = signed([carry(motion, pictures[n])])[0]
        known = torch.from_numpy(trust(motion, now, before))
        certain[n] = nn.functional.avg_pool2d(known[None], BLOCK_PX)
    return past, certain


def fit(cfg: FitConfig, rank: int = 0, world: int = 1) -> None:
    """Train until stopped, from `out/checkpoint.pt` if there is one, else from the beginning.

    Raises:
        CheckpointError: the checkpoint is damaged or of another architecture.
    """
    stop = Stop()
    torch.manual_seed(cfg.seed)
    cv2.setNumThreads(1)
    objective = Objective(KeyframeNet())
    optimiser = Optimiser(objective.net, cfg.learning_rate)
    cfg.out.mkdir(parents=True, exist_ok=True)
    progress, ema = restore(cfg, objective.net, optimiser)
    rng = np.random.default_rng([cfg.seed, rank, progress.step])
    pool = Pool(read_material(cfg.data), cfg.targets, rng)
    training = joined(objective, world)
    if rank == 0:
        log_segment(cfg, progress, world)
    running: dict[str, float] = {}
    examples: list[Example] = []
    began = said = saved = time.monotonic()
    earlier, said_pictures = progress.minutes, progress.pictures
    while not agreed(stop.asked or (cfg.steps is not None and progress.step >= cfg.steps), world):
        if not examples or rng.random() < ANEW:
            side = SIDES[int(rng.integers(len(SIDES)))]
            count = max(1, round(cfg.pairs / world * (cfg.crop / side) ** 2))
            examples = [draw_example(pool, side, rng) for _ in range(count)]
        terms = training(examples, rng)
        total = sum(terms.values())
        total.backward()
        norm = float(nn.utils.clip_grad_norm_(objective.parameters(), 1.0))
        if not np.isfinite(norm):
            raise CheckpointError(f"the loss is not finite at step {progress.step}; go back to an earlier checkpoint")
        optimiser.step(learning_rate(cfg, progress.step))
        ema.update_parameters(objective.net)
        progress.step += 1
        progress.pictures += 2 * len(examples) * world
        progress.minutes = earlier + (time.monotonic() - began) / 60
        for name, value in {"loss": total, **terms}.items():
            number = float(value.detach())
            running[name] = 0.98 * running.get(name, number) + 0.02 * number
        now = time.monotonic()
        if rank == 0 and progress.step % SAY_EVERY_STEPS == 0:
            log_line(cfg.out / "log.csv", progress, running, (progress.pictures - said_pictures) / (now - said))
            said, said_pictures = now, progress.pictures
        if rank == 0 and now - saved > 60 * cfg.save_every_minutes:
            save(cfg.out / "checkpoint.pt", objective.net, optimiser, ema, progress)
            saved = now
    if rank == 0:
        save(cfg.out / "checkpoint.pt", objective.net, optimiser, ema, progress)


def save(path: Path, net: KeyframeNet, optimiser: Optimiser, ema: AveragedModel, progress: Progress) -> None:
    """Write a checkpoint."""
    state = {
        "net": net.state_dict(),
        "optimiser": optimiser.state_dict(),
        "ema": ema.module.state_dict(),
        "progress": {"step": progress.step, "pictures": progress.pictures, "minutes": progress.minutes},
    }
    save_checkpoint(path, state)


def restore(cfg: FitConfig, net: KeyframeNet, optimiser: Optimiser) -> tuple[Progress, AveragedModel]:
    """Load a run's state, if there is one; return its progress and the moving average."""
    path = cfg.out / "checkpoint.pt"
    ema = moving_average(net, cfg.ema)
    if not path.exists():
        return Progress(), ema
    with restoring(path):
        state = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        ema.module.load_state_dict(state["ema"])
        progress = Progress(**state["progress"])
        ema.n_averaged.fill_(progress.step)
    return progress, ema
