"""Feature rows: check the rows of vector data in SQL, and make the log's rows of those that are added or changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.operations.add.events import FeatureIds
from geographer.operations.add.feature_ids import (
    build_id_sql,
    build_is_integer_sql,
    find_id_column,
    find_repeated_id,
)
from geographer.planning.input_problems import InputProblem, NamedTexts, raise_first_problem
from geographer.planning.original_class import list_original_class_columns
from geographer.planning.redacted_columns import reject_credentials
from geographer.planning.vectors.dateline import cut_at_dateline
from geographer.planning.vectors.source import VectorSource
from geographer.storage.database.connection import escape_literal, quote_identifier, run_script
from geographer.storage.database.sql_sandbox import validate_expression
from geographer.storage.events.payload import Columns
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.queries.revision import CombinedColumn, Revision, combine_user_columns

if TYPE_CHECKING:
    from geographer.operations.add.features import AddFeatures

_MAX_CRS_LENGTH: Final = 50
_RESERVED_COLUMNS: Final = {"feature_id", "class", "geometry"}
_CHECK_FEATURES: Final = Path(__file__).with_name("check_features.sql")
_COMPARABLE_VALUES: Final = Path(__file__).with_name("comparable_values.sql")
_FEATURE_CHANGES: Final = Path(__file__).with_name("feature_changes.sql")
_TOLERANCES: Final = {"EPSG:4326": 1e-9}
"""Distance in units of the CRS, within which vertices are equal that were transformed to it: 0.1 mm."""
_TOLERANCE: Final = 1e-4
_PROBLEMS: Final = {
    "no_geometry": InputProblem("it has no geometry"),
    "unsupported_geometry": InputProblem(
        "its geometry cannot be read: use points, lines or polygons, not surfaces, TINs or, in Parquet, curves"
    ),
    "empty_geometry": InputProblem("its geometry is empty"),
    "no_id": InputProblem("it has no id"),
    "geometry_collection": InputProblem("its geometry is a collection: use points, lines or polygons"),
    "not_finite": InputProblem("its coordinates are not finite"),
    "outside_lonlat": InputProblem("its coordinates are out of range: longitude is -180 to 180, latitude -90 to 90"),
    "outside_crs": InputProblem("its coordinates are out of range for its CRS"),
    "invalid_geometry": InputProblem("its geometry is invalid: see ST_IsValid, or repair it with make_valid"),
    "unreadable_time": InputProblem("it has a date outside of the years 1 to 9999"),
    "repeated_id": InputProblem("its id stands twice in the file", ConflictError),
    "existing_id": InputProblem("its id is in the dataset already", ConflictError, "Pass --replace"),
}
"""Problems that check_features.sql reports; `skipped_input` records the reasons, so they must not change."""


def stage_features(
    revision: Revision,
    source: VectorSource,
    request: "AddFeatures",
    ids: FeatureIds,
    classes: list[str],
    *,
    makes_ids: bool,
) -> Columns:
    """Make the temp table `checked_feature` and the view `new_feature` of log rows; return the user columns.

    With `replace` or `sync`, `feature_difference` says what differs. `classes` are those of objects in the dataset.
    With `makes_ids`, rows that lack an id get one made from their content.
    """
    id_sql = build_id_sql(revision, source, ids)
    class_column, class_sql = _find_class(source, request, classes)
    known = revision.list_user_columns("feature")
    keeps_features = request.replace or request.sync
    reserved = _RESERVED_COLUMNS if keeps_features else _RESERVED_COLUMNS | list_original_class_columns(revision)
    id_column = find_id_column(source, ids)
    source = cut_at_dateline(revision.connection, source, id_column)
    excluded = {id_column, class_column, find_repeated_id(revision, source, id_column)}
    types, properties = source.list_user_columns(revision.connection, excluded, reserved, known)
    columns = [*source.columns, source.geometry, *filter(None, [source.fid])]
    where = validate_expression(revision.connection, request.where, columns) if request.where is not None else "true"
    options = {
        "crs": source.crs,
        "replaces": keeps_features,
        "makes_ids": ids.source == "content" or makes_ids,
        "integer_ids": build_is_integer_sql(source, ids) == "true",
    }
    with source.translate_errors(request.where):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP VIEW input_feature AS SELECT "  # noqa: S608
            f"{id_sql} AS feature_id, {class_sql} AS class, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry, "
            f"{properties} AS properties, {source.build_unreadable_time_sql()} AS has_unreadable_time, "
            f"{source.unsupported} AS is_unsupported "
            f"FROM {source.relation} WHERE {where}"
        )
        revision.connection.execute(_CHECK_FEATURES.read_text(), options)
    reject_credentials(revision.connection, "checked_feature", {"feature id": "feature_id", "class name": "class"})
    is_integer = build_is_integer_sql(source, ids)
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW checked_row AS "  # noqa: S608
        f"SELECT row_index, 'added' AS change, feature_id, {is_integer} AS id_is_integer, class, "
        f"ST_AsWKB(geometry)::BLOB AS geometry, '{escape_literal(source.crs)}' AS crs, properties, geometry AS shape "
        "FROM checked_feature WHERE problem IS NULL"
    )
    rows = "checked_row"
    if keeps_features:
        _stage_differences(revision, source, known, types, removes=request.sync)
        rows = "feature_difference"
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW new_feature AS "  # noqa: S608
        f"SELECT change, feature_id, id_is_integer, class, geometry, crs, properties FROM {rows} "
        "ORDER BY row_index NULLS LAST, feature_id"
    )
    return types


def _stage_differences(
    revision: Revision, source: VectorSource, known: Columns, types: Columns, *, removes: bool
) -> None:
    """Make the temp table `feature_difference`: values are compared as the dataset's columns show them."""
    columns = combine_user_columns({**dict.fromkeys(types, "VARCHAR"), **known})
    digest = build_row_digest_sql("feature_change")
    texts, connection = _build_texts_sql(columns), revision.connection
    run_script(connection, _COMPARABLE_VALUES.read_text())
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW file_feature AS "  # noqa: S608
        f"SELECT *, {digest} AS row_digest, {texts} AS texts FROM checked_row"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW dataset_feature AS "  # noqa: S608
        "SELECT feature_id, id_is_integer, class, coalesce(native, geometry) AS native, geometry AS lonlat, crs, "
        f"row_digest, {texts} AS texts FROM current_feature"
    )
    options = {
        "crs": source.crs,
        "columns": [column.name for column in columns],
        "removes": removes,
        "tolerance": _TOLERANCES.get(source.crs, _TOLERANCE),
    }
    connection.execute(_FEATURE_CHANGES.read_text(), options)


def _build_texts_sql(columns: list[CombinedColumn]) -> str:
    """Return SQL for the list of a row's values in user columns, as comparable_values.sql makes them comparable."""
    return f"[{', '.join(f'comparable_{column.type}({column.value_sql})' for column in columns)}]::VARCHAR[]"


def _find_class(source: VectorSource, request: "AddFeatures", classes: list[str]) -> tuple[str | None, str]:
    """Return the class column, if there is one, and SQL for the class of a row."""
    default = "class" if "class" in source.columns and not request.as_class else None
    if (column := default if request.class_ is None else request.class_) is not None:
        return column, f"{quote_identifier(source.require_column(column))}::VARCHAR"
    if not request.as_class and len(classes) > 1:
        raise UsageError(
            f"'{source.name}' has no column 'class', and the dataset has several classes ({quote_names(classes)}). "
            "Pass --class COLUMN, or --as-class NAME for all features."
        )
    return None, f"'{escape_literal(request.as_class or next(iter(classes), 'object'))}'"


def reject_implausible_crs(revision: Revision, source: VectorSource) -> None:
    """Raise if most geometries lie outside their CRS, e.g. coordinates in metres that are declared as degrees."""
    is_outside = "FILTER (problem IN ('outside_lonlat', 'outside_crs'))"
    outside, count, example = revision.fetch_rows(
        f"SELECT count(*) {is_outside}, count(*), any_value(ST_AsText(ST_Centroid(geometry))) {is_outside} "  # noqa: S608
        "FROM checked_feature WHERE geometry IS NOT NULL"
    )[0]
    if outside * 2 > count:
        crs = {"EPSG:4326": "longitude/latitude (EPSG:4326)"}.get(source.crs, source.crs)
        crs = crs if len(crs) < _MAX_CRS_LENGTH else "its CRS"
        raise UsageError(
            f"'{source.name}' declares {crs} but has coordinates outside of it, such as {example}. "
            "Pass --crs with the CRS of the coordinates."
        )


def collect_skipped_rows(
    revision: Revision, source: VectorSource, request: "AddFeatures", ids: FeatureIds
) -> NamedTexts:
    """Return the name and the problem of each invalid row; raise if there is one and `on_error` is `fail`."""
    rows = revision.fetch_rows(
        "SELECT coalesce(feature_id, 'row ' || row_index), problem FROM checked_feature "
        "WHERE problem IS NOT NULL ORDER BY row_index"
    )
    if rows and request.on_error == "fail":
        has_found_column = request.id is None and ids.column is not None and rows[0][1] in ("no_id", "repeated_id")
        other_ids = f", or name another column than '{ids.column}' with --id, or --id fid" if has_found_column else ""
        raise_first_problem("add", source.name, rows, _PROBLEMS, f"{other_ids}, or pass --on-error skip")
    return [(name, _PROBLEMS[code].reason) for name, code in rows]
