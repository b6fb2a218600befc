"""Subject of a benchmark run: one of Vivace's models, or an external system."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivace.bench.systems.foreign import command_name, command_spec
from vivace.bench.systems.system import SystemSpec, model_arguments, model_spec
from vivace.errors import UsageError, install_extra
from vivace.models.loading import LoadOptions

if TYPE_CHECKING:
    from vivace.bench.systems.system import System
    from vivace.models.base import StreamModel

PLAIN_FORMS = {
    "live2diff": "vivace.bench.systems.plain:open_plain",
    "wan": "vivace.bench.systems.plain_wan:open_plain",
}
"""Opener of the plain form of a family's model, as it was published, against which speed-ups are measured."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Subject of a run: one of Vivace's models, or an external system."""

    model: str = "mini"
    command: str | None = None
    outputs: Path | None = None
    name: str | None = None
    """Name in the results."""
    threads: int | None = None
    runtime: str | None = None
    """Runtime of the model; its default if not given."""
    loading: LoadOptions = field(default_factory=LoadOptions)
    """Options for loading the model."""
    against: Path | None = None
    """Another checkout of Vivace, whose code is measured alternately with this one's."""

    def __post_init__(self) -> None:
        if self.command is not None and self.outputs is not None:
            raise UsageError("--command and --outputs name two systems; give one of them")
        if self.against is not None and not self.ours:
            raise UsageError("--against is another checkout of Vivace; it says nothing of --command or --outputs")

    @property
    def ours(self) -> bool:
        """True if it is one of Vivace's models."""
        return self.command is None and self.outputs is None

    @property
    def title(self) -> str:
        """Name of one of Vivace's models in the results.

        Raises:
            UnknownModelError: there is no such model.
        """
        from vivace.models import describe

        return self.name or describe(self.model).name

    @property
    def heavy(self) -> bool:
        """True if its network is much larger than the embedded one, so that only few frames are affordable.

        Raises:
            UnknownModelError: there is no such model.
        """
        from vivace.models import describe
        from vivace.models.family import family_of

        return self.ours and family_of(describe(self.model).family, self.model).heavy

    def plain_spec(self) -> SystemSpec | None:
        """Return the model in the plain form that a speed-up is measured against, if it has one."""
        from vivace.models import describe

        opener = PLAIN_FORMS.get(describe(self.model).family) if self.ours else None
        if opener is None:
            return None
        arguments = model_arguments(self.model, self.threads, options=self.loading)
        return SystemSpec("plain eager", opener, arguments)

    def spec(self) -> SystemSpec:
        """Return the subject as a system that can be timed.

        Raises:
            UsageError: a folder of outputs cannot be.
        """
        if self.outputs is not None:
            raise UsageError("--outputs is a folder: how fast it was made cannot be measured; give --command")
        if self.command is not None:
            return command_spec(self.command, self.name or command_name(self.command))
        spec = model_spec(self.model, self.threads, runtime=self.runtime, options=self.loading)
        return replace(spec, name=self.title)

    def against_spec(self) -> SystemSpec | None:
        """Return the same model as run by the other checkout's code, if there is one.

        Raises:
            UsageError: the folder holds no `vivace`.
        """
        from vivace.checkout import read_commit

        if self.against is None:
            return None
        for code in (self.against / "src", self.against):
            if (code / "vivace" / "__init__.py").is_file():
                commit = read_commit(code / "vivace")
                name = f"{self.title} at {commit or self.against.resolve().name}"
                return replace(self.spec(), name=name, code=str(code.resolve()))
        raise UsageError(f"--against {self.against}: no src/vivace in there; give the folder of a checkout of Vivace")


def open_system(subject: Subject) -> tuple[System, StreamModel[Any] | None]:
    """Return the subject as a system that repaints clips, and its model if it is one of Vivace's.

    Raises:
        VivaceError: there is no such model or folder.
    """
    from vivace.bench.systems.foreign import CommandSystem, FolderSystem
    from vivace.bench.systems.system import ModelSystem
    from vivace.models import load_model

    if subject.outputs is not None:
        return FolderSystem(subject.outputs, name=subject.name), None
    if subject.command is not None:
        return CommandSystem(subject.command, name=subject.name), None
    model = load_model(subject.model, runtime=subject.runtime, threads=subject.threads, options=subject.loading)
    return ModelSystem(model, name=subject.title), model


def open_exact(subject: Subject) -> tuple[System | None, str | None]:
    """Return the subject without acceleration, or the reason why there is none."""
    if not subject.ours:
        return None, "only for Vivace's own models, which can be run without their short cuts"
    if importlib.util.find_spec("torch") is None:
        return None, f"needs torch, in which the exact run is done: {install_extra('train')}"
    from vivace.bench.systems.system import ModelSystem
    from vivace.models import load_model

    # The embedded model has one precision per runtime, and no option for it.
    exact = replace(subject.loading, precision="f32") if subject.heavy else subject.loading
    model = load_model(subject.model, runtime="eager", threads=subject.threads, options=exact)
    return ModelSystem(model, name="exact", role="baseline"), None
