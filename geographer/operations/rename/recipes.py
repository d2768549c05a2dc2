"""Rename a recipe: with the collection of its chips, the folder of its labels, or its split."""

from pathlib import Path
from typing import Annotated, ClassVar, Final

from geographer.base.errors import NotFoundError, quote_names
from geographer.operations.rename.collections import MOVED_LABELS, RENAMED_RASTERS
from geographer.operations.rename.events import RecipeRenamed
from geographer.operations.rename.renamed_recipes import (
    NEW_NAME,
    OLD_NAME,
    count_rows,
    describe_renaming,
    iter_warnings,
    make_input_rows,
    make_renamed_recipes,
    require_new_name,
)
from geographer.planning.recipe import list_recipes
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

_RENAMED_LABELS: Final = Path(__file__).with_name("renamed_labels.sql")
_RELATIONS: Final = {
    "raster_change": "renamed_raster_row",
    "label_change": "renamed_label_row",
    "label_object_change": "relabelled_object_row",
    "split_change": "renamed_split_row",
}
_CHIP_RELATIONS: Final = {"label_change": "moved_label_row"}
"""What differs for recipes of chips, which have no labels themselves."""


class RenameRecipe(Request, frozen=True):
    """Give a recipe another name, with the collection of its chips, its labels or its split; bytes stay as they are.

    Ids of rasters stay: those of chips begin with the name that the recipe had when it cut them. The history of the
    recipe goes on under the new name, and update makes nothing again. Recipes that use its chips follow.
    """

    event: ClassVar[type[RecipeRenamed]] = RecipeRenamed
    example = "rename recipe chips tiles"

    old_name: Annotated[str, OLD_NAME]
    new_name: Annotated[str, NEW_NAME]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the renaming.

        Raises:
            NotFoundError: There is no such recipe.
            ConflictError: The new name is taken.
            UsageError: The new name is not one of a folder.
        """
        recipes = list_recipes(revision)
        recipe = next((recipe for recipe in recipes if recipe.name == self.old_name), None)
        if recipe is None:
            raise NotFoundError(
                f"no recipe '{self.old_name}'.{describe_renaming(revision, 'recipe', self.old_name)} The recipes are: "
                f"{quote_names([item.name for item in recipes], limit=20) or 'none yet'}."
            )
        require_new_name(revision, "recipe", self.old_name, self.new_name)
        names = (self.old_name, self.new_name)
        renamed = make_renamed_recipes(revision, names if recipe.makes_chips else None, names)
        _stage_rows(revision, *names, collection=self.old_name if recipe.makes_chips else None)
        relations = {**_RELATIONS, **(_CHIP_RELATIONS if recipe.makes_chips else {})}
        counts = count_rows(revision, relations)
        event = RecipeRenamed(
            old_name=self.old_name,
            new_name=self.new_name,
            recipes=renamed,
            collection=recipe.makes_chips,
            rasters=counts["raster_change"],
            # Labels and assignments have a row for either name; labels of chips only one with the new folder.
            labels=counts["label_change"] // (1 if recipe.makes_chips else 2),
            splits=counts["split_change"] // 2,
            warnings=list(iter_warnings(revision, "recipe", self.old_name)),
        )
        rows = {table: relation for table, relation in relations.items() if counts[table]}
        return Change(event, {**rows, **make_input_rows(revision, renamed, names)})


def _stage_rows(revision: Revision, old_name: str, new_name: str, *, collection: str | None) -> None:
    """Stage the rows of rasters, labels, objects and assignments; `collection` is that of the recipe's chips."""
    names = {"recipe": old_name, "name": new_name, "collection": collection}
    scripts = [_RENAMED_LABELS, RENAMED_RASTERS, *([MOVED_LABELS] if collection else [])]
    for script in scripts:
        run_script(revision.connection, script.read_text(), names)
