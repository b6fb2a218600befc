"""Files of a page in one: a browser on a small machine needs ten milliseconds for each that it asks for.

The modules and style sheets in `web/` stand alone, and whoever imports one is served that one. A page asks for
`/bundle/` and the name of its own, and gets it with all that it imports, each file after those it needs. Modules then
share a scope: a name at the top of one is no other's, which a test holds.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath

_IMPORT = re.compile(r'^(?:(?:import|export) \{[^}]*\} from|@import) "(\.[^"]+)";\n', re.MULTILINE)
_EXPORTED = re.compile(r"^export (?=(?:async function|function|class|const|let) )", re.MULTILINE)


def bundle(folder: Path, name: str) -> str:
    """Return a module or style sheet `name` of a folder, such as `studio/main.js`, with all that it imports.

    Raises:
        FileNotFoundError: there is none.
    """
    parts: dict[str, str] = {}
    _collect(folder, name, parts)
    return "\n".join(parts.values())


def imported(text: str, name: str) -> list[str]:
    """Return the names of the files that the text of one, `name`, imports."""
    return [normpath(join(dirname(name), other)) for other in _IMPORT.findall(text)]


def _collect(folder: Path, name: str, parts: dict[str, str]) -> None:
    """Put a file into `parts` by its name, after those that it imports."""
    text = (folder / name).read_text("utf-8")
    for other in imported(text, name):
        if other not in parts:
            _collect(folder, other, parts)
    parts[name] = _EXPORTED.sub("", _IMPORT.sub("", text))
