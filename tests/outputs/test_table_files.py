"""Files of tables: what each format holds, and what a failed command leaves behind."""

from __future__ import annotations

import csv
import datetime
import json
import math
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pyogrio
import pyogrio.raw
import pytest
import shapely

from geographer import ConflictError, Dataset, StorageError, UsageError

SHAPES = [
    shapely.Point(500000.1234567891, 5000000.3),
    shapely.box(500000, 5000000, 500010.1, 5000010.7),
    shapely.MultiPolygon([shapely.box(500000, 5000000, 500001, 5000001)]),
    shapely.LineString([(500000, 5000000), (500001, 5000000.7)]),
]
COLUMNS: dict[str, list[Any]] = {
    "id": ["a", "b", "c", "7"],
    "class": ["lake", "pond", "lake", "pond"],
    "big": [2**53 + 1, -(2**63), 2**63 - 1, 0],
    "fid": ["x", "", "z", '"'],
    "geom": [True, False, None, True],
    "level": [0.1, math.inf, -math.inf, None],
    "ogc_fid": ["=1+1", "a,b", "line\nbreak", "tab\t"],
    "day": [datetime.date(1, 1, 1), None, datetime.date(1899, 12, 31), datetime.date(9999, 12, 31)],
    "exact": [*(datetime.datetime(2020, 1, 1, 0, 0, 59, 999000 - n * 1000) for n in range(3)), None],
    "fine": [datetime.datetime(1960, 12, 31, 23, 59, 59, 123456), None, None, datetime.datetime(9999, 12, 31)],
    'ä "quoted"': [None, None, "x", None],
}


def make_frame() -> geopandas.GeoDataFrame:
    columns = {name: pd.array(values, dtype=object) for name, values in COLUMNS.items()}
    return geopandas.GeoDataFrame(columns, geometry=SHAPES, crs="EPSG:32633")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, empty_dataset: Path) -> Dataset:
    """A dataset with a feature for each kind of geometry and awkward values; only read it."""
    root = shutil.copytree(empty_dataset, tmp_path_factory.mktemp("tables") / "dataset")
    dataset = Dataset.open(root)
    dataset.add_features(make_frame())
    return dataset


def read_rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_geopackage_has_recorded_geometry_and_values(dataset: Dataset, tmp_path: Path) -> None:
    dataset.write_table("features", tmp_path / "f.gpkg")
    assert pyogrio.list_layers(tmp_path / "f.gpkg").tolist() == [["features", "Unknown"]]
    info = pyogrio.read_info(tmp_path / "f.gpkg")
    assert (info["crs"], info["geometry_name"], info["fid_column"]) == ("EPSG:32633", "geometry", "fid_")
    _, table = pyogrio.raw.read_arrow(tmp_path / "f.gpkg")
    assert table["geometry"].to_pylist() == [shapely.to_wkb(shape) for shape in SHAPES]
    expected = {"feature_id": COLUMNS["id"], **{name: COLUMNS[name] for name in COLUMNS if name != "id"}}
    for name in ("exact", "fine"):
        stated = table[name].to_pylist()
        times = [time if time is None else datetime.datetime.fromisoformat(str(time)) for time in stated]
        assert [time and time.replace(tzinfo=None) for time in times] == expected.pop(name)
    assert {name: table[name].to_pylist() for name in expected} == expected
    stored = read_rows(tmp_path / "f.gpkg", "SELECT name, type FROM pragma_table_info('features')")
    kinds = {"feature_id": "TEXT", "big": "INTEGER", "geom": "BOOLEAN", "level": "REAL", "exact": "DATETIME"}
    assert dict(stored).items() >= {**kinds, "fine": "TEXT", "day": "DATE", "geometry": "GEOMETRY"}.items()


def test_geopackage_of_two_systems_is_longitude_latitude(tmp_path: Path, empty_dataset: Path) -> None:
    mixed = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "mixed"))
    mixed.add_features(geopandas.GeoDataFrame({"id": [1]}, geometry=[shapely.Point(500000, 0)], crs="EPSG:32633"))
    mixed.add_features(geopandas.GeoDataFrame({"id": [2]}, geometry=[shapely.Point(14, 2)], crs="EPSG:4326"))
    mixed.write_table("features", tmp_path / "f.gpkg")
    _, table = pyogrio.raw.read_arrow(tmp_path / "f.gpkg")
    assert pyogrio.read_info(tmp_path / "f.gpkg")["crs"] == "EPSG:4326"
    assert table["feature_id"].to_pylist() == [1, 2]
    assert table["geometry"].to_pylist() == mixed.features()["geometry"].to_pylist()
    mixed.write_table("features", tmp_path / "f.gpkg", feature_id=1)
    assert pyogrio.read_info(tmp_path / "f.gpkg")["crs"] == "EPSG:32633"


def test_csv_can_be_read_back(dataset: Dataset, tmp_path: Path) -> None:
    dataset.write_table("features", tmp_path / "f.csv")
    text = (tmp_path / "f.csv").read_bytes().decode()
    header, *rows = csv.reader(text.splitlines(keepends=True))
    assert header == dataset.features().column_names
    read = {name: [row[index] for row in rows] for index, name in enumerate(header)}
    assert read["ogc_fid"] == COLUMNS["ogc_fid"]
    assert read["fid"] == COLUMNS["fid"]
    assert read["big"] == [str(number) for number in COLUMNS["big"]]
    assert read["level"] == ["0.1", "inf", "-inf", ""]
    assert [datetime.datetime.fromisoformat(time) for time in read["fine"] if time] == list(
        filter(None, COLUMNS["fine"])
    )
    expected = dataset.features()["geometry"].to_pylist()
    assert [shapely.to_wkb(shapely.from_wkt(wkt)) for wkt in read["geometry"]] == expected
    lines = dataset.format_lines("features", "csv", columns=["class", "fid"])
    assert [line.partition(",")[2] for line in lines] == ["fid", "x", '""', "z", '""""']


@pytest.mark.parametrize("name", ["features", "rasters", "edges", "objects", "splits", "events", "tags", "classes"])
def test_all_tables_are_written_in_all_formats(name: str, sample_history: Any, tmp_path: Path) -> None:
    dataset = Dataset.open(sample_history.root)
    rows = dataset.count_rows(name)
    for suffix in ("csv", "tsv", "json", "parquet", "gpkg"):
        dataset.write_table(name, tmp_path / f"t.{suffix}")
    assert len(geopandas.read_file(tmp_path / "t.gpkg")) == rows
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == rows
    assert len(pd.read_csv(tmp_path / "t.csv")) == len(pd.read_csv(tmp_path / "t.tsv", sep="\t")) == rows
    assert len((tmp_path / "t.json").read_text().splitlines()) == rows


def test_geojson_has_identity_and_chosen_columns(dataset: Dataset, tmp_path: Path) -> None:
    dataset.write_table("features", tmp_path / "f.geojson", columns=["geom", "class"], limit=1)
    (feature,) = json.loads((tmp_path / "f.geojson").read_text())["features"]
    assert feature["properties"] == {"feature_id": "a", "geom": True, "class": "lake"}
    assert (feature["id"], feature["geometry"]["type"]) == ("a", "Point")
    dataset.write_table("features", tmp_path / "f.gpkg", columns=["geom"])
    assert read_rows(tmp_path / "f.gpkg", "SELECT feature_id, geom FROM features") == [
        *(("a", 1), ("b", 0), ("c", None), ("7", 1)),
    ]


def test_text_that_a_geopackage_lacks_is_refused(tmp_path: Path, empty_dataset: Path) -> None:
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    dataset.add_features(geopandas.GeoDataFrame({"id": [1], "t": ["a\0b"]}, geometry=SHAPES[:1], crs="EPSG:32633"))
    with pytest.raises(UsageError, match="column 't' has a text with a NUL character"):
        dataset.write_table("features", tmp_path / "f.gpkg")
    dataset.write_table("features", tmp_path / "f.gpkg", columns=["class"])
    assert read_rows(tmp_path / "f.gpkg", "SELECT feature_id, class FROM features") == [(1, "object")]


@pytest.mark.parametrize("suffix", ["gpkg", "csv", "parquet"])
def test_failed_write_keeps_the_file(
    suffix: str, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / f"f.{suffix}"
    target.write_text("kept")

    def fail(*_arguments: Any, **_options: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StorageError, match="cannot write"):
        dataset.write_table("features", target)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"f.{suffix}": "kept"}


def test_open_geopackage_is_not_replaced(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "f.gpkg-wal").write_text("")
    with pytest.raises(ConflictError, match="another program"):
        dataset.write_table("features", tmp_path / "f.gpkg")


def test_impossible_files_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("f.xyz", {}, "unknown suffix '.xyz'"),
        ("f.csv", {"format": "xls"}, "invalid format 'xls'. Use one of csv, tsv, geojson"),
        ("f.csv", {"columns": ["class", "depth"]}, "no column 'depth'. Its columns are feature_id, class"),
        ("f.csv", {"limit": -1}, "invalid limit -1"),
        ("f.csv", {"depth": 3}, "no column 'depth'"),
        ("f.csv", {"big": "many"}, "cannot have the value 'many'"),
    ]
    for path, options, reason in cases:
        with pytest.raises(UsageError, match=reason):
            dataset.write_table("features", tmp_path / path, **options)
    with pytest.raises(UsageError, match="no geometry"):
        dataset.write_table("edges", tmp_path / "f.geojson")
    with pytest.raises(StorageError, match="not a folder"):
        dataset.write_table("features", tmp_path / "missing" / "f.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"class_": "lake"}, "ac"),
        ({"class": ["lake", "river"]}, "ac"),
        ({"CLASS": "pond", "geom": True}, "7"),
        ({"geom": None}, "c"),
        ({"geom": [None, np.bool_(False)]}, "bc"),
        ({"feature_id": 7}, "7"),
        ({"big": np.int64(2**53 + 1)}, "a"),
        ({"big": pd.Series([0, 1])}, "7"),
        ({"level": [0.1, np.inf]}, "ab"),
        ({"level": pd.NA}, "7"),
        ({"day": "1899-12-31"}, "c"),
        ({"day": [datetime.date(1, 1, 1), pd.NaT]}, "ab"),
        ({"exact": np.datetime64("2020-01-01T00:00:59.999", "ns")}, "a"),
        ({"exact": pd.Timestamp("2020-01-01T01:00:59.998+01:00")}, "b"),
        ({"fine": "1960-12-31T23:59:59.123456Z"}, "a"),
        ({"fid": []}, ""),
        ({"fid": ""}, "b"),
    ],
)
def test_columns_are_filters(values: dict[str, Any], expected: str, dataset: Dataset) -> None:
    ids = [row["feature_id"] for row in dataset.features(**values).to_pylist()]
    assert "".join(ids) == expected
    assert dataset.count_rows("features", **values, limit=0) == len(expected)


def test_name_of_the_table_may_be_a_keyword(dataset: Any) -> None:
    assert dataset.read_table(name="features", at=2, limit=1).equals(dataset.features(limit=1).arrow)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("splits", {"part": ["train", None]}),
        ("edges", {"relation": "contains", "raster_id": "a"}),
        ("chips", {"parent_id": "a", "width": 16}),
        ("labels", {"label": "mask"}),
        ("objects", {"class_": "pond", "pixels": None}),
        ("rasters", {"collection": "around", "width": np.int16(16)}),
        ("tags", {"tag": "v1"}),
    ],
)
def test_all_tables_are_filtered_by_columns(name: str, values: dict[str, Any], sample_history: Any) -> None:
    dataset = Dataset.open(sample_history.root)
    expected = [
        row
        for row in dataset.read_table(name).to_pylist()
        if all(row[key.rstrip("_")] in (value if isinstance(value, list) else [value]) for key, value in values.items())
    ]
    assert dataset.read_table(name, **values).to_pylist() == expected
    assert expected
