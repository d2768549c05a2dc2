"""A crafted log, whose paths lead out of the dataset: no command writes or deletes there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from tests.reliability.forging import edit_database, recompute_log, remove_history
from tests.sample_history import read_contents

BAD_PATHS = {
    "a": "../outside/precious.tif",
    "around/a_p1": "{outside}/precious.tif",
    "around/a_q1": ".git/hooks/pre-commit",
    "grid/a_c0_r0": "rasters/../notes.txt",
    "grid/a_c32_r0": "notes.txt",
    "grid/a_c0_r32": "rasters/foo.dvc/x.tif",
    "grid/a_c32_r32": "",
    "grid/b_c0_r0": "labels/..\\..\\outside\\precious.tif",
}
BAD_LABEL_PATHS = {"around/a_p1": "labels/mask/../../../outside/precious.tif", "around/a_q1": ".dvc/config"}
OWN_FILES = tuple(
    f"dataset/{name}" for name in ("rasters", "labels", "history", "geographer.lock", ".geographer", ".dvc/")
)


def forge_log(file: Path, *statements: str) -> None:
    """Edit a log, and recompute its digests."""
    with edit_database(file) as connection:
        for statement in statements:
            connection.execute(statement)
        recompute_log(connection)


@pytest.fixture
def crafted(sample_history, tmp_path):
    """A dataset beside a folder `outside`, with a user's own files, in whose log some paths lead out of the data."""
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.tif").write_text("precious")
    (root / ".git/hooks").mkdir(parents=True)
    (root / "notes.txt").write_text("notes")
    edits = [
        f"UPDATE {table} SET path = '{path.format(outside=outside)}' WHERE raster_id = '{raster_id}'"
        for table, paths in (("raster_change", BAD_PATHS), ("label_change", BAD_LABEL_PATHS))
        for raster_id, path in paths.items()
    ]
    forge_log(root / ".geographer/log.duckdb", *edits)
    remove_history(root)
    (root / ".geographer/state.duckdb").unlink()
    (root / ".geographer/workspace.json").unlink()
    return Dataset.open(root)


def read_other_files(root: Path) -> dict[str, bytes]:
    """Read the files beside a dataset, and those of its files that are not the dataset's own."""
    return {
        path: content
        for path, content in read_contents(root.parent).items()
        if not path.startswith(OWN_FILES) or path == "dataset/.dvc/config"
    }


@pytest.mark.filterwarnings("ignore")
def test_crafted_paths_reach_no_other_file(crafted, tmp_path):
    before = read_other_files(crafted.root)
    named = {finding.subject for finding in crafted.verify()}
    assert all(any(raster_id in subject for subject in named) for raster_id in BAD_PATHS)
    crafted.checkout("HEAD")
    crafted.checkout("@3")
    crafted.checkout("HEAD")
    crafted.checkout("@7", to=tmp_path / "dataset/rasters-at-7")
    exported = read_contents(tmp_path / "dataset/rasters-at-7")
    shutil.rmtree(tmp_path / "dataset/rasters-at-7")
    assert {path for path in exported if path.startswith(("rasters/", "labels/"))} == {
        "rasters/source/b.tif",
        *(f"rasters/grid/b_c{col}_r{row}.tif" for col, row in ((32, 0), (0, 32), (32, 32))),
        "rasters/around/a_q2.tif",
        "labels/mask/around/a_q2.tif",
    }
    crafted.update()
    with pytest.raises(NotFoundError, match="no raster 'a'"):
        crafted.remove_rasters(["a"])
    crafted.remove_rasters(["b"])
    crafted.verify(repair=True)
    assert read_other_files(crafted.root) == before
    crafted.remove_unreadable()
    crafted.verify(repair=True)
    assert crafted.verify() == []
    assert read_other_files(crafted.root) == before


@pytest.mark.filterwarnings("ignore")
def test_crafted_folders_are_not_followed(sample_history, tmp_path):
    """Symbolic links in a crafted dataset, to folders outside that have files of the names of its files."""
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset"))
    for folder in ("labels/mask", "rasters/grid"):
        shutil.rmtree(dataset.root / folder)
        target = tmp_path / "outside" / Path(folder).name
        target.mkdir(parents=True)
        (target / "a_c0_r0.tif").write_text("precious")
        (dataset.root / folder).symlink_to(target)
    before = read_contents(tmp_path / "outside")
    assert "blocked folder" in {finding.kind for finding in dataset.verify(repair=True)}
    for change in (
        lambda: dataset.checkout("HEAD"),
        lambda: dataset.checkout("@3"),
        lambda: dataset.remove_recipe("grid"),
        lambda: dataset.cut_grid("other", size=16),
    ):
        with pytest.raises(ConflictError, match="is a symbolic link"):
            change()
    assert read_contents(tmp_path / "outside") == before


def test_export_follows_no_link(sample_history, tmp_path):
    dataset = Dataset.open(sample_history.at_v1)
    folder, outside = tmp_path / "export", tmp_path / "outside"
    dataset.checkout("@3", to=folder)
    (folder / "rasters/source").rename(outside)
    (folder / "rasters/source").symlink_to(outside)
    (outside / "a.tif").write_text("precious")
    for revision in ("@3", "@2"):
        with pytest.raises(ConflictError, match="rasters/source' is a symbolic link"):
            dataset.checkout(revision, to=folder)
    assert (outside / "a.tif").read_text() == "precious"
    with pytest.raises(UsageError, match="the dataset is there"):
        dataset.checkout("@3", to=dataset.root / "rasters")


def test_locks_of_crafted_staging_are_not_followed(sample_history, tmp_path):
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    (tmp_path / "precious").write_text("precious")
    (root / ".geographer/staging/x.lock").symlink_to(tmp_path / "precious")
    (root / ".geographer/staging/x").symlink_to(tmp_path)
    dataset = Dataset.open(root)
    dataset.add_classes(["quay"])
    dataset.verify(repair=True)
    assert (tmp_path / "precious").read_text() == "precious"
    assert dataset.verify() == []


def test_folder_of_dataset_is_not_followed(sample_history, tmp_path):
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    for name in ("poetry", "poetry.lock"):
        (tmp_path / "packages" / name).mkdir(parents=True)
    staging = root / ".geographer/staging"
    shutil.rmtree(staging)
    dataset = Dataset.open(root)
    staging.symlink_to(tmp_path / "packages")
    for change in (lambda: dataset.verify(repair=True), lambda: dataset.add_classes(["x"]), lambda: Dataset.open(root)):
        with pytest.raises(ConflictError, match=r"/staging' is a symbolic link"):
            change()
    assert len([*(tmp_path / "packages").iterdir()]) == 2
    staging.unlink()
    (tmp_path / "link").symlink_to(root)
    assert Dataset.open(tmp_path / "link").verify() == []
    (root / ".geographer").rename(tmp_path / "outside")
    (root / ".geographer").symlink_to(tmp_path / "outside")
    with pytest.raises(ConflictError, match=r"/\.geographer' is a symbolic link"):
        Dataset.open(root)


def test_checkout_keeps_file_of_user(sample_history, tmp_path):
    """Of a file that is not the dataset's now, at a path at which an older revision has one."""
    dataset = Dataset.open(shutil.copytree(sample_history.root, tmp_path / "dataset"))
    path = dataset.root / "rasters/around/a_p1.tif"
    path.write_text("notes")
    before = read_contents(dataset.root / "rasters")
    with pytest.raises(ConflictError, match=r"'rasters/around/a_p1.tif' would be overwritten"):
        dataset.checkout("v1")
    assert read_contents(dataset.root / "rasters") == before
    assert dataset.status()["workspace"] == dataset.status()["position"]
    (dataset.root / ".geographer/workspace.json").unlink()
    dataset.checkout("HEAD")
    assert path.read_text() == "notes"
    path.unlink()
    dataset.checkout("v1")
    (dataset.root / ".geographer/workspace.json").unlink()
    dataset.checkout("HEAD")
    assert not path.exists()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("UPDATE raster_change SET collection = '../../outside' WHERE raster_id = 'b'", ""),
        ("UPDATE raster_change SET collection = 'x.dvc' WHERE raster_id = 'b'", "a name that Git, DVC or geographer"),
        ("UPDATE raster_change SET path = '../outside/b.tif' WHERE raster_id = 'b'", ""),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_import_writes_nothing_outside(sample_history, empty_dataset, tmp_path, edit, message):
    source = shutil.copytree(sample_history.at_v1, tmp_path / "source")
    forge_log(source / ".geographer/log.duckdb", edit)
    (source / ".geographer/state.duckdb").unlink()
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    before = dataset.log(1)
    if message:
        with pytest.raises(UsageError, match=message):
            dataset.import_dataset(source)
        assert dataset.log(1) == before
        assert not (dataset.root / "rasters").exists()
    else:
        dataset.import_dataset(source)
        assert "b" not in dataset.rasters()["raster_id"].to_pylist()
    assert not (tmp_path / "outside").exists()
    assert dataset.verify() == []
