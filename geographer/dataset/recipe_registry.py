"""The classes of recipes by kind, and the recipes that the log records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from geographer.archives.base import SOURCES
from geographer.base.errors import ConflictError
from geographer.base.plugins import PluginRef
from geographer.base.values import Size
from geographer.operations.cut.around import CutAround
from geographer.operations.cut.boxes import CutBoxes
from geographer.operations.cut.cover import CutCover
from geographer.operations.cut.custom import CUTTERS, CutCustom
from geographer.operations.cut.grid import CutGrid
from geographer.operations.download.recipe import DownloadRecipe
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelCustom
from geographer.operations.label.masks import LabelInstances, LabelMask, LabelMultilabel
from geographer.operations.label.probabilities import LabelProbabilities
from geographer.operations.split.recipe import Split
from geographer.planning.selection import SELECTORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.planning.recipe import Recipe
    from geographer.storage.queries.revision import Revision

_CUTS: Final = (CutAround, CutGrid, CutBoxes, CutCover, CutCustom)
_LABELS: Final = (LabelMask, LabelProbabilities, LabelInstances, LabelMultilabel, LabelBoxes, LabelCustom)

RECIPE_CLASSES: Final[dict[str, Callable[..., Recipe]]] = {
    kind.kind: kind for kind in (DownloadRecipe, *_CUTS, *_LABELS, Split)
}

_PLUGIN_KINDS: Final = {"where": SELECTORS, "rasters_where": SELECTORS, "cutter": CUTTERS, "archive": SOURCES}
"""The parameters that can be a plugin, which is a JSON object in the log."""


def load_recipe(name: str, kind: str, parameters: str) -> Recipe:
    """Return the recipe that the log records under a name, whichever version recorded it."""
    fields = {
        key: PluginRef(_PLUGIN_KINDS[key], *value.values())
        if key in _PLUGIN_KINDS and isinstance(value, dict)
        else _lists_to_tuples(value)
        for key, value in json.loads(parameters).items()
    }
    if kind.startswith("cut"):
        fields = _upcast_cut_parameters(kind, fields)
    return RECIPE_CLASSES[kind](name=name, **fields)


def check_recipe_unchanged(revision: Revision, recipe: Recipe) -> bool:
    """Return whether the dataset already has this recipe.

    Raises:
        ConflictError: the name belongs to another recipe, or to a collection that no recipe made.
    """
    recorded = revision.fetch_rows("SELECT kind, parameters FROM recipes WHERE name = $name", {"name": recipe.name})
    if recorded:
        kind, parameters = recorded[0]
        if load_recipe(recipe.name, kind, parameters) != recipe:
            difference = _describe_differences(recipe, kind, parameters)
            raise ConflictError(
                f"recipe '{recipe.name}' exists as a {kind} recipe{difference}. Choose another name, run geographer "
                "update for that recipe, or remove it with geographer remove recipe (--keep keeps its outputs)."
            )
        return True
    if revision.fetch_value("SELECT 1 FROM current_raster WHERE collection = $name LIMIT 1", {"name": recipe.name}):
        raise ConflictError(f"a collection '{recipe.name}' exists already. Choose another name for the recipe.")
    return False


def _describe_differences(recipe: Recipe, kind: str, parameters: str) -> str:
    """Return the parameters in which a recorded recipe of the same kind differs."""
    if kind != recipe.kind:
        return ""
    recorded, requested = load_recipe(recipe.name, kind, parameters).to_parameters(), recipe.to_parameters()
    different = [name for name in sorted(recorded) if recorded[name] != requested.get(name)]
    return f" with {', '.join(f'{name} {json.dumps(recorded[name])}' for name in different)}"


def _upcast_cut_parameters(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a cut as the current version has them.

    The first version recorded bands without patterns, and `at_border` instead of `edge` for grids.
    """
    if "size" in fields:
        fields["size"] = Size(*fields["size"])
    bands = fields.get("bands") or ()
    if bands and isinstance(bands[0], int):
        bands = (("*", bands),)
    fields["bands"] = bands
    if kind == CutGrid.kind and "at_border" in fields:
        edge = fields.pop("at_border")
        fields["edge"] = "drop" if edge == "skip" else edge
    return fields


def _lists_to_tuples(value: Any) -> Any:
    return tuple(_lists_to_tuples(item) for item in value) if isinstance(value, list) else value
