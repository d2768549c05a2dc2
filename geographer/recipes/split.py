"""The split recipe: which rasters go to which part, so that nothing leaks. Hands back `split_assigned`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import numpy as np

from geographer.events import Draft
from geographer.intake.rasters import check_name
from geographer.log.tables import arrow_table
from geographer.recipes.recipe import OnConflict, Outcome, Workshop, recipe_entry

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.planning.split import SplitPlan
    from geographer.queries.revision import Revision

_OBJECTS: Final = Path(__file__).with_name("split_objects.sql")
_OVERLAPS: Final = Path(__file__).with_name("split_overlaps.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Parts and their shares, and what binds rasters together: objects, pixels, nearness (`buffer`, in metres)."""

    kind: ClassVar[str] = "split"

    name: str
    collection: str
    parts: tuple[tuple[str, float], ...]
    by: Literal["object", "overlap"] = "overlap"
    where: str | None = None
    buffer: float = 0.0
    stratify: Literal["class"] | None = None
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
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

    def plan(self, revision: Revision, *, on_conflict: OnConflict | None = None) -> AssignmentPlan:
        """The parts of the rasters that have none yet. See `planning.split.plan_split`.

        Raises:
            ConflictError: new features weld two parts, and `on_conflict` is None.
        """
        from geographer.planning.split import SplitRequest, plan_split

        check_name("recipe", self.name)
        revision.require_collection(self.collection)
        members = revision.rows(
            "SELECT raster_id, part, split FROM raster_now "
            "LEFT JOIN (FROM split_now WHERE split = $name) USING (raster_id) "
            "WHERE collection = $collection ORDER BY raster_id",
            {"name": self.name, "collection": self.collection},
        )
        rasters = [row[0] for row in members]
        objects = self._objects(revision)
        features = list(dict.fromkeys(objects["feature_id"].to_pylist()))
        place = {feature: number for number, feature in enumerate(features)}
        classes, class_of = self._classes(objects, place)
        assigned = {raster: part for raster, part, split in members if part is not None}
        request = SplitRequest(
            rasters=rasters,
            parts=dict(self.parts),
            features=features,
            objects=np.column_stack(
                [
                    np.array([place[f] for f in objects["feature_id"].to_pylist()], np.int64),
                    objects["number"].to_numpy(),
                ]
            ).reshape(-1, 2),
            links=self._links(revision),
            classes=classes,
            class_of=class_of,
            seed=self.seed,
            assigned=assigned,
            left_out=frozenset(raster for raster, part, split in members if split is not None and part is None),
            on_conflict=on_conflict,
        )
        return AssignmentPlan(self, members, plan_split(request))

    def _objects(self, revision: Revision) -> pa.Table:
        """Which raster (its place by id) shows which of the selected features, and of which class that is."""
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE selected_feature AS SELECT feature_key FROM feature_now "  # noqa: S608
            "WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features "
            f"WHERE {revision.where('features', self.where)})"
        )
        return revision.arrow(_OBJECTS.read_text(), {"collection": self.collection})

    def _classes(self, objects: pa.Table, place: dict[str, int]) -> tuple[list[str], Any]:
        if self.stratify is None:
            return [], np.empty(0, np.int64)
        pairs = dict(zip(objects["feature_id"].to_pylist(), objects["class"].to_pylist(), strict=True))
        names = sorted(set(pairs.values()))
        return names, np.array([names.index(pairs[feature]) for feature in place], np.int64)

    def _links(self, revision: Revision) -> Any:
        """Pairs of rasters (their places) that share pixels or lie near each other."""
        from geographer.planning.closeness import close_pairs

        found = [np.empty((0, 2), np.int64)]
        if self.by == "overlap":
            pairs = revision.arrow(_OVERLAPS.read_text(), {"collection": self.collection})
            found.append(np.column_stack([pairs["a"].to_numpy(), pairs["b"].to_numpy()]).reshape(-1, 2))
        if self.buffer > 0:
            footprints = revision.rows(
                "SELECT ST_AsWKB(footprint)::BLOB FROM raster_now WHERE collection = $c ORDER BY raster_id",
                {"c": self.collection},
            )
            found.append(close_pairs([bytes(row[0]) for row in footprints], self.buffer))
        return np.concatenate(found)


class AssignmentPlan:
    """The changes that a split makes: new assignments, and those that a conflict changed."""

    def __init__(self, recipe: Split, members: list[tuple[str, str | None, str | None]], plan: SplitPlan) -> None:
        self.recipe, self._report = recipe, plan.report
        self._changes = [
            (raster, part, split is not None)
            for (raster, before, split), part in zip(members, plan.parts, strict=True)
            if split is None or before != part
        ]
        self.summary = {
            "assigned": sum(part is not None for _, part, _ in self._changes),
            "left out": sum(part is None for _, part, _ in self._changes),
            "moved": plan.moved,
            **plan.report,
        }

    @property
    def empty(self) -> bool:
        """Whether every raster has its part, or was left out."""
        return not self._changes

    def make(self, workshop: Workshop) -> Outcome:
        """The event; a split has no pixels."""
        rows: dict[str, list[Any]] = {
            "change": ["changed" if known else "added" for _, _, known in self._changes],
            "split": [self.recipe.name] * len(self._changes),
            "raster_id": [raster for raster, _, _ in self._changes],
            "part": [part for _, part, _ in self._changes],
        }
        payload = {"recipe": recipe_entry(self.recipe), **self.summary}
        return Outcome(
            Draft(
                "split_assigned",
                payload,
                {"split_change": arrow_table("split_change", rows)} if self._changes else {},
            )
        )
