"""Launcher of this benchmark on the package of another checkout: `python -P borrow.py MODULE …`.

That package is first on the path. Everything under `vivace.bench` is imported from here and the rest of `vivace` from
there, so that two versions are measured by the same benchmark. It is a separate program that imports nothing of the
benchmark before the paths are set.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path

import vivace


def main() -> int:
    """Install this benchmark in the other package, then run one of its modules with its arguments."""
    folder = Path(__file__).parent
    spec = importlib.util.spec_from_file_location(
        "vivace.bench", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = bench
    vivace.bench = bench
    spec.loader.exec_module(bench)
    code: int = import_module(sys.argv[1]).main(sys.argv[2:])
    return code


if __name__ == "__main__":
    sys.exit(main())
