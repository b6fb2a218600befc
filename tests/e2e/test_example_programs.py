"""The examples for developers: each runs as its own docstring says, against a server where it needs one."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vivace
from e2e.browsers import CHROMIUM
from e2e.studio import Studio
from fakes import FakeModel
from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from vivace.cli import main
from vivace.models.base import Chunk, StepResult
from vivace.models.edits.controls import BACKGROUND, PLACE
from vivace.models.family import families
from vivace.models.mini2.saved import open_look
from vivace.serve.rtc import make_peer_factory
from web_server import served

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
REACT = ROOT / "tests" / "reader" / "node_modules"

pytestmark = pytest.mark.e2e


def run(name: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    """A server with a fake model, which knows red, green and blue."""
    settings = settings_for(size=(128, 96), max_sessions_per_client=8)
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        yield server


def test_a_loop_of_ones_own_pushes_pictures(tmp_path: Path) -> None:
    done = run("push_loop.py", "out.png", "--frames", "6", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "6 frames painted\n"
    assert size_of(tmp_path / "out.png") == (256, 144)


def test_a_client_publishes_and_watches_over_webrtc(server: LiveServer, tmp_path: Path) -> None:
    words = ("--server", server.url, "--prompt", "red", "--then", "green", "--frames", "12")
    done = run("webrtc_client.py", "scene:boat", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "green from frame" in done.stdout
    assert "12 pictures came back" in done.stdout
    assert size_of(tmp_path / "back.png")[0] > 0
    assert not server.manager.sessions()


def test_a_program_without_asyncio_does_the_same(server: LiveServer, tmp_path: Path) -> None:
    done = run("sync_client.py", "--server", server.url, "--prompt", "red", "--frames", "5", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "5 pictures came back\n"
    assert not server.manager.sessions()
    done = run("sync_client.py", "--server", "http://127.0.0.1:9", folder=tmp_path)
    assert "does not answer" in done.stderr
    assert done.returncode == 1


def test_a_program_without_asyncio_ends_with_its_session(server: LiveServer, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "sync_client.py"), "--server", server.url, "--frames", "1000000000"]
    with subprocess.Popen([*command, "--prompt", "red"], cwd=tmp_path, stderr=subprocess.PIPE, text=True) as client:
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not any(session.account.frames_out for session in server.manager.sessions()):
                assert time.monotonic() < until_s
                time.sleep(0.02)
            for session in server.manager.sessions():
                server.manager.end(session.id, "admin")
            assert "the connection has ended" in client.communicate(timeout=PATIENCE_S)[1]
        finally:
            client.kill()
    assert client.returncode == 1


# Pages


MOUNT = """<!doctype html><title>React</title><div id="root"></div>
<script src="/node_modules/react/umd/react.development.js"></script>
<script src="/node_modules/react-dom/umd/react-dom.development.js"></script>
<script type="importmap">{"imports": {"react": "/react.js"}}</script>
<script type="module">
import { VivaceVideo } from "/react/VivaceVideo.js";
const server = new URLSearchParams(location.search).get("server");
const { connect } = await import(`${server}/vivace.js`);
const stream = await navigator.mediaDevices.getUserMedia({ video: true });
const root = ReactDOM.createRoot(document.getElementById("root"));
window.states = [];
const onState = ({ state }) => window.states.push(state);
const given = { connect, server, stream, onState, id: "picture" };
window.show = (prompt) => root.render(prompt && React.createElement(VivaceVideo, { ...given, prompt }));
show("red");
</script>
"""
REACT_MODULE = "export const { createElement, useEffect, useRef, useState } = window.React;\n"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server of its own, with the examples and React."""
    folder = tmp_path_factory.mktemp("pages")
    for page in ("page.html", "ar.html"):
        shutil.copy(EXAMPLES / page, folder)
    shutil.copytree(EXAMPLES / "react", folder / "react")
    for package in ("react", "react-dom"):
        if (REACT / package).is_dir():
            shutil.copytree(REACT / package / "umd", folder / "node_modules" / package / "umd")
    (folder / "react.html").write_text(MOUNT, "utf-8")
    (folder / "react.js").write_text(REACT_MODULE, "utf-8")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with served(ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))) as web:
        yield f"http://127.0.0.1:{web.server_address[1]}"


@pytest.fixture(scope="module")
def open_server(pages: str) -> Iterator[LiveServer]:
    """A server that pages of that address may use."""
    settings = settings_for(size=(128, 96), max_sessions_per_client=8, allowed_origins=[pages])
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        yield server


PLAYS = "document.getElementById('picture')?.currentTime > 0 && document.getElementById('picture').videoWidth > 0"


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")
def test_a_page_of_ones_own_shows_the_camera_painted(open_server: LiveServer, pages: str, browser: Any) -> None:
    with closing(Studio(browser, f"{pages}/page.html?server={open_server.url}")) as studio:
        page = studio.page
        page.goto(studio.url)
        page.fill("#prompt", "red")
        studio.wait_until("window.session?.state === 'live'")
        page.click("button")
        studio.wait_until("document.getElementById('said').textContent === 'taken as red'")
        studio.wait_until(PLAYS)
        page.fill("#prompt", "lego")
        page.click("button")
        studio.wait_until("document.getElementById('said').textContent === 'Try: blue, green'")
        assert studio.errors == []


class Cutting(FakeModel):
    """Shows the user's background in the right half of the picture."""

    def __init__(self) -> None:
        super().__init__(options=(BACKGROUND, PLACE))

    def encode_control(self, name: str, value: Any) -> Any:
        return value

    def step(self, states: Sequence[Any], chunks: Sequence[Chunk]) -> list[StepResult]:
        results = super().step(states, chunks)
        for result, chunk in zip(results, chunks, strict=True):
            if "background" in chunk.options:
                result.rgb[:, :, result.rgb.shape[2] // 2 :] = chunk.options["background"].mean(axis=(0, 1))
        return results


# Mean colours of the halves of an element, without their middle: [left, right].
HALVES = """(element => {
  const [width, height] = [element.videoWidth ?? element.width, element.videoHeight ?? element.height];
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const paper = canvas.getContext("2d");
  paper.drawImage(element, 0, 0);
  const mean = (x) => [0, 1, 2].map((channel) => {
    const { data } = paper.getImageData(x * width, 0.4 * height, 0.1 * width, 0.3 * height);
    let sum = 0;
    for (let at = channel; at < data.length; at += 4) sum += data[at];
    return (4 * sum) / data.length;
  });
  return [mean(0.35), mean(0.55)];
})"""


# In the scene people are as they came, and where the key colour was there is no green.
CUT_OUT = f"""(() => {{
  const [[left, right], [camera]] = [document.getElementById("scene"), video].map({HALVES});
  return left.every((level, channel) => Math.abs(level - camera[channel]) < 60) && right[1] < right[0] + 40;
}})"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")
def test_people_stand_in_a_scene_where_the_key_colour_was(pages: str, browser: Any) -> None:
    settings = settings_for(size=(128, 96), allowed_origins=[pages])
    with (
        live_server(settings, model=Cutting(), peers=make_peer_factory(settings)) as server,
        closing(Studio(browser, f"{pages}/ar.html?server={server.url}")) as studio,
    ):
        page = studio.page
        page.goto(studio.url)
        studio.wait_until("window.session?.state === 'live'")
        page.fill("#prompt", "red")
        page.click("button")
        studio.wait_until(f"{HALVES}(video)[1][1] > 180 && {HALVES}(video)[1][0] < 90")  # green behind people
        studio.wait_until(f"{CUT_OUT}()")  # once no block passes before them
        assert page.evaluate("document.getElementById('said').textContent") == "taken as red"
        assert studio.errors == []


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)")
def test_a_react_component_opens_updates_and_ends_a_session(open_server: LiveServer, pages: str, browser: Any) -> None:
    if not (REACT / "react").is_dir():
        pytest.skip("needs React (npm install in tests/reader)")
    with closing(Studio(browser, f"{pages}/react.html?server={open_server.url}")) as studio:
        studio.page.goto(studio.url)
        studio.wait_until("window.states?.includes('live')")
        studio.wait_until(PLAYS)
        session = open_server.manager.sessions()[-1]
        studio.page.evaluate("show('green')")
        until_s = time.monotonic() + PATIENCE_S
        while "green" not in session.show.script():
            assert time.monotonic() < until_s
            studio.page.wait_for_timeout(20)
        assert session.state == "live", "a prompt opens no session"
        studio.page.evaluate("show(null)")
        studio.wait_until("window.states.at(-1) === 'ended'")
        assert studio.errors == []


# Notebook, look, family


def test_the_notebook_runs_and_frames_show_as_pictures() -> None:
    book = json.loads((EXAMPLES / "notebook.ipynb").read_text("utf-8"))
    names: dict[str, Any] = {}
    shown = []
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "kept without outputs"
            *lines, last = "".join(cell["source"]).splitlines()
            exec("\n".join(lines), names)
            value = None if last.startswith("print") else eval(last, names)
            shown.append(value)
    pictures = [value for value in shown if isinstance(value, vivace.Frame)]
    assert len(pictures) == 2
    assert all(frame._repr_png_().startswith(b"\x89PNG") for frame in pictures)


def test_a_look_is_made_of_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number, level in enumerate((40, 200)):
        Image.fromarray(np.full((64, 64, 3), level, np.uint8)).save(tmp_path / "pictures" / f"{number}.png")
    done = run("own_look.py", "pictures", "mine.look", "--steps", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "after the fit" in done.stdout
    look = open_look(tmp_path / "mine.look")
    assert (look.title, len(look.mixture.pictures)) == ("mine", 1)
    (tmp_path / "empty").mkdir()
    done = run("own_look.py", "empty", "mine.look", folder=tmp_path)
    assert "a folder without pictures" in done.stderr


def test_a_family_of_ones_own_is_one_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((EXAMPLES / "own_family" / "pyproject.toml").read_text("utf-8"))["project"]
    about = tmp_path / "vivace_posterise-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    points = project["entry-points"]["vivace.families"]
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (about / "entry_points.txt").write_text(f"[vivace.families]\n{lines}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLES / "own_family" / "src")
    importlib.invalidate_caches()
    families.cache_clear()
    try:
        model = vivace.load_model("posterise")
        with vivace.Stream(model, prompt="riso", size=(64, 32)) as stream:
            (frame,) = stream.push(np.full((32, 64, 3), 130, np.uint8))
            assert {tuple(pixel) for pixel in frame.rgb.reshape(-1, 3)} == {(255, 225, 0)}
            with pytest.raises(vivace.UnknownPromptError, match="poster, riso, night"):
                stream.update(prompt="lego")
        words = ["--model", "posterise", "-p", "night", "--size", "64x32", "--max-frames", "2", "-o", "null"]
        assert main(["run", "scene:boat", *words]) == 0
    finally:
        families.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] == "posterise"]:
            del sys.modules[name]
