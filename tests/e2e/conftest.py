"""A small clip, and the `vivace` command in this process or in one of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vivace.models
from e2e.helpers import CLIP_FRAMES, Outcome, Vivace, write_scene
from e2e.studio import BLUEPRINT, Serving, Studio, browser_with_camera
from patience import PATIENCE_S
from vivace.cli import main
from vivace.models import load_model
from vivace.models.base import StreamModel


@pytest.fixture(scope="module")
def server_environ() -> dict[str, str]:
    """Return the server's additional environment variables; a module may override it."""
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, server_environ: dict[str, str]) -> Iterator[Serving]:
    """Return a server with two slots."""
    serving = Serving(tmp_path_factory.mktemp("serve"), slots=2, environ=server_environ)
    serving.start()
    yield serving
    serving.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Return a server of fakes, whose first model has controls of its own and whose second has none."""
    program = str(Path(__file__).with_name("steered_server.py"))
    serving = Serving(tmp_path_factory.mktemp("steered"), slots=2, program=program)
    serving.start()
    serving.wait()
    yield serving
    serving.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a browser whose camera is the test clip."""
    with browser_with_camera(tmp_path_factory.mktemp("camera")) as chromium:
        yield chromium


@pytest.fixture(scope="module")
def live(server: Serving, browser: Any) -> Iterator[Studio]:
    """Return a page that is live from the camera, painting blueprints."""
    server.wait()
    studio = Studio(browser, server.url).open(BLUEPRINT)
    studio.start_camera()
    studio.wait_state("live", PATIENCE_S)
    yield studio
    studio.close()


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 12 frames at 96x64."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    write_scene(path, CLIP_FRAMES)
    return path


@pytest.fixture
def vivace_here(
    mini: StreamModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Vivace:
    """Return the command, run in this process and an empty working directory, with the model loaded only once."""

    def load_once(name: str = "mini", **options: Any) -> StreamModel:
        return mini if name == "mini" else load_model(name, **options)

    monkeypatch.setattr(vivace.models, "load_model", load_once)
    monkeypatch.chdir(tmp_path)
    for name in ("VIVACE_MODEL", "VIVACE_THREADS", "VIVACE_DEBUG", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def run(*tokens: object) -> Outcome:
        capsys.readouterr()
        code = main([str(token) for token in tokens])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def vivace_there(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return the command, started as a process of its own in an empty working directory."""

    def start(*tokens: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "vivace", *map(str, tokens)]
        settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(command, cwd=tmp_path, text=True, **{**settings, **options})

    return start
