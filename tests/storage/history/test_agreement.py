"""Lock file, history folder and log that disagree: the message says what came from where, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, GeographerError, NotFoundError
from geographer.storage.history import folder as history_folder
from tests.read_only import make_read_only, obey_file_modes
from tests.sample_history import read_contents, write_scenes
from tests.sample_team import commit_all, long_form, run_git, select_cases

FILES = ("geographer.lock", "history.dvc", "history", "rasters", "labels", ".dvc/config", ".gitignore")


def read_lock(root):
    return json.loads((root / "geographer.lock").read_bytes())


def read_files(root):
    """Read what Git and DVC keep, and the log's head."""
    contents = {name: content for name, content in read_contents(root).items() if name.startswith(FILES)}
    return Dataset.open(root).show().digest, contents


def require_all_well(root):
    """Require that lock, history folder, workspace and log agree."""
    dataset = Dataset.open(root)
    assert dataset.verify() == []
    lock = read_lock(root)
    assert (lock["head"], lock["content_digest"]) == (dataset.show().digest, dataset.content_digest())


def require_refusal(root, error_type, *texts, repairs=False):
    """Require that a change, and maybe a repair, is refused with these texts, and that nothing changes."""
    before = read_files(root)
    with pytest.raises(error_type) as caught:
        Dataset.open(root).add_classes(["reed"])
    assert read_files(root) == before
    for text in texts:
        assert text in str(caught.value)
    if repairs:
        assert Dataset.open(root).verify(repair=True)
        assert read_files(root) == before


@pytest.fixture
def ada(team):
    """The folder of Ada's dataset, in Git."""
    return team.ada


CRASHES = ["_track_segments", "_write_memory", "_write_segments", "_ignore_folder"]


class Crash(BaseException):
    """Takes the place of the end of the process."""


@pytest.mark.parametrize("method", select_cases(CRASHES, 1))
def test_next_command_completes_interrupted_one(method, ada, monkeypatch):
    """A crash after the append leaves lock and segments behind the log; the next command catches up."""
    Dataset.open(ada).add_classes(["first"])
    with monkeypatch.context() as patch:

        def crash(*_: object, **__: object) -> None:
            raise Crash

        patch.setattr(history_folder.HistoryFolder, method, crash)
        with pytest.raises(Crash):
            Dataset.open(ada).add_classes(["reed"])
    dataset = Dataset.open(ada)
    assert dataset.show().position == 7
    dataset.add_classes(["sand"])
    require_all_well(ada)


@long_form
def test_verify_repair_completes_interrupted_command(ada, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(history_folder.HistoryFolder, "write_head", lambda *_: None)
        Dataset.open(ada).add_classes(["reed"])
    assert [finding.kind for finding in Dataset.open(ada).verify()] == ["stale lock file"]
    assert Dataset.open(ada).verify(repair=True) == []
    assert read_lock(ada)["head"] == Dataset.open(ada).show().digest


def test_older_commit_is_shown_by_checkout(ada):
    """`git checkout` of an older commit, then `geographer checkout`: the matching revision; HEAD goes on."""
    dataset = Dataset.open(ada)
    dataset.add_classes(["reed"])
    dataset.remove_rasters(["around/a_p1"])
    commit_all(ada, "later")
    run_git(ada, "checkout", "--quiet", "HEAD~1")
    require_refusal(ada, ConflictError, "@5", "geographer checkout", repairs=True)
    result = Dataset.open(ada).checkout()
    assert (ada / "rasters/around/a_p1.tif").exists()
    assert result.written == 1
    assert Dataset.open(ada).status()["workspace"] == 5
    assert Dataset.open(ada).verify() == []
    assert read_lock(ada)["head"] == Dataset.open(ada).show("@5").digest
    with pytest.raises(ConflictError, match="checkout HEAD"):
        Dataset.open(ada).add_classes(["sand"])
    run_git(ada, "checkout", "--quiet", "main")
    Dataset.open(ada).checkout()
    Dataset.open(ada).add_classes(["sand"])
    require_all_well(ada)


@long_form
def test_checkout_head_leaves_older_commit(ada):
    """`geographer checkout HEAD` after `git checkout` of an older commit writes the lock file again."""
    Dataset.open(ada).add_classes(["reed"])
    commit_all(ada, "later")
    run_git(ada, "checkout", "--quiet", "HEAD~1")
    Dataset.open(ada).checkout("HEAD")
    assert Dataset.open(ada).add_classes(["sand"]).position == 7


def merge_two_branches(ada):
    """Make two commits with different events, and merge them in Git, which leaves conflicts."""
    run_git(ada, "checkout", "--quiet", "-b", "other")
    run_git(ada, "checkout", "--quiet", "main")
    other = shutil.copytree(ada, ada.parent / "other", symlinks=True)
    Dataset.open(ada).remove_rasters(["around/a_p1"])
    commit_all(ada, "mine")
    run_git(other, "checkout", "--quiet", "other")
    Dataset.open(other).remove_rasters(["around/a_q1"])
    commit_all(other, "theirs")
    run_git(ada, "fetch", "--quiet", str(other), "other:theirs")
    merged = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "merge", "theirs"],
        cwd=ada, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert merged.returncode == 1
    return merged.stdout


def test_merge_conflict_is_named_with_next_command(ada):
    """Git's conflict markers in the lock file and in `.dvc` files: the error says which command goes on."""
    conflicts = merge_two_branches(ada)
    for name in ("geographer.lock", "history.dvc", "rasters/around.dvc"):
        assert f"CONFLICT (content): Merge conflict in {name}" in conflicts
    require_refusal(
        ada, ConflictError, "conflict of a Git merge", "git checkout --ours", "geographer merge", repairs=True
    )
    run_git(ada, "checkout", "--ours", "geographer.lock")
    with pytest.raises(ConflictError, match=r"rasters/around\.dvc.*conflict of a Git merge.*git checkout --ours"):
        Dataset.open(ada).add_classes(["reed"])
    run_git(ada, "checkout", "--ours", ".")
    Dataset.open(ada).checkout()
    Dataset.open(ada).add_classes(["sand"])
    require_all_well(ada)


@long_form
def test_other_side_of_merge_is_recognised(ada):
    """After a merge that took the other side's lock file, what is missing is named, and nothing is lost."""
    merge_two_branches(ada)
    run_git(ada, "checkout", "--theirs", ".")
    require_refusal(ada, ConflictError, "geographer pull", repairs=True)
    shutil.copytree(ada.parent / "other/history", ada / "history", dirs_exist_ok=True)
    require_refusal(ada, ConflictError, "Both are kept", "geographer merge origin/main")


def test_lock_of_other_dataset_is_refused(ada, tmp_path):
    other = Dataset.init(tmp_path / "other", scm=False)
    shutil.copy(other.root / "geographer.lock", ada / "geographer.lock")
    require_refusal(ada, ConflictError, "another dataset", "git checkout geographer.lock")


DAMAGED_LOCKS = {
    "newer": (b'{"format": 2, "branches": []}', "Upgrade geographer"),
    "empty": (b"", "git checkout geographer.lock"),
    "other JSON": (b'{"format": 1}', "git checkout geographer.lock"),
    "binary": (b"\xff\xfe\x00", "git checkout geographer.lock"),
}


@pytest.mark.parametrize("name", select_cases([*DAMAGED_LOCKS], 1))
def test_damaged_lock_is_named(name, ada):
    content, text = DAMAGED_LOCKS[name]
    (ada / "geographer.lock").write_bytes(content)
    require_refusal(ada, GeographerError, text)


@pytest.mark.parametrize(
    "name", select_cases(["history.dvc", "history", "geographer.lock", ".geographer/history.json"], 1)
)
def test_deleted_files_are_written_again(name, ada):
    """What the log can give is given again by the next command, and by `verify --repair`."""
    path = ada / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    Dataset.open(ada).add_classes(["reed"])
    assert path.exists()
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert name == ".geographer/history.json" or Dataset.open(ada).verify()
    assert Dataset.open(ada).verify(repair=True) == []
    assert path.exists() or name == ".geographer/history.json"
    assert read_lock(ada)["head"] == Dataset.open(ada).show().digest


def test_deleted_log_is_rebuilt(ada):
    """The history folder and the lock file give the log back, equal in every digest."""
    dataset = Dataset.open(ada)
    dataset.add_classes(["reed"])
    digests = [event.digest for event in dataset.log()]
    shutil.rmtree(ada / ".geographer")
    rebuilt = Dataset.open(ada)
    assert [event.digest for event in rebuilt.log()] == digests
    assert rebuilt.add_classes(["sand"]).position == 7
    require_all_well(ada)


def test_deleted_log_without_history_is_refused(ada):
    shutil.rmtree(ada / ".geographer")
    shutil.rmtree(ada / "history")
    with pytest.raises(NotFoundError, match="geographer pull, or dvc pull"):
        Dataset.open(ada)
    assert not (ada / ".geographer/log.duckdb").exists()


def test_altered_segment_is_found(ada):
    (path, *_) = sorted((ada / "history").iterdir())
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-9])
    assert {finding.kind for finding in Dataset.open(ada).verify()} == {"altered segment"}
    assert Dataset.open(ada).verify(repair=True) == []
    (path, *_) = sorted((ada / "history").iterdir())
    path.chmod(0o644)
    path.write_bytes(b"")
    shutil.rmtree(ada / ".geographer")
    with pytest.raises(CorruptError, match=path.name):
        Dataset.open(ada)


def test_read_only_dataset_answers(ada):
    """A dataset on a read-only disk whose lock file is newer: it answers, and says what it cannot do."""
    dataset = Dataset.open(ada)
    dataset.add_classes(["reed"])
    commit_all(ada, "later")
    run_git(ada, "checkout", "--quiet", "HEAD~1")
    script = (
        "from geographer import Dataset; dataset = Dataset.open('.'); print(dataset.status()['position']);"
        "print({finding.kind for finding in dataset.verify()})"
    )
    with make_read_only(ada):
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ada,
            capture_output=True,
            text=True,
            check=True,
            preexec_fn=obey_file_modes,
        )
    assert done.stdout.splitlines() == ["6", "{'other lock file'}"]
    assert "geographer checkout" in done.stderr


def test_init_over_clone_is_refused(ada, tmp_path):
    """`init` in a Git clone of another user's dataset changes nothing."""
    clone = tmp_path / "clone"
    run_git(tmp_path, "clone", "--quiet", str(ada), str(clone))
    before = read_contents(clone)
    with pytest.raises(ConflictError, match="geographer"):
        Dataset.init(clone, classes=["a"])
    assert read_contents(clone) == before


def pull_with_plain_dvc(root):
    """Run `git pull` and `dvc pull` where the package geographer cannot be imported."""
    run_git(root, "pull", "--quiet")
    script = (
        "import sys; sys.modules['geographer'] = None; from dvc.cli import main; sys.exit(main(['pull', '--quiet']))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-I", "-c", script], cwd=root, env=environment, check=True, capture_output=True)


def test_plain_dvc_brings_colleagues_work(team, tmp_path):
    """Bob gets Ada's newer chips by Git and DVC alone: his log follows, and nothing of hers is reverted."""
    bob = tmp_path / "bob"
    run_git(tmp_path, "clone", "--quiet", str(team.ada), str(bob))
    (bob / ".dvc/config.local").write_text(f"['remote \"origin\"']\n    url = {team.remote}\n")
    pull_with_plain_dvc(bob)
    assert Dataset.open(bob).show().position == 5
    ada = Dataset.open(team.ada)
    ada.add_rasters(write_scenes(tmp_path, "later", offset=3, seed=5))
    commit_all(team.ada, "more")
    ada.push()
    pull_with_plain_dvc(bob)
    hers = {name: content for name, content in read_contents(team.ada).items() if name.startswith(FILES[:5])}
    assert Dataset.open(bob).verify(repair=True) == []
    assert Dataset.open(bob).show().digest == ada.show().digest
    result = Dataset.open(bob).add_classes(["reed"])
    assert result.position == 7
    his = read_contents(bob)
    lost = [name for name, content in hers.items() if name.startswith("rasters") and his.get(name) != content]
    assert lost == []
    require_all_well(bob)
