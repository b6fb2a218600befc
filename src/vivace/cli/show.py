"""Flags of a run that make it a show, and what they open beside the stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

from cyclopts import Group, Parameter

from vivace.errors import ControlError, SinkWriteError, UsageError

if TYPE_CHECKING:
    from vivace.media.frame import Frame
    from vivace.media.source import Source
    from vivace.models.base import StreamModel
    from vivace.show.log import Show, ShowLog
    from vivace.show.osc import OscReceiver
    from vivace.show.sound.hearing import Hearing
    from vivace.stream import Stream
    from vivace.stream.automation import Automation, Course
    from vivace.stream.moderation import Moderator

SHOW = Group("Show", sort_key=3)

Tell = Callable[[str], None]
"""Says something to who runs the show, above the live line."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFlags:
    """The flags."""

    script: Annotated[Path | None, Parameter(group=SHOW)] = None
    """Play a timeline: prompts, looks, regions and numbers at times or beats, in TOML."""
    drive: Annotated[list[str] | None, Parameter(group=SHOW, negative=())] = None
    """Have a control follow what is heard, as NAME=SIGNAL or NAME=SIGNAL:A..B: `strength=level:0.3..1`, `seed=beat`,
    `prompt=bass:ink..neon`. SIGNAL is `level`, `bass`, `mid`, `treble`, `onset` or `beat`. Once for each."""
    sound: Annotated[str | None, Parameter(group=SHOW)] = None
    """Sound to hear: `mic`, `mic:NAME` or a file; if not given, the source's own sound, or the microphone where a live
    source has none."""
    osc: Annotated[str | None, Parameter(group=SHOW)] = None
    """Take controls over OSC on this UDP port, from programs of this machine, or HOST:PORT, e.g. `0.0.0.0:9000`."""
    log: Annotated[Path | None, Parameter(group=SHOW)] = None
    """Keep what is steered in a file, by the frame from which it held, for `vivace replay`."""

    def check(self) -> None:
        """Refuse what is mistyped, before anything is opened.

        Raises:
            UsageError: it is.
            SinkWriteError: the log surely cannot be written.
        """
        if self.log is not None:
            check_log_path(self.log)
        if self.osc is not None:
            from vivace.show.osc import parse_address

            parse_address(self.osc)
        if self.drive:
            from vivace.show.drive import parse_drive

            for text in self.drive:
                parse_drive(text)

    @property
    def given(self) -> list[str]:
        """Those that are given, as they are written."""
        return [f"--{name}" for name, value in asdict(self).items() if value is not None]


@dataclass(frozen=True, slots=True)
class Played:
    """A show that is played again."""

    show: Show
    as_played: bool
    """True where only the frames of a live show are painted, at the times and with the effort they had then."""

    @property
    def controls(self) -> dict[str, Any]:
        """Controls that it was opened with, as `Stream` takes them."""
        from vivace.show.updates import changes_of

        return {name: value for name, value in changes_of(self.show.opening.controls).items() if name != "size"}

    def most(self, frames: int | None) -> int | None:
        """Return how many frames to paint: up to where the show ended, and no more than are asked for."""
        end = None if self.as_played else self.show.frames
        return end if frames is None else frames if end is None else min(frames, end)

    @property
    def course(self) -> Course | None:
        """Course of the live show, where that is repeated."""
        return self.show.course if self.as_played else None


class Performance:
    """Automations, OSC and log of one run, from before the first frame to after the last."""

    def __init__(
        self,
        flags: ShowFlags,
        model: StreamModel[Any],
        source: Source,
        *,
        controls: Mapping[str, object],
        begun: Mapping[str, Any],
        played: Played | None = None,
        moderator: Moderator,
    ) -> None:
        """Check all of it against what the model can do.

        Args:
            flags: what is asked for.
            model: what is steered.
            source: of the run.
            controls: that the stream is opened with, by the names of `Stream`.
            begun: how the run was begun otherwise, for `show.log.Opening`.
            played: a show to play again.
            moderator: who may refuse texts and pictures.

        Raises:
            ControlError: a name or value that cannot be used.
            SourceError: a file that is missing or cannot be read.
        """
        self.automations: list[Automation] = []
        self.log: ShowLog | None = None
        self.osc: OscReceiver | None = None
        self._hearing: Hearing | None = None
        self.course = None if played is None else played.course
        self.failure: SinkWriteError | None = None
        """Error that ended the log."""
        self._open = ExitStack()
        with self._open:
            if played is not None:
                self._add(_replay(played.show, model, moderator))
            script = None
            if flags.script is not None:
                from vivace.show.script import Timeline, read_script

                script = read_script(flags.script)
            hears_beats = script is not None and script.hears_beats
            if flags.drive or hears_beats:
                from vivace.show.sound.hearing import open_hearing

                self._hearing = open_hearing(flags.sound, source)
                self._open.callback(self._hearing.close)
            elif flags.sound is not None:
                raise UsageError("--sound is heard by --drive, or by a script with beats = 'sound'; there is neither")
            if script is not None:
                self._add(Timeline(script, model, self._beats if hears_beats else None, moderator))
            if flags.drive and self._hearing is not None:
                from vivace.show.drive import Driven, followers

                self._add(Driven(followers(flags.drive, model, moderator), self._hearing))
            if flags.osc is not None:
                from vivace.show.osc import OscReceiver, parse_address

                self.osc = OscReceiver(*parse_address(flags.osc))
                self._open.callback(self.osc.close)
            if flags.log is not None:
                from vivace.show.log import VERSION, Opening, ShowLog
                from vivace.show.updates import message_of

                opening = Opening(
                    vivace_show=VERSION,
                    source=source.info.name,
                    controls=message_of(controls, model.spec),
                    **begun,
                )
                self.log = ShowLog(flags.log, opening, model.spec)
            self._open = self._open.pop_all()

    def _beats(self, frame: Frame, time_s: float) -> float:
        assert self._hearing is not None
        heard = self._hearing.at(frame, time_s)
        return heard.position - 1  # the first that is heard is 0

    def _add(self, automation: Automation) -> None:
        self.automations.append(automation)
        self._open.callback(automation.close)

    def begin(self, stream: Stream, tell: Tell) -> None:
        """Take what comes from outside from now on."""
        if self.osc is not None:
            from vivace.show.osc import Target

            target = Target.of(stream)
            self.osc.begin(lambda: [target])
            tell(f"OSC: /vivace/NAME VALUE on {self.osc.host}:{self.osc.port}")

    def poll(self, frame: Frame, tell: Tell) -> None:
        """Write the log up to a frame, and tell what there is to tell. What cannot be written is told once."""
        for note in chain(self.osc.notes() if self.osc else (), self._hearing.notes() if self._hearing else ()):
            tell(note)
        if self.log is None or self.failure is not None:
            return
        self.log.end = frame.index + 1
        try:
            self.log.write()
        except SinkWriteError as error:
            self.failure = error
            tell(f"{error}; the run goes on without it")

    @property
    def summary(self) -> str:
        """Sentence for the end of the run; empty where there is nothing to tell."""
        return "" if self.osc is None else self.osc.summary

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        if self.log is None or self.failure is not None:
            return
        try:
            self.log.close()
        except SinkWriteError as failure:
            self.failure = failure


def _replay(show: Show, model: StreamModel[Any], moderator: Moderator) -> Automation:
    from vivace.show.cues import Replay, close_masks
    from vivace.show.updates import change_of

    changes: list[tuple[int, Any]] = []
    with ExitStack() as on_failure:
        on_failure.callback(lambda: close_masks(change for _, change in changes))
        for updated in show.updates:
            try:
                changes.append((updated.frame, change_of(updated.controls, model, moderator)))
            except ControlError as error:
                raise ControlError(f"update {updated.update} of the show, at frame {updated.frame}: {error}") from error
        on_failure.pop_all()
    return Replay(changes)


def check_log_path(log: Path) -> None:
    """Refuse a log that surely cannot be written, before anything is opened.

    Raises:
        SinkWriteError: a folder, or in none.
    """
    from vivace.media.paths import naming

    with naming(log, SinkWriteError) as path:
        if path.is_dir():
            raise SinkWriteError(f"{path}: is a folder; name a file for the log")
        if not path.parent.is_dir():
            raise SinkWriteError(f"{path}: there is no folder {path.parent}; create it first")


def check_show(flags: ShowFlags, *, resumable: bool) -> None:
    """Refuse what cannot be together.

    Raises:
        UsageError: steering in a run that must be the same each time.
        SinkWriteError: as `check_log_path`.
    """
    if resumable and flags.given:
        raise UsageError(f"{flags.given[0]} is for a run that is played once; leave it out, or --resume")
    flags.check()
