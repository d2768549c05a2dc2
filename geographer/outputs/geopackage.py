"""GeoPackage: a table as one layer that GIS programs edit; features in their own CRS, with exact geometries."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from geographer.base.atomic_files import temporary_sibling
from geographer.base.errors import ConflictError, StorageError, UsageError
from geographer.storage.database.connection import quote_identifier, run_script
from geographer.storage.database.sql_sandbox import translate_sql_errors
from geographer.storage.queries.revision import GEOMETRY_COLUMNS, KEY_COLUMN, Revision
from geographer.storage.queries.selection import TableFilter, build_selection, include_identity

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent
_BATCH: Final = 5_000
CRS_COLUMN: Final = "(crs)"
LONLAT: Final = "EPSG:4326"
_PLAIN_TYPES: Final = frozenset({"BOOLEAN", "INTEGER", "BIGINT", "DOUBLE", "FLOAT", "DATE", "VARCHAR"})
_EXACT_TIME: Final = (
    "coalesce(bool_and(date_trunc('millisecond', {0}) = {0} AND ({0} >= '1970-01-01' OR "
    "date_trunc('second', {0}) = {0})), true)"
)
"""Whether GDAL writes all times of a column without rounding them: whole milliseconds, before 1970 whole seconds."""


class FileLayer(NamedTuple):
    """The rows of a layer, the name of its geometry column, which is WKB, or None, and its CRS."""

    rows: pa.Table | pa.RecordBatchReader
    geometry: str | None
    crs: str | None


def write_geopackage(revision: Revision, table: str, table_filter: TableFilter, path: Path) -> None:
    """Write a table's filtered rows as the layer `table` of a new GeoPackage, atomically.

    Features have the geometry that was recorded, in their CRS if all of them have one, otherwise in longitude/latitude
    (EPSG:4326), which is logged. The layer has the columns of the table, and one more that numbers the rows: `fid`, or
    if a column has that name, `fid_`. SQLite has no NaN: it becomes null. Times that are not whole milliseconds become
    text.

    Raises:
        ConflictError: another program has the file open.
        StorageError: the file cannot be written.
        UsageError: a text has a NUL character, which a GeoPackage cannot hold.
    """
    _require_closed(path)
    with translate_sql_errors(table_filter.where):
        layer = read_layer(revision, table, table_filter)
    with temporary_sibling(path, ".gpkg") as temporary:
        write_layer(layer, table, temporary)
        temporary.replace(path)


def read_layer(revision: Revision, table: str, table_filter: TableFilter) -> FileLayer:
    """Read the rows of a layer, with values that a GeoPackage can hold; see `write_geopackage`."""
    geometry = GEOMETRY_COLUMNS.get(table)
    table_filter = include_identity(revision, table, table_filter)
    if table == "features":
        return _read_features(revision, table_filter)
    query, parameters = build_selection(revision, table, table_filter)
    revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE selected_row AS {query}", parameters)
    return FileLayer(_fetch_rows(revision, "selected_row"), geometry, LONLAT if geometry else None)


def _read_features(revision: Revision, table_filter: TableFilter) -> FileLayer:
    query, parameters = build_selection(revision, "features", table_filter, with_key=True)
    stage_selected_features(revision, query, parameters)
    systems = stage_recorded_features(revision)
    if len(systems) == 1:
        return FileLayer(_fetch_rows(revision, "recorded_feature", [CRS_COLUMN]), "geometry", systems[0])
    if systems:
        logger.warning("the features have %d CRSs: the file has them in %s, longitude/latitude", len(systems), LONLAT)
    excluded = [KEY_COLUMN.strip('"')]
    return FileLayer(_fetch_rows(revision, "selected_feature", excluded, KEY_COLUMN), "geometry", LONLAT)


def stage_selected_features(revision: Revision, query: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Make `selected_feature` of a query for rows of `features`, with their keys."""
    revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE selected_feature AS {query}", parameters)


def stage_recorded_features(revision: Revision) -> list[str]:
    """Make `recorded_feature` of `selected_feature`, see `features_as_recorded.sql`; return the CRSs of the rows."""
    run_script(revision.connection, (_FOLDER / "features_as_recorded.sql").read_text())
    return [crs for (crs,) in revision.fetch_rows(f'SELECT DISTINCT "{CRS_COLUMN}" FROM recorded_feature')]  # noqa: S608


def _fetch_rows(revision: Revision, table: str, excluded: Iterable[str] = (), order_by: str = "rowid") -> pa.Table:
    """Return the rows of a temporary table with types and values that a GeoPackage has."""
    return revision.fetch_arrow(_build_layer_query(revision, table, excluded, order_by))


def stream_layer(
    revision: Revision, table: str, geometry: str, crs: str, excluded: Iterable[str] = (), order_by: str = "rowid"
) -> FileLayer:
    """Return a temporary table as a layer whose rows are read while they are written, some thousand at once.

    No other query may run on the revision's connection before the layer is written.
    """
    query = _build_layer_query(revision, table, excluded, order_by)
    return FileLayer(revision.connection.execute(query).to_arrow_reader(_BATCH), geometry, crs)


def _build_layer_query(revision: Revision, table: str, excluded: Iterable[str], order_by: str) -> str:
    types = {name: kind for name, kind in revision.describe_columns(table).items() if name not in excluded}
    selected = [_select_column(revision, table, name, kind) for name, kind in types.items()]
    return f"SELECT {', '.join(selected)} FROM {table} ORDER BY {order_by}"  # noqa: S608


def _select_column(revision: Revision, table: str, name: str, kind: str) -> str:
    column = quote_identifier(name)
    if kind.startswith("GEOMETRY"):
        return f"ST_AsWKB({column})::BLOB AS {column}"
    if kind == "TIMESTAMP" and revision.fetch_value(f"SELECT {_EXACT_TIME.format(column)} FROM {table}"):  # noqa: S608
        return column
    if kind == "VARCHAR" and revision.fetch_value(f"SELECT true FROM {table} WHERE contains({column}, chr(0)) LIMIT 1"):  # noqa: S608
        raise UsageError(
            f"column '{name}' has a text with a NUL character, which a GeoPackage cannot hold. Use --format parquet, "
            "or select other --columns."
        )
    if kind in _PLAIN_TYPES or kind == "BLOB":
        return column
    text = f"to_json({column})::VARCHAR" if kind.endswith("]") else f"{column}::VARCHAR"
    return f"{text} AS {column}"


def write_layer(layer: FileLayer, name: str, path: Path, driver: Literal["GPKG", "KML"] = "GPKG") -> None:
    """Write a layer to a new file with GDAL, or to a GeoPackage with other layers; `StorageError` if GDAL cannot."""
    from pyogrio.errors import DataLayerError, DataSourceError, FieldError
    from pyogrio.raw import write_arrow

    names = {column.lower() for column in layer.rows.schema.names}
    options = {"FID": _choose_name("fid", names)} if driver == "GPKG" else {}
    settings: dict[str, Any] = {}
    if layer.geometry is not None:
        options |= {"GEOMETRY_NAME": layer.geometry} if driver == "GPKG" else {}
        settings = {"geometry_name": layer.geometry, "geometry_type": "Unknown", "crs": layer.crs}
    try:
        write_arrow(layer.rows, path, layer=name, driver=driver, layer_options=options, **settings)
    except (DataLayerError, DataSourceError, FieldError) as error:
        raise StorageError(
            f"GDAL cannot write the file ({driver}): {error}. Use another format, such as parquet."
        ) from error


def _choose_name(name: str, taken: Iterable[str]) -> str:
    """Return `name` with as many underscores as make it differ from the names that are taken."""
    while name in taken:
        name += "_"
    return name


def _require_closed(path: Path) -> None:
    """Raise `ConflictError` if a journal lies beside a file: it would be applied to the new file."""
    for journal in (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-journal")):
        if journal.exists():
            raise ConflictError(
                f"another program has '{path}' open, because '{journal.name}' lies beside it. Close it there, or "
                "choose another --output."
            )
