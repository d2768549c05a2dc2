"""The kinds of recipe, by name: what `update` makes again from the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from geographer.recipes.choice import Selector
from geographer.recipes.cut.around import CutAround
from geographer.recipes.cut.boxes import CutBoxes
from geographer.recipes.cut.cover import CutCover
from geographer.recipes.cut.grid import CutGrid
from geographer.recipes.cut.own import CutOwn, CutterName
from geographer.recipes.label.boxes import LabelBoxes
from geographer.recipes.label.instances import LabelInstances
from geographer.recipes.label.mask import LabelMask
from geographer.recipes.label.multilabel import LabelMultilabel
from geographer.recipes.label.own import LabelOwn
from geographer.recipes.label.soft import LabelSoft
from geographer.recipes.recipe import Recipe
from geographer.recipes.split import Split
from geographer.values import Size

_CUTS: Final = (CutAround, CutGrid, CutBoxes, CutCover, CutOwn)
_LABELS: Final = (LabelMask, LabelSoft, LabelInstances, LabelMultilabel, LabelBoxes, LabelOwn)

KINDS: Final[dict[str, Callable[..., Recipe]]] = {kind.kind: kind for kind in (*_CUTS, *_LABELS, Split)}

_OWN: Final = {"selector": Selector, "cutter": CutterName}


def recipe_of(name: str, kind: str, parameters: str) -> Recipe:
    """The recipe that the log records under a name."""
    fields = {key: _frozen(value) for key, value in json.loads(parameters).items()}
    if "size" in fields:
        fields["size"] = Size(*fields["size"])
    return KINDS[kind](name=name, **fields)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        made = next((made for key, made in _OWN.items() if key in value), None)
        return made(*value.values()) if made else value
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
