"""Profiles: shipped ones are complete and true, a user's are read or refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vivace.checkpoints.profile import UNKNOWN_LICENCE, Profile, check_conventions
from vivace.errors import CheckpointError, UnknownModelError, UsageError
from vivace.models import describe, list_models, load_model
from vivace.models.loading import LoadOptions

LEAST = 'name = "mine"\nfamily = "live2diff"\nsummary = "s"\nlicence = "MIT"\n'
REPO = "[files.unet]\nrepo = 'a/b'\npath = 'c'\n"


def read(tmp_path: Path, text: str) -> Profile:
    path = tmp_path / "mine.toml"
    path.write_text(LEAST + text, "utf-8")
    return describe(str(path))


UNKNOWN_SIZES = {"live2diff": {"detector"}, "wan": {"generator", "lora", "tiny_autoencoder"}}
"""Roles of files whose size is unknown here; it is recorded when they are first pulled."""


def test_every_file_that_is_fetched_says_from_where_under_which_licence_and_what_for() -> None:
    for profile in list_models():
        for spec in profile.files.values():
            if spec.repo:
                assert spec.licence
                assert spec.why
                assert spec.size or spec.role in UNKNOWN_SIZES[profile.family]
    for style in describe("live2diff").styles.values():
        assert style.t_index
        for spec in style.files:
            assert "Civitai" in spec.obtain
            assert "unknown" in spec.licence


def test_a_style_with_a_base_needs_no_other_base() -> None:
    profile = describe("live2diff")
    plain = {spec.role for spec in profile.needed(profile.style())}
    felted = {spec.role for spec in profile.needed(profile.style("felted"))}
    assert plain - felted == {"unet", "unet_config", "text_encoder"}
    assert felted - plain == {"base", "lora:kFeltedReV"}
    assert "autoencoder" not in plain
    given = {spec.role for spec in profile.needed(profile.style(), given=frozenset({"base", "motion"}))}
    assert given == plain - {"unet", "unet_config", "text_encoder", "motion"}


def test_a_mistyped_name_finds_its_neighbour() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'live2diff'"):
        describe("live2dif")
    with pytest.raises(UsageError, match="did you mean 'felted'"):
        describe("live2diff").style("feltd")
    with pytest.raises(UsageError, match="known: none"):
        describe("mini").style("felted")


def test_a_profile_of_ones_own_is_read(tmp_path: Path) -> None:
    profile = read(tmp_path, '[files.unet]\nrepo = "a/b"\npath = "c/d"\nvariants.fp16 = { path = "e", repo = "a/b" }\n')
    assert profile.name == "mine"
    assert profile.called == str(tmp_path / "mine.toml")
    spec = profile.files["unet"]
    assert spec.name == "a/b/c/d"
    assert spec.source("fp16").path == "e"
    assert spec.source("other") is spec
    with pytest.raises(UnknownModelError, match="cannot be read"):
        describe(str(tmp_path / "other.toml"))


def test_a_key_that_is_not_known_hides_no_other_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "colour = 1\nshape = 2\nfiles = 3")
    for words in ("no key 'colour'", "no key 'shape'", "files: Input should be a valid dictionary (it is 3)"):
        assert words in str(caught.value)
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "[files.unet]\nsice = 3\nsha256 = 'abc'")
    for words in ("files.unet: no key 'sice'", "files.unet.path: Field required", "files.unet.sha256: String should"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "no key 'colour' is known here; known: name, family, "),
        ("[style.one]\nsummary = 's'", "no key 'style' is known here; did you mean 'styles'?"),
        ("called = 'x'", "no key 'called' is known here"),
        ("files = 3", "files: Input should be a valid dictionary (it is 3)"),
        ("[files.unet]\nrepo = 'a/b'", "files.unet.path: Field required"),
        ("[files.unet]\nrepo = 'a'\npath = 'b'", "files.unet: repo must be owner/name, not 'a'"),
        ("[files.unet]\npath = '../b'", "inside its folder"),
        ("[files.unet]\npath = '/b'", "inside its folder"),
        (
            "[files.unet]\npath = 'b'\nsize = 'large'",
            "files.unet.size: Input should be a valid integer (it is 'large')",
        ),
        ("[files.unet]\npath = 'b'\nsize = true", "files.unet.size: Input should be a valid integer (it is True)"),
        (
            "[files.unet]\npath = 'b'\nsha256 = 'abc'",
            "files.unet.sha256: String should match pattern '^[0-9a-f]{64}$' (it is 'abc')",
        ),
        ("[files.unet]\npath = 'b'\nsice = 3", "files.unet: no key 'sice' is known here; did you mean 'size'?"),
        ("[files.unet]\npath = 'b'\nrole = 'x'", "no key 'role' is known here"),
        ("[files.unet]\npath = 'b'\nvariants.fp16 = { path = '/b' }", "files.unet.variants.fp16: path must lie inside"),
        ("[files.unet]\npath = 'b'\nvariants.fp16 = { path = 'b', why = 'x' }", "fp16: no key 'why' is known here"),
        ("[files]\nunet = 3", "files.unet: must be a table, not 3"),
        ("[styles.one]\nsummary = 's'\nname = 'x'", "no key 'name' is known here"),
        ("[styles.one]\nsummary = 's'\nprompt = 'no place'", "one {} where the user's words go, not 'no place'"),
        ("[styles.one]\nsummary = 's'\nbase = 3", "styles.one.base: must be a table, not 3"),
        ("[styles.one]\nsummary = 's'\nt_index = [1, 2.5]", "styles.one.t_index.1: Input should be a valid integer"),
        ("[styles.one]\nsummary = 's'", "styles.one.t_index: Field required"),
        ("[styles.one]\nsummary = 's'\nloras = [{ path = 'a', weigth = 1 }]", "loras.0: no key 'weigth' is known"),
        ("[styles.one]\nsummary = 's'\nloras = [{ path = 'a', weight = true }]", "loras.0.weight: Input should be"),
        ("[styles]\none = 3", "styles.one: must be a table, not 3"),
        (f"{REPO}[revisions]\n'a/c' = '{'0' * 40}'", "revisions: no file is of 'a/c'; did you mean 'a/b'?"),
        (
            f"{REPO}[revisions]\n'a/b' = 'main'",
            "revisions.a/b: String should match pattern '^[0-9a-f]{40}$' (it is 'main')",
        ),
        ("[network]\nunet = 3", "network.unet: Input should be a valid dictionary (it is 3)"),
        ("[files", "no TOML"),
    ],
)
def test_what_is_wrong_in_a_profile_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    assert words in str(caught.value)
    assert "mine.toml" in str(caught.value)


def test_several_mistakes_of_a_profile_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "[files]\na = 1\nb = { path = 2 }\nc = {}\nd = 4\n")
    said = str(caught.value)
    assert "files.a: must be a table, not 1; files.b.path: Input should be a valid string (it is 2); files.c" in said
    assert said.endswith("(and 1 more)")


def test_files_have_the_role_and_the_licence_of_their_place(tmp_path: Path) -> None:
    profile = read(
        tmp_path,
        f"[files]\nmini = '{'a' * 64}'\nunet = {{ path = 'u', licence = 'own' }}\n[styles.one]\nsummary = 's'\n"
        "t_index = [30]\nbase = { path = 'b' }\n"
        "loras = [{ path = 'x/l.safetensors', weight = 2 }]\nwords.cat = { path = 'w' }\n",
    )
    assert {spec.role: spec.licence for spec in profile.files.values()} == {"mini": "MIT", "unet": "own"}
    assert (profile.files["mini"].path, profile.files["mini"].sha256) == ("mini", "a" * 64)
    style = profile.style()
    assert style.name == "one"
    assert [spec.role for spec in style.files] == ["base", "lora:l", "word:cat"]
    assert {spec.licence for spec in style.files} == {UNKNOWN_LICENCE}
    assert style.loras[0].weight == 2


def test_conventions_must_be_exactly_those_computed_with() -> None:
    profile = describe("mini")
    told = dict(profile.conventions)
    check_conventions(profile, told)
    for computed in ({**told, "max_age": 6}, {**told, "sigma": 1}, {key: told[key] for key in list(told)[1:]}):
        with pytest.raises(CheckpointError, match="conventions of profile 'mini' are of another model"):
            check_conventions(profile, computed)


@pytest.mark.parametrize("runtime", ["openvino", "eager"])
def test_a_precision_is_computed_in_or_refused_with_the_remedy(runtime: str) -> None:
    model = load_model("mini", runtime=runtime, threads=1, options=LoadOptions(precision="f32"))
    assert model.runtime.precision == "f32"
    with pytest.raises(UsageError, match=rf"{runtime} does not compute in f16 .*give f32"):
        load_model("mini", runtime=runtime, threads=1, options=LoadOptions(precision="f16"))


def test_load_options_travel_as_plain_values() -> None:
    options = LoadOptions(style="felted", loras={"a.safetensors": 0.5}, precision="bf16", random_weights=True)
    assert LoadOptions.from_dict(options.to_dict()) == options
    assert options.given().keys() == {"style", "loras", "precision", "random_weights"}
    assert LoadOptions().to_dict() == {}
    with pytest.raises(UsageError, match="no option 'colour'"):
        LoadOptions.from_dict({"colour": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        *({"precision": "f8"},),
        *({"device": "tpu"}, {"device": "cuda:x"}, {"steps": 0}),
    ],
)
def test_load_options_that_do_not_exist_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        LoadOptions(**wrong)


def test_profiles_are_read_without_torch_or_the_hub() -> None:
    code = (
        "import sys, vivace.models, vivace.checkpoints.hub, vivace.models.check, vivace.cli.models\n"
        "vivace.models.list_models()\n"
        "print([name for name in ('torch', 'huggingface_hub', 'rich', 'openvino') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
