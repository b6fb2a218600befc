"""The recorded runs of the reference, and a tiny network for the laws.

`VIVACE_LIVE2DIFF_GOLDEN` names another folder of recordings to run the same tests against.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.runtime.torch.device import open_device

Case = dict[str, Tensor]
DEFAULT = Path(__file__).parents[2] / "golden" / "live2diff"

RECORDED = UNetConfig(channels=(32, 64, 96, 96), groups=8, text_channels=32)
TINY = UNetConfig(channels=(32, 32), layers=1, groups=8, text_channels=8, depth_channels=(4, 8))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one thread: tiny tensors lose time to more, and results stay the same on any machine."""
    before = torch.get_num_threads()
    for set_threads in (torch.set_num_threads, partial(open_device("cpu").call, torch.set_num_threads)):
        set_threads(1)
    yield
    for set_threads in (torch.set_num_threads, partial(open_device("cpu").call, torch.set_num_threads)):
        set_threads(before)


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    return Path(os.environ.get("VIVACE_LIVE2DIFF_GOLDEN") or DEFAULT)


@pytest.fixture(scope="session")
def golden(golden_folder: Path) -> Callable[[str], Case]:
    """Return a recording by name; tensors stored in fewer bits are float32 again, as in the reference's run."""

    def load(name: str) -> Case:
        tensors = load_file(golden_folder / f"{name}.safetensors")
        return {key: value.float() if value.is_floating_point() else value for key, value in tensors.items()}

    return load


@pytest.fixture(scope="session")
def make_recorded_unet(golden: Callable[[str], Case]) -> Callable[[], Live2DiffUNet]:
    """Return the network of the recordings, for tests that change it."""

    def make() -> Live2DiffUNet:
        unet = Live2DiffUNet(RECORDED)
        unet.load_state_dict(golden("unet_weights"))
        return unet.eval()

    return make


@pytest.fixture(scope="session")
def recorded_unet(make_recorded_unet: Callable[[], Live2DiffUNet]) -> Live2DiffUNet:
    """Return the network of the recordings; no test changes it."""
    return make_recorded_unet()


@pytest.fixture(scope="session")
def tiny_unet() -> Live2DiffUNet:
    """Return a network of two levels with random weights, in which every part matters; no test changes it."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Live2DiffUNet(TINY).eval()
