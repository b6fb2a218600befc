"""What the site adds to MkDocs: documents that lie outside `docs/`, and links that lead out of it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PROJECT = "project"
"""Folder of the site that documents outside `docs/` come to."""
OUTSIDE = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/LOG.md", "bench/results/README.md")

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]*)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents that lie outside `docs/`."""
    outside = [*OUTSIDE, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "decisions").glob("*.md")))]
    for name in outside:
        text = (ROOT / name).read_text("utf-8")
        files.append(File.generated(config, f"{PROJECT}/{_site_name(name)}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001  (MkDocs gives it)
    """Let links lead where their target is in the site; those to code become its path."""
    origin = page.file.src_uri
    if origin.startswith(f"{PROJECT}/"):
        there = origin.removeprefix(f"{PROJECT}/").removesuffix("_.md") + (".md" if origin.endswith("_.md") else "")
    else:
        there = f"docs/{origin}"

    def lead(found: re.Match[str]) -> str:
        picture, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if not target or re.match(r"[a-z]+:|/", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(there), target))
        at = path.removeprefix("docs/") if path.startswith("docs/") else f"{PROJECT}/{_site_name(path)}"
        if files.get_file_from_path(at) is not None:
            return f"{picture}[{text}]({posixpath.relpath(at, posixpath.dirname(origin) or '.')}{anchor})"
        if not (ROOT / path).exists():
            return found[0]  # MkDocs names it
        shown = path.rstrip("/")
        return text if shown in text else f"{text} (`{shown}`)"

    parts = _FENCE.split(markdown)
    return "".join(part if index % 2 else _LINK.sub(lead, part) for index, part in enumerate(parts))


def _site_name(path: str) -> str:
    """Return a document's name in the site: a README is the page of its folder there, which `index.md` would be."""
    return path if not path.endswith("README.md") else path.removesuffix("README.md") + "README_.md"
