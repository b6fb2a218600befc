"""OpenVINO as a guest: no telemetry, a clear message if it is missing, and a clean end of programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import vivace.runtime.exported.openvino
from vivace.errors import BackendUnavailableError
from vivace.models.style.classifier import StyleClassifier
from vivace.runtime.exported.openvino import OpenVinoNetwork, Shapes, import_openvino


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a separate program to its end."""
    environ = {**os.environ, **environment}
    return subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)


def test_importing_it_reports_to_nobody(tmp_path: Path) -> None:
    code = (
        "import sys, threading\n"
        "from vivace.runtime.exported.openvino import import_openvino\n"
        "import_openvino().Core()\n"
        "import openvino.tools.ovc\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
        "assert threading.enumerate() == [threading.main_thread()], threading.enumerate()"
    )
    # On machines of continuous integration it would be silent anyway.
    environ = {name: "" for name in os.environ if "CI" in name}
    done = run_python(code, HOME=str(tmp_path), **environ)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_who_wants_the_reports_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ModuleType("openvino_telemetry")
    monkeypatch.setitem(sys.modules, "openvino_telemetry", theirs)
    import_openvino()
    assert sys.modules["openvino_telemetry"] is theirs


def test_where_it_is_missing_that_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match="pip install"):
        OpenVinoNetwork(b"", np.zeros(0, np.uint8))


def test_a_program_that_ends_waits_for_the_compiler_at_work() -> None:
    """Even in a daemon thread, which Python would cut off, and the process with it."""
    code = (
        "import threading, time\n"
        "from vivace.models.mini.config import MiniConfig\n"
        "from vivace.models.mini.state import geometry, open_buffers\n"
        "from vivace.models.mini.weights import read_files\n"
        "from vivace.runtime.exported.openvino import OpenVinoNetwork\n"
        "files = read_files()\n"
        "network = OpenVinoNetwork(files.graph, files.constants)\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "inputs = open_buffers(geometry((64, 64)), 0, MiniConfig(), ThreadPoolExecutor(1)).inputs\n"
        "threading.Thread(target=network.prepare, args=(inputs,), daemon=True).start()\n"
        "while not network._lock.locked() and not network._compiled: time.sleep(0.001)"
    )
    done = run_python(code)
    assert done.returncode == 0, (done.returncode, done.stderr)


def inputs(side: int) -> dict[str, np.ndarray]:
    return {"picture": np.full((1, side, side, 3), 90, np.uint8), "area": np.ones((1, 1, side, side), np.float32)}


def counted(network: OpenVinoNetwork, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sides of the pictures for which a network is compiled from now on."""
    sides: list[int] = []
    compile_one = network._compile

    def counting(shapes: Shapes) -> object:
        sides.append(shapes[0][1][1])
        return compile_one(shapes)

    monkeypatch.setattr(network, "_compile", counting)
    return sides


def test_several_shapes_are_compiled_at_once_and_each_one_once(monkeypatch: pytest.MonkeyPatch) -> None:
    network = StyleClassifier.load()._network
    compiled = counted(network, monkeypatch)
    network.prepare(inputs(32))
    network.prepare(inputs(48), inputs(32), inputs(64))
    assert sorted(compiled) == [32, 48, 64]
    shares = [network.executor(inputs(side)).run()["shares"].copy() for side in (32, 48, 64)]
    assert sorted(compiled) == [32, 48, 64]
    assert all(np.isfinite(each).all() for each in shares)


def test_networks_of_sizes_long_past_are_let_go_and_those_in_use_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vivace.runtime.exported.openvino, "KEPT_SHAPES", 2)
    network = StyleClassifier.load()._network

    small = inputs(32)
    executor = network.executor(small)
    before = executor.run()["shares"].copy()
    compiled = counted(network, monkeypatch)
    network.prepare(inputs(48))
    network.prepare(small)  # still there, and now the most recently used
    network.prepare(inputs(64))
    network.prepare(small)
    assert compiled == [48, 64]
    network.prepare(inputs(48))
    network.prepare(inputs(80))
    network.prepare(small)
    assert compiled == [48, 64, 48, 80, 32]
    assert np.array_equal(executor.run()["shares"], before)
    assert np.array_equal(network.executor(inputs(32)).run()["shares"], before)
