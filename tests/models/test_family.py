"""Another distribution adds a family of models by an entry point, without any change of the package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vivace.models
from vivace.cli import main
from vivace.errors import BackendUnavailableError, CheckpointError, UnknownModelError, UsageError
from vivace.models import describe, list_models, load_model, runtimes
from vivace.models.family import Family, families, family_of

FAMILY = """
from vivace.models.family import Family

FAMILY = Family(
    name="toy", runtimes=("eager",), load="toy_models.load:load", profiles="toy_models.profiles", heavy=False,
    install="pip install toy-models[all]",
)
"""
LOAD = """
from fakes import FakeModel

def load(profile, *, runtime, threads, options):
    return FakeModel()
"""
PROFILE = """
name = "toy"
family = "toy"
summary = "Adds."
licence = "MIT"
"""

Distribution = Callable[..., None]

OURS = ["causal-forcing", "live2diff", "liveedit", "longlive", "mini", "mini2", "self-forcing", "streamdiffusionv2"]


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distribution]:
    """Install a distribution for the test: an entry point, and files of its package."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(point: str = "toy = toy_models.family:FAMILY", /, **files: str) -> None:
        about = tmp_path / "toy_models-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-models\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[vivace.families]\n{point}\n")
        package = tmp_path / "toy_models"
        (package / "profiles").mkdir(parents=True)
        for name, text in {"family": FAMILY, "load": LOAD, "__init__": "", **files}.items():
            (package / f"{name}.py").write_text(text)
        (package / "profiles" / "toy.toml").write_text(PROFILE)
        importlib.invalidate_caches()
        families.cache_clear()

    yield install
    families.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy_models"]:
        del sys.modules[name]


def test_a_family_of_another_distribution_is_one_of_ours(
    distribution: Distribution, capsys: pytest.CaptureFixture[str]
) -> None:
    distribution()
    assert [profile.name for profile in list_models()][-1] == "toy"
    assert describe("toy").path.endswith("profiles")
    assert runtimes("toy") == ("eager",)
    assert load_model("toy").spec.family == "fake"
    run = ["run", "scene:gallery", "--model", "toy", "--size", "32x16", "--max-frames", "2", "-o", "null", "-p", "red"]
    assert main(run) == 0
    assert main(["models", "list"]) == 0
    assert "Adds." in capsys.readouterr().out


def test_its_profiles_may_have_keys_of_their_own(distribution: Distribution, tmp_path: Path) -> None:
    family = FAMILY.replace('name="toy",', 'name="toy", profile="toy_models.profile:ToyProfile",')
    profile = "from vivace.checkpoints.profile import Profile\nclass ToyProfile(Profile):\n    first: int = 1\n"
    distribution(family=family, profile=profile)
    assert describe("toy").first == 1
    path = tmp_path / "own.toml"
    path.write_text(f"{PROFILE}first = 9\n", "utf-8")
    assert describe(str(path)).first == 9
    path.write_text(f"{PROFILE}first = 'nine'\n", "utf-8")
    with pytest.raises(UsageError, match=r"own\.toml: first: Input should be a valid integer"):
        describe(str(path))
    path.write_text(PROFILE.replace('family = "toy"', 'family = "mini"') + "first = 9\n", "utf-8")
    with pytest.raises(UsageError, match="no key 'first' is known here"):
        describe(str(path))


@pytest.mark.parametrize(
    ("point", "files", "said"),
    [
        ("toy = toy_models.nowhere:FAMILY", {}, "the model family toy cannot be imported from toy_models.nowhere"),
        ("toy = toy_models.family:FAMILY", {"family": "1 / 0"}, "cannot be imported from .*: division by zero"),
        ("toy = toy_models.family:FAMILY", {"family": "FAMILY = 3"}, "is not the model family toy"),
        ("other = toy_models.family:FAMILY", {}, "is not the model family other"),
        ("mini = toy_models.family:FAMILY", {"family": FAMILY.replace('"toy"', '"mini"', 1)}, "mini is there already"),
    ],
)
def test_one_that_cannot_be_had_is_left_out_and_said(
    distribution: Distribution, point: str, files: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    distribution(point, **files)
    assert [profile.name for profile in list_models()] == OURS
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(caplog.text)
    with pytest.raises(UnknownModelError, match="no model 'toy'"):
        describe("toy")
    assert load_model("mini").spec.name == "mini"


def test_profiles_that_cannot_be_read_are_left_out_and_said(
    distribution: Distribution, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    distribution()
    odd = tmp_path / "toy_models" / "profiles" / "odd.toml"
    odd.write_text("name = 3")
    assert [profile.name for profile in list_models()] == OURS
    assert "the profiles of toy_models.profiles cannot be read: profile odd.toml" in caplog.text
    odd.write_bytes(b"name = '\xff'")
    assert [profile.name for profile in list_models()] == OURS
    assert "the profiles of toy_models.profiles cannot be read: 'utf-8' codec" in caplog.text


@pytest.mark.parametrize(
    ("family", "profile"),
    [
        ('profile="toy_models.profile:ToyProfile"', "import no_such_library"),
        ('profile="toy_models.profile:ToyProfile"', "1 / 0"),
        ('profile="toy_models.profile:ToyProfile"', ""),
        ('profile="toy_models.profile:ToyProfile"', "ToyProfile = print"),
        ('files="toy_models.nowhere"', ""),
    ],
)
def test_profiles_of_a_family_with_a_mistake_are_left_out_and_said(
    distribution: Distribution, family: str, profile: str, caplog: pytest.LogCaptureFixture
) -> None:
    distribution(family=FAMILY.replace('name="toy",', f'name="toy", {family},'), profile=profile)
    assert [profile.name for profile in list_models()] == OURS
    assert "the profiles of toy_models.profiles cannot be read: " in caplog.text


def test_a_model_that_is_there_already_stays(
    distribution: Distribution, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    distribution()
    (tmp_path / "toy_models" / "profiles" / "toy.toml").write_text(PROFILE.replace('name = "toy"', 'name = "mini"'))
    assert [profile.name for profile in list_models()] == OURS
    assert describe("mini").family == "mini"
    assert "the model mini is there already" in caplog.text


def test_what_a_family_needs_and_is_not_installed_is_named(distribution: Distribution) -> None:
    distribution(load="import no_such_library")
    with pytest.raises(
        BackendUnavailableError, match=r"family 'toy' needs no_such_library; pip install toy-models\[all\]"
    ):
        load_model("toy")


@pytest.mark.parametrize(
    "load",
    [
        "def load(profile, **_):\n    return 1 / 0",
        "import json\n\ndef load(profile, **_):\n    return json.loads('{')",
        "from vivace.models.controls import ControlSpec\n\n"
        "def load(profile, **_):\n    return ControlSpec(name='odd', help='', default='much')",
    ],
)
def test_a_mistake_in_the_family_itself_is_said_to_be_its_own(
    distribution: Distribution, load: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(load=load)
    assert main(["run", "scene:gallery", "--model", "toy", "-o", "null"]) == 1
    assert "This is a bug in toy-models. Please report it" in capsys.readouterr().err
    monkeypatch.setattr(vivace.models, "load_model", lambda *_, **__: 1 / 0)
    assert main(["run", "scene:gallery", "-o", "null"]) == 1
    assert "This is a bug in Vivace. Please report it" in capsys.readouterr().err


def test_what_is_no_model_is_not_taken_for_one(distribution: Distribution) -> None:
    distribution(load="def load(profile, **_):\n    return 3")
    with pytest.raises(CheckpointError, match="the family 'toy' loaded 'toy' as 3, which is no model"):
        load_model("toy")


def test_a_mistake_in_the_family_itself_is_not_taken_for_something_missing(distribution: Distribution) -> None:
    distribution(load="import toy_models.nothing")
    with pytest.raises(ModuleNotFoundError, match=r"toy_models\.nothing"):
        load_model("toy")


def test_a_profile_of_a_family_that_is_not_here_says_which_are(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text(PROFILE.replace('family = "toy"', 'family = "sana"'))
    with pytest.raises(
        CheckpointError, match="of family 'sana', which is not installed here; known: mini, mini2, live2diff, wan"
    ):
        load_model(str(path))


def test_ours_are_families_like_any_other() -> None:
    assert list(families()) == ["mini", "mini2", "live2diff", "wan"]
    assert all(isinstance(family, Family) for family in families().values())
    assert callable(family_of("mini", "mini").function(family_of("mini", "mini").load))
