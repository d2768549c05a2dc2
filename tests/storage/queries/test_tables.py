"""Reads: the graph's questions, differences, histories, SQL, and how tables show themselves."""

import shutil
from pathlib import Path

import geopandas
import pyarrow as pa
import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError


@pytest.fixture
def dataset(story) -> Dataset:
    return Dataset.open(story.root)


@pytest.fixture
def copy(story, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(story.root, tmp_path / "dataset"))


def edges(dataset: Dataset, at: str | None = None) -> list[tuple[str, str, str]]:
    return [tuple(row.values()) for row in dataset.edges(at).to_pylist()]


@pytest.mark.parametrize("at", ["v1", None])
def test_the_graphs_questions_agree_with_the_edges(dataset, at):
    pairs = edges(dataset, at)
    features = dataset.features(at)["feature_id"].to_pylist()
    rasters = dataset.rasters(at)["raster_id"].to_pylist()
    containing = {f: {r for g, r, how in pairs if g == f and how == "contains"} for f in features}
    meeting = {f: {r for g, r, _ in pairs if g == f} for f in features}
    assert {f: set(found) for f, found in dataset.rasters_containing(features, at=at).items()} == containing
    assert {f: set(found) for f, found in dataset.rasters_intersecting(features, at=at).items()} == meeting
    within = {r: {f for f, s, how in pairs if s == r and how == "contains"} for r in rasters}
    assert {r: set(found) for r, found in dataset.features_contained_in(rasters, at=at).items()} == within
    assert set(dataset.features_intersecting(rasters[0], at=at)) == {f for f, r, _ in pairs if r == rasters[0]}


def test_an_unknown_id_among_many_is_named(dataset):
    with pytest.raises(NotFoundError, match="'nobody'"):
        dataset.rasters_containing(["p1", "nobody"])


def test_filters_narrow_each_table_down(dataset):
    one = edges(dataset)[0]
    assert {row["feature_id"] for row in dataset.edges(feature=one[0]).to_pylist()} == {one[0]}
    shown = set(dataset.rasters(feature=one[0])["raster_id"].to_pylist())
    assert shown == {r for f, r, _ in edges(dataset) if f == one[0]}
    assert all(row["relation"] == "contains" for row in dataset.edges(relation="contains").to_pylist())
    assert dataset.features(where="class = 'pond'")["class"].unique().to_pylist() == ["pond"]


def test_a_difference_is_what_was_done(copy):
    before = len(copy.log())
    copy.remove_features(["q1"])
    difference = copy.diff(f"@{before}")
    rows = difference.table.to_pylist()
    assert {(row["object"], row["id"], row["change"]) for row in rows if row["object"] == "feature"} == {
        ("feature", "q1", "removed")
    }
    lost = {(row["from"], row["change"]) for row in rows if row["object"] == "edge"}
    assert lost <= {("contains", "removed"), ("intersects", "removed")}
    assert difference.counts[("feature", "removed")] == 1
    assert copy.diff("HEAD").table.num_rows == 0
    backwards = copy.diff("HEAD", f"@{before}").counts
    assert backwards == {(thing, "added"): n for (thing, _), n in difference.counts.items()}


def test_a_history_tells_every_event_that_touched_an_object(copy):
    told = copy.history("p1")
    assert told[0]["kind"] == "features_added"
    assert [row["position"] for row in told] == sorted(row["position"] for row in told)
    with pytest.raises(NotFoundError, match="nobody"):
        copy.history("nobody")


def test_sql_reads_every_table_at_a_revision(dataset):
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
    ],
)
def test_sql_that_would_leave_the_dataset_is_refused(dataset, query):
    with pytest.raises(UsageError):
        dataset.sql(query)


def test_a_table_is_arrow_and_a_geodataframe_and_shows_itself(dataset):
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


def test_the_graphs_questions_take_any_number_of_ids(dataset):
    assert dataset.rasters_containing([]) == {}
    features = dataset.features()["feature_id"].to_pylist()
    each = {one: dataset.rasters_intersecting(one) for one in features}
    assert dataset.rasters_intersecting([*reversed(features), *features]) == each
    rasters = dataset.rasters()["raster_id"].to_pylist()
    assert dataset.features_contained_in(rasters) == {one: dataset.features_contained_in(one) for one in rasters}


def test_whole_numbers_come_back_as_whole_numbers(tmp_path, empty_dataset):
    numbered = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    boxes = geopandas.GeoDataFrame({"id": [8, 7, 9]}, geometry=shapely.box([0, 0, 5], 0, [2, 1, 6], 1), crs="EPSG:4326")
    numbered.add_features(boxes)
    scenes = geopandas.GeoDataFrame(
        {"id": ["near", "far"]}, geometry=shapely.box([-1, 50], -1, [3, 51], 2), crs="EPSG:4326"
    )
    numbered.add_catalogue(scenes)
    assert numbered.features_contained_in(["near", "far"]) == {"near": [8, 7], "far": []}
    assert numbered.rasters_containing([7, 9, 8]) == {7: ["near"], 9: [], 8: ["near"]}
    assert numbered.edges(feature=[8, 9]).to_pylist() == [
        {"feature_id": 8, "raster_id": "near", "relation": "contains"}
    ]
    assert numbered.features(feature=(9, 7))["feature_id"].to_pylist() == [7, 9]


def test_tables_narrowed_down_to_many_keep_their_order(dataset):
    features = dataset.features()["feature_id"].to_pylist()
    rasters = dataset.rasters()["raster_id"].to_pylist()
    for name in ("features", "rasters", "edges", "chips", "labels", "splits"):
        whole = dataset.table(name).to_pylist()
        for narrowed in (dataset.table(name, feature=features[::-1]), dataset.table(name, raster=rasters[::-1])):
            kept = narrowed.to_pylist()
            assert kept == [row for row in whole if row in kept]
            assert kept
        assert dataset.table(name, feature=[]).num_rows == 0
