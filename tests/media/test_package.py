"""Public names of `vivace.media`, and the cost of importing it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vivace.media


@pytest.mark.parametrize("name", vivace.media.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(vivace.media, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        vivace.media.nonsense  # noqa: B018


def test_importing_media_loads_nothing_heavy() -> None:
    code = (
        "import sys, vivace.media, vivace.media.source; heavy = {'torch', 'openvino', 'PIL', 'av', 'tkinter'}; "
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
