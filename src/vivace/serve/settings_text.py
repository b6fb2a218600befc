"""The table of settings as text: a settings file to begin with, and the reference in the documents."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from vivace.models.loading import LoadOptions
from vivace.serve.settings import SECTIONS, ServeSettings, flag_name, flag_of
from vivace.settings import MARKS

NOT_SHOWN = "not shown"
"""Text in place of a secret."""

UNSET: Mapping[str, Any] = {"marks": MARKS, "policy": None}
"""Defaults that the environment of all commands may change, as they are where it does not."""

HEAD = """\
# Settings of `vivace serve --config FILE`. Lines that begin with `# name =` show a default, or how a value is written.
# VIVACE_SERVE_NAME in the environment goes before this file, and a flag before both.
"""


def as_toml(settings: ServeSettings) -> str:
    """Return a settings file with every setting: those that differ from their defaults, and the rest as comments.

    Secrets are left out; a comment says that there is one.
    """
    plain = ServeSettings(**UNSET)
    lines = [HEAD]
    for name, field in ServeSettings.model_fields.items():
        if name in SECTIONS:
            lines += ["", f"# ---- {SECTIONS[name]} ----"]
        lines += ["", *textwrap.wrap(words(name), 118, initial_indent="# ", subsequent_indent="# ")]
        value, default = getattr(settings, name), getattr(plain, name)
        if value == default:
            plain_value = written(default)
            form = field.examples[0] if field.examples else ""
            lines.append(f"# {name} = {json.dumps(form) if plain_value is None else plain_value}")
        elif field.repr:
            lines.append(f"{name} = {written(value) or json.dumps('none')}")
        else:
            lines.append(f"# {name} is set, and {NOT_SHOWN} here")
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """Return the reference: a table of settings for each section."""
    plain = ServeSettings(**UNSET)
    lines: list[str] = []
    for name, field in ServeSettings.model_fields.items():
        if name in SECTIONS:
            lines += ["", f"## {SECTIONS[name]}", "", "| setting | default | meaning |", "|---|---|---|"]
        default = written(getattr(plain, name))
        form = f" Written as `{field.examples[0]}`." if field.examples else ""
        shown = "" if flag_of(name) is None else f", `{flag_name(name)}`"
        lines.append(f"| `{name}`{shown} | {'' if default is None else f'`{default}`'} | {words(name)}{form} |")
    return "\n".join(lines[1:]) + "\n"


def words(name: str) -> str:
    """Return the explanation of a setting, in one line."""
    return " ".join((ServeSettings.model_fields[name].description or "").split())


def written(value: Any) -> str | None:
    """Return a value as TOML; None for what is not set."""
    match value:
        case None | SecretStr():
            return None
        case bool() | int() | float():
            return json.dumps(value if isinstance(value, int) else round(value, 3))
        case tuple():
            return json.dumps(list(value))
        case frozenset():
            return json.dumps(",".join(sorted(value)) or "none")
        case LoadOptions():
            return written(value.to_dict())
        case Mapping():
            return "{" + ", ".join(f"{json.dumps(key)} = {written(inner)}" for key, inner in value.items()) + "}"
        case list():
            return "[" + ", ".join(filter(None, map(written, value))) + "]"
        case Path():
            return json.dumps(str(value))
        case _:
            return json.dumps(value)
