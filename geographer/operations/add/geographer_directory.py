"""A data directory of the previous library, GeoGrapher 1.0, in: one event, and its graph compared with ours."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_names
from geographer.operations.add.catalogue import CatalogueOptions, plan_catalogue
from geographer.operations.add.features import FeatureOptions, plan_features
from geographer.operations.add.rasters import SUFFIXES, RasterAddition, plan_rasters
from geographer.planning.raster_rows import RasterOptions, StorageMode
from geographer.planning.user_columns import RESERVED_COLUMNS
from geographer.planning.vector_source import VectorSource, open_vector_source, properties_sql
from geographer.storage.database.connection import Database, escape_literal, quote_identifier, run_script
from geographer.storage.events import EMPTY_LOG_HEAD, CommitInfo, EventDraft
from geographer.storage.log.append import append_event, create_log
from geographer.storage.log.row_tables import make_row_table
from geographer.storage.queries.revision import open_revision
from geographer.storage.state.update import MACROS, update_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from geographer.storage.queries.revision import Revision

_FILES: Final = ("attrs.json", "vectors.geojson", "rasters.geojson", "graph.json")
_DEFAULT_CLASSES: Final = ["object"]
_COUNT: Final = "raster_count"
_SOFT: Final = "prob_of_class_"
_DIFFERENCES: Final = Path(__file__).with_name("edge_differences.sql")


@dataclass(frozen=True, slots=True)
class GeographerOptions:
    """How a directory is taken over; `class_column` and `as_class` where its features have no column `type`."""

    collection: str = "source"
    mode: StorageMode = "copy"
    class_column: str | None = None
    as_class: str | None = None
    on_error: Literal["fail", "skip"] = "fail"


@dataclass(frozen=True, slots=True)
class OldDirectory:
    """A data directory of GeoGrapher 1.0: what its `attrs.json` says, and where its parts lie.

    `classes` are the task classes in their order; `background` erases in labels; `count_column` is the column of
    the features in which the library counted rasters.
    """

    path: Path
    classes: list[str]
    background: str | None
    count_column: str

    def file(self, name: str) -> Path:
        """One of the connector's files."""
        return self.path / "connector" / name

    def raster(self, name: str) -> Path:
        """The file of a raster, there or not."""
        return self.path / "rasters" / name

    def files_in(self, folder: str) -> list[str]:
        """The names of all files in `rasters` or `labels`."""
        inside = self.path / folder
        return sorted(path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file())


def old_directory(path: Path) -> OldDirectory:
    """The data directory at `path`.

    Raises:
        NotFoundError: it lacks a file of the connector.
        CorruptError: `attrs.json` is no JSON object.
    """
    lacking = [name for name in _FILES if not (path / "connector" / name).is_file()]
    if lacking:
        raise NotFoundError(
            f"'{path}' is no data directory of GeoGrapher 1.0: its connector lacks {quote_names(lacking)}; "
            "give the folder that holds 'connector' and 'rasters'"
        )
    attrs = _json_object(path / "connector" / "attrs.json")
    classes = attrs.get("task_vector_classes") or _DEFAULT_CLASSES
    return OldDirectory(
        path, list(classes), attrs.get("background_class"), attrs.get("raster_count_col_name") or _COUNT
    )


def plan_geographer(
    revision: Revision,
    root: Path,
    directory: OldDirectory,
    options: GeographerOptions,
    request: dict[str, Any],
    scratch: Path,
) -> RasterAddition:
    """The `geographer_imported` event for a directory, and the raster files whose bytes DVC is to store.

    Everything goes through what `add features`, `add rasters` and `add catalogue` go through. The event's graph is
    derived in the empty folder `scratch` first, so that the payload can say how it differs from the old one.

    Raises:
        NotFoundError, UsageError, ConflictError, CorruptError: as those three.
    """
    classes = _new_classes(revision, directory)
    features = _features(revision, directory, options, request, [name for name, _ in classes])
    classes += _numbered(revision, features.payload["classes"], len([value for _, value in classes if value]))
    with _old_rasters(revision, directory) as source:
        files = _raster_files(revision, root, directory, source, options, request)
        footprints, own = _footprints(revision, source, request)
    rows = _merged(revision, classes, features, files.draft, footprints)
    payload = {
        "request": request,
        "source": str(directory.path),
        "crs": features.payload["crs"],
        "collection": options.collection,
        "columns": {"feature": features.payload["columns"], "raster": own},
        "classes": [name for name, _ in classes],
        "features": features.payload["features"],
        "rasters": files.draft.payload["rasters"],
        "footprints": footprints.num_rows,
        "skipped": features.payload["skipped"] + files.draft.payload["skipped"],
        **_left_aside(revision, directory),
    }
    payload["edges"], payload["differences"] = _rehearsed(
        EventDraft("geographer_imported", payload, rows), directory, scratch
    )
    return RasterAddition(EventDraft("geographer_imported", payload, rows), files.files)


def edge_differences(revision: Revision, directory: OldDirectory) -> pa.Table:
    """Every pair about which the directory's graph and that of `revision` do not agree, and why.

    Columns, all text: feature_id, raster_id, was (`contains`, `intersects` or null, in the old graph), now (the same
    here), why. Only features and rasters that the directory names are looked at.
    """
    connection = revision.connection
    run_script(connection, MACROS.read_text())
    connection.register("old_edge", _old_edges(directory))
    try:
        with _old_rasters(revision, directory) as rasters, _opened(revision, directory, "vectors.geojson") as vectors:
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE old_footprint AS "  # noqa: S608
                f"SELECT raster_id, raster_name, ST_Force2D({quote_identifier(rasters.geometry)}::GEOMETRY) AS footprint, "
                f"$crs AS crs FROM {rasters.relation}",
                {"crs": rasters.crs},
            )
            names = "vector_name::VARCHAR" if "vector_name" in vectors.columns else "NULL::VARCHAR"
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE old_vector AS SELECT {names} AS feature_id, "  # noqa: S608
                f"ST_Force2D({quote_identifier(vectors.geometry)}::GEOMETRY) AS geometry, $crs AS crs "
                f"FROM {vectors.relation}",
                {"crs": vectors.crs},
            )
        return revision.fetch_arrow(_DIFFERENCES.read_text())
    finally:
        connection.unregister("old_edge")


def _rehearsed(draft: EventDraft, directory: OldDirectory, scratch: Path) -> tuple[dict[str, int], dict[str, int]]:
    """How many edges the old graph, and the one that the event would give, have; and how often they differ, and why."""
    engine = Database(scratch)
    create_log(engine)
    append_event(engine, draft, CommitInfo("rehearsal"), EMPTY_LOG_HEAD)
    update_state(engine)
    with open_revision(engine, 1) as view:
        differences = edge_differences(view, directory)
        ours = int(view.fetch_value("SELECT count(*) FROM edge_now"))
    counts = {"before": _old_edges(directory).num_rows, "after": ours, "different": differences.num_rows}
    return counts, dict(sorted(Counter(differences["why"].to_pylist()).items()))


def _new_classes(revision: Revision, directory: OldDirectory) -> list[tuple[str, int]]:
    """The classes of the directory that the dataset lacks: the background's value is 0, task classes go on counting.

    Raises:
        ConflictError: a class is the background on one side, and one to be found on the other.
    """
    known = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    background = [directory.background] if directory.background else []
    clashing = [name for name in background if known.get(name)]
    clashing += [name for name in directory.classes if known.get(name) == 0]
    if clashing:
        raise ConflictError(
            f"class {quote_names(clashing)} is the background on one side, and has a value on the other: rename it in "
            f"'{directory.file('attrs.json')}' and 'vectors.geojson', or import into a dataset of its own"
        )
    fresh = [name for name in directory.classes if name not in known]
    return [*((name, 0) for name in background if name not in known), *_numbered(revision, fresh, 0)]


def _numbered(revision: Revision, names: Sequence[str], after: int) -> list[tuple[str, int]]:
    last = revision.fetch_value("SELECT coalesce(max(value), 0) FROM classes") + after
    return [(name, last + 1 + number) for number, name in enumerate(names)]


def _features(
    revision: Revision, directory: OldDirectory, options: GeographerOptions, request: dict[str, Any], coming: list[str]
) -> EventDraft:
    """The rows of the features, whose class is the column `type`, or the most probable of `prob_of_class_*`."""
    with _opened(revision, directory, "vectors.geojson") as source:
        if "vector_name" not in source.columns:
            _require_empty(revision, source, "vector_name")
            empty = {"crs": source.crs, "columns": {}, "features": 0, "skipped": 0, "classes": []}
            return EventDraft("features_added", empty)
        kept = {name: kind for name, kind in source.columns.items() if name != directory.count_column}
        classed, column = _with_class(replace(source, columns=kept), directory, options)
        wanted = FeatureOptions("vector_name", column, options.as_class, None, None, options.on_error)
        one = directory.classes[0] if len(directory.classes) == 1 else None
        if column is None and wanted.as_class is None:
            wanted = replace(wanted, as_class=one)
        if column is None and wanted.as_class is None:
            raise UsageError(
                f"'{source.name}' has neither a column 'type' nor prob_of_class_…, and the task classes are "
                f"{quote_names(directory.classes)}: pass --class COLUMN to say which is which, or --as-class NAME for all"
            )
        draft = plan_features(revision, classed, wanted, request, coming=coming)
        rows = {**draft.rows, "feature_change": revision.fetch_arrow("FROM new_feature")}
    return EventDraft(draft.kind, draft.payload, rows)


def _with_class(
    source: VectorSource, directory: OldDirectory, options: GeographerOptions
) -> tuple[VectorSource, str | None]:
    """The source, and which of its columns is the class; of soft classes the most probable, the first where equal."""
    if options.as_class is not None:
        return source, None
    if options.class_column is not None or "type" in source.columns:
        return source, options.class_column or "type"
    soft = [f"{_SOFT}{name}" for name in directory.classes if f"{_SOFT}{name}" in source.columns]
    soft += [column for column in source.columns if column.startswith(_SOFT) and column not in soft]
    if not soft:
        return source, None
    column = _free("most_probable_class", source)
    shares = ", ".join(f"coalesce({quote_identifier(name)}::DOUBLE, -1)" for name in soft)
    names = ", ".join(f"'{escape_literal(name.removeprefix(_SOFT))}'" for name in soft)
    most = f"CASE WHEN list_max([{shares}]) >= 0 THEN ([{names}])[list_position([{shares}], list_max([{shares}]))] END"
    relation = f"(SELECT *, {most} AS {quote_identifier(column)} FROM {source.relation})"  # noqa: S608
    return replace(source, relation=relation, columns={**source.columns, column: "VARCHAR"}), column


def _free(name: str, source: VectorSource) -> str:
    taken = {column.lower() for column in (*source.columns, source.geometry)}
    while name.lower() in taken:
        name += "_"
    return name


@contextmanager
def _opened(revision: Revision, directory: OldDirectory, name: str) -> Iterator[VectorSource]:
    with open_vector_source(revision.connection, directory.file(name), None) as source:
        yield source


@contextmanager
def _old_rasters(revision: Revision, directory: OldDirectory) -> Iterator[VectorSource]:
    """`rasters.geojson` with two columns more: `raster_id`, which is ours, and `on_disk`.

    Raises:
        ConflictError: two rasters would have one id, which is the stem of the file's name.
    """
    import pyarrow as pa

    with _opened(revision, directory, "rasters.geojson") as source:
        if "raster_name" not in source.columns:
            _require_empty(revision, source, "raster_name")
            nothing = "NULL::VARCHAR AS raster_name, NULL::VARCHAR AS raster_id, false AS on_disk"
            yield replace(source, relation=f"(SELECT *, {nothing} FROM {source.relation} WHERE false)")  # noqa: S608
            return
        names = [str(row[0]) for row in revision.fetch_rows(f"SELECT DISTINCT raster_name FROM {source.relation}")]  # noqa: S608
        ids = [_raster_id(directory, name) for name in names]
        _refuse_twins(names, ids)
        there = pa.array([directory.raster(name).is_file() for name in names], pa.bool_())
        known = pa.table(
            {"named": pa.array(names, pa.string()), "raster_id": pa.array(ids, pa.string()), "on_disk": there}
        )
        revision.connection.register("old_raster", known)
        try:
            # A column of the person's own of that name would be ambiguous.
            own = "read.* RENAME (raster_id AS raster_id_)" if "raster_id" in source.columns else "read.*"
            columns = {("raster_id_" if name == "raster_id" else name): kind for name, kind in source.columns.items()}
            relation = (
                f"(SELECT {own}, old_raster.raster_id, on_disk FROM {source.relation} AS read "  # noqa: S608
                "JOIN old_raster ON named = raster_name::VARCHAR)"
            )
            yield replace(source, relation=relation, columns={**columns, "raster_id": "VARCHAR"})
        finally:
            revision.connection.unregister("old_raster")


def _raster_id(directory: OldDirectory, name: str) -> str:
    """The old library calls a raster by its file's name, we by its stem."""
    path = Path(name)
    return path.stem if directory.raster(name).is_file() or path.suffix.lower() in SUFFIXES else name


def _refuse_twins(names: list[str], ids: list[str]) -> None:
    twice = {identity for identity, count in Counter(ids).items() if count > 1}
    if twice:
        told = sorted(name for name, identity in zip(names, ids, strict=True) if identity in twice)
        raise ConflictError(
            f"rasters {quote_names(told)}: a raster's id is its file's stem, and these share one; rename one"
        )


def _raster_files(
    revision: Revision,
    root: Path,
    directory: OldDirectory,
    source: VectorSource,
    options: GeographerOptions,
    request: dict[str, Any],
) -> RasterAddition:
    """The raster files that exist, as `add rasters` would add them, with their own columns from `rasters.geojson`."""
    import pyarrow as pa

    own = _own_columns(source)
    found = revision.fetch_rows(
        f"SELECT raster_name, raster_id, {properties_sql(own)} FROM {source.relation} WHERE on_disk ORDER BY ALL"  # noqa: S608
    )
    wanted = RasterOptions(options.collection, options.mode, on_error=options.on_error)
    addition = plan_rasters(revision, root, [directory.raster(name) for name, *_ in found], wanted, request)
    rows = addition.draft.rows.get("raster_change")
    if rows is None or isinstance(rows, str):
        return addition
    properties = {identity: text for _, identity, text in found}
    column = pa.array([properties[identity] for identity in rows["raster_id"].to_pylist()], pa.string())
    filled = rows.set_column(rows.schema.get_field_index("properties"), "properties", column)
    draft = EventDraft(addition.draft.kind, addition.draft.payload, {**addition.draft.rows, "raster_change": filled})
    return RasterAddition(draft, addition.files)


def _footprints(revision: Revision, source: VectorSource, request: dict[str, Any]) -> tuple[pa.Table, dict[str, str]]:
    """The rows of the rasters without a file, as of a catalogue; and the own columns of all, with their types."""
    own = {name: kind for name, (_, kind) in _own_columns(source).items()}
    absent = replace(source, relation=f"(FROM {source.relation} WHERE NOT on_disk)")
    none = make_row_table("raster_change", {"raster_id": []})
    if not revision.fetch_value(f"SELECT count(*) FROM {absent.relation}"):  # noqa: S608
        return none, own
    plan_catalogue(revision, absent, CatalogueOptions("raster_id"), request)
    columns = ", ".join(map(quote_identifier, none.column_names))
    return revision.fetch_arrow(f"SELECT {columns} FROM new_footprint").cast(none.schema), own  # noqa: S608


def _own_columns(source: VectorSource) -> dict[str, tuple[str, str]]:
    return source.list_user_columns({"raster_id"}, RESERVED_COLUMNS)


def _require_empty(revision: Revision, source: VectorSource, column: str) -> None:
    if revision.fetch_value(f"SELECT count(*) FROM {source.relation}"):  # noqa: S608
        raise UsageError(f"'{source.name}' has no column '{column}': is it GeoGrapher 1.0 that wrote it?")


def _merged(
    revision: Revision, classes: list[tuple[str, int]], features: EventDraft, files: EventDraft, footprints: pa.Table
) -> dict[str, Any]:
    """The rows of all of them, table by table; those without any are left out."""
    import pyarrow as pa

    rows: dict[str, Any] = {"feature_change": features.rows.get("feature_change")}
    names, values = [name for name, _ in classes], [value for _, value in classes]
    rows["class_change"] = make_row_table("class_change", {"class": names, "value": values})
    given = files.rows.get("raster_change")
    rows["raster_change"] = footprints if given is None else pa.concat_tables([given, footprints])
    skipped = [
        part for part in (features.rows.get("skipped_input"), files.rows.get("skipped_input")) if part is not None
    ]
    rows["skipped_input"] = pa.concat_tables(skipped) if skipped else None
    return {table: part for table, part in rows.items() if part is not None and part.num_rows}


def _left_aside(revision: Revision, directory: OldDirectory) -> dict[str, Any]:
    """How many files of the directory are not taken over, and the words that a person reads about them."""
    labels = len(directory.files_in("labels"))
    with _opened(revision, directory, "rasters.geojson") as source:
        listed = set()
        if "raster_name" in source.columns:
            listed = {str(row[0]) for row in revision.fetch_rows(f"SELECT raster_name FROM {source.relation}")}  # noqa: S608
    strangers = [name for name in directory.files_in("rasters") if name not in listed]
    warnings = []
    if labels:
        warnings.append(f"{labels:,} labels are left aside: make them again with geographer label")
    if strangers:
        warnings.append(
            f"{len(strangers):,} files in '{directory.path / 'rasters'}' are left aside, because rasters.geojson does "
            f"not name them ({quote_names(strangers)}): add those that belong with geographer add rasters"
        )
    return {"left_aside_labels": labels, "left_aside_files": len(strangers), "warnings": warnings}


def _old_edges(directory: OldDirectory) -> pa.Table:
    """The old graph's edges: feature_id, raster_name, and the relation from the feature's side and the raster's."""
    import pyarrow as pa

    graph = _json_object(directory.file("graph.json"))
    try:
        forth = {(v, r): relation for v, rasters in graph["vectors"].items() for r, relation in rasters.items()}
        back = {(v, r): relation for r, vectors in graph["rasters"].items() for v, relation in vectors.items()}
    except (KeyError, AttributeError) as error:
        raise CorruptError(f"'{directory.file('graph.json')}' is no graph of GeoGrapher 1.0: {error!r}") from error
    pairs = list(dict.fromkeys([*forth, *back]))
    columns = {
        "feature_id": [vector for vector, _ in pairs],
        "raster_name": [raster for _, raster in pairs],
        "was": [forth.get(pair) for pair in pairs],
        "backward": [back.get(pair) for pair in pairs],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _json_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CorruptError(f"'{path}' can't be read as JSON ({error}): restore it, then import again") from error
    if not isinstance(content, dict):
        raise CorruptError(f"'{path}' holds no JSON object: restore it, then import again")
    return content
