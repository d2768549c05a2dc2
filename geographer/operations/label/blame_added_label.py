"""Blame of labels that users added: which file, and which event, gave a pixel its value."""

from __future__ import annotations

from typing import Any, Final

import duckdb

from geographer.base.errors import NotFoundError
from geographer.operations.label.blame_drawing import Pixel, Value
from geographer.operations.label.blame_inputs import LabelVersion, RasterVersion, find_label
from geographer.operations.label.blame_sentences import describe_event
from geographer.planning.label_files import find_label_file
from geographer.planning.recipe import Recipe
from geographer.storage.queries.object_changes import fetch_events
from geographer.storage.queries.renamings import find_content_position

_CLASS: Final = (
    "SELECT class FROM state.class WHERE value = $value AND valid_from <= $position AND valid_to > $position"
)
_EVENT_FIELDS: Final = ("position", "kind", "recorded_at", "author", "message", "digest")
_RULE: Final = "the values are those of files that users added; no feature is drawn"


def blame_added_label(
    connection: duckdb.DuckDBPyConnection,
    position: int,
    version: LabelVersion,
    raster: RasterVersion | None,
    pixel: Pixel,
    recipe: Recipe,
    found: tuple[Value, list[str] | None, tuple[int, int]],
) -> dict[str, Any]:
    """Return the facts of `DatasetReader.blame_pixel`; `found` is the value, the names of the bands and the size.

    `source` is the file that the label was added from (`path`, `sha256`), and for a chip the pixel of its parent's
    label (`parent`: `raster_id`, `x`, `y`, `is_padding`).
    """
    value, bands, size = found
    parameters = recipe.list_recorded_parameters()
    parent, owner = _find_parent(connection, position, version, raster, pixel)
    made_at = find_content_position(connection, "label", version.label, pixel.raster_id, version.made_at)
    content_at = find_content_position(connection, "label", version.label, owner.raster_id, owner.made_at)
    file = find_label_file(connection, version.label, owner.raster_id, owner.checksums.sha256, content_at)
    events = fetch_events(connection, {made_at, content_at, *([file.position] if file and file.position else [])})
    facts: dict[str, Any] = {
        **{"label": pixel.label, "raster_id": pixel.raster_id, "x": pixel.x, "y": pixel.y, "size": [*size]},
        **{"position": position, "kind": recipe.kind, "collection": parameters["collection"]},
        **{"value": value, "bands": bands, "expected": None, "agrees": None, "rule": _RULE},
        **{"class": _find_class(connection, position, value), "feature_id": None, "is_invalid": False},
        **{"is_explained": True, "features": [], "made_with": None, "changed_since": []},
        "event": _make_event_facts(events[made_at]),
        "source": None if file is None else {"path": file.path, "sha256": file.sha256},
        "source_event": _make_event_facts(events[file.position]) if file and file.position else None,
        "content_event": _make_event_facts(events[content_at]),
        "parent": parent,
    }
    return {**facts, "sentences": _make_sentences(facts, parameters.get("ignore"))}


def _find_parent(
    connection: duckdb.DuckDBPyConnection,
    position: int,
    version: LabelVersion,
    raster: RasterVersion | None,
    pixel: Pixel,
) -> tuple[dict[str, Any] | None, LabelVersion]:
    """Return the pixel of the label that a chip's was cut from, if it was, and the label that was added as a file."""
    if raster is None or raster.parent_id is None or raster.col is None or raster.row is None:
        return None, version
    try:
        label, parent = find_label(connection, position, version.label, raster.parent_id)
    except NotFoundError:
        return None, version
    x, y = pixel.x + raster.col, pixel.y + raster.row
    is_padding = parent is not None and not (0 <= x < parent.grid.width and 0 <= y < parent.grid.height)
    return {"raster_id": label.raster_id, "x": x, "y": y, "is_padding": is_padding}, label


def _find_class(connection: duckdb.DuckDBPyConnection, position: int, value: Value) -> str | None:
    if isinstance(value, list) or value is None:
        return None
    row = connection.execute(_CLASS, {"value": value, "position": position}).fetchone()
    return None if row is None else str(row[0])


def _make_event_facts(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in _EVENT_FIELDS}


def _make_sentences(facts: dict[str, Any], ignore: int | None) -> list[str]:
    pixel = f"Pixel ({facts['x']}, {facts['y']}) of label '{facts['label']}' of '{facts['raster_id']}'"
    value, bands, parent = facts["value"], facts["bands"], facts["parent"]
    if bands is not None:
        named = ", ".join(f"{name} {number:g}" for name, number in zip(bands, value, strict=True))
        sentences = [f"{pixel} has {named}."]
    elif value == ignore:
        sentences = [f"{pixel} has the value {value:g}, which training is to ignore."]
    else:
        known = f", of class '{facts['class']}'" if facts["class"] else ", background" if value == 0 else ""
        sentences = [f"{pixel} has the value {value:g}{known}."]
    owner = facts["raster_id"]
    if parent is not None:
        owner = parent["raster_id"]
        place = f"from pixel ({parent['x']}, {parent['y']}) of the label of '{owner}'"
        place = f"outside of '{owner}', so it is padding" if parent["is_padding"] else place
        sentences.append(f"It was cut with the chip {place}, in {describe_event(facts['event'])}.")
    source, content = facts["source"], facts["content_event"]
    if source is None:
        return [*sentences, f"The label of '{owner}' came in {describe_event(content)}; its file is not recorded."]
    if facts["source_event"] is None:
        came = f"which {describe_event(content)} took from another branch"
        return [*sentences, f"The label of '{owner}' was taken from file '{source['path']}', {came}."]
    added = describe_event(facts["source_event"])
    sentences.append(f"The label of '{owner}' was taken from file '{source['path']}', added in {added}.")
    if content["kind"] == "classes_remapped":
        sentences.append(f"Its values were rewritten in {describe_event(content)}.")
    return sentences
