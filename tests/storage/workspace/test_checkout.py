"""Checkout: the files and tables of a revision byte for byte, at the cost of what differs, and never anything wrong."""

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
from geographer.storage.workspace.checkout import CheckoutResult
from tests import REPOSITORY
from tests.sample_history import HEAD, V1, alter, cached, contents


@pytest.fixture
def root(story, tmp_path):
    return shutil.copytree(story.root, tmp_path / "dataset")


def dvc(root, *arguments):
    """What plain DVC says, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


CLEAN = "Data and pipelines are up to date."


def dvc_status(root):
    """What DVC finds changed, asked in this process."""
    with Repo(str(root)) as repo:
        return repo.status()


def data(root):
    """The rasters and labels in a folder, by path."""
    return {
        path: content
        for path, content in contents(root).items()
        if path.startswith(("rasters/", "labels/")) and path.endswith((".tif", ".json"))
    }


def tracking(root):
    """The files in which DVC and Git are told what there is."""
    return {path: content for path, content in contents(root).items() if path.endswith(".dvc") or ".gitignore" in path}


def stats(folder):
    """What changes when a file is written anew, even with the bytes that it had."""
    return {path: ((folder / path).stat().st_ino, (folder / path).stat().st_mtime_ns) for path in contents(folder)}


def differing(before, after):
    """How many files of `after` have to be written, how many of `before` removed, how many stay."""
    written = [path for path in after if before.get(path) != after[path]]
    return CheckoutResult(len(written), len(before.keys() - after.keys()), len(after) - len(written))


# --- into a folder ------------------------------------------------------------------------------------------------


def test_a_checkout_after_later_history_has_the_files_and_tables_that_there_were(story, tmp_path):
    Dataset.open(story.at_v1).checkout("v1", to=tmp_path / "then")
    delivered = Dataset.open(story.root).checkout("v1", to=tmp_path / "now")
    assert contents(tmp_path / "now") == contents(tmp_path / "then")
    kept_then = data(story.at_v1)
    assert len(kept_then) == 16
    assert delivered == CheckoutResult(len(kept_then), 0, 0)
    assert {path: content for path, content in contents(tmp_path / "now").items() if "tables/" not in path} == kept_then


def test_the_tables_of_a_checkout_are_those_of_the_revision(story, tmp_path):
    dataset = Dataset.open(story.root)
    dataset.checkout("v1", to=tmp_path / "v1")
    written = {path.stem: pq.read_table(path) for path in (tmp_path / "v1" / "tables").iterdir()}
    assert set(written) == {"features", "rasters", "edges", "chips", "labels", "objects", "splits", "classes"}
    assert written["features"]["feature_id"].to_pylist() == ["p1", "p2", "q1", "q2"]
    assert written["classes"].to_pylist() == [
        {"class": "water", "value": 0},
        {"class": "pond", "value": 1},
        {"class": "quarry", "value": 2},
    ]
    for name in ("edges", "chips", "labels", "splits"):
        assert written[name].to_pylist() == dataset.table(name, "v1").arrow.to_pylist()
        assert written[name].num_rows


def test_another_revision_into_the_same_folder_writes_only_what_differs(story, tmp_path):
    dataset, folder = Dataset.open(story.root), tmp_path / "checkout"
    dataset.checkout("v1", to=folder)
    before, first = contents(folder), stats(folder)
    delivered = dataset.checkout("v2", to=folder)
    after, second = contents(folder), stats(folder)
    assert data(folder) == data(story.root)
    assert delivered == differing(data(story.at_v1), data(story.root))
    assert all((delivered.written, delivered.removed, delivered.unchanged))
    same = {path for path in before if after.get(path) == before[path]}
    assert {path: first[path] for path in same} == {path: second[path] for path in same}
    assert dataset.checkout("v2", to=folder) == CheckoutResult(0, 0, len(data(story.root)))
    assert stats(folder) == second
    dataset.checkout("v1", to=folder)
    assert contents(folder) == before


def test_a_file_of_a_checkout_that_somebody_changed_or_removed_is_written_again(story, tmp_path):
    dataset, folder = Dataset.open(story.root), tmp_path / "checkout"
    dataset.checkout("v1", to=folder)
    before = contents(folder)
    alter(folder / "rasters/source/a.tif")
    (folder / "labels/mask/around/a_q1.tif").unlink()
    (folder / "tables/edges.parquet").unlink()
    assert dataset.checkout("v1", to=folder).written == 2
    assert contents(folder) == before


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(story, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConflictError, match="is not empty, and no earlier checkout: give another folder"):
        Dataset.open(story.root).checkout("v1", to=tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"mine"}


def test_a_checkout_that_was_interrupted_leaves_nothing_behind_in_that_of_another_revision(
    root, story, tmp_path, monkeypatch
):
    folder = tmp_path / "checkout"
    restore = Store.restore

    def interrupted(self, wanted, **options):
        restore(self, wanted[:9], **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "restore", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Dataset.open(root).checkout("v2", to=folder)
    assert len(data(folder)) == 9
    assert Dataset.open(root).checkout("v1", to=folder).written == 16
    assert data(folder) == data(story.at_v1)


# --- in place -----------------------------------------------------------------------------------------------------


def test_the_workspace_goes_to_an_old_revision_and_back_and_dvc_finds_both_clean(root, story):
    before = data(root), tracking(root)
    dataset = Dataset.open(root)
    assert dataset.checkout("v1") == differing(data(story.root), data(story.at_v1))
    assert (data(root), tracking(root)) == (data(story.at_v1), tracking(story.at_v1))
    assert dvc(root, "status") == CLEAN
    assert dataset.status()["workspace"] == V1
    assert dataset.checkout("HEAD") == differing(data(story.at_v1), data(story.root))
    assert (data(root), tracking(root)) == before
    assert dvc(root, "status") == CLEAN
    assert dataset.status()["workspace"] == HEAD


def test_folders_that_a_revision_does_not_have_are_gone_with_their_dvc_files(root):
    dataset = Dataset.open(root)
    dataset.checkout("@4")
    assert sorted(path.relative_to(root).as_posix() for path in root.glob("[rl]a*/**/*") if path.name[0] != ".") == [
        "rasters/source",
        "rasters/source.dvc",
        "rasters/source/a.tif",
        "rasters/source/b.tif",
    ]
    dataset.checkout("@1")
    assert not data(root)
    assert not list(root.glob("[rl]a*/**/*.dvc"))
    assert dataset.verify("@1") == []


def test_a_change_on_an_old_checkout_is_refused_with_the_next_step(root):
    dataset = Dataset.open(root)
    dataset.checkout("v1")
    for change in (
        lambda **options: dataset.add_classes(["dock"], **options),
        lambda **options: dataset.tag("v3", **options),
        lambda **options: dataset.cut_grid("small", size=16, **options),
    ):
        for options in ({}, {"dry_run": True}):
            with pytest.raises(
                ConflictError, match=rf"shows @8, .*the head is @{HEAD}: go back with geographer checkout HEAD"
            ):
                change(**options)
    assert Dataset.open(root).log()[-1].position == HEAD
    dataset.checkout("HEAD")
    assert dataset.add_classes(["dock"]).position == HEAD + 1


def test_files_that_somebody_altered_or_removed_are_brought_back(root, story):
    dataset = Dataset.open(root)
    alter(root / "rasters/source/a.tif")
    os.utime(root / "rasters/source/a.tif", (0, 0))
    (root / "labels/mask/around/a_q1.tif").unlink()
    (root / "rasters/grid/a_c0_r0.tif").write_bytes(b"short")
    untouched = stats(root / "rasters" / "around")
    assert dataset.checkout("HEAD") == CheckoutResult(3, 0, len(data(story.root)) - 3)
    assert data(root) == data(story.root)
    assert stats(root / "rasters" / "around") == untouched
    assert dataset.verify() == []


# --- from the cache and the remote --------------------------------------------------------------------------------


def test_an_old_revision_comes_back_from_a_dvc_remote_when_the_cache_is_empty(root, story, tmp_path):
    remote = f"[core]\n    remote = far\n['remote \"far\"']\n    url = {tmp_path / 'far'}\n"
    then = shutil.copytree(story.at_v1, tmp_path / "then")
    (then / ".dvc" / "config.local").write_text(remote)
    assert "pushed" in dvc(then, "push")
    shutil.rmtree(root / ".dvc" / "cache")
    (root / ".dvc" / "config.local").write_text(remote)
    dataset = Dataset.open(root)
    dataset.checkout("v1", to=tmp_path / "checkout")
    assert data(tmp_path / "checkout") == data(story.at_v1)
    dataset.checkout("v1")
    assert data(root) == data(story.at_v1)
    assert dvc_status(root) == {}


@pytest.mark.parametrize("path", ["rasters/source/b.tif", "labels/mask/around/a_q2.tif"])
def test_one_bit_turned_over_in_the_cache_is_never_delivered_and_names_raster_and_features(root, story, tmp_path, path):
    name = "b" if "source" in path else "around/a_q2"
    alter(cached(root, path, V1))
    dataset = Dataset.open(root)
    message = rf"1 of \d+ files can't be restored: altered in the cache: raster '{name}', which show the features 'q2'"
    with pytest.raises(CorruptError, match=message):
        dataset.checkout("v1", to=tmp_path / "checkout")
    kept = data(story.at_v1)
    assert data(tmp_path / "checkout") == {name: content for name, content in kept.items() if name != path}
    before = data(root).get(path)
    with pytest.raises(CorruptError, match=message):
        dataset.checkout("v1")
    assert data(root).get(path) == before


def test_a_checkout_that_failed_half_way_can_be_taken_back(root, story):
    """Some files are those of v1 by then: going back looks at all of them."""
    alter(cached(root, "rasters/source/b.tif", V1))
    before = data(root), tracking(root)
    dataset = Dataset.open(root)
    with pytest.raises(CorruptError):
        dataset.checkout("v1")
    assert data(root) != before[0]
    assert dataset.status()["workspace"] is None
    dataset.checkout("HEAD")
    assert (data(root), tracking(root)) == before
    assert dataset.verify() == []
    assert dvc_status(root) == {}


def test_a_file_that_neither_cache_nor_remote_has_is_named(root, tmp_path):
    cached(root, "rasters/source/b.tif", V1).unlink()
    with pytest.raises(CorruptError, match=r"missing in the cache: raster 'b', which show the features 'q2'.*dvc pull"):
        Dataset.open(root).checkout("v1", to=tmp_path / "checkout")


# --- after a crash ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        ("geographer.storage.unit_of_work", "Recorder", "show"),
        ("geographer.storage.dvc.store", "Store", "restore"),
        ("geographer.storage.dvc.store", "Store", "track"),
        ("geographer.storage.dvc.store", "Store", "save_state"),
    ],
)
def test_what_was_killed_after_the_append_is_caught_up_by_the_next_command(root, where):
    killed = subprocess.run(
        [sys.executable, "-m", "tests.storage.workspace.killed_process", root, *where], cwd=REPOSITORY, check=False
    )
    assert killed.returncode == -9
    dataset = Dataset.open(root)
    last = dataset.log()[-1]
    assert (last.position, last.payload["chips"]) == (HEAD + 1, 48)
    assert dataset.status()["workspace"] != HEAD + 1
    dataset.add_classes(["dock"])
    assert dataset.status()["workspace"] == HEAD + 2
    assert len(list((root / "rasters" / "last").glob("*.tif"))) == 48
    assert dvc_status(root) == {}
    left = dataset.verify()
    assert {finding.what for finding in left} <= {"orphan file"}
    assert {Path(finding.which).parts[1] for finding in left} <= {"staging"}
    assert dataset.verify(repair=True) == dataset.verify() == []


def test_ctrl_c_before_the_append_records_nothing_and_the_same_command_finishes_the_job(root, monkeypatch):
    before = data(root), tracking(root)
    dataset = Dataset.open(root)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    for name in ("ingest", "path_of"):
        with monkeypatch.context() as patch:
            patch.setattr(Store, name, interrupted)
            with pytest.raises(KeyboardInterrupt):
                dataset.cut_grid("last", size=16)
        assert (data(root), tracking(root)) == before
        assert Dataset.open(root).log()[-1].position == HEAD
        assert Dataset.open(root).verify() == []
    assert dataset.cut_grid("last", size=16).summary["chips"] == 48
    assert dataset.verify() == []


def test_ctrl_c_after_the_append_is_caught_up_by_the_next_command(root, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "show", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Dataset.open(root).remove_rasters(["c"])
    assert (root / "rasters/source/c.tif").is_file()
    Dataset.open(root).tag("v3")
    assert not (root / "rasters/source/c.tif").exists()
    assert Dataset.open(root).verify() == []
