"""Find the labels of a dataset that are up to date, and what each of them depends on; the merge imports these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeGuard

import pyarrow as pa

from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelCustom
from geographer.operations.label.masks import LabelInstances, LabelMask
from geographer.planning.up_to_date_labels import UpToDateLabels

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.planning.recipe import Recipe
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_LABELS: Final = _FOLDER / "up_to_date_labels.sql"
_OBJECT_ORDER: Final = _FOLDER / "object_order_on_labels.sql"
_NO_LABELS: Final = pa.schema(
    dict.fromkeys(("label", "raster_id"), pa.string())
    | dict.fromkeys(("west", "south", "east", "north", "lon_shift"), pa.float64())
    | dict.fromkeys(("by_order", "by_name"), pa.bool_())
).empty_table()
_NO_OBJECTS: Final = pa.schema(
    dict.fromkeys(("label", "raster_id", "feature_id"), pa.string()) | {"order_index": pa.int64()}
).empty_table()


def find_up_to_date_labels(revision: Revision, load_recipe: Callable[[str, str, str], Recipe]) -> UpToDateLabels:
    """Return the labels of a revision that their recipes would not remake, and what they depend on.

    Custom labels and masks with an SQL expression are excluded, because what they depend on cannot be determined; so
    are labels whose recipe cannot run at this revision. `load_recipe` makes a recipe from its name, kind and JSON text.
    """
    labels, object_order, settings = [_NO_LABELS], [_NO_OBJECTS], {}
    for row in revision.fetch_rows("SELECT name, kind, parameters FROM recipes WHERE kind LIKE 'label%'"):
        recipe = load_recipe(*row)
        if not _has_known_dependencies(recipe):
            continue
        try:
            settings[recipe.name] = recipe.stage_outdated_labels(revision)
        except (UsageError, NotFoundError):
            continue
        parameters = {"name": recipe.name, "by_order": _depends_on_order(recipe)}
        object_order.append(revision.fetch_arrow(_OBJECT_ORDER.read_text(), parameters))
        parameters["by_name"] = isinstance(recipe, LabelBoxes)
        labels.append(revision.fetch_arrow(_LABELS.read_text(), parameters))
    return UpToDateLabels(pa.concat_tables(labels), pa.concat_tables(object_order), settings)


def _has_known_dependencies(recipe: Recipe) -> TypeGuard[LabelRecipe]:
    if isinstance(recipe, LabelCustom) or not isinstance(recipe, LabelRecipe):
        return False
    return not (isinstance(recipe, LabelMask) and recipe.ignore_where is not None)


def _depends_on_order(recipe: LabelRecipe) -> bool:
    """Return whether a label depends on the order of addition: it numbers instances, lists boxes, and breaks ties."""
    if isinstance(recipe, LabelMask):
        return recipe.overlap != "class-order"
    return isinstance(recipe, LabelInstances | LabelBoxes)
