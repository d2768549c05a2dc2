"""Assign components to parts so that each part's rasters and features come close to its target fraction.

Components of equal weight (rasters, features of each class) form a group, and the solver decides only how many
components of a group go to each part: greedily, the largest first, then by local search, and by a mixed-integer
program (HiGHS) where the result is not proven optimal and the problem is small. Random keys, drawn from the seed,
decide which components of a group go where.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack, kron

from geographer.algorithms.connected_components import Bools, Floats, Ints, compute_ranks
from geographer.operations.split.events import Method

MAX_UNKNOWNS = 2000
"""The largest number of groups times parts for which the mixed-integer program runs."""
MAX_NODES = 200
"""Node limit of the mixed-integer program; a time limit would make the result depend on the machine."""
TOLERANCE, HIGHS_GAP = 1e-4, 1e-6
"""The cost gap that counts as optimal (0.01 percentage points), and HiGHS's own gap, to which costs are scaled."""
MAX_MOVES, MAX_CANDIDATES, MIN_GAIN = 1000, 100, 1e-9
"""Local search: the most steps, the most groups of a part tried in an exchange, and the smallest gain of a step."""
DECIMALS = 12
"""Costs are compared after rounding to this many decimals, so that ties break alike on every machine."""


class ComponentAssignment(NamedTuple):
    """The part of each component, shape (K,), the method that found it, its cost, and a proven bound of any cost."""

    parts: Ints
    method: Method
    cost: float
    lower_bound: float

    @property
    def is_optimal(self) -> bool:
        """Whether it is proven that no assignment costs less by more than `TOLERANCE`."""
        return self.cost - self.lower_bound <= TOLERANCE


@dataclass(frozen=True, slots=True)
class PartTargets:
    """The target of each of P parts, and the cost of missing it.

    The M measures are the number of rasters (the first) and the number of features of each class. The cost is the sum
    over the parts of the deviation of their fraction of rasters, plus the mean over the classes of the same sum. What a
    part lacks below half of its target counts twice, so that tiny parts are avoided. `current` are the weights that the
    parts have already and `weights` the targets, shape (P, M); `unit_costs`, shape (M,), is the cost of one raster or
    feature too many or too few.
    """

    current: Floats
    weights: Floats
    unit_costs: Floats

    @classmethod
    def from_fractions(cls, fractions: Floats, current: Floats, weights: Floats) -> "PartTargets":
        """Return the targets for fractions (P,), which sum to 1, of all weights: (P, M) and those to assign (K, M)."""
        totals = weights.sum(axis=0) + current.sum(axis=0)
        factor = np.ones(len(totals))
        factor[1:] /= max(1, int((totals[1:] > 0).sum()))
        unit_costs = np.divide(factor, totals, out=np.zeros(len(totals)), where=totals > 0)
        return cls(current, fractions[:, None] * totals, unit_costs)

    def compute_cost(self, counts: Ints, groups: Floats) -> float:
        """Return the cost of adding components, (G, P), of groups, (G, M): 0 if every target is met."""
        return float((compute_deviation(self.current + counts.T @ groups, self.weights) * self.unit_costs).sum())

    def compute_part_cost(self, part: int, weights: Floats) -> Floats:
        """Return the cost of one part for many alternative weights (…, M)."""
        return np.asarray((compute_deviation(weights, self.weights[part]) * self.unit_costs).sum(axis=-1))

    def compute_lower_bound(self) -> float:
        """Return a lower bound of the cost: rasters and features are indivisible."""
        lower = np.floor(self.weights)
        deviation = np.minimum(compute_deviation(lower, self.weights), compute_deviation(lower + 1.0, self.weights))
        return float((deviation * self.unit_costs).sum())


def compute_deviation(weights: Floats, targets: Floats) -> Floats:
    """Return the absolute deviation from the targets, shape (…, M); a lack below half of a target counts twice."""
    return np.asarray(np.abs(weights - targets) + np.maximum(0.0, targets / 2.0 - weights))


def assign_components(
    weights: Floats, part_weights: Floats, fractions: Floats, random_keys: Floats
) -> ComponentAssignment:
    """Assign K components to P parts, which may have rasters already; the order of the components does not matter.

    Every empty part gets a component; if there are fewer components than empty parts, parts with larger fractions
    come first. `weights`, shape (K, M), are the rasters (first column, above 0) and features of each class of each
    component, and `part_weights`, shape (P, M), those of each part. `fractions`, shape (P,), are the target fractions,
    summing to 1; `random_keys`, shape (K,), are distinct and break ties.
    """
    targets = PartTargets.from_fractions(fractions, part_weights, weights)
    groups, sizes, group_of = group_identical_components(weights, random_keys)
    if not len(weights):
        cost = targets.compute_cost(np.empty((0, len(fractions)), np.int64), groups)
        return ComponentAssignment(group_of, "none", cost, cost)
    empty = np.flatnonzero(part_weights[:, 0] == 0)
    to_fill = np.zeros(len(fractions), np.bool_)
    to_fill[empty[np.argsort(-fractions[empty], kind="stable")][: len(weights)]] = True
    counts = improve_assignment(assign_greedily(groups, sizes, targets), groups, targets, to_fill)
    method: Method = "greedy"
    cost, lower_bound = targets.compute_cost(counts, groups), targets.compute_lower_bound()
    if cost - lower_bound > TOLERANCE and counts.size <= MAX_UNKNOWNS:
        method = "milp"
        solution, milp_bound = solve_milp(groups, sizes, targets, to_fill)
        lower_bound = max(lower_bound, milp_bound)
        if solution is not None and (milp_cost := targets.compute_cost(solution, groups)) < cost:
            counts, cost = solution, milp_cost
    return ComponentAssignment(draw_components(counts, group_of, random_keys), method, cost, min(lower_bound, cost))


def group_identical_components(weights: Floats, random_keys: Floats) -> tuple[Floats, Ints, Ints]:
    """Return the weights (G, M) and sizes (G,) of the groups of components of equal weights, and each one's group (K,).

    Groups are ordered by their smallest random keys, so that the seed also decides between equally good assignments.
    """
    groups, group_of, sizes = np.unique(weights, axis=0, return_inverse=True, return_counts=True)
    group_of = group_of.reshape(-1)
    smallest_keys = np.full(len(groups), np.inf)
    np.minimum.at(smallest_keys, group_of, random_keys)
    order = np.argsort(smallest_keys)
    return groups[order], sizes[order], compute_ranks(smallest_keys)[group_of]


def draw_components(counts: Ints, group_of: Ints, random_keys: Floats) -> Ints:
    """Return the part of each component (K,) for the number of components of each group in each part (G, P)."""
    parts = np.empty(len(group_of), dtype=np.int64)
    part_of_slot = np.tile(np.arange(counts.shape[1]), len(counts))
    parts[np.lexsort((random_keys, group_of))] = np.repeat(part_of_slot, counts.ravel())
    return parts


def solve_milp(groups: Floats, sizes: Ints, targets: PartTargets, to_fill: Bools) -> tuple[Ints | None, float]:
    """Assign by a mixed-integer program; return the counts (G, P), or None, and a proven lower bound of the cost.

    Variables are the counts and, for each part and measure, the cost of the surplus and of the lack below half of the
    target. A surplus in one part is a lack in others, so twice the surplus is the whole deviation.
    """
    (n_groups, n_measures), n_parts = groups.shape, len(to_fill)
    n_counts, n_costs = n_groups * n_parts, n_parts * n_measures
    scale = HIGHS_GAP / TOLERANCE
    priced = kron(csr_array((groups * targets.unit_costs).T), eye_array(n_parts))
    zero, identity = csr_array((n_costs, n_costs)), eye_array(n_costs)
    assigned = hstack([kron(eye_array(n_groups), np.ones((1, n_parts))), csr_array((n_groups, 2 * n_costs))])
    surplus, lack = hstack([priced, -identity, zero]), hstack([priced, zero, identity])
    filled = hstack([kron(np.ones((1, n_groups)), eye_array(n_parts)), csr_array((n_parts, 2 * n_costs))])
    goals = targets.weights, targets.weights / 2.0
    surplus_limit, lack_limit = (((goal - targets.current) * targets.unit_costs).T.ravel() for goal in goals)
    result = milp(
        np.repeat([0.0, 2.0 * scale, scale], [n_counts, n_costs, n_costs]),
        integrality=np.repeat([1, 0], [n_counts, 2 * n_costs]),
        bounds=Bounds(0.0, np.concatenate([np.repeat(sizes, n_parts), np.full(2 * n_costs, np.inf)])),
        constraints=[
            LinearConstraint(assigned.tocsc(), sizes, sizes),
            LinearConstraint(surplus.tocsc(), -np.inf, surplus_limit),
            LinearConstraint(lack.tocsc(), lack_limit, np.inf),
            LinearConstraint(filled.tocsc(), to_fill.astype(float), np.inf),
        ],
        options={"node_limit": MAX_NODES, "mip_rel_gap": 0.0},
    )
    lower_bound = 0.0 if result.mip_dual_bound is None else max(0.0, result.mip_dual_bound / scale)
    if result.x is None:
        return None, lower_bound
    return np.rint(result.x[:n_counts]).astype(np.int64).reshape(n_groups, n_parts), lower_bound


def assign_greedily(groups: Floats, sizes: Ints, targets: PartTargets) -> Ints:
    """Return initial counts (G, P).

    The parts get components of each group in proportion to the rasters that they lack, rounded down. Each of the
    others, largest first, goes to the part where it costs least.
    """
    lacking = np.maximum(targets.weights[:, 0] - targets.current[:, 0], 0.0)
    counts: Ints = np.floor(sizes[:, None] * (lacking / lacking.sum())).astype(np.int64)
    current = targets.current + counts.T @ groups
    remaining = sizes - counts.sum(axis=1)
    order = np.argsort(-groups[:, 0], kind="stable")
    for group in np.repeat(order, remaining[order]):
        after = compute_deviation(current + groups[group], targets.weights)
        costs = ((after - compute_deviation(current, targets.weights)) * targets.unit_costs).sum(axis=1)
        part = int(np.round(costs, DECIMALS).argmin())
        counts[group, part] += 1
        current[part] += groups[group]
    return counts


def improve_assignment(counts: Ints, groups: Floats, targets: PartTargets, to_fill: Bools) -> Ints:
    """Improve counts by local search: move or exchange components while that lowers the cost.

    Empty parts in `to_fill` first get a component at any cost.
    """
    for _ in range(MAX_MOVES):
        current = targets.current + counts.T @ groups
        costs = compute_move_costs(counts, groups, current, targets, to_fill)
        empty = to_fill & (counts.sum(axis=0) == 0)
        if empty.any():
            costs[:, :, ~empty] = np.inf
        group, source, target = (int(index) for index in np.unravel_index(int(costs.argmin()), costs.shape))
        moves = [(group, source, target)]
        if not empty.any() and costs[group, source, target] > -MIN_GAIN:
            moves = find_best_exchange(counts, groups, current, targets, costs)
        if not moves:
            break
        for group, source, target in moves:
            counts[group, source] -= 1
            counts[group, target] += 1
    return counts


def compute_move_costs(counts: Ints, groups: Floats, current: Floats, targets: PartTargets, to_fill: Bools) -> Floats:
    """Return the cost of moving one component of each group between parts, shape (G, P, P); infinite if impossible.

    A part in `to_fill` keeps its last component. `current` is the weights of the parts, shape (P, M).
    """
    parts, part_cost = range(len(current)), targets.compute_part_cost
    leave, enter = (
        np.stack([part_cost(p, current[p] + change) - part_cost(p, current[p]) for p in parts], axis=1)
        for change in (-groups, groups)
    )
    leave[(counts == 0) | (to_fill & (counts.sum(axis=0) == 1))] = np.inf
    costs: Floats = np.round(leave[:, :, None] + enter[:, None, :], DECIMALS)
    costs[:, parts, parts] = np.inf
    return costs


def find_best_exchange(
    counts: Ints, groups: Floats, current: Floats, targets: PartTargets, move_costs: Floats
) -> list[tuple[int, int, int]]:
    """Return the two moves (group, from part, to part) that exchange two components with the largest gain, if any does.

    Only the groups whose single moves cost least are tried.
    """
    best_moves, best_gain, part_cost = [], MIN_GAIN, targets.compute_part_cost
    for p, q in combinations(range(len(current)), 2):
        from_p = select_cheapest_groups(counts[:, p], move_costs[:, p, q])
        from_q = select_cheapest_groups(counts[:, q], move_costs[:, q, p])
        change = groups[from_q][None, :] - groups[from_p][:, None]
        before = part_cost(p, current[p]) + part_cost(q, current[q])
        after = part_cost(p, current[p] + change) + part_cost(q, current[q] - change)
        gains = np.round(before - after, DECIMALS)
        if gains.size and gains.max() > best_gain:
            best_gain = float(gains.max())
            a, b = np.unravel_index(int(gains.argmax()), gains.shape)
            best_moves = [(int(from_p[a]), p, q), (int(from_q[b]), q, p)]
    return best_moves


def select_cheapest_groups(counts: Ints, move_costs: Floats) -> Ints:
    """Return the groups of a part in order of the cost of moving one component, at most `MAX_CANDIDATES`."""
    present = np.flatnonzero(counts)
    return present[np.argsort(move_costs[present], kind="stable")][:MAX_CANDIDATES]
