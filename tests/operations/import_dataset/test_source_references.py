"""Import references: paths in roots stay where a root can be the same folder, others get a root of this dataset."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from geographer import Dataset
from tests.operations.import_dataset.object_import import import_objects
from tests.sample_rasters import make_pixels, write_scene


@pytest.fixture
def source(empty_dataset: Path, tmp_path: Path) -> Dataset:
    """A dataset with a reference in its root `scenes`, and one in its own folder."""
    source = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "source"))
    write_raster(tmp_path / "theirs/deep/a.tif")
    source.set_root("scenes", tmp_path / "theirs")
    write_raster(source.root / "{own}/b.tif", 2)
    source.add_rasters([tmp_path / "theirs", source.root / "{own}"], mode="reference")
    assert read_paths(source) == {"a": "{scenes}/deep/a.tif", "b": "./{own}/b.tif"}
    return source


def write_raster(path: Path, seed: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_scene(path, make_pixels(1, 24, 32, seed=seed))


def read_paths(dataset: Dataset) -> dict[str, str]:
    return {row["raster_id"]: row["path"] for row in dataset.rasters().to_pylist()}


def read_root_folders(dataset: Dataset) -> dict[str, str | None]:
    return {row["name"]: row["folder"] for row in dataset.list_roots().to_pylist()}


def test_free_name_of_root_is_kept(dataset, source, tmp_path):
    import_objects(dataset, source.root, dry_run=True)
    assert read_root_folders(dataset) == {}
    import_objects(dataset, source.root)
    assert read_paths(dataset) == {"a": "{scenes}/deep/a.tif", "b": "{own}/b.tif"}
    assert read_root_folders(dataset) == {"scenes": str(tmp_path / "theirs"), "own": str(source.root / "{own}")}
    assert dataset.verify() == []
    assert not import_objects(dataset, source.root).changed


def test_root_of_other_folder_gets_other_name(dataset, source, tmp_path):
    (tmp_path / "ours").mkdir()
    dataset.set_root("scenes", tmp_path / "ours")
    import_objects(dataset, source.root)
    assert read_paths(dataset)["a"] == "{tmp}/theirs/deep/a.tif".replace("tmp", tmp_path.name)
    assert read_root_folders(dataset) == {"scenes": str(tmp_path / "ours"), tmp_path.name: str(tmp_path)}
    assert dataset.verify() == []


def test_root_with_the_same_file_is_kept(dataset, source, tmp_path):
    shutil.copytree(tmp_path / "theirs", tmp_path / "ours")
    dataset.set_root("scenes", tmp_path / "ours")
    dataset.add_rasters(tmp_path / "ours", mode="reference")
    result = import_objects(dataset, source.root)
    assert (result.summary["equal"], result.summary["rasters"]) == (1, 1)
    assert read_paths(dataset) == {"a": "{scenes}/deep/a.tif", "b": "{own}/b.tif"}


def test_path_in_root_that_is_set_nowhere_is_kept(dataset, source):
    (source.root / ".geographer/roots.json").unlink()
    import_objects(dataset, source.root)
    assert read_paths(dataset)["a"] == "{scenes}/deep/a.tif"
    assert read_root_folders(dataset)["scenes"] is None
