"""A malicious remote or Git repository: each attack is refused, the log stays, and nothing is written outside."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, GeographerError, NotFoundError
from geographer.storage.dvc.remote import find_newest_head
from tests.sample_team import LONG, commit_all, copy_team, run_git, select_cases
from tests.storage.history.forged_segments import SegmentRows


class ForgedRemote:
    """A folder remote, whose objects and heads are written without geographer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def last_number(self) -> int:
        return max(int(path.name) for path in (self.folder / "heads/main").iterdir())

    def read_head(self) -> dict:
        return json.loads((self.folder / "heads/main" / str(self.last_number)).read_bytes())

    def write_head(self, content: bytes) -> None:
        (self.folder / "heads/main" / str(self.last_number + 1)).write_bytes(content)

    def find_object(self, name: str) -> Path:
        return self.folder / "files/md5" / name[:2] / name[2:]

    def add_object(self, content: bytes, suffix: str = "") -> str:
        name = hashlib.md5(content).hexdigest() + suffix
        self.find_object(name).parent.mkdir(parents=True, exist_ok=True)
        self.find_object(name).write_bytes(content)
        return name

    def add_listing(self, entries: object) -> str:
        return self.add_object(json.dumps(entries).encode(), ".dir")

    def read_entries(self) -> list[dict]:
        return json.loads(self.find_object(self.read_head()["history"]).read_bytes())

    def publish(self, **fields: object) -> None:
        self.write_head(json.dumps(self.read_head() | fields).encode())


def read_state(root):
    """Return the digest of the log's head, the lock file, and all files outside `.geographer` and the cache."""
    paths = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    shown = [path for path in paths if not {".geographer", "cache", "tmp", ".git"} & {*path.relative_to(root).parts}]
    return Dataset.open(root).show().digest, {str(path): path.read_bytes() for path in shown}


@pytest.fixture(scope="module")
def shared(team_template, tmp_path_factory):
    """A team that all attacks share: what is refused changes nothing."""
    return copy_team(team_template, tmp_path_factory.mktemp("strangers") / "team")


@pytest.fixture
def remote(shared):
    """The remote, which each test gets as Ada pushed it."""
    backup = shared.folder / "backup"
    if not backup.exists():
        shutil.copytree(shared.remote, backup)
    shutil.rmtree(shared.remote)
    shutil.copytree(backup, shared.remote)
    return ForgedRemote(shared.remote)


def require_refused_pull(team, error_type=GeographerError):
    """Pull into Ada's dataset, which is refused and changes nothing; return what the error says."""
    before = read_state(team.ada)
    outside = {path.name for path in team.folder.iterdir()}
    with pytest.raises(error_type) as pulled:
        Dataset.open(team.ada).pull()
    assert read_state(team.ada) == before
    assert {path.name for path in team.folder.iterdir()} == outside
    assert 2 <= pulled.value.exit_code <= 6
    return str(pulled.value)


def require_refusal(team, error_type=GeographerError):
    """Pull into Ada's dataset, and clone: both are refused; return what the errors say."""
    message = require_refused_pull(team, error_type)
    assert Dataset.open(team.ada).verify() == []
    outside = {path.name for path in team.folder.iterdir()}
    clone = team.folder / "clone"
    with pytest.raises(error_type) as cloned:
        Dataset.clone(str(team.remote), clone)
    assert not (clone / ".geographer/log.duckdb").exists()
    shutil.rmtree(clone, ignore_errors=True)
    assert {path.name for path in team.folder.iterdir()} == outside
    assert 2 <= cloned.value.exit_code <= 6
    return f"{message}\n{cloned.value}"


HEADS = {
    "no fields": b"{}",
    "array": b"[]",
    "text": b'"head"',
    "newer format": b'{"format": 2, "anything": 1}',
    "deep field": b'{"format": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "huge number": b'{"format": ' + b"9" * 5000 + b"}",
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "binary": b'{"format": "\xff\xfe"}',
    "large": b'{"format": 1, "x": "' + b"x" * (1 << 24) + b'"}',
}


@pytest.mark.parametrize("name", select_cases([*HEADS], 5))
def test_strange_head_is_refused(name, shared, remote):
    """A head that is not complete JSON counts as that of a killed pusher, and is skipped."""
    remote.write_head(HEADS[name])
    try:
        result = Dataset.open(shared.ada).fetch()
    except GeographerError:
        pass
    else:
        assert (result.events, result.behind, result.position) == (0, 0, 5)


def test_endless_heads_are_refused():
    """A server that answers for every name, e.g. with a page of its own."""
    with pytest.raises(CorruptError, match="Check its URL"):
        find_newest_head(lambda _: b"{}")


FIELDS: dict[str, dict[str, object]] = {
    "position as text": {"position": "5"},
    "negative position": {"position": -1},
    "another position": {"position": 1 << 50},
    "earlier position": {"position": 2},
    "path as history": {"history": "../../../etc/passwd"},
    "head of no event": {"head": "0" * 64},
    "another dataset": {"dataset": "0" * 64},
    "another branch": {"branch": "../main"},
    "another branch, too": {"branch": "other"},
    "unknown selection": {"revisions": "none"},
    "unknown field": {"url": "https://example.org"},
    "listing that is not there": {"history": "0" * 32 + ".dir", "head": "1" * 64},
}


@pytest.mark.parametrize("name", FIELDS)
def test_forged_head_is_refused(name, shared, remote):
    remote.publish(**FIELDS[name])
    if LONG or "position" in name:
        require_refusal(shared)
    else:
        require_refused_pull(shared)


def list_entry(name, md5="0" * 32):
    return [{"relpath": name, "md5": md5}]


LISTINGS = {
    "path upwards": list_entry("../x.parquet"),
    "path as MD5": list_entry("0" * 64 + ".parquet", "../../../../x"),
    "number": [{"relpath": 5, "md5": 5}],
    "nothing": [],
    "missing segment": list_entry("0" * 64 + ".parquet"),
    "absolute path": list_entry("/tmp/x.parquet"),
    "path below": list_entry("a/" + "0" * 64 + ".parquet"),
    "other file": list_entry("README.md"),
    "hidden file": list_entry(".gitignore"),
    "long name": list_entry("0" * 65 + ".parquet"),
    "capitals": list_entry("A" * 64 + ".parquet"),
    "listing as segment": list_entry("0" * 64 + ".parquet", "0" * 32 + ".dir"),
    "no MD5": [{"relpath": "0" * 64 + ".parquet"}],
    "object": {"relpath": "x"},
    "too many": [entry for number in range(10_001) for entry in list_entry(f"{number:064x}.parquet")],
}


@pytest.mark.parametrize("name", select_cases([*LISTINGS], 6))
def test_forged_listing_is_refused(name, shared, remote):
    remote.publish(history=remote.add_listing(LISTINGS[name]), head="1" * 64)
    require_refused_pull(shared, (CorruptError, NotFoundError))


def test_altered_objects_are_refused(shared, remote, tmp_path):
    """Objects that do not have the bytes of their name: segments, their listing, rasters."""
    segment = remote.find_object(remote.read_entries()[0]["md5"])
    content = segment.read_bytes()
    clone = tmp_path / "clone"
    for changed in (b"", content[:100], content[:-1], content + b"x"):
        segment.write_bytes(changed)
        with pytest.raises(CorruptError, match="altered"):
            Dataset.clone(str(shared.remote), clone)
    segment.write_bytes(content)
    listing = remote.find_object(remote.read_head()["history"])
    listing.write_bytes(b"[]")
    with pytest.raises(CorruptError, match="altered"):
        Dataset.clone(str(shared.remote), tmp_path / "other")


def add_forged_event(remote, folder, *, replace=None, **fields):
    """Publish an event after Ada's in a segment of its own, or Ada's altered."""
    entries = remote.read_entries()
    paths = [remote.find_object(entry["md5"]) for entry in entries]
    rows = max((SegmentRows(path) for path in paths), key=lambda item: item.contents[-1]["generation"])
    if replace:
        replace(rows)
        entries = [entry for entry, path in zip(entries, paths, strict=True) if path.stem not in rows.digests]
        head = rows.digests[-1]
    else:
        head = rows.add_event(**{"kind": "classes_added", "payload": {"classes": ["reed"]}} | fields)
    path = rows.write(folder)
    entries += list_entry(path.name, remote.add_object(path.read_bytes()))
    remote.publish(history=remote.add_listing(entries), head=head, position=remote.read_head()["position"] + 1)


def test_forged_paths_are_refused(shared, remote, tmp_path):
    """A chain with right digests whose raster would be written outside."""
    row = {
        "row_table": "raster_change", "raster_id": "x", "collection": "source", "path": "../../outside.tif",
        "storage": "dvc", "size": 4, "md5": "0" * 32, "sha256": "0" * 64, "properties": "{}",
    }  # fmt: skip
    add_forged_event(remote, tmp_path, rows=[row])
    assert "Nothing was taken in" in require_refusal(shared, CorruptError)


def test_unknown_events_ask_for_upgrade(shared, remote, tmp_path):
    add_forged_event(remote, tmp_path, kind="tiles_made")
    assert "Upgrade geographer" in require_refusal(shared, ConflictError)


def test_forged_content_digest_is_found(team):
    """A head that lies about the content digest: verification finds it, and nothing that is written repeats it."""
    remote = ForgedRemote(team.remote)
    remote.publish(content_digest="0" * 64)
    without_pixels = Dataset.clone(str(team.remote), team.folder / "without pixels", pixels=False)
    assert "wrong lock file" in {finding.kind for finding in without_pixels.verify()}
    clone = team.clone("clone")
    assert clone.verify() == []
    assert json.loads((clone.root / "geographer.lock").read_bytes())["content_digest"] == clone.content_digest()
    clone.push()
    assert remote.read_head()["content_digest"] == clone.content_digest()


@pytest.mark.parametrize("name", ["history", "rasters/source", ".geographer"])
def test_symbolic_link_in_git_is_refused(name, team):
    """A Git repository with a symbolic link in the place of a folder: nothing is written where it leads."""
    outside = team.folder / "outside"
    outside.mkdir()
    path = team.ada / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    run_git(team.ada, "add", "--force", name)
    commit_all(team.ada, "link")
    with pytest.raises(GeographerError):
        team.clone("clone", team.ada)
    assert [*outside.iterdir()] == []


def test_log_in_git_is_not_used(team):
    """A Git repository that brings its own log, whose events nothing has checked."""
    run_git(team.ada, "add", "--force", ".geographer/log.duckdb", ".geographer/state.duckdb")
    commit_all(team.ada, "log")
    with pytest.raises(ConflictError, match=r"\.geographer"):
        team.clone("clone", team.ada)
