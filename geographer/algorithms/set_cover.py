"""Set multicover: the fewest sets that meet all demands, by an exact solver with a time limit and a lower bound.

HiGHS solves the integer programme, through SciPy (Huangfu and Hall, 'Parallelizing the dual revised simplex method',
Mathematical Programming Computation 10, 2018). If time runs out, the solution is greedy (Chvátal, 'A greedy heuristic
for the set-covering problem', 1979), and the lower bound is the best that was proven.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array

from geographer.algorithms.connected_components import Ints, label_components

_TOLERANCE = 1e-6

Floats = npt.NDArray[np.float64]


class CoverSolution(NamedTuple):
    """A solution of a set multicover problem.

    Attributes:
        multiplicity: How often each set is used, int64, shape (sets,).
        lower_bound: Proven: no solution uses fewer sets.
    """

    multiplicity: Ints
    lower_bound: int


@dataclass(frozen=True, slots=True)
class SetMulticover:
    """A set multicover problem.

    Attributes:
        sets: The elements of each set, as indices, int64, each once.
        capacities: How often each set may be used, shape (sets,).
        demands: How often each element is to be covered, shape (elements,). A demand above what its sets allow counts
            as what they allow.
        costs: The cost of each set, shape (sets,), not negative: of solutions with equally many sets, the cheapest
            wins. None: no costs.
    """

    sets: Sequence[Ints]
    capacities: Ints
    demands: Ints
    costs: Floats | None = None


def solve_set_cover(problem: SetMulticover, deadline: float) -> CoverSolution:
    """Find the fewest sets that meet all demands; optimal unless `deadline` (of `time.monotonic`) passes first.

    Each connected component is solved by itself, the smallest first. The result is deterministic unless time ran out.
    """
    incidence = _make_incidence(problem)
    demands = np.minimum(problem.demands, incidence @ problem.capacities)
    costs = np.zeros(len(problem.sets)) if problem.costs is None else problem.costs
    demanded = np.flatnonzero(demands)
    labels = _label_elements_and_sets(incidence[demanded], len(problem.sets))
    elements, sets = _group_indices(labels[: len(demanded)]), _group_indices(labels[len(demanded) :])
    multiplicity, lower_bound = np.zeros(len(problem.sets), np.int64), 0
    for label in sorted(elements, key=lambda label: len(elements[label])):
        rows, columns = demanded[elements[label]], sets[label]
        component = _Component(
            incidence[rows][:, columns], demands[rows], problem.capacities[columns], costs[columns], deadline
        )
        solution = _solve_single_element(component) if len(rows) == 1 else _solve_component(component)
        multiplicity[columns] = solution.multiplicity
        lower_bound += solution.lower_bound
    return CoverSolution(multiplicity, lower_bound)


@dataclass(frozen=True, slots=True)
class _Component:
    """A connected component of a problem; `incidence` has a row for each element and a column for each set."""

    incidence: csr_array
    demands: Ints
    capacities: Ints
    costs: Floats
    deadline: float


def _make_incidence(problem: SetMulticover) -> csr_array:
    """Return the incidence matrix of 0 and 1: elements as rows, sets as columns."""
    lengths = [len(elements) for elements in problem.sets]
    columns = np.repeat(np.arange(len(problem.sets)), lengths)
    rows = np.concatenate([*problem.sets, np.empty(0, np.int64)])
    shape = (len(problem.demands), len(problem.sets))
    return csr_array(coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape))


def _label_elements_and_sets(incidence: csr_array, set_count: int) -> Ints:
    """Return the component of each element (row), then of each set (column)."""
    rows, columns = incidence.nonzero()
    return label_components(incidence.shape[0] + set_count, np.column_stack([rows, columns + incidence.shape[0]]))


def _group_indices(labels: Ints) -> dict[int, Ints]:
    """Map each label to the ascending indices that have it."""
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=False))


def _solve_single_element(component: _Component) -> CoverSolution:
    """Solve a component of one element, which all its sets cover: use the cheapest sets, or else the first."""
    demand, order = int(component.demands[0]), np.argsort(component.costs, kind="stable")
    capacities = component.capacities[order]
    multiplicity = np.zeros(len(capacities), np.int64)
    multiplicity[order] = np.clip(demand - (np.cumsum(capacities) - capacities), 0, capacities)
    return CoverSolution(multiplicity, demand)


def _solve_component(component: _Component) -> CoverSolution:
    """Minimise the number of sets, then their cost."""
    greedy, lower_bound, costs = _solve_greedily(component), _packing_lower_bound(component), component.costs
    best = greedy
    if greedy.sum() > lower_bound:
        exact, dual_bound = _solve_milp(component, np.ones(len(costs)))
        best = greedy if exact is None or exact.sum() > greedy.sum() else exact
        lower_bound = min(max(lower_bound, int(np.ceil(dual_bound - _TOLERANCE))), int(best.sum()))
    if costs.max() - costs.min() > _TOLERANCE:
        exact, _ = _solve_milp(component, costs, int(best.sum()))
        if exact is not None and exact.sum() <= best.sum() and exact @ costs < best @ costs:
            best = exact
    return CoverSolution(best, lower_bound)


def _solve_milp(component: _Component, objective: Floats, max_count: float = np.inf) -> tuple[Ints | None, float]:
    """Return the multiplicities that minimise `objective` (None if none was found in time) and the proven bound."""
    incidence, demands, set_count = component.incidence, component.demands, len(component.capacities)
    remaining = component.deadline - time.monotonic()
    if remaining <= 0:
        return None, 0.0
    limits = [] if max_count == np.inf else [LinearConstraint(np.ones((1, set_count)), ub=max_count)]
    result = milp(
        objective,
        constraints=[LinearConstraint(incidence, lb=demands), *limits],
        integrality=np.ones(set_count),
        bounds=Bounds(0, component.capacities),
        options={"time_limit": remaining, "mip_rel_gap": 0.0},
    )
    dual_bound = result.get("mip_dual_bound")
    proven = float(dual_bound) if dual_bound is not None and np.isfinite(dual_bound) else 0.0
    if result.x is None:
        return None, proven
    exact = np.rint(result.x).astype(np.int64)
    return (exact if (incidence @ exact >= demands).all() else None), proven


def _solve_greedily(component: _Component) -> Ints:
    """Return the multiplicities of a greedy solution from which no set can be removed.

    Each step uses the set that covers most elements with unmet demand, the cheapest of equals. The last loop removes
    uses that later ones made redundant.
    """
    incidence, capacities, unmet = component.incidence, component.capacities, component.demands.copy()
    multiplicity, by_set = np.zeros(len(capacities), np.int64), incidence.T.tocsr()
    cheapest_first = np.argsort(component.costs, kind="stable")
    gain = by_set @ (unmet > 0)
    while (unmet > 0).any():
        best = int(cheapest_first[np.argmax(np.where(multiplicity < capacities, gain, -1)[cheapest_first])])
        multiplicity[best] += 1
        elements = by_set.indices[by_set.indptr[best] : by_set.indptr[best + 1]]
        unmet[elements] -= 1
        np.subtract.at(gain, _column_indices(incidence, elements[unmet[elements] == 0]), 1)
    for index in np.flatnonzero(multiplicity)[::-1]:
        elements = by_set.indices[by_set.indptr[index] : by_set.indptr[index + 1]]
        redundant = min(int(-unmet[elements].max(initial=-multiplicity[index])), int(multiplicity[index]))
        multiplicity[index] -= redundant
        unmet[elements] += redundant
    return multiplicity


def _column_indices(matrix: csr_array, rows: Ints) -> Ints:
    """Return the column indices of all entries of some rows, row after row."""
    first, counts = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    rank_in_row = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(matrix.indices[np.repeat(first, counts) + rank_in_row])


def _packing_lower_bound(component: _Component) -> int:
    """Return a quick lower bound: elements of which no two share a set need different sets."""
    incidence, demands = component.incidence, component.demands
    by_set = incidence.T.tocsr()
    is_free, lower_bound = np.ones(len(demands), np.bool_), 0
    for element in np.lexsort((np.diff(incidence.indptr), -demands)):
        if is_free[element]:
            lower_bound += int(demands[element])
            sets = incidence.indices[incidence.indptr[element] : incidence.indptr[element + 1]]
            is_free[_column_indices(by_set, sets)] = False
    return lower_bound
