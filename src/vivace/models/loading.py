"""Options for loading a model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from vivace.checks import nearest
from vivace.errors import UsageError

Precision = Literal["f32", "bf16", "f16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """Choices about a model's weights and their device; omitted ones follow the profile or the machine.

    Plain values only, so that they can be sent to another process as JSON (`to_dict`, `from_dict`). An invalid value
    raises UsageError; an option that the family does not support is reported at loading.
    """

    style: str | None = None
    """Style of the profile; its default if left out."""
    steps: int | None = None
    """Denoising steps per frame; the style's own if left out."""
    device: str | None = None
    """`cpu`, `cuda` or `cuda:N`; a CUDA device if there is one if left out."""
    precision: Precision | None = None
    """Precision of the weights; the fastest on the device if left out."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Paths by role, in place of the profile's files."""
    loras: Mapping[str, float] = field(default_factory=dict)
    """Weights by path, in addition to the style's own LoRAs."""
    controls: Mapping[str, Any] = field(default_factory=dict)
    """Values of the family's controls that are fixed at loading, by name, see `Family.loading`."""
    random_weights: bool = False
    """True to use no files: the network at full size with random weights, for speed measurements."""
    seed: int = 0
    """Seed of the random weights."""

    def __post_init__(self) -> None:
        if self.precision not in (None, *get_args(Precision)):
            raise UsageError(f"no precision {self.precision!r}; known: {', '.join(get_args(Precision))}")
        if self.device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"no device {self.device!r}; known: cpu, cuda, cuda:N")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"steps must be at least 1, not {self.steps}")

    def check_files(self) -> None:
        """Raise UsageError for files that would have no effect: with random weights, or of the other autoencoder."""
        if self.random_weights and (self.files or self.loras):
            raise UsageError("random weights take no files and no LoRAs; leave out one or the other")
        chosen = self.controls.get("autoencoder")
        unused = "autoencoder" if chosen == "tiny" else "tiny_autoencoder"
        if chosen is not None and unused in self.files:
            raise UsageError(f"a file is given as {unused}, but the {chosen} autoencoder is chosen; leave one out")

    def given(self) -> dict[str, Any]:
        """Return the options that are not at their defaults."""
        plain = LoadOptions()
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value != getattr(plain, name)}

    def to_dict(self) -> dict[str, Any]:
        """Return the options that are not at their defaults, for JSON."""
        return {name: dict(value) if isinstance(value, Mapping) else value for name, value in self.given().items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LoadOptions:
        """Return the options that `to_dict` wrote.

        Raises:
            UsageError: an option that does not exist.
        """
        cls.check_names(values)
        return cls(**values)

    @classmethod
    def check_names(cls, values: Mapping[str, Any]) -> None:
        """Raise UsageError for an option that does not exist, explaining how a model's control is given."""
        known = [one.name for one in fields(cls)]
        for name in values:
            if name not in known:
                as_control = json.dumps({"controls": {name: values[name]}}, default=str)
                raise UsageError(
                    f"no option {name!r} for loading a model; {nearest(name, known)}; one of the model's own controls "
                    f"is given as {as_control}"
                )
