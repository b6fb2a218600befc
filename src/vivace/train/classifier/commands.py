"""Commands of `vivace train classifier`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from vivace.checkout import read_commit
from vivace.models.style.classifier import FOLDER, StyleClassifier, shipped_classifier
from vivace.train.classifier.export import export, install_profile, load_unversioned
from vivace.train.classifier.fit import STEPS, FitConfig, load
from vivace.train.classifier.fit import fit as fit_
from vivace.train.classifier.score import score as score_

app = App(
    name="classifier",
    help="Train, score and export the style classifier that the benchmark judges with.",
    help_epilogue="",
)
console = Console(stderr=True)

Out = Annotated[Path, Parameter(help="Folder of the run: checkpoint, log, export.")]


@app.command
def fit(
    *,
    targets: Annotated[Path, Parameter(help="Baked targets, made by `vivace train targets`.")] = Path(
        "runs/mini/targets"
    ),
    out: Out = Path("runs/classifier"),
    steps: Annotated[int, Parameter(help="Steps of 32 pictures.")] = STEPS,
) -> None:
    """Train on baked targets. Resumes where it stopped; progress goes to `log.jsonl` of the run."""
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("steps", total=steps)
        fit_(FitConfig(targets, out, steps=steps), report=lambda done: progress.update(task, completed=done))


@app.command(name="export")
def export_(
    *,
    version: Annotated[str, Parameter(help="What the weights are known by; a new one whenever they change.")],
    out: Out = Path("runs/classifier"),
    install: Annotated[bool, Parameter(help="Put the files into this installation of vivace.")] = False,
) -> None:
    """Export a checkpoint to `style.safetensors` and `style.xml`."""
    net, steps = load(out / "checkpoint.pt")
    folder = FOLDER if install else out / "export"
    card = {"recipe": "vivace train classifier fit", "trained_steps": str(steps), "commit": read_commit() or "unknown"}
    hashes = export(net, folder, version, card)
    if install:
        install_profile(hashes, version)
    for name, sha256 in hashes.items():
        console.print(f"{folder / name}  {(folder / name).stat().st_size / 2**10:.0f} KiB  sha256 {sha256}")


@app.command
def score(
    clips: Annotated[Path, Parameter(help="Folder of held-out videos.")],
    *,
    export: Annotated[Path | None, Parameter(help="Folder of an export; default: the shipped files.")] = None,
    json_path: Annotated[Path | None, Parameter(name="--json", help="Write the whole document here too.")] = None,
) -> None:
    """Score the classifier on clips it was not trained on."""
    classifier: StyleClassifier = shipped_classifier() if export is None else load_unversioned(export)
    with console.status("judging") as status:
        document = score_(clips, classifier, lambda what: status.update(f"judging {what}"))
    printer = Console()
    table = Table("pictures", "n", "accuracy", "share of the true class", "confused", box=SIMPLE_HEAD)
    masked = document["masked"]
    rows = {
        **{name: found for name, found in document.items() if isinstance(found, dict) and "accuracy" in found},
        "inside a mask": masked["inside"],
        "around a mask": masked["outside"],
    }
    for name, found in rows.items():
        confused = "; ".join(found["confused"][:6])
        table.add_row(name, str(found["pictures"]), f"{found['accuracy']:.3f}", f"{found['own_share']:.3f}", confused)
    printer.print(table)
    strength = document["strength"]
    table = Table("style", *(f"{s:.1f}" for s in strength["strengths"]), box=SIMPLE_HEAD)
    for style, values in {**strength["by style"], "all": strength["judged"]}.items():
        table.add_row(style, *(f"{value:.2f}" for value in values))
    printer.print(table)
    if json_path is not None:
        json_path.write_text(json.dumps(document, indent=1))
    print(json.dumps(document))
