"""Memory of this process, as reported by the system."""

from __future__ import annotations

import math
import sys
from pathlib import Path

MIB = 1024 * 1024


def resident_mib() -> float:
    """Return the present resident memory of this process, MiB; NaN if the system does not report it."""
    return _status_mib("VmRSS")


def peak_resident_mib() -> float:
    """Return the peak resident memory of this process, MiB; NaN if the system does not report it."""
    peak = _status_mib("VmHWM")
    if not math.isnan(peak) or sys.platform == "win32":
        return peak
    import resource

    # kilobytes on Linux and the BSDs, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def _status_mib(field_name: str) -> float:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("utf-8").splitlines():
            if line.startswith(f"{field_name}:"):
                return int(line.split()[1]) / 1024
    return math.nan
