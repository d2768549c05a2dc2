"""Solve a repair problem with two parts exactly, by a minimum cut.

With the labels in the order 0 < excluded < 1, a raster has two binary variables: `reached`, its label is not 0, and
`passed`, its label is 1. If one raster of a group has label 1, none has label 0: an implication between variables, so a
cut can express it (Ishikawa, "Exact optimization for Markov random fields with convex priors", 2003). It also holds for
the two variables of one raster, which is in a group.
"""

from typing import Any, Final

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from geographer.algorithms.connected_components import Ints
from geographer.algorithms.leak_repair.problem import EXCLUDED, RepairProblem, RepairSolution

_MAX_CAPACITY: Final = 2**31 - 1
"""scipy computes flows with 32 bits."""
_SOURCE, _SINK, _FIRST = 0, 1, 2


def solve_by_minimum_cut(problem: RepairProblem) -> RepairSolution:
    """Return the labels with the fewest changes, and of these with the fewest exclusions.

    Of several such solutions, it is that with the fewest rasters of part 1: it does not depend on the algorithm.
    """
    count, total = len(problem.part), int(problem.weights.sum())
    # A change costs `weight`, an exclusion one more.
    weight = min(total + 1, _MAX_CAPACITY // total - 2)
    capacities = _make_network(problem, weight)
    flow = maximum_flow(capacities, _SOURCE, _SINK).flow
    residual = csr_array(capacities - flow)
    residual.data = (residual.data > 0).astype(np.int32)
    residual.eliminate_zeros()
    is_source_side = np.zeros(capacities.shape[0], np.bool_)
    is_source_side[breadth_first_order(residual, _SOURCE, return_predecessors=False)] = True
    reached, passed = is_source_side[_FIRST : _FIRST + 2 * count].reshape(2, count)
    labels = np.where(passed, 1, np.where(reached, EXCLUDED, 0))
    # With more changes, exclusions could outweigh a change.
    return RepairSolution(labels, problem.count_changes(labels).changed <= weight)


def _make_network(problem: RepairProblem, weight: int) -> csr_array:
    """Return the capacities between source, sink, `reached` and `passed` of each raster, and the groups."""
    count, infinite = len(problem.part), int(problem.weights.sum()) * (weight + 1) + 1
    rasters = np.arange(count)
    reached, passed, group = _FIRST + rasters, _FIRST + count + rasters, _FIRST + 2 * count
    groups, change = group + problem.groups, problem.weights * weight
    to_source, to_sink = (group + np.flatnonzero(problem.anchors == part) for part in (1, 0))
    edges: list[tuple[Any, Any, Any]] = [
        (_SOURCE, reached, np.where(problem.part == 1, change, 0)),
        (reached, passed, problem.weights * (weight + 1)),
        (passed, _SINK, np.where(problem.part == 1, 0, change)),
        (passed[problem.members], groups, infinite),
        (groups, reached[problem.members], infinite),
        (_SOURCE, to_source, infinite),
        (to_sink, _SINK, infinite),
    ]
    start, end, capacity = (np.concatenate(column) for column in zip(*map(_expand_edges, edges), strict=True))
    size = group + len(problem.anchors)
    return coo_array((capacity.astype(np.int32), (start, end)), shape=(size, size)).tocsr()


def _expand_edges(edges: tuple[Any, Any, Any]) -> list[Ints]:
    return [np.asarray(column, np.int64) for column in np.broadcast_arrays(*edges)]
