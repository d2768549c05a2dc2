"""Sync: a file's features become those of the dataset; what was written and not edited changes nothing."""

from __future__ import annotations

import datetime
import math
import sqlite3
import struct
from contextlib import closing

import geopandas
import pandas
import pytest
import shapely

from geographer.base.errors import ConflictError, UsageError
from tests.operations.add.conftest import make_table
from tests.sample_rasters import CUSTOM_CRS

SHAPES = [
    shapely.box(11, 47, 11.25, 47.125),
    shapely.MultiPoint([(11.123456789012345, 47), (12, 48)]),
    shapely.LineString([(0.1, 0.2), (0.3, 1 / 3)]),
]


def make_frame(ids, shapes, crs="EPSG:4326", **columns):
    return geopandas.GeoDataFrame({"feature_id": ids, **columns}, geometry=[*shapes], crs=crs)


def edit_file(path, statement, *values):
    """Run SQL on a GeoPackage as an editor does, without the triggers of its index, which need functions of GDAL."""
    with closing(sqlite3.connect(path)) as connection, connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in connection.execute(query).fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute(statement, values)


def encode_geometry(shape):
    """Return a geometry in EPSG:4326 as GeoPackage stores it."""
    return b"GP\0\1" + struct.pack("<i", 4326) + shapely.to_wkb(shape, byte_order=1)


def read_geometries(dataset):
    return dict(zip(*(dataset.features()[name].to_pylist() for name in ("feature_id", "geometry")), strict=True))


def fill_dataset(dataset, crs="EPSG:4326"):
    """Add features of all column types, with the values that formats lose."""
    moment = datetime.datetime(2020, 2, 29, 12, 30, 1, 123456)
    columns = {
        "class": ["lake", "pond", "lake"],
        "area": [1.5, math.nan, math.inf],
        "count": [2**60, None, -1],
        "open": [True, None, False],
        "seen": [moment, None, datetime.datetime(1969, 1, 1)],
        "note": ["", None, "ü ' \""],
        "fid": [9, 8, 7],
        "geom": ["a", "b", "c"],
    }
    frame = make_frame(["a", "b", "c"], geopandas.GeoSeries(SHAPES, crs="EPSG:4326").to_crs(crs), crs=crs, **columns)
    frame["count"] = frame["count"].astype("Int64")
    dataset.add_features(frame)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633", CUSTOM_CRS])
def test_exported_file_changes_nothing(dataset, tmp_path, crs):
    fill_dataset(dataset, crs)
    dataset.write_table("features", tmp_path / "f.gpkg")
    result = dataset.add_features(tmp_path / "f.gpkg", sync=True)
    assert not result.changed
    assert (result.summary["unchanged"], result.summary["removed"]) == (3, 0)


def test_exported_file_of_several_crss_changes_nothing(dataset, tmp_path):
    fill_dataset(dataset, "EPSG:32633")
    dataset.add_features(make_table({"id": ["d", "e"], "class": ["lake", "pond"], "more": [1, 2]}))
    dataset.write_table("features", tmp_path / "f.gpkg")
    assert not dataset.add_features(tmp_path / "f.gpkg", sync=True).changed
    edit_file(tmp_path / "f.gpkg", "UPDATE features SET note = 'edited' WHERE feature_id = 'a'")
    before = read_geometries(dataset)
    assert dataset.add_features(tmp_path / "f.gpkg", sync=True).summary["changed"] == 1
    assert read_geometries(dataset) == before


def test_exported_geojson_changes_nothing(dataset, tmp_path):
    dataset.add_features(make_table({"id": ["a", "b"], "depth": [1, 2]}))
    dataset.write_table("features", tmp_path / "f.geojson")
    assert not dataset.add_features(tmp_path / "f.geojson", sync=True).changed


def test_exported_feature_across_antimeridian_changes_nothing(dataset, tmp_path):
    for name, crs, west in (("a", "EPSG:32660", 800_000), ("b", "EPSG:32633", 500_000)):
        dataset.add_features(make_frame([name], [shapely.box(west, 8_000_000, west + 90_000, 8_090_000)], crs))
    dataset.write_table("features", tmp_path / "f.gpkg")
    assert not dataset.add_features(tmp_path / "f.gpkg", sync=True).changed


def test_edited_file_comes_back(dataset, tmp_path):
    fill_dataset(dataset)
    path = tmp_path / "f.gpkg"
    dataset.write_table("features", path)
    moved, drawn = shapely.affinity.translate(SHAPES[1], 0, 1), shapely.Point(5, 6)
    edit_file(path, "UPDATE features SET note = 'deep' WHERE feature_id = 'a'")
    edit_file(path, "UPDATE features SET geometry = ? WHERE feature_id = 'b'", encode_geometry(moved))
    edit_file(path, "DELETE FROM features WHERE feature_id = 'c'")
    for name in ("pond", "mire"):
        edit_file(path, f"INSERT INTO features (class, geometry) VALUES ('{name}', ?)", encode_geometry(drawn))
    preview = dataset.add_features(path, sync=True, dry_run=True).preview.to_pylist()
    assert [(row["change"], row["class"], row["differs"]) for row in preview] == [
        ("changed", "lake", "note"),
        ("changed", "pond", "geometry"),
        ("added", "pond", ""),
        ("added", "mire", ""),
        ("removed", None, ""),
    ]
    result = dataset.add_features(path, sync=True)
    assert result.kind == "features_synced"
    assert {name: result.summary[name] for name in ("added", "changed", "removed", "unchanged", "classes")} == {
        **{"added": 2, "changed": 2, "removed": 1, "unchanged": 0},
        "classes": ["mire"],
    }
    features = dataset.features().to_geopandas().set_index("feature_id")
    assert [*features.index[:2]] == ["a", "b"]
    assert features.loc["a", "note"] == "deep"
    assert features.loc["b"].geometry == moved
    assert {shape.wkt for shape in features.geometry[2:]} == {drawn.wkt}
    assert not dataset.add_features(path, sync=True).changed
    assert dataset.verify() == []
    kinds = [(row["kind"], row["change"]) for row in dataset.history("c")]
    assert kinds == [("features_added", "added"), ("features_synced", "removed")]


@pytest.mark.parametrize(
    ("column", "edited"),
    [
        ([8, 9], [8, 9.5]),
        ([8, 9], [8, 2**60]),
        ([2**60, 2**60 + 1], [2**60, 2**60]),
        ([1.5, 2.0], [1.5, 2.25]),
        ([True, False], ["true", "no"]),
        ([datetime.date(2020, 1, 1)] * 2, [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 1, 12, 30)]),
        ([datetime.date(2020, 1, 1)] * 2, ["2020-01-01", "2020-01-01xx"]),
        ([datetime.datetime(2020, 1, 1, 0, 0, 0, 5)] * 2, ["2020-01-01T00:00:00.000005", "2020-01-01 00:00:00"]),
        (["1", "x"], ["1", "X"]),
    ],
)
@pytest.mark.parametrize("option", ["sync", "replace"])
def test_edits_that_fit_another_type_are_found(dataset, column, edited, option):
    """The first value is equal, whatever its type; the second one differs, although a cast would make it equal."""
    dataset.add_features(make_table({"id": ["a", "b"], "value": column}))
    preview = dataset.add_features(
        make_table({"id": ["a", "b"], "value": edited}), dry_run=True, **{option: True}
    ).preview
    assert [(row["feature_id"], row["differs"]) for row in preview.to_pylist()] == [("b", "value")]


def test_sync_keeps_features_that_are_skipped(dataset):
    dataset.add_features(make_table({"id": ["a", "b", "c"]}))
    frame = make_frame(["a", "b"], [shapely.Point(0, 0), shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])])
    result = dataset.add_features(frame, sync=True, on_error="skip")
    assert (result.summary["unchanged"], result.summary["skipped"], result.summary["removed"]) == (1, 1, 1)
    assert dataset.features()["feature_id"].to_pylist() == ["a", "b"]


def test_drawn_features_get_integers_among_integers(dataset):
    dataset.add_features(make_table({"id": [1, 2]}))
    frame = make_frame(pandas.array([1, 2, None], "Int64"), [shapely.Point(i, i) for i in range(3)])
    assert dataset.add_features(frame, sync=True).summary["added"] == 1
    ids = dataset.features()["feature_id"].to_pylist()
    assert ids[:2] == [1, 2]
    assert 0 < ids[2] < 2**52


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([], {}, "'the table' has no valid feature: --sync would remove every feature of the dataset"),
        (["a"], {"where": "true"}, "--sync takes the whole file: with --where it would remove the other features"),
    ],
)
def test_sync_refuses_part_of_data(unchanged_dataset, ids, options, message):
    frame = make_frame(pandas.array(ids, "string"), [shapely.Point(1, 1) for _ in ids])
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.add_features(frame, sync=True, **options)


def test_sync_names_columns_that_go(dataset, caplog):
    dataset.add_features(make_table({"id": ["a", "b"], "depth": [1, None]}))
    dataset.add_features(make_table({"id": ["a", "b"]}), sync=True)
    assert caplog.messages == ["'the table' has no column 'depth': replaced features lose the values there"]


def test_sync_refuses_data_without_valid_features(unchanged_dataset):
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    with pytest.raises(UsageError, match="has no valid feature"):
        unchanged_dataset.add_features(make_frame(["q"], [bow]), sync=True, on_error="skip")


def test_repeated_sync_of_one_key_records_nothing(dataset):
    dataset.add_features(make_table({"id": ["a", "b"]}))
    frame = make_frame(["a"], [shapely.Point(5, 5)])
    first = dataset.add_features(frame, sync=True, idempotency_key="k")
    again = dataset.add_features(frame, sync=True, idempotency_key="k")
    assert (first.changed, again.changed, again.position) == (True, False, first.position)
    with pytest.raises(ConflictError, match="was used for another request"):
        dataset.add_features(frame, replace=True, idempotency_key="k")


def test_sync_of_other_features_warns(dataset, caplog):
    dataset.add_features(make_table({"id": ["a", "b"]}))
    result = dataset.add_features(make_table({"id": ["c"]}), sync=True)
    assert (result.summary["added"], result.summary["removed"]) == (1, 2)
    assert "has none of the dataset's features, so all of them are removed" in caplog.text
