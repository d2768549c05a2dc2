"""The events of renamings: what has the new name is the same thing as before."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from geographer.planning.recipe_events import PlacedRecipe, find_recipe_place
from geographer.planning.user_columns import ColumnsEvent
from geographer.storage.events.payload import Count, Counted, EventPayload, Name, RecipeRecord, Renaming

ClassName = Annotated[str, Meta(min_length=1)]


class RecipesEvent(EventPayload, kw_only=True, frozen=True):
    """A collection or recipe got another name; `recipes` are those that have or use it, as they are now.

    `warnings` name what mentions the old name and was not changed.
    """

    old_name: Name
    new_name: Name
    recipes: list[PlacedRecipe]
    warnings: list[str]

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield f"'{self.old_name}' is now '{self.new_name}'"
        yield from super().iter_phrases()

    def iter_recipes(self) -> Iterator[RecipeRecord]:
        """See `EventPayload.iter_recipes`."""
        for recipe in self.recipes:
            yield RecipeRecord(recipe.name, recipe.kind, recipe.parameters)

    def find_recipe_order(self, name: str, /) -> tuple[int, str, int] | None:
        """See `EventPayload.find_recipe_order`."""
        return find_recipe_place(self.recipes, name)


class CollectionRenamed(RecipesEvent, kw_only=True, frozen=True):
    """A collection was renamed, with the folders of its files and labels; the recipes that use it follow."""

    kind: ClassVar[str] = "collection_renamed"
    renames: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = ("raster_change", "label_change", "recipe_input")

    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]

    def iter_renamings(self) -> Iterator[Renaming]:
        """See `EventPayload.iter_renamings`."""
        yield Renaming("collection", self.old_name, self.new_name)


class RecipeRenamed(RecipesEvent, kw_only=True, frozen=True):
    """A recipe was renamed, with the collection of its chips, its labels or its split."""

    kind: ClassVar[str] = "recipe_renamed"
    renames: ClassVar[bool] = True
    tables: ClassVar[tuple[str, ...]] = (
        *("raster_change", "label_change", "label_object_change", "split_change", "recipe_input"),
    )

    collection: bool
    rasters: Annotated[Count, Counted("raster")]
    labels: Annotated[Count, Counted("label")]
    splits: Annotated[Count, Counted("split assignment")]

    @property
    def removed_recipe(self) -> str:
        """See `EventPayload.removed_recipe`."""
        return self.old_name

    def iter_renamings(self) -> Iterator[Renaming]:
        """See `EventPayload.iter_renamings`; `collection`: the chips of the recipe form a collection."""
        yield Renaming("recipe", self.old_name, self.new_name)
        if self.collection:
            yield Renaming("collection", self.old_name, self.new_name)


class ClassRenamed(ColumnsEvent, kw_only=True, frozen=True):
    """A class was renamed and keeps its value; `kept_labels` are the recipes whose labels do not depend on its name.

    The column of its probabilities is renamed, too; a null type in `columns` means that the column is no more.
    """

    kind: ClassVar[str] = "class_renamed"
    renames: ClassVar[bool] = True
    subject: ClassVar[str] = "feature"
    tables: ClassVar[tuple[str, ...]] = ("class_change", "feature_change", "label_object_change")
    moves_classes: ClassVar[bool] = True

    old_name: ClassName
    new_name: ClassName
    columns: dict[str, Literal["BOOLEAN", "BIGINT", "DOUBLE", "VARCHAR", "DATE", "TIMESTAMP"] | None]
    features: Annotated[Count, Counted("feature")]
    kept_labels: list[Name]
    warnings: list[str]

    def iter_phrases(self) -> Iterator[str]:
        """See `EventPayload.iter_phrases`."""
        yield f"'{self.old_name}' is now '{self.new_name}'"
        yield from super().iter_phrases()

    def iter_renamings(self) -> Iterator[Renaming]:
        """See `EventPayload.iter_renamings`."""
        yield Renaming("class", self.old_name, self.new_name)

    def iter_class_targets(self) -> Iterator[tuple[str, str | None]]:
        """See `EventPayload.iter_class_targets`."""
        yield self.old_name, self.new_name
