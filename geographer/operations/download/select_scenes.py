"""Which scenes to fetch: the fewest that show all that is missing, and of equally few the cheapest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from geographer.algorithms.set_cover import Problem, solve_set_cover

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The scenes to fetch.

    Attributes:
        taken: Whether each scene is, shape (scenes,).
        bound: No choice shows all that can be shown with fewer scenes.
        short: How many scenes each member lacks after all, because none is left that shows it; shape (members,).
    """

    taken: Bools
    bound: int
    short: Ints


def choose(members: Ints, scenes: Ints, needs: Ints, costs: Floats, *, seconds: float) -> Chosen:
    """Choose scenes, each at most once, such that every member is shown as often as it needs.

    Args:
        members: Of each pair of a member (a feature, or a piece of one) and a scene that shows it, the first; (pairs,).
        scenes: The second; (pairs,).
        needs: By how many scenes each member is to be shown, shape (members,).
        costs: Of each scene, not negative, shape (scenes,): fewer scenes come before lower costs.
        seconds: How long the proof may take. When it runs out, a few scenes more than needed may be taken.
    """
    deadline = time.monotonic() + seconds
    shown = np.bincount(members, minlength=len(needs))
    groups, wanted = _like_members(members, scenes, np.minimum(needs, shown))
    useful = _useful(groups, scenes, wanted, costs)
    number = np.full(len(costs), -1, np.int64)
    number[useful] = np.arange(len(useful))
    known = (number[scenes] >= 0) & (wanted[groups] > 0)
    sets = _things_of(number[scenes[known]], groups[known], len(useful))
    cover = solve_set_cover(Problem(sets, np.ones(len(useful), np.int64), wanted, costs[useful]), deadline)
    taken = np.zeros(len(costs), np.bool_)
    taken[useful] = cover.taken > 0
    return Chosen(taken, cover.bound, np.maximum(needs - np.bincount(members[taken[scenes]], minlength=len(needs)), 0))


def _like_members(members: Ints, scenes: Ints, needs: Ints) -> tuple[Ints, Ints]:
    """Members that the same scenes show are one group, which needs what the neediest needs.

    The group of each pair's member, and what each group needs.
    """
    group_of = _by_content(members, scenes, len(needs))
    wanted = np.zeros(int(group_of.max(initial=-1)) + 1, np.int64)
    np.maximum.at(wanted, group_of, needs)
    return group_of[members], wanted


def _useful(members: Ints, scenes: Ints, needs: Ints, costs: Floats) -> Ints:
    """The scenes worth thinking about, ascending: of those that show the same, the cheapest that are needed."""
    showing = np.unique(scenes)
    content = _by_content(scenes, members, len(costs))
    most = np.zeros(int(content.max(initial=-1)) + 1, np.int64)
    np.maximum.at(most, content[scenes], needs[members])
    order = showing[np.lexsort((showing, costs[showing], content[showing]))]
    _, first, counts = np.unique(content[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, counts)
    return np.asarray(np.sort(order[place < most[content[order]]]))


def _by_content(owners: Ints, things: Ints, count: int) -> Ints:
    """A number for each of `count` owners, equal for those that have the same things; shape (count,)."""
    numbers: dict[bytes, int] = {}
    contents = (held.tobytes() for held in _things_of(owners, things, count))
    return np.fromiter((numbers.setdefault(content, len(numbers)) for content in contents), np.int64, count)


def _things_of(owners: Ints, things: Ints, count: int) -> list[Ints]:
    """What each of `count` owners has, ascending, each thing once."""
    # As one number, pairs are sorted much faster than as rows.
    span = int(things.max(initial=0)) + 1
    owner, thing = np.divmod(np.unique(owners * span + things), span)
    starts = np.searchsorted(owner, np.arange(count + 1))
    return [thing[first:last] for first, last in pairwise(starts)]
