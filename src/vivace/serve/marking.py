"""What marks the pictures and recordings of a server as repainted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vivace.media.statement import Statement
from vivace.models.catalog import describe
from vivace.models.check import weights_of
from vivace.models.loading import LoadOptions
from vivace.serve.settings import ServeSettings
from vivace.stream.finish import Finisher
from vivace.trust.keys import SigningKey, open_key
from vivace.trust.label import Label, LabelStyle
from vivace.trust.manifest import Work
from vivace.trust.signing import sign_file

SOURCE = "pictures that a client of the server sent"


class FileMarks(NamedTuple):
    """What marks the files of one session."""

    statement: Statement | None = None
    sign: Callable[[Path, bool], object] | None = None
    """`sign(path, painted)` signs a complete file. Raises SinkWriteError."""


NO_MARKS = FileMarks()


@dataclass(frozen=True, slots=True)
class Marking:
    """The marks of a server; without any of them, none."""

    label: LabelStyle | None = None
    key: SigningKey | None = None
    weights: Callable[[str], Mapping[str, str]] = lambda _model: {}
    """Of a model, by name (`manifest.Work`)."""

    @classmethod
    def of(cls, settings: ServeSettings) -> Marking:
        """Return what the settings ask for.

        Raises:
            UsageError: nothing can be signed with what they name, or no key can be kept.
        """
        signs = "credentials" in settings.marks
        return cls(
            label=LabelStyle(settings.label, settings.label_size, settings.label_language)
            if "label" in settings.marks
            else None,
            key=open_key(settings.sign_certificate, settings.sign_key, settings.sign_command) if signs else None,
            weights=lambda model: _weights(settings, model),
        )

    @property
    def told(self) -> dict[str, str]:
        """What credentials say of the marks in the pictures."""
        return {"label": "off" if self.label is None else str(self.label)}

    def finishers(self, _session: str) -> Sequence[Finisher]:
        """Return what marks the frames of a session."""
        return () if self.label is None else (Label(self.label),)

    def files(self, model: str) -> FileMarks:
        """Return what marks the files of a session with a model."""
        statement = None if self.label is None else self.label.statement
        key = self.key
        if key is None:
            return FileMarks(statement)

        def sign(path: Path, painted: bool) -> object:
            work = Work(SOURCE, model=model, weights=self.weights(model), marks=self.told, painted=painted)
            return sign_file(path, work, key)

        return FileMarks(statement, sign)


def _weights(settings: ServeSettings, model: str) -> dict[str, str]:
    options = settings.loading if model == settings.default_model else LoadOptions()
    return weights_of(describe(settings.offered[model]), options)
