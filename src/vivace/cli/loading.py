"""Flags that say how a model is loaded, the same for every command that loads one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from vivace.errors import UsageError

if TYPE_CHECKING:
    from vivace.models.controls import ControlSpec
    from vivace.models.loading import LoadOptions

MODEL = Group("Model", sort_key=4)
FILES = Group("Files", sort_key=5)
MACHINE = Group("Machine", sort_key=6)


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFlags:
    """The flags."""

    style: Annotated[str | None, Parameter(group=MODEL)] = None
    """A style of the model, one of those `vivace models show` names; its default if not given."""
    set: Annotated[list[str] | None, Parameter(group=MODEL, negative=())] = None
    """A control of the model's own, as NAME=VALUE; `vivace models show` names them. Of a picture, VALUE is a file or an
    address. Once for each."""

    lora: Annotated[list[str] | None, Parameter(group=FILES, negative=())] = None
    """A LoRA on top of the style's, as PATH or PATH=WEIGHT; once for each."""
    file: Annotated[list[str] | None, Parameter(group=FILES, negative=())] = None
    """A file of your own for one of the model's, as ROLE=PATH; `vivace models show` names the roles. Once for each."""

    device: Annotated[str | None, Parameter(group=MACHINE)] = None
    """`cpu`, `cuda` or `cuda:N`; a GPU where there is one and the model can use it, if not given."""
    runtime: Annotated[str | None, Parameter(group=MACHINE)] = None
    """Runtime of the network, one of those `vivace models show` names; the fastest there is if not given."""
    precision: Annotated[Literal["f32", "bf16", "f16", "int8"] | None, Parameter(group=MACHINE)] = None
    """Precision to compute in; what the device is fast at if not given."""

    def load_options(self, model: str, *, steps: int | None = None) -> tuple[LoadOptions, dict[str, str]]:
        """Return the options these flags are, and what is typed for controls that each stream has, by name.

        Args:
            model: whose they are.
            steps: of a model whose steps are settled when it is loaded.

        Raises:
            UsageError: a value that cannot be used, with its flag.
        """
        from vivace.models.loading import LoadOptions

        typed = texts_by_name("--set", "NAME=VALUE", self.set or ())
        settled = _loading_controls(model) if typed else {}
        given = {
            "style": self.style,
            "steps": steps,
            "device": self.device,
            "precision": self.precision,
            "files": texts_by_name("--file", "ROLE=PATH", self.file or ()),
            "loras": _loras(self.lora or ()),
            "controls": {
                name: control.check(control.parse(typed.pop(name)))
                for name, control in settled.items()
                if name in typed
            },
        }
        return LoadOptions.from_dict({name: value for name, value in given.items() if value is not None}), typed


def _loading_controls(model: str) -> dict[str, ControlSpec]:
    from vivace.models import describe, family_of

    return {control.name: control for control in family_of(describe(model).family, model).loading}


def texts_by_name(flag: str, form: str, pairs: Iterable[str]) -> dict[str, str]:
    """Return what `NAME=VALUE` pairs say; `form` is how they look, for the message.

    Raises:
        UsageError: another form.
    """
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (equals and name.strip() and text.strip()):
            raise UsageError(f"{flag} {pair[:80]!r}: give {form}")
        if name.strip() in texts:
            raise UsageError(f"{flag} {name.strip()[:80]} is given twice; give it once")
        texts[name.strip()] = text.strip()
    return texts


def _loras(texts: Iterable[str]) -> dict[str, float]:
    """Return weights by path.

    Raises:
        UsageError: a path twice.
    """
    weights: dict[str, float] = {}
    for path, weight in map(_lora, texts):
        if path in weights:
            raise UsageError(f"--lora {path} is given twice; give it once, with one weight")
        weights[path] = weight
    return weights


def _lora(text: str) -> tuple[str, float]:
    """Return a path and its weight; what stands after the last `=` is a weight if it is a number."""
    path, equals, weight = text.rpartition("=")
    if equals and path:
        try:
            return path, float(weight)
        except ValueError:
            pass  # the sign belongs to the path
    return text, 1.0
