"""Leaks of the splits of a revision: rasters of several parts that show the same feature, share pixels or lie near.

A split without leaks gets one when a feature is added that lies on rasters of two parts, or when branches are merged:
each side's split is sound, and the union is not. Only rasters that have a part leak; those that a split leaves
unassigned do not, and they link no others.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Ints, group_indices
from geographer.algorithms.geodesic_distance.neighbours import find_close_pairs
from geographer.algorithms.grouping_constraints import GroupingConstraints, spans_several_parts
from geographer.algorithms.leak_repair.repair import (
    TIME_LIMIT,
    FixedRastersError,
    LeakRepair,
    find_leaking_rasters,
    repair_leaks,
)
from geographer.base.errors import ConflictError
from geographer.base.text import format_count
from geographer.planning.split_constraints.declared import DeclaredConstraints, list_declared_constraints
from geographer.planning.split_constraints.description import Path, describe_path
from geographer.planning.split_constraints.groups import (
    fetch_features_on_rasters,
    fetch_footprints,
    find_shared_content,
)
from geographer.planning.split_constraints.near_duplicates import REASON, fetch_recorded_links
from geographer.planning.split_constraints.staged_rasters import stage_assigned_rasters
from geographer.storage.queries.revision import Revision

_PARTS: Final = (
    "SELECT raster_id, part FROM grouped_raster JOIN (FROM current_split WHERE split = $split) USING (raster_id) "
    "ORDER BY raster_index"
)
MAX_LEAKS: Final = 3
"""The most leaks that an error explains."""


class LeakingGroup(NamedTuple):
    """Rasters that leak, whose leaks must be ended together, and the smallest remedy.

    Attributes:
        rasters: The part of each raster that has a direct link to one of another part, by raster id.
        connected_by: A sentence about two of them: their parts, and what connects them.
        moves: The new part of each raster to move, by raster id.
        exclusions: The rasters to leave without a part.
        is_proven: Whether it is proven that fewer moves and exclusions do not end the leaks.
    """

    rasters: dict[str, str]
    connected_by: str
    moves: dict[str, str]
    exclusions: list[str]
    is_proven: bool


class SplitLeak(NamedTuple):
    """The leaks of a split."""

    split: str
    groups: list[LeakingGroup]

    def to_json(self) -> dict[str, Any]:
        """Return the leak as JSON values."""
        return {"split": self.split, "components": [group._asdict() for group in self.groups]}

    def list_changes(self) -> dict[str, str | None]:
        """Return the new part of each raster that the remedy changes, None for none, by raster id."""
        moves = {raster: part for group in self.groups for raster, part in group.moves.items()}
        return moves | dict.fromkeys(raster for group in self.groups for raster in group.exclusions)


class _AssignedRasters(NamedTuple):
    """The rasters of a split that have a part, in order of id, with the numbers of their parts in `names`.

    `feature_ids` are those of the features that they show, by index.
    """

    ids: list[str]
    part: Ints
    names: list[str]
    feature_ids: list[str]

    def map_parts(self, indices: Ints, part: Ints) -> dict[str, str]:
        """Return the names of parts of some rasters by raster id."""
        return {self.ids[index]: self.names[part[index]] for index in indices}

    def describe_link(self, link: Path) -> str:
        """Return what connects two rasters."""
        return describe_path(link, self.ids, self.feature_ids, self.part, self.names)


def find_split_leaks(
    revision: Revision, split: str, fixed: Collection[str] = (), time_limit: float = TIME_LIMIT
) -> SplitLeak:
    """Return the leaks of a split at a revision, with the fewest moves and exclusions that end them.

    Rasters are linked as the recipe of the split declares; without a recipe, by common features and pixels.

    Args:
        revision: The revision.
        split: The split's name.
        fixed: The ids of rasters that must not change.
        time_limit: Seconds for the solver for each group of rasters; see `repair_leaks`.

    Raises:
        ConflictError: two linked rasters of different parts are fixed.
    """
    fixed_ids = frozenset(fixed)
    rasters, declared = _fetch_assigned(revision, split), list_declared_constraints(revision)
    constraints, rasters = _find_constraints(revision, declared.get(split, DeclaredConstraints()), rasters)
    try:
        is_fixed = np.array([raster_id in fixed_ids for raster_id in rasters.ids], np.bool_)
        repair = repair_leaks(constraints, rasters.part, is_fixed, time_limit)
    except FixedRastersError as error:
        both = constraints.restrict_to(np.isin(np.arange(len(rasters.ids)), error.rasters))
        connection = rasters.describe_link(next(_iter_links(both, rasters.part)))
        raise ConflictError(f"split '{split}' leaks if both rasters keep their part: {connection}.") from error
    return SplitLeak(split, [*_iter_groups(rasters, constraints, repair)])


def _fetch_assigned(revision: Revision, split: str) -> _AssignedRasters:
    """Make the rasters of a split that have a part those that are grouped, and return them."""
    stage_assigned_rasters(revision, split)
    table = revision.fetch_arrow(_PARTS, {"split": split})
    parts = table["part"].to_pylist()
    names = sorted({*parts})
    numbers = {name: number for number, name in enumerate(names)}
    part = np.array([numbers[name] for name in parts], np.int64)
    return _AssignedRasters(table["raster_id"].to_pylist(), part, names, [])


def _find_constraints(
    revision: Revision, declared: DeclaredConstraints, rasters: _AssignedRasters
) -> tuple[GroupingConstraints, _AssignedRasters]:
    """Return the links between the grouped rasters, and the rasters with the ids of the features that they show."""
    features = fetch_features_on_rasters(revision, declared.where)
    constraints = find_shared_content(revision, features, declared.by, len(rasters.ids))
    if declared.near_duplicates:
        constraints = constraints.add_links(REASON, fetch_recorded_links(revision))
    constraints = _add_close_pairs(revision, constraints, declared.buffer, rasters.part)
    return constraints, rasters._replace(feature_ids=features["feature_id"].unique().to_pylist())


def _add_close_pairs(
    revision: Revision, constraints: GroupingConstraints, buffer: float, part: Ints
) -> GroupingConstraints:
    """Add the links of a buffer: all pairs of different parts, and all of rasters that leak, so that any may move."""
    if buffer == 0:
        return constraints
    footprints, selected = fetch_footprints(revision), np.zeros(len(part), np.bool_)
    constraints = constraints.add_links("buffer", find_close_pairs(footprints, buffer, part, selected))
    leaking = find_leaking_rasters(constraints, part)
    if not leaking.any():
        return constraints
    return constraints.add_links("buffer", find_close_pairs(footprints, buffer, part, leaking))


def _iter_groups(
    rasters: _AssignedRasters, constraints: GroupingConstraints, repair: LeakRepair
) -> Iterator[LeakingGroup]:
    leaking = np.flatnonzero(repair.is_leaking)
    constraints = constraints.restrict_to(repair.is_leaking)
    components = constraints.compute_components()[leaking]
    groups = group_indices(components).values()
    for members, link in zip(groups, _iter_links(constraints, rasters.part), strict=True):
        indices = leaking[members]
        moved, excluded = (indices[side[indices]] for side in (repair.moved, repair.excluded))
        yield LeakingGroup(
            rasters=rasters.map_parts(indices, rasters.part),
            connected_by=rasters.describe_link(link),
            moves=rasters.map_parts(moved, repair.part),
            exclusions=[rasters.ids[index] for index in excluded],
            is_proven=bool(repair.is_proven[indices].all()),
        )


def _iter_links(constraints: GroupingConstraints, part: Ints) -> Iterator[Path]:
    """Yield a direct link between rasters of two parts for each component that has one, by its smallest member.

    A link is the path of a raster, a feature or reason, and a raster.
    """
    groups, members = constraints.list_memberships()
    n_features = constraints.features.max(initial=-1) + 1
    reasons = [reason for reason, links in constraints.links.items() for _ in links]
    rows = np.flatnonzero(spans_several_parts(groups, part[members])[groups])
    components = constraints.compute_components()[members[rows]]
    order = np.lexsort((members[rows], groups[rows], components))
    rows, first = rows[order], np.unique(components[order], return_index=True)[1]
    for group in groups[rows[first]].tolist():
        linked = np.sort(members[groups == group])
        other = linked[part[linked] != part[linked[0]]]
        between = ("feature", group) if group < n_features else (reasons[group - n_features], -1)
        yield [("raster", int(linked[0])), between, ("raster", int(other[0]))]


def describe_leak(leak: SplitLeak, *, has_recipe: bool) -> str:
    """Return what leaks, how few changes end it, and the command that ends it; a recipe is run by update."""
    sentences = [group.connected_by for group in leak.groups[:MAX_LEAKS]]
    if len(leak.groups) > MAX_LEAKS:
        sentences.append(f"and {len(leak.groups) - MAX_LEAKS} more")
    moves = format_count(sum(len(group.moves) for group in leak.groups), "move")
    exclusions = format_count(sum(len(group.exclusions) for group in leak.groups), "exclusion")
    fewest = "The fewest changes" if all(group.is_proven for group in leak.groups) else "The fewest changes found"
    command = "geographer update" if has_recipe else f"geographer split {leak.split} --collection …"
    return (
        f"split '{leak.split}' leaks: {'; '.join(sentences)}. {fewest} that end this are {moves} and {exclusions}. Run "
        f"{command} --on-conflict move, or exclude; after a merge, see geographer conflicts."
    )
