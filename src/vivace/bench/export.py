"""Write what a system made elsewhere needs to run the protocol: the clips, the masks and the list of cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from vivace.bench.cases import Case
from vivace.bench.clips import Clip
from vivace.errors import SinkWriteError

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


class Export:
    """A folder of inputs, written clip by clip."""

    def __init__(self, folder: Path, settings: str) -> None:
        """Make the folder.

        Args:
            folder: where to.
            settings: the flags with which outputs have to be measured, for the read-me.

        Raises:
            SinkWriteError: it cannot be made.
        """
        self._folder = folder
        self._settings = settings
        self._cases: list[dict[str, object]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkWriteError(f"{folder}: cannot be created ({error.strerror})") from error

    def add(self, clip: Clip, cases: list[Case], frames: dict[str, int], seed: int) -> None:
        """Write a clip with its cases.

        Args:
            clip: the clip.
            cases: its cases.
            frames: how many frames each case runs, by its name.
            seed: of every case.

        Raises:
            SinkWriteError: the disk is full or the folder gone.
        """
        try:
            self._write("clips", clip.name, clip.frames)
            if clip.subject is not None:
                self._write("masks", clip.name, clip.subject.astype(np.uint8) * np.uint8(255))
        except OSError as error:
            raise SinkWriteError(f"{self._folder}: writing failed ({error.strerror})") from error
        for case in cases:
            self._cases.append(
                {
                    "case": case.name,
                    "clip": f"clips/{clip.name}",
                    "mask": f"masks/{clip.name}" if case.task == "region" else None,
                    "prompt": case.prompt,
                    "fps": clip.fps,
                    "seed": seed,
                    "frames": frames[case.name],
                }
            )

    def _write(self, kind: str, name: str, pictures: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
        folder = self._folder / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        for index, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / f"{index:05d}.png", compress_level=1)

    def finish(self) -> None:
        """Write the list of cases and the read-me."""
        try:
            (self._folder / "cases.json").write_text(json.dumps(self._cases, indent=1) + "\n", "utf-8")
            (self._folder / "README.txt").write_text(README.format(settings=self._settings), "utf-8")
        except OSError as error:
            raise SinkWriteError(f"{self._folder}: writing failed ({error.strerror})") from error
