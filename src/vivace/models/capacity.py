"""Out-of-memory errors of a stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vivace.errors import CapacityError
from vivace.models.base import StreamModel

_WORDS = ("out of memory", "defaultcpuallocator")
"""Lower-case parts of torch's out-of-memory messages for GPU and CPU, where its error has no class of its own."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means too little memory: Python's own, or torch's on a device or on the CPU."""
    # By class name, since torch is not imported here.
    on_device = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return on_device or isinstance(error, MemoryError) or any(words in str(error).lower() for words in _WORDS)


def out_of_memory(model: StreamModel[Any], size: tuple[int, int]) -> CapacityError:
    """Return the error for a stream that does not fit, naming a size that takes a quarter of the memory."""
    name = model.spec.name
    needs = f"{name} needs {_mib(model.nbytes(size))} for a stream of {size[0]}x{size[1]} px, which is not free"
    half = model.spec.nearest_size(size[0] / 2, size[1] / 2)
    if half == size:
        return CapacityError(f"{needs}; this is the smallest size, so close other streams or programs")
    return CapacityError(f"{needs}; {half[0]}x{half[1]} needs {_mib(model.nbytes(half))}, or close other streams")


@contextmanager
def memory_for(model: StreamModel[Any], size: tuple[int, int]) -> Iterator[None]:
    """Turn out-of-memory errors in the block into a CapacityError that says what the stream needs and what would fit.

    Raises:
        CapacityError: memory ran out.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, CapacityError) or ran_out_of_memory(error):
            raise out_of_memory(model, size) from error
        raise


def _mib(nbytes: int) -> str:
    return f"{max(1, round(nbytes / 2**20)):,} MiB"
