"""Checkout: files and tables of a revision, byte for byte, at the cost of what differs, and only undamaged files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dvc.repo import Repo

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError
from geographer.storage.dvc.store import Store
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace import checked_files
from tests import REPOSITORY
from tests.sample_history import HEAD, V1, delete_object, find_cached_file, flip_bit_of_file, read_contents
from tests.sample_team import select_cases


@pytest.fixture
def root(sample_history, tmp_path):
    return shutil.copytree(sample_history.root, tmp_path / "dataset")


def run_dvc(root, *arguments):
    """Run DVC in another process and return its output."""
    process = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


CLEAN = "Data and pipelines are up to date."


def read_dvc_status(root):
    """Return what DVC finds changed, in this process."""
    with Repo(str(root)) as repo:
        return repo.status()


def read_data(root):
    """Read the rasters and labels in a folder, by path."""
    return {
        path: content
        for path, content in read_contents(root).items()
        if path.startswith(("rasters/", "labels/")) and path.endswith((".tif", ".json"))
    }


def read_tracking_files(root):
    """Read the files that DVC and Git track the data with; `history.dvc` is the same for all revisions."""
    return {
        path: content
        for path, content in read_contents(root).items()
        if (path.endswith(".dvc") and path != "history.dvc") or ".gitignore" in path
    }


def read_file_status(folder):
    """Return inode and modification time of each file, which change when a file is rewritten."""
    return {path: ((folder / path).stat().st_ino, (folder / path).stat().st_mtime_ns) for path in read_contents(folder)}


def expect_result(before, after):
    """Return the expected result of a checkout from `before` to `after`."""
    written = [path for path in after if before.get(path) != after[path]]
    return (len(written), len(before.keys() - after.keys()), len(after) - len(written))


# --- into a folder ------------------------------------------------------------------------------------------------


def test_checkout_equals_earlier_revision(sample_history, tmp_path):
    Dataset.open(sample_history.at_v1).checkout("v1", to=tmp_path / "then")
    result = Dataset.open(sample_history.root).checkout("v1", to=tmp_path / "now")
    assert read_contents(tmp_path / "now") == read_contents(tmp_path / "then")
    expected = read_data(sample_history.at_v1)
    assert len(expected) == 16
    assert result[:3] == (len(expected), 0, 0)
    assert read_data(tmp_path / "now") == expected
    others = read_contents(tmp_path / "now").keys() - expected.keys()
    assert {path for path in others if "tables/" not in path} == {"MANIFEST", "revision.json"}


def test_checkout_writes_revision_tables(sample_history, tmp_path):
    # There, the workspace shows v1, so that paths are the recorded ones.
    dataset = Dataset.open(sample_history.at_v1)
    dataset.checkout("v1", to=tmp_path / "v1")
    written = {path.stem: pq.read_table(path) for path in (tmp_path / "v1" / "tables").iterdir()}
    tables = {"features", "rasters", "edges", "chips", "labels", "objects", "splits", "classes", "samples"}
    assert set(written) == tables
    assert written["features"]["feature_id"].to_pylist() == ["p1", "p2", "q1", "q2"]
    assert written["classes"].to_pylist() == [
        {"class": "water", "value": 0},
        {"class": "pond", "value": 1},
        {"class": "quarry", "value": 2},
    ]
    for name in ("edges", "chips", "labels", "splits"):
        assert written[name].to_pylist() == dataset.read_table(name, "v1").arrow.to_pylist()
        assert written[name].num_rows


def test_checkout_writes_only_differences(sample_history, tmp_path):
    dataset, folder = Dataset.open(sample_history.root), tmp_path / "checkout"
    dataset.checkout("v1", to=folder)
    before, first = read_contents(folder), read_file_status(folder)
    result = dataset.checkout("v2", to=folder)
    after, second = read_contents(folder), read_file_status(folder)
    assert read_data(folder) == read_data(sample_history.root)
    assert result[:3] == expect_result(read_data(sample_history.at_v1), read_data(sample_history.root))
    assert all((result.written, result.removed, result.unchanged))
    common = {path for path in before if after.get(path) == before[path]}
    assert {path: first[path] for path in common} == {path: second[path] for path in common}
    assert dataset.checkout("v2", to=folder)[:3] == (0, 0, len(read_data(sample_history.root)))
    assert read_file_status(folder) == second
    dataset.checkout("v1", to=folder)
    assert read_contents(folder) == before


def test_checkout_rewrites_altered_files(sample_history, tmp_path):
    dataset, folder = Dataset.open(sample_history.root), tmp_path / "checkout"
    dataset.checkout("v1", to=folder)
    before = read_contents(folder)
    flip_bit_of_file(folder / "rasters/source/a.tif")
    (folder / "labels/mask/around/a_q1.tif").unlink()
    (folder / "tables/edges.parquet").unlink()
    assert dataset.checkout("v1", to=folder).written == 2
    assert read_contents(folder) == before


def test_checkout_rejects_folder_with_other_content(sample_history, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConflictError, match=r"is not empty, and not an earlier checkout. Choose another folder"):
        Dataset.open(sample_history.root).checkout("v1", to=tmp_path)
    assert read_contents(tmp_path) == {"mine.txt": b"mine"}


def test_checkout_after_interrupted_checkout(root, sample_history, tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    restore = Store.restore_files

    def interrupt_restore(self, files, **options):
        restore(self, files[:9], **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "restore_files", interrupt_restore)
        with pytest.raises(KeyboardInterrupt):
            Dataset.open(root).checkout("v2", to=folder)
    assert len(read_data(folder)) == 9
    # One of the nine files is that of v1, too.
    assert Dataset.open(root).checkout("v1", to=folder).written == 15
    assert read_data(folder) == read_data(sample_history.at_v1)


# --- in place -----------------------------------------------------------------------------------------------------


def test_workspace_checkout_and_return(root, sample_history):
    before = read_data(root), read_tracking_files(root)
    dataset = Dataset.open(root)
    assert dataset.checkout("v1")[:3] == expect_result(read_data(sample_history.root), read_data(sample_history.at_v1))
    assert (read_data(root), read_tracking_files(root)) == (
        read_data(sample_history.at_v1),
        read_tracking_files(sample_history.at_v1),
    )
    assert run_dvc(root, "status") == CLEAN
    assert dataset.status()["workspace"] == V1
    assert dataset.checkout("HEAD")[:3] == expect_result(
        read_data(sample_history.at_v1), read_data(sample_history.root)
    )
    assert (read_data(root), read_tracking_files(root)) == before
    assert run_dvc(root, "status") == CLEAN
    assert dataset.status()["workspace"] == HEAD


def test_checkout_removes_folders_of_other_revision(root):
    dataset = Dataset.open(root)
    dataset.checkout("@4")
    assert sorted(path.relative_to(root).as_posix() for path in root.glob("[rl]a*/**/*") if path.name[0] != ".") == [
        "rasters/source",
        "rasters/source.dvc",
        "rasters/source/a.tif",
        "rasters/source/b.tif",
    ]
    dataset.checkout("@1")
    assert not read_data(root)
    assert not list(root.glob("[rl]a*/**/*.dvc"))
    assert dataset.verify("@1") == []


def test_change_rejected_on_old_checkout(root):
    dataset = Dataset.open(root)
    dataset.checkout("v1")
    for change in (
        lambda **options: dataset.add_classes(["dock"], **options),
        lambda **options: dataset.tag("v3", **options),
        lambda **options: dataset.cut_grid("small", size=16, **options),
    ):
        for options in ({}, {"dry_run": True}):
            with pytest.raises(ConflictError, match=rf"is at @8, .*the head is @{HEAD}. Run geographer checkout HEAD"):
                change(**options)
    assert Dataset.open(root).log()[-1].position == HEAD
    dataset.checkout("HEAD")
    assert dataset.add_classes(["dock"]).position == HEAD + 1


def test_workspace_checkout_restores_altered_files(root, sample_history):
    dataset = Dataset.open(root)
    flip_bit_of_file(root / "rasters/source/a.tif")
    os.utime(root / "rasters/source/a.tif", (0, 0))
    (root / "labels/mask/around/a_q1.tif").unlink()
    (root / "rasters/grid/a_c0_r0.tif").write_bytes(b"short")
    untouched = read_file_status(root / "rasters" / "around")
    assert dataset.checkout("HEAD")[:3] == (3, 0, len(read_data(sample_history.root)) - 3)
    assert read_data(root) == read_data(sample_history.root)
    assert read_file_status(root / "rasters" / "around") == untouched
    assert dataset.verify() == []


def test_workspace_checkout_after_other_events(root, sample_history, monkeypatch):
    """Events that were recorded since a file was altered do not make it trusted."""
    monkeypatch.setattr(checked_files, "_SETTLING_NS", 0)
    dataset, path = Dataset.open(root), root / "rasters/source/a.tif"
    dataset.checkout("HEAD")
    before = path.stat()
    flip_bit_of_file(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    dataset.tag("v3")
    assert dataset.checkout("HEAD").written == 1
    assert read_data(root) == read_data(sample_history.root)
    flip_bit_of_file(path)
    assert dataset.checkout("v1").written > 1
    assert read_data(root) == read_data(sample_history.at_v1)


# --- from the cache and the remote --------------------------------------------------------------------------------


def test_checkout_fetches_from_remote(root, sample_history, tmp_path):
    remote = f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'far'}\n"
    old_copy = shutil.copytree(sample_history.at_v1, tmp_path / "then")
    (old_copy / ".dvc" / "config.local").write_text(remote)
    assert "pushed" in run_dvc(old_copy, "push")
    shutil.rmtree(root / ".dvc" / "cache")
    (root / ".dvc" / "config.local").write_text(remote)
    dataset = Dataset.open(root)
    dataset.checkout("v1", to=tmp_path / "checkout")
    assert read_data(tmp_path / "checkout") == read_data(sample_history.at_v1)
    dataset.checkout("v1")
    assert read_data(root) == read_data(sample_history.at_v1)
    # The cache that was deleted had the segments, too; the remote has those of v1.
    assert [Path(name).name for name in read_dvc_status(root)] == ["history.dvc"]


@pytest.mark.parametrize("path", ["rasters/source/b.tif", "labels/mask/around/a_q2.tif"])
def test_checkout_rejects_flipped_bit(root, sample_history, tmp_path, path):
    name = "b" if "source" in path else "around/a_q2"
    flip_bit_of_file(find_cached_file(root, path, V1))
    dataset = Dataset.open(root)
    message = rf"cannot restore 1 of \d+ files: altered in the cache: raster '{name}' with the features 'q2'"
    with pytest.raises(CorruptError, match=message):
        dataset.checkout("v1", to=tmp_path / "checkout")
    expected = read_data(sample_history.at_v1)
    assert read_data(tmp_path / "checkout") == {name: content for name, content in expected.items() if name != path}
    before = read_data(root).get(path)
    with pytest.raises(CorruptError, match=message):
        dataset.checkout("v1")
    assert read_data(root).get(path) == before


def test_failed_checkout_can_be_undone(root, sample_history):
    """Some files are those of v1 by then, so the next checkout must compare all files."""
    flip_bit_of_file(find_cached_file(root, "rasters/source/b.tif", V1))
    before = read_data(root), read_tracking_files(root)
    dataset = Dataset.open(root)
    with pytest.raises(CorruptError):
        dataset.checkout("v1")
    assert read_data(root) != before[0]
    assert dataset.status()["workspace"] is None
    dataset.checkout("HEAD")
    assert (read_data(root), read_tracking_files(root)) == before
    assert dataset.verify() == []
    assert read_dvc_status(root) == {}


def test_checkout_names_missing_file(root, tmp_path):
    delete_object(root, "rasters/source/b.tif", V1)
    with pytest.raises(CorruptError, match=r"missing in the cache: raster 'b' with the features 'q2'.*dvc pull"):
        Dataset.open(root).checkout("v1", to=tmp_path / "checkout")


# --- after a crash ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    select_cases(
        [
            ("geographer.storage.unit_of_work", "UnitOfWork", "checkout_workspace"),
            ("geographer.storage.dvc.store", "Store", "track_folder"),
            ("geographer.storage.dvc.store", "Store", "restore_files"),
            ("geographer.storage.dvc.store", "Store", "save_dvc_state"),
        ],
        2,
    ),
)
def test_next_command_completes_killed_one(root, method):
    process = subprocess.run(
        [sys.executable, "-m", "tests.storage.workspace.killed_process", root, *method], cwd=REPOSITORY, check=False
    )
    assert process.returncode == -9
    dataset = Dataset.open(root)
    last = dataset.log()[-1]
    assert (last.position, last.payload["chips"]) == (HEAD + 1, 48)
    assert dataset.status()["workspace"] != HEAD + 1
    dataset.add_classes(["dock"])
    assert dataset.status()["workspace"] == HEAD + 2
    assert len(list((root / "rasters" / "last").glob("*.tif"))) == 48
    assert read_dvc_status(root) == {}
    findings = dataset.verify()
    assert {finding.kind for finding in findings} <= {"orphan file"}
    assert {Path(finding.subject).parts[1] for finding in findings} <= {"staging"}
    assert dataset.verify(repair=True) == []
    assert not list((root / ".geographer" / "staging").iterdir())


def test_interrupt_before_append_records_nothing(root, monkeypatch):
    before = read_data(root), read_tracking_files(root)
    dataset = Dataset.open(root)

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    for name in ("add_files", "cache_path"):
        with monkeypatch.context() as patch:
            patch.setattr(Store, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                dataset.cut_grid("last", size=16)
        assert (read_data(root), read_tracking_files(root)) == before
        assert Dataset.open(root).log()[-1].position == HEAD
        assert Dataset.open(root).verify() == []
    assert dataset.cut_grid("last", size=16).summary["chips"] == 48
    assert dataset.verify() == []


def test_next_command_completes_interrupted_one(root, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "checkout_workspace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Dataset.open(root).remove_rasters(["c"])
    assert (root / "rasters/source/c.tif").is_file()
    Dataset.open(root).tag("v3")
    assert not (root / "rasters/source/c.tif").exists()
    assert Dataset.open(root).verify() == []
