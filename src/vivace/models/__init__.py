"""Model families behind one interface, each from a profile.

What is imported here is light: a family is imported when one of its models is loaded.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from vivace.errors import BackendUnavailableError, CheckpointError, UsageError, install_extra
from vivace.models.base import Chunk, ModelSpec, Prompt, StreamModel
from vivace.models.loading import LoadOptions
from vivace.models.profile import Profile, describe, list_models

__all__ = [
    "Chunk",
    "LoadOptions",
    "ModelSpec",
    "Profile",
    "Prompt",
    "StreamModel",
    "describe",
    "list_models",
    "load_model",
    "runtimes",
]

_RUNTIMES = {"mini": ("openvino", "eager"), "live2diff": ("eager", "compiled")}
"""By family."""


class _Loader(Protocol):
    def load(
        self, profile: Profile, *, runtime: str | None, threads: int | None, options: LoadOptions
    ) -> StreamModel: ...


def runtimes(name: str) -> tuple[str, ...]:
    """Return the runtimes a model can be loaded with.

    Raises:
        UnknownModelError: no such profile.
        CheckpointError: of a family this version does not have.
    """
    profile = describe(name)
    if profile.family not in _RUNTIMES:
        raise CheckpointError(f"profile {name!r} is of family {profile.family!r}, which this version cannot load")
    return _RUNTIMES[profile.family]


def load_model(
    name: str = "mini",
    *,
    runtime: str | None = None,
    threads: int | None = None,
    options: LoadOptions | None = None,
) -> StreamModel:
    """Load a model.

    Args:
        name: a profile, see `list_models`, or the path of a profile's own `.toml` file.
        runtime: one of the family's, see `runtimes`; the fastest that works here if left out.
        threads: CPU threads; all by default.
        options: choices about weights and device.

    Raises:
        UnknownModelError: no such profile.
        UsageError: a runtime or an option that the model does not have.
        CheckpointError: its files are missing or do not fit.
        BackendUnavailableError: the runtime is not installed.
    """
    known = runtimes(name)
    if runtime is not None and runtime not in known:
        raise UsageError(f"no runtime {runtime!r} for model {name!r}; known: {', '.join(known)}")
    profile = describe(name)
    try:
        family: _Loader = importlib.import_module(f"vivace.models.{profile.family}.load")
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == "vivace":
            raise
        raise BackendUnavailableError(f"model {name!r} needs {error.name}; {install_extra('gpu')}") from error
    return family.load(profile, runtime=runtime, threads=threads, options=options or LoadOptions())
