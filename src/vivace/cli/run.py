"""`vivace run`: one stream from a source to a sink."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vivace.cli.display import LiveLine, shorten, stills_summary, summary
from vivace.cli.interrupt import EXIT_INTERRUPTED, Interrupt
from vivace.cli.keys import PromptLine
from vivace.cli.options import parse_size
from vivace.cli.show import Performance, Played, check_show
from vivace.cli.steer import saved_look, steer
from vivace.errors import SinkError, SinkWriteError, UsageError, VivaceError
from vivace.settings import Settings

if TYPE_CHECKING:
    from vivace.cli.outputs import SinkOutlet
    from vivace.cli.resume import Resumable
    from vivace.cli.run_options import RunOptions
    from vivace.media.frame import Frame
    from vivace.media.sink import Sink
    from vivace.media.size import Size
    from vivace.media.source import Source
    from vivace.stream import Stream
    from vivace.trust.marks import PictureMarks
    from vivace.trust.signing import Credentials


_NOT_OF_THE_LOOK = ("output", "stats", "resume", "live", "threads", "moderation")
"""Flags that may differ when a run goes on."""


def run_command(spec: str, options: RunOptions, settings: Settings, played: Played | None = None) -> int:
    """Repaint one stream, as a show was played where one is given, and return the exit code.

    Raises:
        VivaceError: whatever went wrong; the output up to there has been closed and reported.
    """
    from vivace.cli.outputs import SinkOutlet, Wishes, beside, open_targets
    from vivace.media.encoders import choose
    from vivace.media.open import open_source
    from vivace.models import describe, load_model
    from vivace.models.check import weights_of
    from vivace.stream import Stream
    from vivace.stream.options import parse_options

    size = None if options.size is None else parse_size(options.size)
    _check_options(options)
    model_name = options.model or settings.model
    profile = describe(model_name)  # what is mistyped is said before a camera is opened
    if options.loading.style is not None and profile.styles:
        profile.style(options.loading.style)
    steps_built_in = bool(profile.styles)
    loading, typed = options.loading.load_options(model_name, steps=options.steps if steps_built_in else None)
    if options.style_image is not None:
        typed["style_image"] = options.style_image
    key = options.marking.signing_key(settings)
    moderation = options.moderation.moderation(settings)
    credentials: Credentials | None = None
    prompt = options.prompt if options.look is None else saved_look(options.look)
    say = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    began_s = time.monotonic()
    interrupted = False
    sizes: dict[int, tuple[Size, Size]] = {}
    """Of photographs by index, before and after."""
    stream: Stream | None = None
    performance: Performance | None = None
    player: _Player | None = None
    failure: VivaceError | None = None
    with open_source(spec, size=size, fps=options.fps) as source:
        told = f"{source.info.name} {model_name} {prompt or options.look} {options.seed}"
        marks = options.marking.picture_marks(settings, None if source.info.live else told)
        encoder = choose(options.encoder)
        if encoder.note:
            say.print(f"note: {encoder.note}")
        wishes = Wishes(marks.statement, encoder.encoder, sound=not options.mute)
        sink, *more = open_targets(options.output, spec, source, wishes)
        live = source.info.live or any(each.live for each in (sink, *more)) if options.live is None else options.live
        outlets = [SinkOutlet(each, live=live) for each in more]
        try:
            with sink, beside(outlets):
                if sink.stills:
                    _check_still_options(options)
                resumable = _resumable(options, model_name, marks, source, sink, alone=not more, live=live)
                model = load_model(
                    model_name,
                    runtime=options.loading.runtime,
                    threads=options.threads or settings.threads,
                    options=loading,
                )
                if key is not None:
                    from vivace.trust.manifest import Work, created_by
                    from vivace.trust.signing import Credentials

                    work = Work(source.info.name, created_by(spec), profile.name, weights_of(profile, loading))
                    work.marks = marks.told
                    work.tell_prompts = options.marking.sign_prompt
                    credentials = Credentials(key, work)
                controls: dict[str, Any] = {
                    "prompt": prompt,
                    "strength": options.strength,
                    "seed": options.seed,
                    "mask": options.mask,
                    "denoising_steps": None if steps_built_in else options.steps,
                    "options": parse_options(typed, model.spec),
                }
                if played is not None:
                    controls = played.controls
                flags = {**asdict(options.loading), "steps": options.steps, "threads": options.threads}
                flags["fps"] = options.fps
                begun = {
                    "model": model_name,
                    "flags": {name: value for name, value in flags.items() if value is not None},
                    "live": live,
                    "payload": None if marks.payload is None else f"{marks.payload:012x}",
                }
                performance = Performance(
                    options.show,
                    model,
                    source,
                    controls={**controls, "size": size},
                    begun=begun,
                    played=played,
                    moderator=moderation,
                )
                stream = Stream(
                    model,
                    **controls,
                    size=size,
                    fps=options.fps,
                    moderator=moderation,
                    finish=(
                        *moderation.finishers(live=live),
                        *marks.finishers,
                        *(() if resumable is None else (resumable.see,)),
                    ),
                    witness=performance.log,
                )
                if options.marking.label == "off":
                    say.print("note: what is repainted has no label (--label off); say it where you show it")
                steered = bool(performance.automations)
                about = _stills_notes(source) if sink.stills else _live_notes(stream, source) if live else ()
                for note in chain(_opening_notes(stream, steered=steered), about):
                    say.print(note)
                if resumable is not None:
                    resumable.stream = stream
                    if resumable.note:
                        say.print(resumable.note)
                with performance, stream, PromptLine() as keys, Interrupt(before_exit=keys.restore) as interrupt:
                    with LiveLine(keys, say) as line:
                        player = _Player(
                            *(stream, sink, outlets, line, keys, interrupt, performance, credentials),
                            steerable=resumable is None and played is None,
                        )
                        performance.begin(stream, line.notice)
                        most = options.max_frames
                        if played is not None:
                            most = played.most(most)
                        if sink.stills:
                            frames = _stills(stream, source, sizes)
                        elif resumable is None:
                            frames = stream.run(
                                source,
                                live=live,
                                steered_by=performance.automations,
                                course=performance.course,
                            )
                        else:
                            frames = resumable.noted(stream.run(source, live=live, after=resumable.point))
                            most = most and most - resumable.frames
                        player.play(frames, compare=options.compare, max_frames=most)
                    interrupted = interrupt.requested
            if resumable is not None and interrupted:
                say.print("note: the same command goes on from here")
            elif resumable is not None:
                resumable.done()
        except VivaceError as error:  # raised again below, once the user knows what was kept
            failure = error
    if stream is not None:
        for warning in source.warnings:
            say.print(f"note: {warning}")
        if sizes and options.size is None and (note := _shrunk(sizes, source, stream)):
            say.print(f"note: {note}")
        if failure is None or sink.frames_written or any(outlet.frames_written for outlet in outlets):
            summarise = stills_summary if sink.stills else summary
            elapsed_s = time.monotonic() - began_s
            print(summarise(stream.stats(), sink.frames_written, sink.name, elapsed_s))
            if performance is not None and (said := performance.summary):
                print(said)
            for outlet in outlets:
                print(f"{outlet.frames_written} to {outlet.sink.name}, {outlet.frames_dropped} lost")
        if options.stats is not None:
            write_stats(options.stats, stream.stats().to_dict())
    unsigned: VivaceError | None = None
    if credentials is not None and not (interrupted and options.resume):
        try:
            credentials.sign([sink, *more], source, say.print)
        except SinkError as error:
            unsigned = error
    for failed in (
        None if player is None else player.failure,
        failure,
        None if performance is None else performance.failure,
        *(outlet.error for outlet in outlets),
        unsigned,
    ):
        if failed is not None:
            raise failed
    return EXIT_INTERRUPTED if interrupted else 0


@dataclass(slots=True)
class _Player:
    """Moves frames from a stream to a sink, and what the user types the other way."""

    stream: Stream
    sink: Sink
    outlets: Sequence[SinkOutlet]
    """Beside the sink."""
    line: LiveLine
    keys: PromptLine
    interrupt: Interrupt
    performance: Performance
    credentials: Credentials | None = None
    failure: SinkError | None = None
    """What the first output ended with, while there are others."""
    steerable: bool = True
    """Whether what is typed counts."""

    def play(self, frames: Generator[Frame, None, None], *, compare: bool, max_frames: int | None) -> None:
        """Go on until the frames, the outputs or the user has had enough.

        Raises:
            SinkError: the only output fails; of several, the others go on.
        """
        played = 0
        with closing(frames):
            while played != max_frames and not (self.interrupt.requested or self.sink.finished):
                frame = self._next(frames)
                if frame is None or not self._put(_compared(frame) if compare else frame):
                    return
                played += 1
                for line in self.keys.poll():
                    self._steer(line)
                self.performance.poll(frame, self.line.notice)
                self.line.update(self.stream.stats)

    def _put(self, frame: Frame) -> bool:
        """Give a frame to the outputs; what fails is told once, and the others go on. False where all have ended."""
        if self.credentials is not None:
            prompt = self.stream.controls.prompt
            self.credentials.work.see(frame.painted, None if prompt is None else prompt.text)
        taken = self.failure is None
        try:
            if taken:
                self.sink.write(frame)
        except SinkError as error:
            if not self.outlets:
                raise
            self.failure, taken = error, False
            self._tell(error)
        for outlet in self.outlets:
            put = outlet.put(frame)
            taken = taken or put
            if not put and outlet.error is not None and not outlet.told:
                outlet.told = True
                self._tell(outlet.error)
        return taken

    def _tell(self, error: BaseException) -> None:
        self.line.notice(f"{error}; the other outputs go on")

    def _next(self, frames: Iterator[Frame]) -> Frame | None:
        """Wait for a frame; None when there are no more or the user does not want more."""
        try:
            with self.interrupt.waiting():
                return next(frames, None)
        except KeyboardInterrupt:
            return None

    def _steer(self, line: str) -> None:
        if not self.steerable:
            self.line.notice(
                "what is typed does not count in a replay, or with --resume: it must be the same each time"
            )
            return
        try:
            ack = steer(self.stream, line)
        except UsageError as error:  # what was typed cannot be used; the stream goes on as it was
            self.line.notice(str(error))
        else:
            self.line.notice(ack.message or (line[1:] if line.startswith("/") else shorten(line)))


def _resumable(
    options: RunOptions, model: str, marks: PictureMarks, source: Source, sink: Sink, *, alone: bool, live: bool
) -> Resumable | None:
    """Return what notes how far the run is, where that is asked for.

    Raises:
        UsageError: there is nothing that could go on later.
    """
    if not options.resume:
        return None
    from vivace.cli.resume import Resumable
    from vivace.media.encode import VideoSink

    file = source.info.path
    if file is None or live or not alone or not isinstance(sink, VideoSink) or sink.path is None:
        raise UsageError("--resume is for a video file, every frame of it, into one video file; leave it out.")
    given = asdict(options)
    given |= given.pop("loading")
    given["marking"] = marks.told  # who signs has no part in the pictures
    given |= {name: _as_it_is(given[name]) for name in ("look", "style_image", "mask") if given[name] is not None}
    begun = {f"--{name.replace('_', '-')}": value for name, value in given.items() if name not in _NOT_OF_THE_LOOK}
    return Resumable(sink, begun | {"--model": model, "source": _as_it_is(file)})


def _as_it_is(spec: str | Path) -> str:
    """Return what a flag says, and of a file also what tells it from another one of that name."""
    try:
        stat = Path(spec).stat()
    except (OSError, ValueError):
        return str(spec)  # an address, or a rectangle
    return f"{Path(spec).resolve()} of {stat.st_size} bytes and time {stat.st_mtime_ns}"


def _stills(stream: Stream, source: Source, sizes: dict[int, tuple[Size, Size]]) -> Generator[Frame, None, None]:
    """Yield the pictures of a source, each painted by itself, and note their sizes."""
    source.deliver_at(None)
    for picture in source:
        frame = stream.still(picture.rgb, alpha=picture.alpha)
        sizes[picture.index] = picture.size, frame.size
        yield replace(frame, index=picture.index)


def _compared(frame: Frame) -> Frame:
    """Return the frame with its source picture left of it."""
    from vivace.media.draw import side_by_side  # brings Pillow, which is only needed here

    assert frame.source_rgb is not None
    return replace(frame, rgb=side_by_side([frame.source_rgb, frame.rgb]), alpha=None)


def _opening_notes(stream: Stream, *, steered: bool) -> Iterator[str]:
    """Yield what to know before the first frame: fallbacks taken, and what the prompt was taken to mean."""
    from vivace.stream.controls import look_of

    for note in stream.model.runtime.notes:
        yield f"note: {note}"
    prompt = stream.controls.prompt
    if look_of(stream.model, stream.controls) is None and not steered:
        yield "note: no prompt, so the source passes untouched; give one with -p"
    elif prompt is not None and prompt.message:
        yield f"prompt: {prompt.message}"


def _live_notes(stream: Stream, source: Source) -> Iterator[str]:
    """Yield what to know of a live run before the first frame: how late it is even if nothing takes time."""
    spec, fps = stream.model.spec, source.info.fps
    floor_s = spec.latency_floor_s(fps) if fps else None
    if floor_s is not None:
        yield (
            f"note: {spec.name} takes {spec.chunk_frames} frames at a time, so that at {fps:g} frames a second a "
            f"picture is at least {1e3 * floor_s:.0f} ms old when it is shown"
        )


def _stills_notes(source: Source) -> Iterator[str]:
    """Yield what to know of photographs before the first."""
    from vivace.media.paths import numbered_name

    pattern = numbered_name(source.files)
    if pattern is not None:
        yield (
            f"note: {len(source.files)} pictures, each painted by itself; if they are the frames of one video, "
            f"give {pattern} as the source"
        )


def _shrunk(sizes: dict[int, tuple[Size, Size]], source: Source, stream: Stream) -> str:
    """Return which photographs came out smaller than they were, by more than the model's multiple; empty for none."""
    spec = stream.model.spec
    smaller = [
        index
        for index, sides in sizes.items()
        if all(before - after > spec.size_multiple for before, after in zip(*sides, strict=True))
    ]
    if not smaller:
        return ""
    (width, height), (painted_width, painted_height) = sizes[smaller[0]]
    others = f", and {len(smaller) - 1} others smaller than they are" if len(smaller) > 1 else ""
    return (
        f"{spec.name} paints {source.files[smaller[0]].name} ({width}x{height} px) at {painted_width}x{painted_height}"
        f"{others}"
    )


def write_stats(path: Path, document: dict[str, object]) -> None:
    """Write the statistics as one JSON document.

    Raises:
        SinkWriteError: disk full, folder gone.
    """
    try:
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise SinkWriteError(f"{path}: the statistics cannot be written ({error.strerror})") from error


def _check_options(options: RunOptions) -> None:
    """Refuse what can be refused before anything is opened."""
    if options.prompt is not None and options.look is not None:
        raise UsageError(
            "--look is in place of a prompt: give one of the two; `vivace looks mix` mixes words into a look"
        )
    if options.max_frames is not None and options.max_frames < 1:
        raise UsageError(f"--max-frames is {options.max_frames}; give a whole number from 1, or leave it out.")
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"--threads is {options.threads}; give a whole number from 1, or leave it out.")
    if options.stats is not None:
        _check_stats_path(options.stats)
    check_show(options.show, resumable=options.resume)


def _check_still_options(options: RunOptions) -> None:
    """Refuse what only a stream has.

    Raises:
        UsageError: such an option is set.
    """
    shows = [(flag, True) for flag in options.show.given]
    for flag, is_set in (("--live", options.live), ("--fps", options.fps is not None), *shows):
        if is_set:
            raise UsageError(
                f"{flag} is for streams, and these are pictures that are each by themselves; leave it out."
            )


def _check_stats_path(stats: Path) -> None:
    from vivace.media.paths import naming

    with naming(stats, SinkWriteError) as path:
        if path.is_dir():
            raise SinkWriteError(f"{path}: is a folder; name a file for the statistics")
        if not path.parent.is_dir():
            raise SinkWriteError(f"{path}: there is no folder {path.parent}; create it first")
