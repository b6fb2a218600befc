"""Checks for models whose files lie beside their profile and whose network is an exported graph on the CPU."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vivace.checkpoints.profile import Profile
from vivace.errors import CheckpointError, UsageError
from vivace.models.loading import LoadOptions
from vivace.runtime.info import RuntimeInfo


def check_options(profile: Profile, options: LoadOptions) -> None:
    """Reject options that only the large models have, apart from the precision, see `check_precision`.

    Raises:
        UsageError: one is given.
    """
    given = options.given()
    if given.pop("device", "cpu") != "cpu":
        raise UsageError(f"model {profile.name!r} runs on the CPU, not on {options.device!r}")
    given.pop("precision", None)
    if given:
        raise UsageError(
            f"model {profile.name!r} has no option {min(given)!r}, which only the large models have; leave it out"
        )


def check_precision(options: LoadOptions, runtime: RuntimeInfo) -> None:
    """Reject a precision that a runtime does not compute in on this machine.

    Raises:
        UsageError: it does not.
    """
    if options.precision not in (None, runtime.precision):
        raise UsageError(
            f"the runtime {runtime.runtime} does not compute in {options.precision} on {runtime.device}; give f32, or "
            "leave the precision out"
        )


def check_files(profile: Profile, remedy: str) -> None:
    """Reject files that differ from those the profile names.

    Raises:
        CheckpointError: one is missing or different; ends with the remedy.
    """
    for spec in profile.files.values():
        path = Path(profile.path) / spec.path
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(f"cannot read {path} ({error.strerror}); {remedy}") from error
        if found != spec.sha256:
            raise CheckpointError(
                f"{path} is not the file that profile {profile.name!r} names (sha256 {found[:12]}…, not "
                f"{str(spec.sha256)[:12]}…); {remedy}"
            )
