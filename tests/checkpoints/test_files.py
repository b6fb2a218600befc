"""Files are found by their role: first the user's, then the folder of models, then the hub's cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from vivace.checkpoints.files import Places, hub_cache, locate, models_folder
from vivace.checkpoints.profile import Profile
from vivace.errors import CheckpointError, UsageError
from vivace.models import describe

PROFILE = """
name = "mine"
family = "felt"
summary = "s"
licence = "MIT"
[files.unet]
repo = "owner/name"
path = "unet/weights.safetensors"
variants.fp16 = { repo = "owner/name", path = "unet/weights.fp16.safetensors" }
variants.folder = { path = "Model/weights.safetensors" }
[files.extra]
repo = "owner/other"
path = "extra.bin"
optional = true
[styles.plain]
summary = "s"
[styles.wool]
summary = "s"
loras = [{ path = "LoRA/wool.safetensors", obtain = "a shepherd" }]
"""


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    (tmp_path / "profile").mkdir()
    path = tmp_path / "profile" / "mine.toml"
    path.write_text(PROFILE, "utf-8")
    return describe(str(path))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "models", tmp_path / "hub")


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def in_cache(places: Places, repo: str, name: str, revision: str = "abc") -> Path:
    folder = places.cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(revision)
    return put(folder / "snapshots" / revision / name)


def test_the_nearest_place_goes_first(profile: Profile, places: Places, tmp_path: Path) -> None:
    def found(**given: str) -> Path:
        return locate(profile, profile.style(), given=given, places=places)["unet"]

    # From the last place to the first, each has precedence over those before it.
    assert put(places.folder / "Model/weights.safetensors") == found()
    assert in_cache(places, "owner/name", "unet/weights.fp16.safetensors") == found()
    assert in_cache(places, "owner/name", "unet/weights.safetensors") == found()
    assert put(places.folder / "owner/name/unet/weights.safetensors") == found()
    own = put(tmp_path / "own.safetensors")
    assert found(unet=str(own)) == own


def test_the_newest_revision_of_the_cache_counts(profile: Profile, places: Places) -> None:
    in_cache(places, "owner/name", "unet/weights.safetensors", "old")
    new = in_cache(places, "owner/name", "unet/weights.safetensors", "new")
    assert locate(profile, profile.style(), places=places)["unet"] == new


def test_what_is_missing_is_named_with_the_way_to_get_it(profile: Profile, places: Places) -> None:
    with pytest.raises(CheckpointError) as caught:
        locate(profile, profile.style("wool"), also=["extra"], places=places)
    said = str(caught.value)
    assert "owner/name/unet/weights.safetensors" in said
    assert "owner/other/extra.bin" in said
    assert f"vivace models pull {profile.called} --style wool --all" in said
    assert "LoRA/wool.safetensors (a shepherd)" in said
    assert f"belongs into {places.folder}" in said


def test_files_of_no_role_and_files_that_are_not_there_are_refused(profile: Profile, places: Places) -> None:
    with pytest.raises(UsageError, match="no file 'unett'; known: base, extra, unet"):
        locate(profile, profile.style(), given={"unett": "x"}, places=places)
    with pytest.raises(CheckpointError, match=r"/nowhere/x, given as unet, does not exist"):
        locate(profile, profile.style(), given={"unet": "/nowhere/x"}, places=places)


def test_places_are_those_of_the_environment() -> None:
    assert models_folder({"VIVACE_MODELS_DIR": "/a"}) == Path("/a")
    assert models_folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/vivace/models")
    assert hub_cache({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}) == Path("/a")
    assert hub_cache({"HF_HOME": "/b"}) == Path("/b/hub")
    assert hub_cache({}) == Path.home() / ".cache/huggingface/hub"
