"""Pulling files from a mirror folder and from a hub: files match the profile, or are not kept."""

from __future__ import annotations

import hashlib
import shutil
import traceback
from collections import namedtuple
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vivace.checkpoints.files import Lock, Places, locate
from vivace.checkpoints.hub import Mirror, plan, pull
from vivace.checkpoints.profile import Profile
from vivace.errors import CapacityError, CheckpointError, UsageError
from vivace.models import describe
from vivace.models.check import check_files
from web_server import served

LARGE, SMALL, OWN = b"large " * 50_000, b"small", b"own"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


PROFILE = f"""
name = "mine"
family = "mini"
summary = "s"
licence = "MIT"
[files.large]
repo = "owner/name"
path = "sub/large.bin"
size = {len(LARGE)}
sha256 = "{sha256(LARGE)}"
variants.half = {{ repo = "owner/name", path = "sub/half.bin" }}
[files.small]
repo = "owner/name"
path = "small.json"
[files.extra]
repo = "owner/name"
path = "extra.bin"
optional = true
[styles.plain]
summary = "s"
[styles.wool]
summary = "s"
base = {{ path = "Model/own.bin", obtain = "a shepherd" }}
"""
FILES = {"owner/name/sub/large.bin": LARGE, "owner/name/small.json": SMALL, "owner/name/sub/half.bin": b"half"}


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    path = tmp_path / "mine.toml"
    path.write_text(PROFILE, "utf-8")
    return describe(str(path))


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "models", tmp_path / "hub")


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    for name, content in {**FILES, "Model/own.bin": OWN}.items():
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "mirror"


# -- a folder ----------------------------------------------------------------------------------------------------------


def test_a_mirror_folder_is_copied_and_found_without_it(profile: Profile, places: Places, mirror: Path) -> None:
    seen = []
    to_do = plan(profile, style="wool", mirror=mirror.as_uri(), places=places)
    assert [item.state for item in to_do.items] == ["to fetch"] * 3
    assert to_do.bytes == len(LARGE) + len(SMALL) + len(OWN)
    pull(to_do, lambda *progress: seen.append(progress))
    assert ("copying large.bin", len(LARGE), len(LARGE)) in seen
    shutil.rmtree(mirror)
    found = locate(profile, profile.style("wool"), places=places)
    assert {role: path.read_bytes() for role, path in found.items()} == {"large": LARGE, "small": SMALL, "base": OWN}
    again = plan(profile, style="wool", places=places)
    assert not again.to_fetch
    assert {item.state for item in again.items} == {"there"}


def test_a_wrong_file_is_refused_and_not_kept(profile: Profile, places: Places, mirror: Path) -> None:
    path = mirror / "owner/name/sub/large.bin"
    for wrong, words in ((LARGE[:-1], f"{len(LARGE) - 1} bytes, not {len(LARGE)}"), (LARGE.upper(), "sha256")):
        path.write_bytes(wrong)
        with pytest.raises(CheckpointError) as caught:
            pull(plan(profile, mirror=str(mirror), places=places))
        assert "owner/name/sub/large.bin is not the file its profile names" in str(caught.value)
        assert words in str(caught.value)
        assert not list(places.folder.rglob("large.bin*"))
    path.write_bytes(LARGE)
    pull(plan(profile, mirror=str(mirror), places=places))


def test_a_file_of_the_wrong_size_is_fetched_again(profile: Profile, places: Places, mirror: Path) -> None:
    pull(plan(profile, mirror=str(mirror), places=places))
    (places.folder / "owner/name/sub/large.bin").write_bytes(LARGE[:100])
    again = plan(profile, mirror=str(mirror), places=places)
    assert [item.spec.role for item in again.to_fetch] == ["large"]
    pull(again)
    assert (places.folder / "owner/name/sub/large.bin").read_bytes() == LARGE


def test_what_the_profile_does_not_know_is_written_to_a_lock(profile: Profile, places: Places, mirror: Path) -> None:
    pull(plan(profile, mirror=str(mirror), places=places))
    assert Lock.read(places.folder, profile) == Lock(sha256={"owner/name/small.json": sha256(SMALL)})
    assert [verdict.state for verdict in check_files(profile, places=places)] == ["ok", "ok", "absent"]
    (places.folder / "owner/name/small.json").write_bytes(b"SMALL")
    verdicts = {verdict.role: verdict for verdict in check_files(profile, places=places)}
    assert verdicts["small"].state == "wrong"
    assert "remove it and pull again" in verdicts["small"].words
    (places.folder / "owner/name/small.json").unlink()
    (mirror / "owner/name/small.json").write_bytes(b"SMALL")
    with pytest.raises(
        CheckpointError, match=r"not the file that was pulled first; to take another, delete .*mine\.lock"
    ):
        pull(plan(profile, mirror=str(mirror), places=places))
    (mirror / "owner/name/small.json").write_bytes(SMALL)
    pull(plan(profile, mirror=str(mirror), places=places))
    assert [verdict.state for verdict in check_files(profile, places=places)] == ["ok", "ok", "absent"]
    for damaged in ("{", '{"owner/name/small.json": {"size": 5}}'):  # the latter is an older form
        Lock.path(places.folder, profile).write_text(damaged)
        with pytest.raises(
            CheckpointError, match=r"the lock file .*mine\.lock\.json is damaged; delete it and pull again"
        ):
            list(check_files(profile, places=places))


def test_what_cannot_be_had_is_said_and_the_rest_fetched(profile: Profile, places: Places, mirror: Path) -> None:
    (mirror / "owner/name/small.json").unlink()
    (mirror / "Model/own.bin").unlink()
    to_do = plan(profile, style="wool", mirror=str(mirror), places=places)
    states = {item.spec.role: item.state for item in to_do.out_of_reach}
    assert states == {"small": "not in the mirror", "base": "to get by hand: a shepherd"}
    assert len(pull(to_do)) == 1


def test_optional_files_and_variants_come_on_request(profile: Profile, places: Places, mirror: Path) -> None:
    to_do = plan(profile, optional=True, variant="half", mirror=str(mirror), places=places)
    assert [item.source.path for item in to_do.items] == ["sub/half.bin", "small.json", "extra.bin"]
    pull(to_do)
    assert locate(profile, profile.style(), places=places)["large"].read_bytes() == b"half"
    with pytest.raises(UsageError, match="no variant 'fp8'; known: half"):
        plan(profile, variant="fp8", places=places)


def test_a_full_disk_is_said_before_anything_is_fetched(
    profile: Profile, places: Places, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10))
    with pytest.raises(CapacityError, match="VIVACE_MODELS_DIR"):
        pull(plan(profile, mirror=str(mirror), places=places))
    assert not places.folder.exists()


@pytest.mark.parametrize("text", ["ftp://host/x", "file:///no/such/folder", "/no/such/folder", "file://host/share"])
def test_a_mirror_is_a_folder_or_a_hub(text: str) -> None:
    with pytest.raises(UsageError, match="mirror"):
        Mirror.parse(text)


def test_addresses_of_folders_are_understood(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    assert Mirror.parse(folder.as_uri()).folder == folder
    assert Mirror.parse(str(folder)).folder == folder
    assert Mirror.parse("https://host/").endpoint == "https://host"
    assert Mirror.parse(None) == Mirror()


# -- a hub -------------------------------------------------------------------------------------------------------------


class Hub(ThreadingHTTPServer):
    """Hub with a few files, as far as its library needs."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = dict(FILES)
        self.gated: set[str] = set()
        self.broken_at: int | None = None
        """Length after which the next answer breaks off, bytes."""
        self.failing = False
        self.ranges: list[str] = []
        self.commit = "c" * 40
        """Newest commit of all repositories."""
        self.history: dict[str, dict[str, bytes]] = {}
        """Files of other commits."""
        self.asked: list[str] = []
        """Requested revisions."""
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.server
        owner, name, _, revision, *path = self.path.split("?")[0].strip("/").split("/")
        repo, full = f"{owner}/{name}", "/".join((owner, name, *path))
        if hub.failing:
            return self._refuse(500, "")
        if repo in hub.gated:
            return self._refuse(403, "GatedRepo")
        if not any(key.startswith(f"{repo}/") for key in hub.files):
            return self._refuse(401, "RepoNotFound")
        if full not in hub.files:
            return self._refuse(404, "EntryNotFound")
        hub.asked.append(revision)
        commit = hub.commit if revision == "main" else revision
        if commit != hub.commit and commit not in hub.history:
            return self._refuse(404, "RevisionNotFound")
        content = (hub.files if commit == hub.commit else hub.history[commit])[full]
        begin = 0
        if asked := self.headers.get("Range"):
            hub.ranges.append(asked)
            begin = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if asked else 200)
        # Large files have their sha256 as ETag, small ones a git hash.
        tag = sha256(content) if full.endswith(".bin") else hashlib.sha1(content).hexdigest()
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(content) - begin))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            end, hub.broken_at = hub.broken_at, None
            self.wfile.write(content[begin:end])
            if end is not None:
                self.close_connection = True
        return None

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with served(Hub()) as hub:
        yield hub


def test_a_hubs_files_go_into_its_cache(profile: Profile, places: Places, hub: Hub) -> None:
    to_do = plan(profile, mirror=hub.address, places=places)
    assert to_do.bytes == len(LARGE) + len(SMALL), "the hub says how large what the profile does not know is"
    pull(to_do)
    found = locate(profile, profile.style(), places=places)
    assert found["large"].read_bytes() == LARGE
    assert found["large"].is_relative_to(places.cache)
    assert not plan(profile, mirror=hub.address, places=places).to_fetch
    assert Lock.read(places.folder, profile) == Lock(
        revisions={"owner/name": hub.commit}, sha256={"owner/name/small.json": sha256(SMALL)}
    )


def moved_on(hub: Hub) -> str:
    """Give the hub's repositories a newer commit with other files; return the previous one."""
    before, hub.history[hub.commit] = hub.commit, dict(hub.files)
    hub.commit, hub.files = "d" * 40, {name: content[::-1] for name, content in hub.files.items()}
    return before


def test_the_commit_pulled_first_is_kept_to(profile: Profile, places: Places, hub: Hub) -> None:
    pull(plan(profile, mirror=hub.address, places=places))
    first = moved_on(hub)
    hub.asked.clear()
    shutil.rmtree(places.cache)
    pull(plan(profile, variant="half", mirror=hub.address, places=places))
    assert set(hub.asked) == {first}
    found = {role: places.find(profile.files[role], profile) for role in ("large", "small")}
    assert {role: file and file.path.read_bytes() for role, file in found.items()} == {"large": b"half", "small": SMALL}


def test_a_commit_of_the_profile_goes_before_the_newest(profile: Profile, places: Places, hub: Hub) -> None:
    pinned = profile.model_copy(update={"revisions": {"owner/name": moved_on(hub)}})
    pull(plan(pinned, mirror=hub.address, places=places))
    assert set(hub.asked) == {"c" * 40}
    assert locate(pinned, pinned.style(), places=places)["small"].read_bytes() == SMALL
    assert Lock.read(places.folder, pinned).revisions == {}
    with pytest.raises(CheckpointError, match="2 files"):
        locate(profile, profile.style(), places=places)  # which takes another commit


def test_a_commit_that_the_hub_has_no_longer_is_said(profile: Profile, places: Places, hub: Hub) -> None:
    pinned = profile.model_copy(update={"revisions": {"owner/name": "e" * 40}})
    with pytest.raises(CheckpointError, match="owner/name no longer at the commit"):
        plan(pinned, mirror=hub.address, places=places)


def test_a_broken_download_goes_on_where_it_stopped(
    profile: Profile, places: Places, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)  # it keeps whole pieces only
    hub.broken_at = 100_000
    pull(plan(profile, mirror=hub.address, places=places))
    assert locate(profile, profile.style(), places=places)["large"].read_bytes() == LARGE
    assert hub.ranges == ["bytes=100000-"]


def test_another_file_on_the_hub_is_refused_and_not_kept(profile: Profile, places: Places, hub: Hub) -> None:
    hub.files["owner/name/sub/large.bin"] = LARGE.upper()
    with pytest.raises(CheckpointError, match="not the file its profile names"):
        pull(plan(profile, mirror=hub.address, places=places))
    assert not [path for path in places.cache.rglob("*") if path.is_file() and path.stat().st_size == len(LARGE)]
    hub.files["owner/name/sub/large.bin"] = LARGE
    pull(plan(profile, mirror=hub.address, places=places))


def test_what_the_hub_refuses_is_said_with_a_remedy(profile: Profile, places: Places, hub: Hub) -> None:
    def refusal() -> str:
        with pytest.raises(CheckpointError) as caught:
            pull(plan(profile, mirror=hub.address, places=places))
        return str(caught.value)

    hub.gated = {"owner/name"}
    assert "owner/name is gated: accept its terms" in refusal()
    hub.gated = set()
    del hub.files["owner/name/small.json"]
    assert "no file small.json in owner/name (404)" in refusal()
    hub.files = {"other/name/x": b""}
    assert "no repository owner/name" in refusal()


def test_what_a_hub_is_opened_with_is_not_shown(profile: Profile, places: Places, hub: Hub) -> None:
    address = hub.address.replace("://", "://me:hush@")
    hub.failing = True
    with pytest.raises(CheckpointError, match=r"http://\*\*\*@127") as caught:
        pull(plan(profile, mirror=address, places=places))
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(UsageError, match=r"not 'ftp://\*\*\*@host'"):
        Mirror.parse("ftp://me:hush@host")


def test_no_network_is_said(profile: Profile, places: Places, hub: Hub) -> None:
    address = hub.address
    hub.shutdown()
    hub.server_close()
    with pytest.raises(
        CheckpointError, match=r"the hub cannot be reached for owner/name/small\.json; check the network"
    ):
        plan(profile, mirror=address, places=places)
