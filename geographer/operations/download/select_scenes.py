"""Select the fewest scenes that cover all targets, and of equally few the cheapest."""

import time
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Bools, Floats, Ints, rank_in_groups
from geographer.algorithms.set_cover import SetMulticover, solve_set_cover


class SceneSelection(NamedTuple):
    """A mask of the scenes to download, shape (scenes,), and the proven lower bound on their number.

    `shortfall` is how many scenes each target still lacks, because too few cover it; shape (targets,).
    """

    is_selected: Bools
    lower_bound: int
    shortfall: Ints


def select_scenes(targets: Ints, scenes: Ints, demands: Ints, costs: Floats, *, time_limit: float) -> SceneSelection:
    """Select scenes, each at most once, such that each target is covered as often as demanded, if possible.

    `targets` and `scenes`, shape (pairs,), are the indices of each target (a feature, or a piece of one) and a scene
    that covers it. `demands`, shape (targets,), is the number of scenes that must cover each target, and `costs`, shape
    (scenes,), the non-negative cost of each scene; fewer scenes take precedence over lower costs. If `time_limit`
    seconds do not suffice for the proof, the selection may have more scenes than needed.
    """
    deadline = time.monotonic() + time_limit
    # Of targets that the same scenes cover, only the one with the largest demand matters.
    target_groups = _group_by_members(targets, scenes, len(demands))
    groups, group_demands = target_groups[targets], _find_maxima(target_groups, demands)
    candidates = _drop_dominated_scenes(groups, scenes, group_demands, costs)
    is_kept = np.isin(scenes, candidates)
    sets = _list_members(np.searchsorted(candidates, scenes[is_kept]), groups[is_kept], len(candidates))
    problem = SetMulticover(sets, np.ones(len(candidates), np.int64), group_demands, costs[candidates])
    cover = solve_set_cover(problem, deadline)
    is_selected = np.zeros(len(costs), np.bool_)
    is_selected[candidates] = cover.multiplicity > 0
    n_selected = np.bincount(targets[is_selected[scenes]], minlength=len(demands))
    return SceneSelection(is_selected, cover.lower_bound, np.maximum(demands - n_selected, 0))


def _drop_dominated_scenes(targets: Ints, scenes: Ints, demands: Ints, costs: Floats) -> Ints:
    """Return the scenes worth considering, ascending: of scenes with equal targets, only as many as are demanded."""
    covering = np.unique(scenes)
    cheapest_first = covering[np.argsort(costs[covering], kind="stable")]
    groups = _group_by_members(scenes, targets, len(costs))
    max_demands = _find_maxima(groups[scenes], demands[targets])
    groups = groups[cheapest_first]
    return np.sort(cheapest_first[rank_in_groups(groups) < max_demands[groups]])


def _find_maxima(groups: Ints, values: Ints) -> Ints:
    """Return the largest value, or 0, of each group."""
    maxima = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    np.maximum.at(maxima, groups, values)
    return maxima


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
