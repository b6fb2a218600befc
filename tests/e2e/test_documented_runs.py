"""Every command that a document shows runs to its end, in a short form: small pictures, few frames, files made here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cyclopts import CycloptsError
from PIL import Image

import live2diff_mirror
import wan_mirror
from documented import ROOT, all_shown
from e2e.helpers import CLIP_SIZE, Vivace, write_scene
from media.clips import beep, write_clip
from patience import PATIENCE_S
from vivace.cli.app import build_app
from vivace.media.open import open_source
from vivace.settings import Settings

pytestmark = pytest.mark.e2e

RUN = "--max-frames 2 --size 64x64"
SPEED = "--size 64x64 --frames 20 --long 0 --no-sessions"
LATENCY = "--live 64x64@10 --seconds 4"
QUALITY = "--quick --scenes mover --tasks style --size 64x64"
TINY = "--model tiny/tiny.toml --random-weights --steps 3 --threads 1"
"""Model of the same family, small enough to be made here."""

COMPARE = "bench compare A.json B.json"
FOREIGN = f"bench export inputs/ {QUALITY} && repaint.py && bench quality --outputs outputs/ --name theirs {QUALITY}"
AGAINST = f"bench speed --source 96x96 --mask --against '{ROOT}' --turns 1 {SPEED}"
AGAINST_SERVED = f"bench latency --path webrtc --against '{ROOT}' --turns 1 {LATENCY}"
STYLED = f"bench export inputs/ {QUALITY} && run inputs/clips/mover/ -p 'ink drawing' {RUN} -o ink.mp4"
VERIFIED = f"run clip.mp4 -p ink {RUN} --sign -o marked.mp4 && verify marked.mp4 && verify marked.mp4 --json"
WATERMARK = "bench watermark --quick --scenes mover --size 128x128 --seconds 1 --unmarked 1"
FALSE_ALARMS = "bench watermark --quick --scenes mover --size 128x128 --seconds 0 --unmarked 1"
SCORE = f"policy score '{ROOT}/tests/golden/policy_requests.toml'"
LOOKS = (
    "looks save dusk.look 'half oil, half golden hour' --title 'dusk in oil'"
    " && looks save mine.look --picture painting.jpg"
    " && looks mix both.look dusk.look mine.look --shares 0.7,0.3 && looks show both.look"
    f" && run scene:boat --model mini2 --look both.look {RUN} -o null"
)
LOOK_OF_PICTURES = (
    f"train looks fit mine.look painting.jpg --steps 1 && run scene:boat --model mini2 --look mine.look {RUN} -o null"
)
SHOW = f"run clip.mp4 --script show.toml --log show.jsonl {RUN} -o a.mp4 && replay show.jsonl clip.mp4 -o b.mp4"
DRIVEN = f"run dance.mp4 --drive strength=level:0.3..1 --drive seed=beat -p ink {RUN} -o null"
DRIVEN_BY_A_FILE = f"run clip.mp4 --sound dance.mp4 --drive seed=beat --drive prompt=bass:ink..neon {RUN} -o null"
SHOW_LIVE = f"run clip.mp4 --live -p ink --log show.jsonl {RUN} -o a.mp4 && replay show.jsonl clip.mp4 -o b.mp4"
PLACES = (
    "me in anime",
    "me in ink, the room in watercolour",
    "oil on everything but my face",
    "make my shirt dark green and blur the background a little",
    "green background",
)
LOOK_WORDS = ("stained glass", "half oil, half neon", "a touch of gold")
LOOKS_IN_WORDS = " && ".join(f"run scene:boat --model mini2 -p {words!r} {RUN} -o null" for words in LOOK_WORDS)
LIKE_A_PICTURE = (
    f"run scene:boat --model mini2 --style-image painting.jpg {RUN} -o null"
    f" && run scene:boat --model mini2 --style-image painting.jpg -p charcoal --set style_share=0.7 {RUN} -o null"
)
EDITS = " && ".join(f"run scene:walkers -p {prompt!r} {RUN} -o null" for prompt in PLACES)
MATTE = f"run clip.mp4 --set matte=person {RUN} -o cut.webm && run photo.jpg -p ink --set matte=person -o cut.png"
FAST = {
    "vivace run SOURCE -o SINK -p PROMPT": "run clip.mp4 -o out.mp4 -p ink",
    "vivace run SOURCE -o OUTPUT": "run clip.mp4 -o out.mp4",
    "vivace run camera -p 'watercolour painting'": f"run scene:boat -p 'watercolour painting' {RUN} -o null",
    "vivace run holiday.mp4 -p 'black ink brush drawing' -o ink.mp4 --compare": None,
    "vivace run holiday.mp4 -p 'oil painting' -o oil.mp4 --resume": None,
    "vivace run photo.jpg -p ink -o ink.png": None,
    "vivace run photo.jpg -o ink.png": None,
    "vivace run photos/ -p 'oil painting with thick brush strokes' -o oils/": None,
    "vivace run scene:gallery -p 'a moonlit night' --max-frames 300 --stats stats.json": (
        f"run scene:gallery -p 'a moonlit night' --stats stats.json {RUN}"
    ),
    "vivace run CLIP --every-frame -o OUT.mp4": "run clip.mp4 --every-frame -o OUT.mp4",
    "vivace run camera": f"run scene:boat {RUN} -o null",
    "vivace run scene:walkers": f"run scene:walkers {RUN} -o null",
    "vivace run scene:columns": f"run scene:columns {RUN} -o null",
    "vivace run 'scene:walkers?seed=3&edit=night'": f"run 'scene:walkers?seed=3&edit=night' {RUN} -o null",
    "vivace looks list": None,
    "vivace models list": None,
    "vivace models show mini": None,
    "vivace models show NAME": "models show mini",
    "vivace models show live2diff": None,
    "vivace doctor": None,
    "vivace credentials show": None,
    "vivace policy show": None,
    "vivace policy check 'a nude woman' 'nude colours'": "policy check 'nude colours'",
    "vivace policy score requests.toml": SCORE,
    "vivace policy score tests/golden/policy_requests.toml": SCORE,
    "vivace serve secret": None,
    "vivace serve settings": None,
    "vivace serve token --scope publish": None,
    "vivace serve token --scope publish --expires 1h": None,
    "vivace serve token --scope publish --config vivace.toml": None,
    "vivace serve token --scope view --expires 15m --session ID": None,
}
"""Commands as shown, and as run here where that differs."""

SLOW = {
    **{f"vivace run camera -p {prompt!r}": EDITS for prompt in PLACES},
    "vivace run clip.mp4 --set matte=person -o cut.webm": MATTE,
    "vivace run photo.jpg -p ink --set matte=person -o cut.png": MATTE,
    "vivace run scene:chase -p 'turn the red car blue'": f"run scene:chase -p 'turn the red car blue' {RUN} -o null",
    "vivace serve": "serve --port 0",
    "vivace serve --port 9000 --recordings recordings": "serve --port 0 --recordings recordings",
    "vivace serve --recordings FOLDER": "serve --port 0 --recordings recordings",
    "vivace serve --config vivace.toml": "serve --port 0 --config vivace.toml",
    "vivace serve --host 0.0.0.0": "serve --port 0 --host 0.0.0.0",
    "vivace serve --host 0.0.0.0 --tls-self-signed": "serve --port 0 --host 0.0.0.0 --tls-self-signed",
    "vivace serve --tls-self-signed": "serve --port 0 --tls-self-signed",
    "vivace serve --osc 9000": "serve --port 0 --osc 0",
    "vivace serve --osc 9000 --drive strength=level:0.3..1": "serve --port 0 --osc 0 --drive strength=level:0.3..1",
    "vivace serve --safety output": "serve --port 0 --safety output",
    "vivace serve --cluster": "serve --port 0 --cluster --workers 1",
    "vivace serve --cluster --workers 2": "serve --port 0 --cluster --workers 2",
    "vivace bench scale": "bench scale --workers 5 --sessions 10 --hours 0.05",
    "vivace bench scale --workers 10000 --sessions 100000 --step-ms 5 --hours 0.3 --json scale.json": (
        "bench scale --workers 50 --sessions 500 --step-ms 5 --hours 0.02 --json scale.json"
    ),
    "vivace serve --size 512x288": "serve --port 0 --size 512x288",
    "vivace serve --dynamic-size 1280x720": "serve --port 0 --dynamic-size 1280x720",
    "vivace serve --size 512x288 --dynamic-size 1280x720": "serve --port 0 --size 512x288 --dynamic-size 1280x720",
    "vivace run SOURCE --script show.toml": SHOW,
    "vivace run SOURCE --log show.jsonl": SHOW,
    "vivace run SOURCE --drive strength=level": DRIVEN,
    "vivace run dance.mp4 --drive strength=level:0.3..1 --drive seed=beat -p ink": DRIVEN,
    "vivace run camera --sound mic --drive prompt=bass:ink..neon": DRIVEN_BY_A_FILE,
    "vivace run holiday.mp4 --sound music.mp3 --drive seed=beat -p 'oil painting' -o party.mp4": DRIVEN_BY_A_FILE,
    "python examples/beat_show.py scene:gallery music.mp3 show.mp4": (
        "examples/beat_show.py scene:gallery dance.mp4 show.mp4 --frames 3"
    ),
    "vivace run SOURCE --osc 9000": f"run clip.mp4 --osc 0 {RUN} -o null",
    "vivace run SOURCE --script show.toml --log show.jsonl": SHOW,
    "vivace replay show.jsonl SOURCE": SHOW,
    "vivace run holiday.mp4 --script show.toml -o show.mp4": SHOW,
    "vivace run holiday.mp4 --live -p ink --log show.jsonl -o take.mp4": SHOW_LIVE,
    "vivace replay show.jsonl holiday.mp4 --size 1024x576 -o show.mp4": SHOW_LIVE,
    "vivace looks save dusk.look 'half oil, half golden hour' --title 'dusk in oil'": LOOKS,
    "vivace looks mix both.look dusk.look mine.look --shares 0.7,0.3": LOOKS,
    "vivace looks show both.look": LOOKS,
    "vivace looks save mine.look --picture painting.jpg": LOOKS,
    "vivace run camera --model mini2 --look both.look": LOOKS,
    "vivace run camera --model mini2 --look mine.look": LOOK_OF_PICTURES,
    **{f"vivace run camera --model mini2 -p {words!r}": LOOKS_IN_WORDS for words in LOOK_WORDS},
    "vivace run camera --model mini2 --style-image painting.jpg": LIKE_A_PICTURE,
    "vivace run camera --model mini2 --style-image painting.jpg -p charcoal --set style_share=0.7": LIKE_A_PICTURE,
    "vivace verify FILE_OR_URL": VERIFIED,
    "vivace verify FILE_OR_URL --json": VERIFIED,
    "vivace bench watermark": WATERMARK,
    "vivace bench watermark --quick": WATERMARK,
    "vivace bench watermark --seconds 0 --clips FOLDER --unmarked 100000": FALSE_ALARMS,
    "vivace bench watermark --seconds 0 --scenes none --clips FOLDER --unmarked 100000 --size 256x256 --resume": (
        f"{FALSE_ALARMS} --resume"
    ),
    "vivace bench watermark --scenes none --clips clips/": WATERMARK,
    "vivace bench speed": AGAINST,
    "vivace bench speed --model mini": AGAINST,
    "vivace bench speed --size 256x256 --long 20000": "bench speed --size 64x64 --long 500 --frames 20 --no-sessions",
    "vivace bench speed --size 1280x720 --source 1920x1080 --mask --long 0 --no-sessions": AGAINST,
    "vivace bench speed --size 1280x720 --mask --long 0 --no-sessions --against ../before": AGAINST,
    "vivace bench speed --model liveedit --random-weights --size 320x192 --plain": (
        "bench speed --model wan/liveedit.toml --random-weights --size 64x64 --plain --frames 10 --threads 1"
    ),
    "vivace bench speed --model live2diff --random-weights --size 512x512 --steps 2 --json live2diff.json": (
        f"bench speed {TINY} {SPEED} --json live2diff.json"
    ),
    "vivace bench speed --model live2diff --random-weights --size 512x512 --steps 2 --json out.json": (
        f"bench speed {TINY} {SPEED} --json live2diff.json"
    ),
    "vivace bench speed --model live2diff --random-weights --size 256x256 --steps 2 --frames 20": (
        f"bench speed {TINY} {SPEED} --json live2diff.json"
    ),
    "vivace bench latency": f"bench latency {LATENCY}",
    "vivace bench latency --live 640x360@30 --seconds 60": f"bench latency {LATENCY}",
    "vivace bench latency --path webrtc": AGAINST_SERVED,
    "vivace bench latency --path webrtc --live 256x256@30 --seconds 15 --against ../before --turns 3": AGAINST_SERVED,
    "vivace bench latency --path webrtc --live 512x288@30 --seconds 12 --against ../before --turns 2": AGAINST_SERVED,
    "vivace bench quality": f"bench quality {QUALITY}",
    "vivace bench quality --tasks edit --size 256x256": f"bench quality {QUALITY.replace('style', 'edit')}",
    "vivace bench quality --quick": f"bench quality {QUALITY}",
    "vivace bench quality --command 'python examples/foreign_system.py' --name sepia": (
        f"bench quality --command '{sys.executable} {ROOT}/examples/foreign_system.py' --name sepia {QUALITY}"
    ),
    "vivace bench export inputs/": FOREIGN,
    "vivace bench quality --outputs outputs/ --name theirs": FOREIGN,
    "vivace bench export inputs/ --tasks style": STYLED,
    "vivace run inputs/clips/walkers/ -p 'ink drawing' -o seed1/walkers/style/ink.mp4": STYLED,
    "vivace bench all": f"bench all {QUALITY}",
    "vivace bench keyframes": "bench keyframes --scenes mover --edits recolour --size 64x64",
    "vivace bench keyframes --scenes columns walkers mover chase --edits recolour": (
        "bench keyframes --scenes mover --edits recolour --size 64x64"
    ),
    "vivace run holiday.mp4 --keyframe edited.png -o red.mp4": f"run scene:boat --keyframe painting.jpg {RUN} -o null",
    "vivace run camera --keyframe edited.png --keyframe-source snapshot.png": (
        f"run scene:boat --keyframe painting.jpg --keyframe-source photo.jpg {RUN} -o null"
    ),
    "vivace bench compare A.json B.json": COMPARE,
    "vivace bench compare bench/results/mini-quality.json yours/quality.json": COMPARE,
    "vivace bench selfcheck": f"bench selfcheck {QUALITY}",
    "vivace bench selfcheck --quick": f"bench selfcheck {QUALITY}",
    "python examples/moving_picture.py scene:walkers docs/media/walkers.gif": (
        "examples/moving_picture.py scene:walkers walkers.gif --frames 1 --size 64x64"
    ),
}
"""The same for those that take more than a second or two; several may be run as one."""

REPAINT = """
import json, pathlib, shutil
for case in json.loads(pathlib.Path("inputs/cases.json").read_text()):
    out = pathlib.Path("outputs", case["case"])
    out.mkdir(parents=True)
    for picture in sorted(pathlib.Path("inputs", case["clip"]).iterdir())[: case["frames"]]:
        shutil.copy(picture, out)
"""
"""Foreign system that returns its input."""

NOT_RUN = {
    "vivace models remove": "deletes what was fetched from the hub",
    "vivace models pull": "fetches from the hub",
    "vivace models check": "checks what was fetched from the hub",
    "vivace run camera --model live2diff": "its weights are fetched from the hub",
    "vivace run clip.mp4 --model live2diff": "its weights are fetched from the hub",
    "vivace serve --model live2diff": "its weights are fetched from the hub",
    "vivace run camera --model liveedit": "its weights are fetched from the hub",
    "vivace run camera --model causal-forcing": "its weights are fetched from the hub",
    "vivace serve --model longlive": "its weights are fetched from the hub",
    "vivace bench prefer": "waits for people; tests/bench/prefer drives its page",
    "vivace bench votes": "counts what people said there; tests/bench/prefer has votes",
    "vivace train": "minutes even for one clip; tests/train runs what is behind the commands",
    "python -m vivace.train.text": "fits words for minutes; tests/train/test_text_requests.py scores the same requests",
    "vivace --install-completion": "writes into the start files of whoever runs it",
    "python tests/e2e/measure_line.py": "measures a browser for minutes; tests/rtc/test_congestion.py holds the laws",
    "python tests/e2e/measure_roaming.py": "measures a browser for minutes; test_roaming.py drives the same page",
    "python tests/cluster/measure_cluster.py": "measures for minutes; tests/cluster/test_ray.py has the same cluster",
    "python tests/rtc/measure_viewers.py": "measures for minutes; tests/rtc/test_broadcast.py counts the encodes",
    "python tests/models/measure_tiles.py": "measures for minutes; tests/models/test_mini2_tiles.py holds the laws",
    "vivace serve --cluster --ray auto": "needs a Ray; tests/cluster/test_ray.py starts one",
    "vivace cluster": "needs a cluster; tests/cluster/test_commands.py asks one",
    "vivace run camera:OBS": "needs OBS",
    "vivace run camera:0 -p anime -o virtual": "needs v4l2loopback; tests/media/test_virtual_camera.py has a stand-in",
    "vivace run camera:0 -p ink -o virtual": "the same",
    "vivace run camera -p ink -o rtmps://": "needs a server; tests/media/test_transmit.py has one",
    "vivace run whep:https://": "needs a server; tests/client/test_whip.py has one",
    "vivace run -o whip:https://": "the same",
    "vivace run holiday.mp4 --live -o 'whip:": "the same",
    "python examples/video_call.py": "needs a camera; test_examples.py runs it with a scene",
    "python examples/game_capture.py": "needs a screen; test_examples.py runs it with a scene",
    "python examples/opencv_loop.py": "test_examples.py runs it",
    "python tests/e2e/measure_outputs.py": "measures for minutes; tests/media/test_transmit.py sends to such receivers",
    "python tests/e2e/measure_sound.py": "measures a browser for minutes; test_studio_sound.py drives the studio",
    "python tests/e2e/measure_surfaces.py": "measures a browser for minutes; test_studio_surfaces.py drives the page",
    "python tests/e2e/measure_studio.py": "measures a browser for minutes; test_studio.py drives the same page",
    "python tests/e2e/measure_chunks.py": "measures a browser for minutes; test_studio.py drives the same page",
}
"""Prefixes of commands that no short form makes runnable everywhere."""


LOG = "bench/LOG.md"
"""Log of measurements with their commands, which are parsed, but which nobody is told to run."""


def commands() -> set[str]:
    """Return the commands that are shown to be run, not those only named, or a part of one."""
    app = build_app(Settings())
    found = set()
    for shown in all_shown():
        if shown.document == LOG:
            continue
        program, *arguments = shown.tokens
        if program == "vivace":
            try:
                does, _, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
            except CycloptsError:  # test_documented_commands.py checks that this is only a placeholder
                continue
            if does.__name__ in ("help_print", "version_print"):
                continue
        if program in ("vivace", "python"):
            found.add(shlex.join(shown.tokens))
    return found


def test_every_command_that_is_shown_is_run_or_has_a_reason() -> None:
    known = FAST.keys() | SLOW.keys()
    shown = {command for command in commands() if not command.startswith(tuple(NOT_RUN))}
    assert shown - known == set(), "give each a short form"
    assert known - shown == set(), "these are shown no more"


@pytest.fixture(scope="module")
def drawer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files that the documents assume: a clip, photographs, results."""
    drawer = tmp_path_factory.mktemp("drawer")
    (drawer / "photos").mkdir()
    write_scene(drawer / "clip.mp4", 6)
    shutil.copy(drawer / "clip.mp4", drawer / "holiday.mp4")
    with open_source("scene:gallery?frames=1", size=CLIP_SIZE) as source:
        photograph = Image.fromarray(next(iter(source)).rgb)
    for name in ("photo.jpg", "painting.jpg", "photos/one.jpg", "photos/two.png"):
        photograph.save(drawer / name)
    for name in ("A.json", "B.json"):
        shutil.copy(ROOT / "bench" / "results" / "mini-quality.json", drawer / name)
    (drawer / "repaint.py").write_text(REPAINT)
    write_clip(drawer / "dance.mp4", [np.zeros((64, 96, 3), np.uint8)] * 6, sound=beep(0.24, at_s=0.1))
    [script] = re.findall(r"^```toml\n(.*?)^```", (ROOT / "docs" / "shows.md").read_text("utf-8"), re.M | re.S)
    (drawer / "show.toml").write_text(script, "utf-8")
    shutil.copy(ROOT / "deploy" / "vivace.toml", drawer)
    return drawer


@pytest.fixture
def desk(drawer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working directory with all of that, and the secret of a server, which keeps its certificate there."""
    shutil.copytree(drawer, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("VIVACE_SERVE_TOKEN_SECRET", "s" * 43)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", FAST)
def test_a_command_runs_to_its_end(vivace_here: Vivace, desk: Path, command: str) -> None:
    done = vivace_here(*shlex.split(FAST[command] or command.removeprefix("vivace ")))
    assert done.code == 0, done.err
    assert done.out


@pytest.mark.slow
@pytest.mark.parametrize("form", sorted(set(SLOW.values())))
def test_a_long_command_runs_to_its_end_in_a_short_form(desk: Path, form: str) -> None:
    if "tiny/" in form:
        (desk / "tiny").mkdir()
        live2diff_mirror.write(desk / "tiny")
    if "wan/" in form:
        (desk / "wan").mkdir()
        wan_mirror.write("liveedit", desk / "wan")
    for step in form.split(" && "):
        program, *arguments = shlex.split(step)
        if program.endswith(".py"):
            program = program if Path(program).exists() else str(ROOT / program)
            command = [sys.executable, program, *arguments]
        else:
            command = [sys.executable, "-m", "vivace", program, *arguments]
        done = serve_and_stop(command) if program == "serve" else run(command)
        assert done.returncode == 0 or missed_a_leak_alone(step), f"{step}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def missed_a_leak_alone(step: str) -> bool:
    """Return True if a self-check missed nothing but what is told by time, which a busy machine hides."""
    if not step.startswith("bench selfcheck"):
        return False
    faults = json.loads(Path("vivace-bench/selfcheck.json").read_text())["planted_faults"]
    return {fault["fault"] for fault in faults if not fault["caught"]} == {"leak"}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


def serve_and_stop(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a server until it tells its URL, and end it like a person, with Ctrl-C."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = server.stdout.readline()
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=PATIENCE_S)
    assert said.startswith("Vivace is at http"), err
    return subprocess.CompletedProcess(command, server.returncode, said + out, err)
