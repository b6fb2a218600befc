"""Model families behind one interface, each described by profiles.

Importing this package is cheap: a family is imported when one of its models is loaded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vivace.checkpoints.profile import Profile
from vivace.errors import CheckpointError, UsageError
from vivace.models.base import Chunk, ModelSpec, Prompt, StreamModel
from vivace.models.catalog import describe, list_models
from vivace.models.family import Family, family_of
from vivace.models.loading import LoadOptions

__all__ = [
    "Chunk",
    "Family",
    "LoadOptions",
    "ModelSpec",
    "Profile",
    "Prompt",
    "StreamModel",
    "describe",
    "family_of",
    "list_models",
    "load_model",
    "runtimes",
]


def runtimes(name: str) -> tuple[str, ...]:
    """Return the runtimes that a model supports.

    Raises:
        UnknownModelError: no such profile.
        CheckpointError: the profile's family is not installed.
    """
    profile = describe(name)
    return family_of(profile.family, name).runtimes


def load_model(
    name: str = "mini",
    *,
    runtime: str | None = None,
    threads: int | None = None,
    options: LoadOptions | None = None,
) -> StreamModel[Any]:
    """Load a model.

    Args:
        name: name of a profile, see `list_models`, or the path of a profile's `.toml` file.
        runtime: one of the family's, see `runtimes`; the fastest that works here if left out.
        threads: CPU threads; all by default.
        options: choices about weights and device.

    Raises:
        UnknownModelError: no such profile.
        UsageError: a runtime or an option that the model does not have.
        CheckpointError: files are missing or do not match the profile.
        BackendUnavailableError: the runtime is not installed.
    """
    known = runtimes(name)
    if runtime is not None and runtime not in known:
        raise UsageError(f"no runtime {runtime!r} for model {name!r}; known: {', '.join(known)}")
    profile = describe(name)
    family = family_of(profile.family, name)
    load = family.function(family.load)
    chosen = options or LoadOptions()
    chosen = replace(chosen, controls=family.settle(chosen.controls))
    model: StreamModel[Any] = load(profile, runtime=runtime, threads=threads, options=chosen)
    if not isinstance(getattr(model, "spec", None), ModelSpec):
        raise CheckpointError(f"the family {family.name!r} loaded {name!r} as {model!r}, which is no model")
    return model
