"""Import a GeoGrapher 1.0 directory: plan one event with its classes, features, rasters and footprints."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

import msgspec
from msgspec import UNSET

from geographer.base.errors import ConflictError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.base.values import Grid, Transform, validate_name
from geographer.operations.add.catalogue import AddCatalogue
from geographer.operations.add.events import EdgeCounts, FeaturesAdded, GeographerImported
from geographer.operations.add.feature_ids import CONTENT_IDS
from geographer.operations.add.features import AddFeatures, AsClass, plan_feature_addition
from geographer.operations.add.geographer_directory import (
    RASTERS,
    VECTORS,
    GeographerDirectory,
    compare_edges,
    open_geographer_directory,
    open_raster_layer,
    read_edges,
    require_empty,
)
from geographer.operations.add.geographer_labels import GeographerImportChange, plan_geographer_labels
from geographer.operations.add.label_files import RasterToLabel
from geographer.operations.add.rasters import AddRasters, CollectionName, Mode, plan_raster_addition
from geographer.planning.class_values import (
    make_class_rows,
    number_classes,
    read_class_values,
    read_ignored_values,
)
from geographer.planning.input_problems import omit_lone_skips
from geographer.planning.removed_rasters import count_rows
from geographer.planning.shared_parameters import NAME_SCHEMA, TEXT, OnError
from geographer.planning.user_columns import PROBABILITY_PREFIX, ObjectColumns, deduplicate_column_names
from geographer.planning.vectors.source import VectorSource
from geographer.storage.database.connection import Database, escape_literal, quote_identifier
from geographer.storage.database.dataset_folder import make_staging_folder
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo
from geographer.storage.events.plain_rows import make_arrow
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.log.append import append_event, create_log
from geographer.storage.queries.revision import Revision, open_revision
from geographer.storage.request import Change, PlanContext, Request
from geographer.storage.state.update import update_state

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.storage.events.plain_rows import PlannedRows

_CLASS_COLUMN: Final = "type"
_DIRECTORY_HELP: Final = "The folder with 'connector' and 'rasters'."
_LABEL: Final = Parameter("The name that the labels get.", "NAME", schema=NAME_SCHEMA, since=2)
_CLASS: Final = Parameter("The column of the features' classes.", "COLUMN", _CLASS_COLUMN, key="class_column")


class DirectoryRequest(Request, frozen=True):
    """A request about a data directory of GeoGrapher 1.0."""

    directory: Annotated[str | Path, Parameter(_DIRECTORY_HELP, "DIR", cli="argument", convert=str, schema=TEXT)]


class ImportGeographer(DirectoryRequest, kw_only=True, frozen=True):
    """Import DIR, a data directory of GeoGrapher 1.0, and compare its graph with the new one.

    Classes, features, rasters and labels are imported; rasters without a file become footprints. Label files, with one
    band of class values or a band for each class, are labels that were added; those that do not fit are counted.
    With --json, the lines after the first are the edges that differ, each with the reason.

    The task classes keep their order, and the background class its value 0; classes that the dataset has already are
    reused by name. Other classes of features become context classes, which labels do not draw. The class of a feature
    is its column 'type', or the most probable of its columns 'prob_of_class_…', of which the first task class wins
    ties. Chips become plain rasters, because GeoGrapher 1.0 does not record their parents.
    """

    event: ClassVar[type[GeographerImported]] = GeographerImported
    example = "import geographer ../old_data_dir --collection s2"

    collection: CollectionName = "source"
    mode: Mode = "copy"
    class_: Annotated[str | None, _CLASS] = None
    as_class: AsClass = None
    on_error: OnError = "fail"
    label: Annotated[str, _LABEL] = "labels"

    def make_plan(self, revision: Revision, context: PlanContext, /) -> GeographerImportChange:
        """Plan the import as one event, with the same checks as adding features, rasters and a catalogue.

        Raises:
            NotFoundError: The directory does not exist, or lacks a file of the connector.
            ConflictError: Ids exist, two rasters have one stem, or a class is the background on one side only.
            UsageError: A feature or a raster is invalid, or no class is known.
            CorruptError: A file is damaged.
        """
        validate_name("label", self.label)
        directory = open_geographer_directory(Path(self.directory))
        existing, names = read_class_values(revision), filter(None, (directory.background, *directory.classes))
        incoming = {name: int(name != directory.background) for name in names}
        ignored = read_ignored_values(revision)
        files = f"'{directory.connector_file('attrs.json')}' and '{VECTORS}'"
        conflict = f"the dataset and the directory. Rename it in {files}, or import into a new dataset."
        classes = number_classes(existing, incoming, ignored, conflict)
        features, feature_rows = _plan_features(revision, directory, self, classes)
        classes |= number_classes(existing | classes, features.classes, ignored)
        with open_raster_layer(revision, directory) as source:
            columns, properties_sql = source.list_user_columns(revision.connection, {"raster_id"})
            query = f"SELECT raster_name, raster_id, {properties_sql}, on_disk FROM {source.relation}"  # noqa: S608
            listed = revision.fetch_rows(f"{query} ORDER BY ALL")
            _reject_existing(revision, directory, "raster", [raster_id for _, raster_id, *_ in listed])
            paths = [directory.raster_file(name) for name, _, _, on_disk in listed if on_disk]
            addition = AddRasters(paths, collection=self.collection, mode=self.mode, on_error=self.on_error)
            properties = {raster_id: text for _, raster_id, text, _ in listed}
            rasters = plan_raster_addition(revision, context, addition, properties)
            footprints = _make_footprint_rows(revision, source, context)
        labelled = _list_rasters_to_label(rasters.rows, {id: name for name, id, _, on_disk in listed if on_disk})
        labels = plan_geographer_labels(revision, directory, labelled, existing | classes, self.label)
        n_files, warnings = _count_ignored_files(directory, {name for name, *_ in listed})
        other_rows = {"class_change": make_class_rows(classes), "raster_change": footprints}
        rows = _combine_rows(feature_rows, rasters.rows, other_rows)
        change = replace(rasters, rows=omit_lone_skips(str(directory.path), rows))
        event = GeographerImported(
            source=str(directory.path),
            columns=ObjectColumns(features.columns, columns),
            classes=[*classes],
            features=features.features,
            rasters=count_rows(rasters.rows, "raster_change"),
            footprints=footprints.num_rows,
            skipped=count_rows(change.rows, "skipped_input"),
            labels=len(labels.files),
            recipe=labels.recipe_record or UNSET,
            context_classes=_list_context_classes(revision, directory, self, features.classes) or UNSET,
            left_aside_labels=labels.left_out,
            left_aside_files=n_files,
            warnings=labels.warnings + warnings,
            edges=EdgeCounts(0, 0, 0),
            differences={},
            crs=features.crs,
            collection=self.collection,
        )
        with make_staging_folder(context.root) as scratch:
            change = replace(change, event=_count_edges(event, change, directory, scratch))
        return GeographerImportChange(change, labels)


def _reject_existing(
    revision: Revision, directory: GeographerDirectory, subject: Literal["feature", "raster"], ids: Collection[str]
) -> None:
    """Raise `ConflictError` if the dataset has some of the objects: an import adds all of a directory."""
    known = {id for (id,) in revision.fetch_rows(f"SELECT {subject}_id FROM current_{subject}")}  # noqa: S608
    if existing := [id for id in ids if id in known]:
        raise ConflictError(
            f"{quote_objects(subject, existing, 'is|are')} in the dataset already. If '{directory.path}' was imported "
            "before, there is nothing to do; take what is new there with geographer add features and geographer add "
            "rasters. Else import it into a new dataset: geographer init."
        )


def _list_context_classes(
    revision: Revision, directory: GeographerDirectory, request: ImportGeographer, added: Sequence[str]
) -> list[str]:
    """Return those of the added classes of features that the directory does not learn.

    There is none if no feature has a task class, or the classes come from elsewhere than the column of GeoGrapher 1.0.
    """
    if not added or request.class_ is not None or request.as_class is not None:
        return []
    has_task_class = "SELECT 1 FROM new_feature WHERE list_contains($classes::VARCHAR[], class) LIMIT 1"
    return [*added] if revision.fetch_rows(has_task_class, {"classes": directory.classes}) else []


def _list_rasters_to_label(
    rows: "Mapping[str, pa.Table | str]", name_by_id: Mapping[str, str]
) -> dict[str, RasterToLabel]:
    """Return the rasters in the rows of an addition, by the names that the directory has for them."""
    table = rows.get("raster_change")
    found = {}
    for row in [] if table is None or isinstance(table, str) else table.to_pylist():
        grid = Grid(row["crs"], Transform(*json.loads(row["transform"])), row["width"], row["height"])
        found[name_by_id[row["raster_id"]]] = RasterToLabel(row["raster_id"], row["collection"], grid)
    return found


def _count_edges(
    event: GeographerImported, change: Change, directory: GeographerDirectory, scratch: Path
) -> GeographerImported:
    """Return the event with the counts of old, new and different edges, computed in a log in the folder `scratch`."""
    database = Database(scratch)
    create_log(database)
    append_event(database, event, change.rows, CommitInfo("scratch"), EMPTY_LOG_HEAD)
    update_state(database)
    with open_revision(database, 1) as revision:
        differences = compare_edges(revision, directory)
        count = int(revision.fetch_value("SELECT count(*) FROM current_edge"))
    edges = EdgeCounts(read_edges(directory).num_rows, count, differences.num_rows)
    reasons = dict(sorted(Counter(differences["why"].to_pylist()).items()))
    return msgspec.structs.replace(event, edges=edges, differences=reasons)


def _plan_features(
    revision: Revision, directory: GeographerDirectory, request: ImportGeographer, classes: Collection[str]
) -> "tuple[FeaturesAdded, dict[str, pa.Table | str]]":
    with directory.open_layer(revision, VECTORS) as layer:
        if "vector_name" not in layer.columns:
            require_empty(revision, layer, "vector_name")
            nothing: dict[str, Any] = {"columns": {}, "features": 0, "skipped": 0, "classes": []}
            return FeaturesAdded(source=layer.name, crs=layer.crs, ids=CONTENT_IDS, **nothing), {}
        if request.on_error == "fail":
            ids = revision.fetch_rows(f"SELECT vector_name::VARCHAR FROM {layer.relation} ORDER BY ALL")  # noqa: S608
            _reject_existing(revision, directory, "feature", [id for (id,) in ids])
        columns = {name: kind for name, kind in layer.columns.items() if name != directory.count_column}
        source, class_column = _find_class_column(replace(layer, columns=columns), directory, request)
        only_class = directory.classes[0] if class_column is None and len(directory.classes) == 1 else None
        as_class = request.as_class if request.as_class is not None else only_class
        if class_column is None and as_class is None:
            raise UsageError(
                f"'{layer.name}' has no column '{_CLASS_COLUMN}' or {PROBABILITY_PREFIX}…, and the directory has "
                f"several task classes ({quote_names(directory.classes)}). Pass --class COLUMN or --as-class NAME."
            )
        on_error = request.on_error
        addition = AddFeatures(source, id="vector_name", class_=class_column, as_class=as_class, on_error=on_error)
        event, rows = plan_feature_addition(revision, addition, classes)
        return event, rows | {"feature_change": revision.fetch_arrow("FROM new_feature")}


def _find_class_column(
    source: VectorSource, directory: GeographerDirectory, request: ImportGeographer
) -> tuple[VectorSource, str | None]:
    """Return the source and its class column; without one, add the most probable class (ties: the first in order)."""
    if request.as_class is not None:
        return source, None
    if request.class_ is not None or _CLASS_COLUMN in source.columns:
        return source, request.class_ or _CLASS_COLUMN
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
    class_sql = f"CASE WHEN list_max([{values}]) >= 0 THEN {argmax} END AS {quote_identifier(class_column)}"
    relation = f"(SELECT *, {class_sql} FROM {source.relation})"  # noqa: S608
    return replace(source, relation=relation, columns={**source.columns, class_column: "VARCHAR"}), class_column


def _make_footprint_rows(revision: Revision, source: VectorSource, context: PlanContext) -> "pa.Table":
    """Return the catalogue rows of rasters without a file."""
    without_file = replace(source, relation=f"(FROM {source.relation} WHERE NOT on_disk)")
    no_rows = make_row_table("raster_change", {"raster_id": []})
    if not revision.fetch_value(f"SELECT count(*) FROM {without_file.relation}"):  # noqa: S608
        return no_rows
    AddCatalogue(without_file, id="raster_id").make_plan(revision, context)
    return revision.fetch_arrow("FROM new_footprint").select(no_rows.column_names).cast(no_rows.schema)


def _combine_rows(*parts: "Mapping[str, PlannedRows]") -> "dict[str, pa.Table]":
    """Return the rows of all parts by log table, without empty tables."""
    import pyarrow as pa

    found = {table: [part[table] for part in parts if table in part] for table in GeographerImported.tables}
    joined = {table: pa.concat_tables(map(make_arrow, rows)) for table, rows in found.items() if rows}
    return {table: rows for table, rows in joined.items() if rows.num_rows}


def _count_ignored_files(directory: GeographerDirectory, listed: Collection[str]) -> tuple[int, list[str]]:
    """Return the number of unlisted rasters, which are not imported, and warnings."""
    unlisted = [name for name in directory.list_files("rasters") if name not in listed]
    warnings = []
    if unlisted:
        warnings.append(
            f"ignored files in '{directory.path / 'rasters'}' that {RASTERS} does not list: {len(unlisted):,} "
            f"({quote_names(unlisted)}). Add rasters with: geographer add rasters"
        )
    return len(unlisted), warnings
