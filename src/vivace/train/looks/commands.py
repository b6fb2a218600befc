"""Commands of `vivace train looks`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from cyclopts import App, Parameter
from rich.console import Console

from vivace.errors import UsageError
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.train.looks.classifier import SHIPPED as CLASSIFIER
from vivace.train.looks.fit import SHIPPED, FitConfig, fit
from vivace.train.looks.material import read_material
from vivace.train.looks.neural import NeuralTeachers
from vivace.train.looks.targets import PICTURE, Painter, is_baked, is_complete, shard_path, shard_paths
from vivace.train.looks.targets import bake as bake_shards
from vivace.train.looks.targets import retire as retire_in
from vivace.train.processes import train_in_processes

app = App(
    name="looks",
    help="Train `mini2`: any look by a code. `run` does everything and resumes; the others are its parts.",
    help_epilogue="",
)
console = Console(stderr=True)

FIRST_SHARDS = 8
"""Number of shards with which training begins; the others are baked beside it."""

Out = Annotated[Path, Parameter(help="Folder of the run: targets, checkpoint, logs.")]
Teachers = Annotated[Path, Parameter(help="Folder with the packages of the neural teachers; a missing one is named.")]
Shards = Annotated[int, Parameter(help="How many shards of targets to bake; existing ones are kept.")]
Start = Annotated[
    Path | None,
    Parameter(help="Weights to begin from where the run has no checkpoint. Default: the shipped ones."),
]
Weights = Annotated[Path, Parameter(help="Checkpoint, or an exported mini2.safetensors, to judge.")]
Clips = Annotated[Path, Parameter(help="Folder of videos that were not trained on.")]
Data = Annotated[Path, Parameter(help="Folder with a MANIFEST.csv that says which file may be used.")]
Favour = Annotated[
    list[str] | None,
    Parameter(help="A look that is drawn more often, and how much: `--favour ink=6`; `picture` for style pictures."),
]
LookKeys = Annotated[list[str] | None, Parameter(help="Which looks; all by default.")]


@app.command
def run(
    data: Data,
    *,
    teachers: Teachers,
    out: Out = Path("runs/mini2"),
    shards: Shards = 400,
    start: Start = None,
    processes: Annotated[int, Parameter(help="Training processes on a CPU, a thread each; a GPU uses one.")] = 1,
    steps: Annotated[
        int | None, Parameter(help="Stop at this step; by default it goes on until it is told to.")
    ] = None,
    cool_down: Annotated[
        int, Parameter(help="Steps before --steps in which the learning rate falls; without, weights stay restless.")
    ] = 0,
    pairs: Annotated[int, Parameter(help="Pairs of frames a step, over all processes.")] = 8,
    learning_rate: Annotated[float, Parameter(help="Of AdamW, after the warm-up.")] = 8e-4,
    ema: Annotated[
        float, Parameter(help="Decay of the averaged weights a step: 0.999 remembers a thousand steps, 0.99 a hundred.")
    ] = 0.999,
    favour: Favour = None,
) -> None:
    """Bake targets and train, from a folder of licensed pictures, until stopped. The same command resumes it.

    Baking continues beside training in a process of its own, with one thread. SIGTERM and Ctrl-C save and end both.
    """
    if processes < 1 or pairs < 1 or shards < 1:
        raise UsageError("--processes, --pairs and --shards are at least 1")
    if not 0 < ema < 1:
        raise UsageError("--ema is between 0 and 1")
    if cool_down < 0 or (cool_down and steps is None):
        raise UsageError("--cool-down is a number of steps before --steps; give both")
    factors = _factors(favour or [])
    first = min(FIRST_SHARDS, shards)
    if not all(is_complete(shard_path(out / "targets", n)) for n in range(first)):
        bake(data, teachers=teachers, out=out, shards=first, favour=favour)
    baker = None
    if any(not is_baked(shard_path(out / "targets", n)) for n in range(shards)):
        words = ["bake", str(data), "--teachers", str(teachers), "--out", str(out), "--shards", str(shards)]
        words += [word for look in favour or [] for word in ("--favour", look)]
        baker = subprocess.Popen([sys.executable, "-m", "vivace", "train", "looks", *words])
    cfg = FitConfig(
        out,
        teachers,
        start=start or SHIPPED,
        steps=steps,
        cool_down=cool_down,
        pairs=pairs,
        learning_rate=learning_rate,
        ema=ema,
        favour=factors,
    )
    try:
        train_in_processes(fit, cfg, processes)
    finally:
        if baker is not None:
            baker.terminate()
            baker.wait()


@app.command
def bake(
    data: Data,
    *,
    teachers: Teachers,
    out: Out = Path("runs/mini2"),
    shards: Shards = 400,
    favour: Favour = None,
) -> None:
    """Bake targets: cut pairs of frames out of the material and paint them with the teachers; retired ones anew."""
    factors = _factors(favour or [])
    wanted = [n for n in range(shards) if not is_baked(shard_path(out / "targets", n))]
    if not wanted:
        return
    torch.set_num_threads(1)
    material = read_material(data)
    painter = Painter(NeuralTeachers(teachers))
    console.print(f"baking {len(wanted)} shards into {out / 'targets'}")
    for number in wanted:
        bake_shards(material, painter, out / "targets", range(number, number + 1), favour=factors)


@app.command
def retire(*looks: str, out: Out = Path("runs/mini2")) -> None:
    """Retire the baked targets of looks whose teacher changed: training skips them, and `run` bakes them anew.

    Parameters
    ----------
    looks
        Keys of the looks.
    """
    chosen = _known(looks, (*LOOK_KEYS, PICTURE))
    paths = shard_paths(out / "targets")
    for path in paths:
        retire_in(path, frozenset(chosen))
    console.print(f"{len(paths)} shards without {', '.join(chosen)}")


@app.command(name="export")
def export_(
    *,
    teachers: Teachers,
    out: Out = Path("runs/mini2"),
    to: Annotated[
        Path | None, Parameter(help="Folder to write; `vivace run --model FOLDER/mini2.toml` serves it.")
    ] = None,
    checkpoint: Annotated[
        Path | None, Parameter(help="Weights to export. Default: the run's; or an exported mini2.safetensors.")
    ] = None,
    install: Annotated[bool, Parameter(help="Put the files into this installation of vivace.")] = False,
) -> None:
    """Write files that serve a run's averaged weights: profile, network, and the network that reads style pictures."""
    from vivace.train.export import PROFILES
    from vivace.train.looks.export import PROFILE, export, picture_network, training_card
    from vivace.train.looks.sheet import load_student

    path = checkpoint or out / "checkpoint.pt"
    folder = SHIPPED.parent if install else to or out / "export"
    profile = PROFILES / PROFILE if install else folder / PROFILE
    hashes = export(load_student(path), picture_network(teachers), folder, training_card(path), profile=profile)
    for name, sha256 in hashes.items():
        console.print(f"{folder / name}  {(folder / name).stat().st_size / 2**20:.1f} MiB  sha256 {sha256}")
    console.print(f"{profile}")


@app.command
def speed(
    *,
    size: Annotated[str, Parameter(help="Picture size WxH.")] = "512x512",
    rounds: Annotated[int, Parameter(help="How often each is run, in turn.")] = 25,
    threads: Annotated[int | None, Parameter(help="Threads of a network; OpenVINO's choice by default.")] = None,
    teachers: Annotated[
        Path | None, Parameter(help="Folder with the packages of the teachers: their painting network is timed too.")
    ] = None,
) -> None:
    """Time `mini` and `mini2` (random weights) in turn, on this machine."""
    from vivace.media.size import parse_size
    from vivace.train.looks.speed import race

    timings = race(parse_size(size), rounds=rounds, threads=threads, packages=teachers)
    base = timings[0]
    for timing in timings:
        network, whole = (float(np.median(v)) for v in (timing.network_ms, timing.whole_ms))
        print(
            f"{timing.name:24s} network {network:6.1f} ms, x{np.median(base.network_ms) / network:.2f}"
            f"   with the host's part {whole:6.1f} ms, x{np.median(base.whole_ms) / whole:.2f}"
        )


@app.command
def sheet(
    clips: Clips,
    *,
    teachers: Teachers,
    out: Out = Path("runs/mini2"),
    to: Annotated[Path, Parameter(help="The picture to write.")] = Path("looks.png"),
    size: Annotated[int, Parameter(help="Side of the pictures: 256, or 512 as most streams are.")] = 256,
    look: LookKeys = None,
) -> None:
    """Paint one frame of each clip in every look: teacher above, the run's averaged weights below."""
    from vivace.train.looks.sheet import write_sheet

    write_sheet(clips, teachers, out / "checkpoint.pt", to, side=size, looks=_known(look or LOOK_KEYS[1:]))
    console.print(f"{to}")


@app.command
def evaluate(
    clips: Clips,
    *,
    teachers: Teachers,
    out: Out = Path("runs/mini2"),
    checkpoint: Annotated[
        Path | None, Parameter(help="Weights to judge. Default: the run's; or an exported mini2.safetensors.")
    ] = None,
    look: LookKeys = None,
) -> None:
    """Compare the averaged weights with the teachers, look by look (protocol 2), and print the means."""
    from rich.table import Table

    from vivace.train.looks.classifier import Judge, load_classifier
    from vivace.train.looks.evaluate import COLUMNS, measure
    from vivace.train.looks.features import load_features
    from vivace.train.looks.sheet import load_student

    torch.set_num_threads(1)
    chosen = _known(look or LOOK_KEYS[1:])
    student = load_student(checkpoint or out / "checkpoint.pt")
    judge = Judge(load_classifier(), load_features(teachers))
    scores = measure(student, Painter(NeuralTeachers(teachers)), clips, judge, looks=chosen)
    table = Table("look", *COLUMNS.values())
    rows: list[list[float]] = []
    for key, score in scores.items():
        row = score.row()
        rows.append([row[name] for name in COLUMNS])
        table.add_row(key, *(f"{value:.2f}" for value in rows[-1]))
    table.add_row("all", *(f"{value:.2f}" for value in np.mean(rows, axis=0)))
    Console().print(table)


@app.command
def classifier(
    *,
    teachers: Teachers,
    out: Out = Path("runs/mini2"),
    to: Annotated[
        Path, Parameter(help="The file to write; by default the one that `evaluate` judges with.")
    ] = CLASSIFIER,
) -> None:
    """Train the classifier of all looks on a run's baked targets; `evaluate` judges held-out clips with it."""
    from vivace.train.looks.classifier import fit_classifier, read_samples, save_classifier
    from vivace.train.looks.features import load_features

    torch.set_num_threads(1)
    with console.status("describing pictures") as status:
        samples = read_samples(
            out / "targets", load_features(teachers), lambda done, all_: status.update(f"shard {done} of {all_}")
        )
    net = fit_classifier(*samples)
    save_classifier(net, to, len(samples[1]))
    console.print(f"{to}")


@app.command
def pictures(
    clips: Clips,
    *,
    data: Annotated[Path, Parameter(help="Folder with the MANIFEST.csv of the training: held-out photographs.")],
    teachers: Teachers,
    checkpoint: Weights = SHIPPED,
) -> None:
    """Paint clips like twenty pictures that were not trained on, and tell how often the nearest is the right one."""
    from rich.table import Table

    from vivace.train.looks.features import load_features
    from vivace.train.looks.pictures import nearest_pictures, style_pictures
    from vivace.train.looks.sheet import load_student

    torch.set_num_threads(1)
    styles = style_pictures(read_material(data))
    features, neural = load_features(teachers), NeuralTeachers(teachers)
    found = nearest_pictures(load_student(checkpoint), neural, features, clips, styles)
    table = Table("painted like", "unpainted", "teacher", "mini2")
    columns = [found.right(each) for each in (found.source, found.teacher, found.ours)]
    for name, *values in zip(found.names, *columns, strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in values))
    table.add_row("all", *(f"{column.mean():.2f}" for column in columns))
    Console().print(table)


@app.command
def faces(
    clips: Clips,
    *,
    teachers: Teachers,
    checkpoint: Weights = SHIPPED,
    look: LookKeys = None,
) -> None:
    """Tell how far each look moves the points of a face mesh, in % of the distance of the eyes."""
    from rich.table import Table

    from vivace.train.looks.faces import move_faces
    from vivace.train.looks.sheet import load_student

    torch.set_num_threads(1)
    chosen = _known(look or LOOK_KEYS[1:])
    found = move_faces(load_student(checkpoint), Painter(NeuralTeachers(teachers)), clips, chosen)
    table = Table("look", "teacher %", "lost", "mini2 %", "lost", "of faces")
    for key, by in found.items():
        cells = [cell for each in by.values() for cell in (f"{each.median():.1f}", str(each.lost))]
        ours = by["ours"]
        table.add_row(key, *cells, str(len(ours.percent) + ours.lost))
    Console().print(table)


@app.command(name="ablate")
def ablate_(
    clips: Clips,
    *,
    teachers: Teachers,
    checkpoint: Weights = SHIPPED,
    look: LookKeys = None,
) -> None:
    """Switch off one part of the network at a time: PSNR to the teachers, flicker, sharpness, time of a frame."""
    from rich.table import Table

    from vivace.train.looks.ablations import SIZE, ablate
    from vivace.train.looks.sheet import load_student

    torch.set_num_threads(1)
    chosen = _known(look or LOOK_KEYS[1:])
    rows = ablate(load_student(checkpoint), Painter(NeuralTeachers(teachers)), clips, chosen)
    table = Table("row", "PSNR dB", "flicker / source", "sharpness / teacher", f"ms at {SIZE[0]}x{SIZE[1]}")
    for row in rows:
        values = (row.psnr_db, row.flicker_source, row.sharpness)
        table.add_row(row.name, *(f"{value:.2f}" for value in values), f"{row.step_ms:.1f}")
    Console().print(table)


@app.command(name="fit")
def fit_(
    to: Path,
    /,
    *pictures: Path,
    steps: Annotated[int, Parameter(help="Steps of the fit; 120 take half a minute of one core.")] = 120,
    title: Annotated[str | None, Parameter(help="What people will see; the file's name if not given.")] = None,
    replace: Annotated[bool, Parameter(help="Write over a file that is there.")] = False,
) -> None:
    """Fit a look to pictures of your own, by the shipped weights, and save it; `vivace run --look` paints with it.

    Parameters
    ----------
    to
        File to write, `NAME.look`.
    pictures
        Pictures, or folders of pictures.
    """
    from vivace.models.mini2.saved import Look, check_place, write_look
    from vivace.train.looks.own import fit_look, read_pictures

    if steps < 1:
        raise UsageError("--steps is at least 1")
    check_place(to, replace=replace)
    found = read_pictures(pictures)
    torch.set_num_threads(1)
    fitted = fit_look(found, steps=steps)
    write_look(to, Look(title or to.stem, fitted.mixture))
    console.print(
        f"{to}: fitted to pictures: {len(found)}; other scenes are painted {fitted.after:.3f} from them, "
        f"and {fitted.before:.3f} by the mean of their looks"
    )


def _known(looks: Sequence[str], keys: Sequence[str] = LOOK_KEYS[1:]) -> Sequence[str]:
    """Return looks, after checking that all are among `keys`; raises UsageError for one that is not."""
    if unknown := sorted({*looks} - {*keys}):
        raise UsageError(f"there is no look {unknown[0]!r}; there are {', '.join(keys)}")
    return looks


def _factors(favour: Sequence[str]) -> dict[str, float]:
    """Return the factors of favoured looks, written `ink=6`; raises UsageError for one that cannot be read."""
    factors = {}
    for word in favour:
        look, _, number = word.partition("=")
        _known([look], (*LOOK_KEYS[1:], PICTURE))
        try:
            factors[look] = float(number)
        except ValueError:
            raise UsageError(f"--favour {word!r} is not a look and a number, as in ink=6") from None
        if not 0 < factors[look] < 1000:
            raise UsageError(f"--favour {word!r}: the factor is above 0 and below 1000")
    return factors
