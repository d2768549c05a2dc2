"""The split recipe: which rasters go to which part, so that nothing leaks. Hands back `split_assigned`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np

from geographer.base.values import validate_name
from geographer.operations.split.groups import By, Ints, incidence, ints, links, objects
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, recipe_to_json
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.operations.split.plan import SplitPlan
    from geographer.operations.split.report import SplitReport
    from geographer.storage.queries.revision import Revision

_MEMBERS: Final = """
    SELECT raster_id, part, split IS NOT NULL, former
    FROM raster_now LEFT JOIN (FROM split_now WHERE split = $name) USING (raster_id)
    LEFT JOIN (SELECT raster_id, arg_max(part, valid_from) AS former FROM state.split
               WHERE split = $name AND part IS NOT NULL AND valid_from <= getvariable('position') GROUP BY raster_id)
    USING (raster_id)
    WHERE collection = $collection ORDER BY raster_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Parts and their shares, and what binds rasters together: objects, pixels, nearness (`buffer`, in metres)."""

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
        """Every field but the name, as JSON."""
        return {
            "collection": self.collection,
            "parts": [[part, share] for part, share in self.parts],
            "by": self.by,
            "where": self.where,
            "buffer": self.buffer,
            "stratify": self.stratify,
            "seed": self.seed,
        }

    def make_plan(self, revision: Revision, run: RunOptions) -> AssignmentPlan:
        """The parts of the rasters that have none yet. See `planning.split.plan_split`.

        Raises:
            ConflictError: new features weld two parts, and the run has no `on_conflict`.
        """
        from geographer.operations.split.plan import SplitRequest, plan_split

        validate_name("recipe", self.name)
        revision.require_collection(self.collection)
        members = revision.fetch_rows(_MEMBERS, {"name": self.name, "collection": self.collection})
        if not members and revision.fetch_value("SELECT 1 FROM recipes WHERE name = $name", {"name": self.name}):
            return AssignmentPlan(self, [], None)
        rasters, parts = [member[0] for member in members], dict(self.parts)
        assigned = {raster: part for raster, part, _, _ in members if part is not None}
        excluded = {raster: former for raster, part, known, former in members if known and part is None}
        shown = objects(revision, self.collection, self.where)
        classes, counts = self._class_counts(shown, len(rasters))
        places = np.array([[*parts].index(assigned[r]) if r in assigned else -1 for r in rasters], np.int64)
        out = np.array([raster in excluded for raster in rasters], np.bool_)
        request = SplitRequest(
            rasters=rasters,
            parts=parts,
            feature_ids=shown["feature_id"].unique().to_pylist(),
            incidence=incidence(shown),
            links=links(revision, self.collection, by=self.by, buffer=self.buffer, parts=places, excluded=out),
            classes=classes,
            class_counts=counts,
            seed=self.seed,
            assigned=assigned,
            excluded=excluded,
            on_conflict=run.on_conflict,
        )
        return AssignmentPlan(self, members, plan_split(request))

    def _class_counts(self, objects: pa.Table, count: int) -> tuple[list[str], Ints | None]:
        """The classes, and how many features of each every raster shows."""
        if self.stratify is None:
            return [], None
        classes = sorted(objects["class"].unique().to_pylist())
        counts = np.zeros((count, len(classes)), np.int64)
        places = [classes.index(name) for name in objects["class"].to_pylist()]
        np.add.at(counts, (ints(objects, "raster"), np.array(places, np.int64)), 1)
        return classes, counts


class AssignmentPlan:
    """The changes that a split makes: new assignments, and those that a conflict changed."""

    def __init__(self, recipe: Split, members: list[tuple[Any, ...]], plan: SplitPlan | None) -> None:
        """Take what `plan` changes for `members`; None where an emptied collection has left nothing to plan."""
        self.recipe = recipe
        self._changes = [
            (raster, part, known)
            for (raster, before, known, _), part in zip(members, plan.parts if plan else [], strict=True)
            if not known or before != part
        ]
        self.summary = {
            "assigned": sum(part is not None for _, part, _ in self._changes),
            "left out": sum(part is None for _, part, _ in self._changes),
            "moved": len(plan.moved) if plan else 0,
            **(_told(plan.report) if plan else {}),
        }

    @property
    def is_empty(self) -> bool:
        """Whether every raster has its part, or was left out."""
        return not self._changes

    def build_outputs(self, workshop: BuildContext) -> BuildResult:
        """The event; a split has no pixels."""
        rows: dict[str, list[Any]] = {
            "change": ["changed" if known else "added" for _, _, known in self._changes],
            "split": [self.recipe.name] * len(self._changes),
            "raster_id": [raster for raster, _, _ in self._changes],
            "part": [part for _, part, _ in self._changes],
        }
        payload = {"recipe": recipe_to_json(self.recipe), **self.summary}
        return BuildResult(
            EventDraft(
                "split_assigned",
                payload,
                {"split_change": make_row_table("split_change", rows)} if self._changes else {},
            )
        )


def _told(report: SplitReport) -> dict[str, Any]:
    """The report as the log keeps it: shares to six digits, which are the same on every machine."""
    return {
        "components": report.components,
        "largest": _share(report.largest),
        "deviation": _share(report.max_deviation),
        "class_deviation": None if report.class_deviation is None else _share(report.class_deviation),
        "parts": {
            part.part: {
                "rasters": part.rasters,
                "asked": _share(part.asked),
                "got": _share(part.got),
                "classes": {name: _share(share) for name, share in part.classes.items()},
            }
            for part in report.parts
        },
        "method": report.method,
        "cost": _share(report.cost),
        "bound": _share(report.bound),
        "proven": report.proven,
        "warnings": list(report.warnings),
    }


def _share(value: float) -> float:
    return round(float(value), 6)
