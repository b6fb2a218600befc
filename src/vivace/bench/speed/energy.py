"""Energy of a run, where the machine tells: RAPL for processors (Linux), NVML or `nvidia-smi` for NVIDIA cards.

Every meter counts the whole processor or card, whatever else runs on it: idle power and other programs are in the
figure. Compare on an idle machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from vivace.errors import DeviceError

POWERCAP = Path("/sys/class/powercap")
SMI_PERIOD_MS = 200

Clock = Callable[[], float]


class EnergyMeter(Protocol):
    """Counts energy."""

    @property
    def name(self) -> str:
        """What is metered, for people."""

    def read_j(self) -> float:
        """Return the joules since the meter was opened."""

    def close(self) -> None:
        """Stop metering."""


class RaplMeter:
    """The processor packages' own counters (Linux powercap), which wrap around after some minutes to hours.

    A wrap is seen if the meter is read at least once in between.
    """

    name = "CPU packages (RAPL)"

    def __init__(self, zones: list[Path]) -> None:
        """Open the meter over package zones, the folders that hold `energy_uj`."""
        self._counters = [zone / "energy_uj" for zone in zones]
        # The counter's last value before it begins again at 0.
        self._ranges = [_number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_number(counter) for counter in self._counters]
        self._total_uj = 0

    def read_j(self) -> float:
        """Return the joules since the meter was opened."""
        for place, counter in enumerate(self._counters):
            now = _number(counter)
            step = now - self._last[place]
            self._total_uj += step if step >= 0 else step + self._ranges[place] + 1
            self._last[place] = now
        return self._total_uj / 1e6

    def close(self) -> None:
        """Do nothing: files are closed after each reading."""


class NvmlMeter:
    """An NVIDIA card's own counter, through the optional package `nvidia-ml-py` (Volta and later)."""

    def __init__(self, nvml: Any) -> None:
        """Open the meter over every card; `nvml` is the module `pynvml`, initialised."""
        self._nvml = nvml
        self._cards = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        self.name = f"{len(self._cards)} NVIDIA card(s) (NVML)"
        self._first_mj = self._sum_mj()

    def _sum_mj(self) -> int:
        return sum(int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(card)) for card in self._cards)

    def read_j(self) -> float:
        """Return the joules since the meter was opened."""
        return (self._sum_mj() - self._first_mj) / 1e3

    def close(self) -> None:
        """Let go of the driver."""
        self._nvml.nvmlShutdown()


class SmiMeter:
    """The power that one `nvidia-smi` reports five times a second, summed up over time; right to some per cent."""

    name = "NVIDIA cards (nvidia-smi, sampled)"

    def __init__(self, process: subprocess.Popen[str], clock: Clock = time.monotonic) -> None:
        """Read the lines `card, watts` that `process` writes.

        Raises:
            DeviceError: the first line says no power.
        """
        self._process = process
        self._clock = clock
        self._lock = threading.Lock()
        self._power: dict[str, tuple[float, float]] = {}
        """Of each card: when it was told last, and the watts."""
        self._total_j = 0.0
        self._closing = False
        self._failure: DeviceError | None = None
        if not self._take(self._line()):
            self._end()
            raise DeviceError("nvidia-smi tells no power of this card")
        self._thread = threading.Thread(target=self._sample, name="vivace-bench-power", daemon=True)
        self._thread.start()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _take(self, line: str) -> bool:
        card, comma, watts = line.partition(",")
        try:
            told_w = float(watts)
        except ValueError:
            return False
        now_s = self._clock()
        with self._lock:
            since_s, last_w = self._power.get(card, (now_s, told_w))
            self._total_j += (last_w + told_w) / 2 * (now_s - since_s)
            self._power[card] = now_s, told_w
        return bool(comma)

    def _sample(self) -> None:
        while self._take(self._line()):
            pass
        if not self._closing:
            self._failure = DeviceError("nvidia-smi stopped telling the power; run without other users of the card")

    def read_j(self) -> float:
        """Return the joules since the meter was opened.

        Raises:
            DeviceError: `nvidia-smi` ended meanwhile.
        """
        if self._failure is not None:
            raise self._failure
        now_s = self._clock()
        with self._lock:
            return self._total_j + sum(watts * (now_s - told_s) for told_s, watts in self._power.values())

    def close(self) -> None:
        """Stop sampling."""
        self._closing = True
        self._end()
        self._thread.join()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def open_cpu_meter(powercap: Path = POWERCAP, platform: str = sys.platform) -> EnergyMeter | str:
    """Return a meter of the processor, or in words what is missing."""
    if platform == "darwin":
        return "macOS tells the energy of a program to nobody but root; there is no meter for it"
    if platform != "linux":
        return "the processor's energy is read from Linux' powercap, which this system does not have"
    zones = [
        zone
        for zone in (sorted(powercap.glob("intel-rapl:*")) if powercap.is_dir() else [])
        # `intel-rapl:0:1` is a part of `intel-rapl:0`, and `psys` holds the packages: neither is counted twice.
        if zone.name.count(":") == 1 and (zone / "name").read_text("utf-8").startswith("package")
    ]
    if not zones:
        return f"no RAPL package in {powercap} (virtual machines and many ARM boards have none); run on bare metal"
    try:
        return RaplMeter(zones)
    except PermissionError as error:
        return f"{error.filename} is for root only; allow it with `sudo chmod a+r {powercap}/intel-rapl:*/energy_uj`"


def open_gpu_meter() -> EnergyMeter | str:
    """Return a meter of the NVIDIA cards, or in words what is missing."""
    if find_spec("pynvml") is not None:
        nvml: Any = import_module("pynvml")
        try:
            nvml.nvmlInit()
            return NvmlMeter(nvml)
        except nvml.NVMLError as error:
            return f"the NVIDIA driver gives no energy ({error})"
    if shutil.which("nvidia-smi") is None:
        return "no NVIDIA driver here"
    command = ["nvidia-smi", "--query-gpu=index,power.draw", "--format=csv,noheader,nounits", f"-lms={SMI_PERIOD_MS}"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        return SmiMeter(process)
    except DeviceError as error:
        return f"{error}; install nvidia-ml-py"


def _number(path: Path) -> int:
    return int(path.read_text("utf-8"))
