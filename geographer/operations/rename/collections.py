"""Rename a collection: its rasters, the folders of its files and labels, and the recipes that use it."""

from pathlib import Path
from typing import Annotated, ClassVar, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names
from geographer.operations.rename.events import CollectionRenamed
from geographer.operations.rename.renamed_recipes import (
    NEW_NAME,
    OLD_NAME,
    count_rows,
    describe_renaming,
    iter_warnings,
    list_collections,
    make_input_rows,
    make_renamed_recipes,
    require_new_name,
)
from geographer.planning.recipe import list_recipes
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request

RENAMED_RASTERS: Final = Path(__file__).with_name("renamed_rasters.sql")
MOVED_LABELS: Final = Path(__file__).with_name("moved_labels.sql")
_RELATIONS: Final = {"raster_change": "renamed_raster_row", "label_change": "moved_label_row"}
_CATALOGUE: Final = "catalogue"
_KEPT_CHIPS: Final = (
    "SELECT 1 FROM current_raster WHERE collection = $name AND recipe = $name AND parent_id IS NOT NULL LIMIT 1"
)


class RenameCollection(Request, frozen=True):
    """Give a collection another name, with the folders of its files and labels; their bytes stay as they are.

    Ids stay, and so does the history. Recipes that use the collection follow. A collection of chips is renamed with its
    recipe: rename recipe.
    """

    event: ClassVar[type[CollectionRenamed]] = CollectionRenamed
    example = "rename collection source scenes"

    old_name: Annotated[str, OLD_NAME._replace(kind="collection")]
    new_name: Annotated[str, NEW_NAME]

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the renaming.

        Raises:
            NotFoundError: There is no such collection.
            ConflictError: A recipe makes it, or the new name is taken.
            UsageError: The name is not one of a folder; or it is that of the catalogue.
        """
        recipes = list_recipes(revision)
        known = {*list_collections(revision)} | {recipe.made_collection for recipe in recipes} - {None}
        known |= {recipe.name for recipe in recipes if recipe.makes_chips}
        if self.old_name not in known:
            raise NotFoundError(
                f"no collection '{self.old_name}'.{describe_renaming(revision, 'collection', self.old_name)} The "
                f"collections are: {quote_names(sorted(filter(None, known)), limit=20) or 'none yet'}."
            )
        if any(recipe.name == self.old_name and recipe.makes_chips for recipe in recipes):
            raise ConflictError(
                f"collection '{self.old_name}' has the chips of the recipe of that name. Rename both at once: "
                f"geographer rename recipe {self.old_name} {self.new_name}"
            )
        if _CATALOGUE in (self.old_name, self.new_name):
            raise UsageError(f"'{_CATALOGUE}' is the collection of the footprints of add catalogue. It has that name.")
        require_new_name(revision, "collection", self.old_name, self.new_name)
        renamed = make_renamed_recipes(revision, (self.old_name, self.new_name))
        counts = self._stage_rows(revision)
        event = CollectionRenamed(
            old_name=self.old_name,
            new_name=self.new_name,
            recipes=renamed,
            rasters=counts["raster_change"],
            labels=counts["label_change"],
            warnings=list(iter_warnings(revision, "collection", self.old_name)),
        )
        rows = {table: relation for table, relation in _RELATIONS.items() if counts[table]}
        return Change(event, {**rows, **make_input_rows(revision, renamed)})

    def _stage_rows(self, revision: Revision) -> dict[str, int]:
        """Stage the rows of rasters and labels, and return their numbers by log table."""
        # Chips that were kept when their recipe was removed name it still: a new one of that name must not have them.
        has_kept_chips = revision.fetch_value(_KEPT_CHIPS, {"name": self.old_name}) is not None
        recipe = self.old_name if has_kept_chips else None
        names = {"collection": self.old_name, "recipe": recipe, "name": self.new_name}
        for script in (RENAMED_RASTERS, MOVED_LABELS):
            run_script(revision.connection, script.read_text(), names)
        return count_rows(revision, _RELATIONS)
