"""The kinds of recipe, by name: what `update` makes again from the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError
from geographer.base.values import Size
from geographer.operations.cut.around import CutAround
from geographer.operations.cut.boxes import CutBoxes
from geographer.operations.cut.cover import CutCover
from geographer.operations.cut.custom import CutOwn, CutterName
from geographer.operations.cut.grid import CutGrid
from geographer.operations.download.parameters import SourceName
from geographer.operations.download.recipe import Download
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.custom import LabelOwn
from geographer.operations.label.instances import LabelInstances
from geographer.operations.label.mask import LabelMask
from geographer.operations.label.multilabel import LabelMultilabel
from geographer.operations.label.soft import LabelSoft
from geographer.operations.split.recipe import Split
from geographer.planning.recipe import Recipe
from geographer.planning.selection import Selector

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_CUTS: Final = (CutAround, CutGrid, CutBoxes, CutCover, CutOwn)
_LABELS: Final = (LabelMask, LabelSoft, LabelInstances, LabelMultilabel, LabelBoxes, LabelOwn)

KINDS: Final[dict[str, Callable[..., Recipe]]] = {kind.kind: kind for kind in (Download, *_CUTS, *_LABELS, Split)}

_OWN: Final = {"where": Selector, "rasters_where": Selector, "cutter": CutterName, "archive": SourceName}
"""The parameters that can be an extension, which JSON has as an object."""


def load_recipe(name: str, kind: str, parameters: str) -> Recipe:
    """The recipe that the log records under a name, by whichever version."""
    fields = {
        key: _OWN[key](*value.values()) if key in _OWN and isinstance(value, dict) else _frozen(value)
        for key, value in json.loads(parameters).items()
    }
    if kind.startswith("cut"):
        fields = _as_cuts_are_now(kind, fields)
    return KINDS[kind](name=name, **fields)


def check_recipe_unchanged(revision: Revision, recipe: Recipe) -> bool:
    """Whether the recipe is known already.

    Raises:
        ConflictError: its name stands for another recipe, or for a collection that no recipe made.
    """
    known = revision.fetch_rows("SELECT kind, parameters FROM recipes WHERE name = $name", {"name": recipe.name})
    if known:
        kind, parameters = known[0]
        if load_recipe(recipe.name, kind, parameters) != recipe:
            known_as = f"'{recipe.name}' is a {kind} recipe{_difference(recipe, kind, parameters)}"
            raise ConflictError(
                f"{known_as}: give this one another name, run geographer update for that one, or remove it with "
                "geographer remove recipe (with --keep, what it made stays)"
            )
        return True
    if revision.fetch_value("SELECT 1 FROM raster_now WHERE collection = $name LIMIT 1", {"name": recipe.name}):
        raise ConflictError(f"'{recipe.name}' names a collection already: give the recipe another name")
    return False


def _difference(recipe: Recipe, kind: str, parameters: str) -> str:
    """In which parameters the recorded recipe differs from one of the same kind."""
    if kind != recipe.kind:
        return ""
    known, asked = load_recipe(recipe.name, kind, parameters).to_parameters(), recipe.to_parameters()
    other = [f"{name} {json.dumps(known[name])}" for name in sorted(known) if known[name] != asked.get(name)]
    return f" with {', '.join(other)}"


def _as_cuts_are_now(kind: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a cut; the first version had bands without patterns, and grids with a border for an edge."""
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


def _frozen(value: Any) -> Any:
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
