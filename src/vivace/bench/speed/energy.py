"""Energy of a run, where the machine reports it: RAPL for processors (Linux), NVML for NVIDIA cards.

Every meter counts the whole processor or card, whatever else runs on it, including idle power. Compare on an idle
machine.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from vivace.errors import DeviceError

POWERCAP = Path("/sys/class/powercap")


class EnergyMeter(Protocol):
    """Energy meter."""

    def read_j(self) -> float:
        """Return the energy since the meter was opened, J."""

    def close(self) -> None:
        """Stop metering."""


class RaplMeter:
    """Meter of the processor packages' counters (Linux powercap), which wrap around after minutes to hours.

    A wrap is detected if the meter is read at least once in between.
    """

    def __init__(self, zones: list[Path]) -> None:
        """Open the meter over package zones, the folders that hold `energy_uj`."""
        self._counters = [zone / "energy_uj" for zone in zones]
        # Last value of a counter before it restarts at 0.
        self._ranges = [_number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_number(counter) for counter in self._counters]
        self._total_uj = 0

    def read_j(self) -> float:
        """Return the energy since the meter was opened, J."""
        for place, counter in enumerate(self._counters):
            now = _number(counter)
            step = now - self._last[place]
            self._total_uj += step if step >= 0 else step + self._ranges[place] + 1
            self._last[place] = now
        return self._total_uj / 1e6

    def close(self) -> None:
        """Do nothing: files are closed after each reading."""


class NvmlMeter:
    """Meter of NVIDIA cards' counters, through NVML (Volta and later)."""

    def __init__(self, nvml: Any) -> None:
        """Open the meter over every card; `nvml` is the module `pynvml`, initialised."""
        self._nvml = nvml
        self._cards = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        self._first_mj = self._sum_mj()

    def read_j(self) -> float:
        """Return the energy since the meter was opened, J.

        Raises:
            DeviceError: the driver no longer reports it.
        """
        try:
            return (self._sum_mj() - self._first_mj) / 1e3
        except self._nvml.NVMLError as error:
            raise DeviceError(f"the NVIDIA driver has stopped telling the energy of its cards ({error})") from error

    def _sum_mj(self) -> int:
        return sum(int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(card)) for card in self._cards)

    def close(self) -> None:
        """Release the driver."""
        self._nvml.nvmlShutdown()


def open_cpu_meter(powercap: Path = POWERCAP, platform: str = sys.platform) -> EnergyMeter | str:
    """Return a meter of the processor, or a sentence that says what is missing."""
    if platform == "darwin":
        return "macOS tells the energy of a program to nobody but root; there is no meter for it"
    if platform != "linux":
        return "the processor's energy is read from Linux' powercap, which this system does not have"
    zones = [
        zone
        for zone in (sorted(powercap.glob("intel-rapl:*")) if powercap.is_dir() else [])
        # `intel-rapl:0:1` is part of `intel-rapl:0`, and `psys` includes the packages: skip both.
        if zone.name.count(":") == 1 and (zone / "name").read_text("utf-8").startswith("package")
    ]
    if not zones:
        return f"no RAPL package in {powercap} (virtual machines and many ARM boards have none); run on bare metal"
    try:
        return RaplMeter(zones)
    except PermissionError as error:
        return f"{error.filename} is for root only; allow it with `sudo chmod a+r {powercap}/intel-rapl:*/energy_uj`"


def open_gpu_meter() -> EnergyMeter | str:
    """Return a meter of the NVIDIA cards, or a sentence that says what is missing."""
    try:
        nvml: Any = import_module("pynvml")
    except ModuleNotFoundError:
        return "nvidia-ml-py, which reads the energy of NVIDIA cards, is missing; install the extra `gpu`"
    try:
        nvml.nvmlInit()
        return NvmlMeter(nvml)
    except nvml.NVMLError as error:
        return f"no energy of NVIDIA cards ({error}); it takes one of 2017 or later (Volta) and its driver"


def _number(path: Path) -> int:
    return int(path.read_text("utf-8"))
