"""Sources of a server's settings: flags before environment before settings file before defaults."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vivace.checks import nearest
from vivace.errors import UsageError, describe_invalid
from vivace.serve.settings import ServeSettings, flag_name

ENV_PREFIX = "VIVACE_SERVE_"


def read_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    usual: Mapping[str, Any] | None = None,
) -> ServeSettings:
    """Return the settings of a server.

    Args:
        flags: what the command line says, by setting.
        file: a settings file (TOML), its keys being settings.
        environ: where `VIVACE_SERVE_<NAME>` is looked for.
        usual: what takes the place of defaults.

    Raises:
        UsageError: a name that is no setting, or a value that cannot be used, with where it stands.
    """
    in_file = {} if file is None else _read_file(file)
    in_environment = _read_environment(environ)
    by_flags = dict(flags or {})
    origins = {name: f"{name} in {file}" for name in in_file}
    origins |= {name: f"{ENV_PREFIX}{name.upper()}" for name in in_environment}
    origins |= {name: flag_name(name) for name in by_flags}
    values: dict[str, Any] = dict(usual or {})
    for found in (in_file, in_environment, by_flags):
        tables = {name: _merged(values.get(name), value) for name, value in found.items() if name == "loading"}
        values |= found | tables
    try:
        return ServeSettings(**values)
    except ValidationError as error:
        raise UsageError(" ".join(_refused(problem, origins) for problem in error.errors())) from error


def token_secret(*, file: Path | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the secret that tokens are signed with.

    Raises:
        UsageError: there is none, or the file cannot be used.
    """
    found = {**({} if file is None else _read_file(file)), **_read_environment(environ)}.get("token_secret")
    if not isinstance(found, str) or not found:
        raise UsageError(
            "there is no token secret; where it stands in the server's settings file, give that, --config vivace.toml; "
            f"else give the server and this command the same: export {ENV_PREFIX}TOKEN_SECRET=$(vivace serve secret)"
        )
    return found


def _read_file(path: Path) -> dict[str, Any]:
    """Return the settings that a file names.

    Raises:
        UsageError: it cannot be read, is no TOML, or names what is no setting.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"the settings file {path} cannot be read ({error.strerror}); check --config") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the settings file {path} is no text in UTF-8; write it as TOML") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the settings file {path} is no TOML: {error}; write NAME = VALUE, text in quotes") from None
    for name in table:
        _check_name(name, str(path))
    return table


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that the environment names: `NAME`, or `NAME__KEY` of one that is a table.

    Raises:
        UsageError: a variable that is no setting.
    """
    found: dict[str, Any] = {}
    for variable in sorted(name for name in environ if name.startswith(ENV_PREFIX)):
        name, *keys = variable.removeprefix(ENV_PREFIX).lower().split("__")
        _check_name(name, variable)
        value = _read_text(environ[variable]) if keys or _is_structured(name) else environ[variable]
        for key in reversed(keys):
            value = {key: value}
        found[name] = _merged(found.get(name), value)
    return found


def _check_name(name: str, where: str) -> None:
    if name not in ServeSettings.model_fields:
        raise UsageError(f"{where}: there is no setting {name[:60]!r}; {nearest(name, ServeSettings.model_fields)}")


def _is_structured(name: str) -> bool:
    return bool(ServeSettings.model_fields[name].examples)


def _read_text(text: str) -> Any:
    """Return a list or an object that is written as JSON; any other text as it is."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text  # the setting refuses it, with its name


def _merged(before: Any, value: Any) -> Any:
    """Return a value laid over an earlier one: of two tables, all keys of both."""
    if not (isinstance(before, dict) and isinstance(value, dict)):
        return value
    return {**before, **{key: _merged(before.get(key), inner) for key, inner in value.items()}}


def _refused(problem: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """Return what is wrong with a setting (of `ValidationError.errors()`), its form, and where it stands."""
    name = str(problem["loc"][0])
    field = ServeSettings.model_fields[name]
    shown = {key: value for key, value in problem.items() if key != "input" or field.repr}
    form = f"; give it as {field.examples[0]}" if field.examples else ""
    return f"setting {describe_invalid([shown])}{form}; change {origins.get(name, name)}."
