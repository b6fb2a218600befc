"""A program for a test: `vivace serve` with a model that never finishes loading, told to stop meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from vivace.cli import main
from vivace.serve.offered_models import OfferedModels


def never(_models: OfferedModels, _name: str) -> Any:
    """Stop the server, and load for ever."""
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    threading.Event().wait()


OfferedModels._load = never  # type: ignore[method-assign]
sys.exit(main(["serve", "--port", "0"]))
