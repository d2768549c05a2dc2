"""The smallest distance between two sets of footprints on WGS84, and pairs of footprints within a distance.

Boxes in longitude/latitude find candidates; the footprints of one block of candidates are in memory at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import shapely
from scipy.spatial import cKDTree

from geographer.algorithms.connected_components import NO_LINKS, Floats, Ints, Links
from geographer.algorithms.geodesic_distance.arcs import (
    DERIVATIVE_BOUND,
    SUBDIVISION,
    Arcs,
    chord_distances,
    max_latitude_cosine,
    subdivide_lines,
    to_geocentric,
)
from geographer.algorithms.geodesic_distance.footprints import (
    MAX_REGIONAL_RADIUS,
    WHOLE_EARTH_RADIUS,
    Footprints,
    are_within_distance,
    bound_arcs,
    iter_neighbours,
    iter_portions,
    range_products,
    sphere_gaps,
)
from geographer.algorithms.geodesic_distance.neighbours import parse_buffer

TOLERANCE: Final = 1e-3
"""Metres by which boundary lines are approximated, and within which distances count as equal."""
BLOCK_SIZE: Final = 1 << 13
"""How many pairs of footprints are in memory at a time."""
_MEAN_RADIUS: Final = 6371008.8


class Spheres(NamedTuple):
    """Spheres around n footprints: centres in geocentric metres, shape (n, 3), and radii, shape (n,)."""

    centre: Floats
    radius: Floats


class FootprintSource(NamedTuple):
    """n footprints that are read when they are needed.

    Attributes:
        spheres: A sphere around each.
        read: Returns the footprints of some indices as WKB in longitude/latitude.
    """

    spheres: Spheres
    read: Callable[[Ints], Sequence[bytes]]


class NearestPair(NamedTuple):
    """The nearest pair of footprints, the first by index among equals, and their distance in metres."""

    first: int
    second: int
    distance: float


def bound_boxes(boxes: Floats) -> Spheres:
    """Return spheres around boxes in degrees, shape (n, 4): west, south, east, north."""
    west, south, east, north = boxes.T
    centre = to_geocentric(np.column_stack([(west + east) / 2, (south + north) / 2]))
    cosine = max_latitude_cosine(np.stack([boxes[:, :2], boxes[:, 2:]], axis=1))
    half_width, half_height = np.radians(east - west) / 2, np.radians(north - south) / 2
    radius = DERIVATIVE_BOUND * np.hypot(half_height, cosine * half_width)
    is_regional = radius <= MAX_REGIONAL_RADIUS
    return Spheres(np.where(is_regional[:, None], centre, 0.0), np.where(is_regional, radius, WHOLE_EARTH_RADIUS))


def find_nearest_pair(source: FootprintSource, first: Ints, second: Ints) -> NearestPair:
    """Return the nearest pair of a footprint of `first` and one of `second`, two sets of indices without common ones.

    The distance is that along the ellipsoid, 0 if the footprints meet: the straight distance through the Earth, which
    is exact to a millimetre, as an arc of the mean sphere; up to 1,000 km that differs from the geodesic by less than
    one part in 100,000.
    """
    groups = np.full(len(source.spheres.radius), -1)
    groups[first], groups[second] = 0, 1
    sight = _measure_pair_in_sight(source, first, second)
    pairs = list_close_spheres(source.spheres, groups, sight + TOLERANCE)
    nearest = NearestPair(-1, -1, np.inf)
    for start in range(0, len(pairs), BLOCK_SIZE):
        footprints, local = _read_block(source, pairs[start : start + BLOCK_SIZE])
        row, distance = _find_first_nearest(footprints, local, min(sight, nearest.distance) + TOLERANCE)
        if distance < nearest.distance - TOLERANCE:
            a, b = pairs[start + row].tolist()
            nearest = NearestPair(a, b, distance)
        if distance == 0:
            break
    a, b = sorted(nearest[:2], key=lambda index: int(groups[index]))
    return NearestPair(a, b, measure_arc(nearest.distance))


def iter_near_pairs(
    source: FootprintSource, groups: Ints, buffer_m: float
) -> Iterator[tuple[Links, Footprints, Links]]:
    """Yield the pairs of different `groups` within a distance in metres, sorted, in blocks.

    Each block has the pairs i < j, the footprints that they are of, and the indices of the pairs in these.
    """
    distance, tolerance = parse_buffer(buffer_m)
    pairs = list_close_spheres(source.spheres, groups, distance)
    for start in range(0, len(pairs), BLOCK_SIZE):
        block = pairs[start : start + BLOCK_SIZE]
        footprints, local = _read_block(source, block)
        is_near = are_within_distance(footprints, local, distance, tolerance)
        yield block[is_near], footprints, local[is_near]


def list_close_spheres(spheres: Spheres, groups: Ints, max_gap: float) -> Links:
    """Return pairs i < j of spheres of different groups at most `max_gap` metres apart, sorted; negative: no group."""
    chosen, found = np.flatnonzero(groups >= 0), [NO_LINKS]
    for pairs in iter_neighbours(spheres.centre[chosen], spheres.radius[chosen], max_gap):
        pairs = chosen[pairs]
        found.append(pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]])
    pairs = np.sort(np.concatenate(found), axis=1)
    return pairs[np.lexsort(pairs.T[::-1])]


def measure_arc(chord: float) -> float:
    """Return the length in metres of an arc on the mean sphere whose ends have a straight distance."""
    return float(2.0 * _MEAN_RADIUS * np.arcsin(min(1.0, chord / (2.0 * _MEAN_RADIUS))))


def _measure_pair_in_sight(source: FootprintSource, first: Ints, second: Ints) -> float:
    """Return the straight distance of the pair of nearest spheres, which the nearest pair does not exceed."""
    centre, radius = source.spheres
    apart, nearest = cKDTree(centre[second]).query(centre[first])
    row = int((apart - radius[first] - radius[second[nearest]]).argmin())
    pair = np.array([[first[row], second[nearest[row]]]])
    return float(measure_distances(*_read_block(source, pair))[0])


def _find_first_nearest(footprints: Footprints, pairs: Links, limit: float) -> tuple[int, float]:
    """Return the first pair that is nearest, or within `TOLERANCE` of it, and its distance; infinity beyond `limit`."""
    meets = np.flatnonzero(shapely.intersects(*(footprints.polygons[column] for column in pairs.T)))
    if len(meets):
        return int(meets[0]), 0.0
    gaps = sphere_gaps(footprints.centre, footprints.radius, pairs)
    rows = np.flatnonzero(gaps <= limit)
    if not len(rows):
        return 0, np.inf
    distances = measure_distances(footprints, pairs[rows])
    row = int(np.flatnonzero(distances <= distances.min() + TOLERANCE)[0])
    return int(rows[row]), float(distances[row])


def _read_block(source: FootprintSource, pairs: Links) -> tuple[Footprints, Links]:
    """Return the footprints of a block of pairs, and the indices of the pairs in these."""
    members, local = np.unique(pairs, return_inverse=True)
    return Footprints.from_wkb(source.read(members)), local.reshape(pairs.shape)


def measure_distances(footprints: Footprints, pairs: Links) -> Floats:
    """Return the straight distance between the footprints of each pair, shape (k, 2), in metres; 0 where they meet."""
    distances = np.zeros(len(pairs))
    apart = np.flatnonzero(~shapely.intersects(*(footprints.polygons[column] for column in pairs.T)))
    count = np.diff(footprints.first)
    for portion in iter_portions(count[pairs[apart, 0]] * count[pairs[apart, 1]]):
        rows = apart[portion]
        distances[rows] = _measure_boundaries(footprints, pairs[rows])
    return distances


def _measure_boundaries(footprints: Footprints, pairs: Links) -> Floats:
    i, j = pairs.T
    (arc_i, owner_i), (arc_j, owner_j) = footprints.list_arcs(i), footprints.list_arcs(j)
    bounds = np.arange(len(pairs) + 1)
    first_i, first_j = np.searchsorted(owner_i, bounds), np.searchsorted(owner_j, bounds)
    a, b, owner = range_products(first_i[:-1], np.diff(first_i), first_j[:-1], np.diff(first_j))
    arcs_i, arcs_j = footprints.arcs[arc_i], footprints.arcs[arc_j]
    # Spheres around the arcs leave few pairs of arcs of each pair of footprints.
    (centre_i, radius_i), (centre_j, radius_j) = bound_arcs(arcs_i), bound_arcs(arcs_j)
    apart, slack = np.linalg.norm(centre_i[a] - centre_j[b], axis=1), radius_i[a] + radius_j[b]
    upper = np.full(len(pairs), np.inf)
    np.minimum.at(upper, owner, apart + slack)
    close = apart - slack <= upper[owner]
    return _find_smallest(arcs_i[a[close]], arcs_j[b[close]], owner[close], len(pairs))


def _find_smallest(a: Arcs, b: Arcs, owner: Ints, count: int) -> Floats:
    """Return the smallest distance of two arcs of each owner, shape (count,), to `TOLERANCE`.

    Pairs of arcs that cannot have it are dropped; of the others, the arc of larger sagitta is subdivided.
    """
    upper = np.full(count, np.inf)
    while len(owner):
        apart, slack = chord_distances(a, b), a.sagitta + b.sagitta
        np.minimum.at(upper, owner, apart + slack)
        undecided = np.flatnonzero((apart - slack <= upper[owner]) & (slack > TOLERANCE))
        pieces, row = np.full(len(undecided), SUBDIVISION, np.int64), np.repeat(undecided, SUBDIVISION)
        cuts_a = (a.sagitta >= b.sagitta)[row][:, None, None]
        a_ends = np.where(cuts_a, subdivide_lines(a.ends[undecided], pieces)[0], a.ends[row])
        b_ends = np.where(cuts_a, b.ends[row], subdivide_lines(b.ends[undecided], pieces)[0])
        a, b, owner = Arcs.from_ends(a_ends), Arcs.from_ends(b_ends), owner[row]
    return upper
