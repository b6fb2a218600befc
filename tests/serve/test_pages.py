"""Pages as they are served: all that a page needs is asked for at once."""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath

import pytest

import vivace.serve

WEB = Path(vivace.serve.__file__).parent / "web"
PAGES = {"index.html": "", "watch.html": "../", "clean.html": "../"}
"""With the way from their address to the root."""
IMPORTED = re.compile(r'^(?:import|export)\s[^"]*?from\s+"(\.[^"]+)"|^import\s+"(\.[^"]+)"', re.MULTILINE)


def imported(module: str) -> set[str]:
    """Return the modules that one imports, by way of others too, and itself."""
    found, left = set[str](), [module]
    while left:
        found.add(name := left.pop())
        names = ("".join(groups) for groups in IMPORTED.findall((WEB / name).read_text("utf-8")))
        left += {normpath(join(dirname(name), other)) for other in names} - found
    return found


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_for_all_of_its_modules_at_once(page: str) -> None:
    text, up = (WEB / page).read_text("utf-8"), PAGES[page]
    (script,) = re.findall(rf'<script type="module" src="{up}([^"]+)"', text)
    asked = re.findall(rf'<link rel="modulepreload" href="{up}([^"]+)"', text)
    assert sorted(asked) == sorted(imported(script) - {script}), "else they are found one after the other"
