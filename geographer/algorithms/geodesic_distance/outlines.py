"""Footprints as they lie on the Earth: their boundaries, a sphere around each, a ball that fits inside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import shapely
from scipy.spatial import cKDTree

from geographer.algorithms.connected_components import Bools, Ints, Links
from geographer.algorithms.geodesic_distance.arcs import (
    Arcs,
    Floats,
    any_within,
    coarse_arcs,
    cut,
    earth_centred,
    length_bounds,
    point_to_chord,
)
from geographer.base.errors import UsageError

REGIONAL = 1.0e6
"""Metres: an outline that needs a larger sphere gets one around the whole Earth, because what it encloses may
lie on the far side of its boundary (a global raster's boundary is the antimeridian and the poles)."""

WHOLE_EARTH = 6.5e6

SHORTCUT, SHORTCUT_REACH = 0.99, 3.0e6
"""A geodesic is less than 1/0.99 of its chord as long as the chord is below 3,000 km: what the cores show to
be near by this margin needs no exact distance."""

SLACK = 1e-6
"""Degrees that a transformation may round beyond ±180° or ±90°."""

SOME_PAIRS = 1 << 18
"""How many pairs are held at a time: what bounds the memory."""


@dataclass(frozen=True, slots=True)
class Outlines:
    """Footprints on the ellipsoid, n of them; metres from the Earth's centre where nothing else is said.

    `polygons`: the footprints in longitude/latitude, shape (n,). `arcs`: their boundaries, those of footprint
    i being `first[i]` to `first[i + 1] - 1`. `centre` (n, 3) and `radius` (n,): a sphere that holds the
    footprint. `core` (n, 3) and `inner` (n,): a place inside it, and the radius of a ball around that place
    that holds nothing outside it.
    """

    polygons: npt.NDArray[np.object_]
    arcs: Arcs
    first: Ints
    centre: Floats
    radius: Floats
    core: Floats
    inner: Floats

    @classmethod
    def of(cls, footprints: Sequence[bytes]) -> Outlines:
        """The outlines of WKB polygons or multipolygons in longitude/latitude, WGS84 degrees.

        Raises:
            UsageError: a footprint is not a polygon, is empty, or lies outside ±180° and ±90°; names its
                index.
        """
        polygons = polygons_from(footprints)
        ends, owner = boundary_lines(polygons)
        arcs, line = coarse_arcs(ends)
        owner = owner[line]
        first = np.searchsorted(owner, np.arange(len(polygons) + 1))
        centre, radius = spheres_around(arcs, owner, first)
        core = earth_centred(shapely.get_coordinates(inner_points(polygons)))
        away = point_to_chord(core[owner], arcs.start, arcs.along) - arcs.sagitta
        inner = np.maximum(0.0, np.minimum.reduceat(away, first[:-1]))
        return cls(polygons, arcs, first, centre, radius, core, inner)

    def __len__(self) -> int:
        return len(self.polygons)


def polygons_from(footprints: Sequence[bytes]) -> npt.NDArray[np.object_]:
    """The footprints as shapely polygons, checked; shape (n,)."""
    polygons: npt.NDArray[np.object_] = shapely.from_wkb(
        np.array(list(footprints), dtype=np.object_), on_invalid="ignore"
    )
    shapes = np.isin(shapely.get_type_id(polygons), [shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON])
    low_x, low_y, high_x, high_y = shapely.bounds(polygons).T
    width, height = 180.0 + SLACK, 90.0 + SLACK
    on_earth = (low_x >= -width) & (high_x <= width) & (low_y >= -height) & (high_y <= height)
    for index in np.flatnonzero(~(shapes & on_earth))[:1]:
        raise UsageError(
            f"footprint {index} is no polygon in longitude/latitude within ±180° and ±90°: "
            "give footprints as polygons in WGS84 degrees, split at the antimeridian"
        )
    shapely.prepare(polygons)
    return polygons


def boundary_lines(polygons: npt.NDArray[np.object_]) -> tuple[Floats, Ints]:
    """The lines of all rings: their ends, shape (m, 2, 2) in degrees, and the polygon of each, ascending."""
    parts, part_owner = shapely.get_parts(polygons, return_index=True)
    rings, ring_part = shapely.get_rings(parts, return_index=True)
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    within = ring[1:] == ring[:-1]
    ends = np.stack([corners[:-1][within], corners[1:][within]], axis=1)
    return ends, part_owner[ring_part[ring[1:][within]]]


def boundary_points(outlines: Outlines, members: Ints, step: float) -> Floats:
    """Places (m, 3) so dense that every place on the boundaries of `members` is within `step` metres of one."""
    one = np.ones(len(members), dtype=np.int64)
    arc, _, _ = products(outlines.first[members], np.diff(outlines.first)[members], one, one)
    ends = outlines.arcs.ends[arc]
    pieces = np.ceil(length_bounds(ends) / step).astype(np.int64)
    return earth_centred(cut(ends, np.maximum(1, pieces))[0][:, 0])


def inner_points(polygons: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """A point inside each polygon: the centroid where it lies inside, for it is far from the boundary."""
    centroids = shapely.centroid(polygons)
    inside = shapely.contains(polygons, centroids)
    return np.asarray(np.where(inside, centroids, shapely.point_on_surface(polygons)))


def spheres_around(arcs: Arcs, owner: Ints, first: Ints) -> tuple[Floats, Floats]:
    """A sphere around each outline and all that it encloses: centres (n, 3) and radii (n,)."""
    end = arcs.start + arcs.along
    low = np.minimum.reduceat(np.minimum(arcs.start, end), first[:-1])
    high = np.maximum.reduceat(np.maximum(arcs.start, end), first[:-1])
    centre = (low + high) / 2.0
    farthest = np.maximum(
        np.linalg.norm(arcs.start - centre[owner], axis=1), np.linalg.norm(end - centre[owner], axis=1)
    )
    radius = np.maximum.reduceat(farthest + arcs.sagitta, first[:-1])
    regional = radius <= REGIONAL
    return np.where(regional[:, None], centre, 0.0), np.where(regional, radius, WHOLE_EARTH)


def products(first_a: Ints, count_a: Ints, first_b: Ints, count_b: Ints) -> tuple[Ints, Ints, Ints]:
    """Every index of one range with every index of the range beside it, for many pairs of ranges at once.

    Returns:
        The index in the first range, the index in the second, and which pair of ranges, each of shape
        (sum of `count_a * count_b`,).
    """
    total = count_a * count_b
    pair = np.repeat(np.arange(len(total)), total)
    rank = np.arange(len(pair)) - (np.cumsum(total) - total)[pair]
    width = count_b[pair]
    return first_a[pair] + rank // width, first_b[pair] + rank % width, pair


def portions(costs: Ints, most: int) -> Iterator[slice]:
    """Slices of consecutive items whose `costs` add up to about `most`; a dearer item goes alone."""
    start, ends = 0, np.cumsum(costs)
    while start < len(costs):
        spent = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, spent + most, side="right")))
        yield slice(start, stop)
        start = stop


def gaps(centre: Floats, radius: Floats, pairs: Links) -> Floats:
    """How far apart the spheres of each pair are, in metres; negative where they overlap."""
    i, j = pairs.T
    return np.asarray(np.linalg.norm(centre[i] - centre[j], axis=1) - radius[i] - radius[j])


def neighbours(centre: Floats, radius: Floats, reach: float) -> Iterator[Links]:
    """Pairs of spheres at most `reach` metres apart, each pair once, in blocks of about `SOME_PAIRS` rows.

    Spheres of like size share a KD-tree, so that one large scene does not make neighbours of all small chips.
    """
    size = np.floor(np.log(np.maximum(radius, 1.0)) / np.log(4.0)).astype(np.int64)
    for small, large in combinations_with_replacement(np.unique(size), 2):
        chosen, others = np.flatnonzero(size == small), np.flatnonzero(size == large)
        limit = radius[chosen].max() + radius[others].max() + reach + 1.0
        tree = cKDTree(centre[others])
        for portion in portions(tree.query_ball_point(centre[chosen], limit, return_length=True), SOME_PAIRS):
            some = chosen[portion]
            found = cKDTree(centre[some]).sparse_distance_matrix(tree, limit, output_type="ndarray")
            pairs = np.column_stack([some[found["i"]], others[found["j"]]])
            pairs = pairs[pairs[:, 0] < pairs[:, 1]] if small == large else np.sort(pairs, axis=1)
            yield pairs[gaps(centre, radius, pairs) <= reach]


def within(outlines: Outlines, pairs: Links, distance: float, tolerance: float) -> Bools:
    """Which pairs of footprints lie within `distance` metres of each other; `tolerance` as for `any_within`.

    First what is cheap: balls inside that are near enough, then footprints that overlap; then boundaries.
    """
    near = surely_within(outlines, pairs, distance)
    rest = np.flatnonzero(~near)
    near[rest] = shapely.intersects(outlines.polygons[pairs[rest, 0]], outlines.polygons[pairs[rest, 1]])
    rest = rest[~near[rest]]
    count = np.diff(outlines.first)
    for portion in portions(count[pairs[rest, 0]] * count[pairs[rest, 1]], SOME_PAIRS):
        near[rest[portion]] = boundaries_within(outlines, pairs[rest[portion]], distance, tolerance)
    return near


def surely_within(outlines: Outlines, pairs: Links, distance: float) -> Bools:
    """Which pairs are shown to be within `distance` by the balls inside them alone."""
    i, j = pairs.T
    reach = SHORTCUT * (distance + outlines.inner[i] + outlines.inner[j])
    apart = np.linalg.norm(outlines.core[i] - outlines.core[j], axis=1)
    return np.asarray(apart <= np.minimum(reach, SHORTCUT_REACH))


def boundaries_within(outlines: Outlines, pairs: Links, distance: float, tolerance: float) -> Bools:
    """Which pairs of footprints have boundaries within `distance` metres of each other.

    Only arcs near the other footprint's sphere, and of these only those near each other, are measured
    exactly.
    """
    i, j = pairs.T
    facing_i, owner_i = arcs_facing(outlines, i, j, distance)
    facing_j, owner_j = arcs_facing(outlines, j, i, distance)
    bounds = np.arange(len(pairs) + 1)
    first_i, first_j = np.searchsorted(owner_i, bounds), np.searchsorted(owner_j, bounds)
    a, b, pair = products(first_i[:-1], np.diff(first_i), first_j[:-1], np.diff(first_j))
    arcs_i, arcs_j = outlines.arcs[facing_i], outlines.arcs[facing_j]
    (middle_i, half_i), (middle_j, half_j) = arc_spheres(arcs_i), arc_spheres(arcs_j)
    close = np.linalg.norm(middle_i[a] - middle_j[b], axis=1) <= half_i[a] + half_j[b] + distance
    return any_within(arcs_i[a[close]], arcs_j[b[close]], pair[close], len(pairs), distance, tolerance)


def arcs_facing(outlines: Outlines, own: Ints, other: Ints, distance: float) -> tuple[Ints, Ints]:
    """The arcs of footprints `own` near the spheres of `other`, and the row of each, ascending."""
    one = np.ones(len(own), dtype=np.int64)
    count = outlines.first[own + 1] - outlines.first[own]
    arc, _, row = products(outlines.first[own], count, np.zeros(len(own), dtype=np.int64), one)
    middle, half = arc_spheres(outlines.arcs[arc])
    away = np.linalg.norm(middle - outlines.centre[other[row]], axis=1)
    facing = away <= half + outlines.radius[other[row]] + distance
    return arc[facing], row[facing]


def arc_spheres(arcs: Arcs) -> tuple[Floats, Floats]:
    """A sphere around each arc: centres (n, 3) and radii (n,), in metres."""
    return arcs.start + arcs.along / 2.0, np.linalg.norm(arcs.along, axis=1) / 2.0 + arcs.sagitta
