"""Arrow tables: GeoDataFrames, Arrow data and GeoParquet files, with the geometry column that they name."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import UsageError, quote_names
from geographer.planning.user_columns import require_column_names
from geographer.planning.vectors.columns import SourceColumn

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

_TABLE_ADVICE: Final = "Pass a file, a GeoDataFrame, or an Arrow table with a geoarrow.wkb column."
_EXTENSION: Final = b"ARROW:extension:name"
_EXTENSION_METADATA: Final = b"ARROW:extension:metadata"
_WKB_NAMES: Final = ("geoarrow.wkb", "ogc.wkb")
_GEO: Final = b"geo"


class ArrowData(NamedTuple):
    """Arrow data without types of geometries: they are WKB.

    Attributes:
        data: A table, or a dataset of one Parquet file.
        columns: Its columns, the geometry of the features before other geometries.
        crs: The metadata of a GeoArrow column with the CRS, as JSON; None: the data state none.
    """

    data: "pa.Table | ds.Dataset"
    columns: list[SourceColumn]
    crs: str | None


def open_parquet(path: Path) -> ArrowData:
    """Open a Parquet file, whose name is no pattern; raise `UsageError` if a column cannot be read."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    name = ""
    try:
        with pq.ParquetFile(path) as file:
            checked = [field.name for field in file.schema_arrow if _may_hold_text(field.type)]
            for batch in file.iter_batches(columns=checked):
                for name in checked:
                    batch.column(name).validate(full=True)
        name = ""
        dataset = ds.dataset(path, format="parquet")
        return _describe_data(dataset, str(path))
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        column = f"column '{name}': " if name else ""
        raise UsageError(f"cannot read '{path}' as vector data: {column}{error}. Correct the file.") from error


def _may_hold_text(kind: "pa.DataType") -> bool:
    """Return whether values of a type can hold text that is not UTF-8."""
    import pyarrow as pa

    return not (pa.types.is_primitive(kind) or pa.types.is_binary(kind) or isinstance(kind, pa.BaseExtensionType))


def convert_to_arrow(data: Any) -> ArrowData:
    """Convert a GeoDataFrame, with its index if that has a name, or any Arrow data; else raise `UsageError`."""
    import pyarrow as pa

    name, primary = "", None
    try:
        if hasattr(data, "to_arrow") and hasattr(data, "columns"):
            primary = _find_active_geometry(data)
            data = _convert_frame(data)
        if hasattr(data, "to_arrow") and hasattr(data, "geom_type") and not hasattr(data, "columns"):
            raise UsageError("cannot read the table: a GeoSeries has no columns. Pass series.to_frame('geometry').")
        data = getattr(data, "arrow", data)
        if not hasattr(data, "__arrow_c_stream__"):
            raise UsageError(f"a {type(data).__name__} is no vector data. {_TABLE_ADVICE}")
        table = data if isinstance(data, pa.Table) else pa.table(data)
        _require_unique_names(table.column_names)
        for name in table.column_names:
            require_column_names([name])
            table[name].validate(full=True)
        name = ""
        return _describe_data(table, "the table", primary)
    except (pa.ArrowException, TypeError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        column = f"column '{name}': " if name else ""
        raise UsageError(f"cannot read the table: {column}{error}. {_TABLE_ADVICE}") from error


def _find_active_geometry(frame: Any) -> str:
    name = getattr(frame, "active_geometry_name", None)
    if name is None:
        raise UsageError("cannot read the table: the GeoDataFrame has no active geometry. Call set_geometry on it.")
    return str(name)


def _convert_frame(frame: Any) -> Any:
    """Convert a GeoDataFrame to Arrow; `UsageError` names the column that cannot be converted."""
    import pyarrow as pa

    if frame.columns.nlevels > 1:
        raise UsageError(
            "cannot read the table: its columns have several levels. Give each column one name, e.g. "
            "frame.columns = ['_'.join(names) for names in frame.columns]"
        )
    _require_unique_names([str(name) for name in frame.columns])
    texts = [name for name, kind in frame.dtypes.items() if str(kind).startswith(("period", "interval"))]
    frame = frame.assign(**{name: frame[name].astype("string") for name in texts})
    index = frame.index.name is not None or all(name is not None for name in frame.index.names)
    try:
        return pa.table(frame.to_arrow(index=index))
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        for name in frame.columns:
            _require_convertible(frame[name])
        raise UsageError(f"cannot read the table: {error}. {_TABLE_ADVICE}") from error


def _require_convertible(series: "pd.Series[Any]") -> None:
    import pyarrow as pa

    if str(series.dtype) == "geometry":
        return
    try:
        pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        kinds = sorted({type(value).__name__ for value in series.dropna()})
        raise UsageError(
            f"cannot read the table: column '{series.name}' has values of {quote_names(kinds)}, which no column type "
            f"holds ({error}). Convert it, e.g. to text with astype(str)."
        ) from error


def _require_unique_names(names: list[str]) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"cannot read the table: {quote_names(repeated)} names several columns. Rename all but one.")


def _describe_data(data: "pa.Table | ds.Dataset", name: str, primary: str | None = None) -> ArrowData:
    """Return data whose geometries are WKB without an extension type."""
    geo = _read_geo_metadata(data.schema)
    crs = {field.name: _read_crs(field, geo, name) for field in data.schema if _is_geometry(field, geo)}
    stated = primary or geo.get("primary_column")
    first = stated if stated in crs else next(iter(crs), None)
    ordered = sorted(data.schema.names, key=lambda column: column in crs and column != first)
    columns = [SourceColumn(column, column, "geometry" if column in crs else "value") for column in ordered]
    fields = [_simplify_field(field, is_geometry=field.name in crs) for field in data.schema]
    return ArrowData(_replace_fields(data, fields), columns, crs.get(first) if first else None)


def _simplify_field(field: "pa.Field", *, is_geometry: bool) -> "pa.Field":
    """Return a field of a type that DuckDB reads as it is: WKB as bytes, floats of 16 bits as such of 32."""
    import pyarrow as pa

    if is_geometry:
        return pa.field(field.name, getattr(field.type, "storage_type", field.type))
    return pa.field(field.name, pa.float32()) if pa.types.is_float16(field.type) else field


def _replace_fields(data: "pa.Table | ds.Dataset", fields: "list[pa.Field]") -> "pa.Table | ds.Dataset":
    import pyarrow as pa

    if not isinstance(data, pa.Table):
        return data.replace_schema(pa.schema(fields))
    arrays = [
        column.cast(field.type) if column.type != field.type else column
        for column, field in zip(data.columns, fields, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _read_geo_metadata(schema: "pa.Schema") -> dict[str, Any]:
    """Return the metadata of GeoParquet; `ValueError` if it is not JSON."""
    text = (schema.metadata or {}).get(_GEO)
    geo = json.loads(text) if text else {}
    return geo if isinstance(geo, dict) and isinstance(geo.get("columns"), dict) else {}


def _find_extension(field: "pa.Field") -> str:
    """Return the name of the extension type of a field, or ''."""
    name = getattr(field.type, "extension_name", None) or (field.metadata or {}).get(_EXTENSION, b"").decode()
    return str(name)


def _is_geometry(field: "pa.Field", geo: dict[str, Any]) -> bool:
    return field.name in geo.get("columns", {}) or _find_extension(field).startswith(("geoarrow.", "ogc."))


def _read_crs(field: "pa.Field", geo: dict[str, Any], name: str) -> str | None:
    """Return the metadata that a GeoArrow column with the CRS of a geometry column has; None: it has no CRS.

    `UsageError` if the geometries are not WKB.
    """
    extension, stated = _find_extension(field), geo.get("columns", {}).get(field.name, {})
    encoding = extension or str(stated.get("encoding", "WKB"))
    if encoding not in (*_WKB_NAMES, "WKB"):
        raise UsageError(
            f"column '{field.name}' of '{name}' has geometries in the encoding {encoding}. Write them as WKB, e.g. "
            "with geometry_encoding='WKB'."
        )
    if extension:
        text = (field.metadata or {}).get(_EXTENSION_METADATA, b"") or field.type.__arrow_ext_serialize__()
        return bytes(text).decode() if json.loads(text or b"{}").get("crs") is not None else None
    crs = stated.get("crs", "OGC:CRS84")
    return None if crs is None else json.dumps({"crs": crs})
