"""Marks that say of a server's pictures and recordings that they are repainted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from vivace.media.statement import Statement
from vivace.models.catalog import describe
from vivace.models.check import weights_of
from vivace.models.keyframes.load import weights as follower_weights
from vivace.models.loading import LoadOptions
from vivace.serve.settings import ServeSettings
from vivace.settings import Mark
from vivace.trust.keys import SigningKey, open_key
from vivace.trust.label import LabelStyle
from vivace.trust.manifest import Work
from vivace.trust.marks import PictureMarks, payload_of
from vivace.trust.signing import sign_file

SOURCE = "pictures that a client of the server sent"


class FileMarks(NamedTuple):
    """Marks of the files of one session."""

    statement: Statement | None = None
    sign: Callable[[Path, Work], object] | None = None
    """`sign(path, work)` signs a complete file, whose frames `work` has seen. Raises SinkWriteError."""
    model: str = ""

    def begin(self) -> Work:
        """Return what is to see the frames of one file."""
        return Work(SOURCE, model=self.model, follower=follower_weights)


NO_MARKS = FileMarks()


@dataclass(frozen=True, slots=True)
class Marking:
    """The marks of a server; without any of them, none."""

    marks: frozenset[Mark] = frozenset()
    """Which there are; each session's watermark tells its pictures from those of others."""
    style: LabelStyle | None = None
    """Style of the label, where there is one; None: the usual one."""
    everywhere: bool = False
    """True puts the watermark also where a picture is its source's."""
    key: SigningKey | None = None
    weights: Callable[[str], Mapping[str, str]] = lambda _model: {}
    """Hashes of a model's weights, by its name (`manifest.Work`)."""

    @classmethod
    def of(cls, settings: ServeSettings) -> Marking:
        """Return what the settings ask for.

        Raises:
            UsageError: nothing can be signed with what they name, or no key can be kept.
        """
        signs = "credentials" in settings.marks
        return cls(
            marks=settings.marks,
            style=LabelStyle(settings.label, settings.label_size, settings.label_language),
            everywhere=settings.watermark_everywhere,
            key=open_key(settings.sign_certificate, settings.sign_key, settings.sign_command) if signs else None,
            weights=lambda model: _weights(settings, model),
        )

    @property
    def label(self) -> LabelStyle | None:
        """The label of all sessions, None where there is none."""
        return self.pictures("").label

    def pictures(self, session: str) -> PictureMarks:
        """Return what marks the pictures of a session."""
        return PictureMarks.of(self.marks, payload_of(session), self.style, everywhere=self.everywhere)

    def files(self, session: str, model: str) -> FileMarks:
        """Return what marks the files of a session with a model."""
        marks = self.pictures(session)
        key = self.key
        if key is None:
            return FileMarks(marks.statement)

        def sign(path: Path, work: Work) -> object:
            return sign_file(path, replace(work, weights=self.weights(model), marks=marks.told), key)

        return FileMarks(marks.statement, sign, model)


def _weights(settings: ServeSettings, model: str) -> dict[str, str]:
    options = settings.loading if model == settings.default_model else LoadOptions()
    return weights_of(describe(settings.offered[model]), options)
