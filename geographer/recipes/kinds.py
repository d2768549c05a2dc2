"""The kinds of recipe, by name: what `update` makes again from the log."""

from __future__ import annotations

import json
from typing import Final

from geographer.recipes.cut import CutAround, CutGrid
from geographer.recipes.label import LabelMask
from geographer.recipes.recipe import Recipe
from geographer.recipes.split import Split

KINDS: Final = {kind.kind: kind for kind in (CutAround, CutGrid, LabelMask, Split)}


def recipe_of(name: str, kind: str, parameters: str) -> Recipe:
    """The recipe that the log records under a name."""
    fields = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in json.loads(parameters).items()
    }
    recipe: Recipe = KINDS[kind](name=name, **fields)
    return recipe
