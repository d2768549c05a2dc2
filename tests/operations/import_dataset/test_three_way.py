"""Three-way imports: what either dataset removed or changed since the common history, and conflicts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError
from tests.operations.import_dataset.object_import import import_objects
from tests.sample_history import point_geometry, square_geometry, write_features, write_scenes

FEATURES = {
    "f0": ("pond", point_geometry(10.5, 10.5)),
    "f1": ("quarry", square_geometry(40, 40, 6)),
    "f2": ("quarry", point_geometry(90.5, 12.5)),
    "f3": ("pond", point_geometry(50.5, 20.5)),
}
MOVED = {"f0": ("pond", point_geometry(20.5, 20.5))}


class Copies(NamedTuple):
    """Two datasets of one history, and a folder for inputs."""

    ours: Dataset
    theirs: Dataset
    inputs: Path

    def add_features(self, dataset: Dataset, features: dict[str, Any], **options: Any) -> None:
        path = self.inputs / f"{dataset.root.name}-{len(dataset.log())}.geojson"
        dataset.add_features(write_features(path, features), crs="EPSG:32633", **options)


@pytest.fixture(scope="module")
def template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three-way")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_features(write_features(folder / "first.geojson", FEATURES), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(folder, "a", "b"))
    dataset.cut_around_features("chips", size=16)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    dataset.tag("v1")
    return dataset.root


@pytest.fixture(scope="module")
def open_datasets(template: Path) -> tuple[Dataset, Dataset]:
    """Two datasets that are opened once, because that takes longest; each test gets its own files."""
    ours, theirs = (Dataset.open(shutil.copytree(template, template.with_name(name))) for name in ("ours", "theirs"))
    return ours, theirs


@pytest.fixture
def copies(template: Path, open_datasets: tuple[Dataset, Dataset], tmp_path: Path) -> Copies:
    for dataset in open_datasets:
        shutil.rmtree(dataset.root)
        shutil.copytree(template, dataset.root)
    return Copies(*open_datasets, tmp_path)


def list_ids(dataset: Dataset, table: str) -> set[str]:
    return set(dataset.read_table(table)[f"{table.removesuffix('s').replace('chip', 'raster')}_id"].to_pylist())


def find_class(dataset: Dataset, feature: str) -> str:
    return dataset.features(feature=feature)["class"].to_pylist()[0]


def test_changes_and_removals_of_both_datasets_are_merged(copies: Copies) -> None:
    ours, theirs, _ = copies
    ours.remove_features(["f0"])
    ours.remove_rasters(["chips/a_f1"])
    ours.remove_recipe("mask")
    ours.remap_classes({"pond": "lake"})
    theirs.remove_features(["f2"])
    theirs.remove_rasters(["chips/b_f2", "b"])
    theirs.remap_classes({"quarry": "pit"})
    theirs.split("parts", collection="chips", parts={"train": 0.6, "test": 0.4}, replace=True)
    copies.add_features(theirs, {"f4": ("pit", point_geometry(20.5, 50.5))})
    summary = import_objects(ours, theirs.root).summary
    assert {name: find_class(ours, name) for name in list_ids(ours, "features")} == {
        "f1": "pit",
        "f3": "lake",
        "f4": "pit",
    }
    assert ours.status()["classes"] == ["lake", "pit"]
    assert ours.status()["recipes"] == ["chips (cut around)", "parts (split)"]
    assert list_ids(ours, "rasters") == {"a", "chips/a_f0", "chips/a_f3"}
    assert set(ours.splits()["raster_id"].to_pylist()) == {"chips/a_f0", "chips/a_f3"}
    assert [recipe["name"] for recipe in summary["recipes"]] == ["parts"]
    assert summary["warnings"][-2:] == [
        "not imported, because they were removed here: feature 'f0', raster 'chips/a_f1', recipe 'mask'",
        "removed here, because the other dataset removed them: class 'quarry', feature 'f2', rasters 'b', 'chips/b_f2'",
    ]
    result = ours.cut_around_features("chips", size=16)
    assert list_ids(ours, "chips") == {"chips/a_f3", "chips/a_f4"}
    assert result.summary["unmet"]["removed (geographer restore rasters brings them back)"] == 1
    assert not import_objects(ours, theirs.root).changed
    assert ours.verify() == []


def test_conflicts_are_refused_unless_decided(copies: Copies) -> None:
    ours, theirs, _ = copies
    ours.remove_features(["f0"])
    copies.add_features(ours, {"f1": ("quarry", square_geometry(44, 44, 6))}, replace=True)
    copies.add_features(theirs, MOVED, replace=True)
    theirs.remove_features(["f1"])
    other = Dataset.open(shutil.copytree(ours.root, copies.inputs / "other"))
    ours.remove_recipe("parts")
    theirs.split("parts", collection="chips", parts={"train": 0.6, "test": 0.4}, replace=True)
    before = ours.show().digest
    with pytest.raises(ConflictError, match="recipe 'parts' was removed here, and changed in the other dataset"):
        import_objects(ours, theirs.root)
    with pytest.raises(
        ConflictError, match=r"feature 'f0' was removed here, and changed in .*Pass --on-equal-id ours or"
    ):
        import_objects(other, theirs.root)
    assert ours.show().digest == before
    import_objects(ours, theirs.root, on_equal_id="ours")
    import_objects(other, theirs.root, on_equal_id="theirs")
    assert (list_ids(ours, "features"), list_ids(other, "features")) == ({"f1", "f2", "f3"}, {"f0", "f2", "f3"})
    assert ours.status()["recipes"] == ["chips (cut around)", "mask (label mask)"]
    geometries = [dataset.features(feature="f0")["geometry"].to_pylist() for dataset in (other, theirs)]
    assert geometries[0] == geometries[1]


def test_class_that_was_removed_here_is_refused(copies: Copies) -> None:
    ours, theirs, _ = copies
    ours.remap_classes({"pond": "lake"})
    copies.add_features(theirs, {"f4": ("pond", point_geometry(20.5, 50.5))})
    with pytest.raises(ConflictError, match="feature 'f4' has the class 'pond', which was removed here"):
        import_objects(ours, theirs.root)
    theirs.remove_features(["f0"])
    with pytest.raises(ConflictError, match="feature 'f0' was changed here, and removed in the other dataset"):
        import_objects(ours, theirs.root)


def test_earlier_import_is_common_history(copies: Copies, dataset: Dataset) -> None:
    """A dataset without common events: its first import joins the histories."""
    theirs = copies.theirs
    options: dict[str, Any] = {"prefix": "x-", "rename": {"chips": "tiles", "mask": "tile-mask", "parts": "sides"}}
    dataset.import_dataset(theirs.root, at="v1", **options)
    dataset.remove_features(["x-f0"])
    dataset.remove_rasters(["tiles/x-a_f1", "x-b"])
    theirs.remove_features(["f1"])
    copies.add_features(theirs, {"f2": MOVED["f0"], "f4": ("pond", point_geometry(20.5, 50.5))}, replace=True)
    dataset.import_dataset(theirs.root, **options)
    assert list_ids(dataset, "features") == {"x-f2", "x-f3", "x-f4"}
    assert list_ids(dataset, "rasters") == {"x-a", "tiles/x-a_f0", "tiles/x-b_f2", "tiles/x-a_f3"}
    geometries = [dataset.features(feature="x-f2")["geometry"], theirs.features(feature="f2")["geometry"]]
    assert geometries[0].to_pylist() == geometries[1].to_pylist()


def test_dataset_that_imported_this_one_shares_history(copies: Copies, dataset: Dataset) -> None:
    ours = copies.ours
    ours.remove_rasters(["chips/b_f2"])
    dataset.import_dataset(ours.root)
    # A chip that was removed there is left out by a dataset that never had it.
    assert not dataset.cut_around_features("chips", size=16).changed
    ours.remove_features(["f0"])
    ours.import_dataset(dataset.root)
    assert list_ids(ours, "features") == {"f1", "f2", "f3"}
    assert list_ids(ours, "chips") == {"chips/a_f0", "chips/a_f1", "chips/a_f3"}
