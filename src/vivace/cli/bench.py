"""The commands of `vivace bench`. What they do is in `vivace.bench.suite`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vivace.cli.bench_options import (
    OUTPUT,
    PROTOCOL,
    SYSTEM,
    AgainstFlags,
    LatencyFlags,
    OutputFlags,
    QualityFlags,
    ScaleFlags,
    SpeedFlags,
    SystemFlags,
    WatermarkFlags,
    latency_options,
    quality_options,
    speed_options,
    subject_of,
    watermark_options,
)
from vivace.cli.extras import need_serve_extra
from vivace.cli.loading import LoadFlags
from vivace.cli.options import whole
from vivace.settings import Settings

BENCH_HELP = """\
Measure live video editing: how fast, how late, how good.

Every run writes one JSON document and an HTML report that opens without a network, and measures baselines beside the
system: a metric that doing nothing wins is shown to be one. `docs/benchmark.md` is the protocol.
"""

QUALITY_EXAMPLES = """\
Examples:

- `vivace bench quality --quick`
- `vivace bench quality --clips clips/ --scenes walkers rain`
- `vivace bench quality --outputs theirs/ --name theirs`
- `vivace bench quality --command "python examples/foreign_system.py"`
"""

SPEED_EXAMPLES = """\
Examples:

- `vivace bench speed --size 256x256 --size 512x512`
- `vivace bench speed --size 256x256 --long 20000`
- `vivace bench speed --model live2diff --random-weights --size 512x512 --steps 2`

Machines are noisy: close other programs, run it twice, compare with `vivace bench compare`.
"""


def bench_app(settings: Settings) -> App:
    """Return `vivace bench` with its commands."""
    bench = App(name="bench", help=BENCH_HELP, help_epilogue="", sort_key=4)

    @bench.command(help_epilogue=QUALITY_EXAMPLES, sort_key=1)
    def quality(
        *,
        system: SystemFlags | None = None,
        loading: LoadFlags | None = None,
        outputs: Annotated[Path | None, Parameter(group=SYSTEM)] = None,
        how: QualityFlags | None = None,
        to: OutputFlags | None = None,
    ) -> None:
        """Measure what the picture is worth: steadiness, structure, style, edits, what was left untouched, drift.

        Parameters
        ----------
        outputs
            A system made elsewhere: a folder of what it put out for the cases that `vivace bench export` writes.
        """
        from vivace.bench.suite import bench_command

        to = to or OutputFlags()
        subject = subject_of(system, loading, settings, outputs)
        bench_command("quality", subject, to.out, to.seed, also=to.json, quality=quality_options(how, to.seed))

    @bench.command(help_epilogue=SPEED_EXAMPLES, sort_key=2)
    def speed(
        *,
        system: SystemFlags | None = None,
        loading: LoadFlags | None = None,
        how: SpeedFlags | None = None,
        beside: AgainstFlags | None = None,
        to: OutputFlags | None = None,
    ) -> None:
        """Time the whole stream, decode to encode, cold, warm and steady; sessions, memory, energy, growth."""
        from vivace.bench.suite import bench_command

        to = to or OutputFlags()
        subject = subject_of(system, loading, settings, beside=beside)
        options = speed_options(how, subject, to.seed, beside)
        bench_command("speed", subject, to.out, to.seed, also=to.json, speed=options)

    @bench.command(sort_key=3)
    def latency(
        *,
        system: SystemFlags | None = None,
        loading: LoadFlags | None = None,
        how: LatencyFlags | None = None,
        beside: AgainstFlags | None = None,
        to: OutputFlags | None = None,
    ) -> None:
        """Measure a live session as its user sees it: camera to screen, jitter, stalls, drops, prompt to pixel."""
        from vivace.bench.suite import bench_command

        to = to or OutputFlags()
        subject = subject_of(system, loading, settings, beside=beside)
        options = latency_options(how, subject, to.seed, beside)
        bench_command("latency", subject, to.out, to.seed, also=to.json, latency=options)

    @bench.command(name="all", sort_key=4)
    def all_(
        *,
        system: SystemFlags | None = None,
        loading: LoadFlags | None = None,
        how: QualityFlags | None = None,
        to: OutputFlags | None = None,
    ) -> None:
        """Measure speed, latency and quality, into one document."""
        from vivace.bench.suite import bench_command

        to = to or OutputFlags()
        subject = subject_of(system, loading, settings)
        how = how or QualityFlags()
        size, quick = how.size, how.quick
        speed = SpeedFlags(size=[size], frames=60, long=0, sessions=[]) if quick else SpeedFlags(size=[size])
        latency = LatencyFlags(live=[f"{size}@24"], seconds=5.0) if quick else LatencyFlags()
        bench_command(
            "all",
            subject,
            to.out,
            to.seed,
            also=to.json,
            speed=speed_options(speed, subject, to.seed),
            latency=latency_options(latency, subject, to.seed),
            quality=quality_options(how, to.seed),
        )

    @bench.command(sort_key=5)
    def compare(
        a: Path,
        b: Path,
        /,
        *,
        row: str | None = None,
        json: Path | None = None,
        fail_on_worse: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    ) -> int:
        """Say what got better, worse, or is within noise from document A to document B.

        Parameters
        ----------
        a
            The document to compare with.
        b
            The document in question.
        row
            A system that both have, or `X=Y` for system X of A with system Y of B.
        json
            Also write the comparison there.
        fail_on_worse
            Exit with 1 where a metric of the system got worse.
        """
        from vivace.bench.report.compare import compare_command

        return compare_command(a, b, row=row, json_path=json, fail_on_worse=fail_on_worse)

    @bench.command(sort_key=6)
    def export(
        folder: Path,
        /,
        *,
        how: QualityFlags | None = None,
        seed: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 0,
    ) -> None:
        """Write the clips, masks and cases, for a system that cannot be started as a command.

        Parameters
        ----------
        folder
            Where to.
        seed
            Seed of the scenes.
        """
        from vivace.bench.quality.export import export_command

        export_command(folder, quality_options(how, seed))

    @bench.command(sort_key=7)
    def selfcheck(
        *,
        system: SystemFlags | None = None,
        loading: LoadFlags | None = None,
        how: QualityFlags | None = None,
        to: OutputFlags | None = None,
    ) -> int:
        """Plant faults and say which metric saw them; exits with 1 where one was missed."""
        from vivace.bench.selfcheck import selfcheck_command

        to = to or OutputFlags()
        return selfcheck_command(subject_of(system, loading, settings), to.out, quality_options(how, to.seed))

    @bench.command(sort_key=8)
    def watermark(*, how: WatermarkFlags | None = None, to: OutputFlags | None = None) -> None:
        """Measure the watermark: what it survives, whether it is seen, what it costs, false alarms."""
        to = to or OutputFlags()
        options = watermark_options(how, to.seed)
        from vivace.bench.watermark.benchmark import watermark_command

        watermark_command(options, to.out, to.json)

    @bench.command(sort_key=12)
    def keyframes(
        *,
        size: Annotated[str, Parameter(group=PROTOCOL)] = "256x256",
        scenes: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=(), consume_multiple=True)] = None,
        edits: Annotated[list[str] | None, Parameter(group=PROTOCOL, negative=(), consume_multiple=True)] = None,
        seed: Annotated[int, Parameter(group=PROTOCOL, converter=whole)] = 0,
        out: Annotated[Path, Parameter(group=OUTPUT)] = Path("vivace-bench/keyframes"),
    ) -> None:
        """Measure how an edited key frame is followed through scenes whose edit is known exactly.

        Parameters
        ----------
        size
            Size WxH of the pictures.
        scenes
            Only these scenes.
        edits
            Only these edits of the scenes: recolour, night, snow, background.
        seed
            Seed of the scenes.
        out
            Folder for the figures and the pictures.
        """
        from vivace.media.size import parse_size
        from vivace.models.keyframes.load import need_opencv

        need_opencv()
        from vivace.bench.keyframes.benchmark import keyframes_command

        keyframes_command(parse_size(size), scenes, edits, out, seed)

    @bench.command(sort_key=11)
    def scale(*, how: ScaleFlags | None = None, json: Path | None = None) -> None:
        """Simulate a cluster with the real directory, placement and admission: acceptance, waits, moved sessions.

        Parameters
        ----------
        json
            Also write the figures there.
        """
        need_serve_extra("the simulation of a cluster")
        from vivace.bench.scale.benchmark import scale_command

        scale_command((how or ScaleFlags()).plan(), json)

    @bench.command(sort_key=9)
    def prefer(
        a: Path,
        b: Path,
        /,
        *,
        source: Path,
        out: Annotated[Path, Parameter(group=OUTPUT)] = Path("vivace-bench/votes"),
        port: Annotated[int, Parameter(converter=whole)] = 8020,
    ) -> None:
        """Have people judge two systems' outputs in blind pairs, on a page of this machine; print the shares.

        Parameters
        ----------
        a
            A system's outputs: videos, or folders of numbered pictures.
        b
            The other system's, of the same clips under the same names.
        source
            What both were made of, under the same names, or what `vivace bench export` wrote.
        out
            Folder for the votes, a file a voter; whoever comes again goes on.
        port
            Of the page.
        """
        need_serve_extra("the page of pairs")
        from vivace.bench.prefer.command import prefer_command

        prefer_command(a, b, source, out, port)

    @bench.command(sort_key=10)
    def votes(folder: Path, /, *, json: Path | None = None) -> None:
        """Print what people preferred: shares with their intervals, over all voters and by each.

        Parameters
        ----------
        folder
            The votes of `vivace bench prefer`; those of several machines may be put together.
        json
            Also write the shares there.
        """
        from vivace.bench.prefer.votes import votes_command

        votes_command(folder, json)

    return bench
