"""Joined rings, against shapely."""

from __future__ import annotations

import numpy as np
import shapely

from geographer.algorithms.joined_rings import join_rings


def is_inside(ring, points):
    """Whether each point is inside of a ring by the even-odd rule: rays to the right cross it an odd number of times."""
    (x, y), (x0, y0) = points.T, ring.T
    x1, y1 = np.roll(ring, -1, axis=0).T
    crosses = (y0[:, None] > y) != (y1[:, None] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x0[:, None] + (y - y0[:, None]) / (y1 - y0)[:, None] * (x1 - x0)[:, None]
    return (crosses & (x < at)).sum(axis=0) % 2 == 1


def test_joined_ring_covers_polygons_without_holes():
    random = np.random.default_rng(5)
    discs = shapely.points(random.uniform(0, 100, (12, 2))).tolist()
    area = shapely.union_all([disc.buffer(14, quad_segs=4) for disc in discs])
    area = area.difference(shapely.union_all([disc.buffer(4, quad_segs=2) for disc in discs]))
    parts = shapely.get_parts(area)
    rings = [shapely.get_coordinates(ring)[:-1] for part in parts for ring in (part.exterior, *part.interiors)]
    assert len(rings) > len(parts) > 1
    joined = join_rings(rings)
    points = random.uniform(-20, 120, (5000, 2))
    assert np.array_equal(is_inside(joined, points), shapely.contains_xy(area, points))


def test_single_ring_stays():
    ring = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert np.array_equal(join_rings([ring]), ring)
