"""Additions that replace: features and rasters of known ids change in place, and the past stays what it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.storage.state.update import rebuild_state
from tests.sample_history import NORTH, PIXEL, WEST, contents, point, square
from tests.sample_rasters import pixels, write_scene
from tests.storage.state.test_update import state

UTM = "EPSG:32633"
FIRST = {
    "a": ("pond", point(10.5, 10.5), {"depth": 1.5}),
    "b": ("pond", point(20.5, 10.5), {"depth": 2.5}),
    "c": ("pond", point(30.5, 10.5), {"depth": 3.5}),
}


def write(path: Path, rows: dict[str, tuple[str, dict, dict[str, Any]]]) -> Path:
    members = [
        {"type": "Feature", "properties": {"id": name, "class": kind, **own}, "geometry": geometry}
        for name, (kind, geometry, own) in rows.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


def scene(path: Path, seed: int = 1, column: float = 0, dtype: str = "uint8", side: int = 64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    transform = (PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH)
    return write_scene(path, pixels(1, side, side, dtype, seed=seed), transform=transform, nodata=0)


@pytest.fixture(scope="module")
def ponds(empty_dataset, tmp_path_factory) -> Path:
    """Three ponds, the scenes s and t, of which s shows all of them, and chips of them with masks and a split."""
    folder = tmp_path_factory.mktemp("ponds")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    dataset.add_features(write(folder / "ponds.geojson", FIRST), crs=UTM)
    dataset.add_rasters([scene(folder / "s.tif"), scene(folder / "t.tif", 2, column=200)])
    dataset.cut_around_features("chips", size=8)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    dataset.tag("v1")
    return dataset.root


@pytest.fixture(scope="module")
def opened(ponds, tmp_path_factory) -> Dataset:
    """Opened once: what opens DuckDB's and DVC's engines takes longest."""
    return Dataset.open(shutil.copytree(ponds, tmp_path_factory.mktemp("opened") / "dataset"))


@pytest.fixture
def dataset(opened, ponds) -> Dataset:
    shutil.rmtree(opened.root)
    shutil.copytree(ponds, opened.root)
    return opened


def edges(dataset: Dataset, at: Any = None) -> set[tuple[str, str, str]]:
    return {tuple(row.values()) for row in dataset.edges(at, where="raster_id IN ('s', 't')").to_pylist()}


def counted(recorded) -> dict[str, int]:
    return {name: recorded.summary[name] for name in ("added", "changed", "unchanged")}


def files(root: Path) -> dict[str, bytes]:
    return contents(root / "rasters") | {f"labels/{name}": kept for name, kept in contents(root / "labels").items()}


def is_rebuilt_the_same(dataset: Dataset) -> bool:
    grown = state(dataset.root / ".geographer")
    rebuild_state(dataset._recorder.database)
    return state(dataset.root / ".geographer") == grown


# --- features ---------------------------------------------------------------------------------------------------------


def test_features_of_known_ids_are_refused_unless_they_are_to_replace(dataset, tmp_path):
    with pytest.raises(ConflictError, match="its id is in the dataset already"):
        dataset.add_features(write(tmp_path / "again.geojson", FIRST), crs=UTM)


def test_what_is_new_is_added_what_differs_changes_and_what_is_equal_is_left(dataset, tmp_path):
    again = {
        "c": ("pond", point(30.5, 10.5), {"depth": 3.5}),
        "b": ("lake", square(210, 5, 4), {"depth": 2.5}),
        "n": ("pond", point(5.5, 5.5), {"depth": 0.5}),
    }
    recorded = dataset.add_features(write(tmp_path / "again.geojson", again), crs=UTM, replace=True)
    assert counted(recorded) == {"added": 1, "changed": 1, "unchanged": 1}
    assert recorded.summary["features"] == 2
    log = dataset.sql("SELECT feature_id, change FROM log.feature_change WHERE position = " + str(recorded.position))
    assert log.to_pylist() == [{"feature_id": "b", "change": "changed"}, {"feature_id": "n", "change": "added"}]
    rows = {row["feature_id"]: row for row in dataset.features().to_pylist()}
    assert {name: row["class"] for name, row in rows.items()} == {"a": "pond", "b": "lake", "c": "pond", "n": "pond"}
    contains = "contains"
    assert edges(dataset) == {("a", "s", contains), ("c", "s", contains), ("n", "s", contains), ("b", "t", contains)}
    assert edges(dataset, "v1") == {(name, "s", contains) for name in "abc"}
    assert is_rebuilt_the_same(dataset)
    assert dataset.verify() == []


def test_the_new_row_is_what_counts_whole(dataset, tmp_path):
    bare = {"a": ("pond", point(10.5, 10.5), {"owner": "Ada"})}
    dataset.add_features(write(tmp_path / "bare.geojson", bare), crs=UTM, replace=True)
    rows = {row["feature_id"]: row for row in dataset.features().to_pylist()}
    assert (rows["a"]["depth"], rows["a"]["owner"]) == (None, "Ada")
    assert (rows["b"]["depth"], rows["b"]["owner"]) == (2.5, None)


def test_a_difference_and_a_history_tell_a_change_as_one(dataset, tmp_path):
    moved = {"a": ("pond", point(10.5, 10.5), {"depth": 9.5}), "b": ("pond", point(205.5, 10.5), {"depth": 2.5})}
    dataset.add_features(write(tmp_path / "moved.geojson", moved), crs=UTM, replace=True)
    rows = [row for row in dataset.diff("v1").table.to_pylist() if "chips/" not in row["id"]]
    assert [(row["object"], row["id"], row["change"], row["what"]) for row in rows] == [
        ("feature", "a", "changed", "properties"),
        ("feature", "b", "changed", "geometry"),
        ("edge", "b – t", "added", "relation"),
        ("edge", "b – s", "removed", "relation"),
    ]
    told = [(row["kind"], row["change"]) for row in dataset.history("a") if row["object"] == "feature"]
    assert told == [("features_added", "added"), ("features_added", "changed")]


def test_replacing_everything_by_itself_records_nothing(dataset, tmp_path):
    head = dataset.show().digest
    recorded = dataset.add_features(write(tmp_path / "same.geojson", FIRST), crs=UTM, replace=True)
    assert counted(recorded) == {"added": 0, "changed": 0, "unchanged": 3}
    assert (recorded.changed, dataset.show().digest) == (False, head)


def test_an_id_that_stands_twice_in_the_file_is_refused_still(dataset, tmp_path):
    path = write(tmp_path / "twice.geojson", {"a": FIRST["a"]})
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "features": content["features"] * 2}))
    with pytest.raises(ConflictError, match="its id stands twice in the file"):
        dataset.add_features(path, crs=UTM, replace=True)


def test_features_changed_there_and_back_give_the_same_content(dataset, tmp_path):
    content = dataset.content_digest()
    moved = {"a": ("pond", point(205.5, 10.5), {"depth": 1.5})}
    dataset.add_features(write(tmp_path / "there.geojson", moved), crs=UTM, replace=True)
    assert dataset.content_digest() != content
    dataset.add_features(write(tmp_path / "back.geojson", FIRST), crs=UTM, replace=True)
    assert dataset.content_digest() == content
    assert edges(dataset) == edges(dataset, "v1")
    assert dataset.diff("v1").table.num_rows == 0
    assert is_rebuilt_the_same(dataset)


# --- rasters ----------------------------------------------------------------------------------------------------------


def test_a_raster_is_replaced_in_place_and_an_old_revision_comes_back_byte_for_byte(dataset, tmp_path):
    was = files(dataset.root)
    inputs = [
        scene(tmp_path / "new" / "s.tif", seed=7, column=15),
        scene(tmp_path / "new" / "t.tif", 2, column=200),
        scene(tmp_path / "new" / "n.tif", seed=8, column=400),
    ]
    recorded = dataset.add_rasters(inputs, replace=True)
    assert counted(recorded) == {"added": 1, "changed": 1, "unchanged": 1}
    assert recorded.summary["rasters"] == 2
    shown = dataset.root / "rasters" / "source"
    assert (shown / "s.tif").read_bytes() == inputs[0].read_bytes()
    assert sorted(path.name for path in shown.iterdir()) == ["n.tif", "s.tif", "t.tif"]
    # The scene begins 15 pixels farther east, so it shows a no more.
    assert edges(dataset) == {("b", "s", "contains"), ("c", "s", "contains")}
    assert edges(dataset, "v1") == {("a", "s", "contains"), ("b", "s", "contains"), ("c", "s", "contains")}
    assert dataset.verify() == []
    assert is_rebuilt_the_same(dataset)
    assert dataset.verify("v1") == []
    dataset.checkout("v1")
    assert files(dataset.root) == was
    dataset.checkout()
    assert (shown / "s.tif").read_bytes() == inputs[0].read_bytes()


def test_chips_labels_and_splits_of_a_replaced_raster_are_brought_up_to_it(dataset, tmp_path):
    before = {row["raster_id"]: row["md5"] for row in dataset.rasters(where="collection = 'chips'").to_pylist()}
    dataset.add_rasters(scene(tmp_path / "s.tif", seed=7), replace=True)
    dataset.update()
    after = {row["raster_id"]: row["md5"] for row in dataset.rasters(where="collection = 'chips'").to_pylist()}
    assert after.keys() == before.keys()
    assert all(after[name] != before[name] for name in before)
    assert dataset.verify() == []
    assert is_rebuilt_the_same(dataset)


def test_a_difference_tells_what_of_a_raster_changed(dataset, tmp_path):
    dataset.add_rasters(scene(tmp_path / "s.tif", seed=7, dtype="uint16"), replace=True)
    rows = [row for row in dataset.diff("v1").table.to_pylist() if row["object"] == "raster"]
    assert {(row["id"], row["change"]) for row in rows} == {("s", "changed")}
    assert {row["what"] for row in rows} == {"md5", "sha256", "pixel_digest", "dtype"}
    told = [(row["kind"], row["change"]) for row in dataset.history("s") if row["object"] == "raster"]
    assert told == [("rasters_added", "added"), ("rasters_added", "changed")]


def test_replacing_rasters_by_themselves_records_nothing(dataset):
    head = dataset.show().digest
    recorded = dataset.add_rasters(dataset.root / "rasters" / "source", replace=True)
    assert counted(recorded) == {"added": 0, "changed": 0, "unchanged": 2}
    assert (recorded.changed, dataset.show().digest) == (False, head)


def test_a_file_that_was_edited_where_it_lies_is_taken_as_it_is(dataset):
    shown = scene(dataset.root / "rasters" / "source" / "s.tif", seed=9)
    edited = shown.read_bytes()
    recorded = dataset.add_rasters(shown, replace=True)
    assert counted(recorded) == {"added": 0, "changed": 1, "unchanged": 0}
    assert shown.read_bytes() == edited
    assert dataset.verify() == []
    assert dataset.verify("v1") == []


def test_a_file_that_was_edited_and_not_recorded_is_not_written_over(dataset, tmp_path):
    shown = scene(dataset.root / "rasters" / "source" / "s.tif", seed=9)
    edited = shown.read_bytes()
    with pytest.raises(ConflictError, match=r"'rasters/source/s.tif' is not as the log knows it, and would be lost"):
        dataset.add_rasters(scene(tmp_path / "s.tif", seed=7), replace=True)
    assert shown.read_bytes() == edited
    scene(dataset.root / "rasters" / "source" / "x.tif", seed=9)
    with pytest.raises(ConflictError, match="another file of that name lies in rasters/source"):
        dataset.add_rasters(scene(tmp_path / "x.tif", seed=7), replace=True)


def test_a_raster_is_replaced_in_its_collection_only(dataset, tmp_path):
    path = scene(tmp_path / "s.tif", seed=7)
    with pytest.raises(ConflictError, match="raster 's': its id is in the collection 'source', and is replaced only"):
        dataset.add_rasters(path, collection="other", replace=True)
    with pytest.raises(ConflictError, match="rename the file, or pass --replace"):
        dataset.add_rasters(path)


def test_the_mode_can_change_and_the_dataset_s_own_file_is_never_referred_to(dataset, tmp_path):
    shown = dataset.root / "rasters" / "source" / "s.tif"
    with pytest.raises(ConflictError, match="that file is the dataset's own: move it away"):
        dataset.add_rasters(shown, mode="reference", replace=True)
    outside = Path(shutil.copy(shown, tmp_path / "s.tif"))
    dataset.add_rasters(outside, mode="reference", replace=True)
    assert not shown.exists()
    assert dataset.rasters(raster="s")["path"].to_pylist() == [outside.resolve().as_posix()]
    assert dataset.verify() == []
    dataset.add_rasters(outside, mode="link", replace=True)
    assert shown.read_bytes() == outside.read_bytes()
    assert outside.exists()
    assert dataset.verify() == []
    assert is_rebuilt_the_same(dataset)


def test_another_suffix_takes_the_place_of_the_file_too(dataset, tmp_path):
    dataset.add_rasters(scene(tmp_path / "s.tiff", seed=7), replace=True)
    assert sorted(path.name for path in (dataset.root / "rasters" / "source").iterdir()) == ["s.tiff", "t.tif"]
    assert dataset.verify() == []


def test_removed_rasters_stay_in_the_cache_and_an_old_revision_can_be_checked_out(dataset):
    was = files(dataset.root)
    md5s = set(dataset.rasters()["md5"].to_pylist())
    dataset.remove_rasters(dataset.rasters()["raster_id"].to_pylist())
    assert not list((dataset.root / "rasters").rglob("*.tif"))
    cache = dataset.root / ".dvc" / "cache" / "files" / "md5"
    assert all((cache / md5[:2] / md5[2:]).is_file() for md5 in md5s)
    dataset.checkout("v1")
    assert files(dataset.root) == was
    assert dataset.verify("v1") == []


# --- patterns and tags ------------------------------------------------------------------------------------------------


@pytest.fixture
def delivery(tmp_path) -> Path:
    for number, name in enumerate(["x_RGB.tif", "x_IR.tif", "2020/y_RGB.tif", "2020/deep/y_IR.tif"]):
        scene(tmp_path / "delivery" / name, seed=number + 1, side=16)
    return tmp_path / "delivery"


@pytest.fixture
def fresh(tmp_path, empty_dataset) -> Dataset:
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
def test_of_a_folder_only_what_matches_is_added(fresh, delivery, patterns, expected):
    fresh.add_rasters(delivery, patterns=patterns)
    assert fresh.rasters()["raster_id"].to_pylist() == expected


def test_files_that_are_named_need_not_match(fresh, delivery, tmp_path):
    lone = scene(tmp_path / "lone.tif", seed=9, side=16)
    fresh.add_rasters([lone, delivery], patterns="x_RGB.tif")
    assert fresh.rasters()["raster_id"].to_pylist() == ["lone", "x_RGB"]
    with pytest.raises(UsageError, match=r"--pattern '\*.tif' chooses among the rasters of a folder: name a folder"):
        fresh.add_rasters(scene(tmp_path / "other.tif", side=16), patterns="*.tif")


def test_a_pattern_that_nothing_matches_is_told(fresh, delivery):
    with pytest.raises(
        NotFoundError, match=r"no raster in folder '.*' matches '\*_SWIR.tif', '\*_rgb.tif': it has '2020"
    ):
        fresh.add_rasters(delivery, patterns=["*_SWIR.tif", "*_rgb.tif"])
    assert len(fresh.log()) == 1


def tagged(path: Path, **tags: str) -> Path:
    import rasterio

    scene(path, seed=len(path.stem), side=16)
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(**tags)
    return path


def test_tags_become_columns_of_the_narrowest_type(fresh, tmp_path):
    paths = [
        tagged(tmp_path / "a.tif", CLOUD_COVER="7", SUN="-1.5e1", ORBIT="R022", collection="C1"),
        tagged(tmp_path / "bb.tif", CLOUD_COVER="12", SUN="30", ORBIT="22"),
        tagged(tmp_path / "ccc.tif", CLOUD_COVER=" "),
    ]
    fresh.add_rasters(paths, tags=["CLOUD_COVER", "SUN", "ORBIT", "collection"])
    rows = fresh.rasters().to_pylist()
    assert [row["CLOUD_COVER"] for row in rows] == [7, 12, None]
    assert [row["SUN"] for row in rows] == [-15.0, 30.0, None]
    assert [row["ORBIT"] for row in rows] == ["R022", "22", None]
    assert [row["collection_"] for row in rows] == ["C1", None, None]
    assert {row["collection"] for row in rows} == {"source"}
    assert fresh.rasters(where="CLOUD_COVER < 10")["raster_id"].to_pylist() == ["a"]
    types = [str(fresh.rasters().schema.field(name).type) for name in ("CLOUD_COVER", "SUN", "ORBIT")]
    assert types == ["int64", "double", "string"]


def test_a_tag_that_no_file_has_is_told(fresh, tmp_path):
    path = tagged(tmp_path / "a.tif", CLOUD_COVER="7")
    with pytest.raises(NotFoundError, match=r"no file has the tag 'CLUOD': they have .*'CLOUD_COVER'"):
        fresh.add_rasters(path, tags=["CLUOD"])


def test_a_tag_can_be_kept_afterwards(fresh, tmp_path):
    path = tagged(tmp_path / "a.tif", CLOUD_COVER="7")
    fresh.add_rasters(path)
    recorded = fresh.add_rasters(path, tags=["CLOUD_COVER"], replace=True)
    assert counted(recorded) == {"added": 0, "changed": 1, "unchanged": 0}
    assert fresh.rasters()["CLOUD_COVER"].to_pylist() == [7]
    assert "CLOUD_COVER" not in fresh.rasters("HEAD~1").column_names


def test_requests_that_ask_for_nothing_of_this_read_as_ever(fresh, delivery):
    fresh.add_rasters(delivery, patterns="x_RGB.tif")
    fresh.add_rasters(delivery / "x_IR.tif")
    asked = [event.payload["request"].keys() & {"patterns", "tags", "replace"} for event in fresh.log()[1:]]
    assert asked == [{"patterns"}, set()]
