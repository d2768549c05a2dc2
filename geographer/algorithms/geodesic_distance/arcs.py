"""Boundary lines on the ellipsoid as chords with error bounds, and the distances between the lines of two footprints.

A line that is straight in longitude/latitude is a curve on the ground. It is cut into arcs, each replaced by its
chord in geocentric coordinates, with a proven bound (the sagitta) on the distance between arc and chord. Distances
between chords are exact and need no special cases at poles and antimeridian. Arcs are subdivided only where the bound
leaves the answer open.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from geographer.algorithms.connected_components import Bools, Floats, Ints

SEMI_MAJOR, ECCENTRICITY_SQUARED = 6378137.0, 0.0066943799901413165
"""WGS84: metres, and first eccentricity squared."""
DERIVATIVE_BOUND = 6.5e6
"""Metres: an upper bound of the first and second derivatives of the position on WGS84 by latitude and longitude in
radians; derivatives by longitude may be divided once by the cosine of the latitude."""
COARSE_SAGITTA = 50.0
"""Metres: the largest sagitta of the arcs at the start."""
SUBDIVISION = 4
"""How many pieces an undecided arc is cut into; each has a 16 times smaller sagitta."""


def to_geocentric(lonlat: Floats) -> Floats:
    """Convert positions on the WGS84 ellipsoid to geocentric coordinates in metres, shape (…, 3).

    `lonlat` is (longitude, latitude) in degrees, shape (…, 2). The closed form for height 0 (EPSG method 9602): x
    through (0° E, 0° N), y through (90° E, 0° N), z through the north pole.
    """
    lon, lat = np.radians(lonlat[..., 0]), np.radians(lonlat[..., 1])
    normal_radius = SEMI_MAJOR / np.sqrt(1.0 - ECCENTRICITY_SQUARED * np.sin(lat) ** 2)
    axis_distance, z = normal_radius * np.cos(lat), normal_radius * (1.0 - ECCENTRICITY_SQUARED) * np.sin(lat)
    return np.stack([axis_distance * np.cos(lon), axis_distance * np.sin(lon), z], axis=-1)


@dataclass(frozen=True, slots=True)
class Arcs:
    """Arcs on the ground that are straight in longitude/latitude: their `ends` in degrees, shape (n, 2, 2).

    Their chords, in geocentric metres, have a `start` and a vector `along` to their end, shape (n, 3). `sagitta`, shape
    (n,), bounds the distance between arc and chord.
    """

    ends: Floats
    start: Floats
    along: Floats
    sagitta: Floats

    @classmethod
    def from_ends(cls, ends: Floats) -> Self:
        """Make the arcs with these `ends`."""
        corners = to_geocentric(ends)
        return cls(ends, corners[:, 0], corners[:, 1] - corners[:, 0], compute_sagittas(ends))

    def __getitem__(self, indices: Ints) -> "Arcs":
        return Arcs(self.ends[indices], self.start[indices], self.along[indices], self.sagitta[indices])

    def __len__(self) -> int:
        return len(self.ends)


def compute_sagittas(ends: Floats) -> Floats:
    """Bound the distance between each arc and its chord, in metres, shape (n,); `ends`, shape (n, 2, 2), in degrees.

    The bound is an eighth of the largest second derivative (the error of linear interpolation). Each of its terms is
    bounded by its largest value along the arc, so it holds near the poles too, where parallels are tight circles.
    """
    step = np.radians(np.abs(ends[:, 1] - ends[:, 0]))
    max_sine = np.sin(np.radians(np.abs(ends[..., 1])).max(axis=1))
    max_cosine = max_latitude_cosine(ends)
    bend = step[:, 1] ** 2 + 2.0 * max_sine * step[:, 0] * step[:, 1] + max_cosine * step[:, 0] ** 2
    return np.asarray(DERIVATIVE_BOUND * bend / 8.0)


def bound_lengths(ends: Floats) -> Floats:
    """Return an upper bound of the length of each arc in metres, shape (n,); `ends`, shape (n, 2, 2), in degrees."""
    step = np.radians(np.abs(ends[:, 1] - ends[:, 0]))
    return np.asarray(DERIVATIVE_BOUND * np.hypot(step[:, 1], max_latitude_cosine(ends) * step[:, 0]))


def max_latitude_cosine(ends: Floats) -> Floats:
    """Return the largest cosine of the latitude along each arc, shape (n,): 1 where it crosses the equator."""
    crosses_equator = ends[:, 0, 1] * ends[:, 1, 1] < 0
    return np.where(crosses_equator, 1.0, np.cos(np.radians(np.abs(ends[..., 1]).min(axis=1))))


def expand_ranges(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """List the indices of many ranges (`first`, `first + 1` …) in turn, and the range of each; shape (m,) each."""
    owner = np.repeat(np.arange(len(count)), count)
    return first[owner] + np.arange(len(owner)) - (np.cumsum(count) - count)[owner], owner


def subdivide_lines(ends: Floats, pieces: Ints) -> tuple[Floats, Ints]:
    """Cut lines into `pieces` of equal steps of longitude and latitude; return their ends, and the line of each."""
    rank, owner = expand_ranges(np.zeros_like(pieces), pieces)
    fraction = np.stack([rank, rank + 1], axis=1) / pieces[owner][:, None]
    first, last = ends[owner, 0][:, None, :], ends[owner, 1][:, None, :]
    return first * (1.0 - fraction[..., None]) + last * fraction[..., None], owner


def dot_products(a: Floats, b: Floats) -> Floats:
    """Return the scalar products of vectors, shape (…, 3), row by row; shape (…)."""
    return np.asarray(np.einsum("...k,...k->...", a, b))


def point_chord_distances(point: Floats, start: Floats, along: Floats) -> Floats:
    """Return the distances from points to line segments in metres, row by row; all inputs have shape (n, 3)."""
    squared_length = dot_products(along, along)
    position = dot_products(point - start, along) / np.where(squared_length > 0.0, squared_length, 1.0)
    nearest = start + np.clip(position, 0.0, 1.0)[:, None] * along
    return np.asarray(np.linalg.norm(point - nearest, axis=1))


def chord_distances(a: Arcs, b: Arcs) -> Floats:
    """Return the distances between the chords of `a` and `b` in metres, row by row, shape (n,).

    The distance is the least of the four from an end to the other chord and, where the two lines are skew and their
    nearest points lie inside both chords, the distance of these points.
    """
    a_end, b_end = a.start + a.along, b.start + b.along
    ends_and_chords = ((a.start, b), (a_end, b), (b.start, a), (b_end, a))
    distances = [point_chord_distances(end, chord.start, chord.along) for end, chord in ends_and_chords]
    end_distance = np.minimum.reduce(distances)
    between = a.start - b.start
    aa, bb, ab = dot_products(a.along, a.along), dot_products(b.along, b.along), dot_products(a.along, b.along)
    ar, br = dot_products(a.along, between), dot_products(b.along, between)
    determinant = aa * bb - ab * ab
    is_skew = determinant > 1e-14 * aa * bb
    divisor = np.where(is_skew, determinant, 1.0)
    on_a, on_b = (ab * br - ar * bb) / divisor, (aa * br - ab * ar) / divisor
    is_inside = is_skew & (on_a > 0.0) & (on_a < 1.0) & (on_b > 0.0) & (on_b < 1.0)
    skew_distance = np.linalg.norm(between + on_a[:, None] * a.along - on_b[:, None] * b.along, axis=1)
    return np.asarray(np.where(is_inside, np.minimum(skew_distance, end_distance), end_distance))


def find_owners_within(a: Arcs, b: Arcs, owner: Ints, count: int, distance: float, tolerance: float) -> Bools:
    """Decide which of `count` owners have two arcs within `distance` metres of each other, in a straight line.

    In each row, an arc of `a` and one of `b` belong to `owner`. A pair is dropped if its chords are certainly too far
    apart, and accepts its owner if they are certainly near enough. Others are subdivided until their sagittas add up
    to at most `tolerance` metres; these count as near. So nothing within `distance` is missed, and nothing beyond
    `distance + 2 * tolerance` is accepted. The result has shape (count,).
    """
    is_near = np.zeros(count, dtype=np.bool_)
    while len(owner):
        apart, slack = chord_distances(a, b), a.sagitta + b.sagitta
        is_certain = apart + slack <= distance
        is_near[owner[is_certain | ((apart - slack <= distance) & (slack <= tolerance))]] = True
        undecided = np.flatnonzero((apart - slack <= distance) & ~is_near[owner])
        # Of each pair, the arc of larger sagitta is cut, the other one repeated.
        pieces, row = np.full(len(undecided), SUBDIVISION, np.int64), np.repeat(undecided, SUBDIVISION)
        cuts_a = (a.sagitta >= b.sagitta)[row][:, None, None]
        a_ends = np.where(cuts_a, subdivide_lines(a.ends[undecided], pieces)[0], a.ends[row])
        b_ends = np.where(cuts_a, b.ends[row], subdivide_lines(b.ends[undecided], pieces)[0])
        a, b, owner = Arcs.from_ends(a_ends), Arcs.from_ends(b_ends), owner[row]
    return is_near
