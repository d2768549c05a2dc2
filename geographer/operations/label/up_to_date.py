"""Which labels show what their rasters show, by their own recipes, and what of a dataset that depends on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeGuard

import pyarrow as pa

from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelOwn
from geographer.operations.label.instances import LabelInstances
from geographer.operations.label.mask import LabelMask
from geographer.planning.up_to_date_labels import UpToDateLabels

if TYPE_CHECKING:
    from collections.abc import Callable

    from geographer.planning.recipe import Recipe
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_LABELS: Final = _FOLDER / "up_to_date_labels.sql"
_OBJECTS: Final = _FOLDER / "object_order_on_labels.sql"
_LABELS_NONE: Final = pa.table(
    {
        **{name: pa.array([], pa.string()) for name in ("label", "raster_id")},
        **{name: pa.array([], pa.float64()) for name in ("west", "south", "east", "north", "turn")},
        **{name: pa.array([], pa.bool_()) for name in ("by_order", "by_name")},
    }
)
_OBJECTS_NONE: Final = pa.table(
    {
        **{name: pa.array([], pa.string()) for name in ("label", "raster_id", "feature_id")},
        "place": pa.array([], pa.int64()),
    }
)


def find_up_to_date_labels(revision: Revision, load_recipe: Callable[[str, str, str], Recipe]) -> UpToDateLabels:
    """The labels of a revision that stand, by what their own recipes would make again, and what they depend on.

    Left out are labels that a person's own code draws, those whose recipe can't run on this revision, and masks that
    an SQL expression has a part in: it may read differently beside other columns.
    """
    labels, objects, forms = [], [], {}
    for row in revision.fetch_rows("SELECT name, kind, parameters FROM recipes WHERE kind LIKE 'label%'"):
        recipe = load_recipe(*row)
        if not _can_be_told(recipe):
            continue
        try:
            forms[recipe.name] = recipe.look_up(revision)
        except (UsageError, NotFoundError):
            continue
        values = {"name": recipe.name, "by_order": _by_order(recipe), "by_name": isinstance(recipe, LabelBoxes)}
        labels.append(revision.fetch_arrow(_LABELS.read_text(), values))
        objects.append(
            revision.fetch_arrow(_OBJECTS.read_text(), {"name": recipe.name, "by_order": values["by_order"]})
        )
    return UpToDateLabels(pa.concat_tables([_LABELS_NONE, *labels]), pa.concat_tables([_OBJECTS_NONE, *objects]), forms)


def _can_be_told(recipe: Recipe) -> TypeGuard[LabelRecipe]:
    if isinstance(recipe, LabelOwn) or not isinstance(recipe, LabelRecipe):
        return False
    return not (isinstance(recipe, LabelMask) and recipe.ignore_where is not None)


def _by_order(recipe: LabelRecipe) -> bool:
    """Instances are numbered in that order, boxes listed in it, and among equals the last of it lies on top."""
    if isinstance(recipe, LabelMask):
        return recipe.overlap != "class-order"
    return isinstance(recipe, LabelInstances | LabelBoxes)
