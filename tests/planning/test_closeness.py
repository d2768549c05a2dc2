"""Footprints within a buffer are found: against geodesics by pyproj along finely sampled boundaries."""

import tracemalloc
from itertools import combinations, pairwise

import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geographer.errors import UsageError
from geographer.planning.closeness import close_links, close_pairs
from geographer.planning.components import components

WGS84 = Geod(ellps="WGS84")


def wkb(*shapes):
    return [shapely.to_wkb(shape) for shape in shapes]


def box(west, south, east, north):
    return shapely.box(west, south, east, north)


def chip(lon, lat, size=0.003):
    return box(lon - size / 2, lat - size / 2, lon + size / 2, lat + size / 2)


def are_close(one, other, buffer_m):
    found = close_pairs(wkb(one, other), buffer_m)
    assert components(2, close_links(wkb(one, other), buffer_m)).tolist() == [0, 1 - len(found)]
    return len(found) == 1


def geodesic_distance(one, other):
    """Between two boundaries: each side with each, sampled, then ever more finely around the nearest samples."""
    sides = np.array([[*a, *b] for a in sides_of(one) for b in sides_of(other)])
    place_a = place_b = np.full(len(sides), 0.5)
    step, count = 0.5, 33
    while step > 1e-10:
        offsets = np.linspace(-step, step, count)
        grid_a, grid_b = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
        a = np.clip(place_a[:, None] + grid_a, 0, 1)
        b = np.clip(place_b[:, None] + grid_b, 0, 1)
        distance = between(sides[:, 0:2], sides[:, 2:4], a, sides[:, 4:6], sides[:, 6:8], b)
        best = np.arange(len(sides)), distance.argmin(axis=1)
        place_a, place_b, nearest = a[best], b[best], distance[best].min()
        step, count = (step / 8 if count == 33 else step / 2), 9
    return nearest


def sides_of(shape):
    corners = shapely.get_coordinates(shape)
    return [(*start, *end) for start, end in pairwise(corners) if tuple(start) != tuple(end)]


def between(start_a, end_a, a, start_b, end_b, b):
    lon_a, lat_a = (start_a[:, axis, None] * (1 - a) + end_a[:, axis, None] * a for axis in (0, 1))
    lon_b, lat_b = (start_b[:, axis, None] * (1 - b) + end_b[:, axis, None] * b for axis in (0, 1))
    return WGS84.inv(lon_a, lat_a, lon_b, lat_b)[2]


latitudes = st.floats(-89.9, 89.9) | st.sampled_from([-89.8, -60.0, 0.0, 45.0, 89.8])


@st.composite
def neighbours(draw):
    """Two footprints that share no place, anywhere; as wide as a chip or a scene."""
    height, other_height = (draw(st.sampled_from([0.003, 0.02, 0.2, 1.0])) for _ in range(2))
    lat = draw(latitudes)
    stretch = 1 / max(np.cos(np.radians(lat)), 0.01)
    width, other_width = (min(side * stretch * draw(st.floats(0.5, 2)), 60) for side in (height, other_height))
    lon = draw(st.floats(-170, 100))
    south = min(max(lat, -90.0), 90.0 - height)
    gap = draw(st.floats(1e-4, 2.0)) * min(stretch, 10)
    other_south = min(max(south + draw(st.floats(-1.5, 1.5)), -90.0), 90.0 - other_height)
    one = box(lon, south, lon + width, south + height)
    west = min(lon + width + gap, 179.0)
    other = box(west, other_south, min(west + other_width, 180.0), other_south + other_height)
    return one, other


@given(neighbours())
@settings(max_examples=60, deadline=None)
def test_two_footprints_are_close_from_their_geodesic_distance_on(pair):
    one, other = pair
    distance = geodesic_distance(one, other)
    assume(distance > 1)
    assert are_close(one, other, distance * (1 + 1e-9) + 1e-6)
    assert not are_close(one, other, distance * 0.999 - 0.002)
