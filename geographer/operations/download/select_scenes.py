"""Select the fewest scenes that cover all targets, and of equally few the cheapest."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geographer.algorithms.set_cover import SetMulticover, solve_set_cover

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class SceneSelection(NamedTuple):
    """The scenes to download.

    Attributes:
        is_selected: Mask of the selected scenes, shape (scenes,).
        lower_bound: Proven lower bound on the number of scenes needed.
        shortfall: Number of scenes that each target still lacks, because too few cover it; shape (targets,).
    """

    is_selected: Bools
    lower_bound: int
    shortfall: Ints


def select_scenes(targets: Ints, scenes: Ints, demands: Ints, costs: Floats, *, time_limit: float) -> SceneSelection:
    """Select scenes, each at most once, such that each target is covered as often as demanded, if possible.

    Args:
        targets: Target index (a feature, or a piece of one) of each pair of a target and a covering scene, (pairs,).
        scenes: Scene index of each pair, shape (pairs,).
        demands: Number of scenes that must cover each target, shape (targets,).
        costs: Non-negative cost of each scene, shape (scenes,). Fewer scenes take precedence over lower costs.
        time_limit: Seconds for the optimality proof. If it runs out, the selection may have more scenes than needed.
    """
    deadline = time.monotonic() + time_limit
    n_covering = np.bincount(targets, minlength=len(demands))
    groups, group_demands = _merge_identical_targets(targets, scenes, np.minimum(demands, n_covering))
    candidates = _drop_dominated_scenes(groups, scenes, group_demands, costs)
    candidate_index = np.full(len(costs), -1, np.int64)
    candidate_index[candidates] = np.arange(len(candidates))
    is_kept = (candidate_index[scenes] >= 0) & (group_demands[groups] > 0)
    sets = _list_members(candidate_index[scenes[is_kept]], groups[is_kept], len(candidates))
    capacities = np.ones(len(candidates), np.int64)
    cover = solve_set_cover(SetMulticover(sets, capacities, group_demands, costs[candidates]), deadline)
    is_selected = np.zeros(len(costs), np.bool_)
    is_selected[candidates] = cover.multiplicity > 0
    n_selected = np.bincount(targets[is_selected[scenes]], minlength=len(demands))
    return SceneSelection(is_selected, cover.lower_bound, np.maximum(demands - n_selected, 0))


def _merge_identical_targets(targets: Ints, scenes: Ints, demands: Ints) -> tuple[Ints, Ints]:
    """Return the group of each pair's target, equal if the same scenes cover both, and each group's largest demand."""
    groups = _group_by_members(targets, scenes, len(demands))
    group_demands = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    np.maximum.at(group_demands, groups, demands)
    return groups[targets], group_demands


def _drop_dominated_scenes(targets: Ints, scenes: Ints, demands: Ints, costs: Floats) -> Ints:
    """Return the scenes worth considering, ascending: of scenes with equal targets, only as many as are demanded."""
    covering = np.unique(scenes)
    groups = _group_by_members(scenes, targets, len(costs))
    max_demands = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    np.maximum.at(max_demands, groups[scenes], demands[targets])
    order = covering[np.lexsort((covering, costs[covering], groups[covering]))]
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    rank_in_group = np.arange(len(order)) - np.repeat(first, counts)
    return np.asarray(np.sort(order[rank_in_group < max_demands[groups[order]]]))


def _group_by_members(owners: Ints, members: Ints, count: int) -> Ints:
    """Return a group number for each of `count` owners, equal for owners with equal members; shape (count,)."""
    groups: dict[bytes, int] = {}
    keys = (indices.tobytes() for indices in _list_members(owners, members, count))
    return np.fromiter((groups.setdefault(key, len(groups)) for key in keys), np.int64, count)


def _list_members(owners: Ints, members: Ints, count: int) -> list[Ints]:
    """Return the members of each of `count` owners, ascending and without duplicates."""
    # Pairs encoded as one number sort much faster than rows.
    span = int(members.max(initial=0)) + 1
    owner, member = np.divmod(np.unique(owners * span + members), span)
    starts = np.searchsorted(owner, np.arange(count + 1))
    return [member[first:last] for first, last in pairwise(starts)]
