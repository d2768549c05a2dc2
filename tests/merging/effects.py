"""What each command that changes a dataset does to what users declared, in the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.merging.ground import CRS, Box
from tests.merging.model import Columns, Tables

ORIGINAL_CLASS: Final = "original_class"


class Registry:
    """What the first addition of a raster, or the first run of a recipe, was seen to record: a repetition is equal."""

    def __init__(self) -> None:
        self.rasters: dict[tuple[str, int], Columns] = {}
        self.recipes: dict[tuple[str, int], tuple[Columns, dict[Any, Columns]]] = {}

    def learn(self, name: str, arguments: dict[str, Any], seen: Tables) -> None:
        """Remember what a command recorded."""
        if name in ("add_rasters", "replace_rasters"):
            for raster, content in arguments["contents"].items():
                self.rasters.setdefault((raster, content), seen["raster"][raster])
        if name == "run_recipe":
            recipe = arguments["name"]
            inputs = {key: columns for key, columns in seen["input"].items() if key[0] == recipe}
            self.recipes.setdefault((recipe, arguments["variant"]), (seen["recipe"][recipe], inputs))

    def knows(self, name: str, arguments: dict[str, Any]) -> bool:
        """Return whether it is known what a command records."""
        if name in ("add_rasters", "replace_rasters"):
            return self.rasters.keys() >= set(arguments["contents"].items())
        return name != "run_recipe" or (arguments["name"], arguments["variant"]) in self.recipes


def apply_command(name: str, arguments: dict[str, Any], before: Tables, registry: Registry) -> Tables:
    """Return what is declared after a command."""
    tables = {table: dict(objects) for table, objects in before.items()}
    if name in EFFECTS:
        EFFECTS[name](tables, **arguments)
    elif name in ("add_rasters", "replace_rasters"):
        for raster, content in arguments["contents"].items():
            tables["raster"][raster] = registry.rasters[raster, content]
            tables["removal"].pop(raster, None)
    elif name == "run_recipe":
        recipe, inputs = registry.recipes[arguments["name"], arguments["variant"]]
        tables["recipe"][arguments["name"]] = recipe
        _drop_inputs(tables, arguments["name"])
        tables["input"] |= inputs
    return tables


def _put_features(tables: Tables, features: dict[str, dict[str, Any]]) -> None:
    rows = {}
    for name, columns in features.items():
        properties = {f"properties.{key}": columns[key] for key in ("name", "note") if columns[key] is not None}
        geometry = (Box(*columns["box"]).make_polygon().wkb.hex().upper(), CRS)
        rows[name] = {"id_is_integer": False, "class": columns["class"], "geometry": geometry, **properties}
    if all(tables["feature"].get(name) == row for name, row in rows.items()):
        return
    number_classes(tables, sorted({columns["class"] for columns in features.values()}))
    tables["feature"] |= rows
    for key in ("name", "note"):
        tables["user_column"]["feature", key] = {"type": "VARCHAR"}


def number_classes(tables: Tables, names: list[str]) -> None:
    """Give new classes the next values."""
    values = [columns["value"] for columns in tables["class"].values()]
    for name in names:
        if name not in tables["class"]:
            values.append(max(values, default=0) + 1)
            tables["class"][name] = {"value": values[-1]}


def _remove_objects(tables: Tables, table: str, ids: list[str]) -> None:
    for name in ids:
        tables[table].pop(name, None)


def _remove_rasters(tables: Tables, ids: list[str]) -> None:
    _remove_objects(tables, "raster", ids)
    tables["removal"] |= {name: {} for name in ids}


def _remap_classes(tables: Tables, mapping: dict[str, str | None]) -> None:
    """Rename a class, combine it with another, or drop it."""
    ((old, new),) = mapping.items()
    value = tables["class"].pop(old)
    if new is not None:
        tables["class"].setdefault(new, value)
    for name, columns in [*tables["feature"].items()]:
        if columns["class"] != old:
            continue
        if new is None:
            del tables["feature"][name]
            continue
        tables["user_column"]["feature", ORIGINAL_CLASS] = {"type": "VARCHAR"}
        tables["feature"][name] = {f"properties.{ORIGINAL_CLASS}": old, **columns, "class": new}


def _remove_recipe(tables: Tables, name: str) -> None:
    del tables["recipe"][name]
    _drop_inputs(tables, name)


def _drop_inputs(tables: Tables, recipe: str) -> None:
    tables["input"] = {key: columns for key, columns in tables["input"].items() if key[0] != recipe}


EFFECTS: Final[dict[str, Callable[..., None]]] = {
    "add_features": _put_features,
    "replace_features": _put_features,
    "remove_features": lambda tables, ids: _remove_objects(tables, "feature", ids),
    "remove_rasters": _remove_rasters,
    "add_class": lambda tables, name: number_classes(tables, [name]),
    "remap_classes": _remap_classes,
    "remove_recipe": _remove_recipe,
}
"""The commands whose effect follows from their arguments alone; tags follow from the head, too."""
CHANGES: Final = (*EFFECTS, "add_rasters", "replace_rasters", "run_recipe", "update", "tag")
"""The commands that append ordinary events."""
