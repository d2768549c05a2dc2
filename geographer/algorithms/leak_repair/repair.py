"""Repair a split: which rasters to move or to exclude so that no two linked rasters are in different parts.

Only rasters with a direct link to another part change in an optimal repair: any other can keep its part, since one
change less costs less. So these form independent problems, which are small where few rasters leak.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import (
    Bools,
    Ints,
    chain_group_members,
    group_indices,
    label_components,
)
from geographer.algorithms.grouping_constraints import GroupingConstraints, spans_several_parts
from geographer.algorithms.leak_repair.heuristic import solve_greedily
from geographer.algorithms.leak_repair.integer_program import solve_by_integer_program
from geographer.algorithms.leak_repair.minimum_cut import solve_by_minimum_cut
from geographer.algorithms.leak_repair.problem import EXCLUDED, RepairProblem, RepairSolution

TIME_LIMIT: Final = 30.0
"""Seconds that the solver may take for a problem with more than two parts."""


class FixedRastersError(ValueError):
    """Two linked rasters of different parts are both fixed; `rasters` are their indices."""

    def __init__(self, rasters: tuple[int, int]) -> None:
        super().__init__(f"rasters {rasters[0]} and {rasters[1]} are linked and fixed in different parts")
        self.rasters = rasters


class LeakRepair(NamedTuple):
    """The part of each of n rasters after a repair, and how it was found; shape (n,) each.

    Attributes:
        part: The part; -1 for none, as before or by exclusion.
        moved: Whether the raster has another part than before.
        excluded: Whether it lost its part.
        is_leaking: Whether it had a direct link to a raster of another part.
        is_proven: False for rasters whose problem has a solution that may not be the smallest.
    """

    part: Ints
    moved: Bools
    excluded: Bools
    is_leaking: Bools
    is_proven: Bools


def repair_leaks(
    constraints: GroupingConstraints, part: Ints, fixed: Bools | None = None, time_limit: float = TIME_LIMIT
) -> LeakRepair:
    """Return the parts with the fewest changes with which no split leaks, and of these with the fewest exclusions.

    A raster keeps its part, moves to another, or is excluded; linked rasters that have a part must have the same one.
    Rasters without a part stay without, and do not link others. The result does not depend on the order of features
    and links.

    Args:
        constraints: The links between n rasters.
        part: The part of each raster, shape (n,); -1 for none.
        fixed: Which rasters must not change, shape (n,); None: none.
        time_limit: Seconds for each independent problem with more than two parts; one with two is solved exactly.

    Raises:
        FixedRastersError: two linked rasters of different parts are fixed.
    """
    leaking = find_leaking_rasters(constraints, part)
    after, proven = part.copy(), np.ones(constraints.size, np.bool_)
    may_change = leaking if fixed is None else leaking & ~fixed
    for indices, parts, problem in _iter_problems(constraints, part, may_change) if leaking.any() else ():
        solution = _solve_problem(problem, time_limit)
        after[indices] = np.where(solution.labels == EXCLUDED, -1, parts[solution.labels])
        proven[indices] = solution.is_proven
    changed = after != part
    return LeakRepair(after, changed & (after >= 0), changed & (after < 0), leaking, proven)


def find_leaking_rasters(constraints: GroupingConstraints, part: Ints) -> Bools:
    """Return which rasters have a part, and a direct link to a raster of another part; shape (n,)."""
    groups, rasters = constraints.list_memberships()
    leaking = np.zeros(constraints.size, np.bool_)
    leaking[rasters[spans_several_parts(groups, part[rasters])[groups]]] = True
    return leaking & (part >= 0)


def _list_assigned_memberships(constraints: GroupingConstraints, part: Ints) -> tuple[Ints, Ints]:
    """Return the groups and their rasters with a part, sorted, without repeats; groups are numbered from 0."""
    groups, rasters = constraints.list_memberships()
    assigned = part[rasters] >= 0
    pairs = np.unique(np.column_stack([groups[assigned], rasters[assigned]]), axis=0)
    return np.unique(pairs[:, 0], return_inverse=True)[1].reshape(-1), pairs[:, 1]


def _iter_problems(
    constraints: GroupingConstraints, part: Ints, may_change: Bools
) -> Iterator[tuple[Ints, Ints, RepairProblem]]:
    """Yield the independent problems of the rasters that may change, with the indices of these, ascending.

    A problem numbers the parts that occur in it; the second array maps these numbers to parts.
    """
    groups, rasters = _list_assigned_memberships(constraints, part)
    anchors = _find_anchors(groups, rasters, part, may_change)
    is_member = may_change[rasters]
    groups, rasters = groups[is_member], rasters[is_member]
    components = label_components(len(part), chain_group_members(groups, rasters))
    for rows in group_indices(components[rasters]).values():
        indices, members = np.unique(rasters[rows], return_inverse=True)
        of_problem, local_groups = np.unique(groups[rows], return_inverse=True)
        occurring = np.unique(np.concatenate([part[indices], anchors[of_problem]]))
        parts = occurring[occurring >= 0]
        anchor = np.where(anchors[of_problem] < 0, -1, np.searchsorted(parts, anchors[of_problem]))
        own = np.searchsorted(parts, part[indices])
        yield (
            indices,
            parts,
            RepairProblem(own, np.ones_like(own), local_groups.reshape(-1), members.reshape(-1), anchor),
        )


def _find_anchors(groups: Ints, rasters: Ints, part: Ints, may_change: Bools) -> Ints:
    """Return the part of each group's rasters that do not change, -1 if there are none; raise FixedRastersError."""
    size = groups.max(initial=-1) + 1
    stays = ~may_change[rasters]
    groups, rasters = groups[stays], rasters[stays]
    anchors, first = np.full(size, -1), np.full(size, -1)
    # The first raster of a group is written last.
    anchors[groups[::-1]], first[groups[::-1]] = part[rasters[::-1]], rasters[::-1]
    for row in np.flatnonzero(part[rasters] != anchors[groups])[:1]:
        raise FixedRastersError((int(first[groups[row]]), int(rasters[row])))
    return anchors


def _solve_problem(problem: RepairProblem, time_limit: float) -> RepairSolution:
    """Return the labels of a problem's rasters: exact for two parts, else those of the solver or of the heuristic."""
    problem, twins = problem.merge_twins()
    solution = _solve_distinct(problem, time_limit)
    return RepairSolution(solution.labels[twins], solution.is_proven)


def _solve_distinct(problem: RepairProblem, time_limit: float) -> RepairSolution:
    if problem.n_parts == 2:
        return solve_by_minimum_cut(problem)
    found = solve_by_integer_program(problem, time_limit)
    if found is not None and found.is_proven:
        return found
    solutions = [RepairSolution(solve_greedily(problem), is_proven=False), *([found] if found else [])]
    return min(solutions, key=lambda solution: problem.count_changes(solution.labels))
