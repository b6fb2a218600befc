"""Whether `torch.compile` works on this machine, found out by compiling something small once."""

from __future__ import annotations

import functools
import logging
import warnings

import torch

log = logging.getLogger(__name__)


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
            torch.compile(probe, dynamic=False, fullgraph=True)(x)
    except (RuntimeError, ImportError, OSError) as error:
        # What follows the first paragraph is advice for torch's developers.
        reason = " ".join(str(error).strip().split("\n\n")[0].split())
        problem = f"torch cannot compile for {device_type} here: {reason}"
        log.warning("%s; running eagerly, which is slower", problem)
        return problem
    return ""
