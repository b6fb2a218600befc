"""What all tests of the family need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _no_gradients(one_torch_thread: None) -> Iterator[None]:
    with torch.inference_mode():
        yield
