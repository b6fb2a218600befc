"""Served pages: each gets its modules in one file, in which no name stands for two things."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vivace.serve
from vivace.serve.bundle import bundle, imported

WEB = Path(vivace.serve.__file__).parent / "web"
PAGES = ("index.html", "watch.html", "clean.html", "verify.html", "admin.html", "docs.html")
NAMED = re.compile(r"^(?:async )?(?:function|class|const|let) ([\w$]+)", re.MULTILINE)


def asked_for(page: str) -> list[str]:
    """Return the bundles that a page loads."""
    return re.findall(r'(?:src|href)="(?:\.\./)?bundle/([^"]+)"', (WEB / page).read_text("utf-8"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_for_few_files(page: str) -> None:
    text = (WEB / page).read_text("utf-8")
    assert len(re.findall(r'<script[^>]* src="|<link rel="stylesheet"', text)) == 2, "a script and a style sheet"
    assert asked_for(page)


@pytest.mark.parametrize("name", sorted({name for page in PAGES for name in asked_for(page)}))
def test_a_bundle_is_whole(name: str) -> None:
    text = bundle(WEB, name)
    assert not re.search(r"^(?:import|export)\b|^@import", text, re.MULTILINE)
    if name.endswith(".js"):
        names = NAMED.findall(text)
        assert len(names) == len(set(names)), f"two modules share {sorted({n for n in names if names.count(n) > 1})}"


def test_imports_come_first_and_once(tmp_path: Path) -> None:
    files = {
        "page/main.js": 'import { a } from "../a.js";\nimport { b } from "./b.js";\nexport const main = a + b;\n',
        "page/b.js": 'import { a } from "../a.js";\nexport const b = `\nimport of ${a}`;\n',
        "a.js": 'export { c } from "./c.js";\nexport let a = 1;\n',
        "c.js": "export async function c() {}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    whole = "async function c() {}\n\nlet a = 1;\n\nconst b = `\nimport of ${a}`;\n\nconst main = a + b;\n"
    assert bundle(tmp_path, "page/main.js") == whole
    assert imported(files["page/main.js"], "page/main.js") == ["a.js", "page/b.js"]


def test_every_import_of_a_module_is_one_that_the_bundle_understands() -> None:
    for path in WEB.rglob("*.js"):
        text = path.read_text("utf-8")
        found = re.findall(r"^import\b.*|^export\b.*\bfrom\b.*|^export default.*", text, re.MULTILINE)
        assert len(found) == len(imported(text, path.relative_to(WEB).as_posix())), path
        assert " as " not in "".join(found), f"{path}: a name that is another elsewhere is no name of one scope"
