"""The doctor names missing parts, and their remedy."""

from __future__ import annotations

import builtins
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

import vivace.doctor as doctor
import vivace.models
from vivace.cli import main
from vivace.doctor import Check
from vivace.errors import CheckpointError


def without(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a package seem uninstalled."""
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == module:
            raise ImportError(f"No module named {module!r}")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_this_machine_can_run_vivace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    checks = {check["name"]: check for check in document["checks"]}
    wanted = {
        "python",
        "cpu",
        "memory",
        "openvino",
        "precision",
        "model mini",
        "media",
        "cameras",
        "outputs",
        "encoders",
        "font",
    }
    assert checks.keys() >= wanted | {"torch", "disk"}
    assert all(check["found"] for check in checks.values())


def test_everything_that_is_not_well_has_a_remedy() -> None:
    for check in doctor.examine():
        assert check.state == "ok" or check.remedy, check


@pytest.mark.parametrize(("module", "look"), [("openvino", doctor.check_openvino), ("av", doctor.check_media)])
def test_a_missing_package_is_named_with_its_remedy(module: str, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    without(module, monkeypatch)
    check = look()
    assert check.state == "missing"
    assert module in check.found
    assert "pip install" in check.remedy


def test_a_machine_without_bf16_is_served_in_f32_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    class OldCore:
        def get_property(self, device: str, name: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(openvino, "Core", OldCore)
    check = doctor.check_precision()
    assert check.state == "limited"
    assert "f32" in check.found


def test_a_damaged_model_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise CheckpointError("mini.safetensors does not fit its profile")

    monkeypatch.setattr(vivace.models, "load_model", damaged)
    check = doctor.check_model("mini")
    assert check.state == "missing"
    assert "does not fit" in check.found


@pytest.mark.parametrize(("step_ms", "state", "found"), [(20.0, "ok", "50 fps"), (200.0, "limited", "5 fps")])
def test_the_pace_of_this_machine_is_told(
    step_ms: float, state: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivace.stream.slot.calibrate", lambda *_: step_ms)
    check = doctor.check_model("mini")
    assert check.state == state
    assert check.found.startswith(found)


def test_one_core_and_little_memory_and_disk_are_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "usable_cores", lambda: 1)
    monkeypatch.setattr(doctor, "_available_memory_mb", lambda: 300.0)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    for check in (doctor.check_cores(), doctor.check_memory(), doctor.check_disk()):
        assert check.state == "limited"
        assert check.remedy


def test_what_is_missing_ends_with_4(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Check("openvino", "missing", "no module", "pip install openvino")])
    assert main(["doctor"]) == 4
    shown = capsys.readouterr().out
    assert "missing" in shown
    assert "pip install openvino" in shown


def test_large_models_say_what_is_there_and_how_to_get_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VIVACE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    check = doctor.check_large_models()
    assert check.state == "limited", "none of them runs"
    assert "live2diff: 0 of 9 files" in check.found
    assert "`vivace models pull live2diff`" in check.remedy
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "diffusers" else name)
    check = doctor.check_large_models()
    assert "not installed: diffusers" in check.found
    assert check.state == "limited"
    assert "pip install '.[gpu]'" in check.remedy


def test_a_remedy_is_printed_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    doctor._print([doctor.Check("gpu", "missing", "torch [cpu]", "install the extra: pip install '.[gpu]'")])
    said = capsys.readouterr().out
    assert "torch [cpu]" in said
    assert "pip install '.[gpu]'" in said
