"""The scenes that are chosen: as few as can be, then as cheap as can be; compared with all choices there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from geographer.operations.download.select_scenes import choose


def pairs_of(shows):
    """The pairs (member, scene) of a table of truth, shape (members, scenes)."""
    members, scenes = np.nonzero(shows)
    return members, scenes


def best(shows, needs, costs):
    """The size and the cost of the best choice, by trying all."""
    reachable = np.minimum(needs, shows.sum(axis=1))
    for count in range(shows.shape[1] + 1):
        fitting = [
            float(costs[list(some)].sum())
            for some in combinations(range(shows.shape[1]), count)
            if (shows[:, list(some)].sum(axis=1) >= reachable).all()
        ]
        if fitting:
            return count, min(fitting)
    raise AssertionError


@pytest.mark.parametrize("seed", range(40))
def test_the_choice_is_as_good_as_the_best_of_all(seed):
    random = np.random.default_rng(seed)
    members, scenes = int(random.integers(1, 9)), int(random.integers(1, 10))
    shows = random.random((members, scenes)) < random.choice([0.2, 0.4])
    needs = random.integers(0, 3, members)
    costs = random.random(scenes).round(2)

    chosen = choose(*pairs_of(shows), needs, costs, seconds=30)

    count, cost = best(shows, needs, costs)
    assert (chosen.taken.sum(), chosen.bound) == (count, count)
    assert costs[chosen.taken].sum() == pytest.approx(cost)
    assert chosen.short.tolist() == np.maximum(needs - shows[:, chosen.taken].sum(axis=1), 0).tolist()


def test_a_cluster_gets_one_scene_not_ten():
    members, scenes = np.arange(11) % 10, np.arange(11)
    everything = np.full(10, 10)

    chosen = choose(
        np.append(members, range(10)), np.append(scenes, everything), np.ones(10, int), np.ones(11), seconds=5
    )

    assert chosen.taken.sum() == 1


def test_of_scenes_that_show_the_same_the_cheapest_is_taken():
    members, scenes = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)

    chosen = choose(members, scenes, np.array([1, 1]), np.array([0.7, 0.1, 0.3]), seconds=5)

    assert chosen.taken.tolist() == [False, True, False]


def test_several_scenes_of_one_place_are_taken_where_several_are_wanted():
    members, scenes = np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)

    chosen = choose(members, scenes, np.array([2, 1]), np.array([0.7, 0.1, 0.3]), seconds=5)

    assert chosen.taken.tolist() == [False, True, True]


def test_what_no_scene_shows_is_short():
    chosen = choose(np.array([0]), np.array([0]), np.array([1, 2]), np.array([0.5]), seconds=5)

    assert chosen.taken.tolist() == [True]
    assert chosen.short.tolist() == [0, 2]


def test_without_scenes_everything_is_short():
    nothing = np.empty(0, np.int64)

    chosen = choose(nothing, nothing, np.array([1, 1]), np.empty(0), seconds=5)

    assert chosen.short.tolist() == [1, 1]
    assert chosen.bound == 0


def test_without_time_a_choice_is_made_all_the_same():
    random = np.random.default_rng(1)
    shows = random.random((30, 40)) < 0.2
    needs = np.ones(30, int)

    chosen = choose(*pairs_of(shows), needs, random.random(40), seconds=0)

    assert (shows[:, chosen.taken].sum(axis=1) >= np.minimum(needs, shows.sum(axis=1))).all()
    assert chosen.bound <= chosen.taken.sum()
