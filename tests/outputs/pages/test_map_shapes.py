import base64

import numpy as np
import pytest
import shapely
from pyproj import Transformer

from geographer.outputs.pages.map_shapes import (
    find_west_of_ranges,
    list_longitude_ranges,
    make_frame,
    pack_shapes,
    project_geometries,
    project_lonlat,
    simplify_outlines,
)


def test_projection_equals_epsg_3857():
    points = np.array([[8.5, 47.3], [-179.9, -70.0], [0.0, 0.0], [179.9, 84.9]])
    expected = np.column_stack(Transformer.from_crs(4326, 3857, always_xy=True).transform(points[:, 0], points[:, 1]))
    np.testing.assert_allclose(project_lonlat(points), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("ranges", "west"),
    [
        ([(6.0, 8.0)], -180.0),
        ([(170.0, 180.0), (-180.0, -170.0)], 170.0),
        ([(-180.0, 180.0)], -180.0),
        ([(-90.0, -80.0), (100.0, 110.0)], 100.0),
        ([], -180.0),
    ],
)
def test_west_is_the_end_of_the_largest_gap(ranges, west):
    starts, ends = (np.array([pair[side] for pair in ranges], dtype=float) for side in (0, 1))
    assert find_west_of_ranges(starts, ends) == west


def test_antimeridian_shapes_are_continuous():
    split = shapely.union_all([shapely.box(179.5, 10, 180, 11), shapely.box(-180, 10, -179.5, 11)])
    geometries = np.array([split, shapely.Point(-179, 10)])
    west = find_west_of_ranges(*list_longitude_ranges(geometries))
    west_bounds = shapely.bounds(project_geometries(geometries, west))
    assert west == 179.5
    assert west_bounds[0, 2] - west_bounds[0, 0] == pytest.approx(np.radians(1) * 6_378_137)


def test_packed_shapes_hold_all_rings():
    holed = shapely.Polygon(shapely.box(0, 0, 3, 3).exterior.coords, [shapely.box(1, 1, 2, 2).exterior.coords])
    mixed = shapely.GeometryCollection([shapely.Point(1, 1), shapely.LineString([(0, 0), (1, 2)]), holed])
    geometries = np.array([holed, None, mixed, shapely.Polygon(), shapely.MultiPoint([(0, 0), (1, 1)])])
    projected = project_geometries(geometries, -180.0)
    frame = make_frame(shapely.bounds(projected), -180.0)
    areas, lines, points = pack_shapes(projected, np.arange(5), frame)
    assert (areas.mark, areas.places, areas.rings, areas.lengths) == ("area", [0, 2], [2, 2], [5, 5, 5, 5])
    assert (lines.places, lines.rings, lines.lengths) == ([2], [1], [2])
    assert (points.places, points.rings, points.lengths) == ([2, 4], [1, 1], [1, 2])
    unpacked = np.frombuffer(base64.b64decode(areas.xy), "<i4").reshape(-1, 2) * frame.unit + (frame.x, frame.y)
    expected = shapely.get_coordinates(projected[[0]])
    np.testing.assert_allclose(unpacked[:10], expected, atol=frame.unit)


def test_frame_of_the_globe_fits_into_integers():
    projected = project_geometries(np.array([shapely.box(-180, -90, 180, 90)]), -180.0)
    frame = make_frame(shapely.bounds(projected), -180.0)
    (packed,) = pack_shapes(projected, np.array([0]), frame)
    numbers = np.frombuffer(base64.b64decode(packed.xy), "<i4").reshape(-1, 2)
    np.testing.assert_allclose(numbers * frame.unit + (frame.x, frame.y), shapely.get_coordinates(projected), atol=1)


def test_simplified_outlines_stay_near():
    angles = np.linspace(0, 2 * np.pi, 5000)
    circle = shapely.Polygon(np.column_stack((np.cos(angles), np.sin(angles))) * 1000)
    (same,), none = simplify_outlines([np.array([circle])])
    assert none == 0
    assert same[0] is circle
    (simple,), tolerance = simplify_outlines([np.array([circle])], max_vertices=100)
    assert shapely.get_num_coordinates(simple[0]) <= 100
    assert circle.hausdorff_distance(simple[0]) <= 2 * tolerance
