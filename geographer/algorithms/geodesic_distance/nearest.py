"""The smallest distance between two sets of footprints on WGS84, and a pair of footprints that has it."""

from typing import Final, NamedTuple

import numpy as np
import shapely
from scipy.spatial import cKDTree

from geographer.algorithms.connected_components import NO_LINKS, Floats, Ints, Links
from geographer.algorithms.geodesic_distance.arcs import SUBDIVISION, Arcs, chord_distances, subdivide_lines
from geographer.algorithms.geodesic_distance.footprints import (
    Footprints,
    iter_neighbours,
    iter_portions,
    range_products,
    select_facing_arcs,
    sphere_gaps,
)

TOLERANCE: Final = 1e-3
"""Metres by which boundary lines are approximated, and within which distances count as equal."""
_MEAN_RADIUS: Final = 6371008.8
_BATCH_SIZE: Final = 4096


class NearestPair(NamedTuple):
    """The pair of footprints nearest to each other, the first by index among equals, and their distance in metres."""

    first: int
    second: int
    distance: float


def find_nearest_pair(footprints: Footprints, first: Ints, second: Ints) -> NearestPair:
    """Return the nearest pair of a footprint of `first` and one of `second`, two sets of indices without common ones.

    The distance is that along the ellipsoid, 0 if the footprints meet: the straight distance through the Earth, which
    is exact to a millimetre, as an arc of the mean sphere; up to 1,000 km that differs from the geodesic by less than
    one part in 100,000.
    """
    pairs = _list_candidates(footprints, first, second)
    distances = np.full(len(pairs), np.inf)
    gaps = np.maximum(sphere_gaps(footprints.centre, footprints.radius, pairs), 0.0)
    order, best = np.argsort(gaps, kind="stable"), np.inf
    for start in range(0, len(order), _BATCH_SIZE):
        rows = order[start : start + _BATCH_SIZE]
        rows = rows[gaps[rows] <= best + TOLERANCE]
        if not len(rows):
            break
        distances[rows] = measure_distances(footprints, pairs[rows])
        best = min(best, float(distances[rows].min()))
    equal = pairs[distances <= best + TOLERANCE]
    a, b = equal[np.lexsort(equal.T[::-1])[0]]
    return NearestPair(int(a), int(b), measure_arc(best))


def measure_arc(chord: float) -> float:
    """Return the length in metres of an arc on the mean sphere whose ends have a straight distance."""
    return float(2.0 * _MEAN_RADIUS * np.arcsin(min(1.0, chord / (2.0 * _MEAN_RADIUS))))


def _list_candidates(footprints: Footprints, first: Ints, second: Ints) -> Links:
    """Return pairs of both sets, shape (k, 2), among which the nearest ones are: no farther than a pair in sight."""
    apart, nearest = cKDTree(footprints.inner_centre[second]).query(footprints.inner_centre[first])
    row = int(apart.argmin())
    sight = measure_distances(footprints, np.array([[first[row], second[nearest[row]]]]))[0] + TOLERANCE
    side = np.full(len(footprints), -1)
    side[first], side[second] = 0, 1
    chosen = np.flatnonzero(side >= 0)
    found = [NO_LINKS]
    for pairs in iter_neighbours(footprints.centre[chosen], footprints.radius[chosen], sight):
        pairs = chosen[pairs]
        pairs = pairs[side[pairs[:, 0]] != side[pairs[:, 1]]]
        found.append(np.where((side[pairs[:, 0]] == 0)[:, None], pairs, pairs[:, ::-1]))
    return np.concatenate(found)


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
    far = float(2.0 * _MEAN_RADIUS)
    arc_i, owner_i = select_facing_arcs(footprints, i, j, far)
    arc_j, owner_j = select_facing_arcs(footprints, j, i, far)
    bounds = np.arange(len(pairs) + 1)
    first_i, first_j = np.searchsorted(owner_i, bounds), np.searchsorted(owner_j, bounds)
    a, b, owner = range_products(first_i[:-1], np.diff(first_i), first_j[:-1], np.diff(first_j))
    return _find_smallest(footprints.arcs[arc_i[a]], footprints.arcs[arc_j[b]], owner, len(pairs))


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
