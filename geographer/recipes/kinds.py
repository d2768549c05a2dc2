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
from geographer.recipes.label.shared import LabelMask
from geographer.recipes.recipe import Recipe
from geographer.recipes.split import Split
from geographer.values import Size

KINDS: Final[dict[str, Callable[..., Recipe]]] = {
    kind.kind: kind for kind in (CutAround, CutGrid, CutBoxes, CutCover, CutOwn, LabelMask, Split)
}

_OWN: Final = {"selector": Selector, "cutter": CutterName}


def recipe_of(name: str, kind: str, parameters: str) -> Recipe:
    """The recipe that the log records under a name."""
    fields = {key: value if key == "options" else _frozen(value) for key, value in json.loads(parameters).items()}
    if "size" in fields:
        fields["size"] = Size(*fields["size"])
    if "options" in fields:
        fields["options"] = tuple((key, value) for key, value in fields["options"])
    return KINDS[kind](name=name, **fields)


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        (own,) = (made for key, made in _OWN.items() if key in value)
        return own(*value.values())
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
