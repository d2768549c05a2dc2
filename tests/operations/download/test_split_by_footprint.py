"""Features cut along the edges of footprints, compared with points thrown at random."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from geographer.operations.download.split_by_footprint import pieces_of


def shown(found, piece):
    return frozenset(found.footprints[found.pieces == piece].tolist())


@pytest.mark.parametrize("seed", range(8))
def test_pieces_are_the_sets_of_footprints_that_meet_in_a_feature(seed):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 8, (5, 2))
    footprints = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + 4, corners[:, 1] + 4)
    feature = shapely.box(2, 2, 9, 8)

    found = pieces_of(np.array([feature]), footprints)

    places = shapely.points(random.uniform([2, 2], [9, 8], (4000, 2)))
    inside = shapely.contains(footprints[:, None], places[None, :])
    seen = {frozenset(np.flatnonzero(column).tolist()) for column in inside.T}
    assert seen <= {shown(found, piece) for piece in range(len(found.features))}
    assert (found.features == 0).all()


def test_a_feature_within_one_footprint_is_one_piece():
    found = pieces_of(np.array([shapely.Point(1, 1)]), np.array([shapely.box(0, 0, 2, 2), shapely.box(5, 5, 6, 6)]))

    assert found.features.tolist() == [0]
    assert shown(found, 0) == {0}


def test_what_no_footprint_shows_is_a_piece_in_no_pair():
    found = pieces_of(np.array([shapely.LineString([(0, 0), (4, 0)])]), np.array([shapely.box(-1, -1, 2, 1)]))

    assert sorted(map(sorted, (shown(found, piece) for piece in range(2)))) == [[], [0]]


def test_slivers_of_rounding_are_no_pieces():
    halves = np.array([shapely.box(0, 0, 1, 1), shapely.box(1 + 1e-12, 0, 2, 1)])

    found = pieces_of(np.array([shapely.box(0.5, 0.2, 1.5, 0.8)]), halves)

    assert sorted(map(sorted, (shown(found, piece) for piece in range(len(found.features))))) == [[0], [1]]


def test_a_footprint_that_only_touches_shows_nothing():
    around = [shapely.box(1, 0, 2, 1), shapely.box(0, 1, 1, 2), shapely.box(1, 1, 2, 2)]

    found = pieces_of(np.array([shapely.box(0, 0, 1, 1)]), np.array(around))

    assert found.features.tolist() == [0]
    assert shown(found, 0) == frozenset()
