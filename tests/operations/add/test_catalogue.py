"""Catalogues in: footprints without pixels from vector data and STAC, and the graph that they give, against shapely."""

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
from tests.sample_rasters import CUSTOM

UTM = "EPSG:32633"
GRID = {"proj:transform": [10, 0, 500_000, 0, -10, 5_200_000, 0, 0, 1], "proj:shape": [100, 200]}
EXACT = shapely.box(500_000, 5_199_000, 502_000, 5_200_000)
"""What GRID covers, in UTM."""
AROUND = shapely.box(14.9, 46.9, 15.1, 47.0)
"""A loose box around it, in degrees."""
OVER = [(179, -10), (-179, -10), (-179, -9), (179, -9)]
"""A polygon across the antimeridian, as many write it."""


def frame(crs: Any = "EPSG:4326", **columns: Any) -> geopandas.GeoDataFrame:
    """Two footprints side by side."""
    boxes = columns.pop("geometry", [shapely.box(11, 47, 12, 48), shapely.box(12, 47, 13, 48)])
    return geopandas.GeoDataFrame({"id": ["a", "b"], **columns}, geometry=boxes, crs="EPSG:4326").to_crs(crs)


def item(name: Any = "s", geometry: Any = AROUND, **more: Any) -> dict[str, Any]:
    """A STAC item."""
    properties = {"datetime": "2020-02-29T12:00:00Z", **more.pop("properties", {})}
    mapped = shapely.geometry.mapping(geometry) if isinstance(geometry, shapely.Geometry) else geometry
    fixed = {"type": "Feature", "stac_version": "1.0.0", "id": name, "links": [], "assets": {}}
    return {**fixed, "geometry": mapped, "properties": properties, **more}


def written(folder: Path, *items: dict[str, Any], name: str = "items.json") -> Path:
    content = items[0] if len(items) == 1 else {"type": "FeatureCollection", "features": list(items)}
    (folder / name).write_text(json.dumps(content))
    return folder / name


def outlines(dataset: Any) -> dict[str, tuple[Any, str]]:
    """Each footprint as the log has it, with its CRS."""
    rows = dataset.sql("SELECT raster_id, outline, crs FROM log.raster_change ORDER BY position, ordinal").to_pylist()
    return {row["raster_id"]: (shapely.from_wkb(row["outline"]), row["crs"]) for row in rows}


def rows_of(dataset: Any) -> list[dict[str, Any]]:
    return dataset.rasters().drop_columns(["footprint"]).to_pylist()


def relations(dataset: Any) -> dict[tuple[str, str], str]:
    return {(row["feature_id"], row["raster_id"]): row["relation"] for row in dataset.edges().to_pylist()}


def test_footprints_come_from_any_container(dataset, tmp_path):
    containers = ["geojson", "gpkg", "parquet", "table", "frame"]
    for container in containers:
        given: Any = frame(cloud=[1.5, 2.0]).assign(id=[f"{container} a", f"{container} b"])
        if container == "table":
            given = pa.table(given.to_arrow(index=False))
        elif container != "frame":
            path = tmp_path / f"footprints.{container}"
            given.to_parquet(path) if container == "parquet" else given.to_file(path)
            given = path
        recorded = dataset.add_catalogue(given)
        assert (recorded.kind, recorded.summary["rasters"]) == ("catalogue_added", 2)
    found = dataset.rasters().to_geopandas().set_index("raster_id")
    for container in containers:
        for name, box in zip("ab", frame().geometry, strict=True):
            assert found.geometry[f"{container} {name}"].equals(box)
    assert found["cloud"].to_list() == [1.5, 2.0] * len(containers)
    without_pixels = ("path", "width", "height", "md5", "sha256", "pixel_digest", "acquired")
    for row in rows_of(dataset):
        assert {row[name] for name in without_pixels} == {None}
        assert (row["collection"], row["crs"]) == ("catalogue", "EPSG:4326")


def test_geoparquet_in_any_crs_decides_relations_in_that_crs(dataset, tmp_path):
    # The edges of a footprint are straight in its own CRS: in degrees, those of these bend by kilometres.
    systems = {UTM: (15, 47), CUSTOM: (11, 60), "EPSG:3031": (15, -80)}
    boxes = {}
    for number, (crs, place) in enumerate(systems.items()):
        x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*place)
        boxes[crs] = shapely.box(x - 300_000, y - 300_000, x + 300_000, y + 300_000)
        given = geopandas.GeoDataFrame({"raster_id": [crs]}, geometry=[boxes[crs]], crs=crs)
        given.to_parquet(tmp_path / "footprints.parquet")
        edge = [shapely.Point(x + dx, y + side) for dx in (-299_990, 0, 299_990) for side in (299_990, 300_010)]
        ids = [10 * number + i for i in range(6)]
        dataset.add_features(geopandas.GeoDataFrame({"id": ids}, geometry=edge, crs=crs).to_crs("EPSG:4326"))
        dataset.add_catalogue(tmp_path / "footprints.parquet")
    for number, crs in enumerate(systems):
        own = {10 * number + i for i in range(6)}
        assert own & set(dataset.features_contained_in(crs)) == {10 * number + i for i in (0, 2, 4)}
        assert own & set(dataset.features_intersecting(crs)) == {10 * number + i for i in (0, 2, 4)}
        outline, kept = outlines(dataset)[crs]
        assert outline.equals(boxes[crs])
        assert pyproj.CRS(kept) == pyproj.CRS(crs)


def test_a_crs_that_is_passed_overrides_the_one_that_the_data_states(dataset):
    metres = frame(UTM).set_crs("EPSG:4326", allow_override=True)
    with pytest.raises(UsageError, match="footprint 'a', 'b' can't be added, because its footprint is out of range"):
        dataset.add_catalogue(metres)
    dataset.add_catalogue(metres, crs=UTM)
    assert {crs for _, crs in outlines(dataset).values()} == {UTM}


def test_ids_times_and_own_columns_ride_along(dataset):
    columns = {"tile": [7, 8], "taken": ["2020-02-29T12:00:00Z", None], "width": [1, 2], "Footprint": ["x", "y"]}
    dataset.add_catalogue(frame(**columns), id="tile", acquired="taken")
    first, second = rows_of(dataset)
    assert (first["raster_id"], first["id"], first["width_"], first["Footprint_"]) == ("7", "a", 1, "x")
    assert (first["acquired"], second["acquired"]) == (datetime.datetime(2020, 2, 29, 12), None)
    assert dataset.rasters(where="width_ > 1 AND acquired IS NULL")["raster_id"].to_pylist() == ["8"]


def test_a_catalogue_is_joined_to_features_but_can_t_be_cut_or_labelled(dataset):
    places = [shapely.Point(11.5, 47.5), shapely.Point(12, 47.5), shapely.Point(14, 47.5)]
    dataset.add_catalogue(frame())
    dataset.add_features(geopandas.GeoDataFrame({"id": list("xyz")}, geometry=places, crs="EPSG:4326"))
    assert relations(dataset) == {("x", "a"): "contains", ("y", "a"): "intersects", ("y", "b"): "intersects"}
    head = dataset.show().digest
    with pytest.raises(UsageError, match="the rasters of 'catalogue' are footprints without pixels"):
        dataset.cut_grid("chips", size=16, source="catalogue")
    with pytest.raises(UsageError, match="the rasters of 'catalogue' are footprints without pixels"):
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


def test_the_projection_extension_gives_the_exact_footprint(dataset, tmp_path):
    items = [item(str(i), properties=properties, assets=assets) for i, (properties, assets) in enumerate(PROJECTED)]
    dataset.add_catalogue(written(tmp_path, *items))
    found = outlines(dataset)
    assert list(found) == [str(i) for i in range(len(PROJECTED))]
    for name, (outline, crs) in found.items():
        assert outline.equals(EXACT), name
        assert not outline.has_z
        assert pyproj.CRS(crs) == pyproj.CRS(UTM), name


def test_without_the_projection_extension_the_footprint_is_in_degrees(dataset, tmp_path):
    bare: list[dict[str, Any]] = [{}, {"proj:code": None, **GRID}, {"proj:epsg": None}, {"proj:code": UTM}]
    dataset.add_catalogue(written(tmp_path, *(item(str(i), properties=one) for i, one in enumerate(bare))))
    found = outlines(dataset)
    assert len(found) == len(bare)
    assert all(outline.equals(AROUND) and crs == "EPSG:4326" for outline, crs in found.values())


def test_stac_items_bring_their_ids_times_and_plain_properties(dataset, tmp_path):
    first = {"eo:cloud_cover": 12, "gsd": 10.0, "platform": "A", "best": True, "bands": [1], "width": 5, "none": None}
    second = {"datetime": None, "start_datetime": "2020-02-29T13:00:00.5+01:00", "gsd": 20, "platform": 7}
    path = written(tmp_path, item("S2A", properties={**first, "proj:code": UTM, **GRID}), item(42, properties=second))
    recorded = dataset.add_catalogue(path)
    assert recorded.summary == {"source": str(path), "collection": "catalogue", "rasters": 2}
    rows = rows_of(dataset)
    types = {name: str(dataset.rasters().schema.field(name).type) for name in ("eo:cloud_cover", "gsd", "best")}
    assert types == {"eo:cloud_cover": "int64", "gsd": "double", "best": "bool"}
    assert [row["raster_id"] for row in rows] == ["S2A", "42"]
    assert [row["acquired"].isoformat() for row in rows] == ["2020-02-29T12:00:00", "2020-02-29T12:00:00.500000"]
    assert [row["gsd"] for row in rows] == [10.0, 20.0]
    assert [row["platform"] for row in rows] == ["A", "7"]
    assert (rows[0]["width"], rows[0]["width_"], rows[1]["best"]) == (None, 5, None)
    assert not {"proj:code", "bands", "none"} & rows[0].keys()
    wanted = '"eo:cloud_cover" < 20 AND best'
    assert dataset.rasters(where=wanted)["raster_id"].to_pylist() == ["S2A"]


def test_a_number_that_json_does_not_have_does_not_break_a_catalogue(dataset, tmp_path):
    path = written(tmp_path, item(properties={"gsd": math.nan}))
    dataset.add_catalogue(path)
    assert [json.loads(line)["gsd"] for line in dataset.json_lines("rasters")] == ["nan"]


SPLIT = shapely.MultiPolygon([shapely.box(179, -10, 180, -9), shapely.box(-180, -10, -179, -9)])
POLYGON = {"type": "Polygon", "coordinates": [[*map(list, OVER), list(OVER[0])]]}


ACROSS = [
    item("split", geometry=SPLIT),
    item("wide, with its box", geometry=POLYGON, bbox=[179, -10, -179, -9]),
    item("with a box of six", geometry=POLYGON, bbox=[179, -10, 0, -179, -9, 100]),
    item("over", geometry=shapely.box(179, -10, 181, -9)),
    item("under", geometry=shapely.box(-181, -10, -179, -9)),
]


def test_a_footprint_across_the_antimeridian_is_narrow_however_it_is_written(dataset, tmp_path):
    places = {
        "east": shapely.Point(179.5, -9.5),
        "west": shapely.Point(-179.5, -9.5),
        "far round": shapely.Point(0, -9.5),
        "north": shapely.Point(179.5, -8.5),
        "beside": shapely.Point(178.5, -9.5),
        "across": shapely.MultiLineString([[(179.4, -9.5), (180, -9.5)], [(-180, -9.5), (-179.2, -9.5)]]),
        "edge": shapely.LineString([(-179.5, -9.5), (-178.5, -9.5)]),
    }
    dataset.add_features(geopandas.GeoDataFrame({"id": list(places)}, geometry=list(places.values()), crs="EPSG:4326"))
    dataset.add_catalogue(written(tmp_path, *ACROSS))
    found = relations(dataset)
    for given in ACROSS:
        contained = dict.fromkeys(("east", "west", "across"), "contains")
        own = {feature: relation for (feature, raster), relation in found.items() if raster == given["id"]}
        assert own == {**contained, "edge": "intersects"}, given["id"]


def test_a_projected_item_across_the_antimeridian_is_exact(dataset, tmp_path):
    box = [-300_000, 8_850_000, 900_000, 8_950_000]
    code = {"proj:code": "EPSG:32701", "proj:bbox": box}
    to_utm = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32701", always_xy=True)
    places = [(lon, lat) for lon in (176, 178, 179.9, -179.9, -178, -174, -172, 0) for lat in (-10.6, -10, -9.4)]
    given = geopandas.GeoDataFrame({"id": range(len(places))}, geometry=[shapely.Point(p) for p in places], crs=4326)
    dataset.add_features(given)
    dataset.add_catalogue(written(tmp_path, item(geometry=POLYGON, properties=code)))
    inside = shapely.box(*box)
    # Far from its zone, Transverse Mercator is no map any more.
    expected = [
        i for i, (lon, lat) in enumerate(places) if lon and inside.contains(shapely.Point(to_utm.transform(lon, lat)))
    ]
    assert 4 < len(expected) < len(places) - 4
    assert dataset.features_contained_in("s") == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (item(geometry=None), "footprint 's' can't be added, because it has no footprint"),
        (item(None), "footprint 'row 1' can't be added, because it has no id"),
        (item(geometry=shapely.Point(1, 2)), "its footprint is no polygon"),
        (item(geometry=shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])), "its footprint is invalid"),
        (item(geometry=shapely.box(0, 0, 1, 100)), "its footprint is out of range"),
        (item(geometry={"type": "Polygon", "coordinates": "x"}), "STAC item 's' has a place that can't be understood"),
        (item(properties={"proj:code": "EPSG:99999", **GRID}), "'EPSG:99999' is not a CRS that PROJ knows"),
        (item(properties={"proj:code": UTM, **GRID, "proj:shape": [1]}), "STAC item 's' has a place that can't be"),
        (item(properties={"proj:code": UTM, "proj:bbox": [1e9, 1e9, 2e9, 2e9]}), "its footprint is out of range"),
        (item(properties={"datetime": "yesterday"}), "STAC item 's' has no time in ISO 8601 but 'yesterday'"),
    ],
)
def test_a_stac_item_that_is_not_fit_is_named(unmoved, tmp_path, given, told):
    with pytest.raises(UsageError, match=told):
        unmoved.add_catalogue(written(tmp_path, given))


def test_what_stac_items_say_themselves_can_t_be_passed(unmoved, tmp_path):
    for options in ({"id": "x"}, {"crs": UTM}, {"acquired": "datetime"}):
        with pytest.raises(UsageError, match="leave --id, --crs and --acquired out"):
            unmoved.add_catalogue(written(tmp_path, item()), **options)


def test_vector_data_that_is_not_fit_is_named(unmoved, tmp_path):
    bow_tie = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])
    box = shapely.box(0, 0, 1, 1)
    refused = [
        (
            UsageError,
            frame(geometry=[box, bow_tie]),
            {},
            "footprint 'b' can't be added, because its footprint is invalid",
        ),
        (UsageError, frame(geometry=[box, None]), {}, "footprint 'b' can't be added, because it has no footprint"),
        (UsageError, frame(geometry=[box, box.exterior]), {}, "its footprint is no polygon"),
        (UsageError, frame().assign(id=[None, "b"]), {}, "footprint 'row 1' can't be added, because it has no id"),
        (UsageError, frame().rename(columns={"id": "tile"}), {}, "pass --id COLUMN; the columns are tile"),
        (UsageError, frame(when=["x", "y"]), {"acquired": "when"}, "can't be read.*timestamp"),
        (ConflictError, frame().assign(id="a"), {}, "footprint 'a', 'a' can't be added, because its id stands twice"),
        (NotFoundError, frame(), {"id": "tile"}, "has no column 'tile': it has id"),
        (NotFoundError, frame(), {"acquired": "when"}, "has no column 'when': it has id"),
        (NotFoundError, tmp_path / "nowhere.parquet", {}, "no such file"),
    ]
    for family, given, options, told in refused:
        with pytest.raises(family, match=told):
            unmoved.add_catalogue(given, **options)


def test_ids_that_the_dataset_has_are_named(dataset):
    dataset.add_catalogue(frame())
    with pytest.raises(ConflictError, match="footprint 'b' can't be added, because its id is in the dataset already"):
        dataset.add_catalogue(frame().assign(id=["c", "b"]))
    dataset.remove_rasters(["b"])
    dataset.add_catalogue(frame().assign(id=["c", "b"]))
    assert dataset.rasters()["raster_id"].to_pylist() == ["a", "c", "b"]


def test_a_file_of_features_that_was_cut_off_is_damaged(unmoved, tmp_path):
    box = shapely.box(0, 0, 1, 1)
    many = geopandas.GeoDataFrame({"id": [f"{i:060}" for i in range(200)]}, geometry=[box] * 200, crs="EPSG:4326")
    many.to_file(tmp_path / "many.fgb")
    content = (tmp_path / "many.fgb").read_bytes()
    (tmp_path / "many.fgb").write_bytes(content[: len(content) // 2])
    with pytest.raises(CorruptError, match=r"many\.fgb' is damaged: it says that it has 200 features"):
        unmoved.add_catalogue(tmp_path / "many.fgb")
