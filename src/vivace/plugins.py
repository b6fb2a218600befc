"""Plugins of other distributions, found by their entry points."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Container, Iterator
from importlib import import_module
from typing import Any, Protocol, TypeVar

from vivace.errors import BackendUnavailableError

_log = logging.getLogger(__name__)
_brought_by: dict[str, str] = {}
"""Distribution by top-level package, for plugins that were loaded."""


class Named(Protocol):
    """Object known by a name."""

    @property
    def name(self) -> str:
        """Name, equal to that of its entry point."""


NamedType = TypeVar("NamedType", bound=Named)


def plugins(group: str, kind: type[NamedType], what: str, taken: Container[str]) -> Iterator[NamedType]:
    """Yield the objects of an entry point group; wrong types and failed imports are skipped and logged.

    Args:
        group: entry point group; each entry has the name of its object.
        kind: expected class.
        what: name of the kind for people, e.g. `model family`.
        taken: names in use, which are skipped as well.
    """
    from importlib import metadata  # slow to import

    for point in metadata.entry_points(group=group):
        try:
            brought = point.load()
        except Exception as error:  # noqa: BLE001  (a third-party package may fail in any way; skip it)
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
    """Return the function named by `module:name`, imported now.

    Args:
        reference: `module:name` of the function.
        owner: object that refers to it, for people.
        install: remedy for people if an import is missing.

    Raises:
        BackendUnavailableError: an import of the module is not installed, or there is no such function.
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
    """Return the distribution whose code an error came through, or `Vivace` if no plugin's."""
    packages = [
        str(frame.f_globals["__name__"]).partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    return next((_brought_by[package] for package in reversed(packages) if package in _brought_by), "Vivace")
