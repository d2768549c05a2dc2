"""Which part each component goes to, so that the parts come as near to their shares as the components allow.

Components that count alike (as many rasters, as many features of each class) are one kind, and only how many of
a kind go to which part is decided: by dealing out the largest first and mending that move by move; and, where
this is not provably the best and the kinds are few enough, by a mixed-integer program (HiGHS). Which component of
a kind goes where is drawn by the seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack, kron

from geographer.algorithms.connected_components import Bools, Ints, ranks
from geographer.algorithms.geodesic_distance.arcs import Floats

Method = Literal["milp", "greedy", "none"]

UNKNOWNS = 2000
"""Kinds times parts up to which the mixed-integer program is asked."""

NODES = 200
"""Where it stops at the latest: nodes, not seconds, so that it stops at the same place on every machine."""

FINE, HIGHS_GAP = 1e-4, 1e-6
"""A hundredth of a percent from the best is near enough (a cost: see `Aim`); HiGHS stops at its own figure."""

MOVES, TRIED, LEAST_GAIN = 1000, 100, 1e-9
"""The most moves that mend a deal, how many kinds of a part are tried in exchange for those of another, and the
gain from which on a move is made."""

DIGITS = 12
"""Costs are compared to so many decimals, so that ties are broken alike wherever sums are rounded otherwise."""

Step = tuple[int, int, int]
"""A component of this kind leaves this part for that one."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What the parts should hold and what it costs to miss it, for P parts and M measures.

    A measure is the number of rasters (the first) or of features of one class. `target` (P, M): what each part should
    hold. `price` (M,): the cost of one raster or feature too many or too few. So the cost of a deal is the sum over the
    parts of how far their share of the rasters is off, plus the mean over the classes of the same. What a part lacks
    below half of its target counts twice, so that of two deals as far off the one without a tiny part is taken.
    """

    target: Floats
    price: Floats

    @classmethod
    def of(cls, shares: Floats, totals: Floats) -> Aim:
        """Parts with these `shares` (P,), which add up to 1, of these `totals` (M,)."""
        seen = totals > 0
        weight = np.where(np.arange(len(totals)) == 0, 1.0, 1.0 / max(1, int(seen[1:].sum())))
        return cls(shares[:, None] * totals, np.where(seen, weight / np.where(seen, totals, 1.0), 0.0))

    def cost(self, held: Floats) -> float:
        """Of parts that hold `held` (P, M): 0 where every share is met."""
        return float((missed(held, self.target) * self.price).sum())

    def part_cost(self, part: int, held: Floats) -> Floats:
        """What one part adds to the cost, for many holdings (…, M)."""
        return np.asarray((missed(held, self.target[part]) * self.price).sum(axis=-1))

    def least_cost(self) -> float:
        """No deal costs less, because rasters and features come whole."""
        whole = np.floor(self.target)
        least = np.minimum(missed(whole, self.target), missed(whole + 1.0, self.target))
        return float((least * self.price).sum())


def missed(held: Floats, target: Floats) -> Floats:
    """How far holdings are from their target; what is lacking below half of it counts twice."""
    return np.asarray(np.abs(held - target) + np.maximum(0.0, target / 2.0 - held))


@dataclass(frozen=True, slots=True)
class Deal:
    """Where the components went: `parts` (K,), and how that was decided.

    `cost`: see `Aim`. `bound`: no deal costs less, as far as it is proven.
    """

    parts: Ints
    method: Method
    cost: float
    bound: float

    @property
    def proven(self) -> bool:
        """Whether it is proven that no deal costs less, by more than `FINE`."""
        return self.cost - self.bound <= FINE


def deal(weights: Floats, held: Floats, shares: Floats, draws: Floats) -> Deal:
    """Deal K components to P parts, which may hold something already.

    Every part that holds nothing gets a component, as long as there are enough: where there are not, those with
    the larger shares come first.

    Args:
        weights: Rasters (first column, above 0) and features of each class in each component, shape (K, M).
        held: The same for what each part holds already, shape (P, M).
        shares: What each part should hold of all rasters and of each class, adding up to 1, shape (P,).
        draws: A number drawn for each component, all different, shape (K,): who goes where among equals.

    Returns:
        The deal; which component goes where does not depend on their order.
    """
    aim = Aim.of(shares, weights.sum(axis=0) + held.sum(axis=0))
    if not len(weights):
        return Deal(np.empty(0, dtype=np.int64), "none", aim.cost(held), aim.cost(held))
    kinds, count, kind = kinds_of(weights, draws)
    wanting = parts_wanting(held, shares, len(weights))
    taken = mended(dealt_out(kinds, count, held, aim), kinds, held, aim, wanting)
    method: Method = "greedy"
    cost, bound = aim.cost(held + taken.T @ kinds), aim.least_cost()
    if cost - bound > FINE and taken.size <= UNKNOWNS:
        method = "milp"
        found, proven = program(kinds, count, held, aim, wanting)
        bound = max(bound, proven)
        for better in found:
            if aim.cost(held + better.T @ kinds) < cost:
                taken, cost = better, aim.cost(held + better.T @ kinds)
    return Deal(drawn(taken, kind, draws), method, cost, min(bound, cost))


def kinds_of(weights: Floats, draws: Floats) -> tuple[Floats, Ints, Ints]:
    """Components that count alike are one kind.

    Returns:
        What one of each kind weighs (T, M), how many there are of it (T,), and the kind of each component (K,). The
        kinds are in the order of their smallest draws, so that the seed also chooses between deals as good.
    """
    kinds, kind, count = np.unique(weights, axis=0, return_inverse=True, return_counts=True)
    kind = kind.reshape(-1)
    smallest = np.full(len(kinds), np.inf)
    np.minimum.at(smallest, kind, draws)
    order = np.argsort(smallest)
    return kinds[order], count[order], ranks(smallest)[kind]


def parts_wanting(held: Floats, shares: Floats, components: int) -> Bools:
    """Which parts hold nothing and must get one of so many components, shape (P,)."""
    empty = np.flatnonzero(held[:, 0] == 0)
    chosen = empty[np.argsort(-shares[empty], kind="stable")][:components]
    return np.isin(np.arange(len(shares)), chosen)


def drawn(taken: Ints, kind: Ints, draws: Floats) -> Ints:
    """The part of each component (K,), given how many of each kind go to each part (T, P): by their draws."""
    order = np.lexsort((draws, kind))
    parts = np.empty(len(kind), dtype=np.int64)
    parts[order] = np.repeat(np.tile(np.arange(taken.shape[1]), len(taken)), taken.ravel())
    return parts


def program(kinds: Floats, count: Ints, held: Floats, aim: Aim, wanting: Bools) -> tuple[list[Ints], float]:
    """The deal by a mixed-integer program: what it found, if anything, and a cost that no deal goes below.

    Unknown are how many of each kind go to each part, and of each part and measure what the surplus costs (what is too
    much in one part is lacking in others, so twice that is the whole deviation) and what the lack below half costs.
    """
    (many, measures), parts = kinds.shape, len(held)
    unknowns, costs = many * parts, parts * measures
    scale = HIGHS_GAP / FINE
    priced = kron(csr_array((kinds * aim.price).T), eye_array(parts))
    nothing, each = csr_array((costs, costs)), eye_array(costs)
    dealt = hstack([kron(eye_array(many), np.ones((1, parts))), csr_array((many, 2 * costs))])
    above = hstack([priced, -each, nothing])
    below = hstack([priced, nothing, each])
    given = hstack([kron(np.ones((1, many)), eye_array(parts)), csr_array((parts, 2 * costs))])
    result = milp(
        np.repeat([0.0, 2.0 * scale, scale], [unknowns, costs, costs]),
        integrality=np.repeat([1, 0], [unknowns, 2 * costs]),
        bounds=Bounds(0.0, np.concatenate([np.repeat(count, parts), np.full(2 * costs, np.inf)])),
        constraints=[
            LinearConstraint(dealt.tocsc(), count, count),
            LinearConstraint(above.tocsc(), -np.inf, ((aim.target - held) * aim.price).T.ravel()),
            LinearConstraint(below.tocsc(), ((aim.target / 2.0 - held) * aim.price).T.ravel(), np.inf),
            LinearConstraint(given.tocsc(), wanting.astype(float), np.inf),
        ],
        options={"node_limit": NODES, "mip_rel_gap": 0.0},
    )
    bound = 0.0 if result.mip_dual_bound is None else max(0.0, result.mip_dual_bound / scale)
    if result.x is None:
        return [], bound
    return [np.rint(result.x[:unknowns]).astype(np.int64).reshape(many, parts)], bound


def dealt_out(kinds: Floats, count: Ints, held: Floats, aim: Aim) -> Ints:
    """A first deal, how many of each kind go to each part (T, P).

    Of each kind the parts get in proportion to what they lack, rounded down; what is left goes, the largest first,
    where it costs least.
    """
    lacking = np.maximum(aim.target[:, 0] - held[:, 0], 0.0)
    taken: Ints = np.floor(count[:, None] * (lacking / lacking.sum())).astype(np.int64)
    have = held + taken.T @ kinds
    left = count - taken.sum(axis=1)
    order = np.argsort(-kinds[:, 0], kind="stable")
    for kind in np.repeat(order, left[order]):
        extra = ((missed(have + kinds[kind], aim.target) - missed(have, aim.target)) * aim.price).sum(axis=1)
        part = int(np.round(extra, DIGITS).argmin())
        taken[kind, part] += 1
        have[part] += kinds[kind]
    return taken


def mended(taken: Ints, kinds: Floats, held: Floats, aim: Aim, wanting: Bools) -> Ints:
    """`taken` with components moved to other parts, or exchanged, one step at a time while that costs less.

    Parts that want a component get one first, whatever it costs.
    """
    taken = np.array(taken)
    for _ in range(MOVES):
        have = held + taken.T @ kinds
        moving = move_costs(taken, kinds, have, aim, wanting)
        barren = wanting & (taken.sum(axis=0) == 0)
        if barren.any():
            moving[:, :, ~barren] = np.inf
        kind, giver, taker = (int(index) for index in np.unravel_index(int(moving.argmin()), moving.shape))
        change = [(kind, giver, taker)]
        if not barren.any() and moving[kind, giver, taker] > -LEAST_GAIN:
            change = exchange(taken, kinds, have, aim, moving)
        if not change:
            break
        for kind, giver, taker in change:
            taken[kind, giver] -= 1
            taken[kind, taker] += 1
    return taken


def move_costs(taken: Ints, kinds: Floats, have: Floats, aim: Aim, wanting: Bools) -> Floats:
    """What it costs to move one component of each kind from part to part, shape (T, P, P); infinite where none can.

    A part that wants a component keeps its last.
    """
    parts = range(len(have))
    leave = np.stack([aim.part_cost(p, have[p] - kinds) - aim.part_cost(p, have[p]) for p in parts], axis=1)
    enter = np.stack([aim.part_cost(p, have[p] + kinds) - aim.part_cost(p, have[p]) for p in parts], axis=1)
    leave[(taken == 0) | (wanting & (taken.sum(axis=0) == 1))] = np.inf
    costs: Floats = np.round(leave[:, :, None] + enter[:, None, :], DIGITS)
    costs[:, parts, parts] = np.inf
    return costs


def exchange(taken: Ints, kinds: Floats, have: Floats, aim: Aim, moving: Floats) -> list[Step]:
    """The two moves that exchange two components of two parts to the greatest gain, or none where nothing gains.

    Tried are those whose moves alone would cost least (see `move_costs` for `moving`).
    """
    best, gain = [], LEAST_GAIN
    for one, other in combinations(range(len(have)), 2):
        there, back = (cheapest(taken[:, p], moving[:, p, q]) for p, q in ((one, other), (other, one)))
        change = kinds[back][None, :] - kinds[there][:, None]
        before = aim.part_cost(one, have[one]) + aim.part_cost(other, have[other])
        after = aim.part_cost(one, have[one] + change) + aim.part_cost(other, have[other] - change)
        gained = np.round(before - after, DIGITS)
        if gained.size and gained.max() > gain:
            gain = float(gained.max())
            a, b = np.unravel_index(int(gained.argmax()), gained.shape)
            best = [(int(there[a]), one, other), (int(back[b]), other, one)]
    return best


def cheapest(taken: Ints, moving: Floats) -> Ints:
    """The kinds that a part has, those first that cost least to move, `TRIED` at most."""
    present = np.flatnonzero(taken)
    return present[np.argsort(moving[present], kind="stable")][:TRIED]
