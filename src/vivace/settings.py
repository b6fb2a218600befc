"""Settings from the environment, for all commands; those of the server are in `vivace.serve.settings`.

| variable | meaning | default |
|---|---|---|
| `VIVACE_MODEL` | model used when a command names none | `mini` |
| `VIVACE_THREADS` | CPU threads the model may use | what the machine has |
| `VIVACE_MODELS_DIR` | folder of models (read by `vivace.checkpoints.files`) | `vivace/models` in the user's cache |
| `VIVACE_MARKS` | what marks pictures as repainted (of `credentials`, `label`, `watermark`), or `none` | all |
| `VIVACE_POLICY` | file of what is not painted, or `off` | the list that comes with Vivace |
| `VIVACE_DEBUG` | `1` shows tracebacks instead of messages | off |
| `VIVACE_WHIP_TOKEN`, `VIVACE_WHEP_TOKEN` | bearer tokens of addresses to publish to and to watch | none |
| `VIVACE_TOKEN` | token of `vivace cluster`, with the scope `admin` | none |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from vivace.errors import UsageError

Mark = Literal["credentials", "label", "watermark"]
MARKS: frozenset[Mark] = frozenset(get_args(Mark))
"""Marks of repainted pictures by default."""

VARIABLES = (
    *("VIVACE_MODEL", "VIVACE_THREADS", "VIVACE_MODELS_DIR", "VIVACE_MARKS", "VIVACE_POLICY", "VIVACE_DEBUG"),
    *("VIVACE_WHIP_TOKEN", "VIVACE_WHEP_TOKEN", "VIVACE_TOKEN"),
)
"""Names of the variables above."""
ALIKE = 0.85
"""Similarity, 0 to 1, from which a name is taken for a misspelt one. Others may begin with `VIVACE_` and be somebody
else's."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings from the environment; command-line flags override them."""

    model: str = "mini"
    threads: int | None = None
    policy: str | None = None
    """Policy file, `off`, or None for the list that comes with Vivace."""
    debug: bool = False
    marks: frozenset[Mark] = MARKS

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the `VIVACE_…` variables.

        Raises:
            UsageError: a misspelt name, or a value that cannot be used, with the variable's name.
        """
        for name in sorted(name for name in environ if name.startswith("VIVACE_") and name not in VARIABLES):
            if not name.startswith("VIVACE_SERVE_") and (meant := get_close_matches(name, VARIABLES, 1, ALIKE)):
                raise UsageError(f"there is no setting {name}; did you mean {meant[0]}? Unset it, or spell it so.")
        threads = environ.get("VIVACE_THREADS", "").strip()
        if threads and not (threads.isdecimal() and int(threads) > 0):
            raise UsageError(f"VIVACE_THREADS is {threads!r}; give a whole number of threads from 1, or unset it.")
        marks = environ.get("VIVACE_MARKS", "").strip()
        named = {name.strip() for name in marks.split(",")} - {"none", ""} if marks else MARKS
        if unknown := sorted(named - MARKS):
            raise UsageError(f"VIVACE_MARKS names {unknown[0]!r}; give some of {', '.join(sorted(MARKS))}, or none.")
        return cls(
            model=environ.get("VIVACE_MODEL", "").strip() or "mini",
            threads=int(threads) if threads else None,
            marks=frozenset(mark for mark in MARKS if mark in named),
            policy=environ.get("VIVACE_POLICY", "").strip() or None,
            debug=environ.get("VIVACE_DEBUG", "").strip() not in ("", "0"),
        )


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of a user's persistent state: keys and certificates."""
    return Path(environ.get("XDG_STATE_HOME", "").strip() or Path.home() / ".local" / "state") / "vivace"
