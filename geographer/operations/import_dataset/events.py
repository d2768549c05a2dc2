"""The event of a merge."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec

from geographer.planning.class_values import ClassNames
from geographer.planning.recipe_events import ImportedRecipe
from geographer.planning.user_columns import ImportEvent
from geographer.storage.events.payload import Count, Counted, Digest, Listed, RecipeRecord


class SourceHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The head of the source dataset's log."""

    position: Count
    digest: Digest


class SourceHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The imported revision as it was requested, what it was, and the head of its log at that time."""

    revision: str | None
    position: Count
    digest: Digest
    content_digest: Digest
    events: Count
    head: SourceHead


class DatasetImported(ImportEvent, kw_only=True, frozen=True):
    """Another dataset was merged at a revision.

    `kept_as_ours` and `replaced_by_theirs` are objects with an equal id and other content; `left_out_chips` were cut
    from a raster that stays as ours. Rows can remove objects that the other dataset removed since the common history.
    """

    kind: ClassVar[str] = "dataset_imported"
    tables = (
        *("class_change", "feature_change", "raster_change", "label_change", "label_object_change", "split_change"),
        "recipe_input",
    )
    is_optional: ClassVar[bool] = True
    keeps_row_order: ClassVar[bool] = True
    is_remembered: ClassVar[bool] = True

    history: SourceHistory
    classes: Annotated[ClassNames, Listed("class")]
    recipes: Annotated[list[ImportedRecipe], Listed("recipe")]
    features: Annotated[Count, Counted("feature")]
    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]
    equal: Annotated[Count, Counted("object", "equal in both datasets")]
    kept_as_ours: Annotated[Count, Counted("object", "kept as ours")]
    replaced_by_theirs: Annotated[Count, Counted("object", "replaced by theirs")]
    left_out_chips: Annotated[Count, Counted("chip", "left out")]
    left_out_labels: Annotated[Count, Counted("label", "left out")]
    left_out_splits: Annotated[Count, Counted("split assignment", "left out")]
    warnings: list[str]

    def iter_recipes(self) -> Iterator[RecipeRecord]:
        """See `EventPayload.iter_recipes`."""
        for recipe in self.recipes:
            yield RecipeRecord(recipe.name, recipe.kind, recipe.parameters)

    @property
    def is_empty(self) -> bool:
        """See `EventPayload.is_empty`."""
        return not self.recipes


class CollectionImported(DatasetImported, kw_only=True, frozen=True):
    """A collection of another dataset was imported, with what its rasters show; `dataset` is that dataset's id.

    `splits` counts the splits whose assignments came along, because no raster was here before. `context_classes` are
    those of the new classes that labels do not draw.
    """

    kind: ClassVar[str] = "collection_imported"
    declares_context: ClassVar[bool] = True
    schema_rules: ClassVar[Mapping[str, Any]] = {"properties": {"request": {"required": ["collection"]}}}

    dataset: Digest
    context_classes: ClassNames
    splits: Annotated[Count, Counted("split assignment")]
