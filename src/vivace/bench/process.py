"""Processes started by a benchmark: their package path, and how they ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import IO


def program(module: str, code: str | None) -> list[str]:
    """Return the interpreter arguments that run a module of this benchmark on the package in the folder `code`.

    The module's own arguments follow. None uses the package of this process.
    """
    return ["-m", module] if code is None else ["-P", str(Path(__file__).with_name("borrow.py")), module]


def ending(code: int) -> str:
    """Return how a process ended from its return code, in words that follow its name."""
    if code >= 0:
        return f"ended with exit code {code}"
    known = {sign.value: sign.name for sign in signal.Signals}
    why = ", as the system does when memory runs out," if known.get(-code) == "SIGKILL" else ""
    return f"was killed by {known.get(-code, f'signal {-code}')}{why}"


def last_words(file: IO[bytes]) -> str:
    """Return the last line of a process's standard error, kept in `file`, as the end of a message.

    Indented lines are remedies, and are left out.
    """
    file.seek(0)
    said = [line for line in file.read().decode("utf-8", "replace").splitlines() if line[:1].strip()]
    return f"; it said: {said[-1].strip()[:300]}" if said else ""


def environment_of(code: str | None) -> dict[str, str]:
    """Return the environment of a process that imports `vivace` from a folder; None is this process's own."""
    if code is None:
        return dict(os.environ)
    path = os.environ.get("PYTHONPATH")
    first = os.pathsep.join([code, path] if path else [code])
    # Also not from a folder of that name in the working directory.
    return {**os.environ, "PYTHONPATH": first, "PYTHONSAFEPATH": "1"}
