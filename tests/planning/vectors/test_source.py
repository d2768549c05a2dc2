"""Vector source: files that crash GDAL, text in other encodings, and values that could not be read back."""

from __future__ import annotations

import json
import logging
import os
import random
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pytest
import shapely

from geographer.base.errors import CorruptError, GeographerError, NotFoundError, UsageError
from geographer.base.executors.isolated_script import IsolatedScript
from geographer.planning.vectors import gdal_files
from geographer.planning.vectors.text_files import parse_code_page

WKB = [shapely.to_wkb(shapely.Point(11, 47)), shapely.to_wkb(shapely.Point(12, 47))]
GEOARROW = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": json.dumps({"crs": "OGC:CRS84"})}


def make_table(values: pa.Array, name: str = "value") -> pa.Table:
    geometry = pa.field("geometry", pa.binary(), metadata=GEOARROW)
    fields = [pa.field("id", pa.string()), pa.field(name, values.type), geometry]
    return pa.table([pa.array(["a", "b"]), values, pa.array(WKB, pa.binary())], pa.schema(fields))


def write_shapefile(path: Path, name: bytes, code_page: str | None = None, language: int = 0) -> Path:
    """Write a Shapefile with the text `name` in the column of that name, as bytes of any encoding."""
    frame = geopandas.GeoDataFrame({"id": ["a"], "name": ["?" * len(name)]}, geometry=shapely.from_wkb(WKB[:1]))
    frame.set_crs("EPSG:4326").to_file(path)
    table = path.with_suffix(".dbf")
    content = bytearray(table.read_bytes().replace(b"?" * len(name), name))
    content[29] = language
    table.write_bytes(content)
    path.with_suffix(".cpg").unlink()
    if code_page is not None:
        path.with_suffix(".cpg").write_text(code_page)
    return path


@pytest.mark.parametrize(
    ("encoding", "code_page", "language"),
    [
        ("cp1252", "1252", 0),
        ("cp1252", "ANSI 1252", 0),
        ("cp1252", None, 0x57),
        ("cp437", None, 0x01),
        ("iso8859-15", "ISO 8859-15", 0),
        ("latin-1", "88591", 0x57),
        ("utf-8", "UTF-8", 0),
        ("utf-8", "65001", 0x57),
        ("utf-8", None, 0),
    ],
)
def test_shapefile_text_is_decoded(dataset, tmp_path, encoding, code_page, language):
    path = write_shapefile(tmp_path / "lakes.shp", "Zürich".encode(encoding), code_page, language)
    dataset.add_features(path)
    assert dataset.features()["name"].to_pylist() == ["Zürich"]


@pytest.mark.parametrize(("code_page", "language"), [(None, 0), ("UTF-8", 0), ("unknown", 0x57), ("1252", 0)])
def test_undecodable_text_is_refused(dataset, tmp_path, code_page, language):
    path = write_shapefile(tmp_path / "lakes.shp", b"Z\x81rich", code_page, language)
    with pytest.raises(UsageError, match=r"cannot read '.*lakes\.shp' as vector data"):
        dataset.add_features(path)
    assert dataset.status()["position"] == 1


def test_parse_code_page_knows_names():
    names = ["1252", "cp 437", "OEM 850", "Big5", "Windows-1251", "ISO88591", "utf8", "65001", "bogus", "", "99999"]
    expected = ["cp1252", "cp437", "cp850", "big5", "cp1251", "iso8859-1", "utf-8", "utf-8", None, None, None]
    assert [parse_code_page(name) for name in names] == expected


def test_crash_of_gdal_is_refused(dataset, tmp_path, monkeypatch):
    script = tmp_path / "crash.py"
    script.write_text("import os, signal; input(); os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(gdal_files, "_GDAL_READER", IsolatedScript(script))
    path = tmp_path / "lakes.fgb"
    path.write_bytes(b"")
    with pytest.raises(CorruptError, match=r"lakes\.fgb' cannot be read as vector data: GDAL crashed \(signal 11\)"):
        dataset.add_features(path)


def test_damaged_flatgeobuf_is_added_or_refused(dataset, tmp_path):
    path, boxes = tmp_path / "lakes.fgb", [shapely.box(i, i, i + 1, i + 1) for i in range(8)]
    geopandas.GeoDataFrame({"id": range(8)}, geometry=boxes, crs="EPSG:4326").to_file(path)
    content, generator, messages = path.read_bytes(), random.Random(1), []
    for _ in range(12):
        damaged = bytearray(content)
        for _ in range(5):
            damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            dataset.add_features(path, crs="EPSG:4326", dry_run=True)
        except GeographerError as error:
            messages.append(str(error))
    assert messages
    assert all("lakes.fgb" in message for message in messages)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([3_000_000, 1], pa.int32()).cast(pa.date32()), "outside of the years 1 to 9999"),
        (pa.array([-(10**17), 1], pa.timestamp("us")), "outside of the years 1 to 9999"),
        (pa.array([b"a", b"\xff"]).cast(pa.string(), safe=False), "column 'value': .*UTF8"),
    ],
)
def test_values_that_cannot_be_read_back_are_refused(dataset, values, message):
    with pytest.raises(UsageError, match=message):
        dataset.add_features(make_table(values))


@pytest.mark.parametrize("name", ["", "*", "(key)", "a\0b", "password=s3cret"])
def test_unusable_column_names_are_refused(dataset, name):
    with pytest.raises(UsageError, match="column"):
        dataset.add_features(make_table(pa.array(["x", "y"]), name))


def test_half_floats_are_read(dataset):
    dataset.add_features(make_table(pa.array([np.float16(1.5), np.float16(2)])))
    assert dataset.features()["value"].to_pylist() == [1.5, 2.0]


def test_odd_texts_and_names_are_read_back(dataset):
    values = pa.array(["a\0b", "\x01\u2028\U0001f600"])
    dataset.add_features(make_table(values, 'a"b\\c.d\n$'))
    assert dataset.features()['a"b\\c.d\n$'].to_pylist() == values.to_pylist()


def test_credentials_in_identifiers_are_refused(dataset):
    table = make_table(pa.array(["x", "https://a:b@c.org"]))
    with pytest.raises(UsageError, match=r"the feature id 'https://c\.org' holds a credential"):
        dataset.add_features(table, id="value")
    with pytest.raises(UsageError, match=r"the class name 'https://c\.org' holds a credential"):
        dataset.add_features(table, class_="value")


def test_credentials_in_columns_are_left_out(dataset, caplog):
    with caplog.at_level(logging.WARNING):
        dataset.add_features(make_table(pa.array(["https://c.org/?id=1", "https://c.org/?sig=2"])))
    assert dataset.features()["value"].to_pylist() == ["https://c.org/?id=1", "https://c.org/"]
    assert caplog.messages == ["column 'value' holds credentials, which are left out: the log keeps none"]


@pytest.mark.parametrize("data", [None, 5, ["a"], {"a": 1}, b"a", geopandas.GeoSeries(shapely.from_wkb(WKB))])
def test_other_data_is_refused(dataset, data):
    with pytest.raises(UsageError, match=r"is no vector data|cannot read the table"):
        dataset.add_features(data)


def test_input_that_is_no_file_is_refused(dataset, tmp_path):
    os.mkfifo(tmp_path / "pipe.gpkg")
    with pytest.raises(UsageError, match="is a pipe, a socket or a device"):
        dataset.add_features(tmp_path / "pipe.gpkg")
    with pytest.raises(UsageError, match="UTF-8"):
        dataset.add_features(str(tmp_path / os.fsdecode(b"\xff.gpkg")), dry_run=True)
    with pytest.raises(NotFoundError, match="no such file"):
        dataset.add_features("a\0b.gpkg")


@pytest.mark.parametrize("crs", [32633, "EPSG:32633", geopandas.GeoSeries(crs=32633).crs])
def test_crs_objects_are_accepted(dataset, crs):
    points = geopandas.GeoDataFrame({"id": ["a"]}, geometry=[shapely.Point(5e5, 5.2e6)])
    dataset.add_features(points, crs=crs)
    assert dataset.show().payload["crs"] == "EPSG:32633"
