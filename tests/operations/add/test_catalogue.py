"""Add catalogues: footprints without pixels from vector data and STAC items; edges are compared with shapely."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import geopandas
import pyarrow as pa
import pyproj
import pytest
import shapely

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from tests.sample_rasters import CUSTOM_CRS

UTM = "EPSG:32633"
GRID = {"proj:transform": [10, 0, 500_000, 0, -10, 5_200_000, 0, 0, 1], "proj:shape": [100, 200]}
EXACT = shapely.box(500_000, 5_199_000, 502_000, 5_200_000)
"""The area of GRID, in UTM."""
LOOSE_BOX = shapely.box(14.9, 46.9, 15.1, 47.0)
"""A larger box around EXACT, in degrees."""
UNSPLIT_RING = [(179, -10), (-179, -10), (-179, -9), (179, -9)]
"""A polygon across the antimeridian that is not split."""


def make_frame(crs: Any = "EPSG:4326", **columns: Any) -> geopandas.GeoDataFrame:
    """Make two adjacent footprints."""
    boxes = columns.pop("geometry", [shapely.box(11, 47, 12, 48), shapely.box(12, 47, 13, 48)])
    return geopandas.GeoDataFrame({"id": ["a", "b"], **columns}, geometry=boxes, crs="EPSG:4326").to_crs(crs)


def make_item(name: Any = "s", geometry: Any = LOOSE_BOX, **more: Any) -> dict[str, Any]:
    """Make a STAC item."""
    properties = {"datetime": "2020-02-29T12:00:00Z", **more.pop("properties", {})}
    mapped = shapely.geometry.mapping(geometry) if isinstance(geometry, shapely.Geometry) else geometry
    required = {"type": "Feature", "stac_version": "1.0.0", "id": name, "links": [], "assets": {}}
    return {**required, "geometry": mapped, "properties": properties, **more}


def write_items(folder: Path, *items: dict[str, Any], name: str = "items.json") -> Path:
    content = items[0] if len(items) == 1 else {"type": "FeatureCollection", "features": list(items)}
    (folder / name).write_text(json.dumps(content))
    return folder / name


def read_outlines(dataset: Any) -> dict[str, tuple[Any, str]]:
    """Return each footprint and its CRS as the log records them."""
    rows = dataset.sql("SELECT raster_id, outline, crs FROM chain_raster_change ORDER BY position, ordinal").to_pylist()
    return {row["raster_id"]: (shapely.from_wkb(row["outline"]), row["crs"]) for row in rows}


def list_raster_rows(dataset: Any) -> list[dict[str, Any]]:
    return dataset.rasters().drop_columns(["footprint"]).to_pylist()


def read_relations(dataset: Any) -> dict[tuple[str, str], str]:
    return {(row["feature_id"], row["raster_id"]): row["relation"] for row in dataset.edges().to_pylist()}


def test_catalogue_reads_every_container(dataset, tmp_path):
    containers = ["geojson", "gpkg", "parquet", "table", "frame"]
    for container in containers:
        data: Any = make_frame(cloud=[1.5, 2.0]).assign(id=[f"{container} a", f"{container} b"])
        if container == "table":
            data = pa.table(data.to_arrow(index=False))
        elif container != "frame":
            path = tmp_path / f"footprints.{container}"
            data.to_parquet(path) if container == "parquet" else data.to_file(path)
            data = path
        result = dataset.add_catalogue(data)
        assert (result.kind, result.summary["rasters"]) == ("catalogue_added", 2)
    actual = dataset.rasters().to_geopandas().set_index("raster_id")
    for container in containers:
        for name, box in zip("ab", make_frame().geometry, strict=True):
            assert actual.geometry[f"{container} {name}"].equals(box)
    assert actual["cloud"].to_list() == [1.5, 2.0] * len(containers)
    without_pixels = ("path", "width", "height", "md5", "sha256", "pixel_digest", "acquired")
    for row in list_raster_rows(dataset):
        assert {row[name] for name in without_pixels} == {None}
        assert (row["collection"], row["crs"]) == ("catalogue", "EPSG:4326")


def test_footprint_edges_are_straight_in_own_crs(dataset, tmp_path):
    # Footprint edges are straight in their own CRS; in degrees these bend by kilometres.
    systems = {UTM: (15, 47), CUSTOM_CRS: (11, 60), "EPSG:3031": (15, -80)}
    boxes = {}
    for number, (crs, point) in enumerate(systems.items()):
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*point)
        boxes[crs] = shapely.box(x - 300_000, y - 300_000, x + 300_000, y + 300_000)
        data = geopandas.GeoDataFrame({"raster_id": [crs]}, geometry=[boxes[crs]], crs=crs)
        data.to_parquet(tmp_path / "footprints.parquet")
        edge = [shapely.Point(x + dx, y + side) for dx in (-299_990, 0, 299_990) for side in (299_990, 300_010)]
        ids = [10 * number + i for i in range(6)]
        dataset.add_features(geopandas.GeoDataFrame({"id": ids}, geometry=edge, crs=crs).to_crs("EPSG:4326"))
        dataset.add_catalogue(tmp_path / "footprints.parquet")
    for number, crs in enumerate(systems):
        feature_ids = {10 * number + i for i in range(6)}
        assert feature_ids & set(dataset.features_contained_in(crs)) == {10 * number + i for i in (0, 2, 4)}
        assert feature_ids & set(dataset.features_intersecting(crs)) == {10 * number + i for i in (0, 2, 4)}
        outline, recorded_crs = read_outlines(dataset)[crs]
        assert outline.equals(boxes[crs])
        assert pyproj.CRS(recorded_crs) == pyproj.CRS(crs)


def test_crs_option_overrides_stated_crs(dataset):
    metres = make_frame(UTM).set_crs("EPSG:4326", allow_override=True)
    with pytest.raises(
        UsageError,
        match=r"cannot add 'a', 'b' from 'the table': its footprint is out of range. Pass its CRS with --crs",
    ):
        dataset.add_catalogue(metres)
    dataset.add_catalogue(metres, crs=UTM)
    assert {crs for _, crs in read_outlines(dataset).values()} == {UTM}


def test_catalogue_reads_ids_times_user_columns(dataset):
    columns = {"tile": [7, 8], "taken": ["2020-02-29T12:00:00Z", None], "width": [1, 2], "Footprint": ["x", "y"]}
    dataset.add_catalogue(make_frame(**columns), id="tile", acquired="taken")
    first, second = list_raster_rows(dataset)
    assert (first["raster_id"], first["id"], first["width_"], first["Footprint_"]) == ("7", "a", 1, "x")
    assert (first["acquired"], second["acquired"]) == (datetime.datetime(2020, 2, 29, 12), None)
    assert dataset.rasters(where="width_ > 1 AND acquired IS NULL")["raster_id"].to_pylist() == ["8"]


def test_catalogue_has_edges_but_no_pixels(dataset):
    points = [shapely.Point(11.5, 47.5), shapely.Point(12, 47.5), shapely.Point(14, 47.5)]
    dataset.add_catalogue(make_frame())
    dataset.add_features(geopandas.GeoDataFrame({"id": list("xyz")}, geometry=points, crs="EPSG:4326"))
    assert read_relations(dataset) == {("x", "a"): "contains", ("y", "a"): "intersects", ("y", "b"): "intersects"}
    head = dataset.show().digest
    with pytest.raises(UsageError, match="collection 'catalogue' has footprints without pixels"):
        dataset.cut_grid("chips", size=16, source="catalogue")
    with pytest.raises(UsageError, match="collection 'catalogue' has footprints without pixels"):
        dataset.label_masks("mask", collection="catalogue")
    assert dataset.show().digest == head


PROJECTED = [
    ({"proj:code": UTM, **GRID}, {}),
    ({"proj:epsg": 32633, **GRID}, {}),
    ({"proj:epsg": None, "proj:wkt2": pyproj.CRS(UTM).to_wkt(), **GRID}, {}),
    ({"proj:projjson": pyproj.CRS(UTM).to_json_dict(), **GRID}, {}),
    ({"proj:code": UTM, "proj:bbox": [500_000, 5_199_000, 502_000, 5_200_000]}, {}),
    ({"proj:code": UTM, "proj:bbox": [500_000, 5_199_000, 0, 502_000, 5_200_000, 900]}, {}),
    ({"proj:code": UTM, "proj:geometry": shapely.geometry.mapping(shapely.force_3d(EXACT, 5))}, {}),
    ({"proj:code": UTM}, {"thumbnail": {"href": "t.png"}, "B02": {"href": "B02.tif", **GRID}}),
]
"""Properties and assets of items that cover EXACT."""


def test_projection_extension_gives_exact_footprint(dataset, tmp_path):
    items = [
        make_item(str(i), properties=properties, assets=assets) for i, (properties, assets) in enumerate(PROJECTED)
    ]
    dataset.add_catalogue(write_items(tmp_path, *items))
    actual = read_outlines(dataset)
    assert list(actual) == [str(i) for i in range(len(PROJECTED))]
    for name, (outline, crs) in actual.items():
        assert outline.equals(EXACT), name
        assert not outline.has_z
        assert pyproj.CRS(crs) == pyproj.CRS(UTM), name


def test_items_without_projection_are_in_degrees(dataset, tmp_path):
    variants: list[dict[str, Any]] = [{}, {"proj:code": None, **GRID}, {"proj:epsg": None}, {"proj:code": UTM}]
    dataset.add_catalogue(
        write_items(tmp_path, *(make_item(str(i), properties=properties) for i, properties in enumerate(variants)))
    )
    actual = read_outlines(dataset)
    assert len(actual) == len(variants)
    assert all(outline.equals(LOOSE_BOX) and crs == "EPSG:4326" for outline, crs in actual.values())


def test_stac_items_give_ids_times_properties(dataset, tmp_path):
    first = {"eo:cloud_cover": 12, "gsd": 10.0, "platform": "A", "best": True, "bands": [1], "width": 5, "none": None}
    second = {"datetime": None, "start_datetime": "2020-02-29T13:00:00.5+01:00", "gsd": 20, "platform": 7}
    path = write_items(
        tmp_path, make_item("S2A", properties={**first, "proj:code": UTM, **GRID}), make_item(42, properties=second)
    )
    result = dataset.add_catalogue(path)
    assert result.summary == {"source": str(path), "collection": "catalogue", "rasters": 2}
    rows = list_raster_rows(dataset)
    types = {name: str(dataset.rasters().schema.field(name).type) for name in ("eo:cloud_cover", "gsd", "best")}
    assert types == {"eo:cloud_cover": "int64", "gsd": "double", "best": "bool"}
    assert [row["raster_id"] for row in rows] == ["S2A", "42"]
    assert [row["acquired"].isoformat() for row in rows] == ["2020-02-29T12:00:00", "2020-02-29T12:00:00.500000"]
    assert [row["gsd"] for row in rows] == [10.0, 20.0]
    assert [row["platform"] for row in rows] == ["A", "7"]
    assert (rows[0]["width"], rows[0]["width_"], rows[1]["best"]) == (None, 5, None)
    assert not {"proj:code", "bands", "none"} & rows[0].keys()
    where = '"eo:cloud_cover" < 20 AND best'
    assert dataset.rasters(where=where)["raster_id"].to_pylist() == ["S2A"]


def test_catalogue_accepts_nan_property(dataset, tmp_path):
    path = write_items(tmp_path, make_item(properties={"gsd": math.nan}))
    dataset.add_catalogue(path)
    assert [json.loads(line)["gsd"] for line in dataset.format_json_lines("rasters")] == ["nan"]


SPLIT_POLYGON = shapely.MultiPolygon([shapely.box(179, -10, 180, -9), shapely.box(-180, -10, -179, -9)])
UNSPLIT_POLYGON = {"type": "Polygon", "coordinates": [[*map(list, UNSPLIT_RING), list(UNSPLIT_RING[0])]]}


ANTIMERIDIAN_ITEMS = [
    make_item("split", geometry=SPLIT_POLYGON),
    make_item("unsplit, with bbox", geometry=UNSPLIT_POLYGON, bbox=[179, -10, -179, -9]),
    make_item("unsplit, with the bbox of its vertices", geometry=UNSPLIT_POLYGON, bbox=[-179, -10, 179, -9]),
    make_item("unsplit, without bbox", geometry=UNSPLIT_POLYGON),
    make_item(
        "unsplit, several parts", geometry={"type": "MultiPolygon", "coordinates": [UNSPLIT_POLYGON["coordinates"]]}
    ),
    make_item(
        "unsplit outline",
        geometry=UNSPLIT_POLYGON,
        properties={"proj:code": "EPSG:4326", "proj:geometry": UNSPLIT_POLYGON},
    ),
    make_item(
        "crossing outline",
        geometry=UNSPLIT_POLYGON,
        properties={"proj:code": "EPSG:4326", "proj:bbox": [179, -10, -179, -9]},
    ),
    make_item("unsplit, with 3D bbox", geometry=UNSPLIT_POLYGON, bbox=[179, -10, 0, -179, -9, 100]),
    make_item("beyond 180", geometry=shapely.box(179, -10, 181, -9)),
    make_item("beyond -180", geometry=shapely.box(-181, -10, -179, -9)),
]


def test_antimeridian_footprint_is_narrow(dataset, tmp_path):
    points = {
        "east": shapely.Point(179.5, -9.5),
        "west": shapely.Point(-179.5, -9.5),
        "opposite": shapely.Point(0, -9.5),
        "north": shapely.Point(179.5, -8.5),
        "beside": shapely.Point(178.5, -9.5),
        "across": shapely.MultiLineString([[(179.4, -9.5), (180, -9.5)], [(-180, -9.5), (-179.2, -9.5)]]),
        "edge": shapely.LineString([(-179.5, -9.5), (-178.5, -9.5)]),
    }
    dataset.add_features(geopandas.GeoDataFrame({"id": list(points)}, geometry=list(points.values()), crs="EPSG:4326"))
    dataset.add_catalogue(write_items(tmp_path, *ANTIMERIDIAN_ITEMS))
    table = geopandas.GeoDataFrame({"id": ["table"]}, geometry=[shapely.Polygon(UNSPLIT_RING)], crs="EPSG:4326")
    table.to_parquet(tmp_path / "items.parquet")
    dataset.add_catalogue(tmp_path / "items.parquet")
    actual = read_relations(dataset)
    for name in [*(data["id"] for data in ANTIMERIDIAN_ITEMS), "table"]:
        contained = dict.fromkeys(("east", "west", "across"), "contains")
        raster_relations = {feature: relation for (feature, raster), relation in actual.items() if raster == name}
        assert raster_relations == {**contained, "edge": "intersects"}, name


def test_invalid_footprint_across_antimeridian_is_rejected(unchanged_dataset, tmp_path):
    bow_tie = shapely.Polygon([(170, 0), (-170, 10), (-170, 0), (170, 10)])
    message = "crosses the antimeridian and is invalid: Self-intersection"
    with pytest.raises(UsageError, match=f"STAC item 's' has an invalid .* {message}"):
        unchanged_dataset.add_catalogue(write_items(tmp_path, make_item(geometry=bow_tie)))
    with pytest.raises(UsageError, match=f"cannot add 'a'.* {message}"):
        unchanged_dataset.add_catalogue(make_frame(geometry=[bow_tie, LOOSE_BOX]))


def test_projected_antimeridian_item_is_exact(dataset, tmp_path):
    box = [-300_000, 8_850_000, 900_000, 8_950_000]
    projection = {"proj:code": "EPSG:32701", "proj:bbox": box}
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32701", always_xy=True)
    points = [(lon, lat) for lon in (176, 178, 179.9, -179.9, -178, -174, -172, 0) for lat in (-10.6, -10, -9.4)]
    data = geopandas.GeoDataFrame({"id": range(len(points))}, geometry=[shapely.Point(p) for p in points], crs=4326)
    dataset.add_features(data)
    dataset.add_catalogue(write_items(tmp_path, make_item(geometry=UNSPLIT_POLYGON, properties=projection)))
    inside = shapely.box(*box)
    # Transverse Mercator is not invertible far from its zone.
    expected = [
        i for i, (lon, lat) in enumerate(points) if lon and inside.contains(shapely.Point(to_utm.transform(lon, lat)))
    ]
    assert 4 < len(expected) < len(points) - 4
    assert dataset.features_contained_in("s") == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (make_item(geometry=None), "cannot add 's' from '.*': it has no footprint"),
        (make_item(None), "cannot add 'row 1' from '.*': it has no id"),
        (make_item(geometry=shapely.Point(1, 2)), "its footprint is not a polygon"),
        (make_item(geometry=shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])), "its footprint is invalid"),
        (make_item(geometry=shapely.box(0, 0, 1, 100)), "its footprint is out of range"),
        (
            make_item(geometry={"type": "Polygon", "coordinates": "x"}),
            "STAC item 's' has an invalid geometry or projection",
        ),
        (make_item(properties={"proj:code": "EPSG:99999", **GRID}), "unknown CRS 'EPSG:99999'"),
        (
            make_item(properties={"proj:code": UTM, **GRID, "proj:shape": [1]}),
            "STAC item 's' has an invalid geometry or projection",
        ),
        (make_item(properties={"proj:code": UTM, "proj:bbox": [1e9, 1e9, 2e9, 2e9]}), "its footprint is out of range"),
        (make_item(properties={"datetime": "yesterday"}), "STAC item 's' has the invalid time 'yesterday'"),
    ],
)
def test_invalid_stac_item_is_rejected(unchanged_dataset, tmp_path, data, message):
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.add_catalogue(write_items(tmp_path, data))


def test_stac_items_reject_column_options(unchanged_dataset, tmp_path):
    for options in ({"id": "x"}, {"crs": UTM}, {"acquired": "datetime"}):
        with pytest.raises(UsageError, match="--id, --crs and --acquired do not apply to STAC items"):
            unchanged_dataset.add_catalogue(write_items(tmp_path, make_item()), **options)


def test_invalid_footprints_are_rejected(unchanged_dataset, tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    box = shapely.box(0, 0, 1, 1)
    cases = [
        (
            UsageError,
            make_frame(geometry=[box, bow_tie]),
            {},
            "cannot add 'b' from 'the table': its footprint is invalid",
        ),
        (UsageError, make_frame(geometry=[box, None]), {}, "cannot add 'b' from 'the table': it has no footprint"),
        (UsageError, make_frame(geometry=[box, box.exterior]), {}, "its footprint is not a polygon"),
        (UsageError, make_frame().assign(id=[None, "b"]), {}, "cannot add 'row 1' from 'the table': it has no id"),
        (UsageError, make_frame().rename(columns={"id": "tile"}), {}, "Pass --id COLUMN. Its columns: tile"),
        (UsageError, make_frame(when=["x", "y"]), {"acquired": "when"}, "cannot read 'the table'.*timestamp"),
        (
            ConflictError,
            make_frame().assign(id="a"),
            {},
            "cannot add 'a', 'a' from 'the table': its id occurs more than once",
        ),
        (NotFoundError, make_frame(), {"id": "tile"}, "has no column 'tile'. Its columns are id"),
        (NotFoundError, make_frame(), {"acquired": "when"}, "has no column 'when'. Its columns are id"),
        (NotFoundError, tmp_path / "nowhere.parquet", {}, "no such file"),
    ]
    for error, data, options, message in cases:
        with pytest.raises(error, match=message):
            unchanged_dataset.add_catalogue(data, **options)


def test_existing_raster_ids_are_rejected(dataset):
    dataset.add_catalogue(make_frame())
    with pytest.raises(ConflictError, match="cannot add 'b' from 'the table': its id is already in the dataset"):
        dataset.add_catalogue(make_frame().assign(id=["c", "b"]))
    dataset.remove_rasters(["b"])
    dataset.add_catalogue(make_frame().assign(id=["c", "b"]))
    assert dataset.rasters()["raster_id"].to_pylist() == ["a", "c", "b"]


def test_truncated_flatgeobuf_is_damaged(unchanged_dataset, tmp_path):
    box = shapely.box(0, 0, 1, 1)
    features = geopandas.GeoDataFrame({"id": [f"{i:060}" for i in range(200)]}, geometry=[box] * 200, crs="EPSG:4326")
    features.to_file(tmp_path / "many.fgb")
    content = (tmp_path / "many.fgb").read_bytes()
    (tmp_path / "many.fgb").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptError, match=r"many\.fgb' is damaged: its header states 200 features"):
        unchanged_dataset.add_catalogue(tmp_path / "many.fgb")


@pytest.mark.parametrize(
    ("member", "value", "noun"),
    [
        ("properties", True, "an object"),
        ("properties", [1], "an object"),
        ("assets", ["a"], "an object"),
        ("assets", {"a": "b"}, "an object"),
        ("geometry", "POINT (1 2)", "an object"),
        ("bbox", "1,2,3,4", "a list"),
        ("id", 1.5, "a text"),
        ("id", ["a"], "a text"),
    ],
)
def test_stac_item_of_wrong_type_is_refused(unchanged_dataset, tmp_path, member, value, noun):
    with pytest.raises(UsageError, match=rf"items\.json': the {member[:5]}.* of STAC item .* not {noun}"):
        unchanged_dataset.add_catalogue(write_items(tmp_path, {**make_item(), member: value}))


@pytest.mark.parametrize(
    "properties",
    [
        {"datetime": 5},
        {"datetime": "9999-12-31T23:59:59-23:00"},
        {"proj:epsg": 32633, "proj:shape": [1], "proj:transform": "abcdef"},
        {"proj:epsg": 32633, "proj:shape": [10**400, 1], "proj:transform": [1, 0, 0, 0, -1, 0]},
        {"proj:epsg": 32633, "proj:bbox": {"a": 1}},
        {"proj:code": "\ud800", "proj:bbox": [0, 0, 1, 1]},
        {"": 1},
        {"title": "\ud800"},
    ],
)
def test_stac_item_with_wrong_content_is_refused(unchanged_dataset, tmp_path, properties):
    with pytest.raises(UsageError):
        unchanged_dataset.add_catalogue(write_items(tmp_path, make_item(properties=properties)))


def test_stac_file_with_byte_order_mark(unchanged_dataset, tmp_path):
    path = write_items(tmp_path, make_item())
    path.write_bytes(path.read_text().encode("utf-16"))
    assert unchanged_dataset.add_catalogue(path, dry_run=True).summary["rasters"] == 1


def test_stac_properties_are_recorded_as_readable(dataset, tmp_path):
    properties = {
        "big": 2**64,
        "endless": float("inf"),
        "link": "https://a:b@c.org/d?sig=e",
        "password": "f",
        "gsd": 10,
    }
    dataset.add_catalogue(write_items(tmp_path, make_item(properties=properties)))
    (row,) = dataset.rasters().to_pylist()
    expected = {"big": str(2**64), "endless": "inf", "link": "https://c.org/d", "password": "***", "gsd": 10}
    assert {name: row[name] for name in expected} == expected
