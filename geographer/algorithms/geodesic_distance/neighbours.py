"""Which footprints lie within a distance of each other over the ground, and the fewest links that tell it.

Distances are measured straight through the Earth (a chord is never longer than the geodesic over it), so that
no pair within the buffer is missed, near the poles and across the antimeridian too. What is linked beyond it:
a chord is shorter by a share of (buffer / 6,371 km)² / 24 (a millionth at 30 km, 0.1 % at 1,000 km), and
boundaries are followed to 0.05 % of the buffer or 1 mm, whichever is more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from scipy.spatial import cKDTree

from geographer.algorithms.connected_components import NO_LINKS, Bools, Ints, Links, components, links_through
from geographer.algorithms.geodesic_distance.outlines import (
    SHORTCUT,
    SHORTCUT_REACH,
    SOME_PAIRS,
    Outlines,
    boundary_points,
    gaps,
    neighbours,
    portions,
    products,
    within,
)
from geographer.base.errors import UsageError

ROUNDING = 1e-6
"""Metres that rounding may add to a distance, with room to spare: a shared corner is at distance 0."""

MANY = 256
"""Pairs of footprints between two cells from which on it pays to look at the cells as wholes first."""

MEMBERS = 1000
"""How many footprints a cell holds at most, so that the pairs of two cells can be held at once."""


def close_pairs(footprints: Sequence[bytes], buffer_m: float, groups: Ints | None = None) -> Links:
    """All pairs of footprints within `buffer_m` metres of each other over the ground (geodesic on WGS84).

    Args:
        footprints: WKB polygons or multipolygons in longitude/latitude (that axis order), WGS84 degrees,
            split at the antimeridian. Lines between corners are straight in longitude/latitude. Those that
            touch, overlap or hold one another are at distance 0.
        buffer_m: The distance in metres, 0 or more.
        groups: With it, only pairs of different groups, and none with a negative one; shape (n,).

    Returns:
        Index pairs i < j, shape (m, 2), sorted. There may be as many as n² / 2: for connectivity use
        `close_links`.

    Raises:
        UsageError: the buffer is negative or not finite, or a footprint is no polygon on the Earth.
    """
    distance, tolerance = reaches(buffer_m)
    if len(footprints) < 2:
        return NO_LINKS
    return pairs_within(Outlines.of(footprints), distance, tolerance, groups)


def close_links(
    footprints: Sequence[bytes], buffer_m: float, parts: Ints | None = None, excluded: Bools | None = None
) -> Links:
    """Links between footprints within `buffer_m` metres of each other, as few as a split needs.

    Each link is a pair that `close_pairs` gives, and they join the same components as all of those would,
    also when the `excluded` footprints and their links are taken away. With `parts`, every pair whose parts
    differ is there as well, so that what leaks from part to part is seen pair by pair.

    Args:
        footprints: As for `close_pairs`.
        buffer_m: The distance in metres, 0 or more.
        parts: The number of the part that each is assigned to, negative where none is; shape (n,).
        excluded: Which are left out of the split for now; shape (n,).

    Returns:
        Index pairs i < j, shape (m, 2), sorted and without repeats. Time and memory follow the number of
        footprints (times that of unlike neighbours), not the number of pairs.

    Raises:
        UsageError: as for `close_pairs`.
    """
    distance, tolerance = reaches(buffer_m)
    if len(footprints) < 2:
        return NO_LINKS
    outlines = Outlines.of(footprints)
    everything = np.arange(len(outlines))
    links = NO_LINKS
    if excluded is not None and excluded.any():
        links = spanning(outlines, everything[~excluded], links, distance, tolerance)
    links = spanning(outlines, everything, links, distance, tolerance)
    if parts is not None:
        links = np.concatenate([links, pairs_within(outlines, distance, tolerance, parts)])
    return np.unique(np.sort(links, axis=1), axis=0)


def reaches(buffer_m: float) -> tuple[float, float]:
    """The distance that counts as near, and how well boundaries are followed where it matters, in metres."""
    if not (np.isfinite(buffer_m) and buffer_m >= 0):
        raise UsageError(f"a buffer of {buffer_m:g} metres means nothing: pass --buffer 0 or more")
    return buffer_m + ROUNDING, max(5e-4, 2.5e-4 * buffer_m)


def pairs_within(outlines: Outlines, distance: float, tolerance: float, groups: Ints | None) -> Links:
    """All near pairs, or those of different groups; sorted."""
    found = [NO_LINKS]
    for pairs in neighbours(outlines.centre, outlines.radius, distance):
        if groups is not None:
            one, other = groups[pairs].T
            pairs = pairs[(one != other) & (one >= 0) & (other >= 0)]
        found.append(pairs[within(outlines, pairs, distance, tolerance)])
    joined = np.concatenate(found)
    return joined[np.lexsort(joined.T[::-1])]


def spanning(outlines: Outlines, among: Ints, links: Links, distance: float, tolerance: float) -> Links:
    """`links` and as many more as join all that is near `among` these footprints.

    Footprints in one cell of a grid are near each other without being measured, so cells take their place: the
    neighbouring cells that nothing joins yet are looked at, the nearest first, until each has a link or can't.
    """
    if not len(among):
        return links
    cell = cells(outlines, among, distance)
    order = np.lexsort((among, cell))
    members, first = among[order], np.searchsorted(cell[order], np.arange(cell.max() + 2))
    count = np.diff(first)
    links = np.concatenate([links, links_through(cell, among)])
    labels = components(len(outlines), links)
    centre, radius = cell_spheres(outlines, members, first)
    for pairs in neighbours(centre, radius, distance):
        pairs = pairs[np.argsort(gaps(centre, radius, pairs), kind="stable")]
        for portion in portions(count[pairs[:, 0]] * count[pairs[:, 1]], SOME_PAIRS):
            unsettled = unjoined(labels[members[first[:-1]]], pairs[portion])
            one, other = worth_a_look(outlines, members, first, unsettled, distance).T
            i, j, _ = products(first[one], count[one], first[other], count[other])
            added = joining(outlines, labels, np.column_stack([members[i], members[j]]), distance, tolerance)
            links = np.concatenate([links, added])
            labels = relabelled(labels, added)
    return links


def cells(outlines: Outlines, among: Ints, distance: float) -> Ints:
    """A cell number for each of `among`: any two with the same number are within `distance` of each other.

    A cell is a cube whose diagonal is no longer than the distance plus the two balls inside the footprints;
    its size is a power of two, chosen footprint by footprint. A cell with many members counts as several.
    """
    reach = np.minimum(SHORTCUT * (distance + 2.0 * outlines.inner[among]), SHORTCUT_REACH)
    level = np.floor(np.log2(reach))
    place = np.floor(outlines.core[among] / (2.0**level / np.sqrt(3.0))[:, None])
    _, cube = np.unique(np.column_stack([level, place]), axis=0, return_inverse=True)
    order = np.argsort(cube, kind="stable")
    rank = np.empty(len(cube), dtype=np.int64)
    rank[order] = np.arange(len(cube)) - np.searchsorted(cube[order], cube[order])
    _, cell = np.unique(np.column_stack([cube, rank // MEMBERS]), axis=0, return_inverse=True)
    return cell.astype(np.int64)


def cell_spheres(outlines: Outlines, members: Ints, first: Ints) -> tuple[np.ndarray, np.ndarray]:
    """A sphere around the footprints of each cell: centres (c, 3) and radii (c,), in metres."""
    count = np.diff(first)
    centre = np.add.reduceat(outlines.centre[members], first[:-1]) / count[:, None]
    away = np.linalg.norm(outlines.centre[members] - np.repeat(centre, count, axis=0), axis=1)
    return centre, np.maximum.reduceat(away + outlines.radius[members], first[:-1])


def worth_a_look(outlines: Outlines, members: Ints, first: Ints, pairs: Links, distance: float) -> Links:
    """The pairs of cells without those that have many members and can't meet."""
    count, kept = np.diff(first), np.ones(len(pairs), dtype=np.bool_)
    for row in np.flatnonzero(count[pairs].prod(axis=1) >= MANY):
        one, other = (members[first[cell] : first[cell + 1]] for cell in pairs[row])
        kept[row] = may_meet(outlines, one, other, distance)
    return pairs[kept]


def may_meet(outlines: Outlines, one: Ints, other: Ints, distance: float) -> bool:
    """Whether any of the footprints `one` can lie within `distance` of any of `other`; False is certain.

    Two heaps of scenes of two places side by side have many pairs whose spheres meet, and none that is near.
    """
    low, high = zip(*(np.split(shapely.total_bounds(outlines.polygons[some]), 2) for some in (one, other)), strict=True)
    if (low[0] <= high[1]).all() and (low[1] <= high[0]).all():
        return True
    step = max(distance, outlines.radius[one].max() / 64, outlines.radius[other].max() / 64)
    trees = [cKDTree(boundary_points(outlines, some, step)) for some in (one, other)]
    return bool(trees[0].count_neighbors(trees[1], distance + 2.0 * step))


def joining(outlines: Outlines, labels: Ints, pairs: Links, distance: float, tolerance: float) -> Links:
    """Near pairs out of `pairs` that join all components which any of them can join.

    As Borůvka grows a spanning tree: each component measures the pair whose spheres are nearest, what is
    found near is joined, and so on with two pairs of each component, then four, so that vain looks end soon.
    """
    pairs = unjoined(labels, pairs)
    apart = gaps(outlines.centre, outlines.radius, pairs)
    near = np.flatnonzero(apart <= distance)
    pairs = pairs[near[np.argsort(apart[near], kind="stable")]]
    added, at_once = NO_LINKS, 1
    while len(pairs):
        now = foremost(labels[pairs], at_once)
        close = within(outlines, pairs[now], distance, tolerance)
        added = np.concatenate([added, pairs[now[close]]])
        labels = relabelled(labels, pairs[now[close]])
        pairs = unjoined(labels, np.delete(pairs, now, axis=0))
        at_once *= 2
    return added


def foremost(joins: Links, most: int) -> Ints:
    """The rows that are among the first `most` to name one of their two components; ascending."""
    row, label = np.repeat(np.arange(len(joins)), 2), joins.ravel()
    order = np.argsort(label, kind="stable")
    rank = np.arange(len(label)) - np.searchsorted(label[order], label[order])
    return np.unique(row[order[rank < most]])


def unjoined(labels: Ints, pairs: Links) -> Links:
    """Those of the pairs whose two members lie in different components."""
    apart: Bools = labels[pairs[:, 0]] != labels[pairs[:, 1]]
    return pairs[apart]


def relabelled(labels: Ints, links: Links) -> Ints:
    """`labels` once `links` join them."""
    joined: Ints = components(int(labels.max()) + 1, labels[links])
    return joined[labels]
