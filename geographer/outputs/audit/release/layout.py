"""The rasters of a release's split as samples: with the objects that each shows, and their masks."""

from __future__ import annotations

from collections import Counter

import duckdb

from geographer.base.errors import GeographerError, NotFoundError, quote_names
from geographer.outputs.audit.release.certificates import read_filter
from geographer.outputs.audit.release.contents import ReleaseContents, read_json_file
from geographer.outputs.audit.report import AuditFinding, Severity
from geographer.outputs.audit.samples import Layout, Sample
from geographer.storage.database.connection import escape_literal, memory_connection
from geographer.storage.database.sql_sandbox import validate_expression


def read_release_layout(contents: ReleaseContents, split: str | None) -> Layout:
    """Return the rasters of a split as samples; of the split with the most rasters, if none is named.

    Raises:
        NotFoundError: The release has no split of this name.
    """
    layout = Layout("a release of geographer")
    table = contents.read_table("splits", ["split", "raster_id", "part"])
    rows = [] if table is None else table.to_pylist()
    counts = Counter(row["split"] for row in rows if row["part"] is not None)
    if split is not None and split not in counts:
        known = quote_names(sorted(counts)) or "none"
        raise NotFoundError(f"the release has no split '{split}', only {known}. Pass one of them as --split.")
    if not counts:
        layout.notes.append("the release has no split")
        return layout
    chosen = split or min(counts, key=lambda name: (-counts[name], name))
    layout.name = f"a release of geographer, split '{chosen}'"
    if others := sorted(counts.keys() - {chosen}):
        layout.notes.append(f"other splits were not looked at: {quote_names(others)}; pass --split NAME")
    counted = _select_counted_features(contents, layout, chosen)
    _add_samples(contents, layout, {row["raster_id"]: row["part"] for row in rows if row["split"] == chosen}, counted)
    return layout


def _select_counted_features(contents: ReleaseContents, layout: Layout, split: str) -> frozenset[str] | None:
    """Return the features that count as objects by the split's certificate, which is checked elsewhere; None: all."""
    content = read_json_file(contents.folder / "certificates" / f"{split}.json")
    where = read_filter(content) if isinstance(content, dict) else None
    if where is None:
        return None
    path = contents.folder / "tables/features.parquet"
    try:
        with memory_connection() as connection:
            source = f"read_parquet('{escape_literal(str(path))}')"
            columns = [row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
            condition = validate_expression(connection, where, columns)
            query = f"SELECT feature_id::VARCHAR FROM {source} WHERE {condition}"  # noqa: S608
            counted = frozenset(name for (name,) in connection.execute(query).fetchall())
    except (duckdb.Error, GeographerError):
        layout.notes.append("the certificate counts objects by an expression that cannot be evaluated; all count here")
        return None
    layout.notes.append(f"only features for which this is true count as objects, as the certificate states: {where}")
    return counted


def _add_samples(
    contents: ReleaseContents, layout: Layout, parts: dict[str, str | None], counted: frozenset[str] | None
) -> None:
    objects = _read_objects(contents, parts)
    labels, classes = _read_labels(contents), _read_classes(contents)
    for raster in sorted(contents.rasters, key=lambda row: str(row["raster_id"])):
        name, part = raster["raster_id"], parts.get(raster["raster_id"])
        if part is None:
            continue
        layout.declared.add(part)
        path = str(raster["path"])
        if not contents.has_path(path):
            detail = f"raster '{name}' of {part} has no file in the release (a footprint, a reference, or withdrawn)"
            layout.findings.append(AuditFinding("raster without file", Severity.HINT, str(name), detail))
            continue
        layout.samples.append(
            Sample(
                path,
                part,
                label_files=labels.get(name, ()),
                object_classes=tuple(sorted({classes[item] for item in objects.get(name, ()) if item in classes})),
                objects=frozenset(item for item in objects.get(name, ()) if counted is None or item in counted),
                image_id=name,
            )
        )


def _read_objects(contents: ReleaseContents, parts: dict[str, str | None]) -> dict[str, list[str]]:
    """Return the features that each raster of the split shows."""
    table = contents.read_table("edges", ["feature_id", "raster_id"])
    objects: dict[str, list[str]] = {}
    for row in [] if table is None else table.to_pylist():
        if row["raster_id"] in parts:
            objects.setdefault(row["raster_id"], []).append(str(row["feature_id"]))
    return objects


def _read_classes(contents: ReleaseContents) -> dict[str, str]:
    """Return the class of each feature."""
    table = contents.read_table("features", ["feature_id", "class"])
    rows = [] if table is None else table.to_pylist()
    return {str(row["feature_id"]): row["class"] for row in rows if row["class"] is not None}


def _read_labels(contents: ReleaseContents) -> dict[str, tuple[str, ...]]:
    table = contents.read_table("labels", ["raster_id", "path"])
    labels: dict[str, tuple[str, ...]] = {}
    for row in [] if table is None else table.to_pylist():
        if contents.has_path(str(row["path"])):
            labels[row["raster_id"]] = (*labels.get(row["raster_id"], ()), str(row["path"]))
    return labels
