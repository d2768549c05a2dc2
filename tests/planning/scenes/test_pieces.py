"""Features cut along the edges of footprints, compared with points thrown at random."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import shapely

from geographer.planning.scenes.choice import choose
from geographer.planning.scenes.pieces import pieces_of


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


def test_a_footprint_that_only_touches_a_feature_shows_nothing_of_it():
    area, line, point = shapely.box(0, 0, 1, 1), shapely.LineString([(0, 0), (1, 0)]), shapely.Point(1, 1)
    tiles = np.array([shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1), shapely.box(0, -1, 1, 0)])

    found = pieces_of(np.array([area, line, point]), tiles)

    assert found.features.tolist() == [0, 1, 2]
    assert [shown(found, piece) for piece in range(3)] == [{0}, {0, 2}, {0, 1}]


@pytest.mark.parametrize("seed", range(20))
def test_footprints_on_a_grid_are_chosen_as_few_as_can_be_to_cover_together_what_they_can(seed):
    random = np.random.default_rng(seed)
    corners, cells = (
        random.integers(0, 10, (6, 2)),
        np.stack(np.meshgrid(*[np.arange(20) + 0.5] * 2), -1).reshape(-1, 2),
    )
    sides = random.integers(1, 9, (3, 4))
    footprints = shapely.box(*corners.T, *(corners + 6).T)
    features = shapely.box(*sides[:, :2].T, *(sides[:, :2] + sides[:, 2:]).T)

    found = pieces_of(features, footprints)
    needs = np.ones(len(found.features), np.int64)
    chosen = choose(found.pieces, found.footprints, needs, np.ones(6), seconds=10)

    low, high = sides[:, None, :2], (sides[:, :2] + sides[:, 2:])[:, None]
    wanted = cells[((cells > low) & (cells < high)).all(axis=2).any(axis=0)]
    shows = ((wanted > corners[:, None]) & (wanted < corners[:, None] + 6)).all(axis=2)
    ways = (list(some) for count in range(7) for some in combinations(range(6), count))
    least = next(some for some in ways if (shows[some].any(axis=0) == shows.any(axis=0)).all())
    assert chosen.taken.sum() == chosen.bound == len(least)
