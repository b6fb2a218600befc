"""`vivace bench watermark`: marks clips, attacks them, and reads the marks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console

from vivace.bench.document import Measurement, MetricInfo, MetricTable, write_document
from vivace.bench.inputs.clips import named_clips, read
from vivace.bench.inputs.scenes import SceneClip
from vivace.bench.metrics.similarity import psnr_db, ssim_map
from vivace.bench.report.material import Curve, Material
from vivace.bench.speed.benchmark import Report
from vivace.bench.suite import Parts, progress_bar, publish
from vivace.bench.watermark import unmarked
from vivace.bench.watermark.attacks import ATTACKS, CRFS, FPS, SCALES, Attack, Pictures, scaled, x264
from vivace.bench.watermark.methods import Method, methods
from vivace.errors import UsageError
from vivace.media import open_source
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.trust.watermark.code import PAYLOAD_BITS
from vivace.trust.watermark.embed import WatermarkEmbedder

TIMED_SIZES: tuple[Size, ...] = ((512, 512), (1280, 720))
TIMED_FRAMES = 100


@dataclass(frozen=True, slots=True)
class WatermarkOptions:
    """Options of a watermark run."""

    scenes: tuple[str, ...]
    clips: Path | None = None
    """Folder of videos."""
    size: Size = (512, 512)
    seconds: int = 2
    """Seconds of each clip: each is marked with a payload of its own, attacked and read separately. 0 marks nothing."""
    curves: bool = True
    unmarked: int = 100
    """Unmarked pictures that are searched, each once: from the videos, then from all scenes."""
    resume: bool = False
    """True to go on after the rows of `unmarked.csv`."""
    seed: int = 0


def watermark_command(options: WatermarkOptions, out: Path, also: Path | None = None) -> None:
    """Measure, print tables and write the document, the report, and a copy of the document to `also`.

    Raises:
        VivaceError: a measurement failed.
    """
    fields = asdict(replace(options, clips=None if options.clips is None else Path(options.clips.name)))
    del fields["seed"], fields["resume"]
    parts = Parts(options.seed, {"watermark": json.loads(json.dumps(fields, default=str))})
    parts.metrics = _infos()
    out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as report:
        curves = measure(parts, options, out / "unmarked.csv", report)
    document = parts.document()
    publish(document, Material(curves=curves), out, "watermark", Console())
    if also is not None:
        write_document(also, document)


def measure(parts: Parts, options: WatermarkOptions, table: Path, report: Report) -> list[Curve]:
    """Fill in a document, and the table of searches without a watermark; return the curves."""
    compared, missing = methods()
    parts.not_run += missing
    random = np.random.default_rng(options.seed)
    ours, *others = (_Tries(method) for method in compared)
    costs = [_cost(size, random) for size in TIMED_SIZES]
    videos = named_clips(options.clips) if options.clips is not None else {}
    total = (len(options.scenes) + len(videos)) * options.seconds
    for done, (name, pictures) in enumerate(_seconds(options, videos) if options.seconds else ()):
        report(done, total, name)
        payload = int(random.integers(1 << PAYLOAD_BITS))
        for one in (ours, *others):
            one.second(name, pictures, payload, curves=options.curves)
    rows = unmarked.search_unmarked(
        options.unmarked, videos, options.size, options.seed, table, report, resume=options.resume
    )
    parts.add(ours.method.name, "subject", ours.method.about, [*costs, *ours.measured(), *unmarked.measured(rows)])
    for one in others:
        parts.add(one.method.name, "baseline", one.method.about, one.measured())
    return _curves([ours, *others]) if options.curves and total else []


class _Tries:
    """Results of reading one method's marks, by clip."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self._found: dict[tuple[str, str], list[float]] = {}
        self.over: dict[str, dict[float, list[float]]] = {"crf": {}, "scale": {}}

    def second(self, clip: str, pictures: Pictures, payload: int, *, curves: bool) -> None:
        marked = self.method.mark(pictures, payload)
        for key, value in _visible(pictures, marked).items():
            self._found.setdefault((key, clip), []).append(value)
        for attack in ATTACKS:
            self._found.setdefault((_key(attack), clip), []).append(self._read(marked, attack.change, payload))
        if curves:
            for crf in CRFS:
                self.over["crf"].setdefault(crf, []).append(self._read(marked, partial(x264, crf=crf), payload))
            for scale in SCALES:
                self.over["scale"].setdefault(scale, []).append(
                    self._read(marked, partial(scaled, scale=scale), payload)
                )

    def measured(self) -> list[Measurement]:
        return [
            Measurement(metric=key, case=clip, value=float(np.mean(values)), blocks=[*values])
            for (key, clip), values in self._found.items()
        ]

    def _read(self, marked: Pictures, change: Callable[[Pictures], list[Rgb]], payload: int) -> float:
        return 100.0 * self.method.carries(change(marked), payload)


def _seconds(options: WatermarkOptions, videos: Mapping[str, Path]) -> Iterator[tuple[str, list[Rgb]]]:
    """Yield the seconds of all clips, with the name of the clip."""
    for scene in options.scenes:
        clip = SceneClip(scene, options.size, FPS, FPS * options.seconds, options.seed)
        yield from ((scene, second) for second in _cut(clip.pictures()))
    for name, path in videos.items():
        with open_source(path, size=options.size) as source:
            seconds = list(_cut(read(source, FPS * options.seconds)))
        if not seconds:
            raise UsageError(f"{path} has fewer than {FPS} frames; the payload is read from a second")
        yield from ((name, second) for second in seconds)


def _cut(pictures: Iterable[Rgb]) -> Iterator[list[Rgb]]:
    """Yield whole seconds; the remainder is left out."""
    left = iter(pictures)
    while len(second := list(islice(left, FPS))) == FPS:
        yield second


def _visible(before: Pictures, after: Pictures) -> dict[str, float]:
    shown = range(0, len(before), FPS // 4)
    changes = [after[index].astype(np.float32) - before[index] for index in range(4)]
    return {
        "mark_psnr": float(np.mean([psnr_db(before[index], after[index]) for index in shown])),
        "mark_ssim": float(np.mean([_ssim(before[index], after[index]) for index in shown])),
        "mark_flicker": float(np.sqrt(np.square(np.diff(changes, axis=0)).mean())),
    }


def _ssim(before: Rgb, after: Rgb) -> float:
    """Return the mean over the three channels: a mark that changes colours counts as one that changes luma does."""
    pairs = [(np.repeat(before[..., [one]], 3, axis=2), np.repeat(after[..., [one]], 3, axis=2)) for one in range(3)]
    found = [ssim_map(*pair) for pair in pairs]
    return float(np.mean([float("nan") if one is None else one.mean() for one in found]))


def _cost(size: Size, random: np.random.Generator) -> Measurement:
    """Return the finisher's time on frames that have a source, as those of a stream."""
    width, height = size
    # as smooth as painted pictures, and different everywhere
    painted, source = (
        scaled([random.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)], 8)[0] for _ in range(2)
    )
    embedder = WatermarkEmbedder(1)
    times_ms = []
    for _ in range(TIMED_FRAMES + 1):
        began_s = time.perf_counter()
        embedder.mark(painted, source)
        times_ms.append(1e3 * (time.perf_counter() - began_s))
    return Measurement(metric="mark_ms_p50", case=f"{width}x{height}", value=median(times_ms[1:]))


def _curves(tries: Sequence[_Tries]) -> list[Curve]:
    told = {"crf": "Payload read after x264", "scale": "Payload read after scaling"}
    drawn = []
    for key, title in told.items():
        x = sorted(tries[0].over[key])
        lines = {one.method.name: [float(np.mean(one.over[key][value])) for value in x] for one in tries}
        drawn.append(Curve("quality", title, "%", key, x, lines, "Share of seconds.", least_span=100))
    return drawn


def _key(attack: Attack) -> str:
    return f"read_{attack.key}"


def _infos() -> dict[str, MetricInfo]:
    quality, speed = MetricTable("quality"), MetricTable("speed")
    for attack in ATTACKS:
        meaning = f"share of {'pictures' if attack.single else 'seconds'} whose payload is read after {attack.title}"
        quality.add(_key(attack), f"read after {attack.title}", "%", meaning, "higher")
    quality.add("mark_psnr", "PSNR of the mark", "dB", "of marked pictures against unmarked ones", "higher")
    quality.add("mark_ssim", "SSIM of the mark", "", "of marked pictures, mean of the channels", "higher")
    quality.add("mark_flicker", "change of the mark", "levels", "from frame to frame, root mean square", "lower")
    quality.add("unmarked_pictures", "unmarked pictures", "", "that were searched, each once", "higher")
    quality.add("false_alarms", "false alarms", "", "unmarked pictures that are called marked")
    quality.add("nearest_false_alarm", "nearest false alarm", "log10", "least bound of an unmarked second", "higher")
    speed.add("mark_ms_p50", "cost of marking p50", "ms", "of a frame, in the thread of the step")
    return quality | speed
