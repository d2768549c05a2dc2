"""The split recipe: plan which rasters of a collection go to which part, and build the event `split_assigned`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np

from geographer.base.values import validate_name
from geographer.operations.split.groups import By, fetch_features_on_rasters, find_links, make_incidence, to_int_array
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, fields_to_json, recipe_to_json
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.algorithms.connected_components import Ints
    from geographer.operations.split.plan import SplitPlan
    from geographer.operations.split.report import SplitReport
    from geographer.storage.queries.revision import Revision

_MEMBERS: Final = """
    SELECT raster_id, part, split IS NOT NULL AS is_recorded, previous_part
    FROM current_raster LEFT JOIN (FROM current_split WHERE split = $name) USING (raster_id)
    LEFT JOIN (SELECT raster_id, arg_max(part, valid_from) AS previous_part FROM state.split
               WHERE split = $name AND part IS NOT NULL AND valid_from <= getvariable('position') GROUP BY raster_id)
    USING (raster_id)
    WHERE collection = $collection ORDER BY raster_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A split of a collection into parts.

    Attributes:
        name: The recipe's name.
        collection: The rasters to split.
        parts: The name and the relative size of each part.
        by: What keeps rasters together: 'object', if they show the same feature; 'overlap', also if they share pixels.
        where: An SQL expression over the columns of features; only features for which it is true count.
        buffer: Also keep rasters together within this geodesic distance, in metres.
        stratify: Meet the fractions in each class, too.
        seed: Breaks ties.
    """

    kind: ClassVar[str] = "split"
    event: ClassVar[str] = "split_assigned"

    name: str
    collection: str
    parts: tuple[tuple[str, float], ...]
    by: By = "overlap"
    where: str | None = None
    buffer: float = 0.0
    stratify: Literal["class"] | None = None
    seed: int = 0

    def to_parameters(self) -> dict[str, Any]:
        """Return all fields except the name, as JSON."""
        return fields_to_json(self)

    def make_plan(self, revision: Revision, run: RunOptions) -> AssignmentPlan:
        """Plan the parts of rasters that have none yet; see `plan_split`.

        Raises:
            ConflictError: new features connect rasters of different parts, and the run has no `on_conflict`.
        """
        from geographer.operations.split.plan import SplitRequest, plan_split

        validate_name("recipe", self.name)
        revision.require_collection(self.collection)
        members = revision.fetch_rows(_MEMBERS, {"name": self.name, "collection": self.collection})
        if not members and revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": self.name}):
            return AssignmentPlan(self, [], None)
        rasters, names = [member[0] for member in members], [name for name, _ in self.parts]
        assigned = {raster: part for raster, part, _, _ in members if part is not None}
        excluded = {raster: previous for raster, part, recorded, previous in members if recorded and part is None}
        features = fetch_features_on_rasters(revision, self.collection, self.where)
        classes, counts = self._count_classes(features, len(rasters))
        part = np.array([names.index(assigned[r]) if r in assigned else -1 for r in rasters], np.int64)
        out = np.array([raster in excluded for raster in rasters], np.bool_)
        request = SplitRequest(
            rasters=rasters,
            parts=dict(self.parts),
            feature_ids=features["feature_id"].unique().to_pylist(),
            incidence=make_incidence(features),
            links=find_links(revision, self.collection, by=self.by, buffer=self.buffer, part=part, excluded=out),
            classes=classes,
            class_counts=counts,
            seed=self.seed,
            assigned=assigned,
            excluded=excluded,
            on_conflict=run.on_conflict,
        )
        return AssignmentPlan(self, members, plan_split(request))

    def _count_classes(self, features: pa.Table, n_rasters: int) -> tuple[list[str], Ints | None]:
        """Return the classes and how many features of each every raster shows, shape (rasters, classes)."""
        if self.stratify is None:
            return [], None
        classes = sorted(features["class"].unique().to_pylist())
        counts = np.zeros((n_rasters, len(classes)), np.int64)
        indices = np.array([classes.index(name) for name in features["class"].to_pylist()], np.int64)
        np.add.at(counts, (to_int_array(features, "raster_index"), indices), 1)
        return classes, counts


class AssignmentPlan:
    """The changes of a split: rasters that are newly assigned, and assignments that a conflict changed."""

    def __init__(self, recipe: Split, members: list[tuple[Any, ...]], plan: SplitPlan | None) -> None:
        """Compare `plan` with the recorded parts of `members`; None if the collection is empty."""
        self.recipe = recipe
        self._changes = [
            (raster, part, recorded)
            for (raster, before, recorded, _), part in zip(members, plan.parts if plan else [], strict=True)
            if not recorded or before != part
        ]
        self.summary_fields = {
            "assigned": sum(part is not None for _, part, _ in self._changes),
            "left out": sum(part is None for _, part, _ in self._changes),
            "moved": len(plan.moved) if plan else 0,
            **(_report_to_json(plan.report) if plan else {}),
        }

    @property
    def is_empty(self) -> bool:
        """Whether the part or the exclusion of every raster is recorded."""
        return not self._changes

    def build_outputs(self, _context: BuildContext) -> BuildResult:
        """Return the event; a split makes no files."""
        rows: dict[str, list[Any]] = {
            "change": ["changed" if recorded else "added" for _, _, recorded in self._changes],
            "split": [self.recipe.name] * len(self._changes),
            "raster_id": [raster for raster, _, _ in self._changes],
            "part": [part for _, part, _ in self._changes],
        }
        tables = {"split_change": make_row_table("split_change", rows)} if self._changes else {}
        payload = {"recipe": recipe_to_json(self.recipe), **self.summary_fields}
        return BuildResult(EventDraft("split_assigned", payload, tables))


def _report_to_json(report: SplitReport) -> dict[str, Any]:
    """Return the report as the log records it: fractions rounded to six digits, which are equal on every machine."""
    return {
        "components": report.components,
        "largest": _round_fraction(report.largest_component),
        "deviation": _round_fraction(report.max_deviation),
        "class_deviation": None if report.class_deviation is None else _round_fraction(report.class_deviation),
        "parts": {
            part.part: {
                "rasters": part.rasters,
                "asked": _round_fraction(part.target_fraction),
                "got": _round_fraction(part.actual_fraction),
                "classes": {name: _round_fraction(fraction) for name, fraction in part.class_fractions.items()},
            }
            for part in report.parts
        },
        "method": report.method,
        "cost": _round_fraction(report.cost),
        "bound": _round_fraction(report.lower_bound),
        "proven": report.is_optimal,
        "warnings": list(report.warnings),
    }


def _round_fraction(value: float) -> float:
    return round(float(value), 6)
