"""Footprints on the ellipsoid: boundary arcs, bounding spheres, inscribed balls, and exact distance tests of pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Self

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from geographer.algorithms.connected_components import Bools, Floats, Ints, Links
from geographer.algorithms.geodesic_distance.arcs import (
    COARSE_SAGITTA,
    Arcs,
    bound_lengths,
    compute_sagittas,
    expand_ranges,
    find_owners_within,
    point_chord_distances,
    subdivide_lines,
    to_geocentric,
)
from geographer.base.errors import UsageError

Polygons = npt.NDArray[np.object_]
"""Shapely polygons and multipolygons in longitude/latitude degrees, shape (n,)."""

MAX_REGIONAL_RADIUS = 1.0e6
"""Metres: a footprint whose bounding sphere is larger gets one around the whole Earth, because its interior may lie on
the far side of its boundary (a global raster's boundary is the antimeridian and the poles)."""
WHOLE_EARTH_RADIUS = 6.5e6
BALL_FACTOR, BALL_REACH = 0.99, 3.0e6
"""A geodesic is shorter than 1/0.99 of its chord while the chord is below 3,000 km (3e6 m). Inscribed balls that are
within that margin prove a pair near without measuring its exact distance."""
DEGREE_SLACK = 1e-6
"""Degrees by which rounding in a transformation may exceed ±180° or ±90°."""
MAX_PAIRS = 1 << 18
"""How many pairs are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Footprints:
    """n footprints on the ellipsoid; coordinates are geocentric, in metres.

    Footprint i has the boundary arcs `first[i]` to `first[i + 1] - 1`, and lies in the sphere of `radius[i]` around
    `centre[i]`. No boundary enters the ball of `inner_radius[i]` around `inner_centre[i]`, a point inside of it.
    """

    polygons: Polygons
    arcs: Arcs
    first: Ints
    centre: Floats
    radius: Floats
    inner_centre: Floats
    inner_radius: Floats

    @classmethod
    def from_wkb(cls, footprints: Sequence[bytes]) -> Self:
        """Read WKB polygons or multipolygons in WGS84 degrees (longitude, latitude).

        Raise UsageError, with its index, if a footprint is not a polygon, is empty, or exceeds ±180° or ±90°.
        """
        polygons = parse_polygons(footprints)
        ends, owner = extract_boundary_lines(polygons)
        pieces = np.maximum(1, np.ceil(np.sqrt(compute_sagittas(ends) / COARSE_SAGITTA))).astype(np.int64)
        arc_ends, line = subdivide_lines(ends, pieces)
        arcs, owner = Arcs.from_ends(arc_ends), owner[line]
        first = np.searchsorted(owner, np.arange(len(polygons) + 1))
        centre, radius = bound_by_spheres(arcs, owner, first)
        # The centroid, if it is inside, since it is far from the boundary.
        centroids = shapely.centroid(polygons)
        is_inside = shapely.contains(polygons, centroids)
        inner_points = np.where(is_inside, centroids, shapely.point_on_surface(polygons))
        inner_centre = to_geocentric(shapely.get_coordinates(inner_points))
        boundary_distance = point_chord_distances(inner_centre[owner], arcs.start, arcs.along) - arcs.sagitta
        inner_radius = np.maximum(0.0, np.minimum.reduceat(boundary_distance, first[:-1]))
        return cls(polygons, arcs, first, centre, radius, inner_centre, inner_radius)

    def __len__(self) -> int:
        return len(self.polygons)

    def list_arcs(self, members: Ints) -> tuple[Ints, Ints]:
        """List the indices of the arcs of `members`, and the row in `members` of each; shape (m,) each."""
        return expand_ranges(self.first[members], self.first[members + 1] - self.first[members])


def parse_polygons(footprints: Sequence[bytes]) -> Polygons:
    """Parse and validate WKB footprints; return prepared shapely polygons, shape (n,)."""
    polygons: Polygons = shapely.from_wkb(np.array(list(footprints), dtype=np.object_), on_invalid="ignore")
    polygon_types = [shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON]
    is_polygon = np.isin(shapely.get_type_id(polygons), polygon_types)
    limits = np.array([180.0, 90.0, 180.0, 90.0]) + DEGREE_SLACK
    is_on_earth = (np.abs(shapely.bounds(polygons)) <= limits).all(axis=1)
    for index in np.flatnonzero(~(is_polygon & is_on_earth))[:1]:
        raise UsageError(
            f"footprint {index} is not a polygon in longitude/latitude within ±180° and ±90°. "
            "Pass polygons in WGS84 degrees, split at the antimeridian."
        )
    shapely.prepare(polygons)
    return polygons


def extract_boundary_lines(polygons: Polygons) -> tuple[Floats, Ints]:
    """Return the lines of all rings: their ends, shape (m, 2, 2) in degrees, and the polygon of each, ascending."""
    parts, part_owner = shapely.get_parts(polygons, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    in_same_ring = ring[1:] == ring[:-1]
    ends = np.stack([corners[:-1][in_same_ring], corners[1:][in_same_ring]], axis=1)
    return ends, part_owner[ring_part[ring[1:][in_same_ring]]]


def sample_boundaries(footprints: Footprints, members: Ints, step: float) -> Floats:
    """Sample the boundaries of `members`: every boundary point is within `step` metres of a sample; shape (m, 3)."""
    ends = footprints.arcs.ends[footprints.list_arcs(members)[0]]
    pieces = np.ceil(bound_lengths(ends) / step).astype(np.int64)
    return to_geocentric(subdivide_lines(ends, np.maximum(1, pieces))[0][:, 0])


def bound_by_spheres(arcs: Arcs, owner: Ints, first: Ints) -> tuple[Floats, Floats]:
    """Return a sphere around each footprint and its interior: centres, shape (n, 3), and radii, shape (n,)."""
    end = arcs.start + arcs.along
    low = np.minimum.reduceat(np.minimum(arcs.start, end), first[:-1])
    high = np.maximum.reduceat(np.maximum(arcs.start, end), first[:-1])
    centre = (low + high) / 2.0
    farthest = np.maximum(*(np.linalg.norm(point - centre[owner], axis=1) for point in (arcs.start, end)))
    radius = np.maximum.reduceat(farthest + arcs.sagitta, first[:-1])
    is_regional = radius <= MAX_REGIONAL_RADIUS
    return np.where(is_regional[:, None], centre, 0.0), np.where(is_regional, radius, WHOLE_EARTH_RADIUS)


def range_products(first_a: Ints, count_a: Ints, first_b: Ints, count_b: Ints) -> tuple[Ints, Ints, Ints]:
    """Pair all indices of two ranges, for many pairs of ranges at once; also return the number of the pair."""
    rank, pair = expand_ranges(np.zeros_like(count_a), count_a * count_b)
    width = count_b[pair]
    return first_a[pair] + rank // width, first_b[pair] + rank % width, pair


def iter_portions(costs: Ints) -> Iterator[slice]:
    """Yield slices of consecutive items whose `costs` add up to at most `MAX_PAIRS`; a costlier item comes alone."""
    start, cumulative = 0, np.cumsum(costs)
    while start < len(costs):
        spent = cumulative[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(cumulative, spent + MAX_PAIRS, side="right")))
        yield slice(start, stop)
        start = stop


def sphere_gaps(centre: Floats, radius: Floats, pairs: Links) -> Floats:
    """Return the distances between the spheres of pairs (k, 2) in metres, shape (k,); negative where they overlap."""
    i, j = pairs.T
    return np.asarray(np.linalg.norm(centre[i] - centre[j], axis=1) - radius[i] - radius[j])


def iter_neighbours(centre: Floats, radius: Floats, max_gap: float) -> Iterator[Links]:
    """Yield pairs of spheres at most `max_gap` metres apart, each pair once, in blocks of about `MAX_PAIRS` rows.

    `centre` has shape (n, 3) and `radius` shape (n,), in metres; a block has shape (k, 2). Spheres of similar size
    share a KD-tree, so that one large scene does not pair all small chips with each other.
    """
    size = np.floor(np.log(np.maximum(radius, 1.0)) / np.log(4.0)).astype(np.int64)
    for small, large in combinations_with_replacement(np.unique(size), 2):
        chosen, others = np.flatnonzero(size == small), np.flatnonzero(size == large)
        limit = radius[chosen].max() + radius[others].max() + max_gap + 1.0
        tree = cKDTree(centre[others])
        neighbour_counts = tree.query_ball_point(centre[chosen], limit, return_length=True)
        for portion in iter_portions(neighbour_counts):
            block = chosen[portion]
            matches = cKDTree(centre[block]).sparse_distance_matrix(tree, limit, output_type="ndarray")
            pairs = np.column_stack([block[matches["i"]], others[matches["j"]]])
            pairs = pairs[pairs[:, 0] < pairs[:, 1]] if small == large else np.sort(pairs, axis=1)
            yield pairs[sphere_gaps(centre, radius, pairs) <= max_gap]


def are_within_distance(footprints: Footprints, pairs: Links, distance: float, tolerance: float) -> Bools:
    """Decide which pairs, shape (k, 2), lie within `distance` metres of each other, shape (k,).

    Cheap tests come first: inscribed balls, then intersection of the polygons, then boundary distances. `tolerance` is
    that of `find_owners_within`.
    """
    i, j = pairs.T
    reach = BALL_FACTOR * (distance + footprints.inner_radius[i] + footprints.inner_radius[j])
    apart = np.linalg.norm(footprints.inner_centre[i] - footprints.inner_centre[j], axis=1)
    is_near: Bools = apart <= np.minimum(reach, BALL_REACH)
    rest = np.flatnonzero(~is_near)
    is_near[rest] = shapely.intersects(footprints.polygons[pairs[rest, 0]], footprints.polygons[pairs[rest, 1]])
    rest = rest[~is_near[rest]]
    count = np.diff(footprints.first)
    for portion in iter_portions(count[pairs[rest, 0]] * count[pairs[rest, 1]]):
        is_near[rest[portion]] = are_boundaries_near(footprints, pairs[rest[portion]], distance, tolerance)
    return is_near


def are_boundaries_near(footprints: Footprints, pairs: Links, distance: float, tolerance: float) -> Bools:
    """Decide which pairs have boundaries within `distance` metres of each other, shape (k,).

    Only arcs near the other footprint's bounding sphere, and of these only pairs near each other, are measured.
    """
    i, j = pairs.T
    facing_i, owner_i = select_facing_arcs(footprints, i, j, distance)
    facing_j, owner_j = select_facing_arcs(footprints, j, i, distance)
    bounds = np.arange(len(pairs) + 1)
    first_i, first_j = np.searchsorted(owner_i, bounds), np.searchsorted(owner_j, bounds)
    a, b, pair = range_products(first_i[:-1], np.diff(first_i), first_j[:-1], np.diff(first_j))
    arcs_i, arcs_j = footprints.arcs[facing_i], footprints.arcs[facing_j]
    (centre_i, radius_i), (centre_j, radius_j) = bound_arcs(arcs_i), bound_arcs(arcs_j)
    close = np.linalg.norm(centre_i[a] - centre_j[b], axis=1) <= radius_i[a] + radius_j[b] + distance
    return find_owners_within(arcs_i[a[close]], arcs_j[b[close]], pair[close], len(pairs), distance, tolerance)


def select_facing_arcs(footprints: Footprints, members: Ints, others: Ints, distance: float) -> tuple[Ints, Ints]:
    """Select the arcs of `members` near the bounding spheres of `others`; also return the row of each, ascending."""
    arc, row = footprints.list_arcs(members)
    centre, radius = bound_arcs(footprints.arcs[arc])
    apart = np.linalg.norm(centre - footprints.centre[others[row]], axis=1)
    is_facing = apart <= radius + footprints.radius[others[row]] + distance
    return arc[is_facing], row[is_facing]


def bound_arcs(arcs: Arcs) -> tuple[Floats, Floats]:
    """Return a sphere around each arc: centres, shape (n, 3), and radii, shape (n,), in metres."""
    return arcs.start + arcs.along / 2.0, np.linalg.norm(arcs.along, axis=1) / 2.0 + arcs.sagitta
