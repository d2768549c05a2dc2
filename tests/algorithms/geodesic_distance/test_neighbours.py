"""The geodesic distance join, compared with geodesics of pyproj along finely sampled boundaries."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyproj import Geod

from geographer.algorithms.connected_components import NO_LINKS, label_components
from geographer.algorithms.geodesic_distance.footprints import Footprints
from geographer.algorithms.geodesic_distance.neighbours import find_close_links, find_near_pairs, parse_buffer
from geographer.base.errors import UsageError

WGS84 = Geod(ellps="WGS84")


def find_close_pairs(footprints, buffer_m, parts=None):
    """Find all pairs within the buffer, or those of different parts; i < j, sorted; each is found once."""
    distance, tolerance = parse_buffer(buffer_m)
    if len(footprints) < 2:
        return NO_LINKS
    parts = np.arange(len(footprints)) if parts is None else parts
    pairs = find_near_pairs(Footprints.from_wkb(footprints), distance, tolerance, parts)
    assert len(np.unique(np.sort(pairs, axis=1), axis=0)) == len(pairs)
    return pairs[np.lexsort(pairs.T[::-1])]


def to_wkb(*shapes):
    return [shapely.to_wkb(shape) for shape in shapes]


def make_box(west, south, east, north):
    return shapely.box(west, south, east, north)


def make_chip(lon, lat, size=0.003):
    return make_box(lon - size / 2, lat - size / 2, lon + size / 2, lat + size / 2)


def are_close(first, second, buffer_m):
    pairs = find_close_pairs(to_wkb(first, second), buffer_m)
    assert label_components(2, find_close_links(to_wkb(first, second), buffer_m)).tolist() == [0, 1 - len(pairs)]
    return len(pairs) == 1


def search_geodesic_distance(first, second):
    """Search the distance of two boundaries: sample each pair of sides, then refine around the nearest samples."""
    sides = np.array([[*a, *b] for a in list_sides(first) for b in list_sides(second)])
    position_a = position_b = np.full(len(sides), 0.5)
    step, count = 0.5, 33
    while step > 1e-10:
        offsets = np.linspace(-step, step, count)
        grid_a, grid_b = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
        a = np.clip(position_a[:, None] + grid_a, 0, 1)
        b = np.clip(position_b[:, None] + grid_b, 0, 1)
        distance = geodesic_lengths(sides[:, 0:2], sides[:, 2:4], a, sides[:, 4:6], sides[:, 6:8], b)
        best = np.arange(len(sides)), distance.argmin(axis=1)
        position_a, position_b, nearest = a[best], b[best], distance[best].min()
        step, count = (step / 8 if count == 33 else step / 2), 9
    return nearest


def list_sides(shape):
    corners = shapely.get_coordinates(shape)
    return [(*start, *end) for start, end in pairwise(corners) if tuple(start) != tuple(end)]


def geodesic_lengths(start_a, end_a, a, start_b, end_b, b):
    lon_a, lat_a = (start_a[:, axis, None] * (1 - a) + end_a[:, axis, None] * a for axis in (0, 1))
    lon_b, lat_b = (start_b[:, axis, None] * (1 - b) + end_b[:, axis, None] * b for axis in (0, 1))
    return WGS84.inv(lon_a, lat_a, lon_b, lat_b)[2]


latitudes = st.floats(-89.9, 89.9) | st.sampled_from([-89.8, -60.0, 0.0, 45.0, 89.8])


@st.composite
def pairs_of_footprints(draw):
    """Draw two disjoint footprints of the width of a chip or a scene."""
    height, other_height = (draw(st.sampled_from([0.003, 0.02, 0.2, 1.0])) for _ in range(2))
    lat = draw(latitudes)
    stretch = 1 / max(np.cos(np.radians(lat)), 0.01)
    width, other_width = (min(side * stretch * draw(st.floats(0.5, 2)), 60) for side in (height, other_height))
    lon = draw(st.floats(-170, 100))
    south = min(max(lat, -90.0), 90.0 - height)
    gap = draw(st.floats(1e-4, 2.0)) * min(stretch, 10)
    other_south = min(max(south + draw(st.floats(-1.5, 1.5)), -90.0), 90.0 - other_height)
    first = make_box(lon, south, lon + width, south + height)
    west = min(lon + width + gap, 179.0)
    second = make_box(west, other_south, min(west + other_width, 180.0), other_south + other_height)
    return first, second


@given(pairs_of_footprints())
@settings(max_examples=40, deadline=None)
def test_pair_is_close_within_geodesic_distance(pair):
    first, second = pair
    distance = search_geodesic_distance(first, second)
    assume(distance > 1)
    assert are_close(first, second, distance * (1 + 1e-9) + 1e-6)
    assert not are_close(first, second, distance * 0.999 - 0.002)


def test_parallel_is_followed_as_a_curve():
    scene, north_of_it = make_box(10, 59, 12, 60), make_chip(11, 60.0016 + 0.00009, size=0.003)
    gap = WGS84.inv(11, 60, 11, 60.0016 + 0.00009 - 0.0015)[2]
    assert are_close(scene, north_of_it, gap + 0.001)
    assert not are_close(scene, north_of_it, gap - 0.01)


@pytest.mark.parametrize("lat", [-89.99, -45, 0, 78])
def test_distance_across_antimeridian(lat):
    west, east = make_box(179.9, lat, 180, lat + 0.005), make_box(-180, lat, -179.9, lat + 0.005)
    assert are_close(west, east, 0)
    beyond = make_box(-179.99, lat, -179.9, lat + 0.005)
    gap = min(WGS84.inv(180, y, -179.99, y)[2] for y in (lat, lat + 0.005))
    assert are_close(west, beyond, gap + 0.001)
    assert not are_close(west, beyond, gap * 0.999 - 0.002)


def test_split_footprint_is_close_through_both_halves():
    halves = shapely.MultiPolygon([make_box(179.5, 10, 180, 11), make_box(-180, 10, -179.5, 11)])
    assert are_close(halves, make_box(-179.5, 10, -179, 11), 0)
    assert are_close(halves, make_chip(179.6, 10.5), 0)
    assert are_close(halves, make_chip(-179.6, 10.5), 0)
    assert not are_close(halves, make_chip(0, 10.5), 1e6)


def test_distance_across_pole():
    first, second = make_box(-1, 89.99, 1, 89.995), make_box(179, 89.99, 180, 89.995)
    over_the_pole = WGS84.inv(0, 89.995, 180, 89.995)[2]
    assert are_close(first, second, over_the_pole + 0.001)
    assert not are_close(first, second, over_the_pole * 0.999)


def test_polar_cap_contains_its_interior():
    cap = make_box(-180, 80, 180, 90)
    assert are_close(cap, make_chip(100, 89), 0)
    assert not are_close(cap, make_chip(100, 79.9), 10_900)
    assert are_close(cap, make_chip(100, 79.9), 11_000)


def test_contained_chip_has_distance_zero():
    assert are_close(make_box(9, 40, 10, 41), make_chip(9.5, 40.5), 0)


def test_global_raster_is_close_to_everything():
    assert are_close(make_box(-180, -90, 180, 90), make_chip(-100, 30), 0)
    assert are_close(make_box(-180, -60, 180, 84), make_chip(3, 50), 0)


def test_distance_of_chip_in_hole():
    ring = shapely.Polygon(make_box(9, 40, 10, 41).exterior, [make_box(9.4, 40.4, 9.6, 40.6).exterior])
    inside = make_chip(9.5, 40.5)
    gap = search_geodesic_distance(shapely.Polygon(ring.interiors[0]), inside)
    assert are_close(ring, inside, gap + 0.001)
    assert not are_close(ring, inside, gap * 0.999)


def test_crossing_footprints_have_distance_zero():
    assert are_close(make_box(9, 40, 10, 41), make_box(8, 40.4, 11, 40.6), 0)


def test_shared_corner_has_distance_zero():
    assert are_close(make_box(9, 40, 10, 41), make_box(10, 41, 11, 42), 0)


@pytest.mark.parametrize("offset", [0.3, 0.7])
def test_one_metre_buffer_between_large_scenes(offset):
    metre = 1 / WGS84.inv(10, 45, 10, 46)[2]
    apart = make_box(9.2, 46 + offset * metre, 10.8, 47)
    assert are_close(make_box(9, 45, 11, 46), apart, 0.5) == (offset < 0.5)


def scatter_chips(seed, count, spread, sizes, centre=(10.0, 45.0)):
    rng = np.random.default_rng(seed)
    lon, lat = (middle + rng.uniform(-spread, spread, count) for middle in centre)
    return to_wkb(*(make_chip(x, y, size) for x, y, size in zip(lon, lat, rng.choice(sizes, count), strict=True)))


given_crowd = given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 60),
    spread=st.sampled_from([0.01, 0.1, 1.0]),
    sizes=st.sampled_from([[0.003], [0.003, 0.03], [0.003, 0.1, 1.0]]),
    buffer_m=st.sampled_from([0, 30, 1000, 20_000]),
)


@given_crowd
@settings(max_examples=40, deadline=None)
def test_links_connect_like_all_pairs(seed, count, spread, sizes, buffer_m):
    footprints = scatter_chips(seed, count, spread, sizes)
    pairs, links = find_close_pairs(footprints, buffer_m), find_close_links(footprints, buffer_m)
    assert {*map(tuple, links)} <= {*map(tuple, pairs)}
    assert label_components(count, links).tolist() == label_components(count, pairs).tolist()


@given_crowd
@settings(max_examples=40, deadline=None)
def test_links_connect_without_excluded_footprints(seed, count, spread, sizes, buffer_m):
    footprints = scatter_chips(seed, count, spread, sizes)
    excluded = np.random.default_rng(seed + 1).random(count) < 0.4
    pairs, links = find_close_pairs(footprints, buffer_m), find_close_links(footprints, buffer_m, excluded=excluded)
    rest = [candidates[~excluded[candidates].any(axis=1)] for candidates in (links, pairs)]
    assert label_components(count, rest[0]).tolist() == label_components(count, rest[1]).tolist()
    assert label_components(count, links).tolist() == label_components(count, pairs).tolist()


@given_crowd
@settings(max_examples=40, deadline=None)
def test_links_include_all_pairs_across_parts(seed, count, spread, sizes, buffer_m):
    footprints = scatter_chips(seed, count, spread, sizes)
    parts = np.random.default_rng(seed + 1).integers(-1, 3, count)
    crossing = [
        (i, j)
        for i, j in find_close_pairs(footprints, buffer_m)
        if parts[i] != parts[j] and min(parts[i], parts[j]) >= 0
    ]
    assert {*crossing} <= {*map(tuple, find_close_links(footprints, buffer_m, parts))}
    assert find_close_pairs(footprints, buffer_m, parts).tolist() == [list(pair) for pair in crossing]


@given_crowd
@settings(max_examples=20, deadline=None)
def test_pairs_ignore_order_of_footprints(seed, count, spread, sizes, buffer_m):
    footprints = scatter_chips(seed, count, spread, sizes)
    order = np.random.default_rng(seed + 1).permutation(count)
    shuffled = np.sort(order[find_close_pairs([footprints[i] for i in order], buffer_m)], axis=1)
    assert {*map(tuple, shuffled)} == {*map(tuple, find_close_pairs(footprints, buffer_m))}


def test_pairs_are_unique_and_sorted():
    footprints = to_wkb(
        make_chip(10, 45), make_chip(50, 45), make_box(9, 44, 11, 46), make_chip(10.001, 45), make_chip(50.001, 45)
    )
    assert find_close_pairs(footprints, 0).tolist() == [[0, 2], [0, 3], [1, 4], [2, 3]]


@pytest.mark.parametrize(("buffer_m", "stack_count"), [(1000, 2), (10_000, 2), (12_000, 1)])
def test_stacks_are_joined_within_buffer(buffer_m, stack_count):
    rng = np.random.default_rng(3)
    shifts = rng.uniform(0, 0.01, (50, 2))
    scenes = [make_box(x + dx, 45 + dy, x + dx + 1.2, 46 + dy) for x in (10, 11.35) for dx, dy in shifts]
    assert label_components(100, find_close_links(to_wkb(*scenes), buffer_m)).max() + 1 == stack_count


def test_links_of_crowd_need_linear_memory():
    count = 6000
    footprints = scatter_chips(5, count, 0.05, [0.003])
    tracemalloc.start()
    links = find_close_links(footprints, 20_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert label_components(count, links).max() == 0
    assert len(links) < 2 * count
    assert peak < 150e6, "all pairs would need 290 MB"


def test_single_footprint_has_no_pairs():
    assert find_close_pairs([], 10).shape == find_close_links(to_wkb(make_chip(0, 0)), 10).shape == (0, 2)


@pytest.mark.parametrize("buffer_m", [-1, float("nan"), float("inf")])
@pytest.mark.parametrize("find", [find_close_pairs, find_close_links])
def test_invalid_buffer_is_rejected(find, buffer_m):
    with pytest.raises(UsageError, match=r"invalid buffer .* Use metres, 0 or more"):
        find(to_wkb(make_chip(0, 0), make_chip(1, 1)), buffer_m)


@pytest.mark.parametrize(
    "shape",
    [
        shapely.Point(1, 1),
        shapely.LineString([(0, 0), (1, 1)]),
        shapely.Polygon(),
        make_box(179, 0, 181, 1),
        make_box(0, 89, 1, 91),
        make_box(500_000, 4_000_000, 600_000, 4_100_000),
    ],
)
def test_invalid_footprint_is_reported_by_index(shape):
    with pytest.raises(UsageError, match="footprint 1 is not a polygon"):
        find_close_pairs(to_wkb(make_chip(0, 0), shape), 10)


def test_invalid_wkb_is_reported_by_index():
    with pytest.raises(UsageError, match="footprint 1 is not a polygon"):
        find_close_pairs([*to_wkb(make_chip(0, 0)), b"chip"], 10)
