"""Report how close a split comes to its target fractions: numbers and warnings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geographer.algorithms.connected_components import Ints
from geographer.algorithms.geodesic_distance.arcs import Floats
from geographer.base.errors import quote_names, quote_objects
from geographer.base.text import format_count
from geographer.operations.split.assign import ComponentAssignment, Method

WARN_DEVIATION = 0.02
"""A fraction that misses its target by more than this is warned about."""


@dataclass(frozen=True, slots=True)
class PartReport:
    """One part: its name, number of rasters, fractions of the assigned rasters and of the features of each class."""

    part: str
    rasters: int
    target_fraction: float
    actual_fraction: float
    class_fractions: dict[str, float]


@dataclass(frozen=True, slots=True)
class SplitReport:
    """How close a split comes to its target fractions.

    Attributes:
        parts: The parts, in the order of the request.
        unassigned: The number of rasters without a part.
        components: The number of components of the assigned rasters.
        largest_component: The fraction of the assigned rasters in the largest component.
        max_deviation: The largest difference between the actual and the target fraction of rasters.
        class_deviation: The largest difference between the actual and the target fraction of a class; None if the
            split is not stratified.
        method: How new components were assigned: `milp`, `greedy`, or `none` if there were none.
        cost: The cost of the assignment; see `PartTargets`.
        lower_bound: A proven lower bound of the cost.
        is_optimal: Whether no other assignment costs less by more than 0.0001.
        warnings: Sentences about unexpected results.
    """

    parts: tuple[PartReport, ...]
    unassigned: int
    components: int
    largest_component: float
    max_deviation: float
    class_deviation: float | None
    method: Method
    cost: float
    lower_bound: float
    is_optimal: bool
    warnings: tuple[str, ...] = ()


def make_report(
    targets: Mapping[str, float],
    parts: Sequence[str | None],
    components: Ints,
    weights: Floats,
    classes: Sequence[str],
    solution: ComponentAssignment,
) -> SplitReport:
    """Return the report on a split, without warnings.

    Args:
        targets: The target fraction of each part, summing to 1, in the order of the report.
        parts: The part of each of n rasters, or None.
        components: The component of each raster, shape (n,).
        weights: 1 and the number of features of each class, for each raster; shape (n, 1 + classes).
        classes: The names of the classes.
        solution: The assignment of the new components.
    """
    names = np.array([part or "" for part in parts])
    part_weights = np.stack([weights[names == name].sum(axis=0) for name in targets])
    totals = part_weights.sum(axis=0)
    fractions = part_weights / np.where(totals > 0, totals, 1.0)
    deviations = np.abs(fractions - np.array([*targets.values()])[:, None])[:, totals > 0]
    _, component_sizes = np.unique(components[names != ""], return_counts=True)
    return SplitReport(
        parts=tuple(
            PartReport(name, int(weight[0]), targets[name], actual[0], dict(zip(classes, actual[1:], strict=True)))
            for name, weight, actual in zip(targets, part_weights, fractions.tolist(), strict=True)
        ),
        unassigned=sum(part is None for part in parts),
        components=len(component_sizes),
        largest_component=float(component_sizes.max(initial=0) / max(1, component_sizes.sum())),
        max_deviation=float(deviations[:, :1].max(initial=0.0)),
        class_deviation=float(deviations[:, 1:].max(initial=0.0)) if classes else None,
        method=solution.method,
        cost=solution.cost,
        lower_bound=solution.lower_bound,
        is_optimal=solution.is_optimal,
    )


def iter_warnings(report: SplitReport, reasons: Collection[str], moved: int, unassigned: int) -> Iterator[str]:
    """Yield sentences about unexpected results.

    Args:
        report: The report on the split.
        reasons: Why rasters are linked, besides features: `overlap`, `buffer`.
        moved: The number of rasters that change their part.
        unassigned: The number of rasters that this plan newly leaves without a part.
    """
    yield from warn_about_fractions(report, reasons)
    yield from warn_about_empty_parts(report, reasons)
    for part in report.parts:
        missing = [name for name, fraction in part.class_fractions.items() if not fraction]
        if missing and part.rasters:
            yield f"part '{part.part}' shows no feature of {quote_objects('class', missing)}."
    if moved:
        yield f"{format_count(moved, 'raster')} moved to another part, because components are not divided."
    for count, verb in ((unassigned, "left"), (report.unassigned - unassigned, "still")):
        if count:
            why = "because assigning them would put related rasters in different parts."
            yield f"{format_count(count, 'raster')} {verb} unassigned, {why}"


def warn_about_fractions(report: SplitReport, reasons: Collection[str]) -> Iterator[str]:
    """Yield a warning if a component is larger than any part should be, or else if the target fractions are missed."""
    count = sum(part.rasters for part in report.parts)
    targets = format_fractions([part.target_fraction for part in report.parts])
    closest = "closest" if report.is_optimal else "closest found"
    actual = f"the {closest} is {format_fractions([part.actual_fraction for part in report.parts])}"
    largest_target = max(part.target_fraction for part in report.parts)
    if round(report.largest_component * count) >= largest_target * count + 1:
        yield (
            f"one component holds {100 * report.largest_component:.3g} % of the rasters, so a split of {targets} "
            f"cannot be reached: {actual}. {suggest_smaller_components(reasons)}"
        )
    elif report.max_deviation > max(WARN_DEVIATION, 1 / max(1, count)):
        yield (
            f"a split of {targets} is not reached: {actual}. Components are not divided, and assigned rasters keep "
            "their part."
        )


def warn_about_empty_parts(report: SplitReport, reasons: Collection[str]) -> Iterator[str]:
    """Yield a warning about the parts without rasters, if there are any."""
    empty = [part.part for part in report.parts if not part.rasters]
    if not empty:
        return
    subject = f"part {quote_names(empty)} is" if len(empty) == 1 else f"parts {quote_names(empty)} are"
    why = "assigned rasters keep their part, and there are too few new rasters."
    if report.components < len(report.parts):
        count = format_count(report.components, "component")
        why = f"only {count} for {len(report.parts)} parts. {suggest_smaller_components(reasons)}"
    yield f"{subject} empty: {why}"


def suggest_smaller_components(reasons: Collection[str]) -> str:
    """Return what to do for smaller components, given why rasters are linked."""
    remedies = {"buffer": "a smaller --buffer", "overlap": "--by object"}
    options = [remedy for reason, remedy in remedies.items() if reason in reasons]
    if not options:
        return "For smaller components, leave out features that connect rasters (--where)."
    return f"For smaller components, pass {' or '.join(options)}."


def format_fractions(fractions: Sequence[float]) -> str:
    """Return fractions as `0.7/0.15/0.15`."""
    return "/".join(f"{fraction:.3g}" for fraction in fractions)
