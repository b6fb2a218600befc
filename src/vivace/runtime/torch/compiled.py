"""Compilation with torch: for fixed shapes, and a probe that it works on this machine."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")
log = logging.getLogger(__name__)


SHAPES = 256
"""Most sets of shapes that one function may be compiled for in a process: picture sizes, rows, streams."""


def compile_static(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled as a single graph, separately for each set of shapes it is called with.

    A function that cannot be compiled as one graph raises an error when called; nothing falls back to Python silently.
    """
    # By default torch gives up at the ninth set of shapes.
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, SHAPES)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, 16 * SHAPES)
    return torch.compile(function, dynamic=False, fullgraph=True)


@functools.cache
def compiler_problem(device_type: str) -> str:
    """Return the reason why torch cannot compile for `cpu` or `cuda` here, or an empty string if it can.

    Takes seconds the first time in a process, and logs one line if there is a problem. A CPU needs a C++ compiler, CUDA
    a C compiler and Triton. Callers with a problem run eagerly and say so; a failure after a successful probe is an
    error.
    """

    def probe(x: torch.Tensor) -> torch.Tensor:
        return (x.sin() * x.cos()).sum(-1)

    x = torch.ones(8, 32, device=device_type)
    try:
        # The compiler imports deprecated parts of torch, which warn.
        with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
            compile_static(probe)(x)
    except (RuntimeError, ImportError, OSError) as error:
        # Text after the first paragraph is advice for torch's developers.
        reason = " ".join(str(error).strip().split("\n\n")[0].split())
        problem = f"torch cannot compile for {device_type} here: {reason}"
        log.warning("%s; running eagerly, which is slower", problem)
        return problem
    return ""
