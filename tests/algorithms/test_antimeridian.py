"""Cut geometries at the antimeridian; results are compared with unwrapped geometries clipped by shapely."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geographer.algorithms.antimeridian import cut_at_antimeridian, has_longitude_jump

WEST, EAST = shapely.box(-180, 0, -179, 1), shapely.box(179, 0, 180, 1)
JUMP = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])


def wrap(geometry: shapely.Geometry) -> shapely.Geometry:
    """Bring longitudes to -180 up to 180: sides across the antimeridian jump."""
    return shapely.transform(geometry, lambda points: np.c_[(points[:, 0] + 180) % 360 - 180, points[:, 1]])


def clip_turns(geometry: shapely.Geometry) -> shapely.Geometry:
    """Clip a geometry with longitudes from 0 to 360."""
    east = shapely.intersection(geometry, shapely.box(-180, -90, 180, 90))
    west = shapely.intersection(geometry, shapely.box(180, -90, 540, 90))
    return shapely.union(east, shapely.transform(west, lambda points: points - [360, 0]))


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (JUMP, shapely.union(WEST, EAST)),
        (shapely.reverse(JUMP), shapely.union(WEST, EAST)),
        (shapely.box(179, 0, 181, 1), shapely.union(WEST, EAST)),
        (shapely.box(-181, 0, -179, 1), shapely.union(WEST, EAST)),
        (shapely.box(539, 0, 541, 1), shapely.union(WEST, EAST)),
        (
            shapely.MultiPolygon([JUMP, shapely.box(0, 0, 1, 1)]),
            shapely.union_all([WEST, EAST, shapely.box(0, 0, 1, 1)]),
        ),
        (
            shapely.LineString([(179, 0), (-179, 2)]),
            shapely.MultiLineString([[(179, 0), (180, 1)], [(-180, 1), (-179, 2)]]),
        ),
        (shapely.LineString([(179, 5), (-180, 5)]), shapely.LineString([(179, 5), (180, 5)])),
        (shapely.Point(181, 3), shapely.Point(-179, 3)),
        (
            shapely.Polygon([(0, 80), (90, 80), (180, 80), (-90, 80)]),
            shapely.box(-180, 80, 180, 90),
        ),
        (
            shapely.Polygon(
                [(0, -70), (90, -70), (180, -70), (-90, -70)], [[(0, -80), (90, -80), (180, -80), (-90, -80)]]
            ),
            shapely.box(-180, -80, 180, -70),
        ),
        # The side from 180 to -180 lies on the antimeridian.
        (shapely.Polygon([(179, 0), (180, 0), (-180, 0), (-179, 0), (-179, 1), (179, 1)]), shapely.union(WEST, EAST)),
    ],
)
def test_cut_gives_expected_parts(geometry, expected):
    cut = cut_at_antimeridian(geometry)
    assert cut.is_valid
    assert cut.equals(expected)
    assert cut_at_antimeridian(cut) is cut


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.box(-180, -90, 180, 90),
        shapely.box(-179.75, -89.75, 179.75, 89.75),
        shapely.box(-180, -10, 180, 10),
        shapely.LineString([(-180, 0), (180, 0)]),
        shapely.MultiPoint([(179, 0), (-179, 0)]),
        shapely.MultiPolygon([WEST, EAST]),
        shapely.MultiLineString([[(179, 0), (180, 0)], [(-180, 0), (-179, 0)]]),
        shapely.box(-85, 0, 85, 1),
        shapely.Polygon(),
        shapely.Point(),
        shapely.GeometryCollection([shapely.Point(179, 0), WEST]),
    ],
    ids=lambda geometry: geometry.wkt[:40],
)
def test_cut_returns_other_geometries(geometry):
    assert not has_longitude_jump(geometry)
    assert cut_at_antimeridian(geometry) is geometry


def test_narrow_scene_jumps():
    """A side of 359.98 degrees belongs to a scene, unless it is as high as the globe."""
    scene = wrap(shapely.box(179.99, 50, 180.01, 51))
    assert has_longitude_jump(scene)
    assert cut_at_antimeridian(scene).area == pytest.approx(0.02)


def test_bbox_decides_between_two_readings():
    """A polygon 170 degrees wide, or 190 degrees across the antimeridian."""
    polygon = shapely.box(-85, 0, 85, 1)
    assert cut_at_antimeridian(polygon, [85, 0, -85, 1]).equals(
        shapely.box(-180, 0, 180, 1) - shapely.box(-85, 0, 85, 1)
    )
    assert cut_at_antimeridian(polygon, [10, 0, -10, 1]).area == pytest.approx(190)
    assert cut_at_antimeridian(polygon, [100, 0, -100, 1]) is polygon
    assert cut_at_antimeridian(shapely.MultiPolygon([WEST, EAST]), [179, 0, -179, 1]).equals(shapely.union(WEST, EAST))


def test_collection_is_cut_by_part():
    collection = shapely.GeometryCollection([shapely.Point(1, 2), JUMP])
    assert has_longitude_jump(collection)
    cut = cut_at_antimeridian(collection)
    assert cut.geom_type == "GeometryCollection"
    assert shapely.get_dimensions(shapely.get_parts(cut)).tolist() == [0, 2, 2]


def test_line_that_crosses_itself_keeps_its_parts():
    line = shapely.LineString([(170, 0), (176, 4), (176, 0), (170, 4), (-170, 4)])
    cut = cut_at_antimeridian(line)
    assert [len(part.coords) for part in cut.geoms] == [5, 2]


def test_invalid_ring_is_refused_or_repaired():
    bow_tie = shapely.Polygon([(170, 0), (-170, 10), (-170, 0), (170, 10)])
    with pytest.raises(ValueError, match="crosses the antimeridian and is invalid: Self-intersection"):
        cut_at_antimeridian(bow_tie)
    assert cut_at_antimeridian(bow_tie, repair=True).area == pytest.approx(100)


def make_polygon(rng: np.random.Generator) -> shapely.Polygon:
    """Make a star-shaped polygon with up to three holes near longitude 180; some vertices lie on it."""
    centre = np.array([180 + rng.uniform(-30, 30), rng.uniform(-50, 50)])
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    ring = centre + rng.uniform(3, 35, (len(angles), 1)) * np.column_stack([1.5 * np.cos(angles), np.sin(angles)])
    polygon = shapely.Polygon(np.round(ring / 10) * 10 if rng.random() < 0.3 else ring)
    for _ in range(rng.integers(0, 4)):
        hole = shapely.Point(centre + rng.uniform(-15, 15, 2)).buffer(rng.uniform(1, 5), quad_segs=2)
        if polygon.is_valid and shapely.contains_properly(polygon, hole):
            polygon = shapely.Polygon(polygon.exterior, [*polygon.interiors, hole.exterior])
    return shapely.reverse(polygon) if rng.random() < 0.5 else polygon


def test_cut_equals_clipped_polygon():
    rng = np.random.default_rng(1)
    polygons = [polygon for polygon in (make_polygon(rng) for _ in range(400)) if polygon.is_valid and polygon.area > 0]
    crossing = [polygon for polygon in polygons if polygon.bounds[0] < 180 < polygon.bounds[2]]
    assert len(crossing) > 200
    assert sum(len(polygon.interiors) > 1 for polygon in crossing) > 20
    for polygon in polygons:
        cut = cut_at_antimeridian(wrap(polygon))
        assert cut.is_valid
        assert shapely.symmetric_difference(cut, clip_turns(polygon)).area < 1e-6
