"""Commit of the source that runs, for whoever writes down what made a figure or a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ASK_S = 10.0
"""Time-out for git or the graphics driver, s; a swapping machine is slow, not broken."""


def read_commit(package: Path = Path(__file__).parent) -> str | None:
    """Return the commit of this package's checkout, with `+changes` if tracked files differ from it.

    None for an installed package, even inside another project's checkout.
    """
    if shutil.which("git") is None:
        return None
    git = ["git", "-C", str(package)]
    if answer_of([*git, "ls-files", "--error-unmatch", "__init__.py"]) is None:
        return None
    # `--exclude=*` excludes tags: the bare commit can be checked out anywhere.
    return answer_of([*git, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"])


def answer_of(command: list[str]) -> str | None:
    """Return a program's output, or None if it fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
