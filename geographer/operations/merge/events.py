"""The events of merges, of resolved conflicts and of reverted events."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from geographer.base.text import format_count
from geographer.planning.recipe_events import PlacedRecipe, find_recipe_place
from geographer.planning.user_columns import ImportEvent
from geographer.storage.events.payload import Count, Counted, Digest, Listed, Name, RecipeRecord, UserColumn
from geographer.storage.events.row_tables import MERGE_TABLES

OnConflict = Literal["list", "ours", "theirs"]
Position = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class MergedTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tag of the other parent; `position` is the one that it had where it was set."""

    tag: Name
    position: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    digest: Digest
    content_digest: Digest
    merkle_root: Digest | None
    version: str | None


class DroppedColumns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of user columns of features and of rasters that the result lacks."""

    feature: list[str]
    raster: list[str]


class SettledConflict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A conflict with the side that was taken: the object, and its column (null: all of it)."""

    subject: str
    object_id: str
    column: str | None
    take: str


class CombinedEvent(ImportEvent, kw_only=True, frozen=True):
    """Objects as a comparison of three revisions gives them. Dropped columns come before the others."""

    tables = (
        *("class_change", "feature_change", "raster_change", "label_change", "label_object_change", "split_change"),
        "recipe_input",
    )
    row_tables: ClassVar[tuple[tuple[str, str, str], ...]] = MERGE_TABLES
    is_optional: ClassVar[bool] = True
    lists_removals: ClassVar[bool] = True

    dropped_columns: DroppedColumns
    recipes: Annotated[list[PlacedRecipe], Listed("recipe")]
    removed_recipes: Annotated[list[Name], Listed("removed recipe")]
    remembered: list[str]
    forgotten: list[str]
    tags: list[MergedTag]
    classes: Annotated[Count, Counted("class")]
    features: Annotated[Count, Counted("feature")]
    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]
    splits: Annotated[Count, Counted("split assignment")]
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

    def find_recipe_order(self, name: str, /) -> tuple[int, str, int] | None:
        """See `EventPayload.find_recipe_order`."""
        return find_recipe_place(self.recipes, name)

    def iter_removed_recipes(self) -> Iterator[str]:
        """See `EventPayload.iter_removed_recipes`."""
        yield from self.removed_recipes

    def iter_merged_tags(self) -> Iterator[Any]:
        """See `EventPayload.iter_merged_tags`."""
        yield from self.tags

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield from super().iter_phrases()
        if self.tags:
            yield format_count(len(self.tags), "tag")

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`."""
        columns = self.columns.feature or self.columns.raster
        dropped = self.dropped_columns.feature or self.dropped_columns.raster
        recipes = self.recipes or self.removed_recipes or self.remembered or self.forgotten
        return not (columns or dropped or recipes or self.tags)


class MergedRevision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The merged revision as it was requested, its position on its chain, and its digest."""

    revision: str
    position: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    digest: Digest


class BranchMerged(CombinedEvent, kw_only=True, frozen=True):
    """A revision of another branch was merged; the rows are what changes for the first parent.

    `bases` are the last common events, `common` is the last position that the chains of both parents share.
    `follows_published` says that the merged revision is the first parent. Labels that come from the other parent
    are made again if a feature, a class or a raster changed after the position `labels_up_to`.
    `renumbered` are classes that got another value. `conflicts` are those left open, `settled` the others.
    """

    kind: ClassVar[str] = "branch_merged"
    is_optional: ClassVar[bool] = False

    merged: MergedRevision
    bases: list[Digest]
    common: Position
    follows_published: bool
    labels_up_to: Position
    renumbered: Annotated[list[str], Listed("renumbered class")]
    on_conflict: OnConflict
    conflicts: Annotated[Count, Counted("conflict", "to resolve")]
    settled: list[SettledConflict]

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield self.merged.revision
        yield from super().iter_phrases()
        if self.settled:
            taken = "kept as ours" if self.on_conflict == "ours" else "replaced by theirs"
            yield f"{format_count(len(self.settled), 'conflict')} {taken}"


class ConflictsResolved(CombinedEvent, kw_only=True, frozen=True):
    """Conflicts of a merge were resolved; the rows are the values that were chosen."""

    kind: ClassVar[str] = "conflicts_resolved"

    settled: Annotated[list[SettledConflict], Meta(min_length=1)]

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield format_count(len(self.settled), "conflict")
        yield from super().iter_phrases()


class RevertedEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The event whose effect was undone."""

    position: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    digest: Digest
    kind: str


class EventReverted(CombinedEvent, kw_only=True, frozen=True):
    """The effect of an event was undone; what changed since in other objects and columns stays."""

    kind: ClassVar[str] = "event_reverted"
    is_optional: ClassVar[bool] = True
    moves_classes: ClassVar[bool] = True

    reverted: RevertedEvent

    @property
    def reverted_digest(self) -> str:
        """See `EventPayload.reverted_digest`."""
        return self.reverted.digest

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield f"@{self.reverted.position} {self.reverted.kind}"
        yield from super().iter_phrases()
