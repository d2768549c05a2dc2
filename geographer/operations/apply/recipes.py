"""Recipes of an applied patch: which to record and to remove, and which of them run code that the head's do not."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import UNSET

from geographer.base.errors import ConflictError, UsageError
from geographer.base.parameters import list_parameters
from geographer.base.plugins import PluginRef
from geographer.base.text import quote_start
from geographer.diff.patch.model import RECIPE, REMOVAL, Order
from geographer.diff.patch.revision_values import ObjectKey, ObjectVersion
from geographer.operations.apply.rows import AppliedRows, RowChange
from geographer.operations.apply.three_way import MergedObject
from geographer.planning.recipe import Recipe, load_recipe
from geographer.planning.recipe_events import ImportedRecipe
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.queries.revision import Revision

_PLUGIN_PARAMETERS: Final = {"cut own": "cutter", "label own": "maker", "download": "source"}
"""The parameter of a kind of recipe that is recorded as name and version of a plugin; a name alone is imported."""


def plan_recipes(applied: AppliedRows, merged: Iterable[MergedObject], ours: Mapping[ObjectKey, ObjectVersion]) -> None:
    """Plan the recipes to record and to remove, each with all its inputs, and the removals to remember and forget."""
    after = {key: version.values for key, version in ours.items() if key[0] in (RECIPE, "recipe_input")}
    orders = {key: version.order for key, version in ours.items() if key[0] == "recipe_input"}
    recorded: dict[str, Order] = {}
    for item in merged:
        change = item.change
        if not item.is_taken:
            continue
        if change.table == REMOVAL:
            (applied.forgotten if item.values is None else applied.remembered).append(change.key[0])
        elif change.table in (RECIPE, "recipe_input"):
            after.pop(change[:2], None)
            if item.values is not None:
                after[change[:2]] = item.values
            if change.table == "recipe_input":
                orders[change[:2]] = change.new_order or orders.get(change[:2])
            if change.table == RECIPE and item.values is None:
                applied.removed_recipes.append(change.key[0])
            else:
                order = change.new_order if change.table == RECIPE and item.ours is None else None
                recorded[change.key[0]] = order or recorded.get(change.key[0], (0, 0))
    for name, _ in sorted(recorded.items(), key=lambda item: (item[1], item[0])):
        if values := after.get((RECIPE, (name,))):
            record = RecipeRecord(name, values["kind"], dict(values["parameters"]))
            recipe = _load_patched_recipe(record)
            known = ours.get((RECIPE, (name,)))
            applied.warnings += _warn_of_code(recipe, known and known.values["parameters"])
            form = UNSET if values["form"] is None else values["form"]
            applied.recipes.append(ImportedRecipe(record.name, record.kind, record.parameters, form))
            for key, input_values in after.items():
                if key[0] == "recipe_input" and key[1][0] == name:
                    applied.rows[key] = RowChange("added", input_values, orders.get(key))


def _load_patched_recipe(record: RecipeRecord) -> Recipe:
    """Return the recipe of a record as a patch has it, which is not checked; no plugin is imported."""
    name = _PLUGIN_PARAMETERS.get(record.kind, "")
    if name in record.parameters and not isinstance(record.parameters[name], Mapping):
        raise UsageError(f"{name} of recipe '{record.name}' in the patch has no version. Write the patch again.")
    try:
        return load_recipe(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"recipe '{record.name}' in the patch has parameters that no recipe has "
            f"({type(error).__name__}: {quote_start(str(error))}). Write the patch again."
        ) from error


def _warn_of_code(recipe: Recipe, known: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield a warning for each plugin of users that the recipe runs, and that the head's recipe does not run."""
    for parameter in list_parameters(type(recipe)):
        plugin = getattr(recipe, parameter.name)
        if not isinstance(plugin, PluginRef) or plugin.name in plugin.kind.built_in:
            continue
        before = (known or {}).get(parameter.log_key or "")
        if not isinstance(before, Mapping) or before.get(plugin.kind.noun) != plugin.name:
            yield f"recipe '{recipe.name}' runs code: {plugin.name}; check it before geographer update"


def check_collections(revision: Revision, applied: AppliedRows) -> None:
    """Raise if a name would be both a collection of added rasters and a recipe of chips."""
    query = "SELECT DISTINCT collection FROM current_raster WHERE recipe IS NULL"
    added = {name for (name,) in revision.fetch_rows(query)}
    query = "SELECT name FROM recipes WHERE starts_with(kind, 'cut ')"
    cuts = {name for (name,) in revision.fetch_rows(query)} - {*applied.removed_recipes}
    cuts |= {recipe.name for recipe in applied.recipes if load_recipe(recipe).makes_chips}
    added |= {
        row.values["collection"]
        for key, row in applied.rows.items()
        if key[0] == "raster_change" and row.values and row.values["recipe"] is None
    }
    if clashing := sorted(cuts & added):
        raise ConflictError(
            f"'{clashing[0]}' would be a collection of added rasters and a recipe of chips. Remove or rename one."
        )
