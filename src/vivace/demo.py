"""`make demo`: a short live run over moving scenes, with prompts that change while it runs.

Writes `demo.mp4` (source and result side by side, the prompt as caption) and `demo.png` (a contact sheet).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

from PIL import Image
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from vivace.errors import VivaceError
from vivace.media.draw import caption, contact_sheet, side_by_side
from vivace.media.frame import Frame, Rgb
from vivace.media.open import open_sink, open_source
from vivace.media.source import Source, SourceInfo
from vivace.models import describe, load_model
from vivace.models.check import weights_of
from vivace.models.loading import LoadOptions
from vivace.settings import Settings
from vivace.stream import Stats, Stream
from vivace.trust.keys import open_key
from vivace.trust.manifest import SourceType, Work
from vivace.trust.marks import PictureMarks, new_payload
from vivace.trust.signing import Credentials, sign_file

SIZE = (512, 288)
FPS = 24
SHEET_COLUMNS = 2
SHEET_CELL_PX = 640

PROMPTS = (
    "watercolour painting",
    "black ink brush drawing",
    "glowing neon lines, cyberpunk",
    "8-bit pixel art",
    "Van Gogh's starry night",
    "comic book with halftone dots",
    "anime cel shading",
    "oil painting with thick brush strokes",
)
SCENES = ("gallery", "city", "gallery", "boat")
PROMPT_S = 2.5
"""Duration of each prompt, s: long enough to see a style, short enough to hold interest."""


@dataclass(frozen=True, slots=True)
class Programme:
    """Content of the demo: scenes, prompts, durations."""

    prompts: Sequence[str] = PROMPTS
    scenes: Sequence[str] = SCENES
    prompt_s: float = PROMPT_S
    size: tuple[int, int] = SIZE
    fps: int = FPS

    @property
    def frames(self) -> int:
        """Total number of frames."""
        return round(len(self.prompts) * self.prompt_s * self.fps)


class SceneReel(Source):
    """Source that plays scenes in turn for equal times, with hard cuts; a scene named again continues."""

    def __init__(self, programme: Programme) -> None:
        """Build all scenes now, so that none is built while the stream is live."""
        size, fps = programme.size, float(programme.fps)
        super().__init__(SourceInfo(name="scenes", size=size, fps=fps, frames=programme.frames))
        self._programme = programme
        self._scenes = {name: open_source(f"scene:{name}", size=size, fps=fps) for name in programme.scenes}

    def _read(self) -> Generator[Frame, None, None]:
        programme = self._programme
        each = math.ceil(programme.frames / len(programme.scenes))
        reel = (frame for name in programme.scenes for frame in islice(self._scenes[name], each))
        for index, frame in enumerate(islice(reel, programme.frames)):
            yield replace(frame, index=index, pts=index, time_base=Fraction(1, programme.fps))

    def _release(self) -> None:
        for scene in self._scenes.values():
            scene.close()


@dataclass(slots=True)
class _Show:
    """State of the demo run: prompts by update, and a picture of each."""

    programme: Programme
    stream: Stream
    prompt_of: dict[int, str] = field(default_factory=dict)
    pictures: dict[str, Rgb] = field(default_factory=dict)

    def steer(self, frame: Frame) -> None:
        """Change the prompt if this frame's time calls for it."""
        due = min(int(frame.pts_s / self.programme.prompt_s), len(self.programme.prompts) - 1)
        prompt = self.programme.prompts[due]
        if prompt not in self.prompt_of.values():
            ack = self.stream.update(prompt=prompt)
            self.prompt_of[ack.update_index] = prompt

    def compose(self, frame: Frame) -> Frame:
        """Return source and result side by side over the prompt; keeps one such picture per prompt."""
        assert frame.source_rgb is not None
        prompt = self.prompt_of[frame.control_index]
        rgb = caption(side_by_side([frame.source_rgb, frame.rgb]), prompt, detail="source | live result")
        # The latest one in the first two thirds: by then the prompt has faded in, and the next has not begun.
        if frame.pts_s % self.programme.prompt_s < self.programme.prompt_s * 2 / 3 or prompt not in self.pictures:
            self.pictures[prompt] = rgb
        return replace(frame, rgb=rgb)


def run_demo(folder: Path, programme: Programme | None = None, console: Console | None = None) -> Stats:
    """Run the demo live, write `demo.mp4` and `demo.png` into `folder`, and return the statistics.

    Raises:
        VivaceError: the run failed; the video up to there is playable.
    """
    programme = programme or Programme()
    console = console or Console()
    settings = Settings.from_environment()
    with console.status("loading the model and building the scenes ..."):
        model = load_model(settings.model, threads=settings.threads)
        source = SceneReel(programme)
        marks = PictureMarks.of(settings.marks, new_payload())
        stream = Stream(model, prompt=programme.prompts[0], size=programme.size, finish=marks.finishers)
        credentials = _credentials(settings, source, marks)
    show = _Show(programme, stream, prompt_of={0: programme.prompts[0]})
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"))
    with (
        stream,
        open_sink(folder / "demo.mp4", fps=programme.fps, statement=marks.statement) as sink,
        Progress(*columns, console=console, transient=True) as progress,
    ):
        task = progress.add_task("", total=programme.frames, rate="")
        for frame in stream.run(source, live=True):
            sink.write(show.compose(frame))
            if credentials is not None:
                credentials.work.see(frame)
            show.steer(frame)
            _tell(progress, task, frame, show)
    sheet = _sheet(list(show.pictures.values()))
    Image.fromarray(sheet).save(folder / "demo.png")
    if credentials is not None:
        credentials.sign([sink], source, console.print)
        sign_file(folder / "demo.png", credentials.work, credentials.key)
    return stream.stats()


def _credentials(settings: Settings, source: Source, marks: PictureMarks) -> Credentials | None:
    """Return the credentials that sign the files, or None if they are not signed."""
    if "credentials" not in settings.marks:
        return None
    weights = weights_of(describe(settings.model), LoadOptions())
    work = Work(source.info.name, SourceType.SCENE, settings.model, weights, marks=marks.told)
    return Credentials(open_key(), work, "VIVACE_MARKS=none")


def _tell(progress: Progress, task: TaskID, frame: Frame, show: _Show) -> None:
    progress.update(task, completed=frame.index + 1, description=show.prompt_of[frame.control_index])
    if frame.index % show.programme.fps == 0:
        progress.update(task, rate=f"{show.stream.stats().recent_fps or 0:.0f} fps")


def _sheet(pictures: list[Rgb]) -> Rgb:
    rows = [pictures[first : first + SHEET_COLUMNS] for first in range(0, len(pictures), SHEET_COLUMNS)]
    return contact_sheet(rows, cell_px=SHEET_CELL_PX)


def report(stats: Stats, folder: Path, elapsed_s: float, console: Console) -> None:
    """Print the statistics, the output paths, and commands to try next."""
    latency, reaction = stats.latency_ms, stats.prompt_to_pixel_ms
    table = Table(box=SIMPLE_HEAD)
    for column in ("fps", "latency p50", "latency p95", "prompt to pixel", "frames", "dropped"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_row(
        f"{stats.fps or 0:.1f}",
        *(_ms(value) for value in (latency["p50"], latency["p95"], reaction["p50"])),
        str(stats.frames_out),
        str(stats.dropped),
    )
    console.print(table)
    runtime = stats.runtime
    console.print(
        f"{runtime.runtime} {runtime.precision} on {runtime.device}; {elapsed_s:.0f} s in all", highlight=False
    )
    for note in runtime.notes:
        console.print(f"note: {note}", highlight=False)
    if stats.dropped > stats.frames_out:
        console.print("note: most frames had to be skipped; is something else keeping this machine busy?")
    console.print(
        f"\nLook at [bold]{folder / 'demo.mp4'}[/] and [bold]{folder / 'demo.png'}[/], then try", highlight=False
    )
    command = Path(sys.executable).parent / "vivace"
    shown = command.relative_to(Path.cwd()) if command.is_relative_to(Path.cwd()) else "vivace"
    for rest in (
        'run camera -p "watercolour painting"',
        'run YOUR.mp4 -p "ink" --compare',
        "models show mini",
        "doctor",
    ):
        console.print(f"  {shown} {rest}", highlight=False, markup=False)


def main() -> int:
    """Run the demo in the working directory and return the exit code."""
    console = Console()
    began_s = time.monotonic()
    try:
        stats = run_demo(Path(), console=console)
    except VivaceError as error:
        print(f"vivace: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("vivace: interrupted; demo.mp4 holds what was painted so far", file=sys.stderr)
        return 130
    report(stats, Path(), time.monotonic() - began_s, console)
    return 0


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
