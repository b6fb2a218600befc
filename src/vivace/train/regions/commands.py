"""Commands of `vivace train regions`."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from vivace.media.size import parse_size
from vivace.regions.networks import FOLDER

app = App(name="regions", help="What finds regions: its networks, masks drawn by hand, and how well they are met.")
console = Console()

Data = Annotated[Path, Parameter(help="Folder that the files of the hand masks lie in.")]
Masks = Annotated[Path, Parameter(help="File of hand masks.")]
Skies = Annotated[Path, Parameter(help="File that lists photographs with a sky and without one.")]
_MASKS = Path("tests/golden/regions.toml")
_SKIES = Path("tests/golden/skies.toml")
_STEADY = ("person", "face", "hair", "clothes")


@app.command
def export(teachers: Path, *, out: Path = FOLDER) -> None:
    """Convert the perception networks of packages into the shipped files.

    Parameters
    ----------
    teachers
        Folder with the packages; a missing one is named.
    out
        Output folder; this installation by default.
    """
    from vivace.train.regions.networks import convert_networks

    for name, sha256 in convert_networks(teachers, out).items():
        console.print(f"{out / name}  sha256 {sha256}", soft_wrap=True)


@app.command
def sky(data: Path, *, out: Path = FOLDER.parent / "sky.toml", skies: Skies = _SKIES, masks: Masks = _MASKS) -> None:
    """Fit the weights that tell a sky from a ceiling to photographs, without those held out.

    Parameters
    ----------
    data
        Folder with `MANIFEST.csv` (columns split, file, tags) and its photographs.
    out
        Output file; in this installation by default.
    skies
        File that lists photographs with a sky (`sky`) and without one (`none`).
    masks
        File of hand masks, which says what is held out.
    """
    from vivace.train.regions.hand import read_hand_frames
    from vivace.train.regions.sky import fit_sky

    held_out = {frame.file for frame in read_hand_frames(masks) if frame.held_out}
    has_sky = {file: name == "sky" for name, files in tomllib.loads(skies.read_text("utf-8")).items() for file in files}
    found, wrongly = fit_sky(data, out, has_sky, held_out)
    console.print(f"found in {found:.0%} of photographs with a sky, in {wrongly:.0%} of those without")


@app.command
def grid(file: Path, *, index: int = 0, step: int = 40, out: Path = Path("grid.png")) -> None:
    """Write a frame with a grid of its px, for drawing a hand mask, and print its hash.

    Parameters
    ----------
    file
        Clip or photograph.
    index
        Number of the frame, from 0.
    step
        Distance of the grid's lines, px.
    out
        Picture to write.
    """
    from vivace.train.regions.hand import read_frame, sha256_of, shown

    rgb = read_frame(file.parent, file.name, index)
    shown(rgb, step).save(out)
    console.print(f"{out}  frame {rgb.shape[1]}x{rgb.shape[0]}  sha256 {sha256_of(rgb)}", soft_wrap=True)


@app.command
def tighten(data: Data, *, masks: Masks = _MASKS, frame: int = -1, region: str = "person", reach: int = 4) -> None:
    """Pull the outlines of a region to nearby edges, in the file of hand masks.

    Parameters
    ----------
    data
        Folder of the masked clips and photographs.
    masks
        File of hand masks.
    frame
        Number of the frame in the file of hand masks, from 0; the last by default.
    region
        Region whose outlines are pulled.
    reach
        Largest distance of an edge, px.
    """
    from dataclasses import replace

    from vivace.train.regions.hand import read_frame, read_hand_frames, write_hand_frames
    from vivace.train.regions.hand import tighten as tightened

    frames = read_hand_frames(masks)
    chosen = frames[frame]
    rgb = read_frame(data, chosen.file, chosen.index)
    outlines = {**chosen.outlines, region: tightened(rgb, chosen.outlines[region], reach)}
    frames[frame] = replace(chosen, outlines=outlines)
    write_hand_frames(frames, masks)


@app.command
def score(data: Data, *, masks: Masks = _MASKS) -> None:
    """Compare found regions with masks drawn by hand: intersection over union, by region, held-out frames apart."""
    from vivace.train.regions.hand import read_hand_frames
    from vivace.train.regions.score import score as scored

    by_region = defaultdict(list)
    for each in scored(data, read_hand_frames(masks)):
        by_region[each.region, each.held_out].append(each)
    table = Table("region", "held out", "frames", "IoU, mean", "IoU, least", "of", "nowhere", "rightly")
    for (region, held_out), every in sorted(by_region.items()):
        found, nowhere = [each for each in every if each.is_there], [each for each in every if not each.is_there]
        rightly = sum(each.iou == 1 for each in nowhere)
        least = min(found, key=lambda each: each.iou, default=None)
        mean = f"{np.mean([each.iou for each in found]):.3f}" if found else ""
        worst = ("", "") if least is None else (f"{least.iou:.3f}", f"{least.file} {least.index}")
        table.add_row(region, "yes" * held_out, str(len(found)), mean, *worst, str(len(nowhere)), str(rightly))
    console.print(table)


@app.command
def steadiness(picture: Path, *, frames: int = 60, regions: tuple[str, ...] = _STEADY) -> None:
    """Print the change of areas per frame, for a still picture with camera noise, encoded as H.264.

    Parameters
    ----------
    picture
        Photograph, or a clip whose first frame is taken.
    frames
        Number of frames.
    regions
        Regions to find.
    """
    from vivace.train.regions.hand import read_frame
    from vivace.train.regions.score import jitter, noisy

    table = Table("region", "mean", "worst")
    found = jitter(noisy(read_frame(picture.parent, picture.name, 0), frames), regions)
    for name, changes in found.items():
        table.add_row(name, f"{changes.mean():.2%}", f"{changes.max():.2%}")
    console.print(table)


@app.command
def speed(clip: Path, *, sizes: tuple[str, ...] = ("256x256", "512x512"), frames: int = 90) -> None:
    """Print the time that finding takes per frame, for some sets of regions.

    Parameters
    ----------
    clip
        Video.
    sizes
        Sizes of the pictures, WxH.
    frames
        Number of frames.
    """
    from vivace.train.regions.score import cost

    table = Table("size", "regions", "mean ms", "worst ms", "CPU ms")
    for size in sizes:
        for regions in (
            "person",
            "face",
            "hair",
            "clothes",
            "lips",
            "subject",
            "sky",
            "yellow",
            "person face hair clothes",
        ):
            found = cost(clip, parse_size(size), regions.split(), frames)
            table.add_row(size, regions, f"{found.mean_ms:.1f}", f"{found.worst_ms:.1f}", f"{found.cpu_ms:.1f}")
    console.print(table)
