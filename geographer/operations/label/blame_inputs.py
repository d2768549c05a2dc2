"""Inputs of a blame: label, raster, recipe, and the features on the raster, found without comparing names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from operator import index
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakSet

import duckdb
import msgspec

from geographer.base.errors import NotFoundError, UsageError
from geographer.base.text import encode_chip_id, quote_start
from geographer.base.values import Checksums, Grid, Transform, Window
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.tasks import VisibleObject
from geographer.planning.context_classes import read_context_classes
from geographer.planning.label_files import LABEL_FILES
from geographer.planning.recipe import Recipe, load_recipe
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.storage.database.connection import run_script
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.log.chain import BRANCH
from geographer.storage.queries.object_changes import (
    SELECTED_ONE_BY_ONE,
    Role,
    fetch_events,
    fetch_object_rows,
    fetch_rows_of_ids,
    find_object_rows,
    find_rows_of_ids,
)
from geographer.storage.queries.revision import Revision
from geographer.storage.state.update import MACROS

_FOLDER: Final = Path(__file__).parent
_LABEL_COLUMNS: Final = "label, path, size, md5, sha256"
_RASTER_COLUMNS: Final = 'storage, parent_id, col, "row"'
_FILE_COLUMNS: Final = "path, size, md5, sha256"
_GRID: Final = (
    "SELECT crs, transform, width, height, splits_at_antimeridian, crosses_180, (xmin + xmax) / 2, crs_is_partial, "
    "reaches_limb FROM state.raster WHERE raster_key = $key AND transform IS NOT NULL"
)
_CLASSES: Final = "SELECT class, value FROM state.class WHERE valid_from <= $position AND valid_to > $position"
_EDGES: Final = "SELECT feature_key, valid_from, valid_to FROM state.edge WHERE raster_key = $key"
_RECIPE: Final = "SELECT valid_from, kind, parameters FROM state.recipe WHERE name = $label AND valid_from <= $position"
_LAST_RUN: Final = "SELECT max(position) FROM state.recipe_record WHERE name = $label AND position <= $position"
_PAYLOAD: Final = (
    "SELECT payload FROM log.event JOIN log.chain USING (event_key) "  # noqa: S608
    f"WHERE branch = {BRANCH} AND position = $position"
)
_ANY_GIVEN_ORDER: Final = "SELECT 1 FROM log.event WHERE kind = 'patch_applied' OR len(parents) > 1 LIMIT 1"
_ORDERED_EVENTS: Final = "SELECT position FROM state.event WHERE keeps_row_order"
_MAX_BITS: Final = 128
"""Of a column or row; the decimal digits of larger integers can be too many for Python to print."""
_WITH_MACROS: Final[WeakSet[duckdb.DuckDBPyConnection]] = WeakSet()


class LabelVersion(NamedTuple):
    """A label of a raster at a revision: its file, and the position of the event that made it."""

    label: str
    raster_id: str
    path: str
    checksums: Checksums
    made_at: int


class RasterVersion(NamedTuple):
    """A raster at a revision; `parent_id` and the window's corner are those of a chip.

    See `000_schema.sql` for `splits_at_antimeridian`, `crosses_180`, `crs_is_partial` and `reaches_limb`; `middle` is
    the x of its middle.
    """

    raster_id: str
    key: int
    grid: Grid
    splits_at_antimeridian: bool
    crosses_180: bool
    middle: float
    crs_is_partial: bool
    reaches_limb: bool
    storage: str
    parent_id: str | None
    col: int | None
    row: int | None

    @property
    def valid_from(self) -> int:
        """The position of the event that recorded this version."""
        return self.key >> 32


class FeatureEdge(NamedTuple):
    """A version of a feature that a raster shows, from one position to just before another."""

    feature_key: int
    valid_from: int
    valid_to: int


class DrawableFeature(NamedTuple):
    """A feature that a label may draw, and the position of the event that recorded this version of it."""

    item: VisibleObject
    valid_from: int


def find_label(
    connection: duckdb.DuckDBPyConnection, position: int, label: str, raster_id: str
) -> tuple[LabelVersion, RasterVersion | None]:
    """Return a label at a revision, and its raster unless that has no pixels; `NotFoundError` if there is no label.

    A chip may be named without the percent-encoding of its id.
    """
    for known_id in dict.fromkeys((raster_id, encode_chip_id(raster_id))):
        rows = _find_rows(connection, position, known_id, {"label": _LABEL_COLUMNS, "raster": _RASTER_COLUMNS})
        last = next((row for row in reversed(rows["label"]) if row[3] == label), None)
        if last is not None and last[2] != "removed":
            version = LabelVersion(label, known_id, last[4], Checksums(*last[5:]), last[0])
            return version, _read_raster(connection, known_id, rows["raster"])
    names = f"'{quote_start(label)}' of raster '{quote_start(raster_id)}'"
    raise NotFoundError(f"no label {names} at @{position}. See geographer labels.")


def find_raster(connection: duckdb.DuckDBPyConnection, position: int, raster_id: str) -> RasterVersion | None:
    """Return a raster at a revision, or None if there is none, or it has no pixels."""
    rows = _find_rows(connection, position, raster_id, {"raster": _RASTER_COLUMNS})
    return _read_raster(connection, raster_id, rows["raster"])


def _read_raster(
    connection: duckdb.DuckDBPyConnection, raster_id: str, rows: Sequence[tuple[Any, ...]]
) -> RasterVersion | None:
    if not rows or rows[-1][2] == "removed":
        return None
    made_at, ordinal, _, *others = rows[-1]
    key = (made_at << 32) + ordinal
    for crs, transform, width, height, *frame in connection.execute(_GRID, {"key": key}).fetchall():
        return RasterVersion(raster_id, key, Grid(crs, Transform(*transform), width, height), *frame, *others)
    return None


def find_raster_checksums(
    connection: duckdb.DuckDBPyConnection, position: int, raster_id: str
) -> tuple[str, Checksums]:
    """Return the path and checksums of the file of a raster that a revision has."""
    *_, (_, _, _, path, *checksums) = _find_rows(connection, position, raster_id, {"raster": _FILE_COLUMNS})["raster"]
    return path, Checksums(*checksums)


def find_valid_window(connection: duckdb.DuckDBPyConnection, chip: RasterVersion) -> Window | None:
    """Return the extent of a chip's parent in the chip's pixels: others are padding; None if it has no parent."""
    if chip.parent_id is None or chip.col is None or chip.row is None:
        return None
    parent = find_raster(connection, chip.valid_from, chip.parent_id)
    return None if parent is None else Window(-chip.col, -chip.row, parent.grid.width, parent.grid.height)


def load_label_recipe(connection: duckdb.DuckDBPyConnection, position: int, label: str) -> LabelRecipe | Recipe:
    """Return the recipe that made a label, also one that was removed since; `NotFoundError` if it is not recorded.

    It is a `LabelRecipe`, or that of labels that users added as files.
    """
    rows = connection.execute(_RECIPE, {"label": label, "position": position}).fetchall()
    recipe = _load_recipe(label, *max(rows)[1:]) if rows else None
    if recipe is None or not (isinstance(recipe, LabelRecipe) or recipe.kind == LABEL_FILES):
        raise NotFoundError(f"the recipe of label '{label}' is not recorded, so nothing says how it was drawn.")
    return recipe


@lru_cache(maxsize=64)
def _load_recipe(name: str, kind: str, parameters: str) -> Recipe:
    """Return a recipe; checking its parameters takes longer than finding them."""
    return load_recipe(RecipeRecord(name, kind, json.loads(parameters)))


def read_label_settings(connection: duckdb.DuckDBPyConnection, position: int, label: str) -> LabelSettings:
    """Return the settings of the labels of a recipe, as its last run or a later import recorded them."""
    ((last,),) = connection.execute(_LAST_RUN, {"label": label, "position": position}).fetchall()
    rows = connection.execute(_PAYLOAD, {"position": last}).fetchall()
    payload = json.loads(rows[0][0]) if rows else {}
    imported = [
        recipe for recipe in payload.get("recipes") or [] if isinstance(recipe, dict) and recipe.get("name") == label
    ]
    return msgspec.convert(imported[0].get("form") or {} if imported else payload, LabelSettings)


def list_edges(connection: duckdb.DuckDBPyConnection, raster: RasterVersion) -> list[FeatureEdge]:
    """Return the versions of features that the raster ever showed, each with its first and last position there."""
    return [FeatureEdge(*row) for row in connection.execute(_EDGES, {"key": raster.key}).fetchall()]


def find_features(
    connection: duckdb.DuckDBPyConnection,
    position: int,
    raster: RasterVersion,
    recipe: LabelRecipe,
    edges: Iterable[FeatureEdge],
) -> list[DrawableFeature]:
    """Return the features that a label of the raster may draw at a revision, in the order of their last versions."""
    keys = {edge.feature_key for edge in edges if edge.valid_from <= position < edge.valid_to}
    if recipe.line_width is not None:
        amount, unit = recipe.line_width
        nearby = {"key": raster.key, "position": position, "amount": amount, "unit": unit}
        query = (_FOLDER / "features_near_raster.sql").read_text()
        keys |= {row[0] for row in connection.execute(query, nearby).fetchall()}
    if not keys:
        return []
    _create_macros(connection)
    context = read_context_classes(connection, position).names
    values = dict(connection.execute(_CLASSES, {"position": position}).fetchall())
    geometry = "feature_to_crs(geometry, native, crs, $crs, $splits)"
    parameters: dict[str, Any] = {"crs": raster.grid.crs, "splits": raster.splits_at_antimeridian}
    if raster.crosses_180:
        geometry, parameters["middle"] = f"shift_to_lon({geometry}, $middle)", raster.middle
    if raster.crs_is_partial:
        footprint = "(SELECT footprint FROM state.raster WHERE raster_key = $key)"
        visible = f"visible_part(geometry, {footprint}, $crs)"
        geometry = f"CASE WHEN is_partly_visible(geometry, $crs, true, $limb) THEN {visible} ELSE {geometry} END"
        parameters |= {"key": raster.key, "limb": raster.reaches_limb}
    names = {"geometry": geometry, "features": _select_keys(keys)}
    query = (_FOLDER / "features_on_raster.sql").read_text().format(**names)
    return [
        DrawableFeature(
            VisibleObject(feature_id, kind, values[kind], bytes(wkb), properties=json.loads(properties or "{}")), since
        )
        for feature_id, kind, wkb, properties, since in connection.execute(query, parameters).fetchall()
        if kind in values and kind not in context
    ]


def sort_by_addition(
    connection: duckdb.DuckDBPyConnection, position: int, features: Sequence[DrawableFeature]
) -> list[DrawableFeature]:
    """Return features in the order in which they were added, as `feature_order` in `views.sql` defines it."""
    if len(features) < 2:
        return list(features)
    ids = [feature.item.feature_id for feature in features]
    has_given_orders = connection.execute(_ANY_GIVEN_ORDER).fetchone() is not None
    find_order = _find_given_order if has_given_orders else _find_order_of_addition
    added = find_order(connection, position, ids)
    return sorted(features, key=lambda feature: (added.get(feature.item.feature_id, (0, "")), feature.item.feature_id))


def _find_order_of_addition(
    connection: duckdb.DuckDBPyConnection, position: int, feature_ids: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Return when features were added, from the few rows of the log that name them."""
    found = find_rows_of_ids(connection, feature_ids, "feature")
    events = fetch_events(connection, (row.position for rows in found.values() for row in rows))
    keeps_order = {row[0] for row in connection.execute(_ORDERED_EVENTS).fetchall()}
    added: dict[str, tuple[int, str]] = {}
    for feature_id, addresses in found.items():
        earlier = [address for address in addresses if address.position <= position]
        for at, ordinal, change in fetch_object_rows(connection, feature_id, "feature", earlier, events):
            if change == "added":
                place = (at << 32) + (ordinal if at in keeps_order else 0)
                added[feature_id] = max((place, ""), added.get(feature_id, (0, "")))
    return added


def _find_given_order(
    connection: duckdb.DuckDBPyConnection, position: int, feature_ids: Sequence[str]
) -> dict[str, tuple[int, str]]:
    """Return when features were added, in a log with patches or merges, which can give them other places."""
    query = "SELECT feature_id, (added, added_by) FROM feature_order WHERE list_contains($ids::VARCHAR[], feature_id)"
    return dict(Revision(connection, position).fetch_rows(query, {"ids": list(feature_ids)}))


def list_later_changes(edges: Iterable[FeatureEdge], after: int, up_to: int) -> list[int]:
    """Return the positions, after one and up to another, at which a feature on a raster began, changed or ended."""
    ends = {end for edge in edges for end in (edge.valid_from, edge.valid_to)}
    return sorted(end for end in ends if after < end <= up_to)


def find_last_changes(
    connection: duckdb.DuckDBPyConnection, feature_ids: Sequence[str], after: int, up_to: int
) -> dict[str, tuple[int, str]]:
    """Return position and change of the last row of each feature after one position and up to another, if any."""
    found = {
        feature_id: [row for row in rows if after < row.position <= up_to]
        for feature_id, rows in find_rows_of_ids(connection, feature_ids, "feature").items()
    }
    events = fetch_events(connection, (row.position for rows in found.values() for row in rows))
    versions = fetch_rows_of_ids(connection, found, "feature", events)
    return {feature_id: (rows[-1][0], rows[-1][2]) for feature_id, rows in versions.items() if rows}


def parse_pixel(value: Any, name: str) -> int:
    """Return a column or row as an int; `UsageError` unless it is a whole number, also of numpy."""
    try:
        number = None if isinstance(value, bool) else index(value)
    except TypeError:
        number = None
    if number is None:
        raise UsageError(f"invalid {name} {value!r}. Use a whole number of pixels, counted from 0 at the upper left.")
    if number.bit_length() > _MAX_BITS:
        raise UsageError(f"invalid {name}: it has more than {_MAX_BITS} bits. Use a whole number of pixels.")
    return number


def _find_rows(
    connection: duckdb.DuckDBPyConnection, position: int, object_id: str, columns: Mapping[Role, str]
) -> dict[Role, list[tuple[Any, ...]]]:
    """Return position, ordinal, change and columns of the rows that name an object, up to a position, by role."""
    found = {
        role: [row for row in rows if row.position <= position]
        for role, rows in find_object_rows(connection, object_id, columns).items()
    }
    events = fetch_events(connection, (row.position for rows in found.values() for row in rows))
    return {
        role: fetch_object_rows(connection, object_id, role, rows, events, columns[role])
        for role, rows in found.items()
    }


def _select_keys(keys: Iterable[int]) -> str:
    """Return the query for features by key: one by one, few are found without reading others."""
    numbers = sorted(keys)
    if len(numbers) > SELECTED_ONE_BY_ONE:
        return f"SELECT * FROM state.feature WHERE feature_key IN ({', '.join(map(str, numbers))})"  # noqa: S608
    return " UNION ALL ".join(f"SELECT * FROM state.feature WHERE feature_key = {key}" for key in numbers)  # noqa: S608


def _create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    if connection not in _WITH_MACROS:
        run_script(connection, MACROS.read_text())
        _WITH_MACROS.add(connection)
