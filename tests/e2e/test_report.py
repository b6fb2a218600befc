"""The benchmark's report in a real browser, without a network."""

from __future__ import annotations

import json
import re
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.documents import document
from bench.materials import material
from e2e.browsers import CHROMIUM
from patience import PATIENCE_S
from vivace.bench.report.page import write_report

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (Debian: apt-get install chromium)"),
]

# The report allows no scripts, so an outer page looks into it.
FRAME = """<!doctype html><body style="margin: 0"><iframe id="f" src="report.html" width="{width}" height="800"
 style="border: 0"></iframe><pre id="seen"></pre><script>
f.onload = () => {{
  const page = f.contentDocument, view = f.contentWindow;
  seen.textContent = JSON.stringify({{
    overflow: page.documentElement.scrollWidth - view.innerWidth,
    broken: [...page.images].filter(image => !image.naturalWidth).length,
    images: page.images.length,
    drawings: [...page.querySelectorAll(".plot > svg")].filter(svg => svg.getBoundingClientRect().height > 50).length,
    paper: view.getComputedStyle(page.body).backgroundColor,
    series: view.getComputedStyle(page.querySelector(".chip")).color,
    smallest: Math.min(...[...page.querySelectorAll(".plot text")].map(text => text.getBoundingClientRect().height)),
  }});
}};
</script>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(folder / "report.html", document(), material())
    return folder


def browse(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page without a network."""
    assert CHROMIUM is not None
    always = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    offline = ["--proxy-server=127.0.0.1:9", "--allow-file-access-from-files", "--enable-logging=stderr"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [CHROMIUM, *always, *offline, profile, *flags, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)


def look(folder: Path, width: int) -> dict[str, object]:
    """Return the layout in a window of that width."""
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(width=width), "utf-8")
    done = browse(frame, "--dump-dom", "--virtual-time-budget=5000", f"--window-size={width},900")
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr
    assert [
        line for line in done.stderr.splitlines() if "CONSOLE" in line
    ] == []  # where a breach of the policy is reported
    seen: dict[str, object] = json.loads(unescape(found[1]))
    return seen


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_is_whole_and_fits_the_window(folder: Path, width: int) -> None:
    seen = look(folder, width)
    assert seen["overflow"] == 0
    assert seen["broken"] == 0
    assert seen["images"] == 9 + 9 + 2
    assert seen["drawings"] == 1 + 2 + 1 + 4
    assert seen["smallest"] >= 9  # px, of the type in a plot


@pytest.mark.parametrize(("flags", "dark"), [((), False), (("--force-dark-mode",), True)])
def test_the_page_follows_the_colour_scheme(folder: Path, flags: tuple[str, ...], dark: bool) -> None:
    shot = folder / f"shot-{dark}.png"
    browse(folder / "report.html", f"--screenshot={shot}", "--window-size=800,600", *flags)
    pixels = np.asarray(Image.open(shot).convert("L"))
    assert (np.median(pixels) < 64) == dark
    assert pixels.std() > 8  # there is something on the paper
