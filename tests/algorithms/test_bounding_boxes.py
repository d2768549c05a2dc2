"""Boxes in pixel coordinates, on shapes whose boxes one knows."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import affinity

from geographer.algorithms.bounding_boxes import boxed


def test_what_lies_inside_is_boxed_whole():
    assert boxed(shapely.box(2.5, 3, 7, 9.25), 20, 10) == (
        (2.5, 3, 7, 9.25),
        ((2.5, 3), (7, 3), (7, 9.25), (2.5, 9.25)),
        1,
    )


def test_what_reaches_past_the_raster_is_clipped_first_and_its_visible_share_is_told():
    found = boxed(shapely.box(-6, 4, 2, 14), 20, 10)
    assert found is not None
    assert found.box == (0, 4, 2, 10)
    assert found.visible == pytest.approx(2 * 6 / 80)


@pytest.mark.parametrize("angle", [0, 10, 30, 45, 77, 90, 133, 250])
def test_the_corners_of_a_turned_rectangle_are_its_own_from_the_topmost_clockwise_on_the_screen(angle: float):
    rectangle = affinity.rotate(shapely.box(30, 40, 50, 46), angle)
    found = boxed(rectangle, 100, 100)
    assert found is not None
    corners = np.array(found.corners)
    own = shapely.get_coordinates(rectangle)[:4]
    assert all(np.abs(own - corner).sum(axis=1).min() < 1e-4 for corner in corners)
    assert corners[0, 1] <= corners[:, 1].min() + 1e-5
    sides = np.roll(corners, -1, axis=0) - corners
    turns = sides[:, 0] * np.roll(sides, -1, axis=0)[:, 1] - sides[:, 1] * np.roll(sides, -1, axis=0)[:, 0]
    assert (turns > 0).all()
    x0, y0, x1, y1 = found.box
    assert (x0, y0, x1, y1) == pytest.approx(rectangle.bounds, abs=1e-5)


def test_of_the_three_smallest_rectangles_of_a_triangle_the_same_is_taken_wherever_it_lies():
    """All have twice its area, 28; the one along the side of the length √20 has the shortest sides."""
    triangle = np.array([(0, 0), (7, 0), (2, 4)])
    for column, row in np.random.default_rng(1).uniform(0, 90, (200, 2)):
        shape = shapely.Polygon(triangle + np.array([column, row]))
        found = boxed(shape, 100, 100)
        assert found is not None
        corners = np.array(found.corners)
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        assert sorted(sides) == pytest.approx(sorted([28 / 20**0.5, 20**0.5] * 2), abs=1e-4)
        assert shapely.Polygon(corners).area == pytest.approx(28, abs=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_no_rectangle_at_any_angle_is_smaller(seed: int):
    shape = shapely.MultiPoint(np.random.default_rng(seed).uniform(5, 60, (9, 2))).convex_hull
    found = boxed(shape, 100, 100)
    assert found is not None
    box = shapely.Polygon(found.corners)
    assert box.buffer(1e-4).contains(shape)
    turned = [shapely.box(*affinity.rotate(shape, angle).bounds).area for angle in np.arange(0, 90, 0.25)]
    assert box.area <= min(turned) * (1 + 2e-4)
    assert box.area == pytest.approx(shapely.oriented_envelope(shape).area, rel=2e-4)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(20, 0, 30, 10),
        shapely.box(-5, -5, 0, 0),
        shapely.box(40, 40, 50, 50),
        shapely.Polygon([(20, 2), (25, 0), (25, 4)]),
    ],
    ids=["along the edge", "at the corner", "away", "with its tip"],
)
def test_what_only_touches_the_raster_has_no_box(shape: shapely.Polygon):
    assert boxed(shape, 20, 10) is None


def test_where_it_only_touches_the_border_an_object_s_box_does_not_reach():
    """A fork whose one tine lies on the raster, while the other only runs along its lower edge."""
    fork = shapely.union_all([shapely.box(2, 5, 4, 12), shapely.box(2, 10, 18, 12)])
    found = boxed(fork, 20, 10)
    assert found is not None
    assert found.box == (2, 5, 4, 10)


def test_several_parts_share_a_box_and_a_pinched_polygon_has_one():
    parts = shapely.MultiPolygon([shapely.box(1, 1, 2, 2), shapely.box(8, 5, 9, 7)])
    assert boxed(parts, 20, 10).box == (1, 1, 9, 7)
    pinched = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    assert not pinched.is_valid
    assert boxed(pinched, 20, 10).box == (0, 0, 4, 4)
