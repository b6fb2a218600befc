"""Training loop of the looks: regression to teachers, on the network's own history, resumable at any step.

A run is a folder: `targets/` (shards), `checkpoint.pt`, `log.csv` (a row every few steps), `segments.csv` (a row per
start: commit, step, machine). The same command starts and resumes it; SIGTERM and Ctrl-C save and end it.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vivace.checkout import read_commit
from vivace.errors import CheckpointError
from vivace.models.mini2.load import FORMAT
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.runtime.exported.files import read_tensors
from vivace.train.looks.batches import Batch, BatchSource
from vivace.train.looks.features import Features, load_features
from vivace.train.looks.losses import FEATURE_PX, Losses, feature_losses, picture_loss, temporal_loss
from vivace.train.looks.optimiser import Optimiser
from vivace.train.looks.student import Student, step_numbers
from vivace.train.looks.table import grow_table
from vivace.train.looks.targets import SIDE_PX
from vivace.train.processes import agreed, joined, moving_average, replacing, restoring, save_checkpoint

SHIPPED = Path(str(resources.files("vivace.models.mini2"))) / "mini2.safetensors"
"""Weights from which a run without a checkpoint begins."""
SAY_EVERY_STEPS = 20
TABLE = "codes.table"
PARTS = ("net.", "codes.")
"""Prefixes of the trained tensors in an exported file."""
TRAINED = "trained_"
"""Prefix of the entries in the metadata of an exported file that describe its training."""
CROP_EVERY = 3
"""Interval of batches of crops. The others are whole pictures: neural teachers normalise by statistics of the whole
picture, so that a crop does not determine its colours."""


class Schedule(Protocol):
    """Settings of a run that its learning rate follows and its log records."""

    @property
    def out(self) -> Path:
        """Folder of the run."""

    @property
    def steps(self) -> int | None:
        """Last step."""

    @property
    def cool_down(self) -> int:
        """Steps before the last in which the learning rate falls."""

    @property
    def pairs(self) -> int:
        """Pairs of frames per step."""

    @property
    def crop(self) -> int:
        """Side of a crop, px."""

    @property
    def learning_rate(self) -> float:
        """Learning rate after the warm-up."""

    @property
    def warmup_steps(self) -> int:
        """Steps in which it rises."""

    @property
    def ema(self) -> float:
        """Decay of the moving average."""


@dataclass(frozen=True, slots=True)
class FitConfig:
    """Configuration of a training run."""

    out: Path
    packages: Path
    """Folder with the network of the perceptual loss."""
    start: Path | None = None
    """Initial weights of a run without a checkpoint."""
    steps: int | None = None
    """Last step; None runs until stopped."""
    cool_down: int = 0
    """Steps before `steps` in which the learning rate falls, linearly to a hundredth; 0 keeps it."""
    pairs: int = 8
    """Pairs of whole pictures per step, over all processes; a batch of crops has more, of as many px."""
    crop: int = 192
    learning_rate: float = 8e-4
    warmup_steps: int = 200
    ema: float = 0.999
    favour: Mapping[str, float] = field(default_factory=dict)
    """Factor by which a look is drawn more often; 1 where it is not named."""
    seed: int = 0
    save_every_minutes: float = 4.0


@dataclass(slots=True)
class Progress:
    """Progress of a run."""

    step: int = 0
    pictures: int = 0
    """Pictures painted in training, by all processes."""
    minutes: float = 0.0
    favoured: str = ""
    """Looks that were favoured, by segments: `from 270,000 pictures: ink 8, neon 6`; empty if none was."""


def train_step(student: Student, features: Features | None, batch: Batch, rng: np.random.Generator) -> Losses:
    """Return the losses of one batch: both frames of each pair, the second given the network's own first.

    History augmentation: a stream is fed with its own mistakes, so the previous output is the network's own, the target
    with noise, another look, or nothing. Sometimes a frame is painted again over its own estimate: steps 2 and 4.
    """
    b = len(batch.source)
    device = batch.source.device

    def draw(*shape: int) -> Tensor:
        return torch.from_numpy(rng.random(shape, np.float32)).to(device)

    code = student.code(batch.index, batch.codes, batch.weight)
    count = draw(b)
    steps = torch.where(count < 0.7, 1.0, torch.where(count < 0.88, 2.0, 4.0))
    zero, one = torch.zeros(b, device=device), torch.ones(b, device=device)

    def paint(frame: int, estimate: Tensor, done: Tensor, known: Tensor) -> Tensor:
        numbers = step_numbers(done, steps, batch.log_scale, known)
        estimate = estimate.clamp(-1, 1) * known.view(-1, 1, 1, 1)
        return student(batch.source[:, frame], estimate, batch.textures[:, frame], batch.maps[:, frame], code, numbers)

    first = paint(0, batch.other, zero, (draw(b) < 0.15).float())
    kind = draw(b)[:, None, None, None]
    noisy = batch.target[:, 0] + torch.from_numpy(rng.standard_normal(first.shape, np.float32)).to(device) * (
        0.15 * draw(b, 1, 1, 1)
    )
    past = torch.where(kind < 0.5, first.detach(), torch.where(kind < 0.7, noisy, batch.other))
    known = (kind.flatten() < 0.85).float()
    second = paint(1, past, zero, known)
    target = batch.target

    def loss(painted: Tensor, frame: int) -> Tensor:
        return picture_loss(painted, target[:, frame], batch.clean[:, frame], batch.invented)

    picture = 0.5 * (loss(first, 0) + loss(second, 1))
    # A change of the look is no flicker: only frames that continue a look have to be steady.
    steady = (kind.flatten() < 0.7).to(first.dtype)
    changes = temporal_loss(torch.stack([first, second], 1), target, batch.clean, batch.invented)
    temporal = (changes * steady).mean()
    if rng.random() < 0.15:
        steps = steps.clamp_min(2.0)
        done = (draw(b) * (steps - 1)).floor().add(1).minimum(steps - 1) / steps
        again = paint(1, second.detach(), done, one)
        picture = 0.67 * picture + 0.33 * loss(again, 1)
    if features is None:
        return Losses(picture, zero.sum(), zero.sum(), temporal)
    side = min(FEATURE_PX, second.shape[-1])
    top, left = rng.integers(second.shape[-1] - side + 1, size=2)
    window = (..., slice(top, top + side), slice(left, left + side))
    same, gram = feature_losses(features, second[window], target[:, 1][window], batch.invented)
    return Losses(picture, same, gram, temporal)


class Objective(nn.Module):
    """Trained module: from a batch to its losses."""

    def __init__(self, student: Student, features: Features | None) -> None:
        super().__init__()
        self.student = student
        self.features = features

    def forward(self, batch: Batch, rng: np.random.Generator) -> Losses:
        """Return the losses of one batch."""
        return train_step(self.student, self.features, batch, rng)


class Stop:
    """Request to end the run, by SIGTERM or Ctrl-C."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True


def fit(cfg: FitConfig, rank: int = 0, world: int = 1) -> None:
    """Train until stopped, from `out/checkpoint.pt` if there is one, else from `start`, else from the beginning.

    Raises:
        CheckpointError: the checkpoint is damaged or of another architecture.
    """
    stop = Stop()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(cfg.seed)
    student = Student().to(device)
    objective = Objective(student, load_features(cfg.packages)).to(device)
    optimiser = Optimiser(student, cfg.learning_rate)
    rng = np.random.default_rng([cfg.seed, rank])
    cfg.out.mkdir(parents=True, exist_ok=True)
    progress, ema = restore(cfg, student, optimiser, rng if rank == 0 else None)
    if rank:
        rng = np.random.default_rng([cfg.seed, rank, progress.step])
    training = joined(objective, world)
    source = BatchSource(cfg.out / "targets", rng, cfg.favour)
    favour = say_favour(cfg.favour)
    if favour and not progress.favoured.endswith(f": {favour}"):
        progress.favoured = "; ".join(
            filter(None, [progress.favoured, f"from {progress.pictures:,} pictures: {favour}"])
        )
    if rank == 0:
        log_segment(cfg, progress, world, favour=favour)
    running: dict[str, float] = {}
    began = said = saved = time.monotonic()
    earlier, said_pictures = progress.minutes, progress.pictures
    while not agreed(stop.asked or (cfg.steps is not None and progress.step >= cfg.steps), world):
        side = cfg.crop if progress.step % CROP_EVERY == 0 else SIDE_PX
        batch = source.draw(max(1, round(cfg.pairs / world * (SIDE_PX / side) ** 2)), side)
        losses: Losses = training(batch.to(device), rng)
        losses.total.backward()
        norm = float(nn.utils.clip_grad_norm_(student.parameters(), 1.0))
        if not np.isfinite(norm):
            raise CheckpointError(f"the loss is not finite at step {progress.step}; go back to an earlier checkpoint")
        optimiser.step(learning_rate(cfg, progress.step))
        ema.update_parameters(student)
        progress.step += 1
        progress.pictures += 2 * len(batch.source) * world
        progress.minutes = earlier + (time.monotonic() - began) / 60
        for name, value in {"loss": losses.total, **losses._asdict()}.items():
            value = value.detach()
            running[name] = 0.98 * running.get(name, float(value)) + 0.02 * float(value)
        if rank == 0 and progress.step % SAY_EVERY_STEPS == 0:
            now = time.monotonic()
            speed = (progress.pictures - said_pictures) / (now - said)
            said, said_pictures = now, progress.pictures
            log_line(cfg.out / "log.csv", progress, running, speed)
        if rank == 0 and time.monotonic() - saved > 60 * cfg.save_every_minutes:
            save(cfg.out / "checkpoint.pt", student, optimiser, ema, progress, rng)
            saved = time.monotonic()
    if rank == 0:
        save(cfg.out / "checkpoint.pt", student, optimiser, ema, progress, rng)


def learning_rate(cfg: Schedule, step: int) -> float:
    """Return the learning rate of a step: warm-up, flat, and, if the end is known, a fall to a hundredth."""
    falling = (cfg.steps - step) / cfg.cool_down if cfg.steps is not None and cfg.cool_down else 1.0
    return cfg.learning_rate * min(1.0, (step + 1) / cfg.warmup_steps, max(0.01, falling))


# -- checkpoints -------------------------------------------------------------------------------------------------------


def save(
    path: Path,
    student: Student,
    optimiser: Optimiser,
    ema: AveragedModel,
    progress: Progress,
    rng: np.random.Generator,
) -> None:
    """Write a checkpoint."""
    state = {
        "student": student.state_dict(),
        "optimiser": optimiser.state_dict(),
        "ema": ema.module.state_dict(),
        "progress": asdict(progress),
        "looks": list(student.codes.keys),
        "rng": {"numpy": rng.bit_generator.state, "torch": torch.get_rng_state()},
    }
    save_checkpoint(path, state)


def restore(
    cfg: FitConfig, student: Student, optimiser: Optimiser, rng: np.random.Generator | None
) -> tuple[Progress, AveragedModel]:
    """Load a run's state, or the initial weights; return its progress and the moving average."""
    path = cfg.out / "checkpoint.pt"
    ema = moving_average(student, cfg.ema)
    if path.exists():
        with restoring(path):
            state = torch.load(path, map_location="cpu", weights_only=True)
            looks = tuple(state["looks"])
            if looks != LOOK_KEYS:
                _grow(state, looks)
            student.load_state_dict(state["student"])
            optimiser.load_state_dict(state["optimiser"])
            ema.module.load_state_dict(state["ema"])
            progress = Progress(**state["progress"])
            ema.n_averaged.fill_(progress.step)
            if rng is not None:
                rng.bit_generator.state = state["rng"]["numpy"]
                torch.set_rng_state(state["rng"]["torch"])
        return progress, ema
    if cfg.start is not None:
        weights, metadata = read_weights(cfg.start)
        student.load_state_dict(weights)
        # Such a file lacks the optimiser's moments: a warm-up lets them settle.
        begun = Progress(0, int(metadata["pictures"]), float(metadata["minutes"]), metadata.get("favoured", ""))
        return begun, moving_average(student, cfg.ema)
    return Progress(), ema


def _grow(state: dict[str, Any], old: tuple[str, ...]) -> None:
    """Add rows for looks that were added since a checkpoint was written."""
    for part in ("student", "ema"):
        grow_table(state[part], TABLE, old, LOOK_KEYS)
    moments = state["optimiser"][TABLE]
    for name in ("exp_avg", "exp_avg_sq"):
        grow_table(moments, name, old, LOOK_KEYS)
        for i, key in enumerate(LOOK_KEYS):
            if key not in old:
                moments[name][i] = 0


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the weights of an exported `mini2.safetensors` in float32, with the rows of today's looks, and its card.

    Raises:
        CheckpointError: it is missing, damaged, or something else.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    weights = {
        name: torch.from_numpy(np.array(value)).float() for name, value in tensors.items() if name.startswith(PARTS)
    }
    looks = tuple(json.loads(metadata["looks"]))
    if looks != LOOK_KEYS:
        grow_table(weights, TABLE, looks, LOOK_KEYS)
    return weights, {key.removeprefix(TRAINED): value for key, value in metadata.items() if key.startswith(TRAINED)}


# -- logs --------------------------------------------------------------------------------------------------------------


def log_line(path: Path, progress: Progress, running: dict[str, float], speed: float) -> None:
    """Append a row to the log: running means of the losses, pictures per second."""
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "step": progress.step,
        "pictures": progress.pictures,
        "minutes": round(progress.minutes, 2),
        "pictures_a_second": round(speed, 1),
        **{name: round(value, 5) for name, value in running.items()},
    }
    _append(path, row)
    print(f"step {row['step']}, {row['pictures']} pictures, loss {row['loss']:.4f}, {speed:.1f}/s", file=sys.stderr)


def say_favour(favour: Mapping[str, float]) -> str:
    """Return the favoured looks and their factors in words, `ink 8, neon 6`."""
    return ", ".join(f"{key} {factor:g}" for key, factor in favour.items())


def log_segment(cfg: Schedule, progress: Progress, world: int, **more: object) -> None:
    """Append a row on this start of the run: commit, step, settings, machine, and `more`."""
    row = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": read_commit() or "unknown",
        "step": progress.step,
        "processes": world,
        "pairs": cfg.pairs,
        "crop": cfg.crop,
        "learning_rate": cfg.learning_rate,
        "ema": cfg.ema,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, cuda {torch.cuda.is_available()}",
        **more,
    }
    _append(cfg.out / "segments.csv", row)


def _append(path: Path, row: dict[str, object]) -> None:
    """Append a row; a file without some of its columns is written anew with them."""
    rows: list[dict[str, str]] = []
    if path.exists():
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            if {*row} <= {*(reader.fieldnames or ())}:
                with path.open("a", newline="") as end:
                    csv.DictWriter(end, list(reader.fieldnames or ())).writerow(row)
                return
            rows = list(reader)
    with replacing(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys([*(rows[0] if rows else ()), *row])))
        writer.writeheader()
        writer.writerows([*rows, row])
