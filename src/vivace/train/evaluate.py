"""`vivace train evaluate`: an embedded model against the teachers of `mini`, on clips it was not trained on.

Every style is streamed over every clip as in a session, frame by frame on its own output. Reported per style, against
the teacher painting the same frames with the same textures:

* PSNR, dB, and how often the nearest of all teachers (by 8 x 8 means and by px) is the right one;
* strength: share of the way from the source to the full style, as judged by the style classifier;
* flicker: mean absolute change between frames, relative to the teacher's; 1 is as steady as the teacher;
* sharpness: mean absolute difference of neighbours, relative to the teacher's; below 1 is blurred, above 1 is noisy.

Teachers, classifier and clips are the same for every embedded model: figures of `mini` and of `mini2`, seven of whose
sixteen styles have teachers of their own, are comparable (protocol 1, decision 0012).

Ablations switch off one named part at a time. The memory is tested where it matters: on a source with camera noise and
flickering exposure, against the teacher of the clean source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from vivace.errors import SinkWriteError, SourceUnsupportedError, UsageError
from vivace.media.convert import cover, resize
from vivace.media.draw import contact_sheet
from vivace.media.frame import Rgb
from vivace.media.open import open_source
from vivace.models.base import Chunk, StreamModel
from vivace.models.mini.checkpoint import load_net
from vivace.models.mini.config import MiniConfig
from vivace.models.mini.graph import GRAPH_OUTPUTS, StepGraph
from vivace.models.mini.model import MiniModel
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS, STYLES
from vivace.models.mini.text import TextEncoder
from vivace.models.mini2.model import Mini2Model
from vivace.models.style.classifier import CLASSES, shipped_classifier, strength, working_size
from vivace.runtime.exported.eager import EagerNetwork
from vivace.train.classic import ClassicFilter
from vivace.train.clips import list_videos
from vivace.train.shipped import embedded_painter, style_embeds

SEED = 0
MIN_FRAMES = 4
"""Fewest frames of a clip: two to warm up, two to see a change between."""


@dataclass(slots=True)
class StyleScore:
    """Values of one style, per clip."""

    psnr_db: list[float] = field(default_factory=list)
    recognised: list[bool] = field(default_factory=list)
    strength: list[float] = field(default_factory=list)
    """Style strength of the last frame; NaN where the source has the style already, or unmeasured."""
    flicker: list[float] = field(default_factory=list)
    """Change per frame of the model, 0 to 255."""
    teacher_flicker: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        """Return the means; flicker is the ratio of sums, so that still clips do not divide by zero."""
        return {
            "psnr_db": float(np.mean(self.psnr_db)),
            "recognised": float(np.mean(self.recognised)) if self.recognised else float("nan"),
            "strength": float(np.nanmean(self.strength)) if np.isfinite(self.strength).any() else float("nan"),
            "flicker_ratio": float(np.sum(self.flicker) / max(np.sum(self.teacher_flicker), 1e-6)),
            "sharpness_ratio": float(np.mean(self.sharpness)),
        }


def read_clip(path: Path, size: tuple[int, int], frames: int, skip: int) -> list[Rgb]:
    """Return `frames` pictures after the first `skip`, cropped to `size = (width, height)`."""
    pictures: list[Rgb] = []
    with open_source(str(path)) as source:
        for frame in source:
            if frame.index >= skip:
                pictures.append(cover(frame.rgb, size))
            if len(pictures) == frames:
                break
    return pictures


def stream(model: StreamModel[Any], frames: Sequence[Rgb], embeds: NDArray[np.float32], steps: int = 1) -> list[Rgb]:
    """Paint frames in order, as a session does."""
    height, width = frames[0].shape[:2]
    state = model.open((width, height), seed=SEED)
    return [model.step([state], [Chunk(f[None], embeds, denoising_steps=steps)])[0].rgb[0] for f in frames]


def style_strength(style: str, painted: Rgb, source: Rgb) -> float:
    """Return the share of the way from a source to the full style; NaN where the source has the style already."""
    size = working_size((source.shape[1], source.shape[0]))
    shares = [shipped_classifier().shares(resize(rgb, size)) for rgb in (painted, source)]
    found, before = (np.array([share[CLASSES.index(style)]]) for share in shares)
    return float(strength(found, before)[0])


def psnr(a: Rgb, b: Rgb) -> float:
    """Return the peak signal-to-noise ratio of two pictures, dB."""
    return float(10 * np.log10(255**2 / max(1e-3, np.mean((a.astype(np.float32) - b) ** 2))))


def change(frames: Sequence[Rgb]) -> float:
    """Return the mean absolute change from frame to frame, 0 to 255."""
    return float(np.mean([np.abs(b.astype(np.int16) - a).mean() for a, b in pairwise(frames)]))


def edges(rgb: Rgb) -> float:
    """Return the mean absolute difference of neighbouring px."""
    x = rgb.astype(np.int16)
    return float(np.abs(np.diff(x, axis=0)).mean() + np.abs(np.diff(x, axis=1)).mean())


def nearest_teacher(rgb: Rgb, painted: dict[str, Rgb]) -> str:
    """Return the style whose teacher is nearest to a picture, by coarse colour and by px."""

    def coarse(x: Rgb) -> NDArray[np.float32]:
        h, w = x.shape[0] // 8 * 8, x.shape[1] // 8 * 8
        return np.asarray(x[:h, :w].reshape(h // 8, 8, w // 8, 8, 3).mean(axis=(1, 3)), np.float32)

    def distance(other: Rgb) -> float:
        far = np.abs(coarse(rgb) - coarse(other)).mean()
        return float(far + np.abs(rgb.astype(np.float32) - other).mean())

    return min(painted, key=lambda style: distance(painted[style]))


@dataclass(frozen=True, slots=True)
class Report:
    """Result of `measure`."""

    styles: dict[str, StyleScore]
    sheets: dict[str, Rgb]
    """Contact sheet by clip: source, teacher, model, for every style."""


def measure(
    model: MiniModel | Mini2Model, clips: Iterable[Path], size: tuple[int, int], frames: int, skip: int
) -> Report:
    """Stream every style over every clip and compare with the teachers."""
    teachers = ClassicFilter(size, SEED)
    model.follow_camera = False  # textures stay on the screen, as the teachers', so that both are compared px by px
    scores = {key: StyleScore() for key in STYLE_KEYS}
    sheets: dict[str, Rgb] = {}
    for path in clips:
        source = read_clip(path, size, frames, skip)
        if len(source) < MIN_FRAMES:
            continue
        last = {key: teachers.paint(key, source[-1]) for key in STYLE_KEYS}
        cells: list[list[Rgb]] = []
        for key in STYLE_KEYS:
            ours = stream(model, source, style_embeds(model, key))
            theirs = [*(teachers.paint(key, f) for f in source[:-1]), last[key]]
            score = scores[key]
            score.psnr_db.append(psnr(ours[-1], last[key]))
            score.recognised.append(nearest_teacher(ours[-1], last) == key)
            score.strength.append(style_strength(key, ours[-1], source[-1]))
            # The first frames have no past to be steady against.
            score.flicker.append(change(ours[2:]))
            score.teacher_flicker.append(change(theirs[2:]))
            score.sharpness.append(edges(ours[-1]) / max(edges(last[key]), 1e-3))
            cells.append([source[-1], last[key], ours[-1]])
        half = (len(cells) + 1) // 2
        rows = [[*a, *b] for a, b in zip(cells[:half], cells[half:], strict=False)]
        labels = [f"{a.title} | {b.title}" for a, b in zip(STYLES[:half], STYLES[half:], strict=False)]
        columns = ["source", "teacher", "ours"] * 2
        sheets[path.stem] = contact_sheet(rows, labels, columns=columns, title=path.stem)
    return Report(scores, sheets)


# -- ablations ---------------------------------------------------------------------------------------------------------

ABLATIONS: tuple[tuple[str, frozenset[str], int, bool], ...] = (
    ("whole, 1 step", frozenset(), 1, False),
    ("whole, 2 steps", frozenset(), 2, False),
    ("whole, 4 steps", frozenset(), 4, False),
    ("no fine path", frozenset({"fine"}), 1, False),
    ("no coarse path", frozenset({"coarse"}), 1, False),
    ("no colour map", frozenset({"colours"}), 1, False),
    ("no strokes", frozenset({"strokes"}), 1, False),
    ("no spatial attention", frozenset({"spatial"}), 1, False),
    ("disturbed: whole", frozenset(), 1, True),
    ("disturbed: temporal keys not pooled", frozenset({"pooling"}), 1, True),
    ("disturbed: no temporal attention", frozenset({"temporal"}), 1, True),
    ("disturbed: no previous output", frozenset({"previous"}), 1, True),
    ("disturbed: neither", frozenset({"temporal", "previous"}), 1, True),
)
"""Row, parts switched off, denoising steps, whether the source is disturbed."""


def disturb(frames: Sequence[Rgb], seed: int = 0) -> list[Rgb]:
    """Add camera noise of 8 levels and an exposure that flickers by 6 %."""
    rng = np.random.default_rng(seed)
    noisy = [f * (1 + 0.06 * rng.standard_normal()) + rng.normal(0, 8, f.shape) for f in frames]
    return [np.clip(f, 0, 255).astype(np.uint8) for f in noisy]


def ablate(clips: Sequence[Path], size: tuple[int, int], frames: int, skip: int) -> list[dict[str, float | str]]:
    """Return a row per ablation, means over clips and styles; runs in eager torch."""
    teachers = ClassicFilter(size, SEED)
    text = TextEncoder.load()
    sources = [s for s in (read_clip(path, size, frames, skip) for path in clips) if len(s) >= MIN_FRAMES]
    painted = [[[teachers.paint(key, f) for f in s] for key in STYLE_KEYS] for s in sources]
    rows: list[dict[str, float | str]] = []
    for name, without, steps, disturbed in ABLATIONS:
        cfg = MiniConfig(pool=1) if "pooling" in without else MiniConfig()
        network = EagerNetwork(StepGraph(load_net(cfg=cfg, without=without - {"pooling"})), GRAPH_OUTPUTS)
        model = MiniModel(network, text, cfg)
        model.follow_camera = False
        score = StyleScore()
        for source, theirs in zip(sources, painted, strict=True):
            seen = disturb(source) if disturbed else source
            for number in range(STYLE_COUNT):
                ours = stream(model, seen, np.eye(STYLE_COUNT, dtype=np.float32)[number], steps)
                score.psnr_db.append(
                    float(np.mean([psnr(a, b) for a, b in zip(ours[2:], theirs[number][2:], strict=True)]))
                )
                score.flicker.append(change(ours[2:]))
                score.teacher_flicker.append(change(theirs[number][2:]))
                score.sharpness.append(edges(ours[-1]) / max(edges(theirs[number][-1]), 1e-3))
        row = score.row()
        rows.append({"row": name, **{k: row[k] for k in ("psnr_db", "flicker_ratio", "sharpness_ratio")}})
    return rows


# -- command -----------------------------------------------------------------------------------------------------------


def evaluate_command(
    clips: Path,
    out: Path,
    *,
    model_name: str = "mini",
    size: tuple[int, int] = (256, 256),
    frames: int = 12,
    skip: int = 24,
    ablations: bool = False,
) -> None:
    """Measure, write contact sheets and `evaluation.json` into `out`, print tables and one JSON line.

    Raises:
        UsageError: too few frames to measure flicker, an unsupported size, or a model that is not embedded.
        SourceError: no video in the folder, or none that is long enough.
        SinkWriteError: `out` cannot be written.
    """
    if frames < MIN_FRAMES or skip < 0:
        raise UsageError(
            f"--frames is {frames} and --skip {skip}; give at least {MIN_FRAMES} frames, and skip 0 or more"
        )
    model = embedded_painter(model_name)
    if ablations and not isinstance(model, MiniModel):
        raise UsageError("--ablations are those of mini; for mini2 there is `vivace train looks ablate`")
    model.open(size)  # refuses an unsupported size before anything is read
    paths = list_videos(clips)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkWriteError(f"{out}: cannot be created ({error.strerror})") from error
    say = Console(stderr=True)
    # The teachers' threads and those of the model would wait for each other's cores.
    torch.set_num_threads(1)
    report = measure(model, track(paths, f"{STYLE_COUNT} styles", console=say, transient=True), size, frames, skip)
    if not report.sheets:
        raise SourceUnsupportedError(
            f"{clips}: no clip goes on for {frames} frames after the first {skip}; lower --frames or --skip"
        )
    columns = ("psnr_db", "recognised", "strength", "flicker_ratio", "sharpness_ratio")
    table = Table(
        "style", "PSNR dB", "recognised", "strength", "flicker / teacher", "sharpness / teacher", box=SIMPLE_HEAD
    )
    styles = {key: score.row() for key, score in report.styles.items()}
    total = StyleScore(
        *(list(chain.from_iterable(getattr(s, n) for s in report.styles.values())) for n in StyleScore.__slots__)
    ).row()
    for key, row in {**styles, "all": total}.items():
        table.add_row(key, *(f"{row[name]:.2f}" for name in columns))
    for name, sheet in report.sheets.items():
        Image.fromarray(sheet).save(out / f"{name}.png")
    document: dict[str, object] = {
        "model": model_name,
        "size": list(size),
        "frames": frames,
        "clips": [p.name for p in paths],
        "styles": styles,
        "all": total,
    }
    printer = Console()
    printer.print(table)
    if ablations:
        with say.status("ablations in eager torch; this takes a while"):
            rows = ablate(paths, size, frames, skip)
        document["ablations"] = rows
        table = Table("ablation", "PSNR dB", "flicker / teacher", "sharpness / teacher", box=SIMPLE_HEAD)
        for found in rows:
            table.add_row(
                str(found["row"]), *(f"{found[n]:.2f}" for n in ("psnr_db", "flicker_ratio", "sharpness_ratio"))
            )
        printer.print(table)
    (out / "evaluation.json").write_text(json.dumps(document, indent=2))
    printer.print(f"contact sheets: {out}")
    print(json.dumps(document))
