"""Footprints within a buffer are found: against geodesics by pyproj along finely sampled boundaries."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geographer.algorithms.connected_components import components
from geographer.algorithms.geodesic_distance.neighbours import close_links, close_pairs
from geographer.base.errors import UsageError

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
@settings(max_examples=40, deadline=None)
def test_two_footprints_are_close_from_their_geodesic_distance_on(pair):
    one, other = pair
    distance = geodesic_distance(one, other)
    assume(distance > 1)
    assert are_close(one, other, distance * (1 + 1e-9) + 1e-6)
    assert not are_close(one, other, distance * 0.999 - 0.002)


def test_a_curved_parallel_is_followed_not_cut_short():
    scene, north_of_it = box(10, 59, 12, 60), chip(11, 60.0016 + 0.00009, size=0.003)
    gap = WGS84.inv(11, 60, 11, 60.0016 + 0.00009 - 0.0015)[2]
    assert are_close(scene, north_of_it, gap + 0.001)
    assert not are_close(scene, north_of_it, gap - 0.01)


@pytest.mark.parametrize("lat", [-89.99, -45, 0, 78])
def test_the_antimeridian_is_no_border(lat):
    west, east = box(179.9, lat, 180, lat + 0.005), box(-180, lat, -179.9, lat + 0.005)
    assert are_close(west, east, 0)
    beyond = box(-179.99, lat, -179.9, lat + 0.005)
    gap = min(WGS84.inv(180, y, -179.99, y)[2] for y in (lat, lat + 0.005))
    assert are_close(west, beyond, gap + 0.001)
    assert not are_close(west, beyond, gap * 0.999 - 0.002)


def test_a_footprint_of_two_halves_is_close_to_what_either_half_is_close_to():
    halves = shapely.MultiPolygon([box(179.5, 10, 180, 11), box(-180, 10, -179.5, 11)])
    assert are_close(halves, box(-179.5, 10, -179, 11), 0)
    assert are_close(halves, chip(179.6, 10.5), 0)
    assert are_close(halves, chip(-179.6, 10.5), 0)
    assert not are_close(halves, chip(0, 10.5), 1e6)


def test_footprints_on_either_side_of_a_pole_are_close_over_it():
    one, other = box(-1, 89.99, 1, 89.995), box(179, 89.99, 180, 89.995)
    over_the_pole = WGS84.inv(0, 89.995, 180, 89.995)[2]
    assert are_close(one, other, over_the_pole + 0.001)
    assert not are_close(one, other, over_the_pole * 0.999)


def test_a_footprint_around_a_pole_holds_what_lies_inside():
    cap = box(-180, 80, 180, 90)
    assert are_close(cap, chip(100, 89), 0)
    assert not are_close(cap, chip(100, 79.9), 10_900)
    assert are_close(cap, chip(100, 79.9), 11_000)


def test_a_chip_deep_inside_a_scene_is_at_distance_zero():
    assert are_close(box(9, 40, 10, 41), chip(9.5, 40.5), 0)


def test_a_global_raster_is_close_to_everything():
    assert are_close(box(-180, -90, 180, 90), chip(-100, 30), 0)
    assert are_close(box(-180, -60, 180, 84), chip(3, 50), 0)


def test_a_chip_in_a_hole_is_as_far_away_as_the_edge_of_the_hole():
    ring = shapely.Polygon(box(9, 40, 10, 41).exterior, [box(9.4, 40.4, 9.6, 40.6).exterior])
    inside = chip(9.5, 40.5)
    gap = geodesic_distance(shapely.Polygon(ring.interiors[0]), inside)
    assert are_close(ring, inside, gap + 0.001)
    assert not are_close(ring, inside, gap * 0.999)


def test_a_bar_that_crosses_a_scene_is_at_distance_zero():
    assert are_close(box(9, 40, 10, 41), box(8, 40.4, 11, 40.6), 0)


def test_scenes_that_share_a_corner_are_at_distance_zero():
    assert are_close(box(9, 40, 10, 41), box(10, 41, 11, 42), 0)


@pytest.mark.parametrize("offset", [0.3, 0.7])
def test_a_buffer_of_a_metre_is_kept_between_scenes_of_a_hundred_kilometres(offset):
    metre = 1 / WGS84.inv(10, 45, 10, 46)[2]
    apart = box(9.2, 46 + offset * metre, 10.8, 47)
    assert are_close(box(9, 45, 11, 46), apart, 0.5) == (offset < 0.5)


def scattered(seed, count, spread, sizes, centre=(10.0, 45.0)):
    rng = np.random.default_rng(seed)
    lon, lat = (middle + rng.uniform(-spread, spread, count) for middle in centre)
    return wkb(*(chip(x, y, size) for x, y, size in zip(lon, lat, rng.choice(sizes, count), strict=True)))


settings_of_a_crowd = given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    spread=st.sampled_from([0.01, 0.1, 1.0]),
    sizes=st.sampled_from([[0.003], [0.003, 0.03], [0.003, 0.1, 1.0]]),
    buffer_m=st.sampled_from([0, 30, 1000, 20_000]),
)


@settings_of_a_crowd
@settings(max_examples=40, deadline=None)
def test_links_are_close_pairs_and_join_what_all_of_them_join(seed, count, spread, sizes, buffer_m):
    footprints = scattered(seed, count, spread, sizes)
    pairs, links = close_pairs(footprints, buffer_m), close_links(footprints, buffer_m)
    assert {*map(tuple, links)} <= {*map(tuple, pairs)}
    assert components(count, links).tolist() == components(count, pairs).tolist()


@settings_of_a_crowd
@settings(max_examples=40, deadline=None)
def test_links_still_join_the_rest_when_what_is_excluded_goes(seed, count, spread, sizes, buffer_m):
    footprints = scattered(seed, count, spread, sizes)
    excluded = np.random.default_rng(seed + 1).random(count) < 0.4
    pairs, links = close_pairs(footprints, buffer_m), close_links(footprints, buffer_m, excluded=excluded)
    rest = [some[~excluded[some].any(axis=1)] for some in (links, pairs)]
    assert components(count, rest[0]).tolist() == components(count, rest[1]).tolist()
    assert components(count, links).tolist() == components(count, pairs).tolist()


@settings_of_a_crowd
@settings(max_examples=40, deadline=None)
def test_links_hold_every_close_pair_of_two_parts(seed, count, spread, sizes, buffer_m):
    footprints = scattered(seed, count, spread, sizes)
    parts = np.random.default_rng(seed + 1).integers(-1, 3, count)
    crossing = [
        (i, j) for i, j in close_pairs(footprints, buffer_m) if parts[i] != parts[j] and min(parts[i], parts[j]) >= 0
    ]
    assert {*crossing} <= {*map(tuple, close_links(footprints, buffer_m, parts))}
    assert close_pairs(footprints, buffer_m, parts).tolist() == [list(pair) for pair in crossing]


@settings_of_a_crowd
@settings(max_examples=20, deadline=None)
def test_the_order_of_footprints_does_not_matter(seed, count, spread, sizes, buffer_m):
    footprints = scattered(seed, count, spread, sizes)
    order = np.random.default_rng(seed + 1).permutation(count)
    shuffled = np.sort(order[close_pairs([footprints[i] for i in order], buffer_m)], axis=1)
    assert {*map(tuple, shuffled)} == {*map(tuple, close_pairs(footprints, buffer_m))}


def test_each_pair_comes_once_smaller_index_first_in_order():
    footprints = wkb(chip(10, 45), chip(50, 45), box(9, 44, 11, 46), chip(10.001, 45), chip(50.001, 45))
    assert close_pairs(footprints, 0).tolist() == [[0, 2], [0, 3], [1, 4], [2, 3]]


@pytest.mark.parametrize(("buffer_m", "heaps"), [(1000, 2), (10_000, 2), (12_000, 1)])
def test_heaps_of_scenes_are_joined_only_across_a_gap_within_the_buffer(buffer_m, heaps):
    rng = np.random.default_rng(3)
    shifts = rng.uniform(0, 0.01, (50, 2))
    scenes = [box(x + dx, 45 + dy, x + dx + 1.2, 46 + dy) for x in (10, 11.35) for dx, dy in shifts]
    assert components(100, close_links(wkb(*scenes), buffer_m)).max() + 1 == heaps


def test_thousands_of_chips_within_the_buffer_take_links_and_memory_of_thousands():
    count = 6000
    footprints = scattered(5, count, 0.05, [0.003])
    tracemalloc.start()
    links = close_links(footprints, 20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert components(count, links).max() == 0
    assert len(links) < 2 * count
    assert peak < 150e6, "all pairs would take 290 MB"


def test_one_footprint_or_none_has_no_pairs():
    assert close_pairs([], 10).shape == close_links(wkb(chip(0, 0)), 10).shape == (0, 2)


@pytest.mark.parametrize("buffer_m", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("find", [close_pairs, close_links])
def test_a_buffer_that_is_no_distance_is_refused(find, buffer_m):
    with pytest.raises(UsageError, match="--buffer 0 or more"):
        find(wkb(chip(0, 0), chip(1, 1)), buffer_m)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(1, 1),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.Polygon(),
        box(179, 0, 181, 1),
        box(0, 89, 1, 91),
        box(500_000, 4_000_000, 600_000, 4_100_000),
    ],
)
def test_a_footprint_that_is_no_polygon_on_the_earth_is_named(shape):
    with pytest.raises(UsageError, match="footprint 1 is no polygon"):
        close_pairs(wkb(chip(0, 0), shape), 10)


def test_bytes_that_are_no_wkb_are_named():
    with pytest.raises(UsageError, match="footprint 1 is no polygon"):
        close_pairs([*wkb(chip(0, 0)), b"chip"], 10)
