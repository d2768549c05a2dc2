"""Merge recipes by name: this dataset's, the source dataset's, and those of their last common revision."""

from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.base.errors import ConflictError, quote_names, quote_objects
from geographer.operations.import_dataset.source_dataset import SourceDataset, is_cut
from geographer.planning.recipe import list_recipe_records, load_recipe
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from geographer.operations.import_dataset.request import ImportDataset

_COLLECTION_PARAMETERS: Final = ("source", "collection", "into")
"""Recipe parameters that name a collection."""


class MergedRecipes(NamedTuple):
    """The recipes to import: new or changed there; and the names of those that only one dataset removed."""

    imported: list[RecipeRecord]
    removed_here: list[str]
    removed_there: list[str]


def merge_recipes(revision: Revision, source: SourceDataset, request: "ImportDataset") -> MergedRecipes:
    """Return what an import does with each recipe, under the name that it gets here.

    Raises:
        ConflictError: A recipe has other parameters in both datasets, or was removed here and changed there; or the
            name of a recipe belongs to added rasters in the other dataset.
    """
    existing = {record.name: record for record in list_recipe_records(revision)}
    base = {name: (record, rename_recipe(record, request)) for name, record in source.base.recipes.items()}
    if source.base.position:
        base = {name: (record, renamed) for name, (record, renamed) in base.items() if record == renamed}
    merged = MergedRecipes([], [], [])
    different, disputed = [], []
    for record in source.recipes:
        before, before_renamed = base.pop(record.name, (None, None))
        renamed = rename_recipe(record, request)
        ours = existing.get(renamed.name)
        if ours == renamed:
            continue
        if before == record:
            merged.removed_here.extend([renamed.name] if ours is None else [])
        elif ours == before_renamed:
            merged.imported.append(renamed)
        elif ours is not None:
            different.append(renamed)
        elif request.on_equal_id == "theirs":
            merged.imported.append(renamed)
        else:
            merged.removed_here.append(renamed.name)
            disputed.extend([renamed.name] if request.on_equal_id is None else [])
    _raise_conflicts(existing, different, disputed)
    merged.removed_there.extend(renamed.name for _, renamed in base.values() if existing.get(renamed.name) == renamed)
    _reject_collection_clashes(revision, source, request, list(existing.values()))
    return merged


def rename_recipe(recipe: RecipeRecord, request: "ImportDataset") -> RecipeRecord:
    """Return a recipe of the source dataset with the names that it and collections get here."""
    collections = {key: recipe.parameters[key] for key in _COLLECTION_PARAMETERS if key in recipe.parameters}
    renamed = {key: request.rename_name(name) for key, name in collections.items()}
    return RecipeRecord(request.rename_name(recipe.name), recipe.kind, recipe.parameters | renamed)


def _raise_conflicts(existing: dict[str, RecipeRecord], different: list[RecipeRecord], disputed: list[str]) -> None:
    if different:
        name, names = different[0].name, [record.name for record in different]
        ours, theirs = load_recipe(existing[name]), load_recipe(different[0])
        raise ConflictError(
            f"{quote_objects('recipe', names, 'has|have')} other parameters here ('{name}' is a {ours.kind} recipe"
            f"{ours.describe_differences(theirs)}). Import it under another name with --rename {name}=NEW."
        )
    if disputed:
        raise ConflictError(
            f"{quote_objects('recipe', disputed, 'was|were')} removed here, and changed in the other dataset. Pass "
            f"--on-equal-id ours or theirs, or --rename {disputed[0]}=NEW to import it under another name."
        )


def _reject_collection_clashes(
    revision: Revision, source: SourceDataset, request: "ImportDataset", existing: list[RecipeRecord]
) -> None:
    query = "SELECT DISTINCT collection FROM current_raster WHERE recipe IS NULL"
    added_rasters = {collection for (collection,) in revision.fetch_rows(query)}
    existing_cuts, source_cuts = (
        {record.name for record in side if is_cut(record)} for side in (existing, source.recipes)
    )
    incoming_cuts = set(map(request.rename_name, source_cuts))
    incoming_collections = {request.rename_name(name) for name in source.list_collections() - source_cuts}
    if clashing := sorted(incoming_cuts & added_rasters) + sorted(incoming_collections & existing_cuts):
        raise ConflictError(
            f"collection {quote_names(clashing)} has chips of a recipe in one dataset and added rasters in the other. "
            f"Rename the source dataset's with --rename {clashing[0]}=NEW."
        )
