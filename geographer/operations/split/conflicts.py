"""Conflicts: components with rasters of several parts.

Parts are numbers here; -1 means no part.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from geographer.algorithms.connected_components import Bools, Ints
from geographer.algorithms.grouping_constraints import GroupingConstraints, spans_several_parts


class RasterAssignment(NamedTuple):
    """The part of each of n rasters, its part before an exclusion, and whether it is excluded; shape (n,) each."""

    part: Ints
    previous_part: Ints
    excluded: Bools


class Conflicts(NamedTuple):
    """The components of rasters that are not excluded, and whether each has rasters of several parts (`conflicting`).

    Of two parts with equally many rasters in a component, that of the lower rank in `tie_order` counts as larger.
    """

    constraints: GroupingConstraints
    assignment: RasterAssignment
    components: Ints
    conflicting: Bools
    tie_order: Ints

    def rank_parts(self) -> Ints:
        """Rank the parts in each component by their number of rasters, 0 for the most; shape (components, parts)."""
        sizes = np.zeros((len(self.conflicting), len(self.tie_order)), dtype=np.int64)
        assigned = self.assignment.part >= 0
        np.add.at(sizes, (self.components[assigned], self.assignment.part[assigned]), 1)
        return np.argsort(np.argsort(self.tie_order - sizes * len(self.tie_order), axis=1), axis=1)


Resolver = Callable[[Conflicts], RasterAssignment]


def resolve_conflicts(
    constraints: GroupingConstraints, assignment: RasterAssignment, tie_order: Ints, resolve: Resolver
) -> RasterAssignment:
    """Readmit excluded rasters where possible, then resolve conflicts until no component spans several parts.

    An excluded raster stays excluded while its component (computed with excluded rasters, each counted in its previous
    part) still spans two or more parts. This makes the resolution idempotent. Other excluded rasters return to their
    previous part, if they had one.
    """
    while True:
        assignment = readmit_excluded(constraints, assignment)
        active = constraints.restrict_to(~assignment.excluded)
        components = active.compute_components()
        conflicting = spans_several_parts(components, assignment.part)
        if not conflicting.any():
            return assignment
        assignment = resolve(Conflicts(active, assignment, components, conflicting, tie_order))


def readmit_excluded(constraints: GroupingConstraints, assignment: RasterAssignment) -> RasterAssignment:
    """Return the excluded rasters to their previous part whose component no longer spans several parts."""
    components = constraints.compute_components()
    last_part = np.where(assignment.part >= 0, assignment.part, assignment.previous_part)
    readmitted = assignment.excluded & ~spans_several_parts(components, last_part)[components]
    part = np.where(readmitted, assignment.previous_part, assignment.part)
    return assignment._replace(part=part, excluded=assignment.excluded & ~readmitted)


def exclude_rasters(conflicts: Conflicts) -> RasterAssignment:
    """Exclude rasters that cause a conflict (`exclude`).

    In a conflicting component, rasters without a part stay without one. Where a direct link joins rasters of two
    parts, those of the part with fewer rasters in the component (ties: `tie_order`) lose their part.
    """
    assignment, components = conflicts.assignment, conflicts.components
    rank = conflicts.rank_parts()[components, np.maximum(assignment.part, 0)]
    losing = find_losing_rasters(conflicts.constraints, assignment.part, rank)
    unassigned = conflicts.conflicting[components] & (assignment.part < 0) & ~assignment.excluded
    return RasterAssignment(
        np.where(losing, -1, assignment.part),
        np.where(losing, assignment.part, assignment.previous_part),
        assignment.excluded | losing | unassigned,
    )


def find_losing_rasters(constraints: GroupingConstraints, part: Ints, rank: Ints) -> Bools:
    """Return the rasters that are directly linked to one of another part with a better rank (0 is best), shape (n,)."""
    losing = np.zeros(len(part), dtype=np.bool_)
    assigned = part[constraints.rasters] >= 0
    features, rasters = constraints.features[assigned], constraints.rasters[assigned]
    best = np.full(features.max(initial=-1) + 1, len(part))
    np.minimum.at(best, features, rank[rasters])
    losing[rasters[rank[rasters] > best[features]]] = True
    links = constraints.list_links()
    links = links[(part[links] >= 0).all(axis=1)]
    for a, b in (links.T, links.T[::-1]):
        losing[a[rank[a] > rank[b]]] = True
    return losing


def move_components(conflicts: Conflicts) -> RasterAssignment:
    """Move each conflicting component to the part with most of its rasters (`move`)."""
    components, assignment = conflicts.components, conflicts.assignment
    largest = conflicts.rank_parts().argmin(axis=1)
    return assignment._replace(part=np.where(conflicts.conflicting[components], largest[components], assignment.part))


def find_conflict_paths(conflicts: Conflicts, limit: int) -> Iterator[list[tuple[str, int]]]:
    """Yield a shortest path between rasters of two parts for each of the first `limit` conflicting components.

    Its nodes are `('raster', index)`, `('feature', index)`, or between two linked rasters the link's reason and -1.
    """
    constraints, part = conflicts.constraints, conflicts.assignment.part
    n_nodes = constraints.size + constraints.features.max(initial=-1) + 1
    incidences = np.column_stack([constraints.rasters, constraints.size + constraints.features])
    edges = np.concatenate([incidences, constraints.list_links()])
    graph = coo_array((np.ones(len(edges), dtype=np.int8), edges.T), shape=(n_nodes, n_nodes)).tocsr()
    for component in np.flatnonzero(conflicts.conflicting)[:limit]:
        members = np.flatnonzero((conflicts.components == component) & (part >= 0))
        in_first_part = part[members] == part[members[0]]
        sources, targets = members[in_first_part], members[~in_first_part]
        options = {"unweighted": True, "min_only": True, "return_predecessors": True}
        distance, predecessor, _ = dijkstra(graph, directed=False, indices=sources, **options)
        path = [int(targets[distance[targets].argmin()])]
        while predecessor[path[0]] >= 0:
            path.insert(0, int(predecessor[path[0]]))
        yield [*iter_path_nodes(constraints, path)]


def iter_path_nodes(constraints: GroupingConstraints, path: list[int]) -> Iterator[tuple[str, int]]:
    """Yield the nodes of a path by type and index, and the reason of each link between two rasters."""
    links_by_reason = {reason: np.sort(links, axis=1) for reason, links in constraints.links.items()}
    for node, following in pairwise([*path, -1]):
        yield ("raster", node) if node < constraints.size else ("feature", node - constraints.size)
        if node < constraints.size and 0 <= following < constraints.size:
            pair = sorted((node, following))
            yield next(reason for reason, links in links_by_reason.items() if (links == pair).all(axis=1).any()), -1
