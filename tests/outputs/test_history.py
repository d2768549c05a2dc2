"""History: the events of every kind of object, and of what it comes from, through cuts and merges."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError
from geographer.storage.queries import object_changes
from tests.sample_history import SampleHistory


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("history") / "dataset"))


@pytest.fixture(scope="module")
def merged(sample_history: SampleHistory, empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """An empty dataset that imported the sample history at v1."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path_factory.mktemp("merged") / "dataset"))
    dataset.import_dataset(sample_history.at_v1, message="take it over")
    return dataset


def list_rows(dataset: Dataset, identity: str) -> list[tuple[Any, ...]]:
    """Return position, object, change, detail and parent of each row of a history."""
    rows = dataset.history(identity)
    assert [row["position"] for row in rows] == sorted(row["position"] for row in rows)
    return [tuple(row[name] for name in ("position", "object", "change", "detail", "parent")) for row in rows]


def test_chip_leads_back_to_scene_and_feature(dataset: Dataset) -> None:
    assert list_rows(dataset, "around/a_p1") == [
        (2, "feature on it", "added", "pond", "p1"),
        (3, "source raster", "added", "rasters/source/a.tif", "a"),
        (5, "raster", "added", "rasters/around/a_p1.tif", "a"),
        (7, "label", "added", "mask", None),
        (8, "split", "added", "parts/test", None),
        (10, "feature on it", "removed", None, "p1"),
        (13, "feature on it", "added", "pond", "p1"),
        (16, "label", "removed", "mask", None),
        (16, "raster", "removed", None, None),
        (16, "split", "removed", "parts", None),
    ]


@pytest.mark.parametrize("limit", [24, 0])
def test_rows_are_those_of_the_log(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """The oracle reads every row of the log by name, without the state's index; few and many rows are read otherwise.

    The removal of a chip names neither its source raster nor its feature: its row before it does.
    """
    monkeypatch.setattr(object_changes, "SELECTED_ONE_BY_ONE", limit)
    roles = {
        "feature": ("feature_change", "feature_id"),
        "raster": ("raster_change", "raster_id"),
        "chip of it": ("raster_change", "parent_id"),
        "chip around it": ("raster_change", "feature_id"),
        "label": ("label_change", "raster_id"),
        "split": ("split_change", "raster_id"),
    }
    expected: dict[str, list[tuple[int, str, str]]] = {}
    with duckdb.connect(str(dataset.root / ".geographer" / "log.duckdb"), read_only=True) as connection:
        query = (
            "SELECT raster_id, position, change, parent_id, feature_id FROM raster_change JOIN chain USING (event_key)"
        )
        origins: dict[str, tuple[str | None, str | None]] = {}
        for chip, position, change, *names in connection.execute(f"{query} ORDER BY position, ordinal").fetchall():
            for name, identity in zip(("chip of it", "chip around it"), origins.get(chip, ()), strict=False):
                if change == "removed" and identity is not None:
                    expected.setdefault(identity, []).append((position, name, change))
            origins[chip] = (names[0], names[1])
        for name, (table, column) in roles.items():
            query = f"SELECT {column}, position, change FROM {table} JOIN chain USING (event_key) WHERE {column} IS NOT NULL"
            for identity, position, change in connection.execute(query).fetchall():
                expected.setdefault(identity, []).append((position, name, change))
    assert len(expected) > 30
    for identity, rows in expected.items():
        own = [row[:3] for row in list_rows(dataset, identity) if row[1] in roles]
        assert sorted(own) == sorted(rows), identity


def test_prefix_selects_the_subject(dataset: Dataset) -> None:
    assert list_rows(dataset, "feature:p1") == list_rows(dataset, "p1")
    assert list_rows(dataset, "raster:around/a_p1") == list_rows(dataset, "around/a_p1")
    assert list_rows(dataset, "class:quay") == [(12, "class", "added", "value 3", None)]
    assert list_rows(dataset, "recipe:corners") == [
        (22, "raster", "added", "3 rasters", None),
        (22, "recipe", "added", "cut own", None),
        (24, "raster", "removed", "3 rasters", None),
        (24, "recipe", "removed", "cut own", None),
    ]
    assert list_rows(dataset, "split:parts")[:2] == [
        (8, "recipe", "added", "split", None),
        (8, "split", "added", "3 assignments", None),
    ]
    assert list_rows(dataset, "label:mask/around/a_p1") == [
        (2, "feature on it", "added", "pond", "p1"),
        (3, "source raster", "added", "rasters/source/a.tif", "a"),
        (5, "raster", "added", "rasters/around/a_p1.tif", "a"),
        (7, "label", "added", "mask", None),
        (7, "recipe", "added", "label mask", None),
        (10, "feature on it", "removed", None, "p1"),
        (13, "feature on it", "added", "pond", "p1"),
        (16, "label", "removed", "mask", None),
        (16, "raster", "removed", None, "around/a_p1"),
        (18, "recipe", "ran", "label mask", None),
    ]


@pytest.mark.parametrize(
    "identity",
    [
        "nothing",
        "",
        "feature:a",
        "raster:p1",
        "class:p1",
        "recipe:mask2",
        "split:mask",
        "label:parts",
        "label:mask/a",
        "x:p1",
    ],
)
def test_unknown_object_is_not_found(dataset: Dataset, identity: str) -> None:
    with pytest.raises(NotFoundError, match=r"no .* in any revision\. See geographer"):
        dataset.history(identity)


def test_columns_name_author_and_cause(dataset: Dataset) -> None:
    (first, *_), event = dataset.history("p1"), dataset.show("@2")
    assert (first["kind"], first["author"], first["message"]) == (event.kind, event.author, "first survey")
    assert f"{first['recorded_at'].isoformat()}Z" == event.recorded_at
    assert first["history"] is None


def test_import_names_the_other_history(merged: Dataset, sample_history: SampleHistory) -> None:
    rows = merged.history("around/a_p1")
    assert {row["kind"] for row in rows} == {"dataset_imported"}
    assert {row["object"] for row in rows} == {"raster", "label", "source raster", "feature on it"}
    assert {row["history"] for row in rows} == {Dataset.open(sample_history.at_v1).show().digest}


def test_id_may_begin_with_prefix(dataset: Dataset, tmp_path: Path) -> None:
    """An id may begin with a prefix: it is found if no object of that subject has the rest as its name."""
    copy = Dataset.open(shutil.copytree(dataset.root, tmp_path / "dataset"))
    points = '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"id": "class:a", "class": "pond"}'
    (tmp_path / "a.geojson").write_text(f'{points}, "geometry": {{"type": "Point", "coordinates": [15, 46]}}}}]}}')
    copy.add_features(tmp_path / "a.geojson")
    assert [row["object"] for row in copy.history("class:a")] == ["feature"]
    assert copy.explain_object("class:a")["object"] == "feature"
    assert [row["object"] for row in copy.history("feature:class:a")] == ["feature"]
