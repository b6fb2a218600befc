"""Published files: an sdist, and the wheel built from it, installed and used without the repository."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from documented import ROOT
from e2e.helpers import count_frames

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MAX_WHEEL_BYTES = 40 * 2**20
MAX_FILE_BYTES = 25 * 2**20


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the sdist and the wheel built from it."""
    out = tmp_path_factory.mktemp("dist")
    # Without isolation, since the test environment has the backend; the wheel still comes from the sdist.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the installed wheel, without its dependencies, which this environment has."""
    target = tmp_path_factory.mktemp("site")
    [wheel] = built.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    return target


def vivace(installed: Path, where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed package, without the repository, in a folder."""
    guard = "import vivace, sys; assert vivace.__file__.startswith(sys.argv.pop(1)), vivace.__file__"
    run = f"{guard}; from vivace.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", run, str(installed), *arguments],
        cwd=where,
        env={"PYTHONPATH": str(installed), "PATH": "", "HOME": str(where)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_the_package_and_is_light(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    assert wheel.stat().st_size <= MAX_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert max(sizes.values()) <= MAX_FILE_BYTES
    tops = {name.partition("/")[0] for name in sizes}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vivace"}
    tracked = subprocess.run(
        ["git", "ls-files", "src/vivace"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    missing = {path.removeprefix("src/") for path in tracked} - sizes.keys()
    assert not {name for name in missing if not name.endswith(".gitignore")}


def test_the_sdist_holds_what_the_tests_need_and_no_weights_in_training(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "mkdocs.yml"} <= names
    assert {"tests/conftest.py", "deploy/Dockerfile"} <= names
    assert not [name for name in names if name.startswith("training/")]


def test_the_installed_wheel_paints(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    run = ["run", "scene:boat", "-p", "ink", "--size", "64x64", "--max-frames", "3", "-o", str(out)]
    done = vivace(installed, tmp_path, *run)
    assert done.returncode == 0, done.stderr
    assert count_frames(out) == 3
    listed = vivace(installed, tmp_path, "models", "list")
    assert (listed.returncode, "mini" in listed.stdout, "live2diff" in listed.stdout) == (0, True, True)


def test_the_installed_wheel_has_its_command_and_its_pages(installed: Path) -> None:
    assert (installed / "bin" / "vivace").exists() or (installed / "Scripts" / "vivace.exe").exists()
    assert (installed / "vivace" / "serve" / "web" / "vivace.js").stat().st_size > 1_000
    assert (installed / "vivace" / "py.typed").exists()
