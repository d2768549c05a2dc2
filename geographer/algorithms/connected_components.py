"""Connected components of an undirected graph, numbered by their smallest members, and spanning links of groups."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Links = npt.NDArray[np.int64]
"""Undirected links: pairs of node indices, shape (n, 2)."""

NO_LINKS: Links = np.empty((0, 2), dtype=np.int64)


def label_components(count: int, *links: Links) -> Ints:
    """Return the connected component of each of `count` nodes, shape (count,), numbered from 0 by smallest members.

    Each of `links` has shape (n, 2). Raise ValueError if an index of a node is negative, or not below `count`.
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


def rank_in_groups(groups: Ints) -> Ints:
    """Return the rank, from 0, of each item among those of its group, shape (n,)."""
    order = np.argsort(groups, kind="stable")
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.searchsorted(groups[order], groups[order])
    return ranks


def group_indices(groups: Ints) -> dict[int, Ints]:
    """Map each group, ascending, to the ascending indices of its items."""
    order = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[order], return_index=True)
    return dict(zip(names.tolist(), np.split(order, starts[1:]), strict=False))


def chain_group_members(groups: Ints, members: Ints) -> Links:
    """Link all members of each group by a chain, instead of by a link for each pair.

    Membership i says that the node `members[i]` (in a split: a raster) is in the group `groups[i]` (a feature that it
    shows). The result, pairs of consecutive members, shape (n, 2), is sorted by group and member.
    """
    order = np.lexsort((members, groups))
    groups, members = np.asarray(groups)[order], np.asarray(members)[order]
    in_same_group = groups[1:] == groups[:-1]
    return np.column_stack([members[:-1][in_same_group], members[1:][in_same_group]]).astype(np.int64)
