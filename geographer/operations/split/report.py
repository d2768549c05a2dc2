"""Report how close a split comes to its target fractions: numbers and warnings."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import UNSET, UnsetType

from geographer.algorithms.connected_components import Floats, Ints
from geographer.base.errors import quote_names, quote_objects
from geographer.base.text import format_count
from geographer.operations.split.assign import ComponentAssignment
from geographer.operations.split.events import AreaMatch, Method, PartSummary

WARN_DEVIATION = 0.02
"""A fraction that misses its target by more than this is warned about."""


class SplitReport(NamedTuple):
    """The fields of `SplitAssigned` that say how close a split comes to its targets; by default, without rasters.

    Attributes:
        parts: The parts, with fractions of the assigned rasters and of the features of each class.
        components: The number of components of the assigned rasters.
        largest: The fraction of the assigned rasters in the largest component.
        deviation: The largest difference between the actual and the target fraction of rasters.
        class_deviation: The same for the fractions of classes; None if the split is not stratified.
        cost: The cost of the assignment, see `PartTargets`, and `bound`, a proven lower bound of it.
        proven: Whether no other assignment costs less by more than 0.0001.
        moved: How many rasters change their part.
        area_match: How well the parts match the distances in a prediction area; unset without one.
    """

    parts: Mapping[str, PartSummary] = {}
    components: int = 0
    largest: float = 0.0
    deviation: float = 0.0
    class_deviation: float | None = None
    method: Method = "none"
    cost: float = 0.0
    bound: float = 0.0
    proven: bool = True
    moved: int = 0
    warnings: Sequence[str] = []
    area_match: AreaMatch | UnsetType = UNSET

    def to_payload(self) -> dict[str, Any]:
        """Return the fields; fractions are rounded to six digits, which are equal on every machine."""
        return {name: _round_fractions(value) for name, value in self._asdict().items()}


def _round_fractions(value: Any) -> Any:
    if isinstance(value, PartSummary):
        classes = _round_fractions(value.classes)
        return PartSummary(value.rasters, _round_fractions(value.asked), _round_fractions(value.got), classes)
    if isinstance(value, Mapping):
        return {name: _round_fractions(item) for name, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def make_report(
    fractions: Mapping[str, float],
    part: Ints,
    components: Ints,
    weights: Floats,
    classes: Sequence[str],
    solution: ComponentAssignment,
) -> SplitReport:
    """Return the report on a split of n rasters, without warnings.

    `fractions` are the targets of the parts, by number, summing to 1; `part` (or -1) and `components` those of the
    rasters; `weights` are 1 and the number of features of each of `classes`, shape (n, 1 + classes).
    """
    part_weights = np.stack([weights[part == number].sum(axis=0) for number in range(len(fractions))])
    totals = part_weights.sum(axis=0)
    actual = part_weights / np.where(totals > 0, totals, 1.0)
    deviations = np.abs(actual - np.array([*fractions.values()])[:, None])[:, totals > 0]
    sizes = np.unique(components[part >= 0], return_counts=True)[1]
    return SplitReport(
        parts={
            name: PartSummary(int(weight[0]), target, got[0], dict(zip(classes, got[1:], strict=True)))
            for (name, target), weight, got in zip(fractions.items(), part_weights, actual.tolist(), strict=True)
        },
        components=len(sizes),
        largest=float(sizes.max(initial=0) / max(1, sizes.sum())),
        deviation=float(deviations[:, :1].max(initial=0.0)),
        class_deviation=float(deviations[:, 1:].max(initial=0.0)) if classes else None,
        method=solution.method,
        cost=solution.cost,
        bound=solution.lower_bound,
        proven=solution.is_optimal,
    )


def iter_warnings(report: SplitReport, reasons: Collection[str], left: int, still_left: int) -> Iterator[str]:
    """Yield sentences about unexpected results.

    `reasons` says why rasters are linked, besides features (`overlap`, `buffer`), `left` how many rasters the plan
    newly leaves without a part, `still_left` how many had none before.
    """
    if report.area_match is UNSET:
        yield from warn_about_fractions(report, reasons)
    if empty := [name for name, part in report.parts.items() if not part.rasters]:
        subject = f"part {quote_names(empty)} is" if len(empty) == 1 else f"parts {quote_names(empty)} are"
        why = "assigned rasters keep their part, and there are too few new rasters."
        if report.components < len(report.parts):
            components = format_count(report.components, "component")
            why = f"only {components} for {len(report.parts)} parts. {suggest_smaller_components(reasons)}"
        yield f"{subject} empty: {why}"
    for name, part in report.parts.items():
        missing = [name for name, fraction in part.classes.items() if not fraction]
        if missing and part.rasters:
            yield f"part '{name}' shows no feature of {quote_objects('class', missing)}."
    if report.moved:
        yield f"{format_count(report.moved, 'raster')} moved to another part, because components are not divided."
    for count, verb in ((left, "left"), (still_left, "still")):
        if count:
            why = "because assigning them would put related rasters in different parts."
            yield f"{format_count(count, 'raster')} {verb} unassigned, {why}"


def warn_about_fractions(report: SplitReport, reasons: Collection[str]) -> Iterator[str]:
    """Yield a warning if a component is larger than any part should be, or else if the target fractions are missed."""
    parts = report.parts.values()
    count, largest_target = sum(part.rasters for part in parts), max(part.asked for part in parts)
    targets = "/".join(f"{part.asked:.3g}" for part in parts)
    actual = "/".join(f"{part.got:.3g}" for part in parts)
    actual = f"the {'closest' if report.proven else 'closest found'} is {actual}"
    if round(report.largest * count) >= largest_target * count + 1:
        yield (
            f"one component holds {100 * report.largest:.3g} % of the rasters, so a split of {targets} "
            f"cannot be reached: {actual}. {suggest_smaller_components(reasons)}"
        )
    elif report.deviation > max(WARN_DEVIATION, 1 / max(1, count)):
        yield (
            f"a split of {targets} is not reached: {actual}. Components are not divided, and assigned rasters keep "
            "their part."
        )


def suggest_smaller_components(reasons: Collection[str]) -> str:
    """Return what to do for smaller components, given why rasters are linked."""
    remedies = {"buffer": "a smaller --buffer", "overlap": "--by object"}
    options = [remedy for reason, remedy in remedies.items() if reason in reasons]
    if not options:
        return "For smaller components, leave out features that connect rasters (--where)."
    return f"For smaller components, pass {' or '.join(options)}."
