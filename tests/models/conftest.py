"""Model of random weights that the tests of `mini2` share: exporting one takes seconds."""

from __future__ import annotations

import pytest

from mini2_folder import random_folder


@pytest.fixture(scope="session")
def mini2_profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    return random_folder(tmp_path_factory.mktemp("mini2"))
