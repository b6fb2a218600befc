"""Shared fixtures of the family's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import wan_mirror as toy
from vivace.checkpoints.files import Places
from vivace.models import describe
from vivace.models.base import RuntimeInfo
from vivace.models.loading import LoadOptions
from vivace.models.wan.load import load_components
from vivace.models.wan.model import WanModel
from vivace.models.wan.profile import WanProfile
from vivace.runtime.torch.device import open_device

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread_without_gradients() -> Iterator[None]:
    """Use one thread: tiny tensors lose time to more, and results stay the same on any machine."""
    before = torch.get_num_threads()
    for set_threads in (torch.set_num_threads, partial(open_device("cpu").call, torch.set_num_threads)):
        set_threads(1)
    with torch.inference_mode():
        yield
    for set_threads in (torch.set_num_threads, partial(open_device("cpu").call, torch.set_num_threads)):
        set_threads(before)


@pytest.fixture(scope="session")
def mirrors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the tiny profile of each shipped one."""
    return {name: toy.write(name, tmp_path_factory.mktemp(name)) for name in toy.PROFILES}


@pytest.fixture(scope="session")
def load(mirrors: dict[str, Path]) -> Callable[..., WanModel]:
    """Return a function that loads a model in float32, once for the same options."""
    loaded: dict[Any, WanModel] = {}

    def model(name: str, **options: Any) -> WanModel:
        key = (name, str(options))
        if key not in loaded:
            path = mirrors[name]
            profile = describe(str(path))
            assert isinstance(profile, WanProfile)
            places = Places(path.parent / "mirror", path.parent / "cache")
            components = load_components(profile, LoadOptions(**options), CPU, torch.float32, places)
            loaded[key] = WanModel(components, open_device("cpu"), info=RuntimeInfo("eager", "CPU", "f32"))
        return loaded[key]

    return model
