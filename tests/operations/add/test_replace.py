"""Add with replace: existing features and rasters change, and old revisions stay the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.storage.state.update import rebuild_state
from tests.sample_history import NORTH, PIXEL, WEST, point_geometry, read_contents, square_geometry
from tests.sample_rasters import make_pixels, write_scene
from tests.storage.state.test_update import read_state

UTM = "EPSG:32633"
PONDS = {
    "a": ("pond", point_geometry(10.5, 10.5), {"depth": 1.5}),
    "b": ("pond", point_geometry(20.5, 10.5), {"depth": 2.5}),
    "c": ("pond", point_geometry(30.5, 10.5), {"depth": 3.5}),
}


def write_geojson(path: Path, rows: dict[str, tuple[str, dict, dict[str, Any]]]) -> Path:
    features = [
        {"type": "Feature", "properties": {"id": name, "class": kind, **properties}, "geometry": geometry}
        for name, (kind, geometry, properties) in rows.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def write_raster(path: Path, seed: int = 1, column: float = 0, dtype: str = "uint8", side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = (PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH)
    return write_scene(path, make_pixels(1, side, side, dtype, seed=seed), transform=transform, nodata=0)


@pytest.fixture(scope="module")
def pond_template(empty_dataset, tmp_path_factory) -> Path:
    """Three ponds; the scenes s, which shows all of them, and t; chips with masks and a split."""
    folder = tmp_path_factory.mktemp("ponds")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_features(write_geojson(folder / "ponds.geojson", PONDS), crs=UTM)
    dataset.add_rasters([write_raster(folder / "s.tif"), write_raster(folder / "t.tif", 2, column=200)])
    dataset.cut_around_features("chips", size=8)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    dataset.tag("v1")
    return dataset.root


@pytest.fixture(scope="module")
def open_dataset(pond_template, tmp_path_factory) -> Dataset:
    """Opened once, because opening DuckDB and DVC takes longest."""
    return Dataset.open(shutil.copytree(pond_template, tmp_path_factory.mktemp("opened") / "dataset"))


@pytest.fixture
def dataset(open_dataset, pond_template) -> Dataset:
    shutil.rmtree(open_dataset.root)
    shutil.copytree(pond_template, open_dataset.root)
    return open_dataset


def read_edges(dataset: Dataset, at: Any = None) -> set[tuple[str, str, str]]:
    return {tuple(row.values()) for row in dataset.edges(at, where="raster_id IN ('s', 't')").to_pylist()}


def count_changes(result) -> dict[str, int]:
    return {name: result.summary[name] for name in ("added", "changed", "unchanged")}


def read_files(root: Path) -> dict[str, bytes]:
    return read_contents(root / "rasters") | {
        f"labels/{name}": content for name, content in read_contents(root / "labels").items()
    }


def is_rebuilt_equal(dataset: Dataset) -> bool:
    updated = read_state(dataset.root / ".geographer")
    rebuild_state(dataset._unit_of_work.database)
    return read_state(dataset.root / ".geographer") == updated


# --- features ---------------------------------------------------------------------------------------------------------


def test_existing_features_need_replace(dataset, tmp_path):
    with pytest.raises(ConflictError, match="its id is in the dataset already"):
        dataset.add_features(write_geojson(tmp_path / "again.geojson", PONDS), crs=UTM)


def test_replace_adds_changes_and_keeps(dataset, tmp_path):
    again = {
        "c": ("pond", point_geometry(30.5, 10.5), {"depth": 3.5}),
        "b": ("lake", square_geometry(210, 5, 4), {"depth": 2.5}),
        "n": ("pond", point_geometry(5.5, 5.5), {"depth": 0.5}),
    }
    result = dataset.add_features(write_geojson(tmp_path / "again.geojson", again), crs=UTM, replace=True)
    assert count_changes(result) == {"added": 1, "changed": 1, "unchanged": 1}
    assert result.summary["features"] == 2
    log = dataset.sql("SELECT feature_id, change FROM chain_feature_change WHERE position = " + str(result.position))
    assert log.to_pylist() == [{"feature_id": "b", "change": "changed"}, {"feature_id": "n", "change": "added"}]
    rows = {row["feature_id"]: row for row in dataset.features().to_pylist()}
    assert {name: row["class"] for name, row in rows.items()} == {"a": "pond", "b": "lake", "c": "pond", "n": "pond"}
    contains = "contains"
    assert read_edges(dataset) == {
        ("a", "s", contains),
        ("c", "s", contains),
        ("n", "s", contains),
        ("b", "t", contains),
    }
    assert read_edges(dataset, "v1") == {(name, "s", contains) for name in "abc"}
    assert is_rebuilt_equal(dataset)
    assert dataset.verify() == []


def test_replace_removes_missing_columns(dataset, tmp_path):
    bare = {"a": ("pond", point_geometry(10.5, 10.5), {"owner": "Ada"})}
    dataset.add_features(write_geojson(tmp_path / "bare.geojson", bare), crs=UTM, replace=True)
    rows = {row["feature_id"]: row for row in dataset.features().to_pylist()}
    assert (rows["a"]["depth"], rows["a"]["owner"]) == (None, "Ada")
    assert (rows["b"]["depth"], rows["b"]["owner"]) == (2.5, None)


def test_diff_and_history_show_feature_change(dataset, tmp_path):
    moved = {
        "a": ("pond", point_geometry(10.5, 10.5), {"depth": 9.5}),
        "b": ("pond", point_geometry(205.5, 10.5), {"depth": 2.5}),
    }
    dataset.add_features(write_geojson(tmp_path / "moved.geojson", moved), crs=UTM, replace=True)
    rows = [row for row in dataset.diff("v1").table.to_pylist() if "chips/" not in row["id"]]
    assert [(row["object"], row["id"], row["change"], row["what"]) for row in rows] == [
        ("feature", "a", "changed", "properties"),
        ("feature", "b", "changed", "geometry"),
        ("edge", "b – t", "added", "relation"),
        ("edge", "b – s", "removed", "relation"),
    ]
    changes = [(row["kind"], row["change"]) for row in dataset.history("a") if row["object"] == "feature"]
    assert changes == [("features_added", "added"), ("features_added", "changed")]


def test_equal_features_record_nothing(dataset, tmp_path):
    head = dataset.show().digest
    result = dataset.add_features(write_geojson(tmp_path / "same.geojson", PONDS), crs=UTM, replace=True)
    assert count_changes(result) == {"added": 0, "changed": 0, "unchanged": 3}
    assert (result.changed, dataset.show().digest) == (False, head)


def test_replace_rejects_repeated_ids(dataset, tmp_path):
    path = write_geojson(tmp_path / "twice.geojson", {"a": PONDS["a"]})
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "features": content["features"] * 2}))
    with pytest.raises(ConflictError, match="its id stands twice in the file"):
        dataset.add_features(path, crs=UTM, replace=True)


def test_reverted_features_give_equal_content(dataset, tmp_path):
    content = dataset.content_digest()
    moved = {"a": ("pond", point_geometry(205.5, 10.5), {"depth": 1.5})}
    dataset.add_features(write_geojson(tmp_path / "moved.geojson", moved), crs=UTM, replace=True)
    assert dataset.content_digest() != content
    dataset.add_features(write_geojson(tmp_path / "restored.geojson", PONDS), crs=UTM, replace=True)
    assert dataset.content_digest() == content
    assert read_edges(dataset) == read_edges(dataset, "v1")
    assert dataset.diff("v1").table.num_rows == 0
    assert is_rebuilt_equal(dataset)


# --- rasters ----------------------------------------------------------------------------------------------------------


def test_replaced_raster_keeps_old_revision(dataset, tmp_path):
    before = read_files(dataset.root)
    inputs = [
        write_raster(tmp_path / "new" / "s.tif", seed=7, column=15),
        write_raster(tmp_path / "new" / "t.tif", 2, column=200),
        write_raster(tmp_path / "new" / "n.tif", seed=8, column=400),
    ]
    result = dataset.add_rasters(inputs, replace=True)
    assert count_changes(result) == {"added": 1, "changed": 1, "unchanged": 1}
    assert result.summary["rasters"] == 2
    folder = dataset.root / "rasters" / "source"
    assert (folder / "s.tif").read_bytes() == inputs[0].read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == ["n.tif", "s.tif", "t.tif"]
    # The scene begins 15 pixels farther east, so it no longer shows a.
    assert read_edges(dataset) == {("b", "s", "contains"), ("c", "s", "contains")}
    assert read_edges(dataset, "v1") == {("a", "s", "contains"), ("b", "s", "contains"), ("c", "s", "contains")}
    assert dataset.verify() == []
    assert is_rebuilt_equal(dataset)
    assert dataset.verify("v1") == []
    dataset.checkout("v1")
    assert read_files(dataset.root) == before
    dataset.checkout()
    assert (folder / "s.tif").read_bytes() == inputs[0].read_bytes()


def test_update_remakes_chips_of_replaced_raster(dataset, tmp_path):
    before = {row["raster_id"]: row["md5"] for row in dataset.rasters(where="collection = 'chips'").to_pylist()}
    dataset.add_rasters(write_raster(tmp_path / "s.tif", seed=7), replace=True)
    dataset.update()
    after = {row["raster_id"]: row["md5"] for row in dataset.rasters(where="collection = 'chips'").to_pylist()}
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)
    assert dataset.verify() == []
    assert is_rebuilt_equal(dataset)


def test_diff_and_history_show_raster_change(dataset, tmp_path):
    dataset.add_rasters(write_raster(tmp_path / "s.tif", seed=7, dtype="uint16"), replace=True)
    rows = [row for row in dataset.diff("v1").table.to_pylist() if row["object"] == "raster"]
    assert {(row["id"], row["change"]) for row in rows} == {("s", "changed")}
    assert {row["what"] for row in rows} == {"md5", "sha256", "pixel_digest", "dtype"}
    changes = [(row["kind"], row["change"]) for row in dataset.history("s") if row["object"] == "raster"]
    assert changes == [("rasters_added", "added"), ("rasters_added", "changed")]


def test_equal_rasters_record_nothing(dataset):
    head = dataset.show().digest
    result = dataset.add_rasters(dataset.root / "rasters" / "source", replace=True)
    assert count_changes(result) == {"added": 0, "changed": 0, "unchanged": 2}
    assert (result.changed, dataset.show().digest) == (False, head)


def test_edited_workspace_file_can_be_added(dataset):
    workspace_file = write_raster(dataset.root / "rasters" / "source" / "s.tif", seed=9)
    edited = workspace_file.read_bytes()
    result = dataset.add_rasters(workspace_file, replace=True)
    assert count_changes(result) == {"added": 0, "changed": 1, "unchanged": 0}
    assert workspace_file.read_bytes() == edited
    assert dataset.verify() == []
    assert dataset.verify("v1") == []


def test_unrecorded_edit_is_not_overwritten(dataset, tmp_path):
    workspace_file = write_raster(dataset.root / "rasters" / "source" / "s.tif", seed=9)
    edited = workspace_file.read_bytes()
    with pytest.raises(ConflictError, match=r"'rasters/source/s.tif' differs from the log and would be overwritten"):
        dataset.add_rasters(write_raster(tmp_path / "s.tif", seed=7), replace=True)
    assert workspace_file.read_bytes() == edited
    write_raster(dataset.root / "rasters" / "source" / "x.tif", seed=9)
    with pytest.raises(ConflictError, match="rasters/source has another file of that name"):
        dataset.add_rasters(write_raster(tmp_path / "x.tif", seed=7), replace=True)


def test_replace_stays_in_collection(dataset, tmp_path):
    path = write_raster(tmp_path / "s.tif", seed=7)
    with pytest.raises(ConflictError, match="raster 's' is in the collection 'source' and can be replaced only there"):
        dataset.add_rasters(path, collection="other", replace=True)
    with pytest.raises(ConflictError, match="Rename the file, or pass --replace"):
        dataset.add_rasters(path)


def test_replace_can_change_mode(dataset, tmp_path):
    workspace_file = dataset.root / "rasters" / "source" / "s.tif"
    with pytest.raises(ConflictError, match=r"cannot reference '.*', a file of the dataset's workspace"):
        dataset.add_rasters(workspace_file, mode="reference", replace=True)
    outside = Path(shutil.copy(workspace_file, tmp_path / "s.tif"))
    dataset.add_rasters(outside, mode="reference", replace=True)
    assert not workspace_file.exists()
    assert dataset.rasters(raster="s")["path"].to_pylist() == [f"{{{tmp_path.name}}}/s.tif"]
    assert dataset.verify() == []
    dataset.add_rasters(outside, mode="link", replace=True)
    assert workspace_file.read_bytes() == outside.read_bytes()
    assert outside.exists()
    assert dataset.verify() == []
    assert is_rebuilt_equal(dataset)


def test_replace_can_change_suffix(dataset, tmp_path):
    dataset.add_rasters(write_raster(tmp_path / "s.tiff", seed=7), replace=True)
    assert sorted(path.name for path in (dataset.root / "rasters" / "source").iterdir()) == ["s.tiff", "t.tif"]
    assert dataset.verify() == []


def test_removed_rasters_stay_in_cache(dataset):
    before = read_files(dataset.root)
    md5s = set(dataset.rasters()["md5"].to_pylist())
    dataset.remove_rasters(dataset.rasters()["raster_id"].to_pylist())
    assert not list((dataset.root / "rasters").rglob("*.tif"))
    cache = dataset.root / ".dvc" / "cache" / "files" / "md5"
    assert all((cache / md5[:2] / md5[2:]).is_file() for md5 in md5s)
    dataset.checkout("v1")
    assert read_files(dataset.root) == before
    assert dataset.verify("v1") == []


# --- patterns and tags ------------------------------------------------------------------------------------------------


@pytest.fixture
def delivery(tmp_path) -> Path:
    for number, name in enumerate(["x_RGB.tif", "x_IR.tif", "2020/y_RGB.tif", "2020/deep/y_IR.tif"]):
        write_raster(tmp_path / "delivery" / name, seed=number + 1, side=16)
    return tmp_path / "delivery"


@pytest.fixture
def new_dataset(tmp_path, empty_dataset) -> Dataset:
    return Dataset.open(shutil.copytree(empty_dataset, tmp_path / "fresh"))


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("*_RGB.tif", ["y_RGB", "x_RGB"]),
        (["2020/*"], ["y_IR", "y_RGB"]),
        (["x_*.tif", "2020/deep/*.tif"], ["y_IR", "x_IR", "x_RGB"]),
        ("?_IR.tif", ["y_IR", "x_IR"]),
    ],
)
def test_patterns_select_files_of_folder(new_dataset, delivery, patterns, expected):
    new_dataset.add_rasters(delivery, patterns=patterns)
    assert new_dataset.rasters()["raster_id"].to_pylist() == expected


def test_patterns_do_not_apply_to_files(new_dataset, delivery, tmp_path):
    single_file = write_raster(tmp_path / "lone.tif", seed=9, side=16)
    new_dataset.add_rasters([single_file, delivery], patterns="x_RGB.tif")
    assert new_dataset.rasters()["raster_id"].to_pylist() == ["lone", "x_RGB"]
    with pytest.raises(UsageError, match=r"--pattern '\*.tif' needs a folder"):
        new_dataset.add_rasters(write_raster(tmp_path / "other.tif", side=16), patterns="*.tif")


def test_pattern_without_match_is_rejected(new_dataset, delivery):
    with pytest.raises(
        NotFoundError, match=r"no raster in folder '.*' matches '\*_SWIR.tif', '\*_rgb.tif'. Its rasters: '2020"
    ):
        new_dataset.add_rasters(delivery, patterns=["*_SWIR.tif", "*_rgb.tif"])
    assert len(new_dataset.log()) == 1


def write_tagged_raster(path: Path, **tags: str) -> Path:
    import rasterio

    write_raster(path, seed=len(path.stem), side=16)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(**tags)
    return path


def test_tags_become_columns_of_narrowest_type(new_dataset, tmp_path):
    paths = [
        write_tagged_raster(tmp_path / "a.tif", CLOUD_COVER="7", SUN="-1.5e1", ORBIT="R022", collection="C1"),
        write_tagged_raster(tmp_path / "bb.tif", CLOUD_COVER="12", SUN="30", ORBIT="22"),
        write_tagged_raster(tmp_path / "ccc.tif", CLOUD_COVER=" "),
    ]
    new_dataset.add_rasters(paths, tags=["CLOUD_COVER", "SUN", "ORBIT", "collection"])
    rows = new_dataset.rasters().to_pylist()
    assert [row["CLOUD_COVER"] for row in rows] == [7, 12, None]
    assert [row["SUN"] for row in rows] == [-15.0, 30.0, None]
    assert [row["ORBIT"] for row in rows] == ["R022", "22", None]
    assert [row["collection_"] for row in rows] == ["C1", None, None]
    assert {row["collection"] for row in rows} == {"source"}
    assert new_dataset.rasters(where="CLOUD_COVER < 10")["raster_id"].to_pylist() == ["a"]
    types = [str(new_dataset.rasters().schema.field(name).type) for name in ("CLOUD_COVER", "SUN", "ORBIT")]
    assert types == ["int64", "double", "string"]


def test_unknown_tag_is_rejected(new_dataset, tmp_path):
    path = write_tagged_raster(tmp_path / "a.tif", CLOUD_COVER="7")
    with pytest.raises(NotFoundError, match=r"no file has the tag 'CLUOD'. Available tags: .*'CLOUD_COVER'"):
        new_dataset.add_rasters(path, tags=["CLUOD"])


def test_replace_can_add_tag(new_dataset, tmp_path):
    path = write_tagged_raster(tmp_path / "a.tif", CLOUD_COVER="7")
    new_dataset.add_rasters(path)
    result = new_dataset.add_rasters(path, tags=["CLOUD_COVER"], replace=True)
    assert count_changes(result) == {"added": 0, "changed": 1, "unchanged": 0}
    assert new_dataset.rasters()["CLOUD_COVER"].to_pylist() == [7]
    assert "CLOUD_COVER" not in new_dataset.rasters("HEAD~1").column_names


def test_request_omits_default_options(new_dataset, delivery):
    new_dataset.add_rasters(delivery, patterns="x_RGB.tif")
    new_dataset.add_rasters(delivery / "x_IR.tif")
    requested_options = [
        event.payload["request"].keys() & {"patterns", "tags", "replace"} for event in new_dataset.log()[1:]
    ]
    assert requested_options == [{"patterns"}, set()]


def test_replacing_names_columns_that_lose_values(pond_template, tmp_path, caplog):
    dataset = Dataset.open(shutil.copytree(pond_template, tmp_path / "dataset"))
    moved: dict[str, tuple[str, dict, dict[str, Any]]] = {
        name: (kind, point_geometry(11.5, 11.5), {}) for name, (kind, _, _) in PONDS.items()
    }
    path = write_geojson(tmp_path / "moved.geojson", moved)
    dataset.add_features(path, crs=UTM, replace=True, dry_run=True)
    assert caplog.messages == [f"'{path}' has no column 'depth': replaced features lose the values there"]
    caplog.clear()
    dataset.add_features(write_geojson(path, PONDS), crs=UTM, replace=True, dry_run=True)
    assert not caplog.messages
