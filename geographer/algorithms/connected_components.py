"""Which things hang together: connected components, and the few links that stand for many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Links = npt.NDArray[np.int64]
"""Pairs of indices, shape (n, 2): one link a row, without a direction."""

NO_LINKS: Links = np.empty((0, 2), dtype=np.int64)


def components(count: int, *links: Links) -> Ints:
    """The component of each of `count` things, which `links` join.

    Args:
        count: How many things there are; they are called 0 to `count - 1`.
        *links: Index pairs, shape (n, 2) each array; the order and the direction of the pairs do not matter.

    Returns:
        Labels, shape (count,): 0 for the component of thing 0, 1 for that of the first thing outside it, and
        so on, so that components are numbered by their smallest members.

    Raises:
        ValueError: an index is negative, or not below `count`.
    """
    joined = np.concatenate([NO_LINKS, *links])
    graph = coo_array((np.ones(len(joined), dtype=np.int8), (joined[:, 0], joined[:, 1])), shape=(count, count))
    return numbered(connected_components(graph, directed=False)[1])


def numbered(labels: Ints) -> Ints:
    """The same components, numbered by their smallest members; shape (n,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(ranks(first)[inverse])


def ranks(values: Ints) -> Ints:
    """The rank, from 0, of each of `values` (all different), shape (n,)."""
    ranked = np.empty(len(values), dtype=np.int64)
    ranked[np.argsort(values)] = np.arange(len(values))
    return ranked


def links_through(groups: Ints, members: Ints) -> Links:
    """Links that join all members of a group: a chain for each group, not a link for each pair.

    Args:
        groups: The group of each incidence (a feature, for a split), shape (m,).
        members: The thing that belongs to it (a raster that shows the feature), shape (m,).

    Returns:
        Pairs of members that follow one another in a group, shape (n, 2) with n < m; sorted by group and
        member.
    """
    order = np.lexsort((members, groups))
    groups, members = np.asarray(groups)[order], np.asarray(members)[order]
    follows = groups[1:] == groups[:-1]
    return np.column_stack([members[:-1][follows], members[1:][follows]]).astype(np.int64)
