"""`vivace run`: one stream from a source to a sink."""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vivace.cli.display import LiveLine, not_found, shorten, stills_summary, summary
from vivace.cli.interrupt import EXIT_INTERRUPTED, Interrupt
from vivace.cli.keys import PromptLine
from vivace.cli.options import parse_size
from vivace.cli.show import Performance, Played, check_show
from vivace.cli.steer import saved_look, steer
from vivace.cli.stills import check_still_options, painted_stills, shrunk, stills_notes
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
    from vivace.models.base import StreamModel
    from vivace.stream import Stream
    from vivace.trust.signing import Credentials


_PICTURES = ("style_image", "keyframe", "keyframe_source")
"""Flags that are controls of a model and take a picture."""
_NOT_OF_THE_LOOK = ("output", "stats", "resume", "live", "threads", "moderation")
"""Flags that may differ when a run goes on."""


def run_command(spec: str, options: RunOptions, settings: Settings, played: Played | None = None) -> int:
    """Repaint one stream, as a show was played where one is given, and return the exit code.

    Raises:
        VivaceError: whatever went wrong; the output up to there has been closed and reported.
    """
    return _Run(spec, options, settings, played).go()


class _Run:
    """One run, from checking its flags to signing what it wrote."""

    def __init__(self, spec: str, options: RunOptions, settings: Settings, played: Played | None) -> None:
        """Check all that can be checked before a camera is opened.

        Raises:
            VivaceError: what is mistyped, missing, or contradicts something else.
        """
        from vivace.models import describe

        self._spec, self._options, self._settings, self._played = spec, options, settings, played
        self._size = None if options.size is None else parse_size(options.size)
        _check_options(options)
        self._model_name = options.model or settings.model
        self._profile = profile = describe(self._model_name)
        if options.loading.style is not None and profile.styles:
            profile.style(options.loading.style)
        self._steps_built_in = bool(profile.styles)
        self._loading, self._typed = options.loading.load_options(
            self._model_name, steps=options.steps if self._steps_built_in else None
        )
        self._typed |= {
            name: given for name in (*_PICTURES, "region_cache") if (given := getattr(options, name)) is not None
        }
        self._key = options.marking.signing_key(settings)
        self._moderation = options.moderation.moderation(settings)
        self._prompt = options.prompt if options.look is None else saved_look(options.look)
        self._say = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._interrupted = False
        self._sizes: dict[int, tuple[Size, Size]] = {}
        """Sizes of photographs by index, before and after."""
        self._resumable: Resumable | None = None
        self._credentials: Credentials | None = None
        self._performance: Performance | None = None
        self._stream: Stream | None = None
        self._player: _Player | None = None

    def go(self) -> int:
        """Run, tell what was written, and return the exit code.

        Raises:
            VivaceError: as `run_command`.
        """
        from vivace.cli.outputs import SinkOutlet, Wishes, beside, open_targets
        from vivace.media.encoders import choose
        from vivace.media.open import open_source

        options, began_s = self._options, time.monotonic()
        failure: VivaceError | None = None
        with open_source(self._spec, size=self._size, fps=options.fps) as source:
            source.warnings.tell(self._note)
            told = f"{source.info.name} {self._model_name} {self._prompt or options.look} {options.seed}"
            self._marks = options.marking.picture_marks(self._settings, None if source.info.live else told)
            encoder = choose(options.encoder)
            if encoder.note:
                self._note(encoder.note)
            wishes = Wishes(self._marks.statement, encoder.encoder, sound=not options.mute)
            self._sink, *more = sinks = open_targets(options.output, self._spec, source, wishes)
            live = source.info.live or any(sink.live for sink in sinks)
            self._live = live if options.live is None else options.live
            self._outlets = [SinkOutlet(sink, live=self._live) for sink in more]
            try:
                with self._sink, beside(self._outlets):
                    self._paint(source)
                if self._resumable is not None and self._interrupted:
                    self._note("the same command goes on from here")
                elif self._resumable is not None:
                    self._resumable.done()
            except VivaceError as error:  # raised below, once the user knows what was kept
                failure = error
        if self._stream is not None:
            self._report(self._stream, source, time.monotonic() - began_s, failed=failure is not None)
        unsigned: VivaceError | None = None
        if self._credentials is not None and not (self._interrupted and options.resume):
            try:
                self._credentials.sign(sinks, source, self._say.print)
            except SinkError as error:
                unsigned = error
        for failed in (
            None if self._player is None else self._player.failure,
            failure,
            None if self._performance is None else self._performance.failure,
            *(outlet.error for outlet in self._outlets),
            unsigned,
        ):
            if failed is not None:
                raise failed
        return EXIT_INTERRUPTED if self._interrupted else 0

    def _note(self, text: str) -> None:
        self._say.print(f"note: {text}")

    def _paint(self, source: Source) -> None:
        """Load the model, and play what it paints until the frames, the outputs or the user has had enough."""
        from vivace.models import load_model
        from vivace.stream import Stream

        options = self._options
        if self._sink.stills:
            check_still_options(options)
        self._resumable = resumable = self._taken_up(source)
        model = load_model(
            self._model_name,
            runtime=options.loading.runtime,
            threads=options.threads or self._settings.threads,
            options=self._loading,
        )
        self._credentials = self._claimed(source)
        controls = self._controls(model)
        self._performance = performance = Performance(
            options.show,
            model,
            source,
            controls={**controls, "size": self._size},
            begun=self._begun(),
            played=self._played,
            moderator=self._moderation,
        )
        finish = (*self._moderation.finishers(live=self._live), *self._marks.finishers)
        if resumable is not None:
            finish = (*finish, resumable.see)
        with (
            performance,
            Stream(
                model,
                **controls,
                size=self._size,
                fps=options.fps,
                moderator=self._moderation,
                finish=finish,
                witness=performance.log,
            ) as stream,
        ):
            self._stream = stream
            if resumable is not None:
                resumable.stream = stream
            for note in self._opening_notes(stream, source):
                self._say.print(note)
            with (
                PromptLine() as keys,
                Interrupt(before_exit=keys.restore) as interrupt,
                LiveLine(keys, self._say) as line,
            ):
                self._player = player = _Player(
                    *(stream, self._sink, self._outlets, line, keys, interrupt, performance, self._credentials),
                    steerable=resumable is None and self._played is None,
                )
                performance.begin(stream, line.notice)
                player.play(*self._frames(stream, source), compare=options.compare)
                self._interrupted = interrupt.requested

    def _taken_up(self, source: Source) -> Resumable | None:
        """Return what notes how far the run is, where that is asked for.

        Raises:
            UsageError: there is nothing that could go on later.
        """
        if not self._options.resume:
            return None
        from vivace.cli.resume import Resumable
        from vivace.media.encode import VideoSink

        file, sink = source.info.path, self._sink
        if file is None or self._live or self._outlets or not isinstance(sink, VideoSink) or sink.path is None:
            raise UsageError("--resume is for a video file, every frame of it, into one video file; leave it out.")
        given = asdict(self._options)
        given |= given.pop("loading")
        given["marking"] = self._marks.told  # who signs has no part in the pictures
        given |= {name: _as_it_is(given[name]) for name in ("look", "mask", *_PICTURES) if given[name] is not None}
        begun = {f"--{name.replace('_', '-')}": value for name, value in given.items() if name not in _NOT_OF_THE_LOOK}
        return Resumable(sink, begun | {"--model": self._model_name, "source": _as_it_is(file)})

    def _claimed(self, source: Source) -> Credentials | None:
        """Return what files will be signed with; None where they are not."""
        if self._key is None:
            return None
        from vivace.models.check import weights_of
        from vivace.models.keyframes.load import weights as follower_weights
        from vivace.trust.manifest import Work, created_by
        from vivace.trust.signing import Credentials

        weights = weights_of(self._profile, self._loading)
        work = Work(source.info.name, created_by(self._spec), self._profile.name, weights)
        work.follower = follower_weights
        work.marks = self._marks.told
        work.tell_prompts = self._options.marking.sign_prompt
        return Credentials(self._key, work)

    def _controls(self, model: StreamModel[Any]) -> dict[str, Any]:
        """Return the controls that the stream begins with, but for its size."""
        if self._played is not None:
            return self._played.controls
        from vivace.stream.options import parse_options

        options = self._options
        return {
            "prompt": self._prompt,
            "strength": options.strength,
            "seed": options.seed,
            "mask": options.mask,
            "denoising_steps": None if self._steps_built_in else options.steps,
            "options": parse_options(self._typed, model.spec),
        }

    def _begun(self) -> dict[str, Any]:
        """Return how the run was begun, apart from its controls, as a log keeps it."""
        options, payload = self._options, self._marks.payload
        flags = {name: getattr(options, name) for name in ("steps", "threads", "fps")}
        given = {name: value for name, value in (asdict(options.loading) | flags).items() if value is not None}
        payload_hex = None if payload is None else f"{payload:012x}"
        return {"model": self._model_name, "flags": given, "live": self._live, "payload": payload_hex}

    def _frames(self, stream: Stream, source: Source) -> tuple[Generator[Frame, None, None], int | None]:
        """Return the frames to play, and how many at most."""
        most = self._options.max_frames
        if self._played is not None:
            most = self._played.most(most)
        if self._sink.stills:
            return painted_stills(stream, source, self._sizes), most
        if self._resumable is not None:
            frames = stream.run(source, live=self._live, after=self._resumable.point)
            return self._resumable.noted(frames), most and most - self._resumable.frames
        assert self._performance is not None
        steered_by, course = self._performance.automations, self._performance.course
        return stream.run(source, live=self._live, steered_by=steered_by, course=course), most

    def _opening_notes(self, stream: Stream, source: Source) -> Iterator[str]:
        """Yield what to know before the first frame: marks left out, fallbacks taken, the prompt's meaning, delays."""
        from vivace.stream.controls import look_of

        assert self._performance is not None
        if self._options.marking.label == "off":
            yield "note: what is repainted has no label (--label off); say it where you show it"
        for note in stream.model.runtime.notes:
            yield f"note: {note}"
        prompt = stream.controls.prompt
        if look_of(stream.model, stream.controls) is None and not self._performance.automations:
            yield "note: no prompt, so the source passes untouched; give one with -p"
        elif prompt is not None and prompt.message:
            yield f"prompt: {prompt.message}"
        if self._sink.stills:
            yield from stills_notes(source)
        elif self._live:
            yield from _live_notes(stream, source)
        if self._resumable is not None and self._resumable.note:
            yield self._resumable.note

    def _report(self, stream: Stream, source: Source, elapsed_s: float, *, failed: bool) -> None:
        """Tell what the run did, and write the statistics."""
        if self._sizes and self._options.size is None and (note := shrunk(self._sizes, source, stream)):
            self._note(note)
        stats = stream.stats()
        written = self._sink.frames_written or any(outlet.sink.frames_written for outlet in self._outlets)
        if written or not failed:
            summarise = stills_summary if self._sink.stills else summary
            print(summarise(stats, self._sink.frames_written, self._sink.name, elapsed_s))
            if said := not_found(stats):
                print(said)
            for told in stats.notes:
                self._note(told)
            if self._performance is not None and (said := self._performance.summary):
                print(said)
            for outlet in self._outlets:
                print(f"{outlet.sink.frames_written} to {outlet.sink.name}, {outlet.lost} lost")
        if self._options.stats is not None:
            write_stats(self._options.stats, stats.to_dict())


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
    """Error that ended the first output, while there are others."""
    steerable: bool = True
    """True where typed lines steer the stream."""

    def play(self, frames: Generator[Frame, None, None], max_frames: int | None, *, compare: bool) -> None:
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
            self.credentials.work.see(frame, None if prompt is None else prompt.text)
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
        except VivaceError as error:  # also of a file that it names; the stream goes on as it was
            self.line.notice(str(error))
        else:
            self.line.notice(ack.message or (line[1:] if line.startswith("/") else shorten(line)))


def _as_it_is(spec: str | Path) -> str:
    """Return what a flag says, and of a file, or of those in a folder, also what tells it from another of that name."""
    path = Path(spec)
    try:
        stat = path.stat()
        inside = sorted(path.iterdir()) if path.is_dir() else []
    except (OSError, ValueError):
        return str(spec)  # an address, or a rectangle
    told = f"{path.resolve()} of {stat.st_size} bytes and time {stat.st_mtime_ns}"
    return ", ".join([told, *(_as_it_is(each) for each in inside if each.is_file())])


def _compared(frame: Frame) -> Frame:
    """Return the frame with its source picture left of it."""
    from vivace.media.draw import side_by_side  # brings Pillow, which is only needed here

    assert frame.source_rgb is not None
    return replace(frame, rgb=side_by_side([frame.source_rgb, frame.rgb]), alpha=None)


def _live_notes(stream: Stream, source: Source) -> Iterator[str]:
    """Yield what to know of a live run before the first frame: how late it is even if nothing takes time."""
    spec, fps = stream.model.spec, source.info.fps
    floor_s = spec.latency_floor_s(fps) if fps else None
    if floor_s is not None:
        yield (
            f"note: {spec.name} takes {spec.chunk_frames} frames at a time, so that at {fps:g} frames a second a "
            f"picture is at least {1e3 * floor_s:.0f} ms old when it is shown"
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


def _check_stats_path(stats: Path) -> None:
    from vivace.media.paths import naming

    with naming(stats, SinkWriteError) as path:
        if path.is_dir():
            raise SinkWriteError(f"{path}: is a folder; name a file for the statistics")
        if not path.parent.is_dir():
            raise SinkWriteError(f"{path}: there is no folder {path.parent}; create it first")
