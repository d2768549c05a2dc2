"""Plan a split: assign rasters to parts without leakage, close to the target fractions.

Rasters of one component (they show the same feature, share pixels or lie within a buffer) go to the same part.
Assigned rasters keep their part when the dataset grows: new rasters join the part of their component, and new
components are assigned so that old and new rasters together come closest to the target fractions. A component with
rasters of several parts is a conflict.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from geographer.algorithms.connected_components import Floats, Ints
from geographer.algorithms.grouping_constraints import GroupingConstraints
from geographer.algorithms.rng import make_rng
from geographer.base.errors import ConflictError, UsageError
from geographer.base.text import format_count
from geographer.operations.split.area import PredictionArea
from geographer.operations.split.assign import ComponentAssignment, assign_components
from geographer.operations.split.conflicts import (
    Conflicts,
    RasterAssignment,
    exclude_rasters,
    find_conflict_paths,
    move_components,
    resolve_conflicts,
)
from geographer.operations.split.report import SplitReport, iter_warnings, make_report
from geographer.planning.recipe import OnConflict
from geographer.planning.split_constraints.description import describe_path

MAX_CONFLICTS = 3
"""The most conflicts that an error explains."""


class SplitInputs(NamedTuple):
    """The rasters to split, the links between them, and earlier decisions.

    Attributes:
        rasters: The distinct ids of the n rasters, ascending; raster indices refer to this list.
        feature_ids: The ids of the features, by index; used in errors only.
        constraints: Features and links that keep rasters together.
        assignment: The parts before the plan, numbered in order of name. Excluded rasters stay excluded while they
            would cause a conflict, and then return to their previous part.
        classes: The names of the classes whose fractions matter, too (`--stratify`).
        class_counts: The number of features of each class on each raster, shape (n, classes).
        area: What the parts match, if they are folds for a prediction area.
    """

    rasters: Sequence[str]
    feature_ids: Sequence[str]
    constraints: GroupingConstraints
    assignment: RasterAssignment
    classes: Sequence[str]
    class_counts: Ints
    area: PredictionArea | None = None


class SplitPlan(NamedTuple):
    """The parts after the plan, the component of each raster, shape (n,), and how close the split comes to its targets.

    Components are numbered by first members; an unassigned raster is a component of its own.
    """

    assignment: RasterAssignment
    components: Ints
    report: SplitReport


def plan_split(
    inputs: SplitInputs, sizes: Mapping[str, float], seed: int = 0, on_conflict: OnConflict | None = None
) -> SplitPlan:
    """Plan a split; the order of the features and links does not matter.

    Planning is idempotent: inputs with the assignment of a plan give the same plan and raise nothing.

    Args:
        inputs: The rasters, their links and earlier decisions.
        sizes: The relative size of each part by name, with any positive sum. Parts are numbered in order of name.
        seed: Decides between equally good assignments.
        on_conflict: How to resolve a conflict. None: raise an error. `exclude`: leave new rasters of the component
            unassigned, and unassign rasters with a direct link to a part with more rasters in the component. `move`:
            move the whole component to the part with most of its rasters.

    Raises:
        UsageError: there are no rasters.
        ConflictError: a component has rasters of several parts, and `on_conflict` is None; the message names them,
            what connects them, and the remedies.
    """
    if not inputs.rasters:
        raise UsageError("there are no rasters to split. Add rasters first, or pass another --collection.")
    names = sorted(sizes)
    fractions = np.array([sizes[name] for name in names]) / sum(sizes.values())
    refuse = partial(raise_conflict, inputs, names)
    resolve = {"exclude": exclude_rasters, "move": move_components}.get(on_conflict or "", refuse)
    tie_order = np.argsort(np.argsort(-fractions, kind="stable"))
    before = inputs.assignment
    resolved = resolve_conflicts(inputs.constraints, before, tie_order, resolve)
    components = inputs.constraints.restrict_to(~resolved.excluded).compute_components()
    weights = np.hstack([np.ones((len(inputs.rasters), 1)), inputs.class_counts])
    after, solution = assign_new_components(inputs, seed, resolved, components, weights, fractions)
    targets = dict(zip(names, fractions.tolist(), strict=True))
    report = make_report(targets, after.part, components, weights, inputs.classes, solution)
    moved = (before.part >= 0) & (after.part >= 0) & (before.part != after.part)
    report = report._replace(parts={name: report.parts[name] for name in sizes}, moved=int(moved.sum()))
    if inputs.area:
        report = report._replace(area_match=inputs.area.compare_parts(after.part, components, len(names), seed))
    left, still_left = (int((after.excluded & side).sum()) for side in (~before.excluded, before.excluded))
    warnings = [*iter_warnings(report, inputs.constraints.links, left, still_left)]
    return SplitPlan(after, components, report._replace(warnings=warnings))


def assign_new_components(
    inputs: SplitInputs, seed: int, resolved: RasterAssignment, components: Ints, weights: Floats, fractions: Floats
) -> tuple[RasterAssignment, ComponentAssignment]:
    """Return the assignment with a part for every raster that is not excluded, and that of the new components.

    The parts match a prediction area if there is one and no raster has a part yet; later, only their sizes count.
    """
    if inputs.area and (resolved.part < 0).all() and (~resolved.excluded).any():
        part = inputs.area.assign_parts(~resolved.excluded, components, len(fractions), seed)
        return resolved._replace(part=part), ComponentAssignment(part[:0], "knndm", 0.0, 0.0)
    rasters = inputs.rasters
    component_part = np.full(components.max() + 1, -1)
    np.maximum.at(component_part, components, resolved.part)
    totals = np.zeros((len(component_part), weights.shape[1]))
    np.add.at(totals, components[~resolved.excluded], weights[~resolved.excluded])
    part_weights = np.stack([totals[component_part == part].sum(axis=0) for part in range(len(fractions))])
    new = np.flatnonzero((component_part < 0) & (totals[:, 0] > 0))
    first_rasters = np.unique(components, return_index=True)[1][new]
    random_keys = np.array([make_rng(seed, rasters[raster]).random() for raster in first_rasters])
    new_components = assign_components(totals[new], part_weights, fractions, random_keys)
    component_part[new] = new_components.parts
    part = np.where(resolved.excluded, -1, component_part[components])
    return resolved._replace(part=part), new_components


def raise_conflict(inputs: SplitInputs, names: Sequence[str], conflicts: Conflicts) -> RasterAssignment:
    """Raise ConflictError with what connects rasters of different parts, and how many rasters each remedy affects."""
    before, excluded, moved = conflicts.assignment, exclude_rasters(conflicts), move_components(conflicts)
    paths = find_conflict_paths(conflicts, MAX_CONFLICTS)
    messages = [describe_path(path, inputs.rasters, inputs.feature_ids, before.part, names) for path in paths]
    if conflicts.conflicting.sum() > MAX_CONFLICTS:
        messages.append(f"and {conflicts.conflicting.sum() - MAX_CONFLICTS} more")
    unassigned = int((excluded.excluded & ~before.excluded).sum())
    losing = int(((before.part >= 0) & (excluded.part < 0)).sum())
    moving = int(((before.part >= 0) & (moved.part != before.part)).sum())
    raise ConflictError(
        f"the split would leak: {'; '.join(messages)}. Pass --on-conflict exclude to leave "
        f"{format_count(unassigned, 'raster')} unassigned ({losing} of them assigned now), or --on-conflict move to "
        f"move {format_count(moving, 'raster')} to the larger part."
    )
