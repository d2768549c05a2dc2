"""GDAL columns: the columns of a layer that GDAL reads, converted to what Parquet and DuckDB hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind = Literal["fid", "value", "text", "boolean", "time", "geometry"]

_LETTER_DRIVERS = ("ESRI Shapefile", "MapInfo File")
"""Drivers of formats in which a truth value is a letter, T or F, and is recorded as that."""
_KML_DRIVERS = ("LIBKML", "KML")
_KML_TEXTS = ("Name", "description")
"""Columns of KML in which nothing is an empty text, as older versions recorded it."""
_KML_DEFAULTS = frozenset({"id", "timestamp", "begin", "end"})
"""Columns that the driver adds to each layer of KML; without values they are left out."""
_KML_DISPLAY = frozenset({"altitudeMode", "tessellate", "extrude", "visibility", "drawOrder", "icon"})
"""Columns that the driver adds to each layer of KML for how a feature is drawn."""
_UNREADABLE_TIME = datetime(1, 1, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(days=1)
"""A time outside of the years 1 to 9999 as its distance from 1970; the check of the rows reports it."""


@dataclass
class GdalColumn:
    """One column of a layer.

    Attributes:
        name: Its name in the file.
        kind: What its values are.
        is_zoned: Whether all of its times have a UTC offset.
        has_values: Whether a value is not null.
    """

    name: str
    kind: ColumnKind
    driver: str
    encoding: str | None
    is_zoned: bool = True
    has_values: bool = False

    def convert_values(self, values: "pa.Array", first_row: int) -> "pa.Array":
        """Return the values as they are written; `first_row` is the number of the first one, from 1.

        `ValueError` if a text is not in the encoding, naming row and column.
        """
        import pyarrow as pa

        self.has_values = self.has_values or values.null_count < len(values)
        if isinstance(values, pa.ExtensionArray):
            values = values.storage
        if self.kind == "text":
            return self._decode_texts(values, first_row)
        if self.kind == "boolean" and self.driver in _LETTER_DRIVERS:
            return pa.array([None if value is None else "FT"[value] for value in values.to_pylist()], pa.string())
        if self.kind == "time":
            return pa.array(map(self._parse_time, values.to_pylist()), pa.timestamp("ms"))
        return values

    def _decode_texts(self, values: "pa.Array", first_row: int) -> "pa.Array":
        import pyarrow as pa

        if self.driver in _KML_DRIVERS and self.name in _KML_TEXTS:
            values = values.fill_null("")
        if self.encoding is None:
            try:
                values.validate(full=True)
            except pa.ArrowInvalid:
                pass
            else:
                return values
        texts = enumerate(values.cast(pa.binary()).to_pylist(), first_row)
        return pa.array([None if text is None else self._decode_text(text, row) for row, text in texts], pa.string())

    def _decode_text(self, text: bytes, row: int) -> str:
        encoding = self.encoding or "utf-8"
        try:
            return text.decode(encoding)
        except UnicodeDecodeError as error:
            remedy = "Pass another --encoding" if self.encoding else "Pass its --encoding, such as cp1252"
            raise ValueError(
                f"row {row} has text in the column '{self.name}' that is not in the encoding {encoding}. {remedy}"
            ) from error

    def _parse_time(self, text: str | None) -> int | None:
        """Return a time as milliseconds in UTC since 1970; one without an offset is taken as it is."""
        if text is None:
            return None
        leap = timedelta(seconds=":60" in text)
        try:
            # GDAL ends times with zero bytes whose fraction it cuts off.
            time = datetime.fromisoformat(text.rstrip("\0").replace(":60", ":59"))
            self.is_zoned = self.is_zoned and time.tzinfo is not None
            elapsed = time.replace(tzinfo=time.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC) + leap
        except (ValueError, OverflowError):
            elapsed = _UNREADABLE_TIME
        return round(elapsed / timedelta(milliseconds=1))

    @property
    def type_name(self) -> str | None:
        """The DuckDB type of times in UTC: those of GeoPackage, and of GeoJSON if each has an offset; else None."""
        has_zone = self.driver == "GPKG" or (self.driver == "GeoJSON" and self.is_zoned and self.has_values)
        return "TIMESTAMP WITH TIME ZONE" if self.kind == "time" and has_zone else None


def make_columns(meta: dict[str, Any], n_columns: int, driver: str, encoding: str | None) -> list[GdalColumn]:
    """Return the columns of a layer that pyogrio describes by `meta`: the FID, the attributes, then the geometries."""
    raw_encoding = meta["encoding"] if encoding else None
    names = [name.encode(raw_encoding).decode(encoding or "") if raw_encoding else name for name in meta["fields"]]
    geometries = [meta["geometry_name"] or "geom", *(f"geom{number}" for number in range(2, n_columns))]
    kinds = map(_find_kind, meta["ogr_types"], meta["ogr_subtypes"])
    columns = [GdalColumn(meta["fid_column"] or "OGC_FID", "fid", driver, None)]
    columns += [GdalColumn(name, kind, driver, encoding) for name, kind in zip(names, kinds, strict=True)]
    n_geometries = n_columns - len(columns)
    return columns + [GdalColumn(name, "geometry", driver, None) for name in geometries[:n_geometries]]


def _find_kind(ogr_type: str, ogr_subtype: str) -> ColumnKind:
    if ogr_type == "OFTDateTime":
        return "time"
    if ogr_subtype == "OFSTBoolean" and ogr_type == "OFTInteger":
        return "boolean"
    return "text" if ogr_type in ("OFTString", "OFTStringList") else "value"


def select_names(columns: Sequence[GdalColumn]) -> list[str | None]:
    """Return the name by which each column is recorded; None: it is not, as it says nothing about the feature."""
    if columns[0].driver not in _KML_DRIVERS:
        return [column.name for column in columns]
    defaults = {*_KML_DEFAULTS, *(f"{name}2" for name in (*_KML_DEFAULTS, *_KML_TEXTS))}
    omitted = {column.name for column in columns if column.name in defaults and not column.has_values} | _KML_DISPLAY
    return [None if column.name in omitted else _rename_kml_column(column.name, omitted) for column in columns]


def _rename_kml_column(name: str, omitted: set[str]) -> str:
    """Return the name of an attribute that the driver numbered because of a column that is omitted."""
    if name == "description":
        return "Description"
    return name[:-1] if name.endswith("2") and name[:-1] in omitted else name
