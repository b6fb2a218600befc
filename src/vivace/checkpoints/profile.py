"""Profiles: what a model is, where its files come from, and every convention that is silently wrong when guessed.

A profile is a TOML file, one that a family brings or a user's own. Nothing here opens a weight file or imports
anything heavy.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from vivace.checks import Table, nearest
from vivace.errors import CheckpointError, UsageError, describe_invalid

LoraScaling = Literal["alpha", "reference"]
"""Scale of a LoRA: its own `alpha / rank`, or 1 as in Live2Diff's reference implementation."""

WidthsT = TypeVar("WidthsT")

UNKNOWN_LICENCE = "unknown: read it where you get the file"


def unique_names(paths: Iterable[str]) -> list[str]:
    """Return a name for every file, its own in the letters that names of controls have; a second one is counted."""
    names: list[str] = []
    for path in paths:
        plain = re.sub(r"[^\w .-]+", "_", Path(path).stem)[:80]
        counted = (f"{plain}-{number}" for number in count(2))
        names.append(next(name for name in chain([plain], counted) if name not in names))
    return names


class _Table(Table):
    """A table of a profile: a value of another type is a mistake, too."""

    model_config = ConfigDict(strict=True)


class FileVariant(_Table):
    """One form in which a file is published, and where."""

    path: str
    """Inside the repository; without one, inside the folder of models (or of the package)."""
    repo: str | None = None
    """On the Hugging Face hub, `owner/name`."""
    size: int | None = None
    """Bytes."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")

    @property
    def name(self) -> str:
        """Published name of the file, for messages."""
        return f"{self.repo}/{self.path}" if self.repo else self.path

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        inside = PurePosixPath(self.path)
        if inside.is_absolute() or ".." in inside.parts:
            raise ValueError(f"path must lie inside its folder, not {self.path!r}")
        if self.repo is not None and self.repo.count("/") != 1:
            raise ValueError(f"repo must be owner/name, not {self.repo!r}")
        return self


class FileSpec(FileVariant):
    """A file with its part in a model, in its usual form."""

    role: str = Field("", init=False)
    variants: Mapping[str, FileVariant] = {}
    """Other forms, by name, e.g. `fp16`."""
    licence: str = UNKNOWN_LICENCE
    why: str = ""
    optional: bool = False
    """True where the model runs without it."""
    unless: str = ""
    """Role whose presence makes this one needless."""
    obtain: str = ""
    """Way for a person to get it, where no program may fetch it."""

    @property
    def sources(self) -> tuple[FileVariant, ...]:
        """All forms, the usual one first."""
        return (self, *self.variants.values())

    def source(self, variant: str | None = None) -> FileVariant:
        """Return the form of a name, or the usual one where the file has none of that name."""
        return self.variants.get(variant or "", self)

    def named(self, role: str) -> Self:
        """Return the file in a role."""
        return self.model_copy(update={"role": role})


class Lora(FileSpec):
    """A LoRA of a style."""

    weight: float = 1.0


class Style(_Table):
    """Weights on top of a model's own, and the words that go with them; families add tables of theirs."""

    name: str = Field("", init=False)
    summary: str
    prompt: str = "{}"
    """Template of prompts, with `{}` for the user's words."""
    base: FileSpec | None = None
    """A whole model in one file, in place of the usual one."""
    loras: tuple[Lora, ...] = Field((), strict=False)
    words: Mapping[str, FileSpec] = {}
    """Learned words (textual inversions)."""

    @property
    def about(self) -> str:
        """Description for people."""
        return self.summary

    @property
    def files(self) -> tuple[FileSpec, ...]:
        """All files that only this style needs."""
        return (*([self.base] if self.base else []), *self.loras, *self.words.values())

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, prompt: str) -> str:
        if prompt.count("{}") != 1:
            raise ValueError(f"must have one {{}} where the user's words go, not {prompt!r}")
        return prompt

    @field_validator("base")
    @classmethod
    def _name_base(cls, base: FileSpec | None) -> FileSpec | None:
        return base and base.named("base")

    @field_validator("loras")
    @classmethod
    def _name_loras(cls, loras: tuple[Lora, ...]) -> tuple[Lora, ...]:
        names = unique_names(lora.path for lora in loras)
        return tuple(lora.named(f"lora:{name}") for lora, name in zip(loras, names, strict=True))

    @field_validator("words")
    @classmethod
    def _name_words(cls, words: Mapping[str, FileSpec]) -> Mapping[str, FileSpec]:
        return {word: spec.named(f"word:{word}") for word, spec in words.items()}


class Profile(_Table):
    """A model; a family adds keys of its own in a subclass (`vivace.models.family.Family.profile`)."""

    name: str
    family: str
    summary: str
    licence: str
    lineage: str = ""
    """Ancestry of the weights that matters for commercial use."""
    revisions: Mapping[str, Annotated[str, Field(pattern="^[0-9a-f]{40}$")]] = {}
    """Commits on the hub, by repository; where there is none, the one that is pulled first is recorded and kept to."""
    files: Mapping[str, FileSpec] = {}
    """Files, by role."""
    conventions: Mapping[str, Any] = {}
    """Conventions that the weights were trained with, held against the code when the model is loaded."""
    network: Mapping[str, Mapping[str, Any]] = {}
    """Widths and depths, by part."""
    styles: Mapping[str, Style] = {}
    """The default first."""
    path: str = Field("", init=False)
    """Folder of the files that have no repository: the package's own, or the profile's."""
    called: str = Field("", init=False)
    """Name of the profile for commands: its own, or the path of its file."""

    def style(self, name: str | None = None) -> Style:
        """Return a style, the default one if no name is given.

        Raises:
            UsageError: there is none of that name; the message names the nearest.
        """
        wanted = next(iter(self.styles), "") if name is None else name
        if wanted not in self.styles:
            raise UsageError(f"model {self.name!r} has no style {wanted!r}; {nearest(wanted, self.styles)}")
        return self.styles[wanted]

    def widths(self, kind: Callable[..., WidthsT], part: str, **defaults: Any) -> WidthsT:
        """Return the widths and depths of a part of the network, those of `network` over `defaults`.

        Raises:
            UsageError: a width that does not exist.
        """
        table = {**defaults, **self.network.get(part, {})}
        try:
            return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
        except TypeError as error:
            raise UsageError(f"profile {self.name!r}, network.{part}: {error}") from error

    def needed(self, style: Style | None = None, *, given: frozenset[str] = frozenset()) -> list[FileSpec]:
        """Return the files the model does not run without, in a style, beside those `given` in these roles."""
        files = [*self.files.values(), *(style.files if style else ())]
        roles = {spec.role for spec in files if not spec.optional} | given
        return [spec for spec in files if not spec.optional and spec.unless not in roles and spec.role not in given]

    @model_validator(mode="before")
    @classmethod
    def _fill_in_files(cls, table: dict[str, Any]) -> dict[str, Any]:
        """Write out a file that ships with the package, `name = sha256`; the licence is the profile's unless told."""
        files, licence = table.get("files"), {"licence": table.get("licence", UNKNOWN_LICENCE)}
        if not isinstance(files, dict):
            return table
        tables = {key: {"path": key, "sha256": file} if isinstance(file, str) else file for key, file in files.items()}
        return table | {
            "files": {key: licence | file if isinstance(file, dict) else file for key, file in tables.items()}
        }

    @model_validator(mode="after")
    def _check_revisions(self) -> Self:
        repos = {source.repo for spec in self.files.values() for source in spec.sources if source.repo}
        if unknown := self.revisions.keys() - repos:
            raise ValueError(f"revisions: no file is of {min(unknown)!r}; {nearest(min(unknown), sorted(repos))}")
        return self

    @field_validator("files")
    @classmethod
    def _name_files(cls, files: Mapping[str, FileSpec]) -> Mapping[str, FileSpec]:
        return {role: spec.named(role) for role, spec in files.items()}

    @field_validator("styles")
    @classmethod
    def _name_styles(cls, styles: Mapping[str, Style]) -> Mapping[str, Style]:
        return {name: style.model_copy(update={"name": name}) for name, style in styles.items()}


def check_conventions(profile: Profile, computed: Mapping[str, Any]) -> None:
    """Refuse a profile whose conventions are not those this version computes with.

    Raises:
        CheckpointError: naming each difference.
    """
    told = profile.conventions
    differing = [key for key in computed if key not in told or told[key] != computed[key]]
    problems = [f"{key} is {computed[key]!r} here and {told.get(key, 'not given')!r} there" for key in differing]
    problems += [f"{key} = {told[key]!r} is not known here" for key in told if key not in computed]
    if problems:
        raise CheckpointError(
            f"the conventions of profile {profile.name!r} are of another model: {'; '.join(problems)}"
        )


def read_profile(text: str, name: str, class_of: Callable[[Any], type[Profile]] = lambda _: Profile) -> Profile:
    """Return the profile that a TOML text holds.

    Args:
        text: TOML.
        name: what the text is called.
        class_of: returns the class of a family's profiles, given what the text says its family is.

    Raises:
        UsageError: it is no profile; the message says where.
    """
    try:
        table = tomllib.loads(text)
        return class_of(table.get("family")).model_validate(table)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML ({error})") from error
    except ValidationError as error:
        raise UsageError(f"profile {name}: {describe_invalid(error.errors())}") from error
