"""False alarms: pictures without a watermark are searched; each result is a row of a file as soon as it is known."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from itertools import count, islice
from pathlib import Path

from vivace.bench.document import Measurement
from vivace.bench.inputs.clips import read
from vivace.bench.inputs.scenes import SceneClip, scene_worlds
from vivace.bench.speed.benchmark import Report
from vivace.bench.watermark.attacks import FPS
from vivace.bench.watermark.methods import LOOKED_AT
from vivace.errors import SinkWriteError, UsageError
from vivace.media import open_source
from vivace.media.frame import Rgb
from vivace.media.registry import PICTURE_SUFFIXES
from vivace.media.size import Size
from vivace.trust import watermark
from vivace.trust.watermark.detect import detect_watermark
from vivace.trust.watermark.search import TOLERATED_FALSE_ALARM

SCENE_S = 10
"""Time of each scene before the next one, s."""
SHARES = ((1.0, 1.0), (0.75, 1.0), (1.25, 0.75), (0.6, 0.6))
"""Width and height of clips in turn, as shares of the usual ones; what another shape has over is cut off."""


@dataclass(frozen=True, slots=True)
class Searched:
    """Result of searching some pictures together, those of every other frame of a second or a single one."""

    reader: str
    """Hash of the code that read them."""
    clip: str
    size: str
    """`WxH`, px."""
    first: int
    """Number of the first picture in its clip."""
    pictures: int
    false_alarm: float
    """Bound of the probability that as much is found in pictures without a watermark."""


def search_unmarked(
    wanted: int, videos: Mapping[str, Path], size: Size, seed: int, table: Path, report: Report, *, resume: bool
) -> list[Searched]:
    """Search at least `wanted` pictures, each once: those of the videos and photographs, then of scenes.

    Args:
        wanted: number of pictures.
        videos: by name, videos or folders of photographs.
        size: usual `(width, height)`, px, see `SHARES`; photographs are searched at their own.
        seed: of the scenes.
        table: CSV file that gets a row for each search at once.
        report: is told of progress.
        resume: keep the rows of the table and go on after them.

    Raises:
        UsageError: another version of the reader made the table, or it is none.
        SinkWriteError: it cannot be written.
    """
    reader = reader_hash()
    rows = _rows(table, reader) if resume and table.exists() else []
    known = {(row.clip, row.size, row.first) for row in rows}
    done = sum(row.pictures for row in rows)
    try:
        with table.open("a" if rows else "w", newline="") as file:
            writer = csv.writer(file)
            if not rows:
                writer.writerow(field.name for field in fields(Searched))
            for name, first, pictures in _pictures(videos, size, seed):
                if done >= wanted:
                    break
                height, width = pictures[0].shape[:2]
                if (name, f"{width}x{height}", first) in known:
                    continue
                report(done, wanted, f"unmarked {name}")
                bound = detect_watermark(pictures).false_alarm
                rows.append(Searched(reader, name, f"{width}x{height}", first, len(pictures), bound))
                writer.writerow(astuple(rows[-1]))
                file.flush()
                done += len(pictures)
    except OSError as error:
        raise SinkWriteError(f"{table}: cannot be written ({error.strerror}); name another folder by --out") from error
    return rows


def measured(rows: list[Searched]) -> list[Measurement]:
    """Return how many pictures were searched, how often, and how nearly, the watermark was found in them."""
    if not rows:
        return []
    found = sum(row.pictures for row in rows if row.false_alarm < TOLERATED_FALSE_ALARM)
    values = {
        "unmarked_pictures": float(sum(row.pictures for row in rows)),
        "false_alarms": float(found),
        "nearest_false_alarm": math.log10(min(row.false_alarm for row in rows)),
    }
    return [Measurement(metric=metric, case="unmarked", value=value) for metric, value in values.items()]


def reader_hash() -> str:
    """Return 12 hexadecimal digits that change with the code that reads watermarks."""
    code = sorted(Path(watermark.__path__[0]).glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in code)).hexdigest()[:12]


def _rows(table: Path, reader: str) -> list[Searched]:
    try:
        with table.open(newline="") as file:
            found = [
                Searched(
                    row["reader"], row["clip"], row["size"], int(row["first"]), int(row["pictures"]),
                    float(row["false_alarm"]),
                )
                for row in csv.DictReader(file)
            ]  # fmt: skip
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{table} is no table of searches; leave out --resume to begin anew") from error
    if any(row.reader != reader for row in found):
        raise UsageError(f"{table} was made by another version of the reader; leave out --resume to begin anew")
    return found


def _pictures(videos: Mapping[str, Path], size: Size, seed: int) -> Iterator[tuple[str, int, list[Rgb]]]:
    """Yield what is searched together, with the clip's name and the first one's number: no picture twice."""
    width, height = size
    sizes = [(2 * round(width * across / 2), 2 * round(height * down / 2)) for across, down in SHARES]
    for index, (name, path) in enumerate(videos.items()):
        if path.is_dir():
            for photograph in sorted(path.iterdir()):
                if photograph.suffix.lower() in PICTURE_SUFFIXES:
                    with open_source(photograph) as source:
                        yield f"{name}/{photograph.name}", 0, read(source, 1)
            continue
        with open_source(path, size=sizes[index % len(sizes)]) as source:
            yield from ((name, *each) for each in _halves(frame.rgb for frame in source))
    for turn in count():
        for index, scene in enumerate(scene_worlds()):
            clip = SceneClip(scene, sizes[(turn + index) % len(sizes)], FPS, FPS * SCENE_S, seed + 1 + turn)
            yield from ((f"{scene}, seed {clip.seed}", *each) for each in _halves(clip.pictures()))


def _halves(pictures: Iterable[Rgb]) -> Iterator[tuple[int, list[Rgb]]]:
    """Yield the even and the odd pictures of each second, each as many as are looked at in a video's second."""
    left = iter(pictures)
    step = FPS // LOOKED_AT
    for second in count():
        if len(whole := list(islice(left, FPS))) < FPS:
            return
        yield from ((FPS * second + at, whole[at::step]) for at in range(step))
