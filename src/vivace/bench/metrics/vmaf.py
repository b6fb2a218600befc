"""VMAF, by an external FFmpeg with libvmaf."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.errors import BackendUnavailableError, DeviceError

NEEDED = "needs an FFmpeg with libvmaf on the PATH"

READINGS = (
    Reading(
        key="vmaf",
        title="VMAF to the exact run",
        unit="",
        direction="higher",
        needs=("exact",),
        source="Netflix VMAF, default model of libvmaf",
        meaning="100: looks the same as without short cuts; 93 and more: nobody sees the difference; under 60: poor.",
        low=0.0,
        high=100.0,
    ),
    Reading(
        key="edit_vmaf",
        title="VMAF to the edit asked for",
        unit="",
        direction="higher",
        needs=("reference",),
        source="Netflix VMAF, default model of libvmaf",
        meaning="100: looks like the exact edit; made for compression, so it says little about other faults.",
        low=0.0,
        high=100.0,
    ),
)


class Vmaf:
    """VMAF of the output against the exact run (`vmaf`) and against the requested edit (`edit_vmaf`), 0 to 100.

    Frame by frame, on 4:2:0 luma, by libvmaf's default model. Li et al. 2016, "Toward a practical perceptual video
    quality metric".
    """

    name = "VMAF"
    readings = READINGS

    def __init__(self, ffmpeg: str | None = None) -> None:
        """Look for FFmpeg: `ffmpeg`, or the one on the PATH."""
        self._ffmpeg = ffmpeg or shutil.which("ffmpeg")

    def reason(self) -> str | None:
        """Return `NEEDED` if there is no such FFmpeg."""
        if self._ffmpeg is None:
            return NEEDED
        listed = subprocess.run([self._ffmpeg, "-hide_banner", "-filters"], capture_output=True, text=True, check=False)
        return None if " libvmaf " in listed.stdout else NEEDED

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return VMAF against each available reference."""
        if reason := self.reason():
            raise BackendUnavailableError(f"VMAF {reason}")
        found = {}
        if footage.exact is not None:
            found["vmaf"] = self._compare(footage.output, footage.exact, footage.fps)
        if footage.reference is not None:
            found["edit_vmaf"] = self._compare(footage.output, footage.reference, footage.fps)
        return found

    def _compare(self, output: Frames, wanted: Frames, fps: float) -> Series:
        assert self._ffmpeg is not None
        height, width = output.shape[1:3]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", f"{fps:g}"]
        # The first input is the one that is judged.
        graph = (
            "[0:v]format=yuv420p[a];[1:v]format=yuv420p[b];[a][b]libvmaf=log_fmt=json:log_path=vmaf.json:n_threads=1"
        )
        with tempfile.TemporaryDirectory(prefix="vivace-vmaf-") as name:
            folder = Path(name)
            np.ascontiguousarray(output).tofile(folder / "output.raw")
            np.ascontiguousarray(wanted).tofile(folder / "wanted.raw")
            command = [self._ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"]
            command += [*raw, "-i", "output.raw", *raw, "-i", "wanted.raw", "-lavfi", graph, "-f", "null", "-"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                said = done.stderr.strip().splitlines() or ["it did not say why"]
                raise DeviceError(f"{self._ffmpeg} could not compute VMAF at {width}x{height}: {said[-1]}")
            log = json.loads((folder / "vmaf.json").read_text("utf-8"))
        values = np.full(len(output), np.nan)
        for frame in log["frames"]:
            values[frame["frameNum"]] = frame["metrics"]["vmaf"]
        return values
