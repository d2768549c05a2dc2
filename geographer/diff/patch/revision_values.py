"""Values of a revision as a patch writes them: rows, recipes with settings and inputs, remembered removals, columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.canonical_json import parse_canonical_json
from geographer.diff.patch.model import KEYS, RECIPE, REMOVAL, VALUES, Order, Values
from geographer.storage.database.connection import quote_identifier
from geographer.storage.events.row_tables import WKB_COLUMNS
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_SETTINGS: Final = ("dtype", "bands", "maker")
"""What all labels of a recipe share, as events record it."""

KEYED_KINDS: Final = ("feature", "raster")
"""The kinds of objects whose versions have a key in the state, which leads to their row in the log."""

ObjectKey = tuple[str, tuple[str, ...]]
"""A table and the key of an object in it."""


class ObjectVersion(NamedTuple):
    """The values of an object in a revision, and its place in the order of addition if its table has one."""

    values: Values
    order: Order | None = None


def read_recipe_versions(revision: Revision) -> dict[ObjectKey, ObjectVersion]:
    """Return the recipes, their inputs, and the rasters that they leave out because users removed them."""
    versions: dict[ObjectKey, ObjectVersion] = {}
    for name, kind, parameters, *order, settings in revision.fetch_rows((_FOLDER / "recipes.sql").read_text()):
        values = {"kind": kind, "parameters": parse_canonical_json(parameters), "form": _select_form(settings)}
        versions[RECIPE, (name,)] = ObjectVersion(values, (order[0], order[1]))
    for *key, geometry, crs, place in revision.fetch_rows((_FOLDER / "recipe_inputs.sql").read_text()):
        input_order = None if place is None else (0, place)
        versions["recipe_input", tuple(key)] = ObjectVersion({"geometry": geometry, "crs": crs}, input_order)
    stage_remembered_removals(revision)
    for (raster_id,) in revision.fetch_rows((_FOLDER / "effective_removals.sql").read_text()):
        versions[REMOVAL, (raster_id,)] = ObjectVersion({})
    return versions


def fetch_logged_versions(revision: Revision, kind: str, source: str) -> dict[tuple[str, ...], Values]:
    """Return the values of versions of objects by key, as the log has them; `source` is a relation of such versions."""
    table = f"{kind}_change"
    keys = KEYS[table]
    names: tuple[str, ...] = ("position", "ordinal")
    selected = f"SELECT {kind}_key >> 32 AS position, {kind}_key & 4294967295 AS ordinal FROM {source}"  # noqa: S608
    if kind not in KEYED_KINDS:
        columns = ", ".join(map(quote_identifier, keys))
        names, selected = ("position", *keys), f"SELECT {columns}, valid_from AS position FROM {source}"  # noqa: S608
    columns = ", ".join(
        f"base64(change.{name})" if name in WKB_COLUMNS else f"change.{quote_identifier(name)}"
        for name in (*keys, *VALUES[table])
    )
    parts = {"columns": columns, "source": selected, "names": ", ".join(map(quote_identifier, names))}
    rows = revision.fetch_rows((_FOLDER / "logged_versions.sql").read_text().format(table=table, **parts))
    return {row[: len(keys)]: dict(zip(VALUES[table], row[len(keys) :], strict=True)) for row in rows}


def list_columns(revision: Revision, subject: str) -> tuple[tuple[str, str], ...]:
    """Return the user columns of 'feature' or 'raster' with their types."""
    return tuple(revision.list_user_columns(subject).items())


def _select_form(settings: str | None) -> dict[str, Any] | None:
    values = json.loads(settings) if settings else None
    return values and ({name: values[name] for name in _SETTINGS if name in values} or None)
