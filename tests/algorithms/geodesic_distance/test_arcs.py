"""Arcs and their chords, compared with transform_to_geocentric coordinates of pyproj and fine sampling."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from scipy.optimize import lsq_linear

from geographer.algorithms.geodesic_distance.arcs import (
    Arcs,
    bound_lengths,
    chord_distances,
    subdivide_lines,
    to_geocentric,
)

TO_GEOCENTRIC = Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)


def transform_to_geocentric(lonlat):
    lon, lat = np.moveaxis(np.asarray(lonlat, dtype=float), -1, 0)
    return np.stack(TO_GEOCENTRIC.transform(lon, lat, np.zeros_like(lon)), axis=-1)


lonlats = st.tuples(st.floats(-180, 180), st.floats(-90, 90) | st.sampled_from([-90.0, 0.0, 89.99, 90.0]))
lines = st.tuples(lonlats, lonlats, st.floats(1e-4, 1)).map(
    lambda line: np.array([line[0], [a + (b - a) * line[2] for a, b in zip(*line[:2], strict=True)]])
)


@given(lonlats)
def test_to_geocentric_agrees_with_pyproj(lonlat):
    assert to_geocentric(np.array(lonlat)) == pytest.approx(transform_to_geocentric(lonlat), abs=1e-6)


@given(lines)
@example(np.array([[0.0, -30.0], [90.0, 30.0]]))
@example(np.array([[0.0, 80.0], [90.0, 90.0]]))
@example(np.array([[0.0, 45.0], [90.0, 45.0]]))
def test_sagitta_and_length_are_upper_bounds(line):
    arc = Arcs.from_ends(line[None])
    fraction = np.linspace(0, 1, 1001)[:, None]
    positions = transform_to_geocentric(line[0] * (1 - fraction) + line[1] * fraction)
    start, along = positions[0], positions[-1] - positions[0]
    nearest = np.clip((positions - start) @ along / max(along @ along, 1e-30), 0, 1)[:, None]
    assert np.linalg.norm(positions - start - nearest * along, axis=1).max() <= arc.sagitta[0] + 1e-6
    # Each of the thousand steps is a difference of coordinates rounded to about 1e-9 m.
    assert np.linalg.norm(np.diff(positions, axis=0), axis=1).sum() <= bound_lengths(line[None])[0] + 1e-5


@given(lines)
def test_bounds_of_short_arcs_are_tight(line):
    assume(abs(line[0, 1]) < 80 and np.abs(line[1] - line[0]).max() < 5)
    fraction = np.linspace(0, 1, 101)[:, None]
    positions = transform_to_geocentric(line[0] * (1 - fraction) + line[1] * fraction)
    length = np.linalg.norm(np.diff(positions, axis=0), axis=1).sum()
    assert bound_lengths(line[None])[0] <= 1.6 * length + 1e-3
    assert Arcs.from_ends(line[None]).sagitta[0] <= 10 * length**2 / 8 / 6e6 + 1e-3


points = st.tuples(*[st.integers(-20, 20)] * 3)


def solve_distance(start, end, other_start, other_end):
    """Find the least distance of two segments by bounded least squares in the two positions."""
    directions = np.column_stack([end - start, other_start - other_end])
    solution = lsq_linear(directions, other_start - start, bounds=(0, 1), method="bvls", tol=1e-14)
    return np.sqrt(2 * solution.cost)


def make_chord(start, end):
    ends = np.zeros((1, 2, 2))
    return Arcs(ends, start[None], (end - start)[None], np.zeros(1))


@given(start=points, end=points, other_start=points, other_end=points)
@example(start=(-10, 0, 1), end=(10, 0, 1), other_start=(0, -10, 0), other_end=(0, 10, 0))
@example(start=(0, 0, 0), end=(10, 0, 0), other_start=(5, 1, 0), other_end=(5, 9, 0))
@example(start=(0, 0, 0), end=(10, 0, 0), other_start=(5, 9, 0), other_end=(5, 1, 0))
@example(start=(5, 1, 0), end=(5, 9, 0), other_start=(0, 0, 0), other_end=(10, 0, 0))
@example(start=(5, 9, 0), end=(5, 1, 0), other_start=(0, 0, 0), other_end=(10, 0, 0))
@example(start=(0, 0, 0), end=(10, 0, 0), other_start=(3, 4, 0), other_end=(20, 4, 0))
@example(start=(0, 0, 0), end=(0, 0, 0), other_start=(3, 4, 0), other_end=(3, 4, 0))
@settings(max_examples=60, deadline=None)
def test_chord_distances_agree_with_least_squares(start, end, other_start, other_end):
    start, end, other_start, other_end = (np.array(point, float) for point in (start, end, other_start, other_end))
    distance = chord_distances(make_chord(start, end), make_chord(other_start, other_end))[0]
    assert distance == pytest.approx(solve_distance(start, end, other_start, other_end), abs=1e-7)


def test_subdivide_lines_in_equal_steps():
    ends = np.array([[[0.0, 0.0], [4.0, 8.0]], [[1.0, 1.0], [2.0, 2.0]]])
    pieces, owner = subdivide_lines(ends, np.array([4, 1]))
    assert owner.tolist() == [0, 0, 0, 0, 1]
    assert pieces[:, 0].tolist() == [[0, 0], [1, 2], [2, 4], [3, 6], [1, 1]]
    assert pieces[:, 1].tolist() == [[1, 2], [2, 4], [3, 6], [4, 8], [2, 2]]
