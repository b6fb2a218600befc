"""The documents as a site: built strictly, with every link and anchor leading somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vivace
import vivace.client

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


@pytest.mark.slow
def test_it_has_every_document_and_asks_for_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    assert {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} <= pages
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(https?://[^\"]+)", path.read_text("utf-8")
        )
        assert loaded == [], f"{path.name} loads from elsewhere"


@pytest.mark.slow
def test_the_reference_has_every_public_name(site: Path) -> None:
    shown = (site / "api.html").read_text("utf-8")
    missing = [
        name for name in set(vivace.__all__) - {"__version__"} if not re.search(rf'id="vivace\.[\w.]*\b{name}"', shown)
    ]
    assert missing == []
