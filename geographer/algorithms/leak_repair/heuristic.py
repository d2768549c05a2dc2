"""Find a feasible solution of a repair problem where the solver has none in time."""

import numpy as np

from geographer.algorithms.connected_components import Ints
from geographer.algorithms.leak_repair.problem import EXCLUDED, RepairProblem


def solve_greedily(problem: RepairProblem) -> Ints:
    """Return feasible labels, shape (n,).

    Try to move all rasters to each part, and to keep the largest part in each group; the cheapest of these counts.
    """
    starts = [exclude_smaller_parts(problem), *(move_all(problem, part) for part in range(problem.n_parts))]
    return min((improve_labels(problem, labels) for labels in starts), key=problem.count_changes)


def exclude_smaller_parts(problem: RepairProblem) -> Ints:
    """Keep the part with most rasters in each group, or that of its anchor; exclude the other rasters."""
    sizes = np.bincount(problem.part, problem.weights, problem.n_parts)
    order = np.argsort(-sizes, kind="stable")
    rank = np.argsort(order)
    best = np.full(len(problem.anchors), problem.n_parts - 1)
    np.minimum.at(best, problem.groups, rank[problem.part[problem.members]])
    kept_part = np.where(problem.anchors >= 0, problem.anchors, order[best])
    labels = problem.part.copy()
    labels[problem.members[problem.part[problem.members] != kept_part[problem.groups]]] = EXCLUDED
    return labels


def move_all(problem: RepairProblem, part: int) -> Ints:
    """Move all rasters to a part; exclude those that may not have it."""
    return np.where(problem.list_allowed()[:, part], part, EXCLUDED)


def improve_labels(problem: RepairProblem, labels: Ints) -> Ints:
    """Let each excluded raster, in order, return to its part, or else join the part of its groups, if it can."""
    labels, allowed, groups_of = labels.copy(), problem.list_allowed(), problem.list_groups()
    is_present = np.zeros((len(problem.anchors), problem.n_parts), np.bool_)
    kept = labels[problem.members] != EXCLUDED
    is_present[problem.groups[kept], labels[problem.members[kept]]] = True
    for raster in np.flatnonzero(labels == EXCLUDED).tolist():
        others = is_present[groups_of[raster]].any(axis=0)
        options = [part for part in np.flatnonzero(allowed[raster]).tolist() if not np.delete(others, part).any()]
        if options:
            own = int(problem.part[raster])
            labels[raster] = own if own in options else options[0]
            is_present[groups_of[raster], labels[raster]] = True
    return labels
