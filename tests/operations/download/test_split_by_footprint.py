"""Features split along footprints, compared with random sample points."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geographer.operations.download.split_by_footprint import split_by_footprints


def list_containing(split, piece):
    return frozenset(split.footprints[split.pieces == piece].tolist())


@pytest.mark.parametrize("seed", range(8))
def test_pieces_match_random_samples(seed):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 8, (5, 2))
    footprints = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + 4, corners[:, 1] + 4)
    feature = shapely.box(2, 2, 9, 8)

    split = split_by_footprints(np.array([feature]), footprints)

    samples = shapely.points(rng.uniform([2, 2], [9, 8], (4000, 2)))
    inside = shapely.contains(footprints[:, None], samples[None, :])
    expected_sets = {frozenset(np.flatnonzero(column).tolist()) for column in inside.T}
    assert expected_sets <= {list_containing(split, piece) for piece in range(len(split.features))}
    assert (split.features == 0).all()


def test_contained_feature_is_one_piece():
    split = split_by_footprints(
        np.array([shapely.Point(1, 1)]), np.array([shapely.box(0, 0, 2, 2), shapely.box(5, 5, 6, 6)])
    )

    assert split.features.tolist() == [0]
    assert list_containing(split, 0) == {0}


def test_uncovered_piece_has_no_pair():
    split = split_by_footprints(np.array([shapely.LineString([(0, 0), (4, 0)])]), np.array([shapely.box(-1, -1, 2, 1)]))

    assert sorted(map(sorted, (list_containing(split, piece) for piece in range(2)))) == [[], [0]]


def test_rounding_slivers_are_dropped():
    footprints = np.array([shapely.box(0, 0, 1, 1), shapely.box(1 + 1e-12, 0, 2, 1)])

    split = split_by_footprints(np.array([shapely.box(0.5, 0.2, 1.5, 0.8)]), footprints)

    assert sorted(map(sorted, (list_containing(split, piece) for piece in range(len(split.features))))) == [[0], [1]]


def test_touching_footprint_contains_nothing():
    neighbours = [shapely.box(1, 0, 2, 1), shapely.box(0, 1, 1, 2), shapely.box(1, 1, 2, 2)]

    split = split_by_footprints(np.array([shapely.box(0, 0, 1, 1)]), np.array(neighbours))

    assert split.features.tolist() == [0]
    assert list_containing(split, 0) == frozenset()
