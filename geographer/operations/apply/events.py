"""The event of an applied patch."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

import msgspec

from geographer.planning.recipe_events import ImportedRecipe
from geographer.planning.user_columns import ImportEvent
from geographer.storage.events.payload import Count, Counted, Digest, Listed, Name, RecipeRecord, UserColumn


class PatchSide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A revision that the patch leads from or to."""

    digest: Digest
    content_digest: Digest


class AppliedPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"old": "from", "new": "to"}):
    """The patch: the revisions that it leads from and to, and how many objects it changes."""

    old: PatchSide
    new: PatchSide
    objects: Count


class ColumnNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of user columns of features and of rasters."""

    feature: list[str]
    raster: list[str]


EventPosition = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
RowPlace = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Orders = dict[str, tuple[EventPosition, RowPlace]]


class ObjectOrders(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Places in the order of addition by id: the position of an event, and the place in it."""

    feature: Orders
    raster: Orders


class ResolvedConflict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A conflict of the patch with the head: the object, and the column that both changed (null: the whole object)."""

    table: str
    key: dict[str, str]
    column: str | None


class PatchApplied(ImportEvent, kw_only=True, frozen=True):
    """A patch was applied to the head.

    `moved` says that the head was not the revision that the patch leads from; then chips, labels and splits follow with
    the next update. `remembered` are rasters that recipes leave out from now on, `forgotten` those that they no longer
    leave out. Dropped columns come before the others, so that a column can get another type. `order` has the places of
    objects that do not follow all others.
    """

    kind: ClassVar[str] = "patch_applied"
    tables = (
        *("class_change", "feature_change", "raster_change", "label_change", "label_object_change", "split_change"),
        "recipe_input",
    )
    is_optional: ClassVar[bool] = True
    keeps_row_order: ClassVar[bool] = True
    lists_removals: ClassVar[bool] = True

    patch: AppliedPatch
    moved: bool
    dropped_columns: ColumnNames
    recipes: Annotated[list[ImportedRecipe], Listed("recipe")]
    removed_recipes: Annotated[list[Name], Listed("removed recipe")]
    remembered: list[str]
    forgotten: list[str]
    order: ObjectOrders
    classes: Annotated[Count, Counted("class")]
    features: Annotated[Count, Counted("feature")]
    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]
    splits: Annotated[Count, Counted("split assignment")]
    already_applied: Annotated[Count, Counted("object", "already as in the patch")]
    combined: Annotated[Count, Counted("feature", "combined")]
    left_out: Annotated[Count, Counted("derived object", "left out")]
    on_conflict: Literal["fail", "ours", "theirs"]
    conflicts: list[ResolvedConflict]
    warnings: list[str]

    def iter_user_columns(self) -> Iterator[UserColumn]:
        """See `EventPayload.iter_user_columns`."""
        for subject, names in msgspec.structs.asdict(self.dropped_columns).items():
            yield from (UserColumn(subject, name, None) for name in names)
        yield from super().iter_user_columns()

    def iter_recipes(self) -> Iterator[RecipeRecord]:
        """See `EventPayload.iter_recipes`."""
        for recipe in self.recipes:
            yield RecipeRecord(recipe.name, recipe.kind, recipe.parameters)

    def iter_removed_recipes(self) -> Iterator[str]:
        """See `EventPayload.iter_removed_recipes`."""
        yield from self.removed_recipes

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        if self.conflicts:
            count = len(self.conflicts)
            kept = "kept as ours" if self.on_conflict == "ours" else "replaced by theirs"
            yield f"{count:,} conflict{'s' if count > 1 else ''} {kept}"

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`."""
        columns = self.columns.feature or self.columns.raster
        dropped = self.dropped_columns.feature or self.dropped_columns.raster
        recipes = self.recipes or self.removed_recipes or self.remembered or self.forgotten
        return not (columns or dropped or recipes)
