"""Questions to the graph: raster counts, paths instead of ids, and pairs."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.cli.runner import run_command


@pytest.fixture(scope="module")
def dataset(sample_history: Any, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("graph") / "dataset"
    return Dataset.open(shutil.copytree(sample_history.root, root, symlinks=True))


def collect_edges(dataset: Dataset, at: str | None) -> dict[str, dict[str, set[str]]]:
    """Return the rasters of each feature by relation, from the table of edges, without our own queries of the graph."""
    edges: dict[str, dict[str, set[str]]] = defaultdict(lambda: {"contains": set(), "intersects": set()})
    for row in dataset.edges(at).to_pylist():
        edges[row["feature_id"]][row["relation"]].add(row["raster_id"])
    return edges


@pytest.mark.parametrize("at", ["v1", None])
@pytest.mark.parametrize("collection", [None, "source"])
def test_count_rasters_agrees_with_edges(dataset: Dataset, at: str | None, collection: str | None) -> None:
    edges, rows = collect_edges(dataset, at), dataset.count_rasters(collection=collection, at=at).to_pylist()
    inside = {row["raster_id"] for row in dataset.rasters(at).to_pylist() if collection in (None, row["collection"])}
    features = dataset.features(at)["feature_id"].to_pylist()
    expected = [
        {
            "feature_id": feature,
            "raster_count": len(edges[feature]["contains"] & inside),
            "intersecting_raster_count": len((edges[feature]["contains"] | edges[feature]["intersects"]) & inside),
        }
        for feature in features
    ]
    assert rows == expected
    assert any(row["raster_count"] for row in rows)
    some = [features[-1], features[0]]
    assert dataset.count_rasters(some, collection=collection, at=at).to_pylist() == [
        row for row in expected if row["feature_id"] in some
    ]


def test_features_filter_by_raster_count(dataset: Dataset) -> None:
    counts = {row["feature_id"]: row for row in dataset.count_rasters().to_pylist()}
    everything = dataset.features()
    largest = max(row["raster_count"] for row in counts.values())
    few = dataset.features(where=f"raster_count < {largest} AND intersecting_raster_count >= 0")
    assert few.column_names == everything.column_names
    expected = [row for row in everything.to_pylist() if counts[row["feature_id"]]["raster_count"] < largest]
    assert few.to_pylist() == expected
    assert 0 < len(expected) < len(everything)
    assert dataset.count_rows("features", where=f"RASTER_COUNT < {largest}") == len(expected)
    shown = dataset.features(columns=["feature_id", "Raster_Count", "intersecting_raster_count"]).to_pylist()
    assert shown == list(counts.values())
    assert [row["feature_id"] for row in dataset.features(raster_count=largest).to_pylist()] == [
        name for name, row in counts.items() if row["raster_count"] == largest
    ]
    with pytest.raises(NotFoundError, match="no column 'raster_count'"):
        dataset.rasters(where="raster_count < 2")


def test_raster_count_on_command_line(dataset: Dataset, tmp_path: Path) -> None:
    root = dataset.root
    listed = run_command(
        root, "features", "--where", "intersecting_raster_count > 2", "--columns", "feature_id,raster_count", "--json"
    )
    rows = [row for row in dataset.count_rasters().to_pylist() if row.pop("intersecting_raster_count") > 2]
    assert [json.loads(line) for line in listed.splitlines()] == rows != []
    for suffix in ("geojson", "csv", "parquet", "gpkg"):
        dataset.write_table("features", tmp_path / f"few.{suffix}", where="raster_count = 0")
        dataset.write_table("features", tmp_path / f"some.{suffix}", columns=["raster_count"])
    assert "raster_count" not in (tmp_path / "few.csv").read_text().partition("\n")[0]
    features = json.loads((tmp_path / "some.geojson").read_text())["features"]
    assert [feature["properties"]["raster_count"] for feature in features] == [
        row["raster_count"] for row in dataset.count_rasters().to_pylist()
    ]


def test_user_column_of_that_name_comes_first(tmp_path: Path) -> None:
    dataset = Dataset.init(tmp_path / "dataset", scm=False)
    properties = {"id": "a", "class": "lake", "Raster_Count": 7}
    point = {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [1, 2]}}
    path = tmp_path / "features.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [point]}))
    dataset.add_features(path)
    assert dataset.features(where="raster_count = 7").num_rows == 1
    assert dataset.features(where="intersecting_raster_count = 0")["Raster_Count"].to_pylist() == [7]
    assert dataset.count_rasters().to_pylist() == [
        {"feature_id": "a", "raster_count": 0, "intersecting_raster_count": 0}
    ]
    assert dataset.rasters_containing("a", paths=True) == []


@pytest.mark.parametrize("at", ["v1", None])
def test_paths_lead_to_bytes_of_revision(dataset: Dataset, at: str | None) -> None:
    recorded = {row["raster_id"]: row["sha256"] for row in dataset.rasters(at).to_pylist()}
    features = dataset.features(at)["feature_id"].to_pylist()
    for ask in (dataset.rasters_containing, dataset.rasters_intersecting):
        ids, paths = ask(features, at=at), ask(features, paths=True, at=at)
        with_bytes = {name: [recorded[id] for id in found if recorded[id]] for name, found in ids.items()}
        found = {
            name: [hashlib.sha256(path.read_bytes()).hexdigest() for path in found] for name, found in paths.items()
        }
        assert found == with_bytes
        assert all(path.is_absolute() for found in paths.values() for path in found)
        assert ask(features[0], paths=True, at=at) == paths[features[0]]


@pytest.mark.parametrize("at", ["v1", None])
def test_pairs_agree_with_edges(dataset: Dataset, at: str | None) -> None:
    edges = collect_edges(dataset, at)
    features = dataset.features(at)["feature_id"].to_pylist()
    rasters = dataset.rasters(at)["raster_id"].to_pylist()
    pairs = [(feature, raster) for feature in features for raster in rasters]
    left, right = [list(side) for side in zip(*pairs, strict=True)]
    within = [raster in edges[feature]["contains"] for feature, raster in pairs]
    meeting = [raster in edges[feature]["contains"] | edges[feature]["intersects"] for feature, raster in pairs]
    assert dataset.is_contained(left, right, at=at) == within
    assert dataset.is_intersected(left, right, at=at) == meeting
    assert any(within)
    assert not all(meeting)
    assert dataset.is_contained(pa.array(left), np.array(right), at=at) == within
    assert dataset.is_contained(features[0], rasters, at=at) == within[: len(rasters)]
    assert dataset.is_intersected(features, rasters[0], at=at) == meeting[:: len(rasters)]
    assert dataset.is_contained(*pairs[0], at=at) is within[0]
    assert dataset.is_contained([], rasters[0]) == []


def test_unknown_names_are_errors(dataset: Dataset) -> None:
    raster = dataset.rasters()["raster_id"][0].as_py()
    with pytest.raises(NotFoundError, match="no feature 'nothing'"):
        dataset.is_contained("nothing", raster)
    with pytest.raises(NotFoundError, match="no raster 'nothing'"):
        dataset.is_intersected(["p1"], ["nothing"])
    with pytest.raises(UsageError, match="2 features and 3 rasters"):
        dataset.is_contained(["p1", "p2"], [raster] * 3)
    with pytest.raises(UsageError, match="invalid id"):
        dataset.is_contained(1.5, raster)
    with pytest.raises(NotFoundError, match="no feature 'nothing'"):
        dataset.count_rasters(["nothing"])
    with pytest.raises(NotFoundError, match="no collection 'nothing'"):
        dataset.count_rasters(collection="nothing")
    with pytest.raises(UsageError, match="invalid collection"):
        dataset.count_rasters(collection=3)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="v9"):
        dataset.is_contained("p1", raster, at="v9")
