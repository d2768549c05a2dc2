"""Read what a dataset says: its tables in the form of the model, at any revision."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from geographer import Dataset
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from geographer.storage.queries.revision import Revision
from tests.merging.model import Table, Tables

_FEATURES = "SELECT feature_id, id_is_integer, class, hex(ST_AsWKB(coalesce(native, geometry))), crs, properties FROM current_feature"
_RASTERS = (
    "SELECT raster_id, path, storage, sha256, pixel_digest, transform, width, height, collection, acquired::VARCHAR, "
    "properties FROM current_raster WHERE recipe IS NULL"
)
_CHIPS = (
    'SELECT raster_id, parent_id, col, "row", width, height, recipe, feature_id, sha256 FROM current_raster '
    "WHERE recipe IS NOT NULL"
)
_BOXES = (
    "SELECT recipe, subject, object_id, hex(geometry), crs FROM chain_recipe_input AS input JOIN recipes ON name = recipe "
    "WHERE subject = 'box' AND input.position <= getvariable('position') AND input.position >= recipes.position "
    "QUALIFY input.position = max(input.position) OVER (PARTITION BY recipe)"
)


class Observed(NamedTuple):
    """The tables of a revision, and its content digest."""

    declared: Tables
    derived: Tables
    content_digest: str


def read_dataset(dataset: Dataset, at: str | int | None = None) -> Observed:
    """Read the tables of a revision."""
    with dataset._unit_of_work.open_revision(at) as revision:
        return Observed(_read_declared(revision), _read_derived(revision), revision.compute_content_digest())


def _read_declared(revision: Revision) -> Tables:
    fetch = revision.fetch_rows
    stage_remembered_removals(revision)
    columns: Table = {
        (subject, name): {"type": kind}
        for subject in ("feature", "raster")
        for name, kind in revision.list_user_columns(subject).items()
    }
    return {
        "class": {name: {"value": value} for name, value in fetch("SELECT class, value FROM classes")},
        "feature": {
            name: {"id_is_integer": is_integer, "class": kind, "geometry": (wkb, crs), **_read_json(properties)}
            for name, is_integer, kind, wkb, crs, properties in fetch(_FEATURES)
        },
        "raster": {
            name: _drop_nulls({"file": tuple(map(str, file)), "collection": collection, "acquired": acquired})
            | _read_json(properties)
            for name, *file, collection, acquired, properties in fetch(_RASTERS)
        },
        "recipe": {
            name: {"kind": kind, **_read_json(parameters, "")}
            for name, kind, parameters in fetch("SELECT name, kind, parameters FROM recipes")
        },
        "input": {tuple(key): {"geometry": (wkb, crs)} for *key, wkb, crs in fetch(_BOXES)},
        "user_column": columns,
        "removal": {name: {} for (name,) in fetch("SELECT raster_id FROM remembered_removal")},
        "tag": {name: {"digest": digest} for name, digest in fetch("SELECT tag, digest FROM state.tag")},
    }


def _read_json(text: str | None, prefix: str = "properties.") -> dict[str, Any]:
    """Read properties or parameters; null is absent."""
    values = json.loads(text) if text else {}
    return {f"{prefix}{name}": _freeze(value) for name, value in values.items() if value is not None}


def _freeze(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _drop_nulls(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in columns.items() if value is not None}


def _read_derived(revision: Revision) -> Tables:
    fetch = revision.fetch_rows
    names = ("parent", "col", "row", "width", "height", "recipe", "feature", "sha256")
    return {
        "chip": {name: dict(zip(names, row, strict=True)) for name, *row in fetch(_CHIPS)},
        "label": {
            (label, raster): {"sha256": sha256}
            for label, raster, sha256 in fetch("SELECT label, raster_id, sha256 FROM current_label")
        },
        "label_object": _read_objects(revision),
        "split": {(split, raster): {"part": part} for split, raster, part in fetch("SELECT * FROM splits")},
    }


def _read_objects(revision: Revision) -> Table:
    query = "SELECT label, raster_id, feature_id, class, instance, pixels, box::VARCHAR FROM current_label_object"
    return {
        (label, raster, feature): {"class": kind, "values": tuple(values)}
        for label, raster, feature, kind, *values in revision.fetch_rows(query)
    }
