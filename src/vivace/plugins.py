"""What other distributions bring, found by their entry points."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Container, Iterator
from importlib import import_module
from typing import Any, Protocol, TypeVar

from vivace.errors import BackendUnavailableError

_log = logging.getLogger(__name__)
_brought_by: dict[str, str] = {}
"""Distributions by the package that they brought something from."""


class Named(Protocol):
    """Something that is known by a name."""

    @property
    def name(self) -> str:
        """As its entry point."""


NamedType = TypeVar("NamedType", bound=Named)


def plugins(group: str, kind: type[NamedType], what: str, taken: Container[str]) -> Iterator[NamedType]:
    """Yield what the entry points of a group lead to; what is no `kind` or cannot be imported is left out and logged.

    Args:
        group: of entry points, each named like what it leads to.
        kind: what each leads to.
        what: the kind's name for people, e.g. `model family`.
        taken: names that are in use; one of those is left out, too.
    """
    from importlib import metadata  # takes its time

    for point in metadata.entry_points(group=group):
        try:
            brought = point.load()
        except Exception as error:  # noqa: BLE001  (another's package may fail in any way; all others go on)
            _log.warning("the %s %s cannot be imported from %s: %s", what, point.name, point.value, error)
            continue
        if not isinstance(brought, kind) or brought.name != point.name:
            _log.warning("%s is not the %s %s; it is left out", point.value, what, point.name)
        elif point.name in taken:
            _log.warning("the %s %s is there already; that of %s is left out", what, point.name, point.value)
        else:
            _brought_by[point.module.partition(".")[0]] = point.dist.name if point.dist else point.module
            yield brought


def function(reference: str, owner: str, install: str = "") -> Callable[..., Any]:
    """Return the function that `module:name` names, imported now.

    Args:
        reference: of the function.
        owner: what names it, for people.
        install: what to install when something that it imports is missing, for people.

    Raises:
        BackendUnavailableError: something that it imports is not installed, or there is no such function.
    """
    module, _, name = reference.partition(":")
    try:
        brought = import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == module.partition(".")[0]:
            raise
        raise BackendUnavailableError(f"{owner} needs {error.name}; {install or f'install {error.name}'}") from error
    if not hasattr(brought, name):
        raise BackendUnavailableError(f"{owner} names {reference}, and there is no {name} in {module}")
    found: Callable[..., Any] = getattr(brought, name)
    return found


def fault_of(error: BaseException) -> str:
    """Return the distribution through whose code an error came, `Vivace` where it is ours alone."""
    packages = [
        str(frame.f_globals["__name__"]).partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return next((_brought_by[package] for package in reversed(packages) if package in _brought_by), "Vivace")
