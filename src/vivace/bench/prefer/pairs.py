"""Pairs to judge: two systems' outputs of the same clips beside their source, in one video each, to stay synchronised.

Each pair is a video with either system on the left; neither page, URL nor file names reveal which is which.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from vivace.bench.inputs.clips import named_clips
from vivace.errors import SourceUnsupportedError, UsageError
from vivace.media import open_sink, open_source, side_by_side
from vivace.media.frame import Frame
from vivace.media.size import Size

Side = Literal["a", "b"]
"""One of the two systems."""
GAP_PX = 16
"""Gap between the pictures, px; a multiple of the chroma subsampling."""
SHAPE_TOLERANCE = 0.02
"""Tolerance of aspect ratios, since models' sizes are coarse: 342x192 and 512x288 count as equal."""
NAMED = 3
"""Clips that a message names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One clip as two systems repainted it."""

    name: str
    source: Path
    a: Path
    b: Path
    prompt: str = ""
    """Prompt, if known."""
    fps: float | None = None
    """Frame rate of a folder of pictures, if known."""

    @property
    def title(self) -> str:
        """Title for voters."""
        return f"Asked for: “{self.prompt}”" if self.prompt else self.name


def find_pairs(a: Path, b: Path, source: Path) -> list[Pair]:
    """Return the pairs of two folders of outputs, by name.

    Args:
        a: outputs of one system: videos, or folders of numbered pictures, at any depth.
        b: outputs of the other, under the same names.
        source: clips that both were given: the folder that `vivace bench export` wrote, or one with the same names.

    Raises:
        UsageError: the folders are the same, or do not hold the same clips, or the source lacks some.
        SourceNotFoundError: no such folder, or nothing in it.
    """
    if a.resolve() == b.resolve():
        raise UsageError(f"{a} and {b} are one folder; give the outputs of two systems")
    ours, theirs = named_clips(a), named_clips(b)
    differ = [
        f"only {folder} has {_named(only)}"
        for folder, only in ((a, ours.keys() - theirs.keys()), (b, theirs.keys() - ours.keys()))
        if only
    ]
    if differ:
        raise UsageError(f"{a} and {b} do not hold the same clips: {'; '.join(differ)}. Give each clip to both systems")
    sources = _sources(source)
    missing = ours.keys() - sources.keys()
    if missing:
        raise UsageError(f"{source} has no source of {_named(missing)}; name the folder both systems were run on")
    return [replace(sources[name], a=ours[name], b=theirs[name]) for name in sorted(ours)]


def _named(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def _sources(folder: Path) -> Mapping[str, Pair]:
    """Return the sources that may have outputs, by name; `a` and `b` are filled in later."""
    cases = folder / "cases.json"
    if not cases.is_file():
        return {name: Pair(name, path, path, path) for name, path in named_clips(folder).items()}
    try:
        listed: list[dict[str, Any]] = json.loads(cases.read_text("utf-8"))
        return {
            case["case"]: Pair(case["case"], clip := folder / case["clip"], clip, clip, case["prompt"], case["fps"])
            for case in listed
        }
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SourceUnsupportedError(f"{cases}: not as `vivace bench export` writes it; export anew") from error


def digest(pairs: Iterable[Pair]) -> str:
    """Return a digest that identifies these pairs by names and files."""
    whole = hashlib.sha256()
    for pair in pairs:
        for path in (pair.source, pair.a, pair.b):
            for file in sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]:
                with file.open("rb") as read:
                    whole.update(pair.name.encode() + hashlib.file_digest(read, "sha256").digest())
    return whole.hexdigest()


def write_pair(pair: Pair, left: Mapping[Side, Path], told: Callable[[], None] = lambda: None) -> None:
    """Write both videos of a pair, with either system on the left; `told` is called for every frame.

    Raises:
        SourceUnsupportedError: the outputs differ in shape or number of frames, or have more frames than the source.
        MediaError: a clip cannot be read, or a video cannot be written.
    """
    size, fps = _size_and_rate(pair)
    with (
        open_source(pair.source, size=size, fps=pair.fps) as source,
        open_source(pair.a, size=size) as a,
        open_source(pair.b, size=size) as b,
        open_sink(left["a"], fps=fps) as a_left,
        open_sink(left["b"], fps=fps) as b_left,
    ):
        for index, (of_source, of_a, of_b) in enumerate(_in_step(pair, source, a, b)):
            for sink, first, last in ((a_left, of_a, of_b), (b_left, of_b, of_a)):
                rgb = side_by_side([first.rgb, of_source.rgb, last.rgb], gap_px=GAP_PX)
                sink.write(replace(of_source, rgb=rgb, alpha=None, index=index))
            told()


def _in_step(
    pair: Pair, source: Iterable[Frame], a: Iterable[Frame], b: Iterable[Frame]
) -> Iterator[tuple[Frame, Frame, Frame]]:
    for of_source, of_a, of_b in zip_longest(source, a, b):
        if of_a is None and of_b is None:
            return  # a case covers a limited number of frames; the source may continue
        if of_a is None or of_b is None or of_source is None:
            ends = pair.a if of_a is None else pair.b if of_b is None else pair.source
            raise SourceUnsupportedError(
                f"{ends} ends before the others of {pair.name}; both systems owe a picture for each of the source's"
            )
        yield of_source, of_a, of_b


def _size_and_rate(pair: Pair) -> tuple[Size, float | None]:
    """Return the larger of the two outputs' sizes, and the frame rate of the video."""
    sizes = []
    for path in (pair.a, pair.b):
        with open_source(path) as output:
            sizes.append(output.info.size)
    (aw, ah), (bw, bh) = sizes
    if abs(aw * bh / (ah * bw) - 1) > SHAPE_TOLERANCE:
        raise SourceUnsupportedError(
            f"{pair.name} is {aw}x{ah} in {pair.a} and {bw}x{bh} in {pair.b}: two shapes; run both systems at one"
        )
    with open_source(pair.source, fps=pair.fps) as source:
        return max(sizes), source.info.fps
