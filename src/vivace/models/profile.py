"""Profiles: what a model is, where its files come from, and every convention that is silently wrong when guessed.

A profile is a TOML file, one of those in `profiles/` or a user's own. Nothing here opens a weight file or imports
anything heavy.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from vivace.errors import CheckpointError, UnknownModelError, UsageError

UNKNOWN_LICENCE = "unknown: read it where you get the file"


@dataclass(frozen=True, slots=True)
class Source:
    """One form in which a file is published, and where."""

    path: str
    """Inside the repository; without one, inside the folder of models (or of the package)."""
    repo: str | None = None
    """On the Hugging Face hub, `owner/name`."""
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    variant: str = ""
    """Name of this form where it is not the usual one, e.g. `fp16`."""

    @property
    def name(self) -> str:
        """What people are shown: where the file is published."""
        return f"{self.repo}/{self.path}" if self.repo else self.path


@dataclass(frozen=True, slots=True)
class FileSpec:
    """A file with its part in a model."""

    role: str
    sources: tuple[Source, ...]
    """The usual form first."""
    licence: str = UNKNOWN_LICENCE
    why: str = ""
    optional: bool = False
    """Whether the model runs without it."""
    unless: str = ""
    """Role whose presence makes this one needless."""
    obtain: str = ""
    """Where a person gets it, for what no program may fetch."""

    @property
    def usual(self) -> Source:
        """The form to get where the user has no wish."""
        return self.sources[0]

    def source(self, variant: str | None = None) -> Source:
        """Return the form of a name, or the usual one where the file has none of that name."""
        return next((one for one in self.sources if one.variant == variant), self.usual)


@dataclass(frozen=True, slots=True)
class Style:
    """A look: weights on top of the model's own, steps and words."""

    name: str
    summary: str
    template: str = "{}"
    """What a prompt is put into, at `{}`."""
    t_index: tuple[int, ...] = ()
    """Timesteps, as indices that the family understands."""
    clip_skip: int = 0
    """Last layers of the text encoder to leave out."""
    base: FileSpec | None = None
    """A whole model in one file, in place of the usual one."""
    loras: tuple[tuple[FileSpec, float], ...] = ()
    """With their weights."""
    words: Mapping[str, FileSpec] = field(default_factory=dict)
    """Learned words (textual inversions)."""

    @property
    def files(self) -> tuple[FileSpec, ...]:
        """All files that only this style needs."""
        return (*([self.base] if self.base else []), *(spec for spec, _ in self.loras), *self.words.values())


@dataclass(frozen=True, slots=True)
class Profile:
    """What a model is."""

    name: str
    family: str
    summary: str
    licence: str
    files: Mapping[str, FileSpec]
    """By role."""
    conventions: Mapping[str, Any]
    """What the weights were trained with; held against the code when the model is loaded."""
    path: str
    """Folder of the files that have no repository: the package's own, or the profile's."""
    called: str
    """What a user names it by: its name, or the path of its file."""
    network: Mapping[str, Any] = field(default_factory=dict)
    """Widths and depths, by part."""
    styles: Mapping[str, Style] = field(default_factory=dict)
    """The default first."""

    def style(self, name: str | None = None) -> Style:
        """Return a style, the default one if no name is given.

        Raises:
            UsageError: there is none of that name; the message names the nearest.
        """
        wanted = next(iter(self.styles), "") if name is None else name
        if wanted not in self.styles:
            raise UsageError(f"model {self.name!r} has no style {wanted!r}; {_nearest(wanted, self.styles)}")
        return self.styles[wanted]

    def needed(self, style: Style | None = None, *, given: frozenset[str] = frozenset()) -> list[FileSpec]:
        """Return the files the model does not run without, in a style, beside those `given` in these roles."""
        files = [*self.files.values(), *(style.files if style else ())]
        roles = {spec.role for spec in files if not spec.optional} | given
        return [spec for spec in files if not spec.optional and spec.unless not in roles and spec.role not in given]


def list_models() -> list[Profile]:
    """Return the profiles of all models that come with Vivace, by name."""
    folder = resources.files("vivace.models") / "profiles"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return [_read((folder / name).read_text("utf-8"), name, None) for name in names]


def describe(name: str) -> Profile:
    """Return the profile of a model, by its name or from a profile's own `.toml` file.

    Raises:
        UnknownModelError: there is none; the message names the nearest.
        UsageError: the file is no profile; the message says where.
    """
    if name.endswith(".toml"):
        try:
            return _read(Path(name).read_text("utf-8"), name, Path(name).parent)
        except (OSError, UnicodeDecodeError) as error:
            raise UnknownModelError(f"the profile {name} cannot be read ({error})") from error
    profiles = {profile.name: profile for profile in list_models()}
    if name not in profiles:
        raise UnknownModelError(f"no model {name[:80]!r}; {_nearest(name, profiles)} (see `vivace models list`)")
    return profiles[name]


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


def _nearest(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"known: {', '.join(known) or 'none'}"


# -- reading -----------------------------------------------------------------------------------------------------------


class _Table:
    """A TOML table that is taken apart key by key, so that what nobody takes is a mistake and not a silence."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self._left = dict(content)
        self._where = where

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """Return a value and check its type; a value without a default must be there."""
        if key not in self._left:
            if default is None:
                self.fail(f"{key} is missing")
            return default
        value = self._left.pop(key)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            self.fail(f"{key} must be {' or '.join(one.__name__ for one in kinds)}, not {value!r}")
        return value

    def maybe(self, key: str, kind: type) -> Any:
        """Return a value, or None."""
        return self.take(key, kind) if key in self._left else None

    def tables(self, key: str) -> dict[str, dict[str, Any]]:
        """Return the tables of a table, by name."""
        tables: dict[str, Any] = self.take(key, dict, {})
        for name, value in tables.items():
            if not isinstance(value, dict):
                self.fail(f"{key}.{name} must be a table, not {value!r}")
        return tables

    def finish(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            self.fail(f"no key {min(self._left)!r} is known here")

    def fail(self, words: str) -> NoReturn:
        """Say where what is wrong."""
        raise UsageError(f"{self._where}: {words}")


def _read(text: str, name: str, folder: Path | None) -> Profile:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML ({error})") from error
    table = _Table(content, f"profile {name}")
    family = table.take("family", str)
    licence = table.take("licence", str)
    files = table.take("files", dict, {})
    profile = Profile(
        name=table.take("name", str),
        family=family,
        summary=table.take("summary", str),
        licence=licence,
        files={role: _file(role, value, f"{name}, files.{role}", licence) for role, value in files.items()},
        conventions=table.take("conventions", dict, {}),
        path=str(folder if folder is not None else resources.files("vivace.models") / family),
        called=name if folder is not None else Path(name).stem,
        network=table.tables("network"),
        styles={key: _style(key, value, f"{name}, styles.{key}") for key, value in table.tables("styles").items()},
    )
    table.finish()
    return profile


def _file(role: str, value: Any, where: str, licence: str = UNKNOWN_LICENCE) -> FileSpec:
    if isinstance(value, str):  # a file that ships with the package: name = sha256
        return FileSpec(role, (Source(role, sha256=value),), licence)
    if not isinstance(value, dict):
        raise UsageError(f"profile {where} must be a table or a sha256, not {value!r}")
    table = _Table(value, f"profile {where}")
    variants = table.tables("variants")
    spec = FileSpec(
        role,
        (
            _source(table, ""),
            *(_variant(key, one, f"{where}.variants.{key}") for key, one in variants.items()),
        ),
        licence=table.take("licence", str, licence),
        why=table.take("why", str, ""),
        optional=table.take("optional", bool, False),
        unless=table.take("unless", str, ""),
        obtain=table.take("obtain", str, ""),
    )
    table.finish()
    return spec


def _variant(name: str, value: Mapping[str, Any], where: str) -> Source:
    table = _Table(value, f"profile {where}")
    source = _source(table, name)
    table.finish()
    return source


def _source(table: _Table, variant: str) -> Source:
    source = Source(
        path=table.take("path", str),
        repo=table.maybe("repo", str),
        size=table.maybe("size", int),
        sha256=table.maybe("sha256", str),
        variant=variant,
    )
    inside = PurePosixPath(source.path)
    if inside.is_absolute() or ".." in inside.parts:
        table.fail(f"path must lie inside its folder, not {source.path!r}")
    if source.repo is not None and source.repo.count("/") != 1:
        table.fail(f"repo must be owner/name, not {source.repo!r}")
    if source.sha256 is not None and (len(source.sha256) != 64 or not set(source.sha256) <= set("0123456789abcdef")):
        table.fail(f"sha256 must be 64 hexadecimal digits, not {source.sha256!r}")
    return source


def _style(name: str, value: Mapping[str, Any], where: str) -> Style:
    table = _Table(value, f"profile {where}")
    base = table.maybe("base", dict)
    loras = []
    for index, entry in enumerate(table.take("loras", list, [])):
        one = _Table(entry, f"profile {where}.loras.{index}")
        weight = float(one.take("weight", (int, float), 1.0))
        rest = {key: item for key, item in entry.items() if key != "weight"}
        loras.append((_file(f"lora:{Path(rest.get('path', '')).stem}", rest, f"{where}.loras.{index}"), weight))
    style = Style(
        name=name,
        summary=table.take("summary", str),
        template=table.take("prompt", str, "{}"),
        t_index=tuple(table.take("t_index", list, [])),
        clip_skip=table.take("clip_skip", int, 0),
        base=None if base is None else _file("base", base, f"{where}.base"),
        loras=tuple(loras),
        words={
            word: _file(f"word:{word}", entry, f"{where}.words.{word}") for word, entry in table.tables("words").items()
        },
    )
    if style.template.count("{}") != 1:
        table.fail(f"prompt must have one {{}} where the user's words go, not {style.template!r}")
    table.finish()
    return style
