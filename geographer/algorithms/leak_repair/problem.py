"""Repair problems: rasters that may change their part, in groups of which only one part may remain."""

from typing import NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Bools, Ints

EXCLUDED = -1
"""The label of a raster that is excluded; other labels are parts."""


class RepairProblem(NamedTuple):
    """Find a label for each of n rasters: a part, or `EXCLUDED`.

    All rasters of a group that are not excluded must have the same label.

    Attributes:
        part: The present part of each raster, shape (n,), numbered from 0.
        weights: How many rasters of the dataset each raster here counts for, shape (n,).
        groups, members: Which raster is in which group, shape (m,) each, sorted by group and raster, without repeats.
        anchors: The part that each group must have, because rasters that do not change have it; -1: any. Shape (g,).
    """

    part: Ints
    weights: Ints
    groups: Ints
    members: Ints
    anchors: Ints

    @property
    def n_parts(self) -> int:
        """The number of parts that labels may have."""
        return int(max(self.part.max(), self.anchors.max())) + 1

    def list_allowed(self) -> Bools:
        """Return which raster may have which part, shape (n, parts), as far as the anchors of its groups decide."""
        allowed = np.ones((len(self.part), self.n_parts), np.bool_)
        anchors = self.anchors[self.groups]
        anchored = anchors >= 0
        forbidden = anchors[anchored, None] != np.arange(self.n_parts)
        np.logical_and.at(allowed, self.members[anchored], ~forbidden)
        return allowed

    def is_feasible(self, labels: Ints) -> bool:
        """Return whether each group has one label, shape (n,), at most, and that of its anchor."""
        kept = labels[self.members] != EXCLUDED
        groups, kept_labels = self.groups[kept], labels[self.members[kept]]
        found = self.anchors.copy()
        unanchored = found[groups] < 0
        found[groups[unanchored]] = kept_labels[unanchored]
        return bool((found[groups] == kept_labels).all())

    def count_changes(self, labels: Ints) -> "ChangeCount":
        """Return how many rasters change, and how many of these are excluded."""
        changed, excluded = labels != self.part, labels == EXCLUDED
        return ChangeCount(int(self.weights[changed].sum()), int(self.weights[excluded].sum()))

    def merge_twins(self) -> tuple["RepairProblem", Ints]:
        """Return the problem with one raster for all of one part in the same groups, and the index of each there.

        An optimal solution gives them the same label: each could have the label of the other at no cost.
        """
        pairs = zip(self.part.tolist(), self.list_groups(), strict=True)
        keys = [(part, groups.tobytes()) for part, groups in pairs]
        numbers: dict[tuple[int, bytes], int] = {}
        twins = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
        first = np.unique(twins, return_index=True)[1]
        is_first = np.isin(self.members, first)
        weights = np.bincount(twins, self.weights).astype(np.int64)
        groups, members = self.groups[is_first], twins[self.members[is_first]]
        return RepairProblem(self.part[first], weights, groups, members, self.anchors), twins

    def list_groups(self) -> list[Ints]:
        """Return the groups of each raster, ascending."""
        order = np.argsort(self.members, kind="stable")
        return np.split(self.groups[order], np.searchsorted(self.members[order], np.arange(1, len(self.part))))


class ChangeCount(NamedTuple):
    """The cost of a solution; the first number counts first."""

    changed: int
    excluded: int


class RepairSolution(NamedTuple):
    """The labels of a problem's rasters, shape (n,), and whether it is proven that no others cost less."""

    labels: Ints
    is_proven: bool
