"""Which scene shows which feature: decided in the scene's own CRS, whatever the archive says in degrees."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyproj import Transformer

from geographer.operations.download.coverage import shown

UTM33, UTM1 = "EPSG:32633", "EPSG:32601"
TILE = shapely.box(445_000, 5_500_000, 554_800, 5_609_800)
"""A tile about the middle of its zone: its upper edge lies 200 m north of the line between its corners in degrees."""


def degrees(geometry, crs):
    into = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.transform(geometry, lambda at: np.column_stack(into.transform(*at.T)))


def features(*geometries, native=None, crs="EPSG:4326"):
    own = native or [None] * len(geometries)
    return pa.table(
        {
            "geometry": pa.array(map(shapely.to_wkb, geometries), pa.binary()),
            "native": pa.array([None if one is None else shapely.to_wkb(one) for one in own], pa.binary()),
            "crs": pa.array([crs] * len(geometries)),
            "lacking": pa.array([1] * len(geometries), pa.int64()),
        }
    )


def scene(footprint, crs=None, outline=None):
    return shapely.to_wkb(footprint), crs, None if outline is None else shapely.to_wkb(outline)


def pairs(missing, *places, union=False):
    return shown(missing, places, union=union)[0].tolist()


@pytest.mark.parametrize("union", [False, True])
def test_a_straight_edged_footprint_hides_nothing_of_a_scene_whose_outline_is_told(union):
    at_the_edge = degrees(shapely.Point(500_000, 5_609_700), UTM33)
    footprint = degrees(TILE, UTM33)
    assert not footprint.contains(at_the_edge)
    assert at_the_edge.y > footprint.bounds[3]

    assert pairs(features(at_the_edge), scene(footprint, UTM33, TILE), scene(footprint), union=union) == [[0, 0]]


@pytest.mark.parametrize("union", [False, True])
def test_the_part_that_has_no_pixels_shows_nothing(union):
    half = shapely.box(445_000, 5_500_000, 500_000, 5_609_800)
    places = [degrees(shapely.Point(x, 5_550_000), UTM33) for x in (470_000, 530_000)]

    assert pairs(features(*places), scene(degrees(half, UTM33), UTM33, TILE), union=union) == [[0, 0]]


def test_a_feature_that_touches_the_edge_from_within_is_contained_as_it_was_given():
    whole, corner = TILE, shapely.box(445_000, 5_500_000, 445_020, 5_500_020)
    beyond = shapely.box(444_999.999, 5_500_000, 445_020, 5_500_020)
    given = [whole, corner, beyond]
    missing = features(*(degrees(one, UTM33) for one in given), native=given, crs=UTM33)

    assert pairs(missing, scene(degrees(TILE, UTM33), UTM33, TILE)) == [[0, 0], [0, 1]]


@pytest.mark.parametrize("union", [False, True])
def test_scenes_and_features_may_lie_across_the_antimeridian(union):
    tile = shapely.box(250_000, 6_000_000, 359_800, 6_109_800)
    around = degrees(tile, UTM1)
    eastern = shapely.transform(around, lambda at: at + (at[:, :1] < 0) * [360.0, 0.0])
    footprint = shapely.union_all(
        [
            shapely.intersection(eastern, shapely.box(0, -90, 180, 90)),
            shapely.transform(shapely.intersection(eastern, shapely.box(180, -90, 360, 90)), lambda at: at - [360, 0]),
        ]
    )
    assert footprint.geom_type == "MultiPolygon"
    points = [degrees(shapely.Point(x, 6_050_000), UTM1) for x in (253_000, 355_000)]
    across = shapely.MultiPolygon([shapely.box(179.9, 54.6, 180, 54.7), shapely.box(-180, 54.6, -179.9, 54.7)])
    at_the_edge = degrees(shapely.Point(305_000, 6_000_020), UTM1)
    far = shapely.Point(0, 54.6)

    found = pairs(features(*points, across, at_the_edge, far), scene(footprint, UTM1, tile), union=union)

    assert found == [[0, 0], [0, 1], [0, 2], [0, 3]]


def test_a_scene_in_degrees_may_reach_past_180():
    footprint = shapely.union(shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1))

    found = pairs(
        features(shapely.Point(-179.5, 0.5), shapely.Point(-178.5, 0.5)),
        scene(footprint, "EPSG:4326", shapely.box(179, 0, 181, 1)),
    )

    assert found == [[0, 0]]


def test_a_scene_around_the_pole_shows_what_its_outline_holds():
    tile = shapely.box(-50_000, -50_000, 50_000, 50_000)
    places = [shapely.Point(0, 90), shapely.Point(45, 89.9), shapely.Point(45, 89)]

    for footprint in (degrees(tile, "EPSG:3413"), shapely.box(-180, 89.4, 180, 90)):
        assert pairs(features(*places), scene(footprint, "EPSG:3413", tile)) == [[0, 0], [0, 1]]


@pytest.mark.parametrize(("crs", "outline"), [(None, TILE), ("EPSG:999999", TILE), ("nonsense", TILE), (UTM33, None)])
def test_the_footprint_does_where_the_outline_is_told_in_no_crs_that_is_known(crs, outline):
    middle = degrees(TILE.centroid, UTM33)

    assert pairs(features(middle), scene(degrees(TILE, UTM33), crs, outline)) == [[0, 0]]


def test_a_feature_round_the_globe_is_shown_by_no_scene():
    everything = shapely.MultiPolygon([shapely.box(-180, -90, -170, 80), shapely.box(0, 40, 180, 85)])

    assert pairs(features(everything), scene(degrees(TILE, UTM33), UTM33, TILE)) == []
