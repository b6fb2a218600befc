"""Export of the protocol's inputs for external systems: clips, masks and the list of cases."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from vivace.bench.document import write_text
from vivace.bench.inputs.clips import Clip
from vivace.bench.quality.cases import Case
from vivace.bench.suite import progress_bar
from vivace.errors import SinkWriteError

if TYPE_CHECKING:
    from vivace.bench.quality.benchmark import QualityOptions

README = """\
Inputs of the Vivace benchmark.

clips/NAME/00000.png ...   the frames of a clip, exact
masks/NAME/00000.png ...   white where a region case may change the picture
cases.json                 every case: its name, clip, prompt, frame rate, seed, whether a mask applies, how many frames

Put what your system makes of a case into a folder of pictures named like the case, e.g.
outputs/walkers/style/ink/00000.png ..., or into a video, outputs/walkers/style/ink.mkv, with the same number
of frames at the same size. Use PNG or a lossless codec: what a codec changes counts as yours. Then

    vivace bench quality --outputs outputs {settings}
"""


def export_command(folder: Path, options: QualityOptions) -> None:
    """Write the inputs of a quality run into a folder.

    Drift and fidelity are left out: one is minutes of pictures, the other needs the system itself.

    Raises:
        SinkWriteError: the folder cannot be created, or the disk is full.
        VivaceError: nothing to run, or a video that cannot be read.
    """
    from vivace.bench.quality.benchmark import mask_of, plan

    planned = plan(replace(options, tasks=tuple(task for task in options.tasks if task in ("style", "region", "edit"))))
    listed: list[dict[str, object]] = []
    with progress_bar() as report:
        for place, entry in enumerate(planned):
            report(place, len(planned), entry.name)
            clip = entry.load()
            try:
                _write(folder / "clips" / clip.name, clip.frames)
                for case in entry.cases:
                    mask = mask_of(case, clip)
                    if mask is not None:
                        _write(folder / "masks" / clip.name, mask.astype(np.uint8) * np.uint8(255))
            except OSError as error:
                raise SinkWriteError(f"{folder}: cannot be written ({error.strerror})") from error
            listed += [_entry(case, clip, options.seed) for case in entry.cases]
    size = f"--size {options.size[0]}x{options.size[1]} --seed {options.seed}"
    quick = " --quick" if options.protocol.name == "quick" else ""
    write_text(folder / "cases.json", json.dumps(listed, indent=1) + "\n")
    write_text(folder / "README.txt", README.format(settings=size + quick))
    Console().print(f"written: {folder}, {len(planned)} clips, {len(listed)} cases; README.txt there says what to do")


def _entry(case: Case, clip: Clip, seed: int) -> dict[str, object]:
    return {
        "case": case.name,
        "clip": f"clips/{clip.name}",
        "mask": f"masks/{clip.name}" if case.task == "region" else None,
        "prompt": case.prompt,
        "fps": clip.fps,
        "seed": seed,
        "frames": case.frames,
    }


def _write(folder: Path, pictures: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index:05d}.png", compress_level=1)
