"""The map tables: tiles against shapely, counts at every revision against the tables of the dataset."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import shapely
from pyproj import Transformer

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.viewer import map_tables
from geographer.viewer.map_selection import MapSelection
from geographer.viewer.session import ViewerSession
from tests.sample_history import HEAD
from tests.viewer.vector_tiles import EARTH, decode_tile

TILES = [(0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 2, 4), (5, 17, 10), (8, 135, 86), (4, 0, 7), (4, 15, 7)]
MERCATOR = Transformer.from_crs("EPSG:4326", "EPSG:3857", always_xy=True)


def project_features(dataset: Dataset, at: int) -> dict[str, shapely.Geometry]:
    """The features of a revision in Web Mercator, cut at its edges."""
    world = shapely.box(-180, -85.06, 180, 85.06)
    rows = dataset.features(at).arrow.to_pylist()
    shapes = {row["feature_id"]: shapely.intersection(shapely.from_wkb(row["geometry"]), world) for row in rows}
    return {
        name: shapely.transform(shape, lambda xy: [*zip(*MERCATOR.transform(*xy.T), strict=True)])
        for name, shape in shapes.items()
        if not shape.is_empty
    }


def frame_tile(zoom: int, column: int, row: int) -> shapely.Geometry:
    size = 2 * EARTH / 2**zoom
    return shapely.box(column * size - EARTH, EARTH - (row + 1) * size, (column + 1) * size - EARTH, EARTH - row * size)


def measure_side(shape: shapely.Geometry) -> float:
    west, south, east, north = shape.bounds
    return max(east - west, north - south)


@pytest.mark.parametrize("tile", TILES, ids=lambda tile: "/".join(map(str, tile)))
def test_tile_has_what_shapely_finds(world_session: ViewerSession, world_root: Path, tile: tuple) -> None:
    found = decode_tile(world_session.map_tables.read_tile(MapSelection("features", 2), *tile))
    frame, pixel = frame_tile(*tile), 2 * EARTH / 2 ** tile[0] / 512
    shapes = project_features(Dataset.open(world_root), 2)
    large = {name for name, shape in shapes.items() if measure_side(shape) >= 3 * pixel and shape.intersects(frame)}
    assert {feature.properties["id"] for feature in found if feature.layer == "shapes"} == large
    dots = {feature.properties["id"]: feature for feature in found if feature.layer == "dots"}
    assert {name for name, dot in dots.items() if not dot.properties["is_large"]} == {
        name for name, shape in shapes.items() if measure_side(shape) < 3 * pixel and shape.centroid.within(frame)
    }


def test_tile_outline_is_where_pyproj_puts_it(world_session: ViewerSession, world_root: Path) -> None:
    tile = (3, 2, 4)
    found = decode_tile(world_session.map_tables.read_tile(MapSelection("features", 2), *tile))
    outline = next(feature for feature in found if feature.properties["id"] == "s6" and feature.layer == "shapes")
    west, _, _, north = frame_tile(*tile).bounds
    unit = 2 * EARTH / 2 ** tile[0] / 4096
    expected = shapely.box(-64, -64, 4160, 4160).intersection(
        shapely.transform(
            project_features(Dataset.open(world_root), 2)["s6"],
            lambda xy: (xy - [west, north]) / [unit, -unit],
        )
    )
    assert shapely.MultiPoint(outline.points).bounds == pytest.approx(expected.bounds, abs=1)


def test_crowded_tile_counts_each_object_once(world_session: ViewerSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_tables, "MAX_TILE_OBJECTS", 3)
    tables, selection = world_session.map_tables, MapSelection("features", 2)
    layers: Counter = Counter()
    for column in range(2):
        for row in range(2):
            for feature in decode_tile(tables.read_tile(selection, 1, column, row)):
                layers[feature.layer] += feature.properties.get("number", 0 if feature.layer == "shapes" else 1)
    number, beyond = tables.count_objects(selection)
    assert layers["cells"] + layers["dots"] == layers["density"] + layers["dots"] == number - beyond
    assert beyond == 1


def test_revisions_have_the_rows_of_the_dataset(history_session: ViewerSession, history_root: Path) -> None:
    tables, dataset = history_session.map_tables, Dataset.open(history_root)
    for at in range(1, HEAD + 1):
        features = Counter(dataset.features(at).arrow["class"].to_pylist())
        rasters = dataset.rasters(at).arrow
        assert tables.count_kinds(MapSelection("features", at)) == features, at
        assert tables.count_kinds(MapSelection("rasters", at)) == Counter(rasters["collection"].to_pylist()), at
        listed = tables.list_objects(MapSelection("rasters", at), None, 0, 1000)
        assert [row.id for row in listed] == rasters["raster_id"].to_pylist()
        subsets = Counter(row["part"] or "(excluded)" for row in dataset.splits(at).arrow.to_pylist())
        assert (
            Counter(
                row.subset
                for row in tables.list_objects(MapSelection("rasters", at, split="parts"), None, 0, 1000)
                if row.subset
            )
            == subsets
        )


def test_filter_keeps_what_the_table_keeps(history_session: ViewerSession, history_root: Path) -> None:
    dataset, where = Dataset.open(history_root), "class = 'pond' AND depth > 1"
    for at in (2, 8, HEAD):
        listed = history_session.map_tables.list_objects(MapSelection("features", at, where=where), None, 0, 100)
        assert [row.id for row in listed] == dataset.features(at, where=where).arrow["feature_id"].to_pylist()


@pytest.mark.parametrize(
    ("where", "kind", "text"),
    [
        ("class = 'pond", UsageError, "not an SQL expression"),
        ("true) OR (true", UsageError, "not"),
        ("colour = 'red'", NotFoundError, "no column 'colour'"),
        ("depth > (SELECT 1)", UsageError, "subquery"),
        ("getenv('HOME') = ''", UsageError, "getenv"),
        ("class::INTEGER = 1", UsageError, "cannot evaluate"),
        ("true; DROP TABLE x", UsageError, "not"),
    ],
)
def test_filter_is_confined(history_session: ViewerSession, where: str, kind: type, text: str) -> None:
    with pytest.raises(kind, match=text):
        history_session.map_tables.count_kinds(MapSelection("features", HEAD, where=where))


def test_box_across_the_antimeridian_has_both_sides(world_session: ViewerSession) -> None:
    tables, selection = world_session.map_tables, MapSelection("features", 2)
    names = [row.id for row in tables.list_objects(selection, (179, 5, -179, 15), 0, 100)]
    assert names == ["dateline"]
    dateline = tables.find_object("features", 2, "dateline")
    assert dateline is not None
    assert dateline.place is not None
    assert abs(dateline.place[0]) > 177
    pole = tables.find_object("features", 2, "pole")
    assert pole is not None
    assert pole.place is None


@pytest.mark.parametrize("tile", [(23, 0, 0), (0, 1, 0), (3, 0, 8)])
def test_no_such_tile(world_session: ViewerSession, tile: tuple) -> None:
    with pytest.raises(NotFoundError, match="no tile"):
        world_session.map_tables.read_tile(MapSelection("features", 2), *tile)


def test_no_such_revision(world_session: ViewerSession) -> None:
    with pytest.raises(NotFoundError, match="the head is @3"):
        world_session.map_tables.count_kinds(MapSelection("features", 4))


def test_kept_tables_are_limited(world_session: ViewerSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_tables, "_KEPT_TABLES", 2)
    tables = world_session.map_tables
    for number in range(5):
        tables.count_kinds(MapSelection("features", 2, where=f"length(feature_id) > {number}"))
    assert len(tables._staged) == 2
    assert tables.count_kinds(MapSelection("features", 2, where="length(feature_id) > 0"))
