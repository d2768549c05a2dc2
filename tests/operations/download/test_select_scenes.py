"""The selection has the fewest scenes, then the lowest cost, compared with an exhaustive search."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from geographer.operations.download.select_scenes import select_scenes


def list_pairs(covers):
    """Return the pairs (target, scene) of a boolean table, shape (targets, scenes)."""
    targets, scenes = np.nonzero(covers)
    return targets, scenes


def find_optimum(covers, demands, costs):
    """Return the size and cost of the best selection, by exhaustive search."""
    reachable = np.minimum(demands, covers.sum(axis=1))
    for count in range(covers.shape[1] + 1):
        feasible_costs = [
            float(costs[list(subset)].sum())
            for subset in combinations(range(covers.shape[1]), count)
            if (covers[:, list(subset)].sum(axis=1) >= reachable).all()
        ]
        if feasible_costs:
            return count, min(feasible_costs)
    raise AssertionError


@pytest.mark.parametrize("seed", range(40))
def test_selection_matches_exhaustive_search(seed):
    rng = np.random.default_rng(seed)
    n_targets, n_scenes = int(rng.integers(1, 9)), int(rng.integers(1, 10))
    covers = rng.random((n_targets, n_scenes)) < rng.choice([0.2, 0.4])
    demands = rng.integers(0, 3, n_targets)
    costs = rng.random(n_scenes).round(2)
    targets, scenes = list_pairs(covers)

    selection = select_scenes(targets, scenes, demands, costs, time_limit=30)

    count, cost = find_optimum(covers, demands, costs)
    assert (selection.is_selected.sum(), selection.lower_bound) == (count, count)
    assert costs[selection.is_selected].sum() == pytest.approx(cost)
    assert (
        selection.shortfall.tolist() == np.maximum(demands - covers[:, selection.is_selected].sum(axis=1), 0).tolist()
    )


def test_one_scene_covers_cluster():
    targets, scenes = np.arange(11) % 10, np.arange(11)
    shared_scene = np.full(10, 10)

    selection = select_scenes(
        np.append(targets, range(10)), np.append(scenes, shared_scene), np.ones(10, int), np.ones(11), time_limit=5
    )

    assert selection.is_selected.sum() == 1


def test_cheapest_equivalent_scene_is_selected():
    targets, scenes = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)

    selection = select_scenes(targets, scenes, np.array([1, 1]), np.array([0.7, 0.1, 0.3]), time_limit=5)

    assert selection.is_selected.tolist() == [False, True, False]


def test_demand_selects_several_equivalent_scenes():
    targets, scenes = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)

    selection = select_scenes(targets, scenes, np.array([2, 1]), np.array([0.7, 0.1, 0.3]), time_limit=5)

    assert selection.is_selected.tolist() == [False, True, True]


def test_uncovered_target_has_shortfall():
    selection = select_scenes(np.array([0]), np.array([0]), np.array([1, 2]), np.array([0.5]), time_limit=5)

    assert selection.is_selected.tolist() == [True]
    assert selection.shortfall.tolist() == [0, 2]


def test_no_scenes_leave_full_shortfall():
    empty = np.empty(0, np.int64)

    selection = select_scenes(empty, empty, np.array([1, 1]), np.empty(0), time_limit=5)

    assert selection.shortfall.tolist() == [1, 1]
    assert selection.lower_bound == 0


def test_zero_time_limit_still_covers():
    rng = np.random.default_rng(1)
    covers = rng.random((30, 40)) < 0.2
    demands = np.ones(30, int)
    targets, scenes = list_pairs(covers)

    selection = select_scenes(targets, scenes, demands, rng.random(40), time_limit=0)

    assert (covers[:, selection.is_selected].sum(axis=1) >= np.minimum(demands, covers.sum(axis=1))).all()
    assert selection.lower_bound <= selection.is_selected.sum()
