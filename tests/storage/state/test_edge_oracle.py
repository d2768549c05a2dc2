"""Compare edges with an oracle in shapely and pyproj: transform vertices to the raster's CRS, then test relations.

For rasters in degrees, the oracle also tests features shifted by 360 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer
from shapely.geometry import LineString, MultiPoint, Point, Polygon, box

from geographer.operations.add.events import ClassesAdded
from geographer.storage.database.connection import Database
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, Head
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.log.append import append_event, create_log
from geographer.storage.state.update import rebuild_state, update_state
from tests.sample_team import LONG

LONLAT = "EPSG:4326"
FAR_NORTH, FAR_SOUTH = "EPSG:3413", "EPSG:3031"
LAEA = CRS.from_proj4("+proj=laea +lat_0=46.5 +lon_0=8.25 +x_0=1000 +y_0=-500 +datum=WGS84 +units=m").to_wkt()
SINUSOIDAL = CRS.from_proj4("+proj=sinu +lon_0=0 +R=6371007.181 +units=m").to_wkt()
DEGREES = CRS.from_proj4("+proj=longlat +ellps=GRS80").to_wkt()
GEOSTATIONARY = CRS.from_proj4("+proj=geos +h=35785831 +lon_0=0 +sweep=y +datum=WGS84 +units=m").to_wkt()


@dataclass(frozen=True)
class Feature:
    id: str
    shape: shapely.Geometry
    crs: str = LONLAT


@dataclass(frozen=True)
class Raster:
    id: str
    crs: str
    outline: shapely.Geometry = field(hash=False)
    parent: str | None = None

    @property
    def in_degrees(self):
        return self.crs in (LONLAT, DEGREES)

    @property
    def splits_at_antimeridian(self):
        """Whether longitudes -180 and 180 have different coordinates in its CRS."""
        return self.in_degrees or self.crs in ("EPSG:3857", SINUSOIDAL)


# -- The oracle ------------------------------------------------------------------------------------------------------


@cache
def transformer(source, target):
    return Transformer.from_crs(source, target, always_xy=True)


def reproject(shapes, source, target):
    """Transform shapes to another CRS, vertex by vertex."""
    if source == target:
        return np.asarray(shapes)
    transform = transformer(source, target).transform
    return shapely.transform(shapes, lambda xy: np.column_stack(transform(xy[:, 0], xy[:, 1])))


def to_continuous_lon(shapes):
    """Give shapes wider than 180 degrees longitudes from 0 to 360 if that makes them narrower."""
    east = shapely.transform(
        shapes, lambda xy: xy + np.column_stack([np.where(xy[:, 0] < 0, 360, 0), np.zeros(len(xy))])
    )
    low, _, high, _ = shapely.bounds(shapes).T
    east_low, _, east_high, _ = shapely.bounds(east).T
    return np.where((high > low + 180) & (east_high <= east_low + 180), east, shapes)


def split_at_antimeridian(shape):
    """Split a shape with longitudes up to 360 at the antimeridian."""
    parts = [(shape & box(180, -90, 540, 90), -360), (shape & box(-180, -90, 180, 90), 0)]
    return shapely.union_all([shapely.affinity.translate(part, turn) for part, turn in parts if not part.is_empty])


def in_crs(features, crs):
    """Transform the features' shapes to a CRS, vertex by vertex."""
    shapes = np.array([feature.shape for feature in features])
    given = np.array([feature.crs for feature in features], object)
    for source in set(given):
        shapes[given == source] = reproject(shapes[given == source], source, crs)
    return shapes


def to_raster_crs(features, raster):
    """Transform the features' shapes to the raster's CRS; split them at the antimeridian if the CRS splits there."""
    shapes = in_crs(features, raster.crs)
    if raster.splits_at_antimeridian:
        lonlat = in_crs(features, LONLAT)
        whole = to_continuous_lon(lonlat)
        for number in np.flatnonzero(whole != lonlat):
            if features[number].crs != LONLAT:
                (shapes[number],) = reproject([split_at_antimeridian(whole[number])], LONLAT, raster.crs)
    return shapes


def find_expressible(features, shapes, raster):
    """Return which features have finite coordinates in the raster's CRS, and for UTM are not far from the zone."""
    there = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    if not raster.crs.startswith(("EPSG:326", "EPSG:327", "EPSG:2193")):
        return there
    (home,) = reproject([raster.outline.centroid], raster.crs, LONLAT)
    places, owner = shapely.get_coordinates(in_crs(features, LONLAT), return_index=True)
    np.logical_and.at(there, owner, on_sphere(places) @ on_sphere([home.coords[0]])[0] > 0.5)
    return there


def on_sphere(lonlat):
    lon, lat = np.radians(lonlat).T
    return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


def reaches(feature, raster):
    """Return whether the feature has coordinates in the raster's CRS."""
    return bool(find_expressible([feature], in_crs([feature], raster.crs), raster)[0])


def relations(features, raster):
    """Return each feature's relation: 'contains', 'intersects' or None; '?' if it has no coordinates in the CRS."""
    shapes = to_raster_crs(features, raster)
    expressed = find_expressible(features, shapes, raster)
    parts, owner = shapely.get_parts(np.where(expressed, shapes, Point(np.inf, np.inf)), return_index=True)
    turns = (-360, 0, 360) if raster.in_degrees else (0,)
    shifted = [shapely.transform(parts, lambda xy, turn=turn: xy + np.array([turn, 0])) for turn in turns]
    covered = np.any([shapely.covers(raster.outline, copy) for copy in shifted], axis=0)
    contained = np.any([shapely.contains(raster.outline, copy) for copy in shifted], axis=0)
    met = np.any([shapely.intersects(raster.outline, copy) for copy in shifted], axis=0)
    all_covered, any_contained, any_met = np.ones(len(features), bool), *np.zeros((2, len(features)), bool)
    np.logical_and.at(all_covered, owner, covered)
    np.logical_or.at(any_contained, owner, contained)
    np.logical_or.at(any_met, owner, met)
    relation = np.full(len(features), None, object)
    relation[any_met] = "intersects"
    relation[all_covered & any_contained] = "contains"
    return np.where(expressed, relation, "?")


# -- The log ---------------------------------------------------------------------------------------------------------


class Log:
    """A log and its state in a folder."""

    def __init__(self, folder: Path):
        self.database = Database(folder)
        self.head = EMPTY_LOG_HEAD
        create_log(self.database)

    def append_change(self, change, objects):
        """Append one event in which features or rasters are 'added', 'changed' or 'removed'."""
        name, rows = ("feature", feature_rows) if isinstance(objects[0], Feature) else ("raster", raster_rows)
        changes = {f"{name}_change": rows(objects, change)}
        # Only the rows matter, whatever the kind.
        event = append_event(self.database, ClassesAdded(classes=["x"]), changes, CommitInfo("Ada"), self.head)
        self.head = Head(event.position, event.digest)

    def read_edges(self, position=None):
        """Read the relation of each (feature id, raster id) at a position."""
        with self.database.open_connection(state="r", spatial=True) as connection:
            rows = connection.execute(
                "SELECT feature.feature_id, raster.raster_id, contains FROM state.edge AS edge "
                "JOIN state.feature AS feature USING (feature_key) JOIN state.raster AS raster USING (raster_key) "
                "WHERE edge.valid_from <= $position AND edge.valid_to > $position",
                {"position": position or self.head.position},
            ).fetchall()
        edges = {(feature, raster): "contains" if contains else "intersects" for feature, raster, contains in rows}
        assert len(edges) == len(rows)
        return edges

    def read_tables(self):
        """Read every row of the state's tables of features, rasters and edges."""
        with self.database.open_connection(state="r", spatial=True) as connection:
            return {
                table: sorted(map(repr, connection.execute(f"FROM state.{table}").fetchall()))
                for table in ("feature", "raster", "edge")
            }


def feature_rows(features, change):
    columns: dict[str, list[Any]] = {
        "id_is_integer": [False] * len(features),
        "class": ["object"] * len(features),
        "geometry": [shapely.to_wkb(feature.shape) for feature in features],
        "crs": [feature.crs for feature in features],
        "properties": ["{}"] * len(features),
    }
    names = {"change": [change] * len(features), "feature_id": [feature.id for feature in features]}
    return make_row_table("feature_change", names | (columns if change != "removed" else {}))


def raster_rows(rasters, change):
    columns = {
        "collection": ["source"] * len(rasters),
        "storage": ["catalogue"] * len(rasters),
        "crs": [raster.crs for raster in rasters],
        "outline": [shapely.to_wkb(raster.outline) for raster in rasters],
        "parent_id": [raster.parent for raster in rasters],
        "properties": ["{}"] * len(rasters),
    }
    names = {"change": [change] * len(rasters), "raster_id": [raster.id for raster in rasters]}
    return make_row_table("raster_change", names | (columns if change != "removed" else {}))


def derive_edges(folder, features, rasters):
    log = Log(folder)
    log.append_change("added", features)
    log.append_change("added", rasters)
    update_state(log.database)
    return log.read_edges()


def expect_edges(features, rasters):
    """Return the edges by the oracle, like `Log.read_edges`."""
    relations_of_rasters = ((raster.id, relations(features, raster)) for raster in rasters)
    return {
        (feature.id, name): relation
        for name, column in relations_of_rasters
        for feature, relation in zip(features, column, strict=True)
        if relation in ("contains", "intersects")
    }


# -- Rasters and features of all kinds ------------------------------------------------------------------------------


def turned(shape, degrees, shear=0.0):
    return shapely.affinity.skew(shapely.affinity.rotate(shape, degrees), xs=shear)


RASTERS = [
    Raster("utm", "EPSG:32632", box(399960, 5090220, 509760, 5200020)),
    Raster("utm chip", "EPSG:32632", box(430000, 5120000, 432560, 5122560), parent="utm"),
    Raster("utm, south-up", "EPSG:32632", box(300000, 5000000, 320000, 5030000, ccw=False)),
    Raster("utm, far from its meridian", "EPSG:32632", box(1200000, 6300000, 1320000, 6400000)),
    Raster("rotated", "EPSG:32632", turned(box(600000, 5100000, 680000, 5160000), 33)),
    Raster("rotated and sheared", "EPSG:32632", turned(box(600000, 5300000, 780000, 5360000), -71, 20)),
    Raster("rotated chip", "EPSG:32632", turned(box(640000, 5120000, 642000, 5121000), 33), parent="rotated"),
    Raster("lonlat", LONLAT, box(6.5, 44.25, 8.125, 47)),
    Raster("lonlat, rotated", LONLAT, turned(box(20, 50, 26, 53), 25)),
    Raster("degrees without a code", DEGREES, box(10, 60, 13, 63)),
    Raster("custom WKT", LAEA, box(-60000, -40000, 90000, 70000)),
    Raster("a continent", LAEA, box(-2500000, -2300000, 1600000, 1800000)),
    Raster("a continent, rotated", LAEA, turned(box(-1200000, -900000, 1500000, 800000), 50)),
    Raster("sinusoidal", SINUSOIDAL, box(0, 4447802, 1111951, 5559753)),
    Raster("sinusoidal, past the edge of the world", SINUSOIDAL, box(-20015109, 1111951, -18903159, 2223901)),
    Raster("sinusoidal, at the pole", SINUSOIDAL, box(-1111951, 8895604, 0, 10007555)),
    Raster("northing before easting", "EPSG:2193", box(1500000, 5200000, 1600000, 5300000)),
    Raster("antimeridian, utm 1", "EPSG:32601", box(199980, 7190220, 309780, 7300020)),
    Raster("antimeridian, utm 60", "EPSG:32660", box(699960, 7190220, 809760, 7300020)),
    Raster("antimeridian, south", "EPSG:32760", turned(box(760000, 8000000, 860000, 8080000), 12)),
    Raster("beside the antimeridian", "EPSG:32601", box(300000, 7790220, 409800, 7900020)),
    Raster("170 to 190", LONLAT, box(170, -25, 190, -10)),
    Raster("-190 to -170", LONLAT, box(-190, 50, -170, 60)),
    Raster("0 to 360", LONLAT, box(0, -60, 360, 60)),
    Raster("half a pixel past -180", LONLAT, box(-180.25, -90, 179.75, 90)),
    Raster("190 to 200", LONLAT, box(190, -25, 200, -10)),
    Raster("the globe", LONLAT, box(-180, -60, 180, 60)),
    Raster("north pole", FAR_NORTH, box(-400000, -300000, 500000, 350000)),
    Raster("south pole", FAR_SOUTH, box(-2700000, -2500000, 2800000, 2400000)),
    Raster("corner at the pole", FAR_NORTH, box(0, 0, 1000000, 1000000)),
    Raster("beside the pole", FAR_NORTH, box(20000, -150000, 320000, 150000)),
    Raster("around the pole, rotated", FAR_SOUTH, turned(box(-100000, -120000, 90000, 200000), 40)),
    Raster("polar, across the antimeridian", FAR_NORTH, box(-1200000, 800000, -900000, 1100000)),
    Raster("mercator", "EPSG:3857", box(900000, 5700000, 950000, 5760000)),
    Raster("mercator, upper right at 0, 0", "EPSG:3857", box(-200000, -100000, 0, 0)),
    Raster("mercator, the world", "EPSG:3857", box(-20037508.3, -20037508.3, 20037508.3, 20037508.3)),
    Raster("mercator, up to the antimeridian", "EPSG:3857", box(19900000, 1000000, 20037508.34, 1100000)),
    Raster("whole disk from space", GEOSTATIONARY, box(-5570000, -5570000, 5570000, 5570000)),
    Raster("valid pixels, a hole", "EPSG:32632", box(8e5, 5e6, 9e5, 5.1e6) - box(8.4e5, 5.02e6, 8.7e5, 5.08e6)),
    Raster("valid pixels, a C", "EPSG:32632", box(8e5, 5.2e6, 9e5, 5.3e6) - box(8.2e5, 5.23e6, 9.5e5, 5.26e6)),
    Raster("valid pixels, a swath", "EPSG:32633",
           Polygon([(4e5, 4.7e6), (4.9e5, 4.68e6), (5.1e5, 4.78e6), (4.2e5, 4.8e6), (4.1e5, 4.76e6)])),
    Raster("valid pixels, two parts", "EPSG:32633", box(3e5, 4.5e6, 3.4e5, 4.6e6) | box(3.6e5, 4.5e6, 4e5, 4.6e6)),
    Raster("valid pixels, across the antimeridian", "EPSG:32601",
           box(199980, 6990220, 309780, 7100020) - box(270000, 7050000, 400000, 7200000)),
    Raster("valid pixels, a ring around the pole", FAR_NORTH, Point(0, 0).buffer(2e6, 4) - Point(0, 0).buffer(2e5, 3)),
    Raster("catalogue", LONLAT, Polygon([(-3.1, 36.1), (-1.9, 36.3), (-2.2, 37.3), (-3.5, 37.1)])),
    Raster("catalogue, split", LONLAT, box(179, 64, 180, 66) | box(-180, 64, -178.5, 66)),
    Raster("catalogue, wide", LONLAT, Polygon([(-60, 20), (-20, 25), (-25, 50), (-70, 45)])),
    Raster("four sides, clockwise", LONLAT, Polygon([(14, 48), (13.9, 49), (15.1, 49.2), (15.3, 47.9)])),
    Raster("four sides, a sharp corner", LONLAT, Polygon([(30, 40), (33, 40.2), (30.5, 40.4), (30.1, 40.3)])),
    Raster("four sides, utm", "EPSG:32632", Polygon([(4e5, 5.3e6), (5e5, 5.31e6), (4.8e5, 5.39e6), (4.1e5, 5.38e6)])),
    Raster("four sides, not convex", "EPSG:32633", Polygon([(4e5, 5e6), (4.5e5, 5.02e6), (5e5, 5e6), (4.5e5, 5.1e6)])),
]  # fmt: skip


def shapes_about(outline, count, random):
    """Yield points, lines and polygons, small and large, inside the outline and near its border, in its CRS."""
    west, south, east, north = outline.bounds
    width, height = east - west, north - south
    for number in range(count):
        size = 10 ** random.uniform(-4, 0.2)
        on_edge = np.array(outline.boundary.interpolate(random.uniform(), normalized=True).coords[0])
        anywhere = np.array([random.uniform(west, east), random.uniform(south, north)])
        middle = anywhere if number % 3 == 0 else on_edge + random.uniform(-size, size, 2) * [width, height] / 2
        vertices = random.integers(4, 9)
        angles = (np.arange(vertices) + random.uniform(0, 0.9, vertices)) * 2 * np.pi / vertices
        radii = random.uniform(0.3, 1, vertices) * size / 2
        around = middle + np.column_stack([np.cos(angles), np.sin(angles)]) * radii[:, None] * [width, height]
        match number % 6:
            case 0:
                yield Point(middle)
            case 1:
                yield LineString(around)
            case 2:
                yield MultiPoint(around)
            case _:
                polygon = Polygon(around)
                hole = shapely.affinity.scale(polygon, 0.5, 0.5)
                yield polygon - hole if number % 6 == 5 else polygon


def in_lonlat(shape, crs):
    """Return the shape in longitude/latitude, split at the antimeridian; None if it is not simple."""
    (lonlat,) = to_continuous_lon(reproject([shape], crs, LONLAT))
    west, south, east, north = lonlat.bounds
    if not (lonlat.is_valid and -90 <= south <= north <= 90 and east <= west + 180):
        return None
    simple = split_at_antimeridian(shapely.affinity.translate(lonlat, 360) if west < -180 else lonlat)
    return None if simple.geom_type == "GeometryCollection" else simple


def features_about(raster, count, random):
    """Yield features near a raster, in longitude/latitude, in its CRS, and in a third CRS."""
    for number, shape in enumerate(shapes_about(raster.outline, count, random)):
        kind = ("lonlat", "lonlat", "own", "other")[number % 4]
        name = f"{raster.id} {kind} {number}"
        lonlat = in_lonlat(shape, raster.crs)
        if kind == "own" and not raster.in_degrees and on_earth(shape, raster.crs):
            yield Feature(name, shape, raster.crs)
        elif lonlat is None:
            continue
        elif kind == "other":
            crs = third_crs(lonlat)
            (there,) = reproject([lonlat], LONLAT, crs)
            if there.geom_type.startswith("Multi") or not there.is_valid:
                continue
            yield Feature(name, there, crs)
        else:
            yield Feature(name, lonlat)


def on_earth(shape, crs):
    """Return whether a shape survives a transformation to longitude/latitude and back."""
    return shape.equals_exact(reproject(reproject([shape], crs, LONLAT), LONLAT, crs)[0], 1e-3)


def third_crs(lonlat):
    """Return the UTM zone of a shape's middle, or polar stereographic."""
    west, south, east, north = lonlat.bounds
    if abs(south + north) / 2 > 75:
        return FAR_NORTH if north > 0 else FAR_SOUTH
    zone = int(((west + east) / 2 + 180) // 6) % 60 + 1
    return f"EPSG:{326 if south >= 0 else 327}{zone:02}" if east - west < 20 else LONLAT


def around_a_pole(feature):
    """Return whether a feature encloses a pole, so that its vertices in degrees are not a polygon around it."""
    if feature.crs == LONLAT:
        return False
    poles = reproject([Point(0, 90), Point(0, -90)], LONLAT, feature.crs)
    return bool(shapely.intersects(shapely.convex_hull(feature.shape), poles[np.isfinite(shapely.get_x(poles))]).any())


SPECIAL = [
    Feature("around the pole", Point(0, 0).buffer(600000, 5), FAR_NORTH),
    Feature("square around the pole", box(-150000, -150000, 150000, 150000), FAR_NORTH),
    Feature("ring around the pole", Point(0, 0).buffer(2500000) - Point(0, 0).buffer(1000000), FAR_NORTH),
    Feature("around the south pole", Point(0, 0).buffer(1900000), FAR_SOUTH),
    Feature("hole around a raster", box(6, 44, 12, 48) - box(7.2, 45.5, 9.6, 47.3)),
    Feature("over all of a raster", box(7.2, 45.5, 9.6, 47.3)),
    Feature("split at the antimeridian", box(177, 62, 180, 68) | box(-180, 62, -170, 68)),
    Feature("wide, split at the antimeridian", box(30, 60, 180, 75) | box(-180, 62, -170, 68)),
    Feature("once round the globe", LineString([(-180, 55), (-100, -30), (0, 40), (100, -40), (176, -20), (180, 55)])),
    Feature("a long line in the far north", LineString([(-100, 72), (70, 72)])),
]


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(7)
    return SPECIAL + [feature for raster in RASTERS for feature in features_about(raster, 60, random)]


@pytest.fixture(scope="module")
def edges(tmp_path_factory, features):
    return derive_edges(tmp_path_factory.mktemp("world"), features, RASTERS)


@pytest.mark.parametrize("raster", RASTERS, ids=lambda raster: raster.id)
def test_edges_agree_with_oracle(raster, features, edges):
    comparable = [feature for feature in features if not (raster.splits_at_antimeridian and around_a_pole(feature))]
    actual = {feature.id: edges.get((feature.id, raster.id)) for feature in comparable}
    expected = dict(zip(actual, relations(comparable, raster), strict=True))
    expressible = [name for name, relation in expected.items() if relation != "?"]
    assert {name: actual[name] for name in expressible} == {name: expected[name] for name in expressible}
    assert "contains" not in {actual[name] for name in actual.keys() - set(expressible)}
    assert "contains" in expected.values()


def random_raster(name, crs, random):
    """Return a box or rotated box, 100 m to 3,000 km wide, in a CRS, near longitude 9, latitude 50."""
    (middle,) = reproject([Point(random.uniform(2, 16), random.uniform(30, 65))], LONLAT, crs)
    width, height = 10 ** random.uniform(2, 6.5, 2) / (1 if crs != LONLAT else 111000)
    outline = shapely.affinity.translate(box(0, 0, width, height), middle.x, middle.y)
    return Raster(name, crs, turned(outline, random.uniform(0, 360)) if random.uniform() < 0.6 else outline)


@settings(max_examples=4 if LONG else 2, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1))
def test_points_near_raster_border(tmp_path_factory, seed):
    random = np.random.default_rng(seed)
    codes = ["EPSG:32632", LAEA, LONLAT, "EPSG:3857", FAR_NORTH, SINUSOIDAL]
    rasters = [random_raster(str(number), crs, random) for number, crs in enumerate(codes * 2)]
    features = []
    for raster in rasters:
        count = 300
        on_edge = shapely.get_coordinates(
            raster.outline.exterior.interpolate(random.uniform(0, 1, count), normalized=True)
        )
        away = 10 ** random.uniform(-8, -1, (count, 1)) * random.normal(size=(count, 2)) * raster.outline.length
        points = shapely.points(on_edge + away)
        features += [
            Feature(f"{raster.id} {n}", point) for n, point in enumerate(reproject(points, raster.crs, LONLAT))
        ]
    assert derive_edges(tmp_path_factory.mktemp("near"), features, rasters) == expect_edges(features, rasters)


def test_large_features_have_straight_edges(tmp_path):
    random = np.random.default_rng(11)
    rasters = []
    for crs in (FAR_NORTH, LAEA, "EPSG:3857", "EPSG:32601"):
        for number, (lon, lat) in enumerate(random.uniform([-180, 40], [180, 84], (60, 2))):
            place = (lon, lat) if crs == FAR_NORTH else (lon / 4, lat) if crs != "EPSG:32601" else (175 + lon / 18, lat)
            (middle,) = reproject([Point(place)], LONLAT, crs)
            rasters.append(Raster(f"{crs[:10]} {number}", crs, middle.buffer(50000, cap_style="square")))
    shapes = []
    for _ in range(40):
        west, south = random.uniform([-180, 40], [150, 75])
        width, height = random.uniform(2, min(175, 180 - west)), random.uniform(0, 9)
        east, north = west + width, south + height
        shapes.append(LineString([(west, south), (east, north)]))
        shapes.append(Polygon([(west, south), (east, south), (east, north + 1), (west, north + 2)]))
        shapes.append(LineString([(180, south), (180 - width / 9, north + 4), (180, south + 12)]))
    features = [Feature(f"feature {number}", shape) for number, shape in enumerate(shapes)]
    actual = derive_edges(tmp_path, features, rasters)
    expected: dict[tuple[str, str], str] = {}
    for raster in rasters:
        expected |= expect_edges([feature for feature in features if reaches(feature, raster)], [raster])
    reached = {(feature.id, raster.id) for raster in rasters for feature in features if reaches(feature, raster)}
    assert {pair: relation for pair, relation in actual.items() if pair in reached} == expected
    assert len(expected) > 200


TOUCHING = {
    "on an edge": (Point(0, 30), "intersects"),
    "at a corner": (Point(100, 60), "intersects"),
    "just inside": (Point(np.nextafter(100, 0), 30), "contains"),
    "just outside": (Point(np.nextafter(100, 101), 30), None),
    "line along an edge": (LineString([(0, 10), (0, 40)]), "intersects"),
    "line from edge to edge": (LineString([(0, 10), (100, 50)]), "contains"),
    "line over a corner": (LineString([(-10, 50), (10, 70)]), "intersects"),
    "line past a corner": (LineString([(-10, 51), (10, 71)]), None),
    "line from end to end": (LineString([(-10, 20), (110, 30)]), "intersects"),
    "line outside, box over the box": (LineString([(-10, 50), (-10, 70), (90, 70)]), None),
    "points on an edge and inside": (MultiPoint([(0, 30), (50, 30)]), "contains"),
    "points on edges": (MultiPoint([(0, 30), (50, 60)]), "intersects"),
    "points inside and outside": (MultiPoint([(50, 30), (500, 30)]), "intersects"),
    "points left and right": (MultiPoint([(-10, 30), (110, 30)]), None),
    "polygon along an edge inside": (box(0, 10, 20, 30), "contains"),
    "polygon along an edge outside": (box(-20, 10, 0, 30), "intersects"),
    "polygon at a corner outside": (box(100, 60, 120, 80), "intersects"),
    "the outline": (box(0, 0, 100, 60), "contains"),
    "around": (box(-10, -10, 110, 70), "intersects"),
    "hole that fits": (box(-10, -10, 110, 70) - box(0, 0, 100, 60), "intersects"),
    "hole that is larger": (box(-10, -10, 110, 70) - box(-1, -1, 101, 61), None),
    "two parts": (box(10, 10, 20, 20) | box(30, 30, 40, 60), "contains"),
    "two parts, one outside": (box(10, 10, 20, 20) | box(130, 30, 140, 60), "intersects"),
}  # fmt: skip


@pytest.mark.parametrize("crs", ["EPSG:32632", LAEA, LONLAT])
@pytest.mark.parametrize("vertices", [4, 5])
def test_touching_feature_is_not_contained(tmp_path, crs, vertices):
    # With a fifth vertex the outline is not recognised as a box.
    outline = box(0, 0, 100, 60) if vertices == 4 else Polygon([(0, 0), (50, 0), (100, 0), (100, 60), (0, 60)])
    place = (
        (lambda shape: shapely.affinity.affine_transform(shape, [0.5, 0, 0, 0.5, 0, 0]))
        if crs == LONLAT
        else (lambda shape: shape)
    )
    features = [Feature(name, place(shape), crs) for name, (shape, _) in TOUCHING.items()]
    edges = derive_edges(tmp_path, features, [Raster("raster", crs, place(outline))])
    assert {name: edges.get((name, "raster")) for name in TOUCHING} == {
        name: relation for name, (_, relation) in TOUCHING.items()
    }


# -- Event by event --------------------------------------------------------------------------------------------------

OBJECTS: list[Any] = [
    Feature("point", Point(9.01, 46.02)),
    Feature("box", box(8.9, 45.9, 9.1, 46.1)),
    Feature("line", LineString([(9, 46), (10, 46.5)])),
    Feature("projected", Point(500000, 5100000).buffer(30000), "EPSG:32632"),
    Raster("utm", "EPSG:32632", box(499000, 5090000, 560000, 5130000)),
    Raster("lonlat", LONLAT, box(8, 45, 9.05, 47)),
    Raster("custom", LAEA, turned(box(0, -90000, 90000, 0), 20)),
]


def change_geometry(thing):
    """Return the same object with another geometry."""
    if isinstance(thing, Raster):
        return replace(thing, outline=shapely.affinity.scale(thing.outline, 0.5, 0.5))
    return replace(thing, shape=shapely.affinity.translate(thing.shape, 0.3 if thing.crs == LONLAT else 30000))


def append_changes(log, present, change, objects):
    """Append events for the objects that can be added, changed or removed; yield the present objects after each."""
    possible = [thing for thing in objects if (thing.id in present) != (change == "added")]
    for kind in (Feature, Raster):
        chosen = [
            change_geometry(thing) if change == "changed" else thing for thing in possible if isinstance(thing, kind)
        ]
        if chosen:
            log.append_change(change, chosen)
            new = {thing.id: thing for thing in chosen}
            present = {**present, **new} if change != "removed" else {k: present[k] for k in present.keys() - new}
            yield present


def check_event_by_event(folder, steps):
    """Check that each position has the oracle's edges, updated event by event or at once, and equals a rebuild."""
    log = Log(folder)
    states: list[dict[str, Feature | Raster]] = [{}]
    for change, objects, update in steps:
        states += append_changes(log, states[-1], change, objects)
        if update:
            update_state(log.database)
    update_state(log.database)
    for position, present in enumerate(states[1:], 1):
        features = [thing for thing in present.values() if isinstance(thing, Feature)]
        rasters = [thing for thing in present.values() if isinstance(thing, Raster)]
        assert log.read_edges(position) == (expect_edges(features, rasters) if features else {})
    tables = log.read_tables()
    rebuild_state(log.database)
    assert log.read_tables() == tables


@pytest.mark.parametrize("update", [True, False])
def test_edges_of_readded_objects(tmp_path, update):
    steps = [(change, OBJECTS, update) for change in ("added", "removed", "added", "changed")]
    steps += [("removed", [OBJECTS[0], OBJECTS[1], OBJECTS[4]], update), ("added", OBJECTS, update)]
    check_event_by_event(tmp_path, steps)


@settings(max_examples=6 if LONG else 3, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["added", "added", "removed", "changed"]),
            st.lists(st.sampled_from(OBJECTS), min_size=1, max_size=5, unique_by=lambda thing: thing.id),
            st.booleans(),
        ),
        min_size=3,
        max_size=6,
    )
)
def test_incremental_update_equals_rebuild_and_oracle(tmp_path_factory, steps):
    check_event_by_event(tmp_path_factory.mktemp("events"), [("added", OBJECTS, True), *steps])
