"""Feature ids: made from geometries (compared with shapely and hashlib), of columns, and the layer's FID."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter

import geopandas
import numpy as np
import pytest
import shapely

from geographer.base.errors import UsageError
from tests.operations.add.conftest import make_table

SHAPES = [
    shapely.Point(11, 47),
    shapely.Polygon([(11, 47), (12, 47), (12, 48), (11, 48)], [[(11.2, 47.2), (11.4, 47.2), (11.4, 47.4)]]),
    shapely.MultiPolygon([shapely.box(20, 10, 21, 11), shapely.box(3, 4, 5, 6)]),
    shapely.LineString([(1, 2), (3, 4), (5, 2)]),
    shapely.Point(11, 47),
    shapely.Point(11, 47),
]


def compute_ids(shapes, crs="EPSG:4326"):
    """Return the ids of docs/reference.md, in the order of shapes whose other values are in that order."""
    single = [shape.geoms[0] if len(getattr(shape, "geoms", ())) == 1 else shape for shape in shapes]
    digests = [
        hashlib.sha256(f"{crs}\n".encode() + shapely.to_wkb(shapely.normalize(shape), byte_order=1)).hexdigest()[:16]
        for shape in single
    ]
    copies: Counter[str] = Counter()
    ids = []
    for digest in digests:
        copies[digest] += 1
        ids.append(digest if copies[digest] == 1 else f"{digest}-{copies[digest]}")
    return ids


def make_frame(shapes, crs="EPSG:4326"):
    return geopandas.GeoDataFrame({"number": [*range(len(shapes))]}, geometry=[*shapes], crs=crs)


def test_made_ids_follow_geometry(dataset, tmp_path):
    expected = dict(zip(compute_ids(SHAPES), SHAPES, strict=True))
    make_frame(SHAPES).to_file(tmp_path / "areas.gpkg")
    result = dataset.add_features(tmp_path / "areas.gpkg")
    assert result.payload.format_summary().endswith("CRS EPSG:4326, ids from the geometry")
    assert result.payload.to_json()["ids"] == {"source": "content", "column": None}
    features = dataset.features()
    assert dict(zip(features["feature_id"].to_pylist(), features["number"].to_pylist(), strict=True)) == {
        name: number for number, name in enumerate(expected)
    }


def test_made_ids_depend_on_neither_order_nor_format(dataset, tmp_path):
    frame = make_frame(SHAPES)
    dataset.add_features(frame)
    head = dataset.show().digest
    shuffled = frame.sample(frac=1, random_state=3)
    shuffled["geometry"] = [
        shapely.reverse(shape) if shape.geom_type != "LineString" else shape for shape in shuffled.geometry
    ]
    paths = [tmp_path / f"areas.{suffix}" for suffix in ("gpkg", "geojson", "fgb")]
    for path in paths:
        shuffled.to_file(path)
    shuffled.to_parquet(tmp_path / "areas.parquet")
    for path in (*paths, tmp_path / "areas.parquet"):
        result = dataset.add_features(path, replace=True)
        assert (result.summary["added"], result.summary["changed"] + result.summary["unchanged"]) == (0, len(SHAPES))
    assert {*dataset.features()["feature_id"].to_pylist()} == {*compute_ids(SHAPES)}
    assert dataset.show("@2").digest == head


def test_made_ids_differ_by_crs(dataset):
    square = shapely.box(500_000, 5_000_000, 500_100, 5_000_100)
    for crs in ("EPSG:32632", "EPSG:32633"):
        dataset.add_features(make_frame([square], crs))
    assert dataset.features()["feature_id"].to_pylist() == [
        *compute_ids([square], "EPSG:32632"),
        *compute_ids([square], "EPSG:32633"),
    ]


def test_made_ids_know_single_parts_and_negative_zero(dataset):
    dataset.add_features(make_frame([shapely.box(0, 0, 1, 1), shapely.Point(0, 7)]))
    same = make_frame([shapely.MultiPolygon([shapely.box(0, 0, 1, 1)]), shapely.Point(-0.0, 7)])
    assert dataset.add_features(same, replace=True).summary["added"] == 0


def test_rows_without_geometry_get_no_id(dataset):
    frame = make_frame([shapely.Point(1, 2), None, shapely.Point()])
    result = dataset.add_features(frame, on_error="skip")
    assert (result.summary["features"], result.summary["skipped"]) == (1, 2)


@pytest.mark.parametrize("name", ["roads.gpkg", "roads.geojson", "roads.fgb", "roads.shp"])
def test_fid_becomes_id(dataset, tmp_path, name):
    make_frame(SHAPES[:1] + SHAPES[4:]).to_file(tmp_path / name)
    result = dataset.add_features(tmp_path / name, id="fid")
    first = 1 if name.endswith("gpkg") else 0
    assert dataset.features()["feature_id"].to_pylist() == [first, first + 1, first + 2]
    assert "ids from the layer's FID" in result.payload.format_summary()
    again = dataset.add_features(tmp_path / name, replace=True)
    assert again.summary["unchanged"] == 3


def test_column_called_fid_is_the_id(dataset):
    dataset.add_features(make_table({"fid": ["x", "y"]}), id="fid")
    assert dataset.features()["feature_id"].to_pylist() == ["x", "y"]


def test_format_without_fid_is_refused(unchanged_dataset):
    with pytest.raises(UsageError, match=r"has no column 'fid', and no feature ids \(FID\)"):
        unchanged_dataset.add_features(make_table({"n": [1, 2]}), id="fid")


def test_replace_and_sync_find_recorded_ids(dataset, tmp_path):
    path = tmp_path / "lakes.geojson"
    frame = geopandas.GeoDataFrame(
        {"code": ["p", "q"], "id": [7, 8], "depth": [1.0, 2.0]}, geometry=SHAPES[:2], crs="EPSG:4326"
    )
    frame.to_file(path)
    dataset.add_features(path, id="code")
    frame.assign(depth=[1.0, 3.0]).to_file(path)
    for option in ("replace", "sync"):
        result = dataset.add_features(path, **{option: True}, dry_run=True)
        assert result.preview.to_pylist() == [
            {"change": "changed", "feature_id": "q", "class": "object", "differs": "depth"}
        ]
    frame.drop(columns="code").to_file(path)
    with pytest.raises(UsageError, match=r"were those of its column 'code', which it lacks now. Pass --id COLUMN."):
        dataset.add_features(path, replace=True)


@pytest.mark.parametrize("values", [[1.0, 2.0], np.array([1, 2], np.float32)])
def test_whole_float_ids_become_integers(dataset, values):
    dataset.add_features(make_table({"id": values}))
    assert dataset.features()["feature_id"].to_pylist() == [1, 2]


@pytest.mark.parametrize("value", [1.5, 2.0**60, float("inf")])
def test_inexact_float_id_is_refused(unchanged_dataset, value):
    with pytest.raises(
        UsageError, match=r"column 'id' of 'the table' has the id .*, a floating-point number that is not"
    ):
        unchanged_dataset.add_features(make_table({"id": [1.0, value]}))


def test_missing_float_ids_are_named(unchanged_dataset):
    with pytest.raises(UsageError, match="cannot add 'row 2' from 'the table': it has no id"):
        unchanged_dataset.add_features(make_table({"id": [1.0, float("nan")]}))


def test_column_order_does_not_matter(dataset, tmp_path):
    path, properties = tmp_path / "ponds.geojson", {"id": "a", "depth": 1, "owner": "Ada", "zone": None}
    for keys in ([*properties], [*reversed(properties)], random.Random(2).sample([*properties], 4)):
        values = {key: properties[key] for key in keys}
        feature = {"type": "Feature", "properties": values, "geometry": {"type": "Point", "coordinates": [1, 2]}}
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        result = dataset.add_features(path, replace=True)
    assert not result.changed
    assert len(dataset.log()) == 2


def test_columns_differing_by_case_are_one(dataset):
    dataset.add_features(make_table({"id": ["a"], "type": ["keep"]}))
    dataset.add_features(make_table({"id": ["b"], "TYPE": ["keep"]}))
    dataset.add_features(make_table({"id": ["c"], "Type": ["keep"], "TYPE": ["other"]}))
    assert dataset.features(where="type = 'keep'")["feature_id"].to_pylist() == ["a", "b", "c"]
    assert dataset.features().arrow.column_names == ["feature_id", "class", "geometry", "type", "TYPE_1"]


def test_original_class_column_of_data_stays(dataset):
    dataset.add_features(make_table({"id": ["a"], "class": ["tarn"], "original_class": ["survey"]}))
    dataset.remap_classes({"tarn": "lake"})
    dataset.add_features(make_table({"id": ["b"], "class": ["lake"], "original_class_": ["mine"]}))
    dataset.remap_classes({"lake": "water"})
    rows = dataset.features().drop_columns(["geometry"]).to_pylist()
    assert rows == [
        {
            "feature_id": "a",
            "class": "water",
            "original_class": "survey",
            "original_class_": "tarn",
            "original_class__": None,
        },
        {
            "feature_id": "b",
            "class": "water",
            "original_class": None,
            "original_class_": "lake",
            "original_class__": "mine",
        },
    ]


def test_condition_that_selects_nothing_is_named(unchanged_dataset, caplog):
    assert not unchanged_dataset.add_features(make_table({"id": ["z"], "n": [1]}), where="n > 1").changed
    assert caplog.messages == ["'the table' has no feature for which --where 'n > 1' is true. Its columns: id, n"]


def test_empty_id_column_is_no_id_column(dataset, unchanged_dataset):
    frame = make_frame(SHAPES[:2]).assign(id=None)
    assert dataset.add_features(frame).payload.to_json()["ids"]["source"] == "content"
    with pytest.raises(
        UsageError, match=r"it has no id. Correct the input, or name another column than 'id' with --id"
    ):
        unchanged_dataset.add_features(frame.assign(id=[1, None]))
