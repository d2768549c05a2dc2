"""Outlines on the ellipsoid as short straight arcs in space, and how far apart the arcs of two outlines are.

A straight line in longitude/latitude is a curve over the ground. It is cut into pieces, each replaced by its
chord in earth-centred coordinates, with a proven bound for how far the curve leaves its chord. Distances
between chords are then exact, know neither poles nor antimeridian, and are cut finer only where the bound
leaves the answer open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geographer.algorithms.connected_components import Bools, Ints

Floats = npt.NDArray[np.float64]

SEMI_MAJOR = 6378137.0
ECCENTRICITY_SQUARED = 0.0066943799901413165
"""WGS84: metres, and first eccentricity squared."""

CURVATURE_RADIUS = 6.5e6
"""Metres; above every first and second derivative of the position on WGS84 by latitude and longitude in
radians, for those by longitude also once divided by the cosine of the latitude."""

COARSE = 50.0
"""Metres between a curve and its chord at the start; finer only where it matters."""

FINER = 4
"""Into how many pieces an arc is cut when the answer is open: each then lies 16 times nearer to its chord."""


def earth_centred(lonlat: Floats) -> Floats:
    """Positions on the WGS84 ellipsoid in metres from the Earth's centre, shape (…, 3).

    `lonlat` is (longitude, latitude) in degrees, shape (…, 2). The closed form for height 0 (EPSG method
    9602): x through (0° E, 0° N), y through (90° E, 0° N), z through the north pole.
    """
    lon, lat = np.radians(lonlat[..., 0]), np.radians(lonlat[..., 1])
    normal = SEMI_MAJOR / np.sqrt(1.0 - ECCENTRICITY_SQUARED * np.sin(lat) ** 2)
    return np.stack(
        [
            normal * np.cos(lat) * np.cos(lon),
            normal * np.cos(lat) * np.sin(lon),
            normal * (1.0 - ECCENTRICITY_SQUARED) * np.sin(lat),
        ],
        axis=-1,
    )


@dataclass(frozen=True, slots=True)
class Arcs:
    """Curves over the ground that are straight in longitude/latitude, with their chords in space.

    `ends` holds their two ends as longitude and latitude in degrees, shape (n, 2, 2); `start` and `along` the
    chord in metres, shape (n, 3) each; `sagitta` how far the curve may leave its chord, in metres, shape
    (n,).
    """

    ends: Floats
    start: Floats
    along: Floats
    sagitta: Floats

    @classmethod
    def between(cls, ends: Floats) -> Arcs:
        """The arcs with these `ends`, shape (n, 2, 2)."""
        corners = earth_centred(ends)
        return cls(ends, corners[:, 0], corners[:, 1] - corners[:, 0], sagitta(ends))

    def __getitem__(self, which: Ints) -> Arcs:
        """Those of the arcs, in that order."""
        return Arcs(self.ends[which], self.start[which], self.along[which], self.sagitta[which])

    def __len__(self) -> int:
        return len(self.ends)


def sagitta(ends: Floats) -> Floats:
    """How far each curve may leave its chord, in metres, shape (n,); `ends`, shape (n, 2, 2), in degrees.

    An eighth of the largest second derivative (the error of linear interpolation), each of whose terms is
    bounded by its largest value along the curve; so near a pole, where parallels are tight circles, it stays
    true.
    """
    step = np.radians(np.abs(ends[:, 1] - ends[:, 0]))
    steepest = np.sin(np.radians(np.abs(ends[..., 1])).max(axis=1))
    widest = widest_parallel(ends)
    bend = step[:, 1] ** 2 + 2.0 * steepest * step[:, 0] * step[:, 1] + widest * step[:, 0] ** 2
    return np.asarray(CURVATURE_RADIUS * bend / 8.0)


def length_bounds(ends: Floats) -> Floats:
    """No curve is longer than this, in metres, shape (n,), for `ends` of shape (n, 2, 2) in degrees."""
    step = np.radians(np.abs(ends[:, 1] - ends[:, 0]))
    return np.asarray(CURVATURE_RADIUS * np.hypot(step[:, 1], widest_parallel(ends) * step[:, 0]))


def widest_parallel(ends: Floats) -> Floats:
    """The largest cosine of the latitude along each curve: 1 where it crosses the equator."""
    crosses = ends[:, 0, 1] * ends[:, 1, 1] < 0
    return np.where(crosses, 1.0, np.cos(np.radians(np.abs(ends[..., 1]).min(axis=1))))


def cut(ends: Floats, pieces: Ints) -> tuple[Floats, Ints]:
    """Each curve cut into so many `pieces` of equal steps in longitude and latitude.

    Returns:
        The ends of the pieces, shape (sum of pieces, 2, 2), and the index of the curve that each belongs to.
    """
    owner = np.repeat(np.arange(len(ends)), pieces)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    share = np.stack([rank, rank + 1], axis=1) / pieces[owner][:, None]
    first, last = ends[owner, 0][:, None, :], ends[owner, 1][:, None, :]
    return first * (1.0 - share[..., None]) + last * share[..., None], owner


def coarse_arcs(ends: Floats) -> tuple[Arcs, Ints]:
    """Arcs that leave their chords by `COARSE` metres at most, and the index of the line each is cut from."""
    pieces = np.maximum(1, np.ceil(np.sqrt(sagitta(ends) / COARSE))).astype(np.int64)
    shorter, owner = cut(ends, pieces)
    return Arcs.between(shorter), owner


def dot(a: Floats, b: Floats) -> Floats:
    """Scalar products of vectors, row by row."""
    return np.asarray(np.einsum("...k,...k->...", a, b))


def point_to_chord(point: Floats, start: Floats, along: Floats) -> Floats:
    """Distances from points to straight segments, in metres, row by row; all of shape (n, 3)."""
    squared = dot(along, along)
    place = dot(point - start, along) / np.where(squared > 0.0, squared, 1.0)
    nearest = start + np.clip(place, 0.0, 1.0)[:, None] * along
    return np.asarray(np.linalg.norm(point - nearest, axis=1))


def chord_distances(a: Arcs, b: Arcs) -> Floats:
    """Distances between the chords of `a` and `b`, in metres, row by row, shape (n,).

    The least of the four from an end to the other chord and, where the two lines are skew and come nearest
    inside both chords, the distance there.
    """
    a_end, b_end = a.start + a.along, b.start + b.along
    nearest = np.minimum.reduce(
        [
            point_to_chord(a.start, b.start, b.along),
            point_to_chord(a_end, b.start, b.along),
            point_to_chord(b.start, a.start, a.along),
            point_to_chord(b_end, a.start, a.along),
        ]
    )
    between = a.start - b.start
    aa, bb, ab = dot(a.along, a.along), dot(b.along, b.along), dot(a.along, b.along)
    ar, br = dot(a.along, between), dot(b.along, between)
    determinant = aa * bb - ab * ab
    skew = determinant > 1e-14 * aa * bb
    safe = np.where(skew, determinant, 1.0)
    on_a, on_b = (ab * br - ar * bb) / safe, (aa * br - ab * ar) / safe
    inside = skew & (on_a > 0.0) & (on_a < 1.0) & (on_b > 0.0) & (on_b < 1.0)
    gap = np.linalg.norm(between + on_a[:, None] * a.along - on_b[:, None] * b.along, axis=1)
    return np.asarray(np.where(inside, np.minimum(gap, nearest), nearest))


def any_within(a: Arcs, b: Arcs, owner: Ints, count: int, distance: float, tolerance: float) -> Bools:
    """Which of `count` owners have two arcs within `distance` metres of each other, in a straight line.

    Row by row, an arc of `a` and one of `b` belong to `owner`. A pair whose chords are too far apart to leave
    the answer open is dropped, one near enough to settle it settles it for its owner, and the others are cut
    finer, until their curves lie within `tolerance` metres of their chords; those then count as near. So
    nothing within `distance` is missed, and nothing beyond `distance + 2 * tolerance` is taken.
    """
    near = np.zeros(count, dtype=np.bool_)
    while len(owner):
        apart, slack = chord_distances(a, b), a.sagitta + b.sagitta
        surely = apart + slack <= distance
        near[owner[surely | ((apart - slack <= distance) & (slack <= tolerance))]] = True
        left = np.flatnonzero((apart - slack <= distance) & ~near[owner])
        a, b, owner = finer(a[left], b[left], owner[left])
    return near


def finer(a: Arcs, b: Arcs, owner: Ints) -> tuple[Arcs, Arcs, Ints]:
    """Each pair again, the one of its two arcs that leaves its chord further cut into `FINER` pieces."""
    pieces = np.full(len(owner), FINER, dtype=np.int64)
    row = np.repeat(np.arange(len(owner)), FINER)
    cut_a = (a.sagitta >= b.sagitta)[row][:, None, None]
    a_ends = np.where(cut_a, cut(a.ends, pieces)[0], a.ends[row])
    b_ends = np.where(cut_a, b.ends[row], cut(b.ends, pieces)[0])
    return Arcs.between(a_ends), Arcs.between(b_ends), owner[row]
