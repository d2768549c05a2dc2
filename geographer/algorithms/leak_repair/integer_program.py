"""Solve a repair problem with any number of parts by a mixed-integer program (HiGHS)."""

from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from geographer.algorithms.connected_components import Ints
from geographer.algorithms.leak_repair.problem import EXCLUDED, RepairProblem, RepairSolution

_OPTIMAL: Final = 0
_MAX_GAP: Final = 0.5
"""Costs are integers, so a smaller gap proves that a solution is optimal."""


def solve_by_integer_program(problem: RepairProblem, time_limit: float) -> RepairSolution | None:
    """Return the labels with the fewest changes, and of these with the fewest exclusions; None if none were found.

    `time_limit` is in seconds. The result does not depend on the order of the groups.
    """
    count, n_parts = len(problem.part), problem.n_parts
    n_labels, n_groups = count * n_parts, len(problem.anchors)
    own = np.arange(count) * n_parts + problem.part
    # The gain of a label: an excluded raster has none, one that keeps its part is worth more than all moves.
    gains = np.concatenate([np.repeat(problem.weights, n_parts), np.zeros(n_groups * n_parts)])
    gains[own] *= problem.weights.sum() + 2
    limits = np.concatenate([problem.list_allowed().ravel(), np.ones(n_groups * n_parts)])
    result = milp(
        -gains,
        integrality=np.repeat([1, 0], [n_labels, n_groups * n_parts]),
        bounds=Bounds(0.0, limits.astype(float)),
        constraints=[_allow_one_label(problem), _require_same_label(problem)],
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    if result.x is None:
        return None
    chosen = np.rint(result.x[:n_labels]).reshape(count, n_parts)
    labels = np.where(chosen.any(axis=1), chosen.argmax(axis=1), EXCLUDED)
    if not problem.is_feasible(labels):
        return None
    gain = gains[np.flatnonzero(chosen.ravel())].sum()
    is_proven = result.status == _OPTIMAL and -result.mip_dual_bound - gain < _MAX_GAP
    return RepairSolution(labels, bool(is_proven))


def _allow_one_label(problem: RepairProblem) -> LinearConstraint:
    """Return the constraints that each raster and each group has at most one part; the parts of groups come last."""
    n_parts = problem.n_parts
    size = len(problem.part) + len(problem.anchors)
    columns = np.arange(size * n_parts)
    matrix = coo_array((np.ones(len(columns)), (columns // n_parts, columns)), shape=(size, len(columns)))
    return LinearConstraint(matrix.tocsc(), -np.inf, 1.0)


def _require_same_label(problem: RepairProblem) -> LinearConstraint:
    """Return the constraints that a raster has a part only if each of its groups has that part."""
    n_parts, n_labels = problem.n_parts, len(problem.part) * problem.n_parts
    groups = _sort_groups(problem)[problem.groups]
    order = np.lexsort((problem.members, groups))
    parts = np.arange(n_parts)
    of_raster = (problem.members[order][:, None] * n_parts + parts).ravel()
    of_group = (n_labels + groups[order][:, None] * n_parts + parts).ravel()
    rows = np.arange(len(of_raster))
    values = np.repeat([1.0, -1.0], len(rows))
    entries = (np.concatenate([rows, rows]), np.concatenate([of_raster, of_group]))
    shape = len(rows), n_labels + len(problem.anchors) * n_parts
    return LinearConstraint(coo_array((values, entries), shape=shape).tocsc(), -np.inf, 0.0)


def _sort_groups(problem: RepairProblem) -> Ints:
    """Return a number of each group, shape (g,), that follows from what it is, not from the order of the groups."""
    starts = np.searchsorted(problem.groups, np.arange(1, len(problem.anchors)))
    members = [rasters.tolist() for rasters in np.split(problem.members, starts)]
    keys = [*zip(members, problem.anchors.tolist(), strict=True)]
    numbers = np.empty(len(keys), np.int64)
    numbers[sorted(range(len(keys)), key=keys.__getitem__)] = np.arange(len(keys))
    return numbers
