"""The fewest sets that cover things: an exact solver with a time limit, and what it proves.

The integer programme is solved by HiGHS, through SciPy: Huangfu and Hall, 'Parallelizing the dual revised simplex
method', Mathematical Programming Computation 10 (2018). Where time runs out, a greedy cover stands in (Chvátal, 'A
greedy heuristic for the set-covering problem', 1979), and the bound is the best that was proven.
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

from geographer.algorithms.connected_components import Ints, components

_CERTAIN = 1e-6

Floats = npt.NDArray[np.float64]


class Cover(NamedTuple):
    """How often each set is taken, shape (sets,); no cover takes fewer than `bound` sets."""

    taken: Ints
    bound: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Sets and what they hold.

    Attributes:
        sets: The members of each set, int64, each once.
        most: How often each set can be taken, shape (sets,).
        needs: How often each member is to be covered, shape (members,); more than its sets allow is taken as that.
        costs: What each set costs, shape (sets,), not negative: of covers with equally many sets, the cheapest is
            wanted. None: they are all as good.
    """

    sets: Sequence[Ints]
    most: Ints
    needs: Ints
    costs: Floats | None = None


def solve_set_cover(problem: Problem, deadline: float) -> Cover:
    """The fewest sets that cover all that is needed, proven where `deadline` (of `time.monotonic`) allows.

    What hangs together is solved by itself, the smallest first. The answer is the same on every run, unless time ran
    out.
    """
    incidence = _incidence(problem)
    needs = np.minimum(problem.needs, incidence @ problem.most)
    wanted = needs > 0
    labels = _labels(incidence[np.flatnonzero(wanted)], len(problem.sets))
    of_member = np.full(len(needs), -1, np.int64)
    of_member[wanted] = labels[: wanted.sum()]
    of_set = labels[wanted.sum() :]
    taken, bound = np.zeros(len(problem.sets), np.int64), 0
    order = np.argsort(np.bincount(of_member[wanted]), kind="stable").tolist()
    members, sets = _grouped(of_member), _grouped(of_set)
    for component in order:
        rows, columns = members[component], sets[component]
        costs = None if problem.costs is None else problem.costs[columns]
        if len(rows) == 1:
            part = _of_one(int(needs[rows[0]]), problem.most[columns], costs)
        else:
            part = _solved(incidence[rows][:, columns], needs[rows], problem.most[columns], costs, deadline)
        taken[columns] = part.taken
        bound += part.bound
    return Cover(taken, bound)


def _incidence(problem: Problem) -> csr_array:
    """Which member (row) lies in which set (column), as 0 and 1."""
    lengths = [len(members) for members in problem.sets]
    columns = np.repeat(np.arange(len(problem.sets)), lengths)
    rows = np.concatenate([*problem.sets, np.empty(0, np.int64)])
    shape = (len(problem.needs), len(problem.sets))
    return csr_array(coo_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape))


def _labels(incidence: csr_array, sets: int) -> Ints:
    """The component of each wanted member, then of each set."""
    rows, columns = incidence.nonzero()
    return components(incidence.shape[0] + sets, np.column_stack([rows, columns + incidence.shape[0]]))


def _grouped(labels: Ints) -> dict[int, Ints]:
    """The places at which each label stands."""
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=False))


def _of_one(need: int, most: Ints, costs: Floats | None) -> Cover:
    """A component of a single member, which all its sets cover: the cheapest are taken, or else the first."""
    order = np.arange(len(most)) if costs is None else np.argsort(costs, kind="stable")
    before = np.cumsum(most[order]) - most[order]
    taken = np.zeros(len(most), np.int64)
    taken[order] = np.clip(need - before, 0, most[order])
    return Cover(taken, need)


def _solved(incidence: csr_array, needs: Ints, most: Ints, costs: Floats | None, deadline: float) -> Cover:
    """One component: as few sets as can be, and then as cheap as can be."""
    cover = _smallest(incidence, needs, most, costs, deadline)
    return cover if costs is None else _cheapest(cover, incidence, needs, most, costs, deadline)


def _smallest(incidence: csr_array, needs: Ints, most: Ints, costs: Floats | None, deadline: float) -> Cover:
    by_greed = _greedy(incidence, needs, most, costs)
    least = _least(incidence, needs)
    if by_greed.sum() == least:
        return Cover(by_greed, least)
    found, dual = _optimum(np.ones(len(most)), incidence, needs, most, deadline)
    if dual is not None:
        least = max(least, int(np.ceil(dual - _CERTAIN)))
    best = by_greed if found is None or found.sum() > by_greed.sum() else found
    return Cover(best, min(least, int(best.sum())))


def _cheapest(cover: Cover, incidence: csr_array, needs: Ints, most: Ints, costs: Floats, deadline: float) -> Cover:
    """A cover with no more sets than `cover`, and the least cost."""
    if costs.max() - costs.min() <= _CERTAIN:
        return cover
    at_most = int(cover.taken.sum())
    found, _ = _optimum(costs, incidence, needs, most, deadline, at_most=at_most)
    cheaper = found is not None and found.sum() <= at_most and found @ costs < cover.taken @ costs
    return cover._replace(taken=found) if cheaper and found is not None else cover


def _optimum(
    objective: Floats, incidence: csr_array, needs: Ints, most: Ints, deadline: float, *, at_most: int | None = None
) -> tuple[Ints | None, float | None]:
    """The cover (None: none was found in time) that minimises `objective`, and the bound that was proven."""
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        return None, None
    constraints = [LinearConstraint(incidence, lb=needs)]
    if at_most is not None:
        constraints.append(LinearConstraint(np.ones((1, len(most))), ub=at_most))
    found = milp(
        objective,
        constraints=constraints,
        integrality=np.ones(len(most)),
        bounds=Bounds(0, most),
        options={"time_limit": remaining, "mip_rel_gap": 0.0},
    )
    dual = found.get("mip_dual_bound")
    proven = float(dual) if dual is not None and np.isfinite(dual) else None
    if found.x is None:
        return None, proven
    exact = np.rint(found.x).astype(np.int64)
    return (exact if (incidence @ exact >= needs).all() else None), proven


def _greedy(incidence: csr_array, needs: Ints, most: Ints, costs: Floats | None) -> Ints:
    """A cover, and one from which no set can be left out: always the set that covers most of what is still needed.

    Of those that cover equally much, the cheapest.
    """
    taken, left, by_set = np.zeros(len(most), np.int64), needs.copy(), incidence.T.tocsr()
    cheapest_first = np.arange(len(most)) if costs is None else np.argsort(costs, kind="stable")
    gain = by_set @ (left > 0)
    while (left > 0).any():
        chosen = int(cheapest_first[np.argmax(np.where(taken < most, gain, -1)[cheapest_first])])
        taken[chosen] += 1
        members = by_set.indices[by_set.indptr[chosen] : by_set.indptr[chosen + 1]]
        left[members] -= 1
        np.subtract.at(gain, _indices_of(incidence, members[left[members] == 0]), 1)
    for chosen in np.flatnonzero(taken)[::-1]:
        members = by_set.indices[by_set.indptr[chosen] : by_set.indptr[chosen + 1]]
        spare = min(int(-left[members].max(initial=-taken[chosen])), int(taken[chosen]))
        taken[chosen] -= spare
        left[members] += spare
    return taken


def _indices_of(matrix: csr_array, rows: Ints) -> Ints:
    """The columns of all that stands in some rows, one after another."""
    first, counts = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(matrix.indices[np.repeat(first, counts) + within])


def _least(incidence: csr_array, needs: Ints) -> int:
    """A bound that is quick to find: members of which no two share a set need sets of their own."""
    by_set = incidence.T.tocsr()
    free, bound = np.ones(len(needs), np.bool_), 0
    for member in np.lexsort((np.diff(incidence.indptr), -needs)):
        if free[member]:
            bound += int(needs[member])
            sets = incidence.indices[incidence.indptr[member] : incidence.indptr[member + 1]]
            free[_indices_of(by_set, sets)] = False
    return bound
