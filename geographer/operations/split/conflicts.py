"""What binds rasters to one part, and what becomes of components that hold rasters of two parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from geographer.algorithms.connected_components import NO_LINKS, Bools, Ints, Links, components, links_through

NO_INDICES: Ints = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class GroupingConstraints:
    """What may not be parted, among `count` rasters: direct links only, whatever follows from them left to others.

    Attributes:
        count: How many rasters there are.
        features: The feature of each incidence, by index, shape (m,).
        rasters: The raster that shows it, by index, shape (m,): rasters that show one feature belong together.
        links: Pairs of rasters that belong together, shape (n, 2), by the reason for it: `overlap`, `buffer`.
    """

    count: int
    features: Ints = field(default_factory=NO_INDICES.copy)
    rasters: Ints = field(default_factory=NO_INDICES.copy)
    links: Mapping[str, Links] = field(default_factory=dict)

    def among(self, kept: Bools) -> GroupingConstraints:
        """The bonds between the rasters `kept`, shape (count,)."""
        shown = kept[self.rasters]
        links = {reason: pairs[kept[pairs].all(axis=1)] for reason, pairs in self.links.items()}
        return GroupingConstraints(self.count, self.features[shown], self.rasters[shown], links)

    def components(self) -> Ints:
        """The component of each raster, shape (count,), numbered by their smallest members."""
        return components(self.count, links_through(self.features, self.rasters), *self.links.values())

    def pairs(self) -> Links:
        """The links of all reasons."""
        return np.concatenate([NO_LINKS, *self.links.values()])


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where each of n rasters stands; parts are numbers, and -1 is none.

    Attributes:
        part: The part that it is in, shape (n,).
        former: For what is excluded: the part that it was in before, shape (n,).
        excluded: Whether an earlier decision leaves it out, shape (n,).
    """

    part: Ints
    former: Ints
    excluded: Bools


ConflictResolver = Callable[[GroupingConstraints, Assignment, Ints, Bools], Assignment]
"""Given the bonds, the standing, the component of each raster and which components are torn: the standing after."""


def resolve_conflicts(bonds: GroupingConstraints, standing: Assignment, resolve: ConflictResolver) -> Assignment:
    """The standing once what was excluded is looked at again, and no component is torn between parts.

    Left out stays what would still weld parts: what hangs together, excluded rasters included, with two or more
    parts, where an excluded raster counts for the part that it was in. So what one decision leaves out, the same
    question asked again leaves out as well. Other excluded rasters come back, to their former part if they had one.
    """
    while True:
        standing = readmit_excluded(bonds, standing)
        within = bonds.among(~standing.excluded)
        labels = within.components()
        torn = of_many_parts(labels, standing.part)
        if not torn.any():
            return standing
        standing = resolve(within, standing, labels, torn)


def readmit_excluded(bonds: GroupingConstraints, standing: Assignment) -> Assignment:
    """The standing with those excluded rasters back that weld nothing any more."""
    labels = bonds.components()
    remembered = np.where(standing.part >= 0, standing.part, standing.former)
    back = standing.excluded & ~of_many_parts(labels, remembered)[labels]
    return replace(standing, part=np.where(back, standing.former, standing.part), excluded=standing.excluded & ~back)


def of_many_parts(labels: Ints, part: Ints) -> Bools:
    """Which components hold rasters of two or more parts, shape (number of components,)."""
    lowest, highest = np.full(labels.max() + 1, len(part)), np.full(labels.max() + 1, -1)
    given = part >= 0
    np.minimum.at(lowest, labels[given], part[given])
    np.maximum.at(highest, labels[given], part[given])
    return np.asarray(highest > lowest)


def precedence(labels: Ints, part: Ints, order: Ints) -> Ints:
    """The place of each part in each component, shape (components, parts): 0 for the one with the most rasters.

    Ties go by `order`, the place of each part among all, shape (parts,).
    """
    sizes = np.zeros((labels.max() + 1, len(order)), dtype=np.int64)
    given = part >= 0
    np.add.at(sizes, (labels[given], part[given]), 1)
    return np.argsort(np.argsort(order - sizes * len(order), axis=1), axis=1)


def leaving_out(order: Ints) -> ConflictResolver:
    """The resolution `exclude`: what would weld is left out, and stays out until it welds nothing.

    Rasters of a torn component that have no part stay without one. Where a direct bond joins rasters of two parts,
    those of the part with fewer rasters in the component (ties: by `order`) lose theirs.
    """

    def resolve(bonds: GroupingConstraints, standing: Assignment, labels: Ints, torn: Bools) -> Assignment:
        place = np.take_along_axis(
            precedence(labels, standing.part, order)[labels], np.maximum(standing.part, 0)[:, None], axis=1
        )[:, 0]
        losing = losers(bonds, standing.part, place)
        newcomers = torn[labels] & (standing.part < 0) & ~standing.excluded
        return Assignment(
            np.where(losing, -1, standing.part),
            np.where(losing, standing.part, standing.former),
            standing.excluded | losing | newcomers,
        )

    return resolve


def losers(bonds: GroupingConstraints, part: Ints, place: Ints) -> Bools:
    """Rasters directly bound to one of another part whose `place` (0 is best) is better, shape (n,)."""
    losing = np.zeros(len(part), dtype=np.bool_)
    given = part[bonds.rasters] >= 0
    features, rasters = bonds.features[given], bonds.rasters[given]
    best = np.full(features.max(initial=-1) + 1, len(part))
    np.minimum.at(best, features, place[rasters])
    losing[rasters[place[rasters] > best[features]]] = True
    pairs = bonds.pairs()
    pairs = pairs[(part[pairs] >= 0).all(axis=1)]
    for one, other in (pairs.T, pairs.T[::-1]):
        losing[one[place[one] > place[other]]] = True
    return losing


def moving_over(order: Ints) -> ConflictResolver:
    """The resolution `move`: a torn component goes to the part that most of its rasters are in (ties: `order`)."""

    def resolve(bonds: GroupingConstraints, standing: Assignment, labels: Ints, torn: Bools) -> Assignment:
        strongest = precedence(labels, standing.part, order).argmin(axis=1)
        return replace(standing, part=np.where(torn[labels], strongest[labels], standing.part))

    return resolve


def leaks(parts: Sequence[str | None], incidence: tuple[Ints, Ints], links: Links) -> Links:
    """Every direct bond that crosses from part to part; none where a split is free of leakage.

    Args:
        parts: The part of each raster, or None for none, n of them.
        incidence: The feature and the raster, by index, of each pair that shows one another, shape (m,) each.
        links: Pairs of rasters that belong together, shape (k, 2).

    Returns:
        One row for each feature that rasters of two or more parts show (its index, and two such rasters), then one
        for each pair that crosses (-1, and the two rasters); shape (leaks, 3), sorted.
    """
    codes = {part: code for code, part in enumerate(sorted({part for part in parts if part is not None}))}
    code = np.array([-1 if part is None else codes[part] for part in parts], dtype=np.int64)
    features, rasters = (np.asarray(indices, dtype=np.int64) for indices in incidence)
    given = code[rasters] >= 0
    features, rasters = features[given], rasters[given]
    order = np.lexsort((rasters, code[rasters], features))
    features, rasters = features[order], rasters[order]
    crossing = (features[1:] == features[:-1]) & (code[rasters[1:]] != code[rasters[:-1]])
    shown = np.column_stack([features[1:], rasters[:-1], rasters[1:]])[crossing]
    shown = shown[np.unique(shown[:, 0], return_index=True)[1]]
    sides = code[links]
    pairs = links[(sides >= 0).all(axis=1) & (sides[:, 0] != sides[:, 1])]
    pairs = pairs[np.lexsort(pairs.T[::-1])]
    return np.concatenate([shown, np.column_stack([np.full(len(pairs), -1), pairs])])


def welds(
    bonds: GroupingConstraints, part: Ints, labels: Ints, torn: Bools, most: int
) -> Iterator[list[tuple[str, int]]]:
    """How rasters of two parts hang together, in the first `most` torn components: a shortest way in each.

    Yields:
        The steps from a raster of one part to one of another: `('raster', index)`, `('feature', index)`, or the
        reason of a link and -1 between two rasters.
    """
    reach = bonds.count + bonds.features.max(initial=-1) + 1
    edges = np.concatenate([np.column_stack([bonds.rasters, bonds.count + bonds.features]), bonds.pairs()])
    graph = coo_array((np.ones(len(edges), dtype=np.int8), edges.T), shape=(reach, reach)).tocsr()
    for label in np.flatnonzero(torn)[:most]:
        members = np.flatnonzero((labels == label) & (part >= 0))
        sources = members[part[members] == part[members[0]]]
        others = members[part[members] != part[members[0]]]
        distance, before, _ = dijkstra(
            graph, directed=False, indices=sources, unweighted=True, min_only=True, return_predecessors=True
        )
        path = [int(others[distance[others].argmin()])]
        while before[path[0]] >= 0:
            path.insert(0, int(before[path[0]]))
        yield [*steps(bonds, path)]


def steps(bonds: GroupingConstraints, path: list[int]) -> Iterator[tuple[str, int]]:
    """The nodes of a path by what they are, with the reason of a link between two rasters."""
    for node, following in pairwise([*path, -1]):
        yield ("raster", node) if node < bonds.count else ("feature", node - bonds.count)
        if node < bonds.count and 0 <= following < bonds.count:
            yield reason_of(bonds, node, following), -1


def reason_of(bonds: GroupingConstraints, one: int, other: int) -> str:
    """Why two rasters are linked."""
    wanted = [min(one, other), max(one, other)]
    return next(why for why, pairs in bonds.links.items() if (np.sort(pairs, axis=1) == wanted).all(axis=1).any())
