"""Files of all kinds: layers, encodings, ids, times, wide integers, names, geometry columns, curves and CRSs."""

from __future__ import annotations

import json
import logging
import struct
import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pyogrio.raw
import pytest
import shapely

from geographer.base.errors import NotFoundError, UsageError
from geographer.planning.vectors.source import open_vector_source
from geographer.storage.database.connection import memory_connection
from tests.planning.vectors.test_source import write_shapefile

POINT = {"type": "Point", "coordinates": [11, 47]}
POINTS = [shapely.Point(11, 47), shapely.Point(12, 47)]
KML = '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>{}</Document></kml>'
PLACEMARK = "<Placemark{0}><name>{1}</name>{2}<Point><coordinates>11,47</coordinates></Point></Placemark>"


@pytest.fixture
def connection():
    with memory_connection() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def read_rows(connection, data, **options):
    """Return the rows of vector data as dictionaries, with the FID and the geometry as text."""
    with open_vector_source(connection, data, options.pop("crs", None), **options) as source:
        names = [*source.columns, *filter(None, [source.fid]), source.geometry]
        texts = ", ".join('"' + name.replace('"', '""') + '"::VARCHAR' for name in names)
        rows = connection.execute(f"SELECT {texts} FROM {source.relation}").fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]


def read_column(connection, data, name="value", **options):
    return [row[name] for row in read_rows(connection, data, **options)]


def make_frame(columns=None, geometry=POINTS, crs="EPSG:4326"):
    return geopandas.GeoDataFrame({"id": ["a", "b"]} if columns is None else columns, geometry=geometry, crs=crs)


def write_geojson(path: Path, *features, **members):
    """Write GeoJSON: a feature is its properties, with `_id` for the id beside them."""
    written = [
        {"type": "Feature", **({"id": values.pop("_id")} if "_id" in values else {}), "properties": values}
        | {"geometry": POINT}
        for values in map(dict, features)
    ]
    if path.suffix == ".geojsonl":
        path.write_text("\n".join(map(json.dumps, written)))
    else:
        path.write_text(json.dumps({"type": "FeatureCollection", "features": written, **members}))
    return path


@pytest.mark.parametrize("suffix", [".geojson", ".csv", ".mif", ".gml", ".gpkg", ".tab", ".fgb"])
def test_text_in_another_encoding_is_decoded_or_refused(connection, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    options = {"GEOMETRY": "AS_WKT"} if suffix == ".csv" else {}
    make_frame({"name": ["ZXrich", "b"]}).to_file(path, **options)
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes().replace(b"ZXrich", "Zürich".encode("cp1252")))
    with pytest.raises(UsageError, match=r"'name' that is not in the encoding utf-8|not well-formed.*--encoding"):
        read_rows(connection, path, crs="EPSG:4326")
    assert sorted(read_column(connection, path, "name", encoding="cp1252", crs="EPSG:4326")) == ["Zürich", "b"]


def test_column_name_in_another_encoding(connection, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("näme,WKT\nx,POINT (1 2)\n".encode("cp1252"))
    with pytest.raises(UsageError, match=r"the name of a column is not UTF-8. Pass its --encoding"):
        read_rows(connection, path, crs="EPSG:4326")
    assert read_column(connection, path, "näme", encoding="cp1252", crs="EPSG:4326") == ["x"]


@pytest.mark.parametrize(("encoding", "text"), [("shift_jis", "東京"), ("cp1251", "Москва"), ("gbk", "北京")])
def test_encoding_of_shapefile_can_be_given(connection, tmp_path, encoding, text):
    path = write_shapefile(tmp_path / "a.shp", text.encode(encoding))
    assert read_column(connection, path, "name", encoding=encoding) == [text]


@pytest.mark.parametrize(("language", "text"), [(0x57, "Zürich €"), (0x26, "Москва"), (0x13, "東京")])
def test_encoding_of_shapefile_follows_its_table(connection, tmp_path, language, text):
    encoding = {0x57: "cp1252", 0x26: "cp866", 0x13: "cp932"}[language]
    path = write_shapefile(tmp_path / "a.shp", text.encode(encoding), language=language)
    assert read_column(connection, path, "name") == [text]


def test_undecodable_text_names_row_and_column(connection, tmp_path):
    path = write_shapefile(tmp_path / "a.shp", "東京".encode("cp932") + b"\x81 x", language=0x13)
    for _ in range(2):
        # The second file is read by the same process, in which GDAL may not warn again.
        with pytest.raises(UsageError, match=r"row 1 has text in the column 'name' that is not in the encoding"):
            read_rows(connection, path)
    with pytest.raises(UsageError, match="unknown --encoding 'rot13'"):
        read_rows(connection, path, encoding="rot13")
    file = tmp_path / "a.csv"
    file.write_text("id,WKT\nä,POINT (1 2)\n")
    with pytest.raises(UsageError, match="line 2 is not in the encoding ascii"):
        read_rows(connection, file, encoding="ascii")


@pytest.mark.parametrize("ids", [[5, 3, 7], ["x", "y", "x"], [5, "x", 5], [5, 5, 6], [2**63 + 1, 1, 2], [5, None, 6]])
@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
def test_top_level_ids_are_read_as_written(connection, tmp_path, suffix, ids):
    path = write_geojson(tmp_path / f"a{suffix}", *({"_id": value, "n": n} for n, value in enumerate(ids)))
    rows = read_rows(connection, path)
    assert [row["id"] for row in rows] == [None if value is None else str(value) for value in ids]
    assert [row["n"] for row in rows] == ["0", "1", "2"]


def test_own_id_wins_over_top_level_id(connection, tmp_path):
    path = write_geojson(tmp_path / "a.geojson", {"_id": 5, "id": "own"}, {"_id": 5, "id": "second"})
    assert read_column(connection, path, "id") == ["own", "second"]


def test_own_id_in_capitals_wins(connection, tmp_path):
    path = write_geojson(tmp_path / "a.geojson", {"_id": 5, "ID": "own"})
    assert [name for name in read_rows(connection, path)[0] if name.lower() == "id"] == ["ID"]


@pytest.mark.parametrize("text", ["\ufeff{}", "\x1e{}\n\x1e{}\n", "{}\n{}\n"])
def test_top_level_ids_of_other_forms_are_read(connection, tmp_path, text):
    feature = {"type": "Feature", "id": 7, "properties": {"x": 1}, "geometry": POINT}
    (tmp_path / "a.geojsons").write_text(text.replace("{}", json.dumps(feature)), encoding="utf-8")
    assert set(read_column(connection, tmp_path / "a.geojsons", "id")) == {"7"}


def test_top_level_ids_beside_nan_are_read(connection, tmp_path):
    path = write_geojson(tmp_path / "a.geojson", {"_id": 5, "x": float("nan")}, {"_id": 5, "x": 1.0})
    assert read_column(connection, path, "id") == ["5", "5"]


def test_repeated_top_level_ids_are_refused(dataset, tmp_path):
    path = write_geojson(tmp_path / "a.geojson", {"_id": 5}, {"_id": 5})
    for column in (None, "OGC_FID", "fid"):
        with pytest.raises(Exception, match="its id stands twice in the file"):
            dataset.add_features(path, id=column)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**64 + 1, 10**30])
def test_wide_integers_keep_every_digit(connection, tmp_path, value):
    path = write_geojson(tmp_path / "a.geojson", {"value": value, "text": f"1, {value}, 2", "list": [value]})
    (row,) = read_rows(connection, path)
    assert (row["value"], row["text"]) == (str(value), f"1, {value}, 2")
    assert str(value) in row["list"]


def test_wide_integers_of_tables(connection):
    values = np.array([2**64 - 1, 1], np.uint64)
    assert read_column(connection, make_frame({"value": values})) == [str(2**64 - 1), "1"]
    with pytest.raises(UsageError, match="column 'value' has values of 'int'"):
        read_rows(connection, make_frame({"value": [2**64, 1]}))


TIMES = ["2020-01-01T09:00:00-05:00", "2020-01-01T09:00:00+05:30", "2020-01-01T09:00:00Z", "2020-01-01T09:00:00.5"]
INSTANTS = ["2020-01-01 14:00:00", "2020-01-01 03:30:00", "2020-01-01 09:00:00", "2020-01-01 09:00:00.5"]


@pytest.mark.parametrize("suffix", [".geojson", ".geojsonl"])
@pytest.mark.parametrize("chosen", [[0], [1], [0, 1], [0, 2], [0, 3], [3], [0, 1, 2, 3]])
def test_times_are_in_utc(connection, tmp_path, suffix, chosen):
    path = write_geojson(tmp_path / f"a{suffix}", *({"value": TIMES[index]} for index in chosen))
    zone = "" if 3 in chosen else "+00"
    assert read_column(connection, path) == [INSTANTS[index] + zone for index in chosen]


def test_short_fractions_of_seconds_are_cut_off(connection, tmp_path):
    """GDAL knows milliseconds; it ends such times with zero bytes."""
    times = ("2020-01-01T09:00:00.0004", "2020-01-01T09:00:12.000001+05:00", "2020-01-01T09:00:00.001")
    path = write_geojson(tmp_path / "a.geojson", *({"value": time} for time in times))
    assert read_column(connection, path) == ["2020-01-01 09:00:00", "2020-01-01 04:00:12", "2020-01-01 09:00:00.001"]


@pytest.mark.parametrize("suffix", [".gpkg", ".fgb", ".gml", ".parquet", ""])
def test_times_with_offset_are_in_utc_in_other_formats(connection, tmp_path, suffix):
    times = pd.to_datetime(["2020-01-01T09:00", "2020-06-01T10:30"], format="ISO8601").tz_localize("Etc/GMT+5")
    frame = make_frame({"value": times})
    data = tmp_path / f"a{suffix}"
    if not suffix:
        data = frame
    elif suffix == ".parquet":
        frame.to_parquet(data)
    else:
        frame.to_file(data)
    values = sorted(value.removesuffix("+00") for value in read_column(connection, data))
    assert values == ["2020-01-01 14:00:00", "2020-06-01 15:30:00"]


@pytest.mark.parametrize(("x", "y"), [("lon", "lat"), ("Longitude", "Latitude"), ("LNG", "lat")])
def test_columns_of_csv_become_points(connection, tmp_path, x, y):
    path = tmp_path / "airports.csv"
    path.write_text(f"icao,{y},{x}\nKX,40.5,-100.25\nKY,41.5,-101.25\n")
    rows = read_rows(connection, path, crs="EPSG:4326")
    assert [row["icao"] for row in rows] == ["KX", "KY"]
    assert [list(row.values())[-1] for row in rows] == ["POINT (-100.25 40.5)", "POINT (-101.25 41.5)"]
    with pytest.raises(UsageError, match=r"has no CRS\. Pass --crs"):
        read_rows(connection, path)


NAMES = ("geom", "OGC_FID", "fid", "wkb_geometry", "geometry", "unsupported_geometry", "c0")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", [".geojson", ".csv"])
def test_attribute_may_have_any_name(connection, tmp_path, name, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        path.write_text(f"{name},WKT\nnorth gate,POINT (11 47)\n")
    else:
        write_geojson(path, {name: "north gate"})
    (row,) = read_rows(connection, path, crs="EPSG:4326")
    assert row[name] == "north gate"
    assert list(row.values())[-1] == "POINT (11 47)"


def test_names_that_stand_twice_or_differ_in_case(connection, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("n,N,WKT\n1,2,POINT (11 47)\n")
    (row,) = read_rows(connection, path, crs="EPSG:4326")
    assert (row["n"], row["N_1"]) == ("1", "2")
    (row, _) = read_rows(connection, make_frame({"n": [1, 2], "N": ["x", "y"]}))
    assert (row["n"], row["N_1"]) == ("1", "x")
    shapefile = write_shapefile(tmp_path / "b.shp", b"x")
    table = shapefile.with_suffix(".dbf")
    table.write_bytes(table.read_bytes().replace(b"name\0", b"id\0\0\0"))
    (row,) = read_rows(connection, shapefile)
    assert (row["id"], row["id_1"]) == ("a", "x")


def test_fid_has_the_name_of_the_format(connection, tmp_path):
    formats = {
        ".gpkg": ("GPKG", "fid", "1"),
        ".geojson": ("GeoJSON", "OGC_FID", "0"),
        ".db": ("SQLite", "ogc_fid", "1"),
    }
    for suffix, (driver, name, first) in formats.items():
        make_frame().to_file(tmp_path / f"a{suffix}", driver=driver)
        with open_vector_source(connection, tmp_path / f"a{suffix}", None) as source:
            assert (source.fid, source.require_column("fid")) == (name, name)
            assert source.column_type(name) == "BIGINT"
        assert read_column(connection, tmp_path / f"a{suffix}", name)[0] == first
    with open_vector_source(connection, make_frame(), None) as source:
        assert source.fid is None


@pytest.mark.parametrize("name", ["t[1]", "t*", "t?", "t!1", "t#%", "t'1", "t{1}", "http:t"])
@pytest.mark.parametrize("suffix", [".parquet", ".gpkg"])
def test_named_file_is_read(connection, tmp_path, name, suffix):
    for stem in (name, "t1"):
        frame, path = make_frame({"id": [stem, "b"]}), tmp_path / f"plain{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_file(path, layer="layer")
        path.rename(tmp_path / f"{stem}{suffix}")
    assert read_column(connection, tmp_path / f"{name}{suffix}", "id") == [name, "b"]


def test_primary_or_active_geometry_is_read(connection, tmp_path):
    frame = make_frame()
    frame.insert(1, "centre", geopandas.GeoSeries([shapely.Point(0, 1)] * 2, crs="EPSG:3857"))
    frame.to_parquet(tmp_path / "a.parquet")
    expected = [{"id": "a", "centre": "POINT (0 1)", "geometry": "POINT (11 47)"}]
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet")
    for data in (frame, tmp_path / "a.parquet", table):
        assert read_rows(connection, data)[:1] == expected
    with open_vector_source(connection, frame.set_geometry("centre"), None) as source:
        assert (source.geometry, source.crs) == ("centre", "EPSG:3857")


def test_geometries_in_another_encoding_are_named(connection):
    table = pa.table(make_frame().to_arrow(geometry_encoding="geoarrow"))
    with pytest.raises(UsageError, match=r"column 'geometry' of 'the table' has geometries in the encoding geoarrow"):
        read_rows(connection, table)


def test_layers_are_chosen_by_name(connection, tmp_path, caplog):
    path = tmp_path / "a.gpkg"
    for layer, ids in (("empty", []), ("lakes", ["a", "b"]), ("woods", ["c", "d"])):
        make_frame({"id": np.array(ids, object)}, POINTS[: len(ids)]).to_file(path, layer=layer)
    with caplog.at_level(logging.WARNING):
        assert read_column(connection, path, "id") == ["a", "b"]
    assert caplog.messages == [
        f"'{path}' has several layers: 'lakes' is read, and not the layer 'woods'; choose with --layer"
    ]
    assert read_column(connection, path, "id", layer="woods") == ["c", "d"]
    with pytest.raises(NotFoundError, match=r"has no layer 'x'. Its layers are 'empty', 'lakes', 'woods'"):
        read_rows(connection, path, layer="x")


DATA = '<Data name="depth"><value>31</value></Data><Data name="id"><value>own</value></Data>'
SCHEMA = '<Schema name="s" id="s"><SimpleField name="depth" type="int"/></Schema>'
SCHEMA_DATA = '<SchemaData schemaUrl="#s"><SimpleData name="depth">31</SimpleData></SchemaData>'


@pytest.mark.parametrize("suffix", [".kml", ".kmz"])
def test_extended_data_of_kml_is_read(connection, tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for extended, prefix, expected in (
        (DATA, "", {"Name": "a", "Description": "", "depth": "31", "id": "own"}),
        (SCHEMA_DATA, SCHEMA, {"Name": "a", "Description": "", "depth": "31"}),
    ):
        text = KML.format(prefix + PLACEMARK.format("", "a", f"<ExtendedData>{extended}</ExtendedData>"))
        if suffix == ".kmz":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("doc.kml", text)
        else:
            path.write_text(text)
        (row,) = read_rows(connection, path)
        del row["OGC_FID"], row["geom"]
        assert row == expected


def test_folders_of_kml_are_layers(connection, tmp_path):
    folders = [f"<Folder><name>{name}</name>{PLACEMARK.format('', name, '')}</Folder>" for name in ("lakes", "woods")]
    (tmp_path / "a.kml").write_text(KML.format("".join(folders)))
    assert read_column(connection, tmp_path / "a.kml", "Name", layer="woods") == ["woods"]


def make_curve() -> bytes:
    """Return WKB of a CurvePolygon: a circle."""
    points = [(11.0, 47.0), (11.5, 47.5), (12.0, 47.0), (11.5, 46.5), (11.0, 47.0)]
    circle = b"\1" + struct.pack("<II", 8, len(points)) + b"".join(struct.pack("<dd", *point) for point in points)
    return b"\1" + struct.pack("<II", 10, 1) + circle


def make_tin() -> bytes:
    """Return WKB of a TIN of one triangle."""
    points = [(11.0, 47.0), (12.0, 47.0), (12.0, 48.0), (11.0, 47.0)]
    triangle = b"\1" + struct.pack("<III", 17, 1, len(points)) + b"".join(struct.pack("<dd", *xy) for xy in points)
    return b"\1" + struct.pack("<II", 16, 1) + triangle


def write_wkb(path: Path, wkb: bytes) -> Path:
    geometries = np.array([POINTS[0].wkb, wkb], object)
    names = [np.array(["plain", "odd"], object)]
    if path.suffix == ".parquet":
        column = {"encoding": "WKB", "geometry_types": []}
        metadata = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": column}}
        table = pa.table({"id": names[0], "geometry": pa.array(geometries, pa.binary())})
        pyarrow.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(metadata)}), path)
    else:
        pyogrio.raw.write(str(path), geometries, names, ["id"], geometry_type="Unknown", crs="EPSG:4326")
    return path


@pytest.mark.parametrize("suffix", [".fgb", ".gpkg", ".gml"])
def test_curves_become_chords_of_4_degrees(connection, tmp_path, suffix):
    path = write_wkb(tmp_path / f"a{suffix}", make_curve())
    (text,) = [list(row.values())[-1] for row in read_rows(connection, path) if row["id"] == "odd"]
    assert shapely.get_num_coordinates(shapely.from_wkt(text)) == 91
    assert shapely.from_wkt(text).area == pytest.approx(np.pi / 4, rel=1e-3)


ARC = """<?xml version="1.0"?><ogr:FeatureCollection xmlns:ogr="http://ogr.maptools.org/"
xmlns:gml="http://www.opengis.net/gml/3.2"><ogr:featureMember><ogr:x gml:id="x.0"><ogr:geometryProperty>
<gml:Curve srsName="urn:ogc:def:crs:EPSG::32633"><gml:segments><gml:Arc><gml:posList>0 0 1 1 2 0</gml:posList></gml:Arc>
</gml:segments></gml:Curve></ogr:geometryProperty></ogr:x></ogr:featureMember></ogr:FeatureCollection>"""


def test_arcs_of_layers_of_lines_become_chords(connection, tmp_path):
    (tmp_path / "a.gml").write_text(ARC)
    (row,) = read_rows(connection, tmp_path / "a.gml")
    assert shapely.get_num_coordinates(shapely.from_wkt(row["geometryProperty"])) == 46


@pytest.mark.filterwarnings("ignore:Registering non-standard")
@pytest.mark.parametrize(("suffix", "wkb"), [(".fgb", make_tin()), (".gpkg", make_tin()), (".parquet", make_curve())])
def test_other_geometries_are_named_and_skipped(dataset, tmp_path, suffix, wkb):
    path = write_wkb(tmp_path / f"a{suffix}", wkb)
    with pytest.raises(UsageError, match=r"cannot add 'odd' from '.*': its geometry cannot be read"):
        dataset.add_features(path)
    dataset.add_features(path, on_error="skip")
    assert dataset.features()["feature_id"].to_pylist() == ["plain"]


@pytest.mark.parametrize("crs", ["EPSG:4978", "EPSG:5773", "EPSG:7789", "+proj=geocent +datum=WGS84"])
def test_crs_without_longitudes_is_refused(connection, crs):
    with pytest.raises(UsageError, match="has no way to longitude and latitude"):
        read_rows(connection, make_frame(crs=None), crs=crs)


@pytest.mark.parametrize("crs", ["EPSG:4979", "EPSG:4326+5773", "EPSG:3031", "+proj=geos +h=35785831", "EPSG:2180"])
def test_crs_with_longitudes_is_accepted(connection, crs):
    with open_vector_source(connection, make_frame(crs=None), crs) as source:
        assert source.crs == ("EPSG:4326" if crs == "EPSG:4979" else crs)


def test_crs_without_code_has_the_text_of_duckdb(connection, tmp_path):
    make_frame(crs=None).set_crs("ESRI:102001").to_file(tmp_path / "a.gpkg")
    with open_vector_source(connection, tmp_path / "a.gpkg", None) as source:
        assert source.crs.startswith('{"$schema":"https://proj.org/schemas/v0.5/projjson.schema.json"')
    make_frame(crs="OGC:CRS84").to_file(tmp_path / "b.gpkg")
    with open_vector_source(connection, tmp_path / "b.gpkg", None) as source:
        assert source.crs == "EPSG:4326"


@pytest.mark.parametrize(
    ("make_data", "message"),
    [
        (lambda: make_frame().set_axis(pd.MultiIndex.from_tuples([("a", "id"), ("b", "g")]), axis=1), "several levels"),
        (lambda: make_frame({"x": [1, 2], "y": [3, 4]}).set_axis(["x", "x", "geometry"], axis=1), "'x' names several"),
        (lambda: make_frame({"x": [1, "a"]}), r"column 'x' has values of 'int', 'str'.*astype\(str\)"),
        (lambda: make_frame({"x": [1j, 2]}), "column 'x' has values of 'complex'"),
        (lambda: geopandas.GeoDataFrame({"id": ["a"]}), "no active geometry. Call set_geometry"),
        (lambda: geopandas.GeoSeries(POINTS, crs="EPSG:4326"), "to_frame"),
        (lambda: pd.DataFrame({"a": [1]}), "has no geometry column"),
    ],
)
def test_odd_frames_are_refused_with_a_reason(connection, make_data, message):
    with pytest.raises(UsageError, match=message):
        read_rows(connection, make_data())


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.period_range("2020-01", periods=2, freq="M"), ["2020-01", "2020-02"]),
        (pd.interval_range(0, 2), ["(0, 1]", "(1, 2]"]),
        (pd.Categorical([3, 4]), ["3", "4"]),
        ([[1, 2], None], ["[1, 2]", None]),
        (pd.array([1, None], "Int64"), ["1", None]),
    ],
)
def test_odd_values_of_frames_are_read(connection, values, expected):
    assert read_column(connection, make_frame({"value": values})) == expected


def test_index_with_names_becomes_columns(connection):
    frame = make_frame({"x": [1, 2], "y": ["a", "b"]}).set_index(["x", "y"])
    assert [(row["x"], row["y"]) for row in read_rows(connection, frame)] == [("1", "a"), ("2", "b")]
    assert read_rows(connection, make_frame({"id": []}, [])) == []


def test_options_of_files_are_refused_for_tables(connection):
    for options in ({"layer": "x"}, {"encoding": "cp1252"}):
        with pytest.raises(UsageError, match="tables have one layer, and text in UTF-8"):
            read_rows(connection, make_frame(), **options)
