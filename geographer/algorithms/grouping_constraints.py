"""Grouping constraints: links between rasters that a split must not divide, as they show the same feature or ground.

Parts are numbers here; -1 means no part.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Bools, Ints, Links, chain_group_members, label_components


class GroupingConstraints(NamedTuple):
    """Direct links between `size` rasters that must be in the same part.

    `features` and `rasters`, shape (m,), are the indices of each feature and of a raster that shows it; rasters that
    show the same feature are linked. `links` are other pairs of rasters, shape (n, 2), by reason.
    """

    size: int
    features: Ints
    rasters: Ints
    links: Mapping[str, Links]

    def add_links(self, reason: str, links: Links) -> "GroupingConstraints":
        """Return the constraints with these links for a reason, shape (n, 2), instead of those that it had."""
        return self._replace(links={**self.links, reason: links})

    def restrict_to(self, rasters: Bools) -> "GroupingConstraints":
        """Return the constraints between the selected rasters, shape (size,); indices stay the same."""
        incident = rasters[self.rasters]
        links = {reason: pairs[rasters[pairs].all(axis=1)] for reason, pairs in self.links.items()}
        return GroupingConstraints(self.size, self.features[incident], self.rasters[incident], links)

    def compute_components(self) -> Ints:
        """Return the component of each raster, shape (size,), numbered by their smallest members."""
        return label_components(self.size, chain_group_members(self.features, self.rasters), *self.links.values())

    def list_links(self) -> Links:
        """Return the links of all reasons, shape (n, 2)."""
        return np.concatenate([np.empty((0, 2), np.int64), *self.links.values()])

    def list_memberships(self) -> tuple[Ints, Ints]:
        """Return groups and their rasters, shape (m,) each: a feature is a group, and after the features each link."""
        links, first = self.list_links(), self.features.max(initial=-1) + 1
        groups = np.concatenate([self.features, np.repeat(first + np.arange(len(links)), 2)])
        return groups, np.concatenate([self.rasters, links.ravel()])


def spans_several_parts(components: Ints, part: Ints) -> Bools:
    """Return whether each component has rasters of two or more parts, shape (number of components,)."""
    size = components.max(initial=-1) + 1
    lowest, highest = np.full(size, part.max(initial=-1)), np.full(size, -1)
    assigned = part >= 0
    np.minimum.at(lowest, components[assigned], part[assigned])
    np.maximum.at(highest, components[assigned], part[assigned])
    return np.asarray(highest > lowest)
