"""Set multicover: the fewest sets that meet all demands, by an exact solver with a time limit and a lower bound.

HiGHS solves the integer programme (Huangfu and Hall, 'Parallelizing the dual revised simplex method', 2018). If time
runs out, the solution is greedy (Chvátal, 'A greedy heuristic for the set-covering problem', 1979), and the lower bound
is the best that was proven.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array, csr_array

from geographer.algorithms.connected_components import Floats, Ints, group_indices, label_components

_TOLERANCE = 1e-6


class CoverSolution(NamedTuple):
    """How often each set is used, shape (sets,), and the proven bound that no solution uses fewer sets."""

    multiplicity: Ints
    lower_bound: int


class SetMulticover(NamedTuple):
    """A set multicover problem: the indices of each set's elements, each once, and how often each set may be used.

    `demands` are how often each element is to be covered, shape (elements,); at most what its sets allow counts. Of
    solutions with equally many sets, the cheapest wins: `costs` are not negative, shape (sets,).
    """

    sets: Sequence[Ints]
    capacities: Ints
    demands: Ints
    costs: Floats | None = None


def solve_set_cover(problem: SetMulticover, deadline: float) -> CoverSolution:
    """Find the fewest sets that meet all demands; optimal unless `deadline` (of `time.monotonic`) passes first.

    Each connected component is solved by itself, the smallest first. The result is deterministic unless time ran out.
    """
    columns = np.repeat(np.arange(len(problem.sets)), [len(elements) for elements in problem.sets])
    rows = np.concatenate([*problem.sets, np.empty(0, np.int64)])
    shape = (len(problem.demands), len(problem.sets))
    incidence = csr_array(coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape))
    demands = np.minimum(problem.demands, incidence @ problem.capacities)
    costs = np.zeros(len(problem.sets)) if problem.costs is None else problem.costs
    demanded = np.flatnonzero(demands)
    rows, columns = incidence[demanded].nonzero()
    links = np.column_stack([rows, columns + len(demanded)])
    labels = label_components(len(demanded) + len(problem.sets), links)
    elements, sets = group_indices(labels[: len(demanded)]), group_indices(labels[len(demanded) :])
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


class _Component(NamedTuple):
    """A connected component of a problem; `incidence` has a row for each element and a column for each set."""

    incidence: csr_array
    demands: Ints
    capacities: Ints
    costs: Floats
    deadline: float


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

    Each step uses the set that covers most elements with unmet demand, the cheapest of equals.
    """
    incidence, capacities, unmet = component.incidence, component.capacities, component.demands.copy()
    multiplicity, by_set = np.zeros(len(capacities), np.int64), incidence.T.tocsr()
    cheapest_first = np.argsort(component.costs, kind="stable")
    gain = by_set @ (unmet > 0)
    while (unmet > 0).any():
        best = int(cheapest_first[np.argmax(np.where(multiplicity < capacities, gain, -1)[cheapest_first])])
        multiplicity[best] += 1
        elements = by_set[[best]].indices
        unmet[elements] -= 1
        np.subtract.at(gain, incidence[elements[unmet[elements] == 0]].indices, 1)
    for index in np.flatnonzero(multiplicity)[::-1]:  # remove uses that later ones made redundant
        elements = by_set[[index]].indices
        redundant = min(int(-unmet[elements].max(initial=-multiplicity[index])), int(multiplicity[index]))
        multiplicity[index] -= redundant
        unmet[elements] += redundant
    return multiplicity


def _packing_lower_bound(component: _Component) -> int:
    """Return a quick lower bound: elements of which no two share a set need different sets."""
    incidence, demands = component.incidence, component.demands
    by_set = incidence.T.tocsr()
    is_free, lower_bound = np.ones(len(demands), np.bool_), 0
    for element in np.lexsort((np.diff(incidence.indptr), -demands)):
        if is_free[element]:
            lower_bound += int(demands[element])
            is_free[by_set[incidence[[element]].indices].indices] = False
    return lower_bound
