"""Documents' tables of controls follow from declarations; `python tests/test_documented_controls.py` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from vivace.models.controls import ControlSpec
from vivace.models.family import families
from vivace.stream.controls import OWN

DOCS = Path(__file__).parents[1] / "docs"
_TABLE = re.compile(r"(<!-- controls of (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
WHEN = {"frame": "at any frame", "stream": "when a stream opens", "model": "when the model is loaded"}


def table(controls: Iterable[ControlSpec]) -> str:
    rows = [
        f"| `{control.name}` | {control.takes} | {control.default_words} | {WHEN[control.scope]} | {control.help} |"
        for control in controls
    ]
    return "\n".join(["| control | takes | default | changes | what it does |", "|---|---|---|---|---|", *rows, ""])


def declared(whose: str) -> Iterable[ControlSpec]:
    return OWN.values() if whose == "stream" else families()[whose].controls


def written(text: str) -> str:
    """Return a document with its tables as declared."""
    return _TABLE.sub(lambda found: found[1] + table(declared(found[2])) + found[4], text)


def documents() -> list[Path]:
    return [path for path in sorted(DOCS.rglob("*.md")) if "<!-- controls of" in path.read_text("utf-8")]


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_documents_table_is_what_is_declared(path: Path) -> None:
    text = path.read_text("utf-8")
    assert written(text) == text, "run `python tests/test_documented_controls.py`"


def test_every_control_stands_in_a_document() -> None:
    told = {found[2] for path in documents() for found in _TABLE.finditer(path.read_text("utf-8"))}
    assert told == {"stream", *(name for name, family in families().items() if family.controls)}


if __name__ == "__main__":
    for path in documents():
        path.write_text(written(path.read_text("utf-8")), "utf-8")
