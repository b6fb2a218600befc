import subprocess
import sys

import pytest

import vivace
import vivace.errors
from patience import PATIENCE_S

PINNED = {
    "Ack", "BackendUnavailableError", "CapacityError", "CheckpointError", "ControlError", "DecodeError",
    "DeviceError", "Frame", "LoadOptions", "MediaError", "PolicyError", "SessionClosedError", "SinkError",
    "SinkUnsupportedError", "SinkWriteError", "SourceError", "SourceLostError", "SourceNotFoundError",
    "SourceStalledError",
    "SourceUnsupportedError", "Stats", "StepError", "Stream", "UnknownModelError", "UnknownPromptError", "UsageError",
    "VivaceError", "__version__", "list_models", "load_model", "open_sink", "open_source",
}  # fmt: skip


def test_the_public_names_are_these():
    assert set(vivace.__all__) == PINNED
    assert len(vivace.__all__) == len(PINNED)
    assert dir(vivace) == sorted(PINNED)


def test_every_error_is_public():
    classes = {name: value for name, value in vars(vivace.errors).items() if isinstance(value, type)}
    errors = {name for name, value in classes.items() if issubclass(value, vivace.errors.VivaceError)}
    assert "StepError" in errors
    assert errors <= PINNED


@pytest.mark.parametrize("name", sorted(PINNED))
def test_every_public_name_can_be_had(name):
    assert getattr(vivace, name) is getattr(vivace, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        vivace.nonsense  # noqa: B018


def test_importing_the_package_is_cheap():
    code = (
        "import sys, vivace; dir(vivace); vivace.StepError\n"
        "heavy = {'numpy', 'av', 'openvino', 'PIL', 'torch', 'rich', 'cyclopts'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)


def test_a_stream_needs_neither_torch_nor_openvino_nor_av():
    code = (
        "import sys, vivace; vivace.Stream\n"
        "heavy = {'av', 'openvino', 'PIL', 'torch', 'rich', 'cyclopts'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_S)
