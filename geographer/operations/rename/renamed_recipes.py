"""Renamed recipes: the recipes that have or use a name, as the event of a renaming records them, with their inputs."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.base.parameters import Parameter
from geographer.base.values import validate_name
from geographer.planning.recipe import list_recipe_records
from geographer.planning.recipe_events import PlacedRecipe, RecipePlace
from geographer.planning.shared_parameters import NAME_SCHEMA
from geographer.planning.up_to_date_labels import read_last_settings
from geographer.storage.database.connection import escape_literal, run_script
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.queries.renamings import find_later_name, list_renamings, stage_renamings
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import pyarrow as pa

OLD_NAME: Final = Parameter("The present name.", "OLD", cli="argument", schema=NAME_SCHEMA, kind="recipe")
NEW_NAME: Final = Parameter("The new name.", "NEW", cli="argument", schema=NAME_SCHEMA)

_COLLECTION_PARAMETERS: Final = {"cut": "source", "download": "into"}
"""The parameter that names the collection of a recipe, by the first word of its kind; of others it is `collection`."""
_PLACES: Final = "SELECT name, generation, added_by, place FROM state.recipe WHERE is_current(valid_from, valid_to)"
_RECIPE_INPUTS: Final = Path(__file__).with_name("renamed_inputs.sql")
_COLLECTIONS: Final = "SELECT DISTINCT collection FROM current_raster ORDER BY collection"


def list_collections(revision: Revision) -> list[str]:
    """Return the collections that have rasters."""
    return [name for (name,) in revision.fetch_rows(_COLLECTIONS)]


def get_used_collection(record: RecipeRecord) -> str | None:
    """Return the collection that a recipe reads, or that it downloads to."""
    name: str | None = record.parameters.get(_COLLECTION_PARAMETERS.get(record.kind.partition(" ")[0], "collection"))
    return name


def require_new_name(revision: Revision, subject: str, old_name: str, new_name: str) -> None:
    """Raise unless a collection or a recipe can get a name.

    Raises:
        UsageError: the name is the present one, or cannot be that of a folder.
        ConflictError: a recipe or a collection has the name, or one that differs by case only.
    """
    validate_name(subject, new_name)
    if new_name == old_name:
        raise UsageError(f"{subject} '{old_name}' has that name already. Choose another name.")
    taken = {record.name: "recipe" for record in list_recipe_records(revision)}
    taken |= dict.fromkeys(list_collections(revision), "collection")
    for name, kind in sorted(taken.items()):
        if name == new_name:
            raise ConflictError(f"a {kind} '{name}' exists already. Choose another name.")
        if name.lower() == new_name.lower():
            raise ConflictError(
                f"'{new_name}' and the {kind} '{name}' differ by case only, which some file systems ignore. Choose "
                "another name; to change the case, rename twice."
            )


def describe_renaming(revision: Revision, subject: str, name: str) -> str:
    """Return the sentence that something was renamed; empty if it was not."""
    later = find_later_name(list_renamings(revision), subject, name, 0)
    return f" It was renamed: '{later}'." if later else ""


def make_renamed_recipes(
    revision: Revision, collection: tuple[str, str] | None, recipe: tuple[str, str] | None = None
) -> list[PlacedRecipe]:
    """Return the recipes that change if a collection, or a recipe, or both, get another name (old, new).

    A recipe that gets another name keeps its place in the order of recipes, and the settings of its labels.
    """
    stage_renamings(revision)
    places = {name: RecipePlace(*place) for name, *place in revision.fetch_rows(_PLACES)}
    return [
        PlacedRecipe(
            name=after.name,
            kind=after.kind,
            parameters=after.parameters,
            form=_read_form(revision, before),
            order=UNSET if after.name == before.name else places[before.name],
        )
        for before in list_recipe_records(revision)
        if (after := _rename_record(before, collection, recipe)) != before
    ]


def _rename_record(
    record: RecipeRecord, collection: tuple[str, str] | None, recipe: tuple[str, str] | None
) -> RecipeRecord:
    parameters, name = dict(record.parameters), record.name
    if collection is not None and get_used_collection(record) == collection[0]:
        key = _COLLECTION_PARAMETERS.get(record.kind.partition(" ")[0], "collection")
        parameters[key] = collection[1]
    if recipe is not None and name == recipe[0]:
        name = recipe[1]
    return RecipeRecord(name, record.kind, parameters)


def _read_form(revision: Revision, record: RecipeRecord) -> Any:
    if not record.kind.startswith("label"):
        return UNSET
    return msgspec.to_builtins(read_last_settings(revision, record.name))


def count_rows(revision: Revision, relations: Mapping[str, str]) -> dict[str, int]:
    """Return the numbers of the staged rows, by log table."""
    return {
        table: revision.fetch_value(f"SELECT count(*) FROM {relation}")  # noqa: S608
        for table, relation in relations.items()
    }


def make_input_rows(
    revision: Revision, recipes: Iterable[PlacedRecipe], recipe: tuple[str, str] | None = None
) -> "dict[str, pa.Table]":
    """Return the rows of what recipes read (boxes, and what selectors chose), as the event records them again."""
    names = {item.name: item.name for item in recipes}
    if recipe is not None:
        names[recipe[1]] = recipe[0]
    values = {"names": list(names), "old_names": list(names.values())}
    run_script(revision.connection, _RECIPE_INPUTS.read_text(), values)
    rows = revision.fetch_arrow("FROM input_with_new_name ORDER BY recipe, subject, order_index, object_id")
    return {"recipe_input": rows.drop_columns(["order_index"])} if len(rows) else {}


def iter_warnings(revision: Revision, subject: str, old_name: str) -> Iterator[str]:
    """Yield a warning for each recipe whose SQL mentions a name: SQL is not rewritten."""
    quoted = f"'{escape_literal(old_name)}'"
    for record in list_recipe_records(revision):
        if any(isinstance(value, str) and quoted in value for value in record.parameters.values()):
            yield (
                f"recipe '{record.name}' has SQL that mentions the {subject} {quote_names([old_name])}, and keeps it. "
                "Run the recipe again with --replace and the new name"
            )
