"""`python -m vivace` is the `vivace` command."""

import sys

from vivace.cli import main

if __name__ == "__main__":
    sys.exit(main())
