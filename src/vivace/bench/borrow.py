"""Run this benchmark on the package of another checkout: `python -P borrow.py MODULE …`.

That package is first on the path. Everything under `vivace.bench` comes from here and everything else of `vivace` from
there, so that two versions are measured with one ruler. A program of its own, which imports nothing of the benchmark
before it is in place.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib import import_module
from pathlib import Path

import vivace


def main() -> int:
    """Put this benchmark in the place of the other package's, then run a module of it with its arguments."""
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
