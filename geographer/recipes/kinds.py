"""The kinds of recipe, by name: what `update` makes again from the log."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from geographer.recipes.cut.shared import CutAround, CutGrid
from geographer.recipes.label.boxes import LabelBoxes
from geographer.recipes.label.instances import LabelInstances
from geographer.recipes.label.mask import LabelMask
from geographer.recipes.label.multilabel import LabelMultilabel
from geographer.recipes.label.own import LabelOwn
from geographer.recipes.label.soft import LabelSoft
from geographer.recipes.recipe import Recipe
from geographer.recipes.split import Split

_LABELS: Final = (LabelMask, LabelSoft, LabelInstances, LabelMultilabel, LabelBoxes, LabelOwn)

KINDS: Final[dict[str, Callable[..., Recipe]]] = {kind.kind: kind for kind in (CutAround, CutGrid, *_LABELS, Split)}


def recipe_of(name: str, kind: str, parameters: str) -> Recipe:
    """The recipe that the log records under a name."""
    fields = json.loads(parameters)
    return KINDS[kind](name=name, **{key: _frozen(value) for key, value in fields.items()})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
