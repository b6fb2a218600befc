"""Following a key frame through scenes whose edited render is exact.

The first picture of a scene and its edited render are the key frame. A later picture is judged by its PSNR to the
edited render of that moment, inside the edit only, beside what takes no learning: the key frame carried by optical
flow, straight from the key frame to now and from frame to frame, of which the better counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vivace.bench.metrics.similarity import psnr_db
from vivace.errors import UsageError
from vivace.models.keyframes.follower import Follower
from vivace.models.keyframes.load import Networks, load
from vivace.models.keyframes.motion import Motion, after, carry, find, grey, search
from vivace.train.keyframes.edits import LEAST_PX, inside
from vivace.worlds import RAYCAST, load_world, make_scene
from vivace.worlds.scene import Scene

FPS = 24
AT = (24, 96)
"""Frames that are judged."""
MOMENTS = (*(f"frame {n}" for n in AT), "returned")
EDITS = ("recolour", "night", "snow", "background")
"""Edits that are followed: a key frame cannot say what is behind a thing that it removes."""
HIDDEN, BACK = 0.1, 0.5
"""Shares of the key frame's edited px below which the edit is hidden, and above which it is back."""
WAYS = ("followed", "recognition off", "attention off", "motion off", "DIS warp", "source")
FOLLOWED = 4
"""Number of ways that follow, of which all but the first lack a part."""
Rgb = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Row:
    """Scores of one picture, dB by way; a way that shows nothing of the edit has the source's."""

    scene: str
    edit: str
    moment: str
    """One of `MOMENTS`; `returned` is the first frame in which an edit that was hidden is back."""
    frame: int
    psnr_db: Mapping[str, float]
    whole_db: Mapping[str, float]
    """PSNR of all of the picture: an edit that is smeared over its surroundings is seen here."""


@dataclass(slots=True)
class Report:
    """All rows, and pictures of some."""

    rows: list[Row] = field(default_factory=list)
    sheets: list[Rgb] = field(default_factory=list)
    """Rows of pictures: the key frame, its edit, the source, the exact edit, and each way but the last."""

    def of(self, edit: str, moment: str) -> list[Row]:
        """Return the rows of an edit at a moment."""
        return [row for row in self.rows if row.edit == edit and row.moment == moment]


def measure(
    networks: Networks,
    size: tuple[int, int],
    *,
    scenes: Sequence[str] = RAYCAST,
    edits: Sequence[str] = EDITS,
    frames: int = max(AT) + 1,
    seed: int = 0,
    report: Callable[[str], None] = lambda _line: None,
) -> Report:
    """Return the scores of the network of some scenes and edits, at `(width, height)` px."""
    found = Report()
    for scene in scenes:
        keys = {one.key for one in load_world(scene).edits}
        chosen = [edit for edit in edits if edit in keys]
        if chosen:
            plain = make_scene(scene, size, seed)
            sources = [plain.render(n / FPS) for n in range(frames)]
            for edit in chosen:
                _follow(found, networks, sources, scene, edit, size, seed)
                report(f"{scene} {edit}")
    return found


def _follow(
    found: Report, networks: Networks, sources: list[Rgb], scene: str, edit: str, size: tuple[int, int], seed: int
) -> None:
    changed = make_scene(scene, size, seed, edit=edit)
    key = changed.render(0)
    moments = {n: f"frame {n}" for n in AT if n < len(sources)}
    share = [_share(changed, sources, n, key) for n in range(0, len(sources), 4)]
    hidden = next((i for i, part in enumerate(share) if part < HIDDEN), None)
    if hidden is not None:
        back = next((i for i, part in enumerate(share) if i > hidden and part > BACK), None)
        if back is not None:
            moments[back * 4] = "returned"
    followers = {way: Follower(networks, size) for way in WAYS[:FOLLOWED]}
    for way, follower in followers.items():
        follower.take((sources[0], key))
        follower.recognises = way != "recognition off"
        follower.attends = way != "attention off"
        follower.moves = way != "motion off"
    flow = search()
    flow.setFinestScale(0)
    chained: Motion | None = None
    for n, source in enumerate(sources):
        outputs = {way: follower.follow(source) for way, follower in followers.items()}
        if n:
            step = find(flow, grey(source), grey(sources[n - 1]), None)
            chained = step if chained is None else after(chained, step)
        if n not in moments:
            continue
        target = changed.render(n / FPS)
        straight = carry(find(flow, grey(source), grey(sources[0]), None), key)
        warps = [straight] if chained is None else [straight, carry(chained, key)]
        area = inside(target, source)
        if area.sum() < LEAST_PX:
            continue
        warped = max(warps, key=lambda picture: psnr_db(picture, target, area))
        shown = dict(zip(WAYS, (*outputs.values(), warped, source), strict=True))
        by_area = ({way: psnr_db(p, target, where) for way, p in shown.items()} for where in (area, None))
        found.rows.append(Row(scene, edit, moments[n], n, *by_area))
        found.sheets.append(np.concatenate([sources[0], key, source, target, *outputs.values(), warped], 1))


def _share(changed: Scene, sources: list[Rgb], n: int, key: Rgb) -> float:
    """Return how many px are inside the edit, as a share of those of the key frame."""
    now = changed.render(n / FPS)
    then = inside(key, sources[0]).sum()
    return float(inside(now, sources[n]).sum() / max(then, 1))


def write_sheet(report: Report, path: Path) -> None:
    """Write the pictures of a report as one."""
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(report.sheets), cv2.COLOR_RGB2BGR))


def keyframes_command(
    size: tuple[int, int], scenes: Sequence[str] | None, edits: Sequence[str] | None, out: Path, seed: int
) -> None:
    """Measure, print the means, and write `keyframes.json` and the pictures into a folder.

    Raises:
        UsageError: a scene or an edit that there is none of.
    """
    for name in scenes or ():
        load_world(name)
    known = {edit.key for scene in scenes or RAYCAST for edit in load_world(scene).edits}
    if unknown := sorted({*(edits or ())} - known):
        raise UsageError(f"no such scene has an edit {unknown[0]!r}; there are {', '.join(sorted(known))}")
    console = Console(stderr=True)
    chosen = tuple(edits or EDITS)
    report = measure(load(), size, scenes=scenes or RAYCAST, edits=chosen, seed=seed, report=console.print)
    table = Table("edit", "moment", "pictures", *WAYS, title="PSNR to the exact edit, dB: inside the edit / in all")
    for edit in chosen:
        for moment in MOMENTS:
            if rows := report.of(edit, moment):
                areas = [row.psnr_db for row in rows], [row.whole_db for row in rows]
                cells = (" / ".join(f"{np.mean([each[way] for each in area]):.1f}" for area in areas) for way in WAYS)
                table.add_row(edit, moment, str(len(rows)), *cells)
    Console().print(table)
    out.mkdir(parents=True, exist_ok=True)
    (out / "keyframes.json").write_text(json.dumps([asdict(row) for row in report.rows], indent=1))
    if report.sheets:
        write_sheet(report, out / "keyframes.png")
