"""Energy counters: what is summed, what is not counted twice, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path
from queue import Queue
from types import SimpleNamespace

import pytest

from fakes import FakeClock
from vivace.bench.speed import energy
from vivace.bench.speed.energy import NvmlMeter, RaplMeter, SmiMeter, open_cpu_meter
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


def test_the_cards_counters_are_summed() -> None:
    energies = {0: 1000, 1: 5000}
    nvml = SimpleNamespace(
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda card: energies[card],
        nvmlShutdown=lambda: None,
    )
    meter = NvmlMeter(nvml)
    energies.update({0: 3000, 1: 5500})
    assert meter.read_j() == pytest.approx(2.5)
    meter.close()


class Smi:
    """A process that writes what it is told to."""

    def __init__(self) -> None:
        self.stdout = self
        self.lines: Queue[str] = Queue()

    def readline(self) -> str:
        return self.lines.get(timeout=20)

    def kill(self) -> None:
        self.lines.put("")

    def wait(self) -> None:
        pass


def test_sampled_power_is_summed_over_time_and_cards() -> None:
    clock, process = FakeClock(), Smi()
    process.lines.put("0, 100.0\n")
    meter = SmiMeter(process, clock)
    clock.advance(2.0)
    assert meter.read_j() == pytest.approx(200.0)  # as it was told last
    for line in ("1, 50.0\n", "0, 300.0\n"):
        process.lines.put(line)
    meter.close()
    assert meter.read_j() == pytest.approx(400.0)  # the first card's mean was 200 W
    clock.advance(1.0)
    assert meter.read_j() == pytest.approx(750.0)


def test_a_card_that_tells_no_power_and_one_that_stops_are_said_so() -> None:
    process = Smi()
    process.lines.put("0, [N/A]\n")
    with pytest.raises(DeviceError, match="no power"):
        SmiMeter(process)
    process = Smi()
    process.lines.put("0, 100.0\n")
    meter = SmiMeter(process)
    process.lines.put("")
    meter._thread.join(20)
    with pytest.raises(DeviceError, match="stopped"):
        meter.read_j()
    meter.close()
