"""Clone from Git and from a remote: complete, with the history, resumed after a kill, and without credentials."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, StorageError, UsageError
from geographer.sharing import clone as clone_module
from geographer.storage.dvc import remote as remote_module
from tests.sample_history import read_contents
from tests.sample_team import commit_all, long_form, run_git, select_cases
from tests.storage.log.digest_oracle import find_faults, read_log


def read_rasters(root):
    return {name: content for name, content in read_contents(root).items() if name.endswith(".tif")}


@pytest.mark.parametrize("kind", ["git", "remote"])
def test_clone_is_equal(kind, team):
    """A clone has equal events, rows, digests and files, from the Git repository and from the remote alone."""
    clone = team.clone("clone", team.ada if kind == "git" else team.remote)
    logs = [root / ".geographer/log.duckdb" for root in (team.ada, clone.root)]
    assert read_log(logs[0]) == read_log(logs[1])
    assert find_faults(logs[1]) == []
    assert read_rasters(clone.root) == read_rasters(team.ada)
    assert clone.content_digest() == Dataset.open(team.ada).content_digest()
    assert clone.verify() == []
    lock = json.loads((clone.root / "geographer.lock").read_bytes())
    assert (lock["head"], lock["content_digest"]) == (clone.show().digest, clone.content_digest())
    assert (clone.root / "geographer.lock").read_bytes() == (team.ada / "geographer.lock").read_bytes()
    if kind == "git":
        assert run_git(clone.root, "status", "--porcelain") == ""


def test_clone_without_pixels_gets_them_later(team):
    clone = Dataset.clone(str(team.remote), team.folder / "clone", pixels=False)
    assert read_rasters(clone.root) == {}
    assert len(clone.rasters()) == 4
    clone.checkout()
    assert read_rasters(clone.root) == read_rasters(team.ada)
    assert clone.verify() == []


@long_form
def test_clone_at_older_revision(team):
    clone = Dataset.clone(str(team.remote), team.folder / "clone", at="@2", revisions="all")
    assert clone.status()["workspace"] == 2
    assert sorted(read_rasters(clone.root)) == ["rasters/source/a.tif", "rasters/source/b.tif"]
    with pytest.raises(ConflictError, match="checkout HEAD"):
        clone.add_classes(["reed"])


def test_clone_of_older_commit(team):
    """The commit decides the revision, whatever was published since."""
    Dataset.open(team.ada).add_classes(["reed"])
    Dataset.open(team.ada).push()
    clone = team.clone("clone", team.ada)
    assert clone.show().position == 5
    result = clone.pull()
    assert (result.events, result.position, result.updated) == (1, 6, True)
    assert clone.verify() == []


class Crash(BaseException):
    """Takes the place of the end of the process."""


CRASHES = [
    (clone_module, "_create_workspace"),
    (clone_module, "create_log_of_segments"),
    (clone_module, "write_lock"),
    (clone_module, "download_segments"),
    (clone_module, "remember_remote"),
    (clone_module, "finish_clone"),
    (remote_module.Remote, "download_objects"),
]


@pytest.mark.parametrize("crash", select_cases(CRASHES, 2), ids=lambda pair: pair[1])
def test_interrupted_clone_goes_on(crash, team, monkeypatch):
    owner, name = crash

    def stop(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(Crash):
            team.clone("clone")
    clone = team.clone("clone")
    assert clone.verify() == []
    assert read_rasters(clone.root) == read_rasters(team.ada)
    with pytest.raises(ConflictError, match="not empty"):
        team.clone("clone")


def test_interrupted_clone_of_subfolder_goes_on(team):
    """A Git repository with the dataset in a subfolder, whose remote cannot be read at first."""
    outer = team.folder / "outer"
    shutil.copytree(team.ada, outer / "dataset", symlinks=True)
    shutil.rmtree(outer / "dataset/.git")
    config = outer / "dataset/.dvc/config"
    config.write_text(config.read_text().replace("../../remote", str(team.remote)))
    run_git(outer, "init", "--quiet")
    commit_all(outer, "v1")
    away = team.remote.rename(team.folder / "away")
    with pytest.raises(NotFoundError):
        team.clone("clone", outer)
    away.rename(team.remote)
    with pytest.raises(ConflictError, match="not empty"):
        team.clone("clone")
    clone = team.clone("clone", outer)
    assert clone.root == team.folder / "clone/dataset"
    assert clone.verify() == []
    with pytest.raises(ConflictError, match="not empty"):
        team.clone("clone", outer)


def test_clone_into_other_files_is_refused(team):
    (team.folder / "clone").mkdir()
    (team.folder / "clone/notes.txt").write_text("mine")
    with pytest.raises(ConflictError, match="not empty"):
        team.clone("clone")
    assert read_contents(team.folder / "clone") == {"notes.txt": b"mine"}


@pytest.mark.parametrize(
    "url", ["https://ada:secret-word@example.org/lakes.git", "s3://bucket/lakes?X-Amz-Signature=secret-word"]
)
def test_credentials_in_url_are_refused(url, team):
    """A password in the URL is refused, and is nowhere on the disk, nor in the message."""
    with pytest.raises(UsageError, match="credentials") as caught:
        Dataset.clone(url, team.folder / "clone")
    assert "secret-word" not in str(caught.value)
    contents = read_contents(team.folder)
    assert [name for name, content in contents.items() if b"secret-word" in content] == []


def test_password_of_remote_stays_in_settings(team):
    """A password in DVC's own local settings comes into no log, lock, segment, head or message."""
    local = team.ada / ".dvc/config.local"
    local.write_text(
        "['remote \"web\"']\n    url = webdav://127.0.0.1:9/x\n    password = secret-word\n    user = ada\n"
    )
    dataset = Dataset.open(team.ada)
    dataset.add_classes(["reed"])
    dataset.push()
    contents = read_contents(team.folder)
    assert [name for name, content in contents.items() if b"secret-word" in content] == ["ada/.dvc/config.local"]
    with pytest.raises(StorageError) as caught:
        dataset.push("web")
    assert "secret-word" not in str(caught.value)


def test_sources_without_dataset_are_named(team, tmp_path):
    (tmp_path / "empty/files").mkdir(parents=True)
    with pytest.raises(NotFoundError, match="nothing was published"):
        Dataset.clone(str(tmp_path / "empty"), tmp_path / "clone")
    with pytest.raises(StorageError, match="Git cannot clone"):
        Dataset.clone(str(tmp_path / "missing"), tmp_path / "other")
    assert not (tmp_path / "other").exists()
    shutil.rmtree(team.remote / "files")
    shutil.rmtree(team.remote / "heads")
    (team.remote / "files").mkdir()
    with pytest.raises(NotFoundError, match="geographer push"):
        team.clone("clone", team.ada)


@long_form
def test_git_repository_without_lock_is_refused(team):
    run_git(team.ada, "rm", "--quiet", "geographer.lock")
    commit_all(team.ada, "without lock")
    with pytest.raises(NotFoundError, match=r"geographer\.lock"):
        team.clone("clone", team.ada)
    assert not (team.folder / "clone").exists()


def test_lost_object_is_named_and_others_kept(team):
    """A remote that lacks a raster: the clone has what is there, and goes on when the object is there again."""
    md5 = Dataset.open(team.ada).rasters(where="raster_id = 'a'").to_pylist()[0]["md5"]
    path = team.remote / "files/md5" / md5[:2] / md5[2:]
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(CorruptError, match=md5):
        team.clone("clone")
    path.write_bytes(content)
    assert team.clone("clone").verify() == []


def test_command_line_clones_pushes_and_pulls(team):
    """The commands in their own processes: what they print, and their exit codes."""

    def run(folder, *arguments):
        command = [sys.executable, "-m", "geographer", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run(team.folder, "clone", "remote", "clone")
    assert (done.returncode, done.stderr) == (0, "")
    assert "is at @5" in done.stdout
    done = run(team.folder / "clone", "push", "--json")
    assert json.loads(done.stdout)["changed"] is False
    done = run(team.folder, "clone", "remote", "clone")
    assert done.returncode == 4
