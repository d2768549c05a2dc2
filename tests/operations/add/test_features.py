"""Add features: formats, geometries, CRSs, ids and columns, compared with geopandas and pyproj."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pyarrow as pa
import pyproj
import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from tests.operations.add.conftest import make_table
from tests.sample_rasters import CUSTOM_CRS, make_pixels, write_scene

IDS = ["a", "b", "007", "ü'\""]
WKT = pyproj.CRS(CUSTOM_CRS).to_wkt().replace('"unknown"', '"our valley"', 1)
SQUARE = shapely.box(11, 47, 11.01, 47.01)
SHAPES = {
    "point": shapely.Point(11, 47),
    "line": shapely.LineString([(11, 47), (11.1, 47.1), (11.2, 47)]),
    "polygon": SQUARE.difference(shapely.box(11.004, 47.004, 11.006, 47.006)),
    "multipoint": shapely.MultiPoint([(11, 47), (11.1, 47.1)]),
    "multiline": shapely.MultiLineString([[(11, 47), (11.1, 47.1)], [(11.2, 47), (11.3, 47.1)]]),
    "multipolygon": shapely.MultiPolygon([SQUARE, shapely.box(11.1, 47, 11.2, 47.1)]),
}
CONTAINERS = ["geojson", "gpkg", "shp", "fgb", "parquet", "table", "frame"]
MIXED_CONTAINERS = [container for container in CONTAINERS if container != "shp"]
"""Containers that can mix geometry types, and keep column types."""


def make_frame(columns: dict[str, Any] | None = None, crs: Any = "EPSG:4326", **data: Any) -> geopandas.GeoDataFrame:
    """Make points with ids, or other geometries."""
    values = {"feature_id": IDS, **(columns or {})}
    count = len(next(iter(values.values())))
    shapes = data.get("geometry", [shapely.Point(11 + i / 10, 47 - i / 10) for i in range(count)])
    return geopandas.GeoDataFrame(values, geometry=shapes, crs=crs)


def to_container(data: geopandas.GeoDataFrame, container: str, folder: Path) -> Any:
    """Write or convert `data` to a container."""
    if container == "frame":
        return data
    if container == "table":
        return pa.table(data.to_arrow(index=False))
    path = folder / f"features.{container}"
    if container == "parquet":
        data.to_parquet(path)
    else:
        data.to_file(path)
    return path


def make_ids(container: str, names: Any = IDS) -> list[str]:
    """Make ids that are unique to a container."""
    return [f"{container}/{name}" for name in names]


def read_shapes(dataset: Dataset, **filters: Any) -> dict[Any, Any]:
    features = dataset.features(**filters)
    return dict(
        zip(features["feature_id"].to_pylist(), shapely.from_wkb(features["geometry"].to_pylist()), strict=True)
    )


def read_user_columns(dataset: Dataset, **filters: Any) -> list[dict[str, Any]]:
    return dataset.features(**filters).drop_columns(["geometry"]).to_pylist()


def test_every_container_gives_equal_features(dataset, tmp_path):
    for container in CONTAINERS:
        data = make_frame({"feature_id": make_ids(container), "class": ["x", "y", "x", "x"]})
        result = dataset.add_features(to_container(data, container, tmp_path))
        assert result.summary["features"] == 4
    actual = read_shapes(dataset)
    features = dataset.features().to_geopandas().set_index("feature_id")
    assert features.crs == "EPSG:4326"
    for container in CONTAINERS:
        ids = make_ids(container)
        assert [actual[name] for name in ids] == list(data.geometry), container
        assert features.loc[ids, "class"].to_list() == ["x", "y", "x", "x"], container


def test_kml_names_become_ids(dataset, tmp_path):
    data = make_frame({"Name": IDS, "Description": [""] * 4}).drop(columns="feature_id")
    data.to_file(tmp_path / "features.kml", driver="KML")
    dataset.add_features(tmp_path / "features.kml", id="Name")
    assert read_shapes(dataset) == dict(zip(IDS, data.geometry, strict=True))


def test_mixed_geometry_types_become_2d(dataset, tmp_path):
    for container in MIXED_CONTAINERS:
        data = make_frame(
            {"feature_id": make_ids(container, SHAPES)}, geometry=shapely.force_3d([*SHAPES.values()], 300.0)
        )
        dataset.add_features(to_container(data, container, tmp_path))
    dataset.add_features(make_frame({"feature_id": make_ids("flat", SHAPES)}, geometry=[*SHAPES.values()]))
    actual = read_shapes(dataset)
    assert len(actual) == (len(MIXED_CONTAINERS) + 1) * len(SHAPES)
    for name, shape in actual.items():
        expected = SHAPES[name.partition("/")[2]]
        assert (shape.geom_type, shape.has_z) == (expected.geom_type, False), name
        assert shape.equals(expected), name


def test_shapefile_gives_lines_and_polygons(dataset, tmp_path):
    for name in ("line", "polygon"):
        dataset.add_features(to_container(make_frame({"feature_id": [name]}, geometry=[SHAPES[name]]), "shp", tmp_path))
    assert all(shape.equals(SHAPES[name]) for name, shape in read_shapes(dataset).items())


def test_any_crs_is_transformed_to_lonlat(dataset, tmp_path):
    degrees = [shapely.Point(174 + i / 10, -41 + i) for i in range(4)]
    expected: dict[str, Any] = {}
    for crs in ("EPSG:32760", "EPSG:2193", "EPSG:3413", "EPSG:4269", "OGC:CRS84", CUSTOM_CRS, WKT):
        for container in ("gpkg", "parquet", "frame") if crs in ("EPSG:2193", WKT) else ("frame",):
            ids = make_ids(f"{container} {crs}")
            data = make_frame({"feature_id": ids}, geometry=degrees).to_crs(crs)
            result = dataset.add_features(to_container(data, container, tmp_path))
            stored = pyproj.CRS("EPSG:4326" if crs == "OGC:CRS84" else crs)
            assert pyproj.CRS(result.summary["crs"]).equals(stored, ignore_axis_order=True)
            expected |= dict(zip(ids, data.to_crs("EPSG:4326").geometry, strict=True))
    actual = read_shapes(dataset)
    assert actual.keys() == expected.keys()
    assert max(actual[name].distance(point) for name, point in expected.items()) < 1e-8


def test_log_keeps_original_coordinates(dataset):
    data = make_frame(crs="EPSG:32632", geometry=[shapely.Point(500_000.125 + i, 5_200_000.25) for i in range(4)])
    dataset.add_features(data)
    stored = dataset.sql("SELECT geometry, crs FROM chain_feature_change ORDER BY ordinal")
    assert shapely.from_wkb(stored["geometry"].to_pylist()).tolist() == list(data.geometry)
    assert set(stored["crs"].to_pylist()) == {"EPSG:32632"}


def test_crs_option_overrides_stated_crs(dataset):
    metres = make_frame(crs="EPSG:4326", geometry=[shapely.Point(500_000 + i, 5_200_000) for i in range(4)])
    dataset.add_features(metres, crs="epsg:32632")
    expected = metres.set_crs("EPSG:32632", allow_override=True).to_crs("EPSG:4326")
    actual = read_shapes(dataset)
    assert all(actual[name].distance(point) < 1e-8 for name, point in zip(IDS, expected.geometry, strict=True))


def test_data_without_crs_is_rejected(unchanged_dataset, tmp_path):
    without_crs = make_frame({"feature_id": list("wxyz")}, crs=None)
    with pytest.raises(UsageError, match=r"has no CRS. Pass --crs EPSG"):
        unchanged_dataset.add_features(without_crs)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        path = to_container(without_crs, "shp", tmp_path)
    with pytest.raises(UsageError, match=r"features\.shp' has no CRS"):
        unchanged_dataset.add_features(path)
    assert unchanged_dataset.add_features(path, crs="EPSG:4326", dry_run=True).summary["features"] == 4


def test_unknown_crs_is_rejected(unchanged_dataset):
    with pytest.raises(UsageError, match="unknown CRS 'EPSG:99999'"):
        unchanged_dataset.add_features(make_frame(), crs="EPSG:99999")


def test_integer_ids_stay_integers(dataset, tmp_path):
    ids = []
    for number, container in enumerate(CONTAINERS):
        ids += [100 * number + 7, 100 * number + 8]
        dataset.add_features(to_container(make_frame({"feature_id": ids[-2:]}), container, tmp_path))
    reopened = Dataset.open(dataset.root)
    assert reopened.features().schema.field("feature_id").type == pa.int64()
    assert sorted(reopened.features()["feature_id"].to_pylist()) == ids


def test_queries_return_integer_ids(dataset, tmp_path):
    point = shapely.Point(500_160, 5_199_840).buffer(20)
    data = make_frame(
        {"feature_id": [7, 2**53 - 1]}, crs="EPSG:32633", geometry=[point, shapely.Point(510_000, 5_199_840)]
    )
    dataset.add_features(data)
    dataset.add_rasters(write_scene(tmp_path / "scene.tif", make_pixels(1, 32, 32)))
    reopened = Dataset.open(dataset.root)
    assert [json.loads(line)["feature_id"] for line in reopened.format_json_lines("edges")] == [7]
    assert [json.loads(line)["id"] for line in reopened.format_geojson_features("features", feature=7)] == [7]
    assert reopened.edges()["feature_id"].to_pylist() == [7]
    assert reopened.rasters_containing(7) == ["scene"]
    assert reopened.rasters_containing([7, 2**53 - 1]) == {7: ["scene"], 2**53 - 1: []}
    assert reopened.features_contained_in("scene") == [7]
    assert reopened.features(where="feature_id + 1 = 8")["feature_id"].to_pylist() == [7]
    assert [row["change"] for row in reopened.history(7)] == ["added"]
    reopened.remove_features([7])
    assert reopened.features()["feature_id"].to_pylist() == [2**53 - 1]


def test_digit_strings_stay_text(dataset, tmp_path):
    ids = []
    for number, container in enumerate(CONTAINERS):
        ids += [f"00{number}", f"{number}", f"{number}e3"]
        dataset.add_features(to_container(make_frame({"feature_id": ids[-3:]}), container, tmp_path))
    reopened = Dataset.open(dataset.root)
    assert sorted(reopened.features()["feature_id"].to_pylist()) == sorted(ids)
    assert [json.loads(line)["feature_id"] for line in reopened.format_json_lines("features", feature="003")] == ["003"]


def test_integers_beyond_int64_become_text(dataset):
    dataset.add_features(make_table({"id": pa.array([2**64 - 1, 5], pa.uint64())}))
    assert dataset.features()["feature_id"].to_pylist() == ["18446744073709551615", "5"]


def test_small_unsigned_ids_are_integers(dataset):
    dataset.add_features(make_table({"id": pa.array([2**63 - 1, 5], pa.uint64())}))
    assert dataset.features()["feature_id"].to_pylist() == [2**63 - 1, 5]


def test_text_id_turns_integers_into_text(dataset):
    dataset.add_features(make_table({"id": [1]}))
    dataset.add_features(make_table({"id": ["x"]}))
    assert dataset.features(at="@2")["feature_id"].to_pylist() == [1]
    assert dataset.features()["feature_id"].to_pylist() == ["1", "x"]


def test_named_index_becomes_ids(dataset):
    dataset.add_features(make_frame({"feature_id": [3, 4, 5, 6]}).set_index("feature_id"))
    assert dataset.features()["feature_id"].to_pylist() == [3, 4, 5, 6]


def test_geojson_feature_id_can_be_id(dataset, tmp_path):
    feature = {"type": "Feature", "id": 9, "properties": {"a": 1}, "geometry": {"type": "Point", "coordinates": [1, 2]}}
    (tmp_path / "top.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    dataset.add_features(tmp_path / "top.geojson", id="OGC_FID")
    assert read_user_columns(dataset) == [{"feature_id": 9, "class": "object", "a": 1}]


def test_user_columns_keep_their_types(dataset, tmp_path):
    columns = {
        "area": [1.5, -2.0, math.nan, 4.0],
        "count": [1, 2, 3, 2**53 - 1],
        "open": [True, False, True, True],
        "seen": pandas.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-02-29"]).as_unit("ms"),
        "note": ["it's", '"quoted"', None, "ü"],
    }
    for container in MIXED_CONTAINERS:
        data = make_frame({"feature_id": make_ids(container), **columns})
        dataset.add_features(to_container(data, container, tmp_path))
    features = dataset.features()
    types = {name: features.schema.field(name).type for name in columns}
    assert types == {
        "area": pa.float64(),
        "count": pa.int64(),
        "open": pa.bool_(),
        "seen": pa.timestamp("us"),
        "note": pa.string(),
    }
    rows = {row.pop("feature_id"): row for row in read_user_columns(dataset)}
    for container in MIXED_CONTAINERS:
        assert rows[f"{container}/007"] == {
            "class": "object",
            "area": None,
            "count": 3,
            "open": True,
            "seen": datetime.datetime(2020, 1, 3),
            "note": None,
        }
    where = "area < 0 AND NOT open AND seen > '2020-01-01' AND note LIKE '\"%' AND count = 2"
    assert dataset.features(where=where)["feature_id"].to_pylist() == [
        f"{container}/b" for container in MIXED_CONTAINERS
    ]
    assert len(dataset.features(where="seen = DATE '2020-02-29'")) == len(MIXED_CONTAINERS)


def test_rare_column_types_are_converted(dataset):
    columns = {
        "id": ["a", "b"],
        "price": [decimal.Decimal("12.50"), None],
        "day": [datetime.date(2020, 2, 29), None],
        "moment": pa.array([1, None], pa.timestamp("us", "Europe/Berlin")),
        "small": pa.array([0.5, None], pa.float32()),
        "tags": [["x", "y"], None],
        "kind": pa.array(["u", None]).dictionary_encode(),
    }
    dataset.add_features(make_table(columns))
    full, empty = read_user_columns(dataset)
    assert full == {
        "feature_id": "a",
        "class": "object",
        "price": 12.5,
        "day": datetime.date(2020, 2, 29),
        "moment": datetime.datetime(1970, 1, 1, 0, 0, 0, 1),
        "small": 0.5,
        "tags": "[x, y]",
        "kind": "u",
    }
    assert set(empty.values()) == {"b", "object", None}
    assert dataset.features(where="price > 12 AND day < '2021-01-01'")["feature_id"].to_pylist() == ["a"]


def test_nan_and_infinity_become_json_null(dataset):
    dataset.add_features(make_table({"id": ["a", "b", "c"], "v": [math.inf, math.nan, 1.0]}))
    values = dataset.features()["v"].to_pylist()
    assert values[0] == math.inf
    assert math.isnan(values[1])

    def parse_line(line):
        return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))

    for lines in (dataset.format_json_lines("features"), dataset.sql_json_lines("SELECT v FROM features")):
        assert [parse_line(line)["v"] for line in lines] == [None, None, 1.0]
    geojson = [parse_line(line)["properties"]["v"] for line in dataset.format_geojson_features("features")]
    assert geojson == [None, None, 1.0]
    stored = dataset.sql("SELECT properties FROM chain_feature_change").to_pylist()
    assert [parse_line(row["properties"])["v"] for row in stored] == ["inf", "nan", 1.0]


def test_special_characters_in_column_names(dataset):
    names = ['a"b', "a'b", "a.b", "$x", "grün ö", "a\\b", "order", "{x}"]
    dataset.add_features(make_table({"id": ["a"], **{name: [i] for i, name in enumerate(names)}}))
    [row] = read_user_columns(dataset)
    assert {name: row[name] for name in names} == {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        quoted = '"' + name.replace('"', '""') + '"'
        assert len(dataset.features(where=f"{quoted} = {i}")) == 1


def test_hiding_column_names_get_underscore(dataset):
    data = make_table({"key": ["a"], "Class": ["of 1984"], "class_": ["second"], "feature_id": ["old"], "kind": ["x"]})
    dataset.add_features(data, id="key", class_="kind")
    assert read_user_columns(dataset) == [
        {"feature_id": "a", "class": "x", "Class_": "of 1984", "class__": "second", "feature_id_": "old"}
    ]
    assert len(dataset.features(where="class = 'x' AND Class_ = 'of 1984' AND feature_id_ = 'old'")) == 1


def test_fid_column_of_user_is_kept(dataset, tmp_path):
    data = make_frame({"fid": [17, 18, 19, 20]})
    dataset.add_features(to_container(data, "geojson", tmp_path))
    assert [row["fid"] for row in read_user_columns(dataset)] == [17, 18, 19, 20]
    assert "OGC_FID" not in dataset.features().column_names


def test_column_with_two_types_becomes_text(dataset):
    dataset.add_features(make_table({"id": ["a"], "n": [1]}))
    dataset.add_features(make_table({"id": ["b"], "n": ["many"], "m": [0.5]}))
    assert read_user_columns(dataset, at="@2") == [{"feature_id": "a", "class": "object", "n": 1}]
    assert read_user_columns(dataset) == [
        {"feature_id": "a", "class": "object", "n": "1", "m": None},
        {"feature_id": "b", "class": "object", "n": "many", "m": 0.5},
    ]


def test_where_selects_rows(dataset, tmp_path):
    data = make_frame({"Area": [1.0, 5.0, None, 9.0], "kind": list("xyxy")})
    path = to_container(data, "gpkg", tmp_path)
    where = "area > 2 AND kind = 'y' AND ST_X(geom) < 11.2 -- a remark"
    result = dataset.add_features(path, where=where)
    assert dataset.features()["feature_id"].to_pylist() == ["b"]
    assert result.summary["features"] == 1
    assert dataset.show().payload["request"]["where"] == where


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("n >", "is not an SQL expression"),
        ("", "is not an SQL expression"),
        ("n > 1; DROP TABLE x", "is not an SQL expression"),
        ("true) OR (true", "is not an SQL expression"),
        ("n > 1 LIMIT 1", "is not an SQL expression|is not one SQL expression"),
        ("n > 1 ORDER BY n", "is not an SQL expression|is not one SQL expression"),
        ("n > 1 GROUP BY n", "is not an SQL expression|is not one SQL expression"),
        ("n IN (SELECT 1)", "has a subquery"),
        ("EXISTS (SELECT 1 FROM log.event)", "has a subquery"),
        ("n > $1", "has a parameter"),
        ("n > random()", "calls 'random', whose result varies"),
        ("getenv('HOME') = 'x'", "calls 'getenv', whose result varies"),
        ("now() > TIMESTAMP '2020-01-01'", "calls 'now', whose result varies"),
        ("read_text('/etc/passwd') = ''", "cannot (read|evaluate)"),
        ("ST_Read('/etc/passwd') = ''", "cannot (read|evaluate)"),
        ("nosuch(n) = 1", "cannot (read|evaluate).*nosuch"),
        ("count(*) > 1", "cannot (read|evaluate)"),
        ("row_number() OVER () = 1", "cannot (read|evaluate)"),
        ("n > 'many'", "cannot (read|evaluate).*many"),
    ],
)
def test_invalid_where_is_rejected(unchanged_dataset, where, message):
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.add_features(make_table({"id": ["c", "d"], "n": [1, 2]}), where=where)
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.features(where=where)
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.format_json_lines("features", where=where)


@pytest.mark.parametrize("where", ["area > 1", "t.n > 1", "current_date > '2020-01-01'", "rowid = 1"])
def test_where_with_unknown_column_lists_columns(unchanged_dataset, where):
    with pytest.raises(NotFoundError, match="The columns are geometry, id, n"):
        unchanged_dataset.add_features(make_table({"id": ["a"], "n": [1]}), where=where)


def test_all_volatile_functions_are_known():
    import duckdb

    from geographer.storage.database.connection import load_spatial
    from geographer.storage.database.sql_sandbox import is_volatile

    connection = duckdb.connect()
    load_spatial(connection)
    rows = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE function_type = 'scalar' AND stability <> 'CONSISTENT'"
    ).fetchall()
    assert len(rows) > 20
    assert [name for (name,) in rows if not is_volatile(name)] == []


def test_default_class_is_object(dataset):
    result = dataset.add_features(make_frame())
    assert result.summary["classes"] == ["object"]
    assert set(dataset.features()["class"].to_pylist()) == {"object"}


def test_class_column_can_be_chosen(dataset):
    result = dataset.add_features(make_frame({"kind": ["pond", "lake", "pond", "tarn"]}), class_="kind")
    assert result.summary["classes"] == ["lake", "pond", "tarn"]
    assert dataset.features()["class"].to_pylist() == ["pond", "lake", "pond", "tarn"]
    assert dataset.read_table("classes").to_pylist() == [
        {"class": "lake", "value": 1},
        {"class": "pond", "value": 2},
        {"class": "tarn", "value": 3},
    ]
    assert "kind" not in dataset.features().column_names


def test_new_classes_get_next_values(dataset):
    dataset.add_features(make_table({"id": ["a"], "class": ["pond"]}))
    dataset.add_features(make_table({"id": ["b", "c"], "class": ["lake", "pond"]}))
    assert dataset.read_table("classes").to_pylist() == [{"class": "pond", "value": 1}, {"class": "lake", "value": 2}]


@pytest.fixture
def dataset_with_classes(tmp_path):
    """A dataset that was created with classes."""
    return Dataset.init(tmp_path / "declared", classes=["glacier", "lake"], background="snow", scm=False)


def test_only_declared_class_is_default(tmp_path):
    dataset = Dataset.init(tmp_path / "declared", classes=["glacier"], background="snow", scm=False)
    dataset.add_features(make_frame())
    assert set(dataset.features()["class"].to_pylist()) == {"glacier"}


def test_several_classes_need_class_column(dataset_with_classes):
    with pytest.raises(UsageError, match=r"the dataset has several classes .'glacier', 'lake'.. Pass --class COLUMN"):
        dataset_with_classes.add_features(make_frame())


def test_undeclared_class_is_rejected(dataset_with_classes):
    with pytest.raises(
        NotFoundError, match=r"unknown class 'tarn'; the dataset has .*'glacier', 'lake'.*geographer add classes"
    ):
        dataset_with_classes.add_features(make_frame({"class": ["glacier", "lake", "tarn", "snow"]}))
    dataset_with_classes.add_classes(["tarn"])
    dataset_with_classes.add_features(make_frame({"class": ["glacier", "lake", "tarn", "snow"]}))
    assert dataset_with_classes.features()["class"].to_pylist() == ["glacier", "lake", "tarn", "snow"]
    assert dataset_with_classes.read_table("classes").to_pylist()[-1] == {"class": "tarn", "value": 3}


@pytest.mark.parametrize("missing", [None, ""])
def test_missing_class_is_rejected(unchanged_dataset, missing):
    with pytest.raises(UsageError, match="feature 'd' of 'the table' has no class"):
        unchanged_dataset.add_features(make_table({"id": ["c", "d"], "class": ["x", missing]}))


INVALID_SHAPES = {
    "null": (None, "it has no geometry"),
    "empty": (shapely.Polygon(), "its geometry is empty"),
    "bow tie": (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "its geometry is invalid"),
    "collection": (shapely.GeometryCollection([shapely.Point(1, 1)]), "its geometry is a collection"),
    "infinite": (shapely.Point(math.inf, 1), "its coordinates are not finite"),
    "too far east": (shapely.Point(361, 0), "its coordinates are out of range: longitude is -180 to 180"),
    "too far north": (shapely.LineString([(0, 80), (0, 91)]), "its coordinates are out of range"),
    "no length": (shapely.LineString([(1, 1), (1, 1)]), "its geometry is invalid"),
}


@pytest.mark.parametrize("name", INVALID_SHAPES)
def test_invalid_geometry_is_rejected(unchanged_dataset, name):
    shape, reason = INVALID_SHAPES[name]
    data = make_frame({"feature_id": ["valid", "also valid", name]}, geometry=[SQUARE, SQUARE, shape])
    with pytest.raises(UsageError, match=f"cannot add '{name}' from 'the table': {reason}.*--on-error skip"):
        unchanged_dataset.add_features(data)


def test_skip_records_invalid_geometries(dataset, tmp_path):
    shapes = [*SHAPES.values(), *(shape for shape, _ in INVALID_SHAPES.values())]
    containers = ("gpkg", "parquet", "table", "frame")
    for container in containers:
        ids = make_ids(container, [*SHAPES, *INVALID_SHAPES])
        data = to_container(make_frame({"feature_id": ids}, geometry=shapes), container, tmp_path)
        result = dataset.add_features(data, on_error="skip")
        assert (result.summary["features"], result.summary["skipped"]) == (len(SHAPES), len(INVALID_SHAPES))
        skipped = dataset.sql(
            f"SELECT input, name, reason FROM chain_skipped_input WHERE position = {result.position} ORDER BY ordinal"
        ).to_pylist()
        assert [row["name"] for row in skipped] == make_ids(container, INVALID_SHAPES)
        for row, (_, reason) in zip(skipped, INVALID_SHAPES.values(), strict=True):
            assert row["reason"].startswith(reason)
            assert row["input"] == (str(data) if isinstance(data, Path) else "the table")
    assert list(read_shapes(dataset)) == [name for container in containers for name in make_ids(container, SHAPES)]


def test_skip_records_invalid_ids(dataset):
    dataset.add_features(make_table({"id": ["a"]}))
    dataset.add_features(make_table({"id": ["a", "b", "b", None, "", "c"]}), on_error="skip")
    assert dataset.features()["feature_id"].to_pylist() == ["a", "b", "c"]
    skipped = dataset.sql("SELECT name, reason FROM log.skipped_input ORDER BY ordinal").to_pylist()
    assert [tuple(row.values()) for row in skipped] == [
        ("a", "its id is in the dataset already"),
        ("b", "its id stands twice in the file"),
        ("row 4", "it has no id"),
        ("", "it has no id"),
    ]


def test_addition_of_skipped_features_records_nothing(unchanged_dataset, caplog):
    result = unchanged_dataset.add_features(make_table({"id": ["a", None]}), on_error="skip")
    assert not result.changed
    reasons = "its id is in the dataset already (1); it has no id (1)"
    assert caplog.messages == [f"nothing of 'the table' was added: 'a', 'row 2' skipped: {reasons}"]


def test_repeated_ids_are_rejected(unchanged_dataset):
    with pytest.raises(ConflictError, match="cannot add 'd' from 'the table': its id stands twice in the file"):
        unchanged_dataset.add_features(make_table({"id": ["c", "d", "d"]}))


def test_existing_feature_ids_are_rejected(dataset):
    dataset.add_features(make_table({"id": ["a", "b"]}))
    with pytest.raises(
        ConflictError, match=r"cannot add 'b' from 'the table': its id is in the dataset already. Pass --replace"
    ):
        dataset.add_features(make_table({"id": ["c", "b"]}))
    dataset.remove_features(["b"])
    dataset.add_features(make_table({"id": ["c", "b"]}))
    assert dataset.features()["feature_id"].to_pylist() == ["a", "c", "b"]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269"])
def test_wrong_crs_differs_from_stray_points(dataset, crs):
    metres = make_frame(crs=crs, geometry=[shapely.Point(500_000 + i, 5_200_000) for i in range(4)])
    message = rf"declares .*{crs}.* but has coordinates outside of it, such as POINT \(500.* 5200000\).*Pass --crs"
    for on_error in ("fail", "skip"):
        with pytest.raises(UsageError, match=message):
            dataset.add_features(metres, on_error=on_error)
    one_outside = make_frame(crs=crs, geometry=[shapely.Point(11, 47)] * 3 + [shapely.Point(500_000, 5_200_000)])
    assert dataset.add_features(one_outside, on_error="skip").summary["skipped"] == 1


def test_points_outside_projection_are_rejected(unchanged_dataset):
    far = make_frame(
        {"feature_id": list("wxyz")},
        crs="EPSG:32632",
        geometry=[shapely.Point(500_000, 5_200_000)] * 3 + [shapely.Point(1e9, 1e9)],
    )
    with pytest.raises(UsageError, match="its coordinates are out of range for its CRS"):
        unchanged_dataset.add_features(far)


def test_unreadable_data_is_rejected(unchanged_dataset, tmp_path):
    (tmp_path / "notes.txt").write_text("not a feature")
    (tmp_path / "places.csv").write_text("id,name\n1,x\n")
    with pytest.raises(NotFoundError, match=r"no such file: '.*nowhere\.gpkg'"):
        unchanged_dataset.add_features(tmp_path / "nowhere.gpkg")
    with pytest.raises(UsageError, match=r"cannot read '.*notes\.txt' as vector data"):
        unchanged_dataset.add_features(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=r"places\.csv' has no geometry column.*Its columns are .*name"):
        unchanged_dataset.add_features(tmp_path / "places.csv")
    with pytest.raises(UsageError, match=r"geoarrow\.wkb"):
        unchanged_dataset.add_features(pa.table({"id": ["a"], "geometry": [shapely.Point(1, 2).wkb]}))
    with pytest.raises(NotFoundError, match=r"has no column 'nosuch'. Its columns are feature_id"):
        unchanged_dataset.add_features(make_frame(), id="nosuch")
    with pytest.raises(NotFoundError, match=r"has no column 'nosuch'. Its columns are feature_id"):
        unchanged_dataset.add_features(make_frame(), class_="nosuch")


@pytest.mark.parametrize("container", ["gpkg", "fgb", "parquet", "geojson", "shp"])
def test_truncated_file_is_rejected(unchanged_dataset, tmp_path, container):
    count = 400
    data = make_frame({"feature_id": [f"{i:060}" for i in range(count)]}, geometry=[SQUARE] * count)
    path = to_container(data, container, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    message = f"(cannot read|cannot add .* from) '.*features.{container}'|features.{container}' is damaged"
    with pytest.raises((UsageError, CorruptError), match=message):
        unchanged_dataset.add_features(path)


def test_empty_file_changes_nothing(unchanged_dataset, tmp_path):
    make_frame().iloc[:0].to_file(tmp_path / "empty.gpkg")
    result = unchanged_dataset.add_features(tmp_path / "empty.gpkg")
    assert not result.changed


def test_folder_name_may_contain_quotes(dataset, tmp_path):
    folder = tmp_path / "o'brien's \"data\""
    folder.mkdir()
    dataset.add_features(to_container(make_frame(), "parquet", folder))
    shutil.copy(folder / "features.parquet", folder / "more.parquet")
    make_frame({"feature_id": ["x"]}).to_file(folder / "more.gpkg")
    dataset.add_features(folder / "more.gpkg")
    assert len(dataset.features()) == 5


def test_features_keep_file_order(dataset):
    ids = [str(i) for i in np.random.Generator(np.random.PCG64(1)).permutation(5_000)]
    dataset.add_features(make_table({"id": ids}))
    assert dataset.features()["feature_id"].to_pylist() == ids
