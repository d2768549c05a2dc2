"""Import a GeoGrapher 1.0 directory: plan one event with its classes, features, rasters and footprints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import UsageError, quote_names
from geographer.operations.add.catalogue import CatalogueOptions, plan_catalogue_addition
from geographer.operations.add.features import FeatureOptions, plan_feature_addition
from geographer.operations.add.geographer_directory import (
    RASTERS,
    VECTORS,
    compare_edges,
    open_raster_layer,
    read_edges,
    require_empty,
)
from geographer.operations.add.rasters import plan_raster_addition
from geographer.planning.class_values import make_class_rows, number_classes
from geographer.planning.raster_rows import RasterOptions, StorageMode
from geographer.planning.user_columns import PROBABILITY_PREFIX, RESERVED_COLUMNS, deduplicate_column_names
from geographer.planning.vector_source import VectorSource, make_properties_sql
from geographer.storage.database.connection import Database, escape_literal, quote_identifier
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, EventDraft
from geographer.storage.log.append import append_event, create_log
from geographer.storage.log.row_tables import make_row_table
from geographer.storage.queries.revision import open_revision
from geographer.storage.state.update import update_state
from geographer.storage.unit_of_work import Change

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from geographer.operations.add.geographer_directory import GeographerDirectory
    from geographer.storage.queries.revision import Revision

_CLASS_COLUMN: Final = "type"


@dataclass(frozen=True, slots=True)
class GeographerImportOptions:
    """Options for importing a directory, as in `Dataset.import_geographer`; the event's request records them."""

    collection: str = "source"
    mode: StorageMode = "copy"
    class_column: str | None = None
    as_class: str | None = None
    on_error: Literal["fail", "skip"] = "fail"


def plan_geographer_import(
    revision: Revision,
    root: Path,
    directory: GeographerDirectory,
    options: GeographerImportOptions,
    request: dict[str, Any],
    scratch: Path,
) -> Change:
    """Plan the `geographer_imported` event with the same checks as adding features, rasters and a catalogue.

    The dataset's edges are computed in the empty folder `scratch` first, so that the payload can say how they differ
    from the directory's graph.

    Raises:
        NotFoundError, UsageError, ConflictError, CorruptError: As for features, rasters and catalogues.
    """
    existing = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    incoming = {name: int(name != directory.background) for name in (directory.background, *directory.classes) if name}
    conflict = (
        f"the dataset and the directory. Rename it in '{directory.connector_file('attrs.json')}' and '{VECTORS}', "
        "or import into a new dataset."
    )
    classes = number_classes(existing, incoming, conflict)
    features = _plan_features(revision, directory, options, classes)
    classes |= number_classes(existing | classes, dict.fromkeys(features.payload["classes"], 1))
    raster_options = RasterOptions(options.collection, options.mode, on_error=options.on_error)
    with open_raster_layer(revision, directory) as source:
        rasters = _plan_raster_files(revision, root, directory, source, raster_options)
        footprints = _make_footprint_rows(revision, source)
    raster_columns = {name: kind for name, (_, kind) in _list_raster_columns(source).items()}
    payload = {
        "request": request,
        "source": str(directory.path),
        "crs": features.payload["crs"],
        "collection": options.collection,
        "columns": {"feature": features.payload["columns"], "raster": raster_columns},
        "classes": [*classes],
        "features": features.payload["features"],
        "rasters": rasters.draft.payload["rasters"],
        "footprints": footprints.num_rows,
        "skipped": features.payload["skipped"] + rasters.draft.payload["skipped"],
        **_count_ignored_files(revision, directory),
    }
    draft = EventDraft("geographer_imported", payload, _combine_rows(classes, features, rasters.draft, footprints))
    payload["edges"], payload["differences"] = _count_edges_in_scratch(draft, directory, scratch)
    return replace(rasters, draft=draft)


def _count_edges_in_scratch(
    draft: EventDraft, directory: GeographerDirectory, scratch: Path
) -> tuple[dict[str, int], dict[str, int]]:
    """Append the event to a log in `scratch`; count old, new and different edges, and the differences by reason."""
    database = Database(scratch)
    create_log(database)
    append_event(database, draft, CommitInfo("scratch"), EMPTY_LOG_HEAD)
    update_state(database)
    with open_revision(database, 1) as revision:
        differences = compare_edges(revision, directory)
        count = int(revision.fetch_value("SELECT count(*) FROM current_edge"))
    counts = {"before": read_edges(directory).num_rows, "after": count, "different": differences.num_rows}
    return counts, dict(sorted(Counter(differences["why"].to_pylist()).items()))


def _plan_features(
    revision: Revision, directory: GeographerDirectory, options: GeographerImportOptions, classes: dict[str, int]
) -> EventDraft:
    with directory.open_layer(revision, VECTORS) as layer:
        if "vector_name" not in layer.columns:
            require_empty(revision, layer, "vector_name")
            payload = {"crs": layer.crs, "columns": {}, "features": 0, "skipped": 0, "classes": []}
            return EventDraft("features_added", payload)
        columns = {name: kind for name, kind in layer.columns.items() if name != directory.count_column}
        source, class_column = _find_class_column(replace(layer, columns=columns), directory, options)
        as_class = options.as_class
        if class_column is None and as_class is None and len(directory.classes) == 1:
            as_class = directory.classes[0]
        if class_column is None and as_class is None:
            raise UsageError(
                f"'{layer.name}' has no column '{_CLASS_COLUMN}' or {PROBABILITY_PREFIX}…, and the directory has "
                f"several task classes ({quote_names(directory.classes)}). Pass --class COLUMN or --as-class NAME."
            )
        feature_options = FeatureOptions("vector_name", class_column, as_class, on_error=options.on_error)
        draft = plan_feature_addition(revision, source, feature_options, {}, incoming_classes=classes)
        return replace(draft, rows={**draft.rows, "feature_change": revision.fetch_arrow("FROM new_feature")})


def _find_class_column(
    source: VectorSource, directory: GeographerDirectory, options: GeographerImportOptions
) -> tuple[VectorSource, str | None]:
    """Return the source and its class column; without one, add the most probable class (ties: the first in order)."""
    if options.as_class is not None:
        return source, None
    if options.class_column is not None or _CLASS_COLUMN in source.columns:
        return source, options.class_column or _CLASS_COLUMN
    expected = [PROBABILITY_PREFIX + name for name in directory.classes]
    columns = [name for name in expected if name in source.columns]
    columns += [name for name in source.columns if name.startswith(PROBABILITY_PREFIX) and name not in columns]
    if not columns:
        return source, None
    default_name = "most_probable_class"
    class_column = deduplicate_column_names([default_name], (*source.columns, source.geometry))[default_name]
    values = ", ".join(f"coalesce({quote_identifier(name)}::DOUBLE, -1)" for name in columns)
    classes = ", ".join(f"'{escape_literal(name.removeprefix(PROBABILITY_PREFIX))}'" for name in columns)
    argmax = f"([{classes}])[list_position([{values}], list_max([{values}]))]"
    relation = (
        f"(SELECT *, CASE WHEN list_max([{values}]) >= 0 THEN {argmax} END AS {quote_identifier(class_column)} "  # noqa: S608
        f"FROM {source.relation})"
    )
    return replace(source, relation=relation, columns={**source.columns, class_column: "VARCHAR"}), class_column


def _plan_raster_files(
    revision: Revision, root: Path, directory: GeographerDirectory, source: VectorSource, options: RasterOptions
) -> Change:
    """Plan the addition of the existing raster files, with their user columns from `rasters.geojson`."""
    import pyarrow as pa

    properties_sql = make_properties_sql(_list_raster_columns(source))
    files = revision.fetch_rows(
        f"SELECT raster_name, raster_id, {properties_sql} FROM {source.relation} WHERE on_disk ORDER BY ALL"  # noqa: S608
    )
    paths = [directory.raster_file(name) for name, *_ in files]
    planned = plan_raster_addition(revision, root, paths, options, {})
    rows = planned.draft.rows.get("raster_change")
    if rows is None or isinstance(rows, str):
        return planned
    properties = {raster_id: text for _, raster_id, text in files}
    column = pa.array([properties[raster_id] for raster_id in rows["raster_id"].to_pylist()], pa.string())
    rows = rows.set_column(rows.schema.get_field_index("properties"), "properties", column)
    return replace(planned, draft=replace(planned.draft, rows={**planned.draft.rows, "raster_change": rows}))


def _make_footprint_rows(revision: Revision, source: VectorSource) -> pa.Table:
    """Return the catalogue rows of rasters without a file."""
    without_file = replace(source, relation=f"(FROM {source.relation} WHERE NOT on_disk)")
    no_rows = make_row_table("raster_change", {"raster_id": []})
    if not revision.fetch_value(f"SELECT count(*) FROM {without_file.relation}"):  # noqa: S608
        return no_rows
    plan_catalogue_addition(revision, without_file, CatalogueOptions("raster_id"), {})
    return revision.fetch_arrow("FROM new_footprint").select(no_rows.column_names).cast(no_rows.schema)


def _list_raster_columns(source: VectorSource) -> dict[str, tuple[str, str]]:
    return source.list_user_columns({"raster_id"}, RESERVED_COLUMNS)


def _combine_rows(
    classes: dict[str, int], features: EventDraft, rasters: EventDraft, footprints: pa.Table
) -> dict[str, Any]:
    """Return the rows of all parts by log table, without empty tables."""
    import pyarrow as pa

    raster_rows = rasters.rows.get("raster_change")
    skipped = [draft.rows["skipped_input"] for draft in (features, rasters) if "skipped_input" in draft.rows]
    rows: dict[str, Any] = {
        "feature_change": features.rows.get("feature_change"),
        "class_change": make_class_rows(classes),
        "raster_change": footprints if raster_rows is None else pa.concat_tables([raster_rows, footprints]),
        "skipped_input": pa.concat_tables(skipped) if skipped else None,
    }
    return {table: part for table, part in rows.items() if part is not None and part.num_rows}


def _count_ignored_files(revision: Revision, directory: GeographerDirectory) -> dict[str, Any]:
    """Count the files that are not imported (labels, rasters that the connector does not list), with warnings."""
    n_labels = len(directory.list_files("labels"))
    with directory.open_layer(revision, RASTERS) as source:
        listed = set()
        if "raster_name" in source.columns:
            listed = {str(row[0]) for row in revision.fetch_rows(f"SELECT raster_name FROM {source.relation}")}  # noqa: S608
    unlisted = [name for name in directory.list_files("rasters") if name not in listed]
    warnings = []
    if n_labels:
        warnings.append(f"ignored label files: {n_labels:,}. Make labels with: geographer label")
    if unlisted:
        warnings.append(
            f"ignored files in '{directory.path / 'rasters'}' that {RASTERS} does not list: {len(unlisted):,} "
            f"({quote_names(unlisted)}). Add rasters with: geographer add rasters"
        )
    return {"left_aside_labels": n_labels, "left_aside_files": len(unlisted), "warnings": warnings}
