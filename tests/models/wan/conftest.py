"""What all tests of the family need."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch

from vivace.runtime.torch.device import open_device


@pytest.fixture(autouse=True)
def _one_thread_without_gradients() -> Iterator[None]:
    """Tiny tensors lose time to threads, and results stay the same on any machine."""
    before = torch.get_num_threads()
    for set_threads in (torch.set_num_threads, partial(open_device("cpu").call, torch.set_num_threads)):
        set_threads(1)
    with torch.inference_mode():
        yield
    for set_threads in (torch.set_num_threads, partial(open_device("cpu").call, torch.set_num_threads)):
        set_threads(before)
