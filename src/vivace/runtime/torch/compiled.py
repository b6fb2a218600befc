"""Compiling with torch: for fixed shapes, and whether it works on this machine at all."""

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
"""Sets of shapes that one function may be compiled for in a process: sizes of pictures, numbers of rows and streams."""


def compile_static(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function compiled for the shapes it is called with, as a whole; anew for every set of shapes.

    What cannot be compiled as one graph is an error when it is called, and nothing is ever left to Python in silence.
    """
    # By default torch gives up at the ninth set of shapes.
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, SHAPES)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, 16 * SHAPES)
    return torch.compile(function, dynamic=False, fullgraph=True)


@functools.cache
def compiler_problem(device_type: str) -> str:
    """Return why torch cannot compile for `cpu` or `cuda` here, or nothing if it can.

    Takes seconds the first time in a process, and logs one line if there is a problem. A CPU needs a C++ compiler, CUDA
    a C compiler and Triton. Who is told of a problem runs eagerly and says so; what fails after this has passed is an
    error.
    """

    def probe(x: torch.Tensor) -> torch.Tensor:
        return (x.sin() * x.cos()).sum(-1)

    x = torch.ones(8, 32, device=device_type)
    try:
        # The compiler imports what torch has deprecated, and says so.
        with torch.inference_mode(), warnings.catch_warnings(action="ignore"):
            compile_static(probe)(x)
    except (RuntimeError, ImportError, OSError) as error:
        # What follows the first paragraph is advice for torch's developers.
        reason = " ".join(str(error).strip().split("\n\n")[0].split())
        problem = f"torch cannot compile for {device_type} here: {reason}"
        log.warning("%s; running eagerly, which is slower", problem)
        return problem
    return ""
