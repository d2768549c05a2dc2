"""Bounding boxes in pixel coordinates, of shapes with known boxes."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely import affinity

from geographer.algorithms.bounding_boxes import compute_boxes


def test_boxes_of_rectangle_inside_raster():
    assert compute_boxes(shapely.box(2.5, 3, 7, 9.25), 20, 10) == (
        (2.5, 3, 7, 9.25),
        ((2.5, 3), (7, 3), (7, 9.25), (2.5, 9.25)),
        1,
    )


def test_boxes_are_clipped_to_raster():
    boxes = compute_boxes(shapely.box(-6, 4, 2, 14), 20, 10)
    assert boxes is not None
    assert boxes.box == (0, 4, 2, 10)
    assert boxes.visible == pytest.approx(2 * 6 / 80)


@pytest.mark.parametrize("angle", [0, 10, 30, 45, 77, 90, 133, 250])
def test_corners_run_clockwise_from_topmost(angle: float):
    rectangle = affinity.rotate(shapely.box(30, 40, 50, 46), angle)
    boxes = compute_boxes(rectangle, 100, 100)
    assert boxes is not None
    corners = np.array(boxes.corners)
    rectangle_corners = shapely.get_coordinates(rectangle)[:4]
    assert all(np.abs(rectangle_corners - corner).sum(axis=1).min() < 1e-4 for corner in corners)
    assert corners[0, 1] <= corners[:, 1].min() + 1e-5
    sides = np.roll(corners, -1, axis=0) - corners
    turns = sides[:, 0] * np.roll(sides, -1, axis=0)[:, 1] - sides[:, 1] * np.roll(sides, -1, axis=0)[:, 0]
    assert (turns > 0).all()
    x0, y0, x1, y1 = boxes.box
    assert (x0, y0, x1, y1) == pytest.approx(rectangle.bounds, abs=1e-5)


def test_rectangle_of_triangle_ignores_position():
    """Three rectangles have the minimum area, 28; the one along the side of length √20 has the shortest sides."""
    triangle = np.array([(0, 0), (7, 0), (2, 4)])
    for column, row in np.random.default_rng(1).uniform(0, 90, (200, 2)):
        shape = shapely.Polygon(triangle + np.array([column, row]))
        boxes = compute_boxes(shape, 100, 100)
        assert boxes is not None
        corners = np.array(boxes.corners)
        sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
        assert sorted(sides) == pytest.approx(sorted([28 / 20**0.5, 20**0.5] * 2), abs=1e-4)
        assert shapely.Polygon(corners).area == pytest.approx(28, abs=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_rectangle_has_minimum_area(seed: int):
    shape = shapely.MultiPoint(np.random.default_rng(seed).uniform(5, 60, (9, 2))).convex_hull
    boxes = compute_boxes(shape, 100, 100)
    assert boxes is not None
    box = shapely.Polygon(boxes.corners)
    assert box.buffer(1e-4).contains(shape)
    rotated_areas = [shapely.box(*affinity.rotate(shape, angle).bounds).area for angle in np.arange(0, 90, 0.25)]
    assert box.area <= min(rotated_areas) * (1 + 2e-4)
    assert box.area == pytest.approx(shapely.oriented_envelope(shape).area, rel=2e-4)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.box(20, 0, 30, 10),
        shapely.box(-5, -5, 0, 0),
        shapely.box(40, 40, 50, 50),
        shapely.Polygon([(20, 2), (25, 0), (25, 4)]),
    ],
    ids=["edge", "corner", "apart", "vertex"],
)
def test_touching_shape_has_no_boxes(shape: shapely.Polygon):
    assert compute_boxes(shape, 20, 10) is None


def test_box_excludes_touching_part():
    """A fork has one tine on the raster, and another that only runs along its lower edge."""
    fork = shapely.union_all([shapely.box(2, 5, 4, 12), shapely.box(2, 10, 18, 12)])
    boxes = compute_boxes(fork, 20, 10)
    assert boxes is not None
    assert boxes.box == (2, 5, 4, 10)


def test_boxes_of_multipolygon_and_invalid_polygon():
    parts = shapely.MultiPolygon([shapely.box(1, 1, 2, 2), shapely.box(8, 5, 9, 7)])
    boxes = compute_boxes(parts, 20, 10)
    assert boxes is not None
    assert boxes.box == (1, 1, 9, 7)
    bow_tie = shapely.Polygon([(0, 0), (4, 4), (4, 0), (0, 4)])
    assert not bow_tie.is_valid
    boxes = compute_boxes(bow_tie, 20, 10)
    assert boxes is not None
    assert boxes.box == (0, 0, 4, 4)
