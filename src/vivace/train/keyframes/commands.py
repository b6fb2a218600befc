"""Commands of `vivace train keyframes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
from cyclopts import App, Parameter

from vivace.errors import UsageError
from vivace.models.keyframes.load import FOLDER, need_opencv
from vivace.train.processes import train_in_processes

app = App(name="keyframes", help="Train the network that follows an edited key frame.", help_epilogue="")

Data = Annotated[Path, Parameter(help="Folder with a MANIFEST.csv that says which file may be used.")]
Targets = Annotated[
    Path | None, Parameter(help="Folder of baked targets of `train looks`, whose looks are edits, too.")
]
Out = Annotated[Path, Parameter(help="Folder of the run: checkpoint, logs.")]


@app.command
def run(
    data: Data,
    *,
    out: Out = Path("runs/keyframes"),
    targets: Targets = None,
    processes: Annotated[int, Parameter(help="Training processes on a CPU, a thread each; a GPU uses one.")] = 1,
    steps: Annotated[int | None, Parameter(help="Stop at this step; by default it goes on until told to.")] = None,
    cool_down: Annotated[int, Parameter(help="Steps before --steps in which the learning rate falls.")] = 0,
    pairs: Annotated[int, Parameter(help="Examples a step, over all processes.")] = 4,
    learning_rate: Annotated[float, Parameter(help="Of AdamW, after the warm-up.")] = 8e-4,
) -> None:
    """Train on exact examples from a folder of licensed pictures, until stopped. The same command resumes it."""
    if processes < 1 or pairs < 1:
        raise UsageError("--processes and --pairs are at least 1")
    if cool_down < 0 or (cool_down and steps is None):
        raise UsageError("--cool-down is a number of steps before --steps; give both")
    need_opencv()
    from vivace.train.keyframes.fit import FitConfig, fit

    cfg = FitConfig(out, data, targets, steps=steps, cool_down=cool_down, pairs=pairs, learning_rate=learning_rate)
    train_in_processes(fit, cfg, processes)


@app.command(name="export")
def export_(
    *,
    out: Out = Path("runs/keyframes"),
    to: Annotated[Path | None, Parameter(help="Folder to write. Default: `export` in the run's.")] = None,
    install: Annotated[bool, Parameter(help="Put the files into this installation of vivace.")] = False,
) -> None:
    """Write the files of a run's averaged weights."""
    from vivace.train.keyframes.export import export, load_net

    folder = FOLDER if install else to or out / "export"
    net, card = load_net(out / "checkpoint.pt")
    for name, sha256 in export(net, folder, card).items():
        print(f"{folder / name}  {(folder / name).stat().st_size / 2**20:.1f} MiB  sha256 {sha256}")


@app.command
def evaluate(
    data: Data,
    *,
    out: Out = Path("runs/keyframes"),
    targets: Targets = None,
    count: Annotated[int, Parameter(help="Examples of each kind of edit.")] = 24,
) -> None:
    """Score a run's averaged weights on photographs that were not trained on: PSNR inside the edit, by kind."""
    from dataclasses import replace

    import numpy as np
    from rich.console import Console
    from rich.table import Table

    need_opencv()
    from vivace.train.keyframes.evaluate import WAYS, measure
    from vivace.train.keyframes.export import load_net
    from vivace.train.keyframes.pairs import Pool
    from vivace.train.looks.material import read_material

    torch.set_num_threads(1)
    material = read_material(data)
    unseen = replace(material, clips=(), photos=material.held_out, paintings=())
    net, _ = load_net(out / "checkpoint.pt")
    table = Table("edit", *WAYS)
    for kind, row in measure(net, Pool(unseen, targets, np.random.default_rng(1)), count=count).items():
        table.add_row(kind, *(f"{row[way]:.1f}" for way in WAYS))
    Console().print(table)
