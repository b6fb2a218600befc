"""The list, read, and asked whether a request may be painted."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Self

from vivace.errors import PolicyError, UsageError
from vivace.trust.policy.normal import readings
from vivace.trust.policy.phrases import Sets, finder, remover, split

OFF = "off"
"""Word in place of a file where nothing is refused."""
_SAYS = "says"
"""The key of a reason that is no language."""
_NAME = "the list that comes with Vivace"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not painted."""

    reason: str
    """Name of the reason in the list."""
    says: str
    """Name of the reason, for people."""
    phrase: str
    """The words that decided, as they were read."""


class Policy:
    """A list of what is not painted, which judges words. Thread-safe."""

    def __init__(self, text: str, name: str) -> None:
        """Read a list from TOML in the form of `list.toml`; `name` is what messages call it.

        Raises:
            UsageError: it is none; says what is wrong.
        """
        self._lock = Lock()
        try:
            safe, sets, reasons = _tables(tomllib.loads(text))
            known = Sets(sets)
            self._without_safe = remover(safe, known)
            self._reasons = [(reason, says, finder(phrases, known)) for reason, (says, phrases) in reasons.items()]
        except ValueError as error:  # of TOML, too
            raise UsageError(f"{name} cannot be used as a policy: {error}") from error
        self.refused = dict.fromkeys(reasons, 0)
        """Number of refused requests, by reason."""

    @classmethod
    def open(cls, path: Path | None = None) -> Self:
        """Return the list in a file, or the one that comes with Vivace.

        Raises:
            UsageError: the file cannot be read, or holds none.
        """
        if path is None:
            return cls(built_in(), _NAME)
        try:
            return cls(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise UsageError(f"the policy {path} cannot be read ({reason})") from error

    def judge(self, text: str) -> Refusal | None:
        """Return why a text is refused; None where it is not. A prompt of 2,000 characters takes some 10 ms."""
        for reading in readings(text):
            left = self._without_safe(reading)
            for reason, says, find in self._reasons:
                if found := find(left):
                    return Refusal(reason, says, found[0])
        return None

    def check_text(self, control: str, text: str) -> None:
        """Refuse what the list refuses, and count it.

        Raises:
            PolicyError: it does; says why.
        """
        refusal = self.judge(text)
        if refusal is None:
            return
        with self._lock:
            self.refused[refusal.reason] += 1
        raise PolicyError(
            f"{control} asks for {refusal.says} ({refusal.phrase!r}), which is not painted here. Ask for something "
            "else; `vivace policy show` is the list that decides, and whoever runs this can change it",
            control=control,
            reason=refusal.reason,
        )


def built_in() -> str:
    """Return the text of the list that comes with Vivace."""
    return (resources.files(__package__) / "list.toml").read_text(encoding="utf-8")


def open_policy(named: str | None) -> Policy | None:
    """Return the policy that a setting names: a file, `off`, which is None, or the built-in one where it is None.

    Raises:
        UsageError: it cannot be used.
    """
    if named == OFF:
        return None
    return Policy.open(None if named is None else Path(named))


def _tables(table: Mapping[str, object]) -> tuple[list[str], dict[str, str], dict[str, tuple[str, list[str]]]]:
    """Return phrases that are safe, the sets, and of each reason what it is called and its phrases."""
    if unknown := sorted(table.keys() - {"safe", "sets", "reasons"}):
        raise ValueError(f"there is no table [{unknown[0]}]; there are safe, sets and reasons")
    safe = [phrase for text in _texts(table.get("safe", {}), "safe").values() for phrase in split(text)]
    sets = _texts(table.get("sets", {}), "sets")
    given = table.get("reasons")
    if not isinstance(given, dict) or not given:
        raise ValueError("it has no table [reasons.NAME]; say `off` where nothing is to be refused")
    reasons = {}
    for reason, value in given.items():
        texts = _texts(value, f"reasons.{reason}")
        if not texts.get(_SAYS, "").strip():
            raise ValueError(f"[reasons.{reason}] has no `says`: what it is, for people")
        phrases = [phrase for language, text in texts.items() if language != _SAYS for phrase in split(text)]
        if not phrases:
            raise ValueError(f"[reasons.{reason}] has no phrases")
        reasons[reason] = texts[_SAYS], phrases
    return safe, sets, reasons


def _texts(table: object, name: str) -> dict[str, str]:
    if not isinstance(table, dict):
        raise ValueError(f"[{name}] is no table")
    for key, value in table.items():
        if not isinstance(value, str):
            raise ValueError(f"{key} in [{name}] is no text")
    return table
