"""Names in a merge: recipes and collections of the source dataset, checked against this dataset's."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.values import validate_name
from geographer.operations.merge.source_dataset import RecipeRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geographer.operations.merge.source_dataset import SourceDataset
    from geographer.storage.queries.revision import Revision

OnEqualId = Literal["ours", "theirs"]

_COLLECTION_PARAMETERS: Final = ("source", "collection", "into")
"""Recipe parameters that name a collection."""


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """Options of a merge, as in `Dataset.import_dataset`; the event's request records them."""

    on_equal_id: OnEqualId | None = None
    prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)

    def rename_name(self, name: str) -> str:
        """Return the new name of a recipe or collection."""
        return self.rename.get(name, name)


def check_options(source: SourceDataset, options: MergeOptions) -> None:
    """Check the prefix and the renamed names.

    Raises:
        NotFoundError: A name to rename does not exist.
        UsageError: A prefix or new name is invalid, or two names become equal.
    """
    if options.prefix:
        validate_name("prefix", options.prefix)
    names = {recipe.name for recipe in source.recipes} | source.list_collections()
    unknown = sorted(set(options.rename) - names)
    if unknown:
        raise NotFoundError(
            f"no recipe or collection {quote_names(unknown)} to rename in '{source.root}'. "
            f"It has {quote_names(sorted(names)) or 'none'}."
        )
    for name in options.rename.values():
        validate_name("recipe", name)
    repeated = sorted(name for name, count in Counter(map(options.rename_name, names)).items() if count > 1)
    if repeated:
        raise UsageError(
            f"several recipes or collections would have the name {quote_names(repeated)}. Change --rename."
        )


def select_new_recipes(revision: Revision, source: SourceDataset, options: MergeOptions) -> list[RecipeRecord]:
    """Return the renamed recipes of the source dataset that this dataset lacks.

    Raises:
        ConflictError: A name belongs to a recipe with other parameters, or to a collection of another kind.
    """
    rows = revision.fetch_rows("SELECT name, kind, parameters FROM recipes")
    existing = {row[0]: RecipeRecord(*row) for row in rows}
    incoming = [_rename_recipe(recipe, options) for recipe in source.recipes]
    different = [recipe.name for recipe in incoming if existing.get(recipe.name, recipe) != recipe]
    if different:
        recipe = existing[different[0]]
        raise ConflictError(
            f"{quote_objects('recipe', different, 'has|have')} other parameters here ({recipe.kind} "
            f"{recipe.parameters}). "
            f"Import it under another name with --rename {different[0]}=NEW."
        )
    added_rasters = {
        row[0] for row in revision.fetch_rows("SELECT DISTINCT collection FROM current_raster WHERE recipe IS NULL")
    }
    existing_cuts = {recipe.name for recipe in existing.values() if recipe.is_cut}
    source_cuts = {recipe.name for recipe in source.recipes if recipe.is_cut}
    incoming_cuts = {recipe.name for recipe in incoming if recipe.is_cut}
    incoming_collections = {options.rename_name(name) for name in source.list_collections() - source_cuts}
    clashing = sorted(incoming_cuts & added_rasters) + sorted(incoming_collections & existing_cuts)
    if clashing:
        raise ConflictError(
            f"collection {quote_names(clashing)} has chips of a recipe in one dataset and added rasters in the other. "
            f"Rename the source dataset's with --rename {clashing[0]}=NEW."
        )
    return [recipe for recipe in incoming if recipe.name not in existing]


def _rename_recipe(recipe: RecipeRecord, options: MergeOptions) -> RecipeRecord:
    parameters = json.loads(recipe.parameters)
    for key in _COLLECTION_PARAMETERS:
        if key in parameters:
            parameters[key] = options.rename_name(parameters[key])
    return RecipeRecord(options.rename_name(recipe.name), recipe.kind, canonical_json(parameters))


def recipe_to_payload(recipe: RecipeRecord, label_settings: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a recipe for the payload, with the settings of its imported labels, so that a change rebuilds them."""
    form = {"form": label_settings[recipe.name]} if recipe.name in label_settings else {}
    return {**recipe._asdict(), "parameters": json.loads(recipe.parameters), **form}
