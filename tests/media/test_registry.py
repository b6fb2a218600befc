"""Kinds of source and of output: built-in ones, and those of other rooms, programs and distributions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vivace.cli import main
from vivace.doctor import check_outputs
from vivace.errors import BackendUnavailableError, SinkError, SinkUnsupportedError, SourceUnsupportedError, UsageError
from vivace.media.clock import Clock
from vivace.media.frame import Frame
from vivace.media.open import open_sink, open_source
from vivace.media.registry import SINKS, SOURCES, Kind
from vivace.media.sink import NullSink, SinkOptions
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo
from vivace.redaction import redact


class Flat(Source):
    """Source of three pictures of one brightness."""

    def __init__(self, rest: str, *, size: Size | None, fps: float | None, stall_timeout_s: float, clock: Clock):
        self.asked = (fps, stall_timeout_s)
        self._value = int(rest)
        self._clock = clock
        super().__init__(SourceInfo(name=f"flat:{rest}", size=size or (8, 8), fps=fps or 25.0))

    def _read(self) -> Iterator[Frame]:
        width, height = self.info.size
        for index in range(3):
            rgb = np.full((height, width, 3), self._value, np.uint8)
            yield Frame(rgb, index, index, Fraction(1, 25), self._clock())


class Wall(NullSink):
    """Sink that remembers its options."""

    def __init__(self, target: str | Path, options: SinkOptions) -> None:
        self.target, self.options = target, options


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return a program with its own kinds, and registries that forget them."""
    program = ModuleType("a_program")
    program.Flat, program.Wall, program.unplugged = Flat, Wall, "plug the wall in".strip  # type: ignore[attr-defined]
    program.broken = lambda: 1 / 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_program", program)
    for registry in (SOURCES, SINKS):
        monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))
        monkeypatch.setattr(registry, "_complete", False)
    return program


FLAT = Kind(name="flat", texts="`flat:7`", about="one brightness", opener="a_program:Flat", words=("flat:",))
WALL = Kind(
    name="wall",
    texts="`wall`, `show.wall`",
    about="an LED wall",
    opener="a_program:Wall",
    words=("wall", "wall:"),
    schemes=("wall",),
    suffixes=(".wall",),
)


@pytest.mark.usefixtures("program")
def test_a_registered_kind_opens_by_its_word_with_what_was_asked() -> None:
    SOURCES.add(FLAT)
    source = open_source("flat:7", size=(16, 10), fps=12.5, stall_timeout_s=3.0, clock=lambda: 42.0)
    assert isinstance(source, Flat)
    assert source.asked == (12.5, 3.0)
    with source:
        frames = list(source)
    assert [frame.rgb.shape for frame in frames] == [(10, 16, 3)] * 3
    assert frames[0].rgb.max() == frames[0].rgb.min() == 7
    assert frames[0].capture_time_s == 42.0


@pytest.mark.usefixtures("program")
def test_an_output_is_found_by_word_scheme_and_suffix(tmp_path: Path) -> None:
    SINKS.add(WALL)
    targets = {"wall": "", "wall:left": "left", str(tmp_path / "show.WALL"): tmp_path / "show.WALL"}
    for spec, target in targets.items():
        sink = open_sink(spec, fps=25)
        assert isinstance(sink, Wall)
        assert (sink.target, sink.options.fps) == (target, 25)


@pytest.mark.usefixtures("program")
def test_what_this_machine_lacks_is_said_and_nothing_is_opened() -> None:
    SINKS.add(replace(WALL, lacking="a_program:unplugged"))
    assert SINKS.kinds["wall"].is_available() == (False, "plug the wall in")
    with pytest.raises(SinkUnsupportedError, match=r"^wall: plug the wall in$"):
        open_sink("wall")
    check = check_outputs()
    assert (check.state, "wall: plug the wall in" in check.remedy) == ("limited", True)
    for lacking in ("a_program:broken", "a_program:nowhere", "nowhere:lacking"):
        SINKS.add(replace(WALL, lacking=lacking))
        assert "wall: what it needs cannot be told (" in check_outputs().remedy
        with pytest.raises(SinkUnsupportedError, match="what it needs cannot be told"):
            open_sink("wall")


@pytest.mark.usefixtures("program")
def test_an_opener_that_cannot_be_imported_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    SINKS.add(replace(WALL, opener="a_program:Nowhere"))
    with pytest.raises(BackendUnavailableError, match="`wall` names a_program:Nowhere, and there is no Nowhere"):
        open_sink("wall")
    (tmp_path / "needy.py").write_text("import no_such_library")
    SINKS.add(replace(WALL, opener="needy:open"))
    with pytest.raises(BackendUnavailableError, match="`wall` needs no_such_library; install no_such_library"):
        open_sink("wall")


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(("spec", "error"), [("", UsageError), ("gopher://host/live", SourceUnsupportedError)])
def test_messages_name_every_kind(spec: str, error: type[Exception]) -> None:
    SOURCES.add(replace(FLAT, words=("flat", "flat:"), schemes=("flat",)))
    with pytest.raises(error) as caught:
        open_source(spec)
    known = SOURCES.words if not spec else SOURCES.schemes
    assert "flat" in known
    assert all(word in str(caught.value) for word in known)


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("wall = toy_wall:WALL", ""),
        ("wall = toy_wall:NOWHERE", "the kind of output wall cannot be imported from toy_wall:NOWHERE"),
        ("other = toy_wall:WALL", "toy_wall:WALL is not the kind of output other"),
        ("null = toy_wall:NULL", "the kind of output null is there already"),
    ],
)
def test_another_distribution_brings_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, point: str, said: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    about = tmp_path / "toy_wall-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-wall\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[vivace.sinks]\n{point}\n")
    (tmp_path / "toy_wall.py").write_text(
        "from dataclasses import replace\nfrom media.test_registry import WALL\nNULL = replace(WALL, name='null')\n"
    )
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "toy_wall", raising=False)
    if said:
        with pytest.raises(SinkError):
            open_sink("wall://host")
        assert said in caplog.text
    else:
        assert isinstance(open_sink("wall://host"), Wall)
        assert "`wall`, `show.wall`: an LED wall" in SINKS.lines()
    assert isinstance(open_sink("null"), NullSink)


@pytest.mark.parametrize("kind", [*SOURCES._kinds.values(), *SINKS._kinds.values()], ids=lambda kind: kind.name)
def test_every_kind_names_functions_that_there_are(kind: Kind) -> None:
    available, reason = kind.is_available()
    assert available != bool(reason)
    assert redact(reason) == reason, "what is to be written instead is no secret"
    if kind.opener:
        assert callable(kind.function(kind.opener))
    assert kind.words or kind.schemes or kind.suffixes or kind is SOURCES.kinds["file"]


def test_the_document_and_the_help_tell_of_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text("utf-8")
    for registry in (SOURCES, SINKS):
        for kind in registry._kinds.values():
            what = kind.about if kind.opener else f"{kind.about}: {kind.lacking}"
            assert f"| {kind.texts} | {what} |" in text
    assert main(["run", "--help"]) == 0
    said = "".join(capsys.readouterr().out.split()).replace("│", "")
    for line in (*SOURCES.lines(), *SINKS.lines()):
        assert "".join(line.replace("`", "").split()) in said
