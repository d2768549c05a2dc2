"""Coverage is decided in the scene's own CRS; features split along footprints are compared with random sample points."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import shapely
from pyproj import Transformer

from geographer.operations.download.coverage import compute_coverage, split_by_footprints

UTM33, UTM1 = "EPSG:32633", "EPSG:32601"
TILE = shapely.box(445_000, 5_500_000, 554_800, 5_609_800)
"""A tile in the middle of its zone: its upper edge is 200 m north of the longitude/latitude line between its corners."""


def to_lonlat(geometry, crs):
    transformer = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    return shapely.transform(geometry, lambda points: np.column_stack(transformer.transform(*points.T)))


def make_features(*geometries, native=None, crs="EPSG:4326"):
    native_geometries = native or [None] * len(geometries)
    return pa.table(
        {
            "geometry": pa.array(map(shapely.to_wkb, geometries), pa.binary()),
            "native": pa.array(
                [None if geometry is None else shapely.to_wkb(geometry) for geometry in native_geometries], pa.binary()
            ),
            "crs": pa.array([crs] * len(geometries)),
            "lacking": pa.array([1] * len(geometries), pa.int64()),
        }
    )


def make_scene(footprint, crs=None, outline=None):
    return shapely.to_wkb(footprint), crs, None if outline is None else shapely.to_wkb(outline)


def find_pairs(features_table, *scenes, union=False):
    return compute_coverage(features_table, scenes, union=union)[0].tolist()


@pytest.mark.parametrize("union", [False, True])
def test_outline_overrides_simplified_footprint(union):
    at_the_edge = to_lonlat(shapely.Point(500_000, 5_609_700), UTM33)
    footprint = to_lonlat(TILE, UTM33)
    assert not footprint.contains(at_the_edge)
    assert at_the_edge.y > footprint.bounds[3]

    assert find_pairs(
        make_features(at_the_edge), make_scene(footprint, UTM33, TILE), make_scene(footprint), union=union
    ) == [[0, 0]]


@pytest.mark.parametrize("union", [False, True])
def test_partial_footprint_limits_coverage(union):
    half = shapely.box(445_000, 5_500_000, 500_000, 5_609_800)
    scenes = [to_lonlat(shapely.Point(x, 5_550_000), UTM33) for x in (470_000, 530_000)]

    assert find_pairs(make_features(*scenes), make_scene(to_lonlat(half, UTM33), UTM33, TILE), union=union) == [[0, 0]]


def test_native_geometry_on_edge_is_contained():
    full_tile, corner = TILE, shapely.box(445_000, 5_500_000, 445_020, 5_500_020)
    larger = shapely.box(444_999.999, 5_500_000, 445_020, 5_500_020)
    native_shapes = [full_tile, corner, larger]
    features_table = make_features(
        *(to_lonlat(geometry, UTM33) for geometry in native_shapes), native=native_shapes, crs=UTM33
    )

    assert find_pairs(features_table, make_scene(to_lonlat(TILE, UTM33), UTM33, TILE)) == [[0, 0], [0, 1]]


@pytest.mark.parametrize("union", [False, True])
def test_coverage_across_antimeridian(union):
    tile = shapely.box(250_000, 6_000_000, 359_800, 6_109_800)
    outline = to_lonlat(tile, UTM1)
    eastern = shapely.transform(outline, lambda points: points + (points[:, :1] < 0) * [360.0, 0.0])
    footprint = shapely.union_all(
        [
            shapely.intersection(eastern, shapely.box(0, -90, 180, 90)),
            shapely.transform(
                shapely.intersection(eastern, shapely.box(180, -90, 360, 90)), lambda points: points - [360, 0]
            ),
        ]
    )
    assert footprint.geom_type == "MultiPolygon"
    points = [to_lonlat(shapely.Point(x, 6_050_000), UTM1) for x in (253_000, 355_000)]
    crossing_polygon = shapely.MultiPolygon(
        [shapely.box(179.9, 54.6, 180, 54.7), shapely.box(-180, 54.6, -179.9, 54.7)]
    )
    at_the_edge = to_lonlat(shapely.Point(305_000, 6_000_020), UTM1)
    distant_point = shapely.Point(0, 54.6)

    covered_pairs = find_pairs(
        make_features(*points, crossing_polygon, at_the_edge, distant_point),
        make_scene(footprint, UTM1, tile),
        union=union,
    )

    assert covered_pairs == [[0, 0], [0, 1], [0, 2], [0, 3]]


def test_lonlat_outline_beyond_180():
    footprint = shapely.union(shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1))

    covered_pairs = find_pairs(
        make_features(shapely.Point(-179.5, 0.5), shapely.Point(-178.5, 0.5)),
        make_scene(footprint, "EPSG:4326", shapely.box(179, 0, 181, 1)),
    )

    assert covered_pairs == [[0, 0]]


def test_polar_scene_uses_outline():
    tile = shapely.box(-50_000, -50_000, 50_000, 50_000)
    scenes = [shapely.Point(0, 90), shapely.Point(45, 89.9), shapely.Point(45, 89)]

    for footprint in (to_lonlat(tile, "EPSG:3413"), shapely.box(-180, 89.4, 180, 90)):
        assert find_pairs(make_features(*scenes), make_scene(footprint, "EPSG:3413", tile)) == [[0, 0], [0, 1]]


@pytest.mark.parametrize(("crs", "outline"), [(None, TILE), ("EPSG:999999", TILE), ("nonsense", TILE), (UTM33, None)])
def test_unknown_crs_falls_back_to_footprint(crs, outline):
    middle = to_lonlat(TILE.centroid, UTM33)

    assert find_pairs(make_features(middle), make_scene(to_lonlat(TILE, UTM33), crs, outline)) == [[0, 0]]


def test_global_feature_is_not_covered():
    global_feature = shapely.MultiPolygon([shapely.box(-180, -90, -170, 80), shapely.box(0, 40, 180, 85)])

    assert find_pairs(make_features(global_feature), make_scene(to_lonlat(TILE, UTM33), UTM33, TILE)) == []


def list_containing(split, piece):
    return frozenset(split.footprints[split.pieces == piece].tolist())


@pytest.mark.parametrize("seed", range(8))
def test_pieces_match_random_samples(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 8, (5, 2))
    footprints = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + 4, corners[:, 1] + 4)
    feature = shapely.box(2, 2, 9, 8)

    split = split_by_footprints(np.array([feature]), footprints)

    samples = shapely.points(rng.uniform([2, 2], [9, 8], (4000, 2)))
    inside = shapely.contains(footprints[:, None], samples[None, :])
    expected_sets = {frozenset(np.flatnonzero(column).tolist()) for column in inside.T}
    assert expected_sets <= {list_containing(split, piece) for piece in range(len(split.features))}
    assert (split.features == 0).all()


def test_contained_feature_is_one_piece():
    split = split_by_footprints(
        np.array([shapely.Point(1, 1)]), np.array([shapely.box(0, 0, 2, 2), shapely.box(5, 5, 6, 6)])
    )

    assert split.features.tolist() == [0]
    assert list_containing(split, 0) == {0}


def test_uncovered_piece_has_no_pair():
    split = split_by_footprints(np.array([shapely.LineString([(0, 0), (4, 0)])]), np.array([shapely.box(-1, -1, 2, 1)]))

    assert sorted(map(sorted, (list_containing(split, piece) for piece in range(2)))) == [[], [0]]


def test_rounding_slivers_are_dropped():
    footprints = np.array([shapely.box(0, 0, 1, 1), shapely.box(1 + 1e-12, 0, 2, 1)])

    split = split_by_footprints(np.array([shapely.box(0.5, 0.2, 1.5, 0.8)]), footprints)

    assert sorted(map(sorted, (list_containing(split, piece) for piece in range(len(split.features))))) == [[0], [1]]


def test_touching_footprint_contains_nothing():
    neighbours = [shapely.box(1, 0, 2, 1), shapely.box(0, 1, 1, 2), shapely.box(1, 1, 2, 2)]

    split = split_by_footprints(np.array([shapely.box(0, 0, 1, 1)]), np.array(neighbours))

    assert split.features.tolist() == [0]
    assert list_containing(split, 0) == frozenset()
