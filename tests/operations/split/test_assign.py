"""Assignment of components to parts, against every possible assignment."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geographer.operations.split import assign
from geographer.operations.split.assign import assign_components

Weights = Sequence[Sequence[float]]


def compute_cost(weights, part_weights, fractions, parts) -> float:
    """The deviation of fractions: summed over the parts for rasters, and averaged over the classes that exist.

    What a part lacks below half of its fraction counts twice.
    """
    totals = [sum(column) for column in zip(*weights, *part_weights, strict=True)]
    current = [list(weight) for weight in part_weights]
    for weight, part in zip(weights, parts, strict=True):
        current[part] = [a + b for a, b in zip(current[part], weight, strict=True)]
    deviations = [
        sum(compute_deviation(weight[i] / total, fraction) for weight, fraction in zip(current, fractions, strict=True))
        for i, total in enumerate(totals)
        if total
    ]
    rasters, *classes = deviations
    return rasters + (sum(classes) / len(classes) if classes else 0.0)


def compute_deviation(actual: float, target: float) -> float:
    return abs(actual - target) + (target / 2 - actual if actual < target / 2 else 0)


def find_lowest_cost(weights, part_weights, fractions) -> float:
    """The lowest cost of all assignments that fill as many empty parts as there are components for."""
    empty = {part for part, weight in enumerate(part_weights) if not weight[0]}
    to_fill = sorted(empty, key=lambda part: -fractions[part])[: len(weights)]
    assignments = product(range(len(fractions)), repeat=len(weights))
    return min(compute_cost(weights, part_weights, fractions, parts) for parts in assignments if {*to_fill} <= {*parts})


def make_arrays(weights: Weights, part_weights: Weights, fractions: Sequence[float]) -> tuple[np.ndarray, ...]:
    return (
        np.array(weights, dtype=float).reshape(len(weights), len(part_weights[0])),
        np.array(part_weights, dtype=float),
        np.array(fractions),
        np.random.default_rng(0).permutation(len(weights)).astype(float),
    )


@st.composite
def problems(draw):
    """Weights of components and of three parts, and target fractions."""
    classes = draw(st.integers(0, 2))
    weight = st.tuples(st.integers(1, 9), *[st.integers(0, 6)] * classes)
    weights = draw(st.lists(weight, max_size=6))
    zero = (0,) * (1 + classes)
    part_weights = [draw(st.just(zero) | weight) for _ in range(3)]
    sizes = draw(st.sampled_from([(70, 15, 15), (80, 15, 5), (34, 33, 33), (98, 1, 1)]))
    if not weights and part_weights == [zero] * 3:
        part_weights[0] = (3,) * (1 + classes)
    return weights, part_weights, tuple(size / sum(sizes) for size in sizes)


@given(problems())
@settings(max_examples=60, deadline=None)
def test_assignment_has_lowest_cost(problem):
    weights, part_weights, fractions = problem
    assignment = assign_components(*make_arrays(*problem))
    lowest_cost = find_lowest_cost(*problem)
    assert assignment.cost == pytest.approx(compute_cost(weights, part_weights, fractions, assignment.parts))
    assert assignment.is_optimal
    assert lowest_cost - 1e-9 <= assignment.cost <= lowest_cost + assign.TOLERANCE
    assert assignment.lower_bound <= lowest_cost + 1e-9


@given(problems())
@settings(max_examples=60, deadline=None)
def test_greedy_assignment_fills_parts_and_bounds(problem):
    """Without the mixed-integer program, empty parts are filled and the lower bound holds."""
    weights, part_weights, fractions = problem
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(assign, "MAX_UNKNOWNS", 0)
        assignment = assign_components(*make_arrays(*problem))
    lowest_cost = find_lowest_cost(*problem)
    n_empty = sum(not weight[0] for weight in part_weights)
    assert assignment.method == ("greedy" if weights else "none")
    assert assignment.cost == pytest.approx(compute_cost(weights, part_weights, fractions, assignment.parts))
    assert assignment.lower_bound <= lowest_cost + 1e-9 <= assignment.cost + 2e-9
    filled = {*np.flatnonzero(np.array(part_weights)[:, 0]), *assignment.parts.tolist()}
    assert len(filled) == 3 - max(0, n_empty - len(weights))


def draw_weights(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights of many components, and their random keys."""
    rng = np.random.default_rng(seed)
    sizes = rng.geometric(0.3, count)
    counts = [rng.binomial(2 * sizes, fraction) for fraction in rng.dirichlet(np.ones(classes))]
    return np.column_stack([sizes, *counts]).astype(float), rng.permutation(count).astype(float)


@pytest.mark.parametrize(("count", "classes", "max_cost"), [(253, 3, 0.01), (3000, 8, 0.02)])
def test_many_components_come_close_to_fractions(count, classes, max_cost):
    weights, random_keys = draw_weights(1, count, classes)
    assignment = assign_components(weights, np.zeros((3, 1 + classes)), np.array([0.7, 0.15, 0.15]), random_keys)
    assert assignment.cost < max_cost
    expected = compute_cost(weights, [[0] * (1 + classes)] * 3, [0.7, 0.15, 0.15], assignment.parts)
    assert assignment.cost == pytest.approx(expected)


def test_milp_improves_greedy_assignment(monkeypatch):
    weights = np.array([[4.0], [2.0], [4.0], [1.0], [1.0], [5.0], [2.0], [3.0]])
    monkeypatch.setattr(assign, "improve_assignment", lambda counts, *_: counts)
    monkeypatch.setattr(assign, "assign_greedily", lambda groups, sizes, *_: np.outer(sizes, [1, 0, 0]))
    assignment = assign_components(weights, np.zeros((3, 1)), np.array([0.5, 0.32, 0.18]), np.arange(8.0))
    assert assignment.method == "milp"
    assert sorted(np.bincount(assignment.parts, weights[:, 0]).tolist()) == [4, 7, 11]


def test_assignment_does_not_depend_on_order():
    weights, random_keys = draw_weights(2, 60, 2)
    fractions = np.array([0.7, 0.2, 0.1])
    order = np.random.default_rng(3).permutation(60)
    assignment = assign_components(weights, np.zeros((3, 3)), fractions, random_keys)
    shuffled = assign_components(weights[order], np.zeros((3, 3)), fractions, random_keys[order])
    assert assignment.parts[order].tolist() == shuffled.parts.tolist()


def test_random_keys_decide_between_equal_components():
    weights, part_weights, fractions = np.ones((10, 1)), np.zeros((2, 1)), np.array([0.7, 0.3])
    ascending = assign_components(weights, part_weights, fractions, np.arange(10.0))
    assert ascending.parts.tolist() == [0] * 7 + [1] * 3
    descending = assign_components(weights, part_weights, fractions, np.arange(10.0)[::-1])
    assert descending.parts.tolist() == [1] * 3 + [0] * 7
