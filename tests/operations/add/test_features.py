"""Features in: every format, geometry, CRS and kind of id arrives as it was, checked against geopandas and pyproj."""

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
from tests.operations.add.conftest import table
from tests.sample_rasters import CUSTOM, pixels, write_scene

IDS = ["a", "b", "007", "ü'\""]
WKT = pyproj.CRS(CUSTOM).to_wkt().replace('"unknown"', '"our valley"', 1)
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
MIXING = [container for container in CONTAINERS if container != "shp"]
"""Those that hold points beside polygons, and the types of columns."""


def frame(columns: dict[str, Any] | None = None, crs: Any = "EPSG:4326", **given: Any) -> geopandas.GeoDataFrame:
    """Points with ids, or what is given."""
    values = {"feature_id": IDS, **(columns or {})}
    count = len(next(iter(values.values())))
    shapes = given.get("geometry", [shapely.Point(11 + i / 10, 47 - i / 10) for i in range(count)])
    return geopandas.GeoDataFrame(values, geometry=shapes, crs=crs)


def contained(data: geopandas.GeoDataFrame, container: str, folder: Path) -> Any:
    """`data` in one of the containers that are understood."""
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


def named(container: str, names: Any = IDS) -> list[str]:
    """Ids of one container, so that many can go into one dataset."""
    return [f"{container}/{name}" for name in names]


def shapes_of(dataset: Dataset, **wanted: Any) -> dict[Any, Any]:
    features = dataset.features(**wanted)
    return dict(
        zip(features["feature_id"].to_pylist(), shapely.from_wkb(features["geometry"].to_pylist()), strict=True)
    )


def own_columns(dataset: Dataset, **wanted: Any) -> list[dict[str, Any]]:
    return dataset.features(**wanted).drop_columns(["geometry"]).to_pylist()


def test_every_container_gives_the_same_ids_classes_and_places(dataset, tmp_path):
    for container in CONTAINERS:
        given = frame({"feature_id": named(container), "class": ["x", "y", "x", "x"]})
        recorded = dataset.add_features(contained(given, container, tmp_path))
        assert recorded.summary["features"] == 4
    found = shapes_of(dataset)
    features = dataset.features().to_geopandas().set_index("feature_id")
    assert features.crs == "EPSG:4326"
    for container in CONTAINERS:
        ids = named(container)
        assert [found[name] for name in ids] == list(given.geometry), container
        assert features.loc[ids, "class"].to_list() == ["x", "y", "x", "x"], container


def test_kml_gives_its_names_as_ids(dataset, tmp_path):
    given = frame({"Name": IDS, "Description": [""] * 4}).drop(columns="feature_id")
    given.to_file(tmp_path / "features.kml", driver="KML")
    dataset.add_features(tmp_path / "features.kml", id="Name")
    assert shapes_of(dataset) == dict(zip(IDS, given.geometry, strict=True))


def test_points_lines_and_polygons_multi_or_not_stand_side_by_side_and_heights_are_left_out(dataset, tmp_path):
    for container in MIXING:
        given = frame({"feature_id": named(container, SHAPES)}, geometry=shapely.force_3d([*SHAPES.values()], 300.0))
        dataset.add_features(contained(given, container, tmp_path))
    dataset.add_features(frame({"feature_id": named("flat", SHAPES)}, geometry=[*SHAPES.values()]))
    found = shapes_of(dataset)
    assert len(found) == (len(MIXING) + 1) * len(SHAPES)
    for name, shape in found.items():
        expected = SHAPES[name.partition("/")[2]]
        assert (shape.geom_type, shape.has_z) == (expected.geom_type, False), name
        assert shape.equals(expected), name


def test_a_shapefile_gives_lines_and_polygons(dataset, tmp_path):
    for name in ("line", "polygon"):
        dataset.add_features(contained(frame({"feature_id": [name]}, geometry=[SHAPES[name]]), "shp", tmp_path))
    assert all(shape.equals(SHAPES[name]) for name, shape in shapes_of(dataset).items())


def test_any_crs_is_brought_to_longitude_and_latitude(dataset, tmp_path):
    degrees = [shapely.Point(174 + i / 10, -41 + i) for i in range(4)]
    expected = {}
    for crs in ("EPSG:32760", "EPSG:2193", "EPSG:3413", "EPSG:4269", "OGC:CRS84", CUSTOM, WKT):
        for container in ("gpkg", "parquet", "frame") if crs in ("EPSG:2193", WKT) else ("frame",):
            ids = named(f"{container} {crs}")
            given = frame({"feature_id": ids}, geometry=degrees).to_crs(crs)
            recorded = dataset.add_features(contained(given, container, tmp_path))
            kept = pyproj.CRS("EPSG:4326" if crs == "OGC:CRS84" else crs)
            assert pyproj.CRS(recorded.summary["crs"]).equals(kept, ignore_axis_order=True)
            expected |= dict(zip(ids, given.to_crs("EPSG:4326").geometry, strict=True))
    found = shapes_of(dataset)
    assert found.keys() == expected.keys()
    assert max(found[name].distance(place) for name, place in expected.items()) < 1e-8


def test_the_coordinates_of_a_foreign_crs_are_kept_as_they_came(dataset):
    given = frame(crs="EPSG:32632", geometry=[shapely.Point(500_000.125 + i, 5_200_000.25) for i in range(4)])
    dataset.add_features(given)
    kept = dataset.sql("SELECT geometry, crs FROM log.feature_change ORDER BY ordinal")
    assert shapely.from_wkb(kept["geometry"].to_pylist()).tolist() == list(given.geometry)
    assert set(kept["crs"].to_pylist()) == {"EPSG:32632"}


def test_a_crs_that_is_passed_overrides_the_one_that_the_data_states(dataset):
    metres = frame(crs="EPSG:4326", geometry=[shapely.Point(500_000 + i, 5_200_000) for i in range(4)])
    dataset.add_features(metres, crs="epsg:32632")
    expected = metres.set_crs("EPSG:32632", allow_override=True).to_crs("EPSG:4326")
    found = shapes_of(dataset)
    assert all(found[name].distance(place) < 1e-8 for name, place in zip(IDS, expected.geometry, strict=True))


def test_data_without_a_crs_asks_for_one(unmoved, tmp_path):
    bare = frame({"feature_id": list("wxyz")}, crs=None)
    with pytest.raises(UsageError, match="does not say its CRS: pass --crs EPSG"):
        unmoved.add_features(bare)
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        path = contained(bare, "shp", tmp_path)
    with pytest.raises(UsageError, match=r"features\.shp' does not say its CRS"):
        unmoved.add_features(path)
    assert unmoved.add_features(path, crs="EPSG:4326", dry_run=True).summary["features"] == 4


def test_a_crs_that_nobody_knows_is_refused(unmoved):
    with pytest.raises(UsageError, match="'EPSG:99999' is not a CRS"):
        unmoved.add_features(frame(), crs="EPSG:99999")


def test_integer_ids_stay_integers_in_every_container(dataset, tmp_path):
    ids = []
    for number, container in enumerate(CONTAINERS):
        ids += [100 * number + 7, 100 * number + 8]
        dataset.add_features(contained(frame({"feature_id": ids[-2:]}), container, tmp_path))
    again = Dataset.open(dataset.root)
    assert again.features().schema.field("feature_id").type == pa.int64()
    assert sorted(again.features()["feature_id"].to_pylist()) == ids


def test_integer_ids_are_integers_wherever_they_are_asked_for(dataset, tmp_path):
    place = shapely.Point(500_160, 5_199_840).buffer(20)
    given = frame({"feature_id": [7, 2**53 - 1]}, crs="EPSG:32633", geometry=[place, shapely.Point(510_000, 5_199_840)])
    dataset.add_features(given)
    dataset.add_rasters(write_scene(tmp_path / "scene.tif", pixels(1, 32, 32)))
    again = Dataset.open(dataset.root)
    assert [json.loads(line)["feature_id"] for line in again.json_lines("edges")] == [7]
    assert [json.loads(line)["id"] for line in again.geojson_features("features", feature=7)] == [7]
    assert again.edges()["feature_id"].to_pylist() == [7]
    assert again.rasters_containing(7) == ["scene"]
    assert again.rasters_containing([7, 2**53 - 1]) == {7: ["scene"], 2**53 - 1: []}
    assert again.features_contained_in("scene") == [7]
    assert again.features(where="feature_id + 1 = 8")["feature_id"].to_pylist() == [7]
    assert [row["change"] for row in again.history(7)] == ["added"]
    again.remove_features([7])
    assert again.features()["feature_id"].to_pylist() == [2**53 - 1]


def test_digits_that_are_text_stay_text_in_every_container(dataset, tmp_path):
    ids = []
    for number, container in enumerate(CONTAINERS):
        ids += [f"00{number}", f"{number}", f"{number}e3"]
        dataset.add_features(contained(frame({"feature_id": ids[-3:]}), container, tmp_path))
    again = Dataset.open(dataset.root)
    assert sorted(again.features()["feature_id"].to_pylist()) == sorted(ids)
    assert [json.loads(line)["feature_id"] for line in again.json_lines("features", feature="003")] == ["003"]


def test_integers_that_not_every_reader_can_hold_stay_exact_as_text(dataset):
    dataset.add_features(table({"id": pa.array([2**64 - 1, 5], pa.uint64())}))
    assert dataset.features()["feature_id"].to_pylist() == ["18446744073709551615", "5"]


def test_small_unsigned_integers_are_integers(dataset):
    dataset.add_features(table({"id": pa.array([2**63 - 1, 5], pa.uint64())}))
    assert dataset.features()["feature_id"].to_pylist() == [2**63 - 1, 5]


def test_integers_become_text_at_the_revision_where_text_joins_them(dataset):
    dataset.add_features(table({"id": [1]}))
    dataset.add_features(table({"id": ["x"]}))
    assert dataset.features(at="@2")["feature_id"].to_pylist() == [1]
    assert dataset.features()["feature_id"].to_pylist() == ["1", "x"]


def test_a_frame_with_a_named_index_gives_it_as_ids(dataset):
    dataset.add_features(frame({"feature_id": [3, 4, 5, 6]}).set_index("feature_id"))
    assert dataset.features()["feature_id"].to_pylist() == [3, 4, 5, 6]


def test_ids_at_the_top_of_geojson_features_can_be_asked_for(dataset, tmp_path):
    feature = {"type": "Feature", "id": 9, "properties": {"a": 1}, "geometry": {"type": "Point", "coordinates": [1, 2]}}
    (tmp_path / "top.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(UsageError, match="pass --id COLUMN; the columns are OGC_FID, a"):
        dataset.add_features(tmp_path / "top.geojson")
    dataset.add_features(tmp_path / "top.geojson", id="OGC_FID")
    assert own_columns(dataset) == [{"feature_id": 9, "class": "object", "a": 1}]


def test_own_columns_ride_along_with_their_types(dataset, tmp_path):
    columns = {
        "area": [1.5, -2.0, math.nan, 4.0],
        "count": [1, 2, 3, 2**53 - 1],
        "open": [True, False, True, True],
        "seen": pandas.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-02-29"]).as_unit("ms"),
        "note": ["it's", '"quoted"', None, "ü"],
    }
    for container in MIXING:
        given = frame({"feature_id": named(container), **columns})
        dataset.add_features(contained(given, container, tmp_path))
    features = dataset.features()
    types = {name: features.schema.field(name).type for name in columns}
    assert types == {
        "area": pa.float64(),
        "count": pa.int64(),
        "open": pa.bool_(),
        "seen": pa.timestamp("us"),
        "note": pa.string(),
    }
    rows = {row.pop("feature_id"): row for row in own_columns(dataset)}
    for container in MIXING:
        assert rows[f"{container}/007"] == {
            "class": "object",
            "area": None,
            "count": 3,
            "open": True,
            "seen": datetime.datetime(2020, 1, 3),
            "note": None,
        }
    wanted = "area < 0 AND NOT open AND seen > '2020-01-01' AND note LIKE '\"%' AND count = 2"
    assert dataset.features(where=wanted)["feature_id"].to_pylist() == [f"{container}/b" for container in MIXING]
    assert len(dataset.features(where="seen = DATE '2020-02-29'")) == len(MIXING)


def test_own_columns_of_rarer_types_are_kept_as_numbers_dates_or_text(dataset):
    columns = {
        "id": ["a", "b"],
        "price": [decimal.Decimal("12.50"), None],
        "day": [datetime.date(2020, 2, 29), None],
        "moment": pa.array([1, None], pa.timestamp("us", "Europe/Berlin")),
        "small": pa.array([0.5, None], pa.float32()),
        "tags": [["x", "y"], None],
        "kind": pa.array(["u", None]).dictionary_encode(),
    }
    dataset.add_features(table(columns))
    full, empty = own_columns(dataset)
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


def test_numbers_that_json_does_not_have_are_kept_and_shown_as_null(dataset):
    dataset.add_features(table({"id": ["a", "b", "c"], "v": [math.inf, math.nan, 1.0]}))
    values = dataset.features()["v"].to_pylist()
    assert values[0] == math.inf
    assert math.isnan(values[1])
    refuse = {"parse_constant": lambda name: pytest.fail(f"{name} is no JSON")}
    for lines in (dataset.json_lines("features"), dataset.sql_json_lines("SELECT v FROM features")):
        assert [json.loads(line, **refuse)["v"] for line in lines] == [None, None, 1.0]
    shown = [json.loads(line, **refuse)["properties"]["v"] for line in dataset.geojson_features("features")]
    assert shown == [None, None, 1.0]
    kept = dataset.sql("SELECT properties FROM log.feature_change").to_pylist()
    assert [json.loads(row["properties"], **refuse)["v"] for row in kept] == ["inf", "nan", 1.0]


def test_own_columns_with_awkward_names_can_be_asked_for(dataset):
    names = ['a"b', "a'b", "a.b", "$x", "grün ö", "a\\b", "order", "{x}"]
    dataset.add_features(table({"id": ["a"], **{name: [i] for i, name in enumerate(names)}}))
    [row] = own_columns(dataset)
    assert {name: row[name] for name in names} == {name: i for i, name in enumerate(names)}
    for i, name in enumerate(names):
        quoted = '"' + name.replace('"', '""') + '"'
        assert len(dataset.features(where=f"{quoted} = {i}")) == 1


def test_own_columns_that_would_hide_ours_get_an_underscore(dataset):
    given = table({"key": ["a"], "Class": ["of 1984"], "class_": ["second"], "feature_id": ["theirs"], "kind": ["x"]})
    dataset.add_features(given, id="key", class_="kind")
    assert own_columns(dataset) == [
        {"feature_id": "a", "class": "x", "Class_": "of 1984", "class__": "second", "feature_id_": "theirs"}
    ]
    assert len(dataset.features(where="class = 'x' AND Class_ = 'of 1984' AND feature_id_ = 'theirs'")) == 1


def test_a_column_called_fid_is_kept_where_it_is_no_row_number_of_gdal(dataset, tmp_path):
    given = frame({"fid": [17, 18, 19, 20]})
    dataset.add_features(contained(given, "geojson", tmp_path))
    assert [row["fid"] for row in own_columns(dataset)] == [17, 18, 19, 20]
    assert "OGC_FID" not in dataset.features().column_names


def test_a_column_that_comes_with_two_types_is_read_as_text_from_then_on(dataset):
    dataset.add_features(table({"id": ["a"], "n": [1]}))
    dataset.add_features(table({"id": ["b"], "n": ["many"], "m": [0.5]}))
    assert own_columns(dataset, at="@2") == [{"feature_id": "a", "class": "object", "n": 1}]
    assert own_columns(dataset) == [
        {"feature_id": "a", "class": "object", "n": "1", "m": None},
        {"feature_id": "b", "class": "object", "n": "many", "m": 0.5},
    ]


def test_where_takes_only_the_rows_that_it_is_true_for(dataset, tmp_path):
    given = frame({"Area": [1.0, 5.0, None, 9.0], "kind": list("xyxy")})
    path = contained(given, "gpkg", tmp_path)
    where = "area > 2 AND kind = 'y' AND ST_X(geom) < 11.2 -- a remark"
    recorded = dataset.add_features(path, where=where)
    assert dataset.features()["feature_id"].to_pylist() == ["b"]
    assert recorded.summary["features"] == 1
    assert dataset.show().payload["request"]["where"] == where


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("n >", "is not an SQL expression"),
        ("", "is not an SQL expression"),
        ("n > 1; DROP TABLE x", "is not an SQL expression"),
        ("true) OR (true", "is not an SQL expression"),
        ("n > 1 LIMIT 1", "is not an SQL expression|must be one SQL expression"),
        ("n > 1 ORDER BY n", "is not an SQL expression|must be one SQL expression"),
        ("n > 1 GROUP BY n", "is not an SQL expression|must be one SQL expression"),
        ("n IN (SELECT 1)", "holds a subquery"),
        ("EXISTS (SELECT 1 FROM log.event)", "holds a subquery"),
        ("n > $1", "holds a parameter"),
        ("n > random()", "calls 'random', whose answer changes"),
        ("getenv('HOME') = 'x'", "calls 'getenv', whose answer changes"),
        ("now() > TIMESTAMP '2020-01-01'", "calls 'now', whose answer changes"),
        ("read_text('/etc/passwd') = ''", "can't be (read|evaluated)"),
        ("ST_Read('/etc/passwd') = ''", "can't be (read|evaluated)"),
        ("nosuch(n) = 1", "can't be (read|evaluated).*nosuch"),
        ("count(*) > 1", "can't be (read|evaluated)"),
        ("row_number() OVER () = 1", "can't be (read|evaluated)"),
        ("n > 'many'", "can't be (read|evaluated).*many"),
    ],
)
def test_a_where_that_is_no_honest_expression_is_refused(unmoved, where, told):
    with pytest.raises(UsageError, match=told):
        unmoved.add_features(table({"id": ["c", "d"], "n": [1, 2]}), where=where)
    with pytest.raises(UsageError, match=told):
        unmoved.features(where=where)
    with pytest.raises(UsageError, match=told):
        unmoved.json_lines("features", where=where)


@pytest.mark.parametrize("where", ["area > 1", "t.n > 1", "current_date > '2020-01-01'", "rowid = 1"])
def test_a_where_over_columns_that_are_not_there_names_those_that_are(unmoved, where):
    with pytest.raises(NotFoundError, match="the columns are geometry, id, n"):
        unmoved.add_features(table({"id": ["a"], "n": [1]}), where=where)


def test_every_function_that_duckdb_calls_volatile_is_refused():
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


def test_features_without_a_class_are_objects(dataset):
    recorded = dataset.add_features(frame())
    assert recorded.summary["classes"] == ["object"]
    assert set(dataset.features()["class"].to_pylist()) == {"object"}


def test_the_column_of_classes_can_be_any(dataset):
    recorded = dataset.add_features(frame({"kind": ["pond", "lake", "pond", "tarn"]}), class_="kind")
    assert recorded.summary["classes"] == ["lake", "pond", "tarn"]
    assert dataset.features()["class"].to_pylist() == ["pond", "lake", "pond", "tarn"]
    assert dataset.table("classes").to_pylist() == [
        {"class": "lake", "value": 1},
        {"class": "pond", "value": 2},
        {"class": "tarn", "value": 3},
    ]
    assert "kind" not in dataset.features().column_names


def test_new_classes_count_on_and_known_ones_keep_their_values(dataset):
    dataset.add_features(table({"id": ["a"], "class": ["pond"]}))
    dataset.add_features(table({"id": ["b", "c"], "class": ["lake", "pond"]}))
    assert dataset.table("classes").to_pylist() == [{"class": "pond", "value": 1}, {"class": "lake", "value": 2}]


@pytest.fixture
def declared(tmp_path):
    """A dataset that was given its classes."""
    return Dataset.init(tmp_path / "declared", classes=["glacier", "lake"], background="snow", scm=False)


def test_the_only_declared_class_is_that_of_features_without_one(tmp_path):
    dataset = Dataset.init(tmp_path / "declared", classes=["glacier"], background="snow", scm=False)
    dataset.add_features(frame())
    assert set(dataset.features()["class"].to_pylist()) == {"glacier"}


def test_among_several_declared_classes_the_file_must_say_which(declared):
    with pytest.raises(UsageError, match="the dataset has the classes 'glacier', 'lake': pass --class COLUMN"):
        declared.add_features(frame())


def test_a_class_that_was_not_declared_is_unknown(declared):
    with pytest.raises(
        NotFoundError, match=r"no class 'tarn' in this dataset.*'glacier', 'lake'.*geographer add classes"
    ):
        declared.add_features(frame({"class": ["glacier", "lake", "tarn", "snow"]}))
    declared.add_classes(["tarn"])
    declared.add_features(frame({"class": ["glacier", "lake", "tarn", "snow"]}))
    assert declared.features()["class"].to_pylist() == ["glacier", "lake", "tarn", "snow"]
    assert declared.table("classes").to_pylist()[-1] == {"class": "tarn", "value": 3}


@pytest.mark.parametrize("missing", [None, ""])
def test_a_feature_whose_class_is_missing_is_named(unmoved, missing):
    with pytest.raises(UsageError, match="feature 'd' has no class"):
        unmoved.add_features(table({"id": ["c", "d"], "class": ["x", missing]}))


UNFIT = {
    "null": (None, "it has no geometry"),
    "empty": (shapely.Polygon(), "its geometry is empty"),
    "bow tie": (shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), "its geometry is invalid"),
    "collection": (shapely.GeometryCollection([shapely.Point(1, 1)]), "its geometry is a collection"),
    "infinite": (shapely.Point(math.inf, 1), "its coordinates are not finite"),
    "too far east": (shapely.Point(181, 0), "its coordinates are out of range: longitude is -180 to 180"),
    "too far north": (shapely.LineString([(0, 80), (0, 91)]), "its coordinates are out of range"),
    "no length": (shapely.LineString([(1, 1), (1, 1)]), "its geometry is invalid"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_geometry_that_is_not_fit_is_refused_by_name(unmoved, name):
    shape, reason = UNFIT[name]
    given = frame({"feature_id": ["fit", "also fit", name]}, geometry=[SQUARE, SQUARE, shape])
    with pytest.raises(UsageError, match=f"'{name}' can't be added, because {reason}.*--on-error skip"):
        unmoved.add_features(given)


def test_skip_leaves_out_what_is_not_fit_and_records_which_and_why(dataset, tmp_path):
    shapes = [*SHAPES.values(), *(shape for shape, _ in UNFIT.values())]
    containers = ("gpkg", "parquet", "table", "frame")
    for container in containers:
        ids = named(container, [*SHAPES, *UNFIT])
        given = contained(frame({"feature_id": ids}, geometry=shapes), container, tmp_path)
        recorded = dataset.add_features(given, on_error="skip")
        assert (recorded.summary["features"], recorded.summary["skipped"]) == (len(SHAPES), len(UNFIT))
        skipped = dataset.sql(
            f"SELECT input, name, reason FROM log.skipped_input WHERE position = {recorded.position} ORDER BY ordinal"
        ).to_pylist()
        assert [row["name"] for row in skipped] == named(container, UNFIT)
        for row, (_, reason) in zip(skipped, UNFIT.values(), strict=True):
            assert row["reason"].startswith(reason)
            assert row["input"] == (str(given) if isinstance(given, Path) else "the table")
    assert list(shapes_of(dataset)) == [name for container in containers for name in named(container, SHAPES)]


def test_skip_records_ids_that_are_missing_or_taken_or_stand_twice(dataset):
    dataset.add_features(table({"id": ["a"]}))
    dataset.add_features(table({"id": ["a", "b", "b", None, "", "c"]}), on_error="skip")
    assert dataset.features()["feature_id"].to_pylist() == ["a", "b", "c"]
    skipped = dataset.sql("SELECT name, reason FROM log.skipped_input ORDER BY ordinal").to_pylist()
    assert [tuple(row.values()) for row in skipped] == [
        ("a", "its id is in the dataset already"),
        ("b", "its id stands twice in the file"),
        ("row 4", "it has no id"),
        ("", "it has no id"),
    ]


def test_skip_records_even_where_nothing_is_left(dataset):
    recorded = dataset.add_features(table({"id": [None]}), on_error="skip")
    assert recorded.changed
    assert recorded.summary == {"source": "the table", "crs": "EPSG:4326", "features": 0, "skipped": 1, "classes": []}


def test_ids_that_stand_twice_are_named(unmoved):
    with pytest.raises(ConflictError, match="'d' can't be added, because its id stands twice in the file"):
        unmoved.add_features(table({"id": ["c", "d", "d"]}))


def test_ids_that_the_dataset_has_are_named(dataset):
    dataset.add_features(table({"id": ["a", "b"]}))
    with pytest.raises(ConflictError, match="'b' can't be added, because its id is in the dataset already"):
        dataset.add_features(table({"id": ["c", "b"]}))
    dataset.remove_features(["b"])
    dataset.add_features(table({"id": ["c", "b"]}))
    assert dataset.features()["feature_id"].to_pylist() == ["a", "c", "b"]


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4269"])
def test_metres_that_claim_to_be_degrees_are_told_from_stray_places(dataset, crs):
    metres = frame(crs=crs, geometry=[shapely.Point(500_000 + i, 5_200_000) for i in range(4)])
    told = rf"claims .*{crs}.* but holds coordinates like POINT \(500.* 5200000\).*pass --crs"
    for on_error in ("fail", "skip"):
        with pytest.raises(UsageError, match=told):
            dataset.add_features(metres, on_error=on_error)
    stray = frame(crs=crs, geometry=[shapely.Point(11, 47)] * 3 + [shapely.Point(500_000, 5_200_000)])
    assert dataset.add_features(stray, on_error="skip").summary["skipped"] == 1


def test_places_that_a_projection_does_not_reach_are_out_of_range(unmoved):
    far = frame(
        {"feature_id": list("wxyz")},
        crs="EPSG:32632",
        geometry=[shapely.Point(500_000, 5_200_000)] * 3 + [shapely.Point(1e9, 1e9)],
    )
    with pytest.raises(UsageError, match="its coordinates are out of range for its CRS"):
        unmoved.add_features(far)


def test_what_is_no_vector_data_is_refused_with_its_name(unmoved, tmp_path):
    (tmp_path / "notes.txt").write_text("not a feature")
    (tmp_path / "places.csv").write_text("id,name\n1,x\n")
    with pytest.raises(NotFoundError, match=r"no such file: '.*nowhere\.gpkg'"):
        unmoved.add_features(tmp_path / "nowhere.gpkg")
    with pytest.raises(UsageError, match=r"notes\.txt' can't be read as vector data"):
        unmoved.add_features(tmp_path / "notes.txt")
    with pytest.raises(UsageError, match=r"places\.csv' has no geometry column: it has .*name"):
        unmoved.add_features(tmp_path / "places.csv")
    with pytest.raises(UsageError, match=r"geoarrow\.wkb"):
        unmoved.add_features(pa.table({"id": ["a"], "geometry": [shapely.Point(1, 2).wkb]}))
    with pytest.raises(NotFoundError, match="has no column 'nosuch': it has feature_id"):
        unmoved.add_features(frame(), id="nosuch")
    with pytest.raises(NotFoundError, match="has no column 'nosuch': it has feature_id"):
        unmoved.add_features(frame(), class_="nosuch")


@pytest.mark.parametrize("container", ["gpkg", "fgb", "parquet", "geojson", "shp"])
def test_a_file_that_was_cut_off_is_refused_with_its_name(unmoved, tmp_path, container):
    count = 400
    given = frame({"feature_id": [f"{i:060}" for i in range(count)]}, geometry=[SQUARE] * count)
    path = contained(given, container, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    told = "(can't be (read|added)|is damaged)"
    with pytest.raises((UsageError, CorruptError), match=f"features.{container}'.*{told}"):
        unmoved.add_features(path)


def test_a_file_without_features_changes_nothing(unmoved, tmp_path):
    frame().iloc[:0].to_file(tmp_path / "empty.gpkg")
    recorded = unmoved.add_features(tmp_path / "empty.gpkg")
    assert not recorded.changed


def test_a_folder_with_a_quote_in_its_name_can_be_read_from(dataset, tmp_path):
    folder = tmp_path / "o'brien's \"data\""
    folder.mkdir()
    dataset.add_features(contained(frame(), "parquet", folder))
    shutil.copy(folder / "features.parquet", folder / "more.parquet")
    frame({"feature_id": ["x"]}).to_file(folder / "more.gpkg")
    dataset.add_features(folder / "more.gpkg")
    assert len(dataset.features()) == 5


def test_the_order_of_the_file_is_the_order_of_the_features(dataset):
    ids = [str(i) for i in np.random.Generator(np.random.PCG64(1)).permutation(5_000)]
    dataset.add_features(table({"id": ids}))
    assert dataset.features()["feature_id"].to_pylist() == ids
