"""The fewest sets: against trying all ways to take them."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.algorithms.set_cover import Problem, solve_set_cover

LONG, NO_TIME = 60.0, -1.0


def solved(sets, most, needs, seconds=LONG):
    problem = Problem([np.array(sorted(one), np.int64) for one in sets], np.array(most, np.int64), np.array(needs))
    return solve_set_cover(problem, time.monotonic() + seconds)


def held(sets, taken, members):
    return [sum(count for one, count in zip(sets, taken, strict=True) if member in one) for member in range(members)]


def covers(sets, taken, most, needs):
    """Whether what is taken covers all that is needed, or all that can be."""
    enough = np.minimum(needs, held(sets, most, len(needs)))
    return (np.array(held(sets, taken, len(needs))) >= enough).all() and (np.asarray(taken) <= most).all()


@st.composite
def problems(draw):
    members = draw(st.integers(1, 6))
    sets = draw(st.lists(st.sets(st.integers(0, members - 1), min_size=1), min_size=1, max_size=6))
    most = draw(st.lists(st.integers(0, 2), min_size=len(sets), max_size=len(sets)))
    needs = draw(st.lists(st.integers(0, 3), min_size=members, max_size=members))
    return sets, most, needs


@settings(max_examples=150, deadline=None)
@given(problems())
def test_a_cover_is_the_smallest_of_all_and_proven_to_be(problem):
    sets, most, needs = problem
    ways = product(*(range(count + 1) for count in most))
    least = min(sum(taken) for taken in ways if covers(sets, taken, most, needs))
    cover = solved(*problem)
    assert covers(sets, cover.taken, most, needs)
    assert cover.taken.sum() == cover.bound == least
    hasty = solved(*problem, NO_TIME)
    assert covers(sets, hasty.taken, most, needs)
    assert hasty.bound <= least <= hasty.taken.sum()
    assert (solved(*problem).taken == cover.taken).all()


def test_without_time_no_set_is_taken_that_could_be_left_out():
    rng = np.random.default_rng(3)
    members = 60
    sets = [set(rng.choice(members, 5, replace=False).tolist()) for _ in range(150)]
    most, needs = [2] * len(sets), [2] * members
    hasty = solved(sets, most, needs, NO_TIME)
    assert covers(sets, hasty.taken, most, needs)
    for one in np.flatnonzero(hasty.taken):
        fewer = hasty.taken.copy()
        fewer[one] -= 1
        assert not covers(sets, fewer, most, needs)
    assert 0 < hasty.bound <= hasty.taken.sum()


@pytest.mark.parametrize(("sets", "most", "needs"), [([], [], []), ([], [], [2]), ([{0}], [0], [1]), ([{0}], [1], [0])])
def test_nothing_is_taken_where_nothing_can_be_or_need_be(sets, most, needs):
    cover = solved(sets, most, needs)
    assert (cover.taken.sum(), cover.bound) == (0, 0)
