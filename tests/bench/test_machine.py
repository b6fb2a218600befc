import re
import subprocess
from pathlib import Path

from vivace.bench.machine import memory_mib, read_machine, utc_now
from vivace.checkout import read_commit


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def checkout(folder: Path) -> Path:
    package = folder / "src"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("one")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return package


def test_this_machine_can_be_read():
    machine = read_machine()
    assert machine.cores >= 1
    assert machine.cpu
    assert machine.memory_mib is None or machine.memory_mib > 100


def test_a_container_has_no_more_memory_than_its_limit(tmp_path):
    limit = tmp_path / "memory.max"
    whole = memory_mib(limit)
    limit.write_text("max\n")
    assert memory_mib(limit) == whole
    limit.write_text(f"{64 * 1024 * 1024}\n")
    assert memory_mib(limit) == 64.0


def test_the_commit_says_whether_the_checkout_was_clean(tmp_path):
    package = checkout(tmp_path)
    clean = read_commit(package)
    assert re.fullmatch(r"[0-9a-f]{12}", clean)
    git(tmp_path, "tag", "-a", "v1", "-m", "v1")
    assert read_commit(package) == clean
    (package / "__init__.py").write_text("two")
    assert read_commit(package) == f"{clean}+changes"


def test_a_package_installed_in_another_projects_checkout_has_no_commit(tmp_path):
    checkout(tmp_path)
    installed = tmp_path / ".venv" / "vivace"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert read_commit(installed) is None


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    assert read_commit(tmp_path) is None


def test_the_moment_is_written_in_utc_to_the_second():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", utc_now())
