"""Blame: which feature, rule and event gave a pixel of a label its value, and which features are drawn below."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import duckdb

from geographer.base.errors import UsageError
from geographer.operations.label.base import LabelRecipe
from geographer.operations.label.blame_added_label import blame_added_label
from geographer.operations.label.blame_drawing import (
    Drawing,
    Pixel,
    PixelLayer,
    PixelSources,
    Value,
    draw_pixel,
    is_in_box,
    make_sources,
)
from geographer.operations.label.blame_inputs import (
    LabelVersion,
    find_label,
    find_last_changes,
    find_raster,
    list_later_changes,
    load_label_recipe,
    parse_pixel,
)
from geographer.operations.label.blame_sentences import describe_rule, make_sentences
from geographer.operations.label.masks import LabelInstances, LabelMask
from geographer.rasters.pixel import read_pixel
from geographer.storage.dvc.store import Store
from geographer.storage.queries.object_changes import ChangeEvent, fetch_events, find_origin_event
from geographer.storage.queries.renamings import find_content_position
from geographer.storage.workspace.revision_files import find_recorded_file


def blame_pixel(
    connection: duckdb.DuckDBPyConnection, position: int, store: Store, label: str, raster_id: str, x: Any, y: Any
) -> dict[str, Any]:
    """Return what gave a pixel of a label its value at a revision; the log and the state are attached.

    See `DatasetReader.blame_pixel` for the result and the errors.
    """
    column, row = parse_pixel(x, "column"), parse_pixel(y, "row")
    version, raster = find_label(connection, position, label, raster_id)
    pixel = Pixel(label, version.raster_id, column, row)
    recipe = load_label_recipe(connection, position, label)
    if not isinstance(recipe, LabelRecipe):
        return blame_added_label(
            connection, position, version, raster, pixel, recipe, _read_value(version, pixel, store)
        )
    value, bands, (width, height) = _read_value(version, pixel, store)
    sources = make_sources(connection, position, store, recipe, pixel, raster)
    cause = _find_cause(sources, version, value)
    facts: dict[str, Any] = {
        "label": label,
        "raster_id": pixel.raster_id,
        "x": pixel.x,
        "y": pixel.y,
        "size": [width, height],
        "position": position,
        "kind": recipe.kind,
        "collection": recipe.collection,
        "value": value,
        "bands": bands,
        "expected": cause.drawing.value,
        "agrees": cause.agrees,
        "rule": describe_rule(recipe),
        "class": _find_class(value, cause.shown_drawing, recipe),
        "feature_id": _find_top(cause.shown_drawing),
        "is_invalid": cause.shown_drawing.is_invalid,
        "is_explained": bool(cause.agrees) or cause.is_older,
    }
    facts |= _make_event_lists(connection, position, version, cause)
    return {**facts, "sentences": make_sentences(facts, recipe)}


class _Cause(NamedTuple):
    """How a pixel is drawn with the features of a revision, and, if others gave it, with those that its label shows.

    `agrees` is whether the features of the revision explain the value, None if that is not known. `changes` are the
    positions at which features on the raster changed after the label was made.
    """

    drawing: Drawing
    made_with: Drawing | None
    agrees: bool | None
    is_older: bool
    changes: list[int]

    @property
    def shown_drawing(self) -> Drawing:
        """The drawing that gave the value: that of the features with which the label was made, if it explains it."""
        return self.made_with if self.made_with is not None and (self.is_older or self.agrees is None) else self.drawing


def _find_cause(sources: PixelSources | None, version: LabelVersion, value: Value) -> _Cause:
    """Draw a pixel with the features of a revision, and with those of the one that made its label if they differ."""
    if sources is None:
        return _Cause(Drawing(None, []), None, None, is_older=False, changes=[])
    drawing = draw_pixel(sources)
    agrees = None if drawing.value is None else drawing.value == value
    changes = list_later_changes(sources.edges, version.made_at, sources.position)
    # Features near a raster can lie on it by the width of their lines, and have no edge with it.
    may_differ = changes or sources.recipe.line_width is not None or sources.raster.valid_from > version.made_at
    if version.made_at == sources.position or (agrees is not False and not may_differ):
        return _Cause(drawing, None, agrees, is_older=False, changes=changes)
    raster = find_raster(sources.connection, version.made_at, sources.raster.raster_id)
    earlier = make_sources(sources.connection, version.made_at, sources.store, sources.recipe, sources.pixel, raster)
    made_with = draw_pixel(earlier) if earlier else None
    is_older = made_with is not None and made_with.value == value
    if made_with == drawing or (agrees and not is_older):
        return _Cause(drawing, None, agrees, is_older=False, changes=changes)
    return _Cause(drawing, made_with, agrees, is_older, changes)


def _make_event_lists(
    connection: duckdb.DuckDBPyConnection, position: int, version: LabelVersion, cause: _Cause
) -> dict[str, Any]:
    """Return the facts that name events: the features of the pixel, the label's own event, and later changes."""
    earlier = cause.made_with.layers if cause.made_with else []
    ids = [layer.feature.item.feature_id for layer in earlier]
    later = find_last_changes(connection, ids, version.made_at, position)
    positions = {layer.feature.valid_from for layer in (*cause.drawing.layers, *earlier)}
    made_at = find_content_position(connection, "label", version.label, version.raster_id, version.made_at)
    positions |= {made_at, *cause.changes, *(at for at, _ in later.values())}
    events = fetch_events(connection, positions)
    changed = {
        feature_id: {"change": change, **_make_event_facts(events[at])} for feature_id, (at, change) in later.items()
    }

    def make_facts(layer: PixelLayer) -> dict[str, Any]:
        event = events[layer.feature.valid_from]
        origin = find_origin_event(connection, event, "feature", layer.feature.item.feature_id)
        return {**_make_layer_facts(layer), "event": _make_event_facts(origin)}

    made_with = [
        {**make_facts(layer), "changed_since": changed.get(layer.feature.item.feature_id)} for layer in earlier
    ]
    return {
        "features": [make_facts(layer) for layer in cause.drawing.layers],
        "event": _make_event_facts(events[made_at]),
        "made_with": made_with if cause.made_with else None,
        "changed_since": [_make_event_facts(events[change]) for change in cause.changes],
    }


def _read_value(version: LabelVersion, pixel: Pixel, store: Store) -> tuple[Value, list[str] | None, tuple[int, int]]:
    """Return the value of a pixel in the label's file, the names of its bands, and the label's width and height."""
    name = f"label '{version.label}' of raster '{version.raster_id}'"
    path = find_recorded_file(store, store.root / version.path, version.checksums, name)
    if version.path.endswith(".json"):
        document = json.loads(path.read_bytes())
        width, height = document["size"]
        if not (0 <= pixel.x < width and 0 <= pixel.y < height):
            raise _make_outside_error(pixel, width, height)
        inside = [item["feature_id"] for item in document["objects"] if is_in_box(item["box"], pixel)]
        return inside, None, (width, height)
    read = read_pixel(path, pixel.x, pixel.y)
    if read.values is None:
        raise _make_outside_error(pixel, read.width, read.height)
    has_bands = len(read.values) > 1 or read.bands[0] is not None
    names = [name or str(number) for number, name in enumerate(read.bands, start=1)] if has_bands else None
    return read.values if has_bands else read.values[0], names, (read.width, read.height)


def _make_outside_error(pixel: Pixel, width: int, height: int) -> UsageError:
    return UsageError(
        f"pixel ({pixel.x}, {pixel.y}) is outside label '{pixel.label}' of raster '{pixel.raster_id}', which has "
        f"{width} columns and {height} rows. Use a column from 0 to {width - 1} and a row from 0 to {height - 1}."
    )


def _find_top(drawing: Drawing) -> str | None:
    if drawing.is_invalid or not drawing.layers or drawing.layers[-1].role not in ("on top", "erases", "ignored"):
        return None
    is_shared = any(layer.role in ("erased", "contributes") for layer in drawing.layers)
    return None if is_shared else drawing.layers[-1].feature.item.feature_id


def _find_class(value: Value, drawing: Drawing, recipe: LabelRecipe) -> str | None:
    """Return the class of the feature on top if it explains the value."""
    top = _find_top(drawing)
    if top is None or drawing.value != value or not isinstance(recipe, LabelMask | LabelInstances):
        return None
    return drawing.layers[-1].feature.item.class_name


def _make_layer_facts(layer: PixelLayer) -> dict[str, Any]:
    item = layer.feature.item
    facts: dict[str, Any] = {
        "feature_id": item.feature_id,
        "class": item.class_name,
        "value": item.value,
        "role": layer.role,
    }
    if layer.values is not None:
        facts["probabilities"] = layer.values
    return facts


def _make_event_facts(event: ChangeEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("position", "kind", "recorded_at", "author", "message", "digest")}
