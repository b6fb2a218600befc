"""Shared parts of training loops: processes that average gradients, a common end, averaged weights, whole files."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from vivace.errors import CheckpointError

Config = TypeVar("Config")
PATIENCE = timedelta(days=7)
"""Timeout of processes waiting for each other: a suspended run may continue within it (gloo's default is half an
hour)."""


def train_in_processes(train: Callable[[Config, int, int], None], cfg: Config, processes: int) -> None:
    """Call `train(cfg, rank, world)` in single-threaded CPU processes joined by gloo, or once, right here, on a GPU.

    While they work, SIGTERM is passed on to them; each handles it in its own way.
    """
    torch.set_num_threads(1)
    if processes == 1 or torch.cuda.is_available():
        train(cfg, 0, 1)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    workers = start_processes(
        _worker, (processes, train, cfg, port), nprocs=processes, join=False, start_method="spawn"
    )
    assert workers is not None
    before = signal.signal(signal.SIGTERM, lambda *_: [p.terminate() for p in workers.processes])
    try:
        while not workers.join():
            pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _worker(rank: int, world: int, train: Callable[[Config, int, int], None], cfg: Config, port: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=world, timeout=PATIENCE)
    try:
        train(cfg, rank, world)
    finally:
        dist.destroy_process_group()


def joined(objective: nn.Module, world: int) -> nn.Module:
    """Return a module from batch to losses whose gradients are the means over all processes."""
    if world == 1:
        return objective
    # Inputs of later stages have weights that no loss reaches yet.
    return DistributedDataParallel(objective, find_unused_parameters=True, broadcast_buffers=False)


def agreed(stop: bool, world: int) -> bool:
    """Return whether any process wants to stop, the same in all: one that left early would hang the others."""
    if world == 1:
        return stop
    flag = torch.tensor(float(stop))
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag)


def moving_average(net: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of weights and running statistics: what ships. It moves faster at first."""

    def move(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, values, 1 - min(decay, float((1 + count) / (10 + count))))
        else:
            # Counters of a normalisation.
            torch._foreach_copy_(averages, values)

    return AveragedModel(net, multi_avg_fn=move, use_buffers=True)  # type: ignore[arg-type]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces `path` at the end: readers see the old file or the new, never half."""
    partial = path.with_suffix(".partial")
    yield partial
    partial.replace(path)


def save_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Write a checkpoint, whole or not at all."""
    with replacing(path) as partial:
        torch.save(state, partial)


@contextmanager
def restoring(checkpoint: Path) -> Iterator[None]:
    """Turn errors of reading a checkpoint into a CheckpointError with its remedy."""
    try:
        yield
    except (RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{checkpoint} does not fit this network ({error}); move it away to start afresh"
        ) from error
