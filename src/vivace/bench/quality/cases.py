"""Protocol of the quality benchmark: the requests for each clip, and the tasks by which results are measured.

A case's name is `CLIP/TASK/REQUEST`, e.g. `walkers/style/ink`. The same settings give the same cases in every run, on
every machine and for every system; `docs/benchmark.md` describes them.

Tasks:

* `style`: the whole picture in a style. Measures temporal stability, preserved structure, and presence of the style.
* `region`: a style inside a mask that moves with the clip's subject, or around it. Measures preservation of the rest.
* `edit`: an instruction with a rendered correct result. Measures the distance to it.
* `fidelity`: a style case again, against the same system without its acceleration.
* `drift`: minutes of the same few seconds repeated. Measures slow changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vivace.bench.inputs.scenes import scene_worlds
from vivace.bench.metrics.footage import Reading
from vivace.errors import UsageError
from vivace.models.mini.styles import STYLES
from vivace.worlds.raycast.world import RaycastWorld

Task = Literal["style", "region", "edit", "fidelity", "drift"]
TASKS: tuple[Task, ...] = ("style", "region", "edit", "fidelity", "drift")

QUICK_SCENES = ("walkers", "mover", "game")
"""Scenes of the quick protocol: a figure under a moving camera, a still picture with one mover, a user interface."""
DRIFT_SCENE = "table"
"""Scene of the drift case: much texture and colour, no cuts, so that drift is visible."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """Extent of a run. Results are reported with the name of one of the two protocols in this module."""

    name: str
    scenes: tuple[str, ...]
    frames: int
    """Frames of style and region cases."""
    styles_a_scene: int
    edits_a_scene: int
    edit_frames: int
    """Frames of edit cases, whose correct results must be rendered too."""
    fps: float = 24.0
    fidelity_cases: int = 3
    fidelity_frames: int = 12
    drift_minutes: float = 2.0
    drift_fps: float = 8.0
    drift_loop_frames: int = 16
    """Frames of the clip that the drift case runs forth and back through, so that equal phases can be compared."""

    @property
    def drift_frames(self) -> int:
        """Frames of the drift case."""
        return round(self.drift_minutes * 60 * self.drift_fps)

    @property
    def drift_period(self) -> int:
        """Frames after which the drift case shows the same picture again, moving in the same direction."""
        return 2 * self.drift_loop_frames - 2


def make_protocol(scenes: Sequence[str] | None = None, *, quick: bool = False) -> Protocol:
    """Return the full protocol, or the quick one, which takes about a minute.

    Args:
        scenes: only these; `["none"]` leaves only the videos of a folder.
        quick: for continuous integration and a first look.

    Raises:
        UsageError: no such scene.
    """
    chosen = check_scenes(scenes) if scenes is not None else QUICK_SCENES if quick else tuple(scene_worlds())
    if not quick:
        return Protocol("full", chosen, frames=36, styles_a_scene=2, edits_a_scene=3, edit_frames=18)
    return Protocol(
        "quick",
        chosen,
        frames=12,
        styles_a_scene=1,
        edits_a_scene=1,
        edit_frames=6,
        fidelity_cases=1,
        fidelity_frames=6,
        drift_minutes=0.5,
        drift_fps=4.0,
        drift_loop_frames=8,
    )


def check_scenes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names if all are benchmark scenes.

    Raises:
        UsageError: one is not.
    """
    if list(names) == ["none"]:
        return ()
    known = scene_worlds()
    for name in names:
        if name not in known:
            raise UsageError(f"{name[:80]!r} is no benchmark scene; there are {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def check_tasks(names: Sequence[str] | None) -> tuple[Task, ...]:
    """Return the tasks of those names, all of them if none are named.

    Raises:
        UsageError: an unknown task.
    """
    if names is None:
        return TASKS
    for name in names:
        if name not in TASKS:
            raise UsageError(f"{name[:80]!r} is no task; there are {', '.join(TASKS)}")
    return tuple(task for task in TASKS if task in names)


@dataclass(frozen=True, slots=True)
class Case:
    """One clip with one request."""

    clip: str
    task: Task
    request: str
    """Key of the style or edit."""
    prompt: str
    frames: int
    style: str | None = None
    around: bool = False
    """True if a region case may change everything but the clip's subject, false if only the subject."""

    @property
    def name(self) -> str:
        """Name `CLIP/TASK/REQUEST`."""
        return f"{self.clip}/{self.task}/{self.request}"

    def judges(self, metric: Reading) -> bool:
        """Return whether a metric is meant for this task; others may be computable, but answer another question."""
        needs = set(metric.needs)
        match self.task:
            case "region":
                return "mask" in needs or "style" in needs
            case "edit":
                return "reference" in needs
            case "fidelity":
                return "exact" in needs
            case "drift":
                return False  # one slope per case, not a value per frame
            case "style":
                return not needs & {"mask", "reference", "exact"}


def cases_of(clip: str, number: int, protocol: Protocol, info: RaycastWorld | None, *, masked: bool) -> list[Case]:
    """Return the cases of the clip that is the `number`-th of the run.

    Styles are dealt out in turn, so that all of them occur over the clips.

    Args:
        clip: name of the clip.
        number: its index, from 0; determines its styles.
        protocol: extent of the run.
        info: description and edits of a scene; None for a video.
        masked: true if the clip has a mask of its subject.
    """
    first, frames = number * protocol.styles_a_scene, protocol.frames
    dealt = [STYLES[(first + i) % len(STYLES)] for i in range(protocol.styles_a_scene)]
    found = [Case(clip, "style", style.key, style.prompt, frames, style.key) for style in dealt]
    if masked:
        # The style eight further on, so not one that the whole picture was painted in. Alternating clips keep the
        # subject, or the world around it.
        style = STYLES[(first + len(STYLES) // 2) % len(STYLES)]
        found.append(Case(clip, "region", style.key, style.prompt, frames, style.key, around=number % 2 == 0))
    if info is not None:
        # Dealt out in turn as well, for a protocol that runs fewer than there are.
        turned = [info.edits[(number + i) % len(info.edits)] for i in range(len(info.edits))]
        wanted = turned[: protocol.edits_a_scene]
        found += [Case(clip, "edit", edit.key, edit.instruction, protocol.edit_frames) for edit in wanted]
    if number < protocol.fidelity_cases:
        style = dealt[0]
        found.append(Case(clip, "fidelity", style.key, style.prompt, protocol.fidelity_frames, style.key))
    return found


def drift_case(protocol: Protocol) -> Case:
    """Return the case that runs for minutes."""
    style = STYLES[0]
    return Case(DRIFT_SCENE, "drift", style.key, style.prompt, protocol.drift_frames, style.key)
