"""`split`: assign the rasters of a collection to parts; the parameters, and the plan at a revision."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

import msgspec
from msgspec import UNSET

from geographer.base.errors import UsageError, quote_names
from geographer.base.executors.executor import Workers
from geographer.base.parameters import Parameter
from geographer.base.values import validate_name
from geographer.operations.split.area import (
    PredictionArea,
    is_wkt,
    parse_area,
    read_area,
    sample_places,
)
from geographer.operations.split.events import FoundDuplicates, FoundPair, SplitAssigned
from geographer.planning.collections import require_collection
from geographer.planning.raster_middles import locate_rasters
from geographer.planning.recipe import ON_CONFLICT, WORKERS, OnConflict, Recipe
from geographer.planning.shared_parameters import NAME_SCHEMA, TEXT, WHERE
from geographer.planning.split_constraints.declared import By, DeclaredConstraints
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.renamings import stage_renamings
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, RevisionOpener

if TYPE_CHECKING:
    from geographer.operations.split.report import SplitReport
    from geographer.planning.split_constraints.near_duplicates import ComparedPixels

PartSizes = tuple[tuple[str, float], ...]
"""The name and the relative size of each part."""


class RecordedParts(tuple[tuple[str, float], ...]):
    """The parts of a recorded split: earlier versions accepted fractions of any sum, and divided them by it."""

    __slots__ = ()


_MEMBERS: Final = """
    SELECT raster_id, part, split IS NOT NULL AS is_recorded, previous_part, collection = $collection AS is_member
    FROM current_raster LEFT JOIN (FROM current_split WHERE split = $name) USING (raster_id)
    LEFT JOIN (SELECT raster_id, arg_max(part, valid_from) AS previous_part FROM state.split
               WHERE (split = $name OR
                      EXISTS (FROM recipe_name WHERE recipe = $name AND name = split AND valid_from < until))
               AND part IS NOT NULL AND valid_from <= getvariable('position') GROUP BY raster_id)
    USING (raster_id)
    WHERE is_member OR is_recorded ORDER BY raster_id
"""
_MAX_SIZE: Final = 1e9
_MAX_ROUNDING_ERROR: Final = 1e-6
"""By how much a fraction may be rounded: a third is 0.333333, but not 0.33."""
_PART_SCHEMA: Final = {
    "type": "array",
    "prefixItems": [TEXT | {"minLength": 1}, {"type": "number", "exclusiveMinimum": 0}],
    **{"minItems": 2, "items": False},
}
_EXAMPLE: Final = "Pass e.g. --parts train=0.7,val=0.15,test=0.15."


class Member(NamedTuple):
    """A raster of the split, its recorded and its last part; not `is_member`: it is of a collection split before."""

    raster_id: str
    part: str | None
    is_recorded: bool
    previous_part: str | None
    is_member: bool


def parse_parts(parts: Any) -> PartSizes:
    """Return the parts, given as a mapping, as pairs, or as text such as `train=0.7,val=0.15,test=0.15`.

    `UsageError` if there are none, a name is empty or repeated, a fraction is not a positive number, or they do not add
    up to 1; those of a recorded split may have any sum.
    """
    if isinstance(parts, RecordedParts):
        return parts
    pairs = [_parse_part(item) for item in parts.split(",")] if isinstance(parts, str) else [*dict(parts or {}).items()]
    names = [name.strip() for name, _ in pairs]
    if not pairs:
        raise UsageError(f"a split needs parts. {_EXAMPLE}")
    if not all(names):
        raise UsageError(f"a part has no name. {_EXAMPLE}")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"parts are named more than once: {quote_names(repeated)}. {_EXAMPLE}")
    for name, size in pairs:
        if not (isfinite(size) and size > 0):
            raise UsageError(f"part '{name}' has the fraction {size:g}, which is not above 0. {_EXAMPLE}")
    total = sum(size for _, size in pairs)
    if abs(total - 1) > _MAX_ROUNDING_ERROR * len(pairs):
        scaled = ",".join(f"{name.strip()}={size / total:.6g}" for name, size in pairs)
        raise UsageError(
            f"the fractions of --parts add up to {total:.10g}, but must add up to 1. To keep their proportions, pass "
            f"--parts {scaled}."
        )
    return tuple(pairs)


def _parse_optional_parts(parts: Any) -> PartSizes | None:
    return None if parts is None else parse_parts(parts)


def _parse_part(item: str) -> tuple[str, float]:
    name, _, fraction = (piece.strip() for piece in item.partition("="))
    try:
        size = float(fraction)
    except ValueError:
        size = 0.0
    if not name or not 0 < size < _MAX_SIZE:
        raise UsageError(
            f"invalid part '{item}'. Use NAME=FRACTION, each name once, e.g. train=0.7,val=0.15,test=0.15."
        )
    return name, size


class Split(Recipe, kw_only=True, frozen=True):
    """Assign rasters to parts without leakage between them.

    Assigned rasters keep their part when the dataset grows, and when parameters are replaced, if the part still exists.
    """

    kind: ClassVar[str] = "split"
    event: ClassVar[type[SplitAssigned]] = SplitAssigned
    example: ClassVar[str] = "split split --collection chips --parts train=0.7,val=0.2,test=0.1"

    collection: Annotated[str, Parameter("The collection of rasters to assign.", "NAME", schema=NAME_SCHEMA)]
    parts: Annotated[
        Mapping[str, float] | Sequence[tuple[str, float]] | str | None,
        Parameter(
            "The parts and their fractions of the rasters, which add up to 1, such as train=0.7,val=0.15,test=0.15.",
            *("NAME=FRACTION,…", "those of --folds"),
            convert=_parse_optional_parts,
            schema={"type": "array", "minItems": 1, "items": _PART_SCHEMA},
        ),
    ] = None
    by: Annotated[
        By, Parameter("Keep rasters together that show the same object; 'overlap': also those that share pixels.")
    ] = "overlap"
    buffer: Annotated[
        float, Parameter("Also keep rasters together that lie within this distance of each other.", "METRES", minimum=0)
    ] = 0.0
    near_duplicates: Annotated[
        bool,
        Parameter(
            "Also keep rasters together with nearly the same pixels: turned, mirrored, shifted a little, compressed.",
            records_default=False,
            since=2,
        ),
    ] = False
    stratify: Annotated[Literal["class"] | None, Parameter("Approximate the fractions within each class, too.")] = None
    where: Annotated[str | None, WHERE] = None
    seed: Annotated[int, Parameter("Seed of the choice among equally good assignments.", "NUMBER")] = 0
    on_conflict: Annotated[OnConflict | None, ON_CONFLICT] = None
    workers: Annotated[Workers, WORKERS] = 1
    area: Annotated[
        str | None,
        Parameter(
            "Make folds that match the distances to the nearest sample in this prediction area (kNNDM).",
            *("AREA", "none", "--for", parse_area),
            records_default=False,
            since=2,
            schema=TEXT,
        ),
    ] = None
    folds: Annotated[
        int | None,
        Parameter(
            "Make this number of equal parts: fold1, fold2 ….", "COUNT", "none", minimum=2, maximum=100, key=None
        ),
    ] = None

    def __post_init__(self) -> None:
        """Make the parts of folds; `UsageError` if there are neither parts nor folds, or both."""
        super().__post_init__()
        if (self.parts is None) == (self.folds is None):
            raise UsageError(f"a split needs either parts or folds. {_EXAMPLE} Or pass --folds 5.")
        if self.folds is not None:
            folds = tuple((f"fold{number}", 1 / self.folds) for number in range(1, self.folds + 1))
            msgspec.structs.force_setattr(self, "parts", folds)
            msgspec.structs.force_setattr(self, "folds", None)
        if self.area is not None and len({size for _, size in parse_parts(self.parts)}) > 1:
            raise UsageError("--for makes folds, whose sizes follow from the area. Pass --folds instead of --parts.")

    def resolve_inputs(self, open_revision: RevisionOpener, /) -> Self:
        """See `Request.resolve_inputs`: read the area."""
        if self.area is None or is_wkt(self.area):
            return self
        with open_revision() as revision:
            return msgspec.structs.replace(self, area=read_area(revision, self.area))

    @classmethod
    def from_parameters(cls, name: str, parameters: Mapping[str, Any]) -> Self:
        """See `Recipe.from_parameters`: recorded fractions may have any sum."""
        parts = RecordedParts(map(tuple, parameters["parts"]))
        return super().from_parameters(name, {**parameters, "parts": parts})

    def make_plan(self, revision: Revision, context: PlanContext) -> Change:
        """Plan the parts of rasters that have none yet; see `plan_split`, also for the errors."""
        import numpy as np

        from geographer.operations.split.conflicts import RasterAssignment
        from geographer.operations.split.plan import SplitInputs, plan_split
        from geographer.operations.split.report import SplitReport
        from geographer.planning.split_constraints import groups
        from geographer.planning.split_constraints.near_duplicates import REASON, find_near_duplicate_links

        validate_name("recipe", self.name)
        require_collection(revision, self.collection)
        stage_renamings(revision)
        rows = revision.fetch_rows(_MEMBERS, {"name": self.name, "collection": self.collection})
        members, others = ([row for row in map(Member._make, rows) if row.is_member == side] for side in (True, False))
        if not members and not self.is_changed(revision):
            return self._make_change([], SplitReport())
        sizes = dict(parse_parts(self.parts))
        names = sorted(sizes)
        numbers: dict[str | None, int] = {name: number for number, name in enumerate(names)}
        excluded = np.array([row.is_recorded and row.part is None for row in members], np.bool_)
        part, previous = (
            np.array([numbers.get(name, -1) for name in side], np.int64)
            for side in ([row.part for row in members], [row.previous_part for row in members])
        )
        groups.stage_collection(revision, self.collection)
        features = groups.fetch_features_on_rasters(revision, self.where)
        classes, counts = groups.count_classes(features if self.stratify else features[:0], len(members))
        declared = DeclaredConstraints(self.by, self.buffer, self.where)
        constraints = groups.find_constraints(revision, features, declared, part, excluded)
        compared = None
        if self.near_duplicates:
            links, compared = find_near_duplicate_links(revision, context.root, self.workers, context.progress)
            constraints = constraints.add_links(REASON, links)
        inputs = SplitInputs(
            rasters=[row.raster_id for row in members],
            feature_ids=features["feature_id"].unique().to_pylist(),
            constraints=constraints,
            assignment=RasterAssignment(part, np.where(excluded, previous, -1), excluded),
            classes=classes,
            class_counts=counts,
            area=self._locate_area(revision, [row.raster_id for row in members]),
        )
        plan = plan_split(inputs, sizes, self.seed, self.on_conflict)
        new_parts = [names[number] if number >= 0 else None for number in plan.assignment.part]
        changes: list[tuple[str, str, str | None]] = [
            ("changed" if row.is_recorded else "added", row.raster_id, new_part)
            for row, new_part in zip(members, new_parts, strict=True)
            if not row.is_recorded or row.part != new_part
        ]
        changes += [("removed", row.raster_id, None) for row in others]
        return self._make_change(changes, plan.report, compared)

    def _locate_area(self, revision: Revision, rasters: list[str]) -> PredictionArea | None:
        if self.area is None:
            return None
        return PredictionArea(
            locate_rasters(revision, rasters), sample_places(read_area(revision, self.area), self.seed)
        )

    def _make_change(
        self,
        changes: list[tuple[str, str, str | None]],
        report: "SplitReport",
        compared: "ComparedPixels | None" = None,
    ) -> Change:
        """Return the event and its rows from the change, the raster and the part of each row."""
        event = SplitAssigned(
            recipe=self.to_record(),
            assigned=sum(part is not None for _, _, part in changes),
            left_out=sum(change != "removed" and part is None for change, _, part in changes),
            near_duplicates=UNSET if compared is None else _record_pairs(compared),
            **report.to_payload(),
        )
        names, rasters, parts = map(list, zip(*changes, strict=True)) if changes else ([], [], [])
        columns = {"change": names, "split": [self.name] * len(changes), "raster_id": rasters, "part": parts}
        return Change(event, {"split_change": make_row_table("split_change", columns)} if changes else {})


def _record_pairs(compared: "ComparedPixels") -> FoundDuplicates:
    """Return the near-duplicates as the event records them."""
    pairs = [FoundPair(pair.a, pair.b, [*pair.digests]) for pair in compared.pairs]
    return FoundDuplicates(compared.compared, pairs, compared.not_comparable)
