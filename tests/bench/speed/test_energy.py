"""Energy counters: sums, no double counts, and the message where there is none."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vivace.bench.speed import energy
from vivace.bench.speed.energy import EnergyMeter, NvmlMeter, RaplMeter, open_cpu_meter, open_gpu_meter
from vivace.errors import DeviceError


def zone(folder: Path, number: str, name: str, microjoules: int, top: int = 1_000_000) -> Path:
    path = folder / f"intel-rapl:{number}"
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{top}\n")
    return path


def test_packages_are_summed_and_their_parts_are_not(tmp_path: Path) -> None:
    zones = [zone(tmp_path, "0", "package-0", 100), zone(tmp_path, "1", "package-1", 500)]
    others = [zone(tmp_path, "0:0", "core", 40), zone(tmp_path, "2", "psys", 900)]
    meter = open_cpu_meter(tmp_path, "linux")
    assert isinstance(meter, RaplMeter)
    for path in (*zones, *others):
        (path / "energy_uj").write_text("250100\n")
    assert meter.read_j() == pytest.approx((250_000 + 249_600) / 1e6)


def test_a_counter_that_begins_again_is_carried_on(tmp_path: Path) -> None:
    path = zone(tmp_path, "0", "package-0", 999_000, top=999_999)
    meter = open_cpu_meter(tmp_path, "linux")
    assert not isinstance(meter, str)
    (path / "energy_uj").write_text("1000")
    assert meter.read_j() == pytest.approx(0.002)  # 1 mJ up to the wrap, and 1 after
    (path / "energy_uj").write_text("500")
    assert meter.read_j() == pytest.approx(1.0015)


@pytest.mark.parametrize(("platform", "word"), [("darwin", "macOS"), ("win32", "Linux"), ("linux", "no RAPL")])
def test_without_a_counter_it_is_said_why(platform: str, word: str, tmp_path: Path) -> None:
    assert word in str(open_cpu_meter(tmp_path / "none", platform))


def test_a_counter_for_root_only_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zone(tmp_path, "0", "package-0", 1)

    def denied(file: Path) -> int:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(energy, "_number", denied)
    assert "sudo chmod" in str(open_cpu_meter(tmp_path, "linux"))
    assert str(path) in str(open_cpu_meter(tmp_path, "linux"))


class NvmlError(Exception):
    """Error of a driver without the counter."""


class Driver:
    """Cards with scripted answers."""

    def __init__(self, *energies_mj: int) -> None:
        self.energies_mj = list(energies_mj)
        self.open = False
        self.failure: str | None = None

    def module(self) -> SimpleNamespace:
        """Return the part of `pynvml` that is used."""
        return SimpleNamespace(
            NVMLError=NvmlError,
            nvmlInit=lambda: setattr(self, "open", True),
            nvmlShutdown=lambda: setattr(self, "open", False),
            nvmlDeviceGetCount=lambda: len(self.energies_mj),
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetTotalEnergyConsumption=self.tell,
        )

    def tell(self, card: int) -> int:
        if self.failure is not None:
            raise NvmlError(self.failure)
        return self.energies_mj[card]


def open_with(driver: Driver | None, monkeypatch: pytest.MonkeyPatch) -> EnergyMeter | str:
    monkeypatch.setitem(sys.modules, "pynvml", driver and driver.module())  # None cannot be imported
    return open_gpu_meter()


def test_the_cards_counters_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(1000, 5000)
    meter = open_with(driver, monkeypatch)
    assert isinstance(meter, NvmlMeter)
    assert driver.open
    driver.energies_mj = [3000, 5500]
    assert meter.read_j() == pytest.approx(2.5)
    driver.failure = "GPU is lost"
    with pytest.raises(DeviceError, match="GPU is lost"):
        meter.read_j()
    meter.close()
    assert not driver.open


def test_a_card_that_tells_no_energy_and_a_missing_package_are_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(1000)
    driver.failure = "Not Supported"
    assert "Not Supported" in str(open_with(driver, monkeypatch))
    said = str(open_with(None, monkeypatch))
    assert "nvidia-ml-py" in said
    assert "install the extra `gpu`" in said


def test_the_package_has_what_is_asked_of_it() -> None:
    nvml = importlib.import_module("pynvml")
    assert vars(Driver().module()).keys() <= vars(nvml).keys()
