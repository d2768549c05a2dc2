"""Add features: read vector data, check each row in SQL, and plan the `features_added` event."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.operations.add.input_problems import FEATURE_PROBLEMS, make_skipped_rows, raise_first_problem
from geographer.planning.class_values import make_class_rows, number_classes
from geographer.planning.vector_source import VectorSource, make_properties_sql, open_vector_source
from geographer.storage.database.connection import escape_literal, quote_identifier
from geographer.storage.database.sql_sandbox import validate_expression
from geographer.storage.events import EventDraft
from geographer.storage.log.digests import build_row_digest_sql

if TYPE_CHECKING:
    from collections.abc import Collection

    from geographer.storage.queries.revision import Revision

_ID_COLUMNS: Final = ("feature_id", "id")
_INTEGER_TYPES: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_WIDE_INTEGER_TYPES: Final = ("UBIGINT", "HUGEINT", "UHUGEINT")
_MAX_CRS_LENGTH: Final = 50
_DEFAULT_CLASS: Final = "object"
_RESERVED_COLUMNS: Final = {"feature_id", "class", "geometry"}
_CHECK_FEATURES: Final = Path(__file__).with_name("check_features.sql")


@dataclass(frozen=True, slots=True)
class FeatureOptions:
    """Options for adding features, as in `Dataset.add_features`; the event's request records them."""

    id_column: str | None = None
    class_column: str | None = None
    as_class: str | None = None
    where: str | None = None
    crs: str | None = None
    on_error: Literal["fail", "skip"] = "fail"
    replace: bool = False


def plan_feature_addition(
    revision: Revision,
    data: Any,
    options: FeatureOptions,
    request: dict[str, Any],
    *,
    incoming_classes: Collection[str] = (),
) -> EventDraft:
    """Plan the `features_added` event for vector data. Its rows are the view `new_feature` of the connection.

    Features may use the `incoming_classes`, which the same event adds.

    Raises:
        NotFoundError: A file, column or class does not exist.
        UsageError: A geometry is missing, empty, invalid or out of range, or there is no id or CRS.
        ConflictError: An id is repeated or already in the dataset.
    """
    if options.class_column is not None and options.as_class is not None:
        raise UsageError("--class (a column) and --as-class (one class for all) exclude each other. Pass one of them.")
    existing = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    with open_vector_source(revision.connection, data, options.crs) as source:
        user_columns = _stage_features(revision, source, options, existing)
    _reject_implausible_crs(revision, source)
    skipped = _collect_skipped_rows(revision, source, options.on_error)
    classes = _list_new_classes(revision, source, {*existing, *incoming_classes})
    added, changed = revision.fetch_rows(
        "SELECT count(*) FILTER (change = 'added'), count(*) FILTER (change = 'changed') FROM new_feature"
    )[0]
    payload = {
        "request": request,
        "source": source.name,
        "crs": source.crs,
        "columns": {name: kind for name, (_, kind) in user_columns.items()},
        "features": added + changed,
        "skipped": len(skipped),
        "classes": classes,
    }
    if options.replace:
        valid = revision.fetch_value("SELECT count(*) FROM checked_feature WHERE problem IS NULL")
        payload |= {"added": added, "changed": changed, "unchanged": valid - added - changed}
    rows: dict[str, Any] = {"feature_change": "new_feature"} if added + changed else {}
    if classes:
        rows["class_change"] = make_class_rows(number_classes(existing, dict.fromkeys(classes, 1)))
    return EventDraft("features_added", payload, rows | make_skipped_rows(source.name, skipped))


def _stage_features(
    revision: Revision, source: VectorSource, options: FeatureOptions, classes: dict[str, int]
) -> dict[str, tuple[str, str]]:
    """Make the temp table `checked_feature` and the view `new_feature` of log rows; return the user columns."""
    id_column = source.find_id_column(options.id_column, _ID_COLUMNS)
    class_column, class_sql = _find_class(source, options, [name for name, value in classes.items() if value > 0])
    user_columns = source.list_user_columns({id_column, class_column}, _RESERVED_COLUMNS)
    where = "true"
    if options.where is not None:
        where = validate_expression(revision.connection, options.where, [*source.columns, source.geometry])
    with source.translate_errors(options.where):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP VIEW input_feature AS SELECT "  # noqa: S608
            f"{quote_identifier(id_column)}::VARCHAR AS feature_id, {class_sql} AS class, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry, "
            f"{make_properties_sql(user_columns)} AS properties FROM {source.relation} WHERE {where}"
        )
        revision.connection.execute(_CHECK_FEATURES.read_text(), {"crs": source.crs, "replace": options.replace})
    # With `replace`, a row whose digest equals that of the existing feature is no change.
    differs = (
        f"existing_digest IS DISTINCT FROM {build_row_digest_sql('feature_change')}" if options.replace else "true"
    )
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW new_feature AS SELECT * EXCLUDE (row_index, existing_digest) FROM ("  # noqa: S608
        "SELECT row_index, existing_digest, if(existing_digest IS NULL, 'added', 'changed') AS change, feature_id, "
        f"{_make_is_integer_sql(source.columns[id_column])} AS id_is_integer, class, "
        f"ST_AsWKB(geometry)::BLOB AS geometry, '{escape_literal(source.crs)}' AS crs, properties "
        f"FROM checked_feature WHERE problem IS NULL) WHERE {differs} ORDER BY row_index"
    )
    return user_columns


def _make_is_integer_sql(kind: str) -> str:
    """Return SQL for whether ids of a DuckDB type are recorded as integers; values beyond 64 bits stay text."""
    if kind in _WIDE_INTEGER_TYPES:
        return "coalesce((SELECT bool_and(TRY_CAST(feature_id AS BIGINT) IS NOT NULL) FROM checked_feature), true)"
    return str(kind in _INTEGER_TYPES).lower()


def _find_class(source: VectorSource, options: FeatureOptions, classes: list[str]) -> tuple[str | None, str]:
    """Return the class column, if there is one, and SQL for the class of a row."""
    column = options.class_column
    if column is not None:
        source.require_column(column)
    elif not options.as_class and "class" in source.columns:
        column = "class"
    if column is not None:
        return column, f"{quote_identifier(column)}::VARCHAR"
    if not options.as_class and len(classes) > 1:
        raise UsageError(
            f"'{source.name}' has no column 'class', and the dataset has several classes ({quote_names(classes)}). "
            "Pass --class COLUMN, or --as-class NAME for all features."
        )
    return None, f"'{escape_literal(options.as_class or next(iter(classes), _DEFAULT_CLASS))}'"


def _reject_implausible_crs(revision: Revision, source: VectorSource) -> None:
    """Raise if most geometries lie outside their CRS, e.g. coordinates in metres that are declared as degrees."""
    outside, count, example = revision.fetch_rows(
        "SELECT count(*) FILTER (problem IN ('outside_lonlat', 'outside_crs')), count(*), any_value(ST_AsText("
        "ST_Centroid(geometry))) FILTER (problem IN ('outside_lonlat', 'outside_crs')) "
        "FROM checked_feature WHERE geometry IS NOT NULL"
    )[0]
    if outside * 2 > count:
        crs = {"EPSG:4326": "longitude/latitude (EPSG:4326)"}.get(source.crs, source.crs)
        crs = crs if len(crs) < _MAX_CRS_LENGTH else "its CRS"
        raise UsageError(
            f"'{source.name}' declares {crs} but has coordinates outside of it, such as {example}. "
            "Pass --crs with the CRS of the coordinates."
        )


def _collect_skipped_rows(revision: Revision, source: VectorSource, on_error: str) -> list[tuple[str, str]]:
    """Return the name and the problem of each invalid row.

    Raises:
        UsageError, ConflictError: `on_error` is `fail`, and a row is invalid.
    """
    rows = revision.fetch_rows(
        "SELECT coalesce(feature_id, 'row ' || row_index), problem FROM checked_feature "
        "WHERE problem IS NOT NULL ORDER BY row_index"
    )
    if rows and on_error == "fail":
        raise_first_problem(source.name, rows, FEATURE_PROBLEMS, ", or pass --on-error skip")
    return [(name, FEATURE_PROBLEMS[code].reason) for name, code in rows]


def _list_new_classes(revision: Revision, source: VectorSource, classes: set[str]) -> list[str]:
    """Return the classes that the data has beside `classes`; always none if the dataset was created with classes.

    Raises:
        NotFoundError: The dataset was created with classes, and the data has others.
        UsageError: A feature has no class.
    """
    rows = revision.fetch_rows(
        "SELECT class, min(feature_id) FROM checked_feature WHERE problem IS NULL GROUP BY class ORDER BY class"
    )
    unclassified = [feature_id for name, feature_id in rows if not name]
    if unclassified:
        raise UsageError(
            f"feature '{unclassified[0]}' of '{source.name}' has no class. Fill the column, or exclude it with --where."
        )
    names = [name for name, _ in rows if name not in classes]
    has_fixed_classes = "SELECT json_array_length(payload, '$.classes') > 0 FROM log.event WHERE position = 1"
    if names and revision.fetch_value(has_fixed_classes):
        existing = [row[0] for row in revision.fetch_rows("SELECT class FROM classes")]
        raise NotFoundError(
            f"'{source.name}' has the unknown {quote_objects('class', names)}; the dataset has "
            f"{quote_names(existing)}. "
            "Add classes with: geographer add classes. Or pass --class COLUMN with existing ones."
        )
    return names
