"""Curves over the ground and their chords: against pyproj's geocentric coordinates and fine sampling."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from geographer.algorithms.geodesic_distance.arcs import Arcs, chord_distances, cut, earth_centred, length_bounds

TO_GEOCENTRIC = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)


def geocentric(lonlat):
    lon, lat = np.moveaxis(np.asarray(lonlat, dtype=float), -1, 0)
    return np.stack(TO_GEOCENTRIC.transform(lon, lat, np.zeros_like(lon)), axis=-1)


lonlats = st.tuples(st.floats(-180, 180), st.floats(-90, 90) | st.sampled_from([-90.0, 0.0, 89.99, 90.0]))
lines = st.tuples(lonlats, lonlats, st.floats(1e-4, 1)).map(
    lambda line: np.array([line[0], [a + (b - a) * line[2] for a, b in zip(*line[:2], strict=True)]])
)


@given(lonlats)
def test_positions_are_those_of_the_ellipsoid(lonlat):
    assert earth_centred(np.array(lonlat)) == pytest.approx(geocentric(lonlat), abs=1e-6)


@given(lines)
@example(np.array([[0.0, -30.0], [90.0, 30.0]]))
@example(np.array([[0.0, 80.0], [90.0, 90.0]]))
@example(np.array([[0.0, 45.0], [90.0, 45.0]]))
def test_a_curve_leaves_its_chord_by_its_sagitta_at_most_and_is_no_longer_than_said(line):
    arc = Arcs.between(line[None])
    share = np.linspace(0, 1, 1001)[:, None]
    curve = geocentric(line[0] * (1 - share) + line[1] * share)
    start, along = curve[0], curve[-1] - curve[0]
    nearest = np.clip((curve - start) @ along / max(along @ along, 1e-9), 0, 1)[:, None]
    assert np.linalg.norm(curve - start - nearest * along, axis=1).max() <= arc.sagitta[0] + 1e-6
    # Each of the thousand steps is a difference of coordinates that are rounded to some 1e-9 m.
    assert np.linalg.norm(np.diff(curve, axis=0), axis=1).sum() <= length_bounds(line[None])[0] + 1e-5


@given(lines)
def test_the_bounds_are_not_wasteful_for_short_curves(line):
    assume(abs(line[0, 1]) < 80 and np.abs(line[1] - line[0]).max() < 5)
    share = np.linspace(0, 1, 101)[:, None]
    curve = geocentric(line[0] * (1 - share) + line[1] * share)
    length = np.linalg.norm(np.diff(curve, axis=0), axis=1).sum()
    assert length_bounds(line[None])[0] <= 1.6 * length + 1e-3
    assert Arcs.between(line[None]).sagitta[0] <= 8 * length**2 / 8 / 6e6 + 1e-3


points = st.tuples(*[st.integers(-20, 20)] * 3)


def distance_between(start, end, other_start, other_end):
    """The least distance of two segments: a convex function of where on each, so closing in finds its minimum."""
    low, high = np.zeros(2), np.ones(2)
    for _ in range(60):
        s, t = np.meshgrid(*np.linspace(low, high, 9).T)
        here = start + s[..., None] * (end - start) - other_start - t[..., None] * (other_end - other_start)
        away = np.linalg.norm(here, axis=-1)
        row, column = np.unravel_index(away.argmin(), away.shape)
        middle, span = np.array([s[row, column], t[row, column]]), (high - low) * 0.4
        low, high = np.clip(middle - span, 0, 1), np.clip(middle + span, 0, 1)
    return away.min()


def chord(start, end):
    nowhere = np.zeros((1, 2, 2))
    return Arcs(nowhere, start[None], (end - start)[None], np.zeros(1))


@given(start=points, end=points, other_start=points, other_end=points)
@example(start=(-10, 0, 1), end=(10, 0, 1), other_start=(0, -10, 0), other_end=(0, 10, 0))
@example(start=(0, 0, 0), end=(10, 0, 0), other_start=(5, 1, 0), other_end=(5, 9, 0))
@example(start=(0, 0, 0), end=(10, 0, 0), other_start=(5, 9, 0), other_end=(5, 1, 0))
@example(start=(5, 1, 0), end=(5, 9, 0), other_start=(0, 0, 0), other_end=(10, 0, 0))
@example(start=(5, 9, 0), end=(5, 1, 0), other_start=(0, 0, 0), other_end=(10, 0, 0))
@example(start=(0, 0, 0), end=(10, 0, 0), other_start=(3, 4, 0), other_end=(20, 4, 0))
@example(start=(0, 0, 0), end=(0, 0, 0), other_start=(3, 4, 0), other_end=(3, 4, 0))
@settings(max_examples=60, deadline=None)
def test_chords_are_as_far_apart_as_their_nearest_places(start, end, other_start, other_end):
    start, end, other_start, other_end = (np.array(some, float) for some in (start, end, other_start, other_end))
    found = chord_distances(chord(start, end), chord(other_start, other_end))[0]
    # Near 0, the search for the nearest places ends within some 1e-6 of it.
    assert found == pytest.approx(distance_between(start, end, other_start, other_end), abs=1e-5)


def test_cutting_keeps_the_ends_and_takes_equal_steps():
    ends = np.array([[[0.0, 0.0], [4.0, 8.0]], [[1.0, 1.0], [2.0, 2.0]]])
    pieces, owner = cut(ends, np.array([4, 1]))
    assert owner.tolist() == [0, 0, 0, 0, 1]
    assert pieces[:, 0].tolist() == [[0, 0], [1, 2], [2, 4], [3, 6], [1, 1]]
    assert pieces[:, 1].tolist() == [[1, 2], [2, 4], [3, 6], [4, 8], [2, 2]]
