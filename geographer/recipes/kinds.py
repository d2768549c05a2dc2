"""The kinds of recipe, by name: what `update` makes again from the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from geographer.recipes.cut.shared import CutAround, CutGrid
from geographer.recipes.label.shared import LabelMask
from geographer.recipes.recipe import Recipe
from geographer.recipes.split import Split

KINDS: Final[dict[str, Callable[..., Recipe]]] = {kind.kind: kind for kind in (CutAround, CutGrid, LabelMask, Split)}


def recipe_of(name: str, kind: str, parameters: str) -> Recipe:
    """The recipe that the log records under a name."""
    fields = json.loads(parameters)
    return KINDS[kind](name=name, **{key: _frozen(value) for key, value in fields.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
