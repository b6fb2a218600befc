"""Code that documents show: it parses, and the names of Vivace that it uses exist."""

from __future__ import annotations

import ast
import importlib
import json
import re
import tomllib

import pytest

from documented import DOCUMENTS, ROOT

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(kind: str) -> list[tuple[str, str]]:
    """Return the blocks of a kind, with the document each stands in."""
    return [
        (path.relative_to(ROOT).as_posix(), text)
        for path in DOCUMENTS
        for found, text in _FENCE.findall(path.read_text("utf-8"))
        if found == kind
    ]


@pytest.mark.parametrize(("document", "text"), snippets("python"))
def test_python_parses_and_names_what_exists(document: str, text: str) -> None:
    code = compile(text, document, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "vivace":
                    importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vivace":
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names), node.module
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "vivace":
            assert hasattr(importlib.import_module("vivace"), node.attr) or importlib.import_module(
                f"vivace.{node.attr}"
            )


@pytest.mark.parametrize(("document", "text"), snippets("toml"))
def test_toml_parses(document: str, text: str) -> None:
    tomllib.loads(text.replace("…", ""))


@pytest.mark.parametrize(("document", "text"), snippets("json"))
def test_json_parses(document: str, text: str) -> None:
    json.loads(re.sub(r"\{…\}|\[…\]|…", "0", re.sub(r'"[^"\n]*"', lambda found: found[0].replace("…", ""), text)))
