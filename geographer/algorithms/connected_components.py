"""Connected components of an undirected graph, numbered by their smallest members, and spanning links of groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Links = npt.NDArray[np.int64]
"""Undirected links: pairs of node indices, shape (n, 2)."""

NO_LINKS: Links = np.empty((0, 2), dtype=np.int64)


def label_components(count: int, *links: Links) -> Ints:
    """Label the connected components of `count` nodes.

    Args:
        count: Number of nodes; they are numbered 0 to `count - 1`.
        *links: Index pairs, each array of shape (n, 2); the order and direction of the pairs do not matter.

    Returns:
        The component of each node, shape (count,). Components are numbered from 0 by their smallest members.

    Raises:
        ValueError: an index is negative, or not below `count`.
    """
    pairs = np.concatenate([NO_LINKS, *links])
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return renumber_components(connected_components(graph, directed=False)[1])


def renumber_components(labels: Ints) -> Ints:
    """Renumber components from 0 by their smallest members; `labels` and the result have shape (n,)."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(compute_ranks(first)[inverse])


def compute_ranks(values: Ints) -> Ints:
    """Return the rank, from 0, of each of `values` (all different), shape (n,)."""
    return np.argsort(np.argsort(values))


def chain_group_members(groups: Ints, members: Ints) -> Links:
    """Link all members of each group by a chain, instead of by a link for each pair.

    Args:
        groups: The group of each membership (in a split: a feature), shape (m,).
        members: The node that is a member of it (in a split: a raster that shows the feature), shape (m,).

    Returns:
        Pairs of consecutive members of a group, shape (n, 2) with n < m, sorted by group and member.
    """
    order = np.lexsort((members, groups))
    groups, members = np.asarray(groups)[order], np.asarray(members)[order]
    in_same_group = groups[1:] == groups[:-1]
    return np.column_stack([members[:-1][in_same_group], members[1:][in_same_group]]).astype(np.int64)
