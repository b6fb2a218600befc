"""Context of figures: machine and time."""

from __future__ import annotations

import os
import platform
import shutil
from datetime import UTC, datetime
from pathlib import Path

from vivace.bench.document import Machine
from vivace.bench.speed.memory import MIB
from vivace.checkout import answer_of
from vivace.doctor import cpu_name, usable_cores

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def read_machine() -> Machine:
    """Return a description of this machine and its present load."""
    return Machine(
        cpu=cpu_name(),
        cores=usable_cores(),
        memory_mib=memory_mib(),
        gpu=gpu_name(),
        system=platform.platform(terse=True),
        python=platform.python_version(),
        load_average=os.getloadavg() if hasattr(os, "getloadavg") else None,
    )


def memory_mib(limit: Path = _CGROUP_LIMIT) -> float | None:
    """Return the memory this process may use, MiB: the machine's, or the container's if that is less."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    text = limit.read_text("utf-8").strip() if limit.exists() else "max"
    return (total if text == "max" else min(total, int(text))) / MIB


def gpu_name() -> str | None:
    """Return the names of the graphics cards reported by an NVIDIA driver, or None."""
    if shutil.which("nvidia-smi") is None:
        return None
    names = answer_of(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ", ".join(line.strip() for line in names.splitlines()) if names else None


def utc_now() -> str:
    """Return the present time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
