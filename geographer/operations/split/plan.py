"""Plan a split: assign rasters to parts without leakage, close to the target fractions.

Rasters of one component (they show the same feature, share pixels or lie within a buffer) go to the same part.
Assigned rasters keep their part when the dataset grows: new rasters join the part of their component, and new
components are assigned so that old and new rasters together come closest to the target fractions. A component with
rasters of several parts is a conflict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import get_args

import numpy as np

from geographer.algorithms.connected_components import Ints, Links, renumber_components
from geographer.algorithms.geodesic_distance.arcs import Floats
from geographer.algorithms.rng import make_rng
from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.base.text import format_count
from geographer.operations.split.assign import ComponentAssignment, assign_components
from geographer.operations.split.conflicts import (
    NO_INDICES,
    Conflicts,
    GroupingConstraints,
    RasterAssignment,
    exclude_rasters,
    find_conflict_paths,
    move_components,
    resolve_conflicts,
)
from geographer.operations.split.report import SplitReport, iter_warnings, make_report
from geographer.planning.recipe import OnConflict

MAX_CONFLICTS = 3
"""The most conflicts that an error explains."""

MAX_PATH_NODES = 9
"""The most rasters and features between two rasters that an error lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """The rasters to split, the links between them, and earlier decisions.

    Attributes:
        rasters: The distinct ids of the n rasters; raster indices refer to this list.
        parts: The relative size of each part by name; the sizes may have any positive sum.
        feature_ids: The ids of the features, by index; used in errors only.
        incidence: The feature index and the raster index of each pair that shows one another, shape (m,) each.
        links: Other pairs of rasters that must be in the same part, by reason, shape (k, 2) each; see `find_links`.
        classes: The names of the classes whose fractions matter, too (`--stratify`).
        class_counts: The number of features of each class on each raster, shape (n, classes); None without classes.
        seed: Decides between equally good assignments.
        assigned: The part of each raster that is already assigned; ids of other rasters are ignored.
        excluded: The rasters that an earlier decision excluded, with the part of each before that, or None:
            `SplitPlan.excluded` of the earlier plan. They stay excluded while they would cause a conflict, and then
            return to that part. Leave them out to decide again.
        on_conflict: How to resolve a conflict. None: raise an error. `exclude`: leave new rasters of the component
            unassigned, and unassign rasters with a direct link to a part with more rasters in the component. `move`:
            move the whole component to the part with most of its rasters.
    """

    rasters: Sequence[str]
    parts: Mapping[str, float]
    feature_ids: Sequence[str] = ()
    incidence: tuple[Ints, Ints] = (NO_INDICES, NO_INDICES)
    links: Mapping[str, Links] = field(default_factory=dict)
    classes: Sequence[str] = ()
    class_counts: Ints | None = None
    seed: int = 0
    assigned: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, str | None] = field(default_factory=dict)
    on_conflict: OnConflict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """The part of every raster.

    Attributes:
        parts: The part of each raster, in the order of the request; None if it stays unassigned.
        components: The component of each raster, shape (n,), numbered by first members; an unassigned raster is a
            component of its own.
        moved: The rasters that change their part, with the old and the new part.
        unassigned: The rasters that this plan newly excludes.
        excluded: All excluded rasters, with the part of each before its exclusion, or None: for the next request.
        report: How close the split comes to its target fractions.
    """

    parts: list[str | None]
    components: Ints
    moved: dict[str, tuple[str, str]]
    unassigned: list[str]
    excluded: dict[str, str | None]
    report: SplitReport


def plan_split(request: SplitRequest) -> SplitPlan:
    """Plan a split; the order of the request's rasters, features and links does not matter.

    Planning is idempotent: a request with the `parts` of a plan as `assigned`, and its `excluded`, gives the same plan
    and raises nothing.

    Raises:
        UsageError: there are no rasters, ids or part names are repeated or empty, a size is not a positive number, a
            raster is assigned to an unknown part, or arrays do not fit the rasters.
        ConflictError: a component has rasters of several parts, and `on_conflict` is None; the message names them,
            what connects them, and the remedies.
    """
    validate_request(request)
    order = sorted(range(len(request.rasters)), key=request.rasters.__getitem__)
    rank = np.argsort(order)
    features, rasters = request.incidence
    sorted_request = replace(
        request,
        rasters=[request.rasters[index] for index in order],
        incidence=(np.asarray(features), rank[rasters]),
        links={reason: rank[pairs] for reason, pairs in request.links.items()},
        class_counts=None if request.class_counts is None else request.class_counts[order],
    )
    plan = plan_sorted_request(sorted_request)
    components = renumber_components(plan.components[rank])
    return replace(plan, parts=[plan.parts[index] for index in rank], components=components)


def plan_sorted_request(request: SplitRequest) -> SplitPlan:
    """Plan a split of rasters that are in order of id."""
    names = sorted(request.parts)
    fractions = np.array([request.parts[name] for name in names]) / sum(request.parts.values())
    tie_order = np.argsort(np.argsort(-fractions, kind="stable"))
    constraints = GroupingConstraints(len(request.rasters), *request.incidence, request.links)
    current = make_current_assignment(request, names)
    resolved = resolve_conflicts(constraints, current, tie_order, choose_resolver(request, names))
    components = constraints.restrict_to(~resolved.excluded).compute_components()
    weights = np.ones((len(request.rasters), 1))
    if request.class_counts is not None:
        weights = np.hstack([weights, request.class_counts])
    assignment, solution = assign_new_components(request, resolved, components, weights, fractions)
    parts = name_parts(assignment.part, names)
    previous = name_parts(assignment.previous_part, names)
    excluded = {request.rasters[raster]: previous[raster] for raster in np.flatnonzero(assignment.excluded).tolist()}
    unassigned = [raster for raster in excluded if raster not in request.excluded]
    moved = {
        raster: (request.assigned[raster], part)
        for raster, part in zip(request.rasters, parts, strict=True)
        if part is not None and request.assigned.get(raster, part) != part
    }
    targets = {name: float(fractions[names.index(name)]) for name in request.parts}
    report = make_report(targets, parts, components, weights, request.classes, solution)
    report = replace(report, warnings=tuple(iter_warnings(report, request.links, len(moved), len(unassigned))))
    return SplitPlan(
        parts=parts, components=components, moved=moved, unassigned=unassigned, excluded=excluded, report=report
    )


def name_parts(part: Ints, names: list[str]) -> list[str | None]:
    """Return the name of each part; None for -1."""
    return [names[index] if index >= 0 else None for index in part]


def make_current_assignment(request: SplitRequest, names: list[str]) -> RasterAssignment:
    """Return the assignment before the plan; parts are indices into `names`."""
    index: dict[str | None, int] = {name: number for number, name in enumerate(names)}
    return RasterAssignment(
        np.array([index.get(request.assigned.get(raster), -1) for raster in request.rasters]),
        np.array([index.get(request.excluded.get(raster), -1) for raster in request.rasters]),
        np.array([raster in request.excluded for raster in request.rasters]),
    )


def assign_new_components(
    request: SplitRequest, assignment: RasterAssignment, components: Ints, weights: Floats, fractions: Floats
) -> tuple[RasterAssignment, ComponentAssignment]:
    """Return the assignment with a part for every raster that is not excluded, and that of the new components."""
    component_part = np.full(components.max() + 1, -1)
    np.maximum.at(component_part, components, assignment.part)
    totals = np.zeros((len(component_part), weights.shape[1]))
    np.add.at(totals, components[~assignment.excluded], weights[~assignment.excluded])
    part_weights = np.stack([totals[component_part == part].sum(axis=0) for part in range(len(fractions))])
    new = np.flatnonzero((component_part < 0) & (totals[:, 0] > 0))
    first_rasters = np.unique(components, return_index=True)[1][new]
    random_keys = np.array([make_rng(request.seed, request.rasters[raster]).random() for raster in first_rasters])
    new_components = assign_components(totals[new], part_weights, fractions, random_keys)
    component_part[new] = new_components.parts
    part = np.where(assignment.excluded, -1, component_part[components])
    return replace(assignment, part=part), new_components


def choose_resolver(request: SplitRequest, names: list[str]) -> Callable[[Conflicts], RasterAssignment]:
    """Return the resolver for `on_conflict`; without one, a resolver that raises ConflictError."""

    def raise_conflict(conflicts: Conflicts) -> RasterAssignment:
        paths = find_conflict_paths(conflicts, MAX_CONFLICTS)
        messages = [describe_conflict(request, names, conflicts.assignment.part, path) for path in paths]
        if conflicts.conflicting.sum() > MAX_CONFLICTS:
            messages.append(f"and {conflicts.conflicting.sum() - MAX_CONFLICTS} more")
        raise ConflictError(f"the split would leak: {'; '.join(messages)}. {describe_remedies(conflicts)}")

    resolvers = {"exclude": exclude_rasters, "move": move_components}
    return resolvers[request.on_conflict] if request.on_conflict else raise_conflict


def describe_conflict(request: SplitRequest, names: list[str], part: Ints, path: list[tuple[str, int]]) -> str:
    """Return what connects two rasters of two parts."""
    ends = [f"raster '{request.rasters[index]}' ({names[part[index]]})" for _, index in (path[0], path[-1])]
    ids = {"raster": request.rasters, "feature": request.feature_ids}
    between = [f"{noun} '{ids[noun][index]}'" if index >= 0 else f"their {noun}" for noun, index in path[1:-1]]
    if len(between) > MAX_PATH_NODES:
        half = MAX_PATH_NODES // 2
        between[half:-half] = [f"{len(between) - 2 * half} more"]
    return f"{' and '.join(ends)} are connected by {', '.join(between)}"


def describe_remedies(conflicts: Conflicts) -> str:
    """Return how to resolve conflicts, and how many rasters each way affects."""
    before, excluded, moved = conflicts.assignment, exclude_rasters(conflicts), move_components(conflicts)
    unassigned = int((excluded.excluded & ~before.excluded).sum())
    losing = int(((before.part >= 0) & (excluded.part < 0)).sum())
    moving = int(((before.part >= 0) & (moved.part != before.part)).sum())
    return (
        f"Pass --on-conflict exclude to leave {format_count(unassigned, 'raster')} unassigned ({losing} of them "
        f"assigned now), or --on-conflict move to move {format_count(moving, 'raster')} to the larger part. "
        "Nothing was written."
    )


def validate_request(request: SplitRequest) -> None:
    """Reject requests that cannot be planned; see `plan_split`."""
    validate_parts(request.parts)
    if not request.rasters:
        raise UsageError("there are no rasters to split. Add rasters first, or pass another --collection.")
    if repeated := [raster for raster, count in Counter(request.rasters).items() if count > 1]:
        raise UsageError(f"rasters are listed more than once: {quote_names(repeated)}. List each once.")
    if request.on_conflict not in (None, *get_args(OnConflict)):
        raise UsageError(f"invalid --on-conflict '{request.on_conflict}'. Pass exclude or move, or omit it.")
    validate_assignments(request)
    validate_arrays(request)


def validate_parts(parts: Mapping[str, float]) -> None:
    """Reject parts without a name or a positive size, and repeated names."""
    example = "Pass e.g. --parts train=0.7,val=0.15,test=0.15."
    if not parts:
        raise UsageError(f"a split needs parts. {example}")
    names = Counter(name.strip() for name in parts)
    if not all(names):
        raise UsageError(f"a part has no name. {example}")
    if repeated := [name for name, count in names.items() if count > 1]:
        raise UsageError(f"parts are named more than once: {quote_names(repeated)}. {example}")
    for name, size in parts.items():
        if not (isfinite(size) and size > 0):
            raise UsageError(f"part '{name}' has the fraction {size:g}, which is not above 0. {example}")


def validate_assignments(request: SplitRequest) -> None:
    """Reject earlier assignments that contradict the parts or the exclusions."""
    for raster in request.rasters:
        part = request.assigned.get(raster)
        if part is not None and part not in request.parts:
            raise UsageError(
                f"raster '{raster}' is assigned to part '{part}', which --parts does not name. "
                "Name it, or choose another name for the split."
            )
        if part is not None and raster in request.excluded:
            raise UsageError(f"raster '{raster}' is both assigned and excluded. Pass it as one of them.")


def validate_arrays(request: SplitRequest) -> None:
    """Reject arrays that do not fit the rasters, the features or the classes."""
    count, classes = len(request.rasters), request.classes
    counts = np.empty((count, 0)) if request.class_counts is None else request.class_counts
    features, rasters = (np.asarray(indices) for indices in request.incidence)
    is_valid = {
        "incidence": features.shape == rasters.shape
        and are_valid_indices(features, len(request.feature_ids))
        and are_valid_indices(rasters, count),
        "links": all(pairs.shape[1:] == (2,) and are_valid_indices(pairs, count) for pairs in request.links.values()),
        "class_counts": counts.shape == (count, len(classes)) and bool((counts >= 0).all()),
    }
    if invalid := [name for name, valid in is_valid.items() if not valid]:
        raise UsageError(f"the split's {invalid[0]} do not fit its {count} rasters. Pass indices into them.")


def are_valid_indices(indices: Ints, count: int) -> bool:
    """Return whether all indices are at least 0 and below `count`."""
    return bool(np.all((indices >= 0) & (indices < count)))
