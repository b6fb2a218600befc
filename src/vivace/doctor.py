"""`vivace doctor`: checks of this machine, with remedies."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vivace import __version__
from vivace.errors import BackendUnavailableError, VivaceError, install_extra
from vivace.settings import Settings

State = Literal["ok", "limited", "missing"]
"""Result of a check: `ok`; `limited`: works, but slower or with something left out; `missing`: Vivace cannot run."""

MIN_DISK_MB = 500
"""Free disk space for a few minutes of video and a temporary file, MB."""
MIN_MEMORY_MB = 1500
"""Free memory, MB: the embedded model stays under 1 GB resident, and the rest of the system needs some."""

CAMERA_SIZE = (1280, 720)
"""Usual `(width, height)` of cameras, px, from which the painted size follows."""
LIVE_FPS = 15.0
"""Frame rate below which motion looks jerky. Live streams lower their effort, so they may still reach it."""

GPU_LIBRARIES = ("diffusers", "transformers", "huggingface_hub")
"""Packages that the extra `gpu` adds to torch."""


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check."""

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(settings: Settings | None = None) -> list[Check]:
    """Return the results of all checks, in the order a person would ask."""
    settings = settings or Settings.from_environment()
    looks: list[Callable[[], Check]] = [
        check_python,
        check_cores,
        check_memory,
        check_openvino,
        check_precision,
        lambda: check_model(settings.model, settings.threads),
        check_media,
        check_cameras,
        check_outputs,
        check_encoders,
        check_font,
        check_torch,
        check_large_models,
        check_disk,
    ]
    return [look() for look in looks]


def check_python() -> Check:
    """Check Python and the operating system."""
    return Check(
        "python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}, vivace {__version__}"
    )


def check_cores() -> Check:
    """Check the CPU and the cores that this process may use."""
    cores = usable_cores()
    found = f"{cores} usable core{'s' if cores > 1 else ''}, {cpu_name()}"
    if cores < 2:
        return Check("cpu", "limited", found, "One core decodes, paints and encodes in turn; use `--size 256x256`.")
    return Check("cpu", "ok", found)


def check_memory() -> Check:
    """Check the available memory."""
    available_mb = _available_memory_mb()
    if available_mb is None:
        return Check("memory", "ok", "unknown on this system")
    found = f"{available_mb:,.0f} MB available"
    if available_mb < MIN_MEMORY_MB:
        return Check("memory", "limited", found, f"Close programs until about {MIN_MEMORY_MB} MB are free.")
    return Check("memory", "ok", found)


def check_openvino() -> Check:
    """Check the CPU runtime."""
    from vivace.runtime.exported.openvino import import_openvino

    try:
        openvino = import_openvino()
    except ImportError as error:
        return Check("openvino", "missing", str(error), "Reinstall: pip install --force-reinstall openvino")
    devices = ", ".join(openvino.Core().available_devices)
    return Check("openvino", "ok", f"{openvino.__version__.split('-')[0]}, devices: {devices}")


def check_precision() -> Check:
    """Check for native bfloat16 support."""
    from vivace.runtime.exported.openvino import import_openvino

    try:
        openvino = import_openvino()
    except ImportError:
        return Check("precision", "missing", "unknown without openvino", "See openvino above.")
    capabilities = list(openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    if "BF16" in capabilities:
        return Check("precision", "ok", "bf16")
    return Check(
        "precision",
        "limited",
        "f32: this processor has no bf16",
        "Expect about half the frame rate; choose a smaller `--size`.",
    )


def check_model(name: str, threads: int | None = None) -> Check:
    """Check the default model: files present and intact, and its frame rate here."""
    from vivace.models import load_model
    from vivace.stream.fit import choose_size
    from vivace.stream.slot import calibrate

    try:
        model = load_model(name, threads=threads)
        size = choose_size(CAMERA_SIZE, model.spec)
        fps = 1e3 / calibrate(model, size)
    except VivaceError as error:
        return Check(f"model {name}", "missing", str(error), "Reinstall Vivace, or see `vivace models list`.")
    where = model.runtime
    notes = f" ({'; '.join(where.notes)})" if where.notes else ""
    found = f"{fps:.0f} fps at {size[0]}x{size[1]} on {where.device} in {where.precision}{notes}"
    if fps < LIVE_FPS:
        return Check(f"model {name}", "limited", found, "Close other programs, or choose a smaller `--size`.")
    return Check(f"model {name}", "ok", found)


def check_media() -> Check:
    """Check FFmpeg inside PyAV, and the encoder for video files."""
    try:
        import av
    except ImportError as error:
        return Check("media", "missing", str(error), "Reinstall: pip install --force-reinstall av")
    found = f"PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info}"
    if "libx264" not in av.codecs_available:
        return Check(
            "media", "limited", f"{found}, without x264", "Use the PyAV wheel from the registry for mp4 output."
        )
    return Check("media", "ok", found)


def check_cameras() -> Check:
    """Check for cameras that `vivace run camera` can open."""
    from vivace.media.camera import list_cameras

    cameras = list_cameras()
    if not cameras:
        return Check("cameras", "limited", "none", "Plug one in, or run a file, `screen` or `scene` instead.")
    return Check("cameras", "ok", ", ".join(f"camera:{camera.number} {camera.name}" for camera in cameras))


def check_outputs() -> Check:
    """Check the kinds of outputs (`-o`) that this machine supports, with reasons for the others."""
    from vivace.media.registry import SINKS

    found = {kind: kind.is_available() for kind in SINKS.kinds.values()}
    names = ", ".join(kind.name for kind, (available, _) in found.items() if available)
    reasons = [f"{kind.name}: {reason}" for kind, (available, reason) in found.items() if not available]
    limited = any(kind.opener and not available for kind, (available, _) in found.items())
    return Check("outputs", "limited" if limited else "ok", names, ". ".join(reasons))


def check_encoders() -> Check:
    """Check the H.264 encoders that `--encoder auto` chooses from, with their time per picture."""
    from vivace.media.encoders import TRIAL_SIZE, trials

    found = trials()
    works = [f"{trial.encoder.word} {trial.frame_ms:.1f} ms" for trial in found if trial.frame_ms is not None]
    said = f"{', '.join(works) or 'none'} a picture of {TRIAL_SIZE[0]}x{TRIAL_SIZE[1]}"
    reasons = [f"{trial.encoder.word}: {trial.reason}" for trial in found if trial.frame_ms is None]
    return Check("encoders", "ok" if works else "missing", said, ". ".join(reasons))


def check_font() -> Check:
    """Check the font for captions."""
    from PIL import features

    if not features.check("freetype2"):
        return Check(
            "font", "limited", "Pillow without FreeType", "Use the Pillow wheel from the registry for captions."
        )
    return Check("font", "ok", f"FreeType {features.version('freetype2')}, font included")


def check_torch() -> Check:
    """Check for torch and a GPU, needed only for training and the large models."""
    if importlib.util.find_spec("torch") is None:
        return Check("torch", "ok", "not installed (only training and large models need it: see the extras)")
    import torch

    if not torch.cuda.is_available():
        return Check("torch", "ok", f"{torch.__version__}, no CUDA device")
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
    return Check("torch", "ok", f"{torch.__version__}, {names}")


def check_large_models() -> Check:
    """Check the models whose files are fetched: libraries, and completeness of the files."""
    from vivace.checkpoints.files import Places
    from vivace.models import list_models

    lacking = [name for name in ("torch", *GPU_LIBRARIES) if importlib.util.find_spec(name) is None]
    if lacking:
        said = f"not installed: {', '.join(lacking)}"
        return Check("large models", "limited", said, f"To run them, {install_extra('gpu')}.")
    places, counts, missing = Places.of_this_machine(), [], []
    for profile in list_models():
        needed = profile.needed(profile.style() if profile.styles else None)
        if not any(spec.repo for spec in needed):
            continue
        found = sum(places.find(spec, profile) is not None for spec in needed)
        counts.append(f"{profile.name}: {found} of {len(needed)} files")
        if found < len(needed):
            missing.append(f"`vivace models pull {profile.name}`")
    said = f"{', '.join(counts)}, in {places.folder} and {places.cache}"
    if missing:
        return Check("large models", "limited", said, f"To get the rest: {', '.join(missing)}")
    return Check("large models", "ok", said)


def check_disk() -> Check:
    """Check the disk space for output in the working and the temporary directory."""
    places = {Path.cwd(): "here", Path(tempfile.gettempdir()): "for temporary files"}
    free_mb = {use: shutil.disk_usage(place).free / 1e6 for place, use in places.items()}
    found = ", ".join(f"{mb:,.0f} MB free {use}" for use, mb in free_mb.items())
    if min(free_mb.values()) < MIN_DISK_MB:
        return Check("disk", "limited", found, "Free some space or write elsewhere with `-o`.")
    return Check("disk", "ok", found)


def doctor_command(*, as_json: bool) -> int:
    """Print all results and return the exit code: 0, or 4 if something that Vivace needs is missing."""
    checks = examine()
    if as_json:
        print(json.dumps({"version": __version__, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print(checks)
    missing = any(check.state == "missing" for check in checks)
    return BackendUnavailableError.exit_code if missing else 0


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    marks = {"ok": "[green]ok[/]", "limited": "[yellow]limited[/]", "missing": "[red]missing[/]"}
    table = Table(show_header=False, box=None, pad_edge=False)
    for column in ("name", "state", "found"):
        table.add_column(column, no_wrap=column != "found")
    for check in checks:
        table.add_row(check.name, marks[check.state], escape(check.found))
        if check.remedy:
            table.add_row("", "", f"[dim]→ {escape(check.remedy)}[/]")
    Console().print(table)


def usable_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Return the processor's name."""
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text("utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _available_memory_mb() -> float | None:
    if sys.platform == "linux":
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024 / 1e6
    return None
