"""Add features: read vector data, check each row in SQL, and plan the `features_added` event."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.add.events import FeaturesAdded
from geographer.planning.class_values import make_class_rows, number_classes, read_class_values
from geographer.planning.input_problems import InputProblem, NamedTexts, make_skipped_rows, raise_first_problem
from geographer.planning.redacted_columns import reject_credentials
from geographer.planning.shared_parameters import WHERE, CrsText, OnError
from geographer.planning.vectors.request import VectorRequest
from geographer.planning.vectors.source import INTEGER_TYPES, VectorSource, open_vector_source
from geographer.storage.database.connection import escape_literal, quote_identifier
from geographer.storage.database.sql_sandbox import validate_expression
from geographer.storage.events.payload import Columns
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

_WIDE_INTEGER_TYPES: Final = ("UBIGINT", "HUGEINT", "UHUGEINT")
_MAX_CRS_LENGTH: Final = 50
_RESERVED_COLUMNS: Final = {"feature_id", "class", "geometry"}
_CHECK_FEATURES: Final = Path(__file__).with_name("check_features.sql")
_PROBLEMS: Final = {
    "no_geometry": InputProblem("it has no geometry"),
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

_ID: Final = Parameter("The column of ids: text or whole numbers.", "COLUMN", "feature_id, else id", key="id_column")
_CLASS: Final = Parameter("The column of classes.", "COLUMN", "class, or the dataset's only class", key="class_column")
AsClass = Annotated[str | None, Parameter("Give all features this class.", "NAME", "the class column")]
_REPLACE_HELP: Final = "Replace objects that have the same id and differ, instead of refusing them."
Replace = Annotated[bool, Parameter(_REPLACE_HELP, records_default=False)]


class AddFeatures(VectorRequest, kw_only=True, frozen=True):
    """Add the features of a vector file: points, lines or polygons, in any CRS.

    FILE is GeoParquet or any format that GDAL reads (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML).

    A feature that is replaced is replaced completely: user columns that the new data lack are removed from it.
    Features that are equal in everything are not recorded again.
    """

    event: ClassVar[type[FeaturesAdded]] = FeaturesAdded
    example = "add features lakes.gpkg --id lake_id --where 'area > 1000'"

    id: Annotated[str | None, _ID] = None
    class_: Annotated[str | None, _CLASS] = None
    as_class: AsClass = None
    where: Annotated[str | None, WHERE] = None
    crs: CrsText = None
    on_error: OnError = "fail"
    replace: Replace = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """See `plan_feature_addition`."""
        return Change(*plan_feature_addition(revision, self))


def plan_feature_addition(
    revision: Revision, request: AddFeatures, incoming_classes: Collection[str] = ()
) -> "tuple[FeaturesAdded, dict[str, pa.Table | str]]":
    """Return the event that adds features, and its rows: the view `new_feature` of the connection.

    Features may use the `incoming_classes`, which the same event adds.

    Raises:
        NotFoundError: A file, column or class does not exist.
        UsageError: A geometry is missing, empty, invalid or out of range, or there is no id or CRS.
        ConflictError: An id is repeated or already in the dataset.
    """
    if request.class_ is not None and request.as_class is not None:
        raise UsageError("--class (a column) and --as-class (one class for all) exclude each other. Pass one of them.")
    existing = read_class_values(revision)
    layer, encoding = request.layer, request.encoding
    with open_vector_source(revision.connection, request.data, request.crs, layer=layer, encoding=encoding) as source:
        types = _stage_features(revision, source, request, existing)
    _reject_implausible_crs(revision, source)
    skipped = _collect_skipped_rows(revision, source, request.on_error)
    classes = _list_new_classes(revision, source, {*existing, *incoming_classes})
    counts = dict(revision.fetch_rows("SELECT change, count(*) FROM new_feature GROUP BY change"))
    count = sum(counts.values())
    event = FeaturesAdded(
        source=source.name, columns=types, features=count, skipped=len(skipped), classes=classes, crs=source.crs
    )
    if request.replace:
        valid = revision.fetch_value("SELECT count(*) FROM checked_feature WHERE problem IS NULL")
        event = event.count_replacements(counts.get("added", 0), counts.get("changed", 0), valid - count)
        _warn_of_lost_columns(revision, source, types)
    rows: dict[str, pa.Table | str] = {"feature_change": "new_feature"} if count else {}
    if classes:
        rows["class_change"] = make_class_rows(number_classes(existing, classes))
    return event, rows | make_skipped_rows(source.name, skipped)


def _warn_of_lost_columns(revision: Revision, source: VectorSource, types: Columns) -> None:
    """Log the user columns of which replaced features lose their values, because the new data lack the columns."""
    lacking = [name for name in revision.list_user_columns("feature") if name not in types]
    values = [f"count(properties->>'{escape_literal(make_json_path(name))}')" for name in lacking]
    changed = "feature_id IN (SELECT feature_id FROM new_feature WHERE change = 'changed')"
    query = f"SELECT [{', '.join(values)}] FROM current_feature WHERE {changed}"  # noqa: S608
    counts = revision.fetch_value(query) if lacking else []
    if lost := [name for name, count in zip(lacking, counts, strict=True) if count]:
        columns = quote_objects("column", lost)
        logger.warning("'%s' has no %s: replaced features lose the values there", source.name, columns)


def _stage_features(revision: Revision, source: VectorSource, request: AddFeatures, values: dict[str, int]) -> Columns:
    """Make the temp table `checked_feature` and the view `new_feature` of log rows; return the user columns."""
    id_column = source.find_id_column(request.id, ("feature_id", "id"))
    class_column, class_sql = _find_class(source, request, [name for name, value in values.items() if value > 0])
    types, properties = source.list_user_columns(revision.connection, {id_column, class_column}, _RESERVED_COLUMNS)
    columns = [*source.columns, source.geometry]
    where = validate_expression(revision.connection, request.where, columns) if request.where is not None else "true"
    with source.translate_errors(request.where):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP VIEW input_feature AS SELECT "  # noqa: S608
            f"{quote_identifier(id_column)}::VARCHAR AS feature_id, {class_sql} AS class, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry, "
            f"{properties} AS properties, {source.build_unreadable_time_sql()} AS has_unreadable_time "
            f"FROM {source.relation} WHERE {where}"
        )
        revision.connection.execute(_CHECK_FEATURES.read_text(), {"crs": source.crs, "replace": request.replace})
    identifiers = {"feature id": "feature_id", "class name": "class"}
    reject_credentials(revision.connection, "checked_feature", identifiers)
    # With `replace`, a row whose digest equals that of the existing feature is no change.
    digest = build_row_digest_sql("feature_change")
    differs = f"existing_digest IS DISTINCT FROM {digest}" if request.replace else "true"
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW new_feature AS SELECT * EXCLUDE (row_index, existing_digest) FROM ("  # noqa: S608
        "SELECT row_index, existing_digest, if(existing_digest IS NULL, 'added', 'changed') AS change, feature_id, "
        f"{_make_is_integer_sql(source.column_type(id_column))} AS id_is_integer, class, "
        f"ST_AsWKB(geometry)::BLOB AS geometry, '{escape_literal(source.crs)}' AS crs, properties "
        f"FROM checked_feature WHERE problem IS NULL) WHERE {differs} ORDER BY row_index"
    )
    return types


def _make_is_integer_sql(kind: str) -> str:
    """Return SQL for whether ids of a DuckDB type are recorded as integers; values beyond 64 bits stay text."""
    if kind in _WIDE_INTEGER_TYPES:
        return "coalesce((SELECT bool_and(TRY_CAST(feature_id AS BIGINT) IS NOT NULL) FROM checked_feature), true)"
    return str(kind in INTEGER_TYPES).lower()


def _find_class(source: VectorSource, request: AddFeatures, classes: list[str]) -> tuple[str | None, str]:
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


def _reject_implausible_crs(revision: Revision, source: VectorSource) -> None:
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


def _collect_skipped_rows(revision: Revision, source: VectorSource, on_error: str) -> NamedTexts:
    """Return the name and the problem of each invalid row; raise if there is one and `on_error` is `fail`."""
    rows = revision.fetch_rows(
        "SELECT coalesce(feature_id, 'row ' || row_index), problem FROM checked_feature "
        "WHERE problem IS NOT NULL ORDER BY row_index"
    )
    if rows and on_error == "fail":
        raise_first_problem("add", source.name, rows, _PROBLEMS, ", or pass --on-error skip")
    return [(name, _PROBLEMS[code].reason) for name, code in rows]


def _list_new_classes(revision: Revision, source: VectorSource, classes: set[str]) -> list[str]:
    """Return the classes that the data has beside `classes`; raise if the dataset was created with other classes."""
    query = "SELECT class, min(feature_id) FROM checked_feature WHERE problem IS NULL GROUP BY class ORDER BY class"
    rows = revision.fetch_rows(query)
    if unclassified := [feature_id for name, feature_id in rows if not name]:
        raise UsageError(
            f"feature '{unclassified[0]}' of '{source.name}' has no class. Fill the column, or exclude it with --where."
        )
    names = [name for name, _ in rows if name not in classes]
    has_fixed_classes = "SELECT json_array_length(payload, '$.classes') > 0 FROM chain_event WHERE position = 1"
    if names and revision.fetch_value(has_fixed_classes):
        existing = quote_names([*read_class_values(revision)])
        raise NotFoundError(
            f"'{source.name}' has the unknown {quote_objects('class', names)}; the dataset has {existing}. "
            "Add classes with: geographer add classes. Or pass --class COLUMN with existing ones."
        )
    return names
