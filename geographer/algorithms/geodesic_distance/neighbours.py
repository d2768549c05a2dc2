"""Join footprints by geodesic distance: find a few links that connect the same components as all close pairs do.

Distances are straight lines through the Earth. A chord is never longer than its geodesic on WGS84, so no pair within
the buffer is missed, also near the poles and across the antimeridian. Some pairs slightly beyond it are included: a
chord is shorter by a fraction of (buffer / 6,371 km)² / 24 (a millionth at 30 km, 0.1 % at 1,000 km), and boundaries
are approximated to 0.05 % of the buffer or 1 mm, whichever is more.
"""

from collections.abc import Sequence

import numpy as np
import shapely
from scipy.spatial import cKDTree

from geographer.algorithms.connected_components import (
    NO_LINKS,
    Bools,
    Floats,
    Ints,
    Links,
    chain_group_members,
    label_components,
    rank_in_groups,
)
from geographer.algorithms.geodesic_distance.footprints import (
    BALL_FACTOR,
    BALL_REACH,
    Footprints,
    are_within_distance,
    iter_neighbours,
    iter_portions,
    range_products,
    sample_boundaries,
    sphere_gaps,
)
from geographer.base.errors import UsageError

ROUNDING = 1e-6
"""Metres: more than rounding adds to a distance, so that a shared corner is at distance 0."""
MIN_PAIRS_FOR_CELL_TEST = 256
"""From this many pairs of footprints between two cells on, it pays to test the cells as wholes first."""
MAX_CELL_MEMBERS = 1000
"""Footprints in a cell at most, so that all pairs of two cells fit in memory."""


def find_close_links(
    footprints: Sequence[bytes], buffer_m: float, parts: Ints | None = None, excluded: Bools | None = None
) -> Links:
    """Find few links between footprints within `buffer_m` metres that connect the same components as all pairs do.

    Footprints that touch, overlap or contain one another are at distance 0. Time and memory grow with the number of
    footprints (times that of their neighbours in other parts), not of pairs.

    Args:
        footprints: WKB polygons or multipolygons in WGS84 degrees (longitude, latitude), split at the antimeridian;
            their lines are straight in longitude/latitude.
        buffer_m: The distance in metres, 0 or more.
        parts: The number of the part that each footprint is assigned to, negative if none, shape (n,): every close pair
            of different parts is included, so that each leak between parts is reported.
        excluded: Which footprints are currently left out of the split, shape (n,): the links still connect the same
            components as all pairs after these are removed.

    Returns:
        Index pairs i < j, shape (m, 2), sorted, without repeats.

    Raises:
        UsageError: the buffer is negative or not finite, or a footprint is not a polygon on the Earth.
    """
    distance, tolerance = parse_buffer(buffer_m)
    if len(footprints) < 2:
        return NO_LINKS
    on_earth = Footprints.from_wkb(footprints)
    indices = np.arange(len(on_earth))
    links = NO_LINKS
    if excluded is not None and excluded.any():
        links = grow_spanning_links(on_earth, indices[~excluded], links, distance, tolerance)
    links = grow_spanning_links(on_earth, indices, links, distance, tolerance)
    if parts is not None:
        links = np.concatenate([links, find_near_pairs(on_earth, distance, tolerance, parts)])
    return np.unique(np.sort(links, axis=1), axis=0)


def find_close_pairs(footprints: Sequence[bytes], buffer_m: float, parts: Ints, selected: Bools) -> Links:
    """Find all pairs of footprints within `buffer_m` metres that are of different parts, or of which one is selected.

    Args:
        footprints: As in `find_close_links`.
        buffer_m: The distance in metres, 0 or more.
        parts: The number of the part of each footprint, shape (n,).
        selected: Which footprints' pairs are found in any case, shape (n,).

    Returns:
        Index pairs i < j, shape (m, 2), sorted, without repeats.

    Raises:
        UsageError: the buffer is negative or not finite, or a footprint is not a polygon on the Earth.
    """
    distance, tolerance = parse_buffer(buffer_m)
    on_earth, close = Footprints.from_wkb(footprints), [NO_LINKS]
    for pairs in iter_neighbours(on_earth.centre, on_earth.radius, distance):
        a, b = pairs.T
        pairs = pairs[(parts[a] != parts[b]) | selected[a] | selected[b]]
        close.append(pairs[are_within_distance(on_earth, pairs, distance, tolerance)])
    return np.unique(np.sort(np.concatenate(close), axis=1), axis=0)


def parse_buffer(buffer_m: float) -> tuple[float, float]:
    """Return the distance that counts as near and the tolerance of boundaries in metres; validate the buffer."""
    if not (np.isfinite(buffer_m) and buffer_m >= 0):
        raise UsageError(f"invalid buffer {buffer_m:g}. Use metres, 0 or more, e.g. --buffer 500.")
    return buffer_m + ROUNDING, max(5e-4, 2.5e-4 * buffer_m)


def find_near_pairs(footprints: Footprints, distance: float, tolerance: float, groups: Ints) -> Links:
    """Find all near pairs, shape (k, 2), of different `groups`, shape (n,); negative groups are left out."""
    near = [NO_LINKS]
    for pairs in iter_neighbours(footprints.centre, footprints.radius, distance):
        a, b = groups[pairs].T
        pairs = pairs[(a != b) & (a >= 0) & (b >= 0)]
        near.append(pairs[are_within_distance(footprints, pairs, distance, tolerance)])
    return np.concatenate(near)


def grow_spanning_links(footprints: Footprints, among: Ints, links: Links, distance: float, tolerance: float) -> Links:
    """Extend `links` until they connect all components of the 'within distance' graph on the footprints `among`.

    Footprints in the same grid cell are within the distance by construction. Neighbouring cells that are not connected
    yet are tested, nearest first, until one link is found or none exists.
    """
    if not len(among):
        return links
    cell = assign_cells(footprints, among, distance)
    order = np.lexsort((among, cell))
    members, first = among[order], np.searchsorted(cell[order], np.arange(cell.max() + 2))
    count = np.diff(first)
    links = np.concatenate([links, chain_group_members(cell, among)])
    labels = label_components(len(footprints), links)
    centre, radius = bound_cells(footprints, members, first)
    for pairs in iter_neighbours(centre, radius, distance):
        pairs = pairs[np.argsort(sphere_gaps(centre, radius, pairs), kind="stable")]
        for portion in iter_portions(count[pairs[:, 0]] * count[pairs[:, 1]]):
            unconnected = select_unconnected(labels[members[first[:-1]]], pairs[portion])
            a, b = drop_distant_cells(footprints, members, first, unconnected, distance).T
            i, j, _ = range_products(first[a], count[a], first[b], count[b])
            candidates = np.column_stack([members[i], members[j]])
            added = find_joining_pairs(footprints, labels, candidates, distance, tolerance)
            links = np.concatenate([links, added])
            labels = merge_labels(labels, added)
    return links


def assign_cells(footprints: Footprints, among: Ints, distance: float) -> Ints:
    """Assign each of `among` to a grid cell, whose footprints are within `distance` of each other; shape (len(among),).

    A cell is a cube whose diagonal is at most the distance plus the two inscribed balls; its size is a power of two,
    chosen for each footprint. A cell with more than `MAX_CELL_MEMBERS` members is split.
    """
    reach = np.minimum(BALL_FACTOR * (distance + 2.0 * footprints.inner_radius[among]), BALL_REACH)
    level = np.floor(np.log2(reach))
    position = np.floor(footprints.inner_centre[among] / (2.0**level / np.sqrt(3.0))[:, None])
    _, cube = np.unique(np.column_stack([level, position]), axis=0, return_inverse=True)
    _, cell = np.unique(np.column_stack([cube, rank_in_groups(cube) // MAX_CELL_MEMBERS]), axis=0, return_inverse=True)
    return cell.astype(np.int64)


def bound_cells(footprints: Footprints, members: Ints, first: Ints) -> tuple[Floats, Floats]:
    """Return a sphere around the footprints of each cell: centres, shape (c, 3), and radii, shape (c,), in metres."""
    count = np.diff(first)
    centre = np.add.reduceat(footprints.centre[members], first[:-1]) / count[:, None]
    apart = np.linalg.norm(footprints.centre[members] - np.repeat(centre, count, axis=0), axis=1)
    return centre, np.maximum.reduceat(apart + footprints.radius[members], first[:-1])


def drop_distant_cells(footprints: Footprints, members: Ints, first: Ints, pairs: Links, distance: float) -> Links:
    """Drop the pairs of cells that have many members and, by samples of their boundaries, no two within `distance`.

    Two stacks of scenes of neighbouring places have many pairs whose bounding spheres meet, and no near pair.
    """
    count, is_kept = np.diff(first), np.ones(len(pairs), dtype=np.bool_)
    for row in np.flatnonzero(count[pairs].prod(axis=1) >= MIN_PAIRS_FOR_CELL_TEST):
        cells = [members[first[cell] : first[cell + 1]] for cell in pairs[row]]
        if not shapely.intersects(*(shapely.box(*shapely.total_bounds(footprints.polygons[cell])) for cell in cells)):
            step = max(distance, *(footprints.radius[cell].max() / 64 for cell in cells))
            a, b = (cKDTree(sample_boundaries(footprints, cell, step)) for cell in cells)
            is_kept[row] = a.count_neighbors(b, distance + 2.0 * step) > 0
    return pairs[is_kept]


def find_joining_pairs(footprints: Footprints, labels: Ints, pairs: Links, distance: float, tolerance: float) -> Links:
    """Select near pairs out of `pairs` that join all components which any of them can join.

    Like Borůvka's minimum spanning tree algorithm: each component tests the pair whose spheres are nearest, and near
    pairs join components. Then each tests two pairs, then four, so that fruitless searches end soon.
    """
    pairs = select_unconnected(labels, pairs)
    gaps = sphere_gaps(footprints.centre, footprints.radius, pairs)
    candidates = np.flatnonzero(gaps <= distance)
    pairs = pairs[candidates[np.argsort(gaps[candidates], kind="stable")]]
    added, batch_size = NO_LINKS, 1
    while len(pairs):
        # The pairs that are among the first of one of their components.
        rows = np.unique(np.flatnonzero(rank_in_groups(labels[pairs].ravel()) < batch_size) // 2)
        is_near = are_within_distance(footprints, pairs[rows], distance, tolerance)
        added = np.concatenate([added, pairs[rows[is_near]]])
        labels = merge_labels(labels, pairs[rows[is_near]])
        pairs = select_unconnected(labels, np.delete(pairs, rows, axis=0))
        batch_size *= 2
    return added


def select_unconnected(labels: Ints, pairs: Links) -> Links:
    """Select the pairs, shape (k, 2), whose members have different `labels`, shape (n,)."""
    is_unconnected: Bools = labels[pairs[:, 0]] != labels[pairs[:, 1]]
    return pairs[is_unconnected]


def merge_labels(labels: Ints, links: Links) -> Ints:
    """Return `labels`, shape (n,), after the components that `links`, shape (k, 2), connect are merged."""
    merged: Ints = label_components(int(labels.max()) + 1, labels[links])
    return merged[labels]
