"""Set multicover, compared with trying all multiplicities."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.algorithms.set_cover import SetMulticover, solve_set_cover

LONG, NO_TIME = 60.0, -1.0


def solve_problem(sets, capacities, demands, *, seconds=LONG):
    elements = [np.array(sorted(members), np.int64) for members in sets]
    problem = SetMulticover(elements, np.array(capacities, np.int64), np.array(demands))
    return solve_set_cover(problem, time.monotonic() + seconds)


def count_covers(sets, multiplicity, element_count):
    return [
        sum(count for members, count in zip(sets, multiplicity, strict=True) if element in members)
        for element in range(element_count)
    ]


def meets_demands(sets, multiplicity, capacities, demands):
    """Return whether `multiplicity` meets all demands, or as much of them as the capacities allow."""
    possible = np.minimum(demands, count_covers(sets, capacities, len(demands)))
    is_enough = np.array(count_covers(sets, multiplicity, len(demands))) >= possible
    return is_enough.all() and (np.asarray(multiplicity) <= capacities).all()


@st.composite
def cover_problems(draw):
    element_count = draw(st.integers(1, 6))
    sets = draw(st.lists(st.sets(st.integers(0, element_count - 1), min_size=1), min_size=1, max_size=6))
    capacities = draw(st.lists(st.integers(0, 2), min_size=len(sets), max_size=len(sets)))
    demands = draw(st.lists(st.integers(0, 3), min_size=element_count, max_size=element_count))
    return sets, capacities, demands


@settings(max_examples=150, deadline=None)
@given(cover_problems())
def test_solution_is_minimal_and_proven(problem):
    sets, capacities, demands = problem
    multiplicities = product(*(range(count + 1) for count in capacities))
    optimum = min(sum(counts) for counts in multiplicities if meets_demands(sets, counts, capacities, demands))
    solution = solve_problem(*problem)
    assert meets_demands(sets, solution.multiplicity, capacities, demands)
    assert solution.multiplicity.sum() == solution.lower_bound == optimum
    greedy = solve_problem(*problem, seconds=NO_TIME)
    assert meets_demands(sets, greedy.multiplicity, capacities, demands)
    assert greedy.lower_bound <= optimum <= greedy.multiplicity.sum()
    assert (solve_problem(*problem).multiplicity == solution.multiplicity).all()


def test_greedy_solution_has_no_redundant_set():
    rng = np.random.default_rng(3)
    element_count = 60
    sets = [set(rng.choice(element_count, 5, replace=False).tolist()) for _ in range(150)]
    capacities, demands = [2] * len(sets), [2] * element_count
    greedy = solve_problem(sets, capacities, demands, seconds=NO_TIME)
    assert meets_demands(sets, greedy.multiplicity, capacities, demands)
    for index in np.flatnonzero(greedy.multiplicity):
        fewer = greedy.multiplicity.copy()
        fewer[index] -= 1
        assert not meets_demands(sets, fewer, capacities, demands)
    assert 0 < greedy.lower_bound <= greedy.multiplicity.sum()


@pytest.mark.parametrize(
    ("sets", "capacities", "demands"), [([], [], []), ([], [], [2]), ([{0}], [0], [1]), ([{0}], [1], [0])]
)
def test_no_set_is_used_without_demand(sets, capacities, demands):
    solution = solve_problem(sets, capacities, demands)
    assert (solution.multiplicity.sum(), solution.lower_bound) == (0, 0)
