"""Queries: related ids, filters, diff, history, user SQL, tables."""

import shutil
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError


@pytest.fixture
def dataset(sample_history) -> Dataset:
    return Dataset.open(sample_history.root)


@pytest.fixture
def copied_dataset(sample_history, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path / "dataset"))


def read_edges(dataset: Dataset, at: str | None = None) -> list[tuple[str, str, str]]:
    return [tuple(row.values()) for row in dataset.edges(at).to_pylist()]


@pytest.mark.parametrize("at", ["v1", None])
def test_related_ids_agree_with_edges(dataset, at):
    pairs = read_edges(dataset, at)
    features = dataset.features(at)["feature_id"].to_pylist()
    rasters = dataset.rasters(at)["raster_id"].to_pylist()
    containing = {f: {r for g, r, how in pairs if g == f and how == "contains"} for f in features}
    meeting = {f: {r for g, r, _ in pairs if g == f} for f in features}
    assert {f: set(ids) for f, ids in dataset.rasters_containing(features, at=at).items()} == containing
    assert {f: set(ids) for f, ids in dataset.rasters_intersecting(features, at=at).items()} == meeting
    within = {r: {f for f, s, how in pairs if s == r and how == "contains"} for r in rasters}
    assert {r: set(ids) for r, ids in dataset.features_contained_in(rasters, at=at).items()} == within
    assert set(dataset.features_intersecting(rasters[0], at=at)) == {f for f, r, _ in pairs if r == rasters[0]}


def test_related_ids_name_unknown_id(dataset):
    with pytest.raises(NotFoundError, match="'unknown'"):
        dataset.rasters_containing(["p1", "unknown"])


def test_read_table_applies_filters(dataset):
    feature_id = read_edges(dataset)[0][0]
    assert {row["feature_id"] for row in dataset.edges(feature=feature_id).to_pylist()} == {feature_id}
    raster_ids = set(dataset.rasters(feature=feature_id)["raster_id"].to_pylist())
    assert raster_ids == {r for f, r, _ in read_edges(dataset) if f == feature_id}
    assert all(row["relation"] == "contains" for row in dataset.edges(relation="contains").to_pylist())
    assert dataset.features(where="class = 'pond'")["class"].unique().to_pylist() == ["pond"]


def test_diff_lists_changes(copied_dataset):
    before = len(copied_dataset.log())
    copied_dataset.remove_features(["q1"])
    diff = copied_dataset.diff(f"@{before}")
    rows = diff.table.to_pylist()
    assert {(row["object"], row["id"], row["change"]) for row in rows if row["object"] == "feature"} == {
        ("feature", "q1", "removed")
    }
    removed_edges = {(row["from"], row["change"]) for row in rows if row["object"] == "edge"}
    assert removed_edges <= {("contains", "removed"), ("intersects", "removed")}
    assert diff.counts[("feature", "removed")] == 1
    assert copied_dataset.diff("HEAD").table.num_rows == 0
    backwards = copied_dataset.diff("HEAD", f"@{before}").counts
    assert backwards == {(kind, "added"): n for (kind, _), n in diff.counts.items()}


def test_history_lists_events_of_object(copied_dataset):
    events = copied_dataset.history("p1")
    assert events[0]["kind"] == "features_added"
    assert [row["position"] for row in events] == sorted(row["position"] for row in events)
    with pytest.raises(NotFoundError, match="unknown"):
        copied_dataset.history("unknown")


def test_sql_reads_tables_at_revision(dataset):
    for table in ("features", "rasters", "edges", "chips", "labels", "splits", "events", "tags", "classes"):
        (row,) = dataset.sql(f"SELECT count(*) AS n FROM {table}").to_pylist()
        assert row["n"] > 0, table
    earlier = dataset.sql("SELECT count(*) AS n FROM events", at="v1").to_pylist()[0]["n"]
    assert earlier == dataset.show("v1").position


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM features",
        "COPY features TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM ST_Read('/etc/hostname')",
        "SET memory_limit = '1GB'",
        "SELECT 1; SELECT 2",
        "SELEC 1",
        "PRAGMA version",
        "SELECT 1 FROM enable_logging(storage = 'file', storage_path = '/tmp/stolen')",
        "SELECT (SELECT count(*) FROM system.main.duckdb_settings())",
        "SELECT * FROM query('SELECT 1')",
        "SELECT " + "[" * 100 + "]" * 100,
        "SELECT '\udcff'",
        5,
        None,
    ],
)
def test_sql_rejects_access_outside_dataset(dataset, query):
    with pytest.raises(UsageError):
        dataset.sql(query)


@pytest.mark.parametrize(
    "query",
    [
        "FROM range(3) -- a comment",
        "SELECT list_transform([1], x -> x + 1), count(*) FROM features, unnest([1, 2])",
        """SELECT '"type":"TABLE_FUNCTION" "function_name":"x"' FROM features;""",
        "SUMMARIZE features",
        "SELECT 1" + " OR 1" * 5000,
    ],
)
def test_sql_accepts_selects(dataset, query):
    assert dataset.sql(query).num_rows > 0
    assert dataset.sql_json_lines(query)


def test_sql_errors_hold_no_credentials(dataset):
    for query in ("SELECT 'https://a.org?sig=a's3cret'", "SELECT password = s3cret"):
        with pytest.raises(UsageError) as caught:
            dataset.sql(query)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("where", ["NOT " * 900 + "true", "\udcff", 5, "a" * 10_000])
def test_odd_filters_are_refused(dataset, where):
    with pytest.raises((UsageError, NotFoundError), match="--where") as caught:
        dataset.features(where=where)
    assert len(str(caught.value)) < 500


def test_odd_arguments_are_refused(dataset):
    value: Any
    for value in ("unknown", "features; SELECT 1", "", None, 5, ["features"]):
        with pytest.raises(NotFoundError, match="no table"):
            dataset.read_table(value)
    for value in (5, "overlaps", ["contains"], np.int64(1)):
        with pytest.raises(UsageError, match="--relation"):
            dataset.edges(relation=value)
    for value in (None, 1.5, True, [None], object(), "\udcff"):
        with pytest.raises(UsageError, match="invalid id"):
            dataset.rasters_containing(value)
    for value in (0, -1, "x", 1.5, True):
        with pytest.raises(UsageError, match="number of events"):
            dataset.log(value)
    for value in ("x", None, [1], 10**400):
        with pytest.raises(UsageError, match="buffer"):
            dataset.components(buffer=value)
    with pytest.raises(UsageError, match="neither features nor rasters"):
        dataset.read_table("tags", feature="p1")


def test_ids_of_other_libraries(dataset):
    expected, features = dataset.rasters_containing("p1"), ["p1", "p2"]
    assert dataset.rasters_containing(np.str_("p1")) == dataset.rasters_containing(pa.scalar("p1")) == expected
    related = dataset.rasters_containing(features)
    for ids in (np.array(features), pa.array(features), iter(features), [np.str_(name) for name in features]):
        assert dataset.rasters_containing(ids) == related
    assert dataset.log(np.int64(2)) == dataset.log(2)


def test_table_conversions_and_display(dataset):
    table = dataset.features()
    assert pa.table(table).num_rows == len(table)
    frame = table.to_geopandas()
    assert frame.crs.to_epsg() == 4326
    assert list(frame["feature_id"]) == table["feature_id"].to_pylist()
    assert "<table>" in table._repr_html_()
    assert "features" in repr(dataset)
    assert "<table>" in dataset._repr_html_()
    with pytest.raises(TypeError, match="no geometry"):
        dataset.edges().to_geopandas()


def test_related_ids_of_any_number(dataset):
    assert dataset.rasters_containing([]) == {}
    features = dataset.features()["feature_id"].to_pylist()
    expected = {id_: dataset.rasters_intersecting(id_) for id_ in features}
    assert dataset.rasters_intersecting([*reversed(features), *features]) == expected
    rasters = dataset.rasters()["raster_id"].to_pylist()
    assert dataset.features_contained_in(rasters) == {id_: dataset.features_contained_in(id_) for id_ in rasters}


def test_integer_ids_stay_integers(tmp_path, empty_dataset):
    dataset_with_integers = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    boxes = geopandas.GeoDataFrame({"id": [8, 7, 9]}, geometry=shapely.box([0, 0, 5], 0, [2, 1, 6], 1), crs="EPSG:4326")
    dataset_with_integers.add_features(boxes)
    scenes = geopandas.GeoDataFrame(
        {"id": ["near", "far"]}, geometry=shapely.box([-1, 50], -1, [3, 51], 2), crs="EPSG:4326"
    )
    dataset_with_integers.add_catalogue(scenes)
    assert dataset_with_integers.features_contained_in(["near", "far"]) == {"near": [8, 7], "far": []}
    assert dataset_with_integers.rasters_containing([7, 9, 8]) == {7: ["near"], 9: [], 8: ["near"]}
    assert dataset_with_integers.edges(feature=[8, 9]).to_pylist() == [
        {"feature_id": 8, "raster_id": "near", "relation": "contains"}
    ]
    assert dataset_with_integers.features(feature=(9, 7))["feature_id"].to_pylist() == [7, 9]


def test_filtered_tables_keep_order(dataset):
    features = dataset.features()["feature_id"].to_pylist()
    rasters = dataset.rasters()["raster_id"].to_pylist()
    for name in ("features", "rasters", "edges", "chips", "labels", "splits"):
        unfiltered = dataset.read_table(name).to_pylist()
        for filtered in (
            dataset.read_table(name, feature=features[::-1]),
            dataset.read_table(name, raster=rasters[::-1]),
        ):
            rows = filtered.to_pylist()
            assert rows == [row for row in unfiltered if row in rows]
            assert rows
        assert dataset.read_table(name, feature=[]).num_rows == 0
