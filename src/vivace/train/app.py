"""Commands of `vivace train`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import torch
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vivace.models.mini.checkpoint import load_net
from vivace.train.clips import read_segments, scene_segments
from vivace.train.export import export, write_profile
from vivace.train.mini import TrainConfig, train
from vivace.train.processes import train_in_processes
from vivace.train.targets import bake

app = App(
    name="train",
    help="Train the embedded model (`mini` does everything, others are its steps), or a LoRA.",
    help_epilogue="",
)
app.command("vivace.train.classifier.commands:app", name="classifier")
app.command("vivace.train.keyframes.commands:app", name="keyframes")
app.command("vivace.train.looks.commands:app", name="looks")
app.command("vivace.train.lora.commands:app", name="lora")
app.command("vivace.train.regions.commands:app", name="regions")
console = Console(stderr=True)
CORES = os.cpu_count() or 1

Out = Annotated[Path, Parameter(help="Folder of the run: targets, checkpoint, log.")]
Shards = Annotated[int, Parameter(help="How many shards of 48 clips to bake; existing ones are kept.")]
Minutes = Annotated[float, Parameter(help="Training time; the learning rate follows it.")]
Processes = Annotated[int, Parameter(help="Processes on a CPU; one a core by default. A GPU uses one.")]


@app.command
def mini(
    data: Path,
    *,
    out: Out = Path("runs/mini"),
    shards: Shards = 130,
    minutes: Minutes = 90.0,
    processes: Processes = CORES,
    install: Annotated[bool, Parameter(help="Put the exported files into this installation of vivace.")] = False,
) -> None:
    """From a folder of video clips to the shipped files: targets, training, export. Resumes where it stopped.

    Parameters
    ----------
    data
        Folder of clips (mp4, mkv, webm, mov, avi), searched recursively.
    """
    targets(data, out=out, shards=shards)
    fit(out=out, minutes=minutes, processes=processes)
    export_(out=out, install=install)


@app.command
def targets(data: Path, *, out: Out = Path("runs/mini"), shards: Shards = 130) -> None:
    """Bake targets: cut clips out of video and paint them with the style teachers."""
    columns = (TextColumn("baking targets"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("shards", total=shards)
        segments = read_segments(data) + scene_segments()
        bake(segments, out / "targets", shards, report=lambda done: progress.update(task, completed=done))


@app.command
def fit(*, out: Out = Path("runs/mini"), minutes: Minutes = 90.0, processes: Processes = CORES) -> None:
    """Train on baked targets until the minutes are used up. Progress goes to `log.jsonl` of the run."""
    where = "the GPU" if torch.cuda.is_available() else f"{processes} CPU processes"
    console.print(f"training on {where} for {minutes:g} minutes; watch {out / 'log.jsonl'}")
    train_in_processes(train, TrainConfig(out / "targets", out, budget_minutes=minutes), processes)


@app.command(name="export")
def export_(
    *,
    out: Out = Path("runs/mini"),
    checkpoint: Annotated[Path | None, Parameter(help="Default: the run's; or a shipped mini.safetensors.")] = None,
    install: Annotated[bool, Parameter(help="Put the files into this installation of vivace.")] = False,
) -> None:
    """Export a checkpoint to `mini.safetensors` and `mini.xml`."""
    from vivace.models.mini.weights import FOLDER

    path = checkpoint or out / "checkpoint.pt"
    folder = FOLDER if install else out / "export"
    hashes = export(load_net(path), folder, training_card(path))
    if install:
        write_profile(hashes)
    for name, sha256 in hashes.items():
        console.print(f"{folder / name}  {(folder / name).stat().st_size / 2**20:.1f} MiB  sha256 {sha256}")


def training_card(path: Path) -> dict[str, str]:
    """Return the training record of a checkpoint, for the metadata of the shipped file."""
    if path.suffix == ".safetensors":
        from vivace.models.mini.weights import read_tensors

        _, metadata = read_tensors(path)
        return {k: v for k, v in metadata.items() if k.startswith("trained_")}
    progress = torch.load(path, map_location="cpu", weights_only=True)["progress"]
    return {f"trained_{name}": str(round(value)) for name, value in progress.items()}


@app.command
def text(
    *, out: Annotated[Path | None, Parameter(help="Where to write; default: into this installation.")] = None
) -> None:
    """Train the text encoder on its caption grammar; a minute of one core."""
    from vivace.models.mini.weights import FOLDER
    from vivace.train.text import train

    train(out or FOLDER / "text.safetensors")


@app.command
def evaluate(
    clips: Path,
    *,
    out: Annotated[Path, Parameter(help="Folder for contact sheets and `evaluation.json`.")] = Path("evaluation"),
    model: Annotated[str, Parameter(help="mini, mini2, or the path of an exported profile of theirs.")] = "mini",
    size: Annotated[str, Parameter(help="Output size WxH.")] = "256x256",
    frames: Annotated[int, Parameter(help="Frames of each clip to stream.")] = 12,
    skip: Annotated[int, Parameter(help="Frames of each clip to pass over first.")] = 24,
    ablations: Annotated[
        bool, Parameter(negative=(), show_default=False, help="Also switch off one part at a time; takes long.")
    ] = False,
) -> None:
    """Compare an embedded model with the style teachers of `mini`. `docs/models/mini.md` explains the columns.

    Parameters
    ----------
    clips
        Folder of videos that were not trained on.
    """
    from vivace.media.size import parse_size
    from vivace.train.evaluate import evaluate_command

    evaluate_command(clips, out, model_name=model, size=parse_size(size), frames=frames, skip=skip, ablations=ablations)
