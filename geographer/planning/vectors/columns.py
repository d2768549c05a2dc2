"""Columns of vector data as a reader finds them, and the SQL that names them and makes geometries of their WKB."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from geographer.storage.database.connection import quote_identifier

_GEOMETRY_NAMES: Final = ("geometry", "geom")
UNSUPPORTED: Final = "unsupported_geometry"


class SourceColumn(NamedTuple):
    """A column of vector data.

    Attributes:
        column: Its name in the table that was read.
        name: Its name for users.
        kind: What it holds; geometries are WKB. The first geometry is that of the features, others become text.
        type: The DuckDB type to which a time in UTC is converted; GEOMETRY: it is one already; None: it stays as it is.
    """

    column: str
    name: str
    kind: Literal["fid", "value", "text", "boolean", "time", "geometry"]
    type: str | None = None


class NamedColumns(NamedTuple):
    """SQL that selects columns by unique names, and the names of some."""

    sql: str
    geometry: str | None
    fid: str | None
    fid_copy: str | None
    unsupported: str


def name_columns(columns: Sequence[SourceColumn]) -> NamedColumns:
    """Return SQL that selects the columns by names that differ in more than case.

    Attributes keep their names, except for those that stand twice; the geometry and the FID make way for them.
    """
    ordered = sorted(columns, key=lambda column: column.kind in ("fid", "geometry"))
    names: dict[SourceColumn, str] = {}
    for column in ordered:
        fallbacks = _GEOMETRY_NAMES if column.kind == "geometry" else ()
        names[column] = _make_unique_name(column.name, fallbacks, names.values())
    geometries = [column for column in columns if column.kind == "geometry"]
    unsupported = _make_unique_name(UNSUPPORTED, (), names.values())
    selected = [f"{_build_value_sql(column)} AS {quote_identifier(names[column])}" for column in columns]
    if geometries:
        wkb = quote_identifier(geometries[0].column)
        is_read = geometries[0].type is not None
        flag = "false" if is_read else f"({wkb} IS NOT NULL AND {_build_value_sql(geometries[0])} IS NULL)"
        selected.append(f"{flag} AS {quote_identifier(unsupported)}")
    fid = next((column for column in columns if column.kind == "fid"), None)
    copy = next((names[column] for column in columns if fid and column != fid and column.column == fid.column), None)
    geometry = names[geometries[0]] if geometries else None
    return NamedColumns(", ".join(selected), geometry, names[fid] if fid else None, copy, unsupported)


def _make_unique_name(name: str, fallbacks: Iterable[str], taken: Iterable[str]) -> str:
    """Return the name, or the first of the fallbacks that is free, or the name with a number, as DuckDB makes it."""
    others = {other.lower() for other in taken}
    if free := [candidate for candidate in (name, *fallbacks) if candidate.lower() not in others]:
        return free[0]
    number = 1
    while f"{name}_{number}".lower() in others:
        number += 1
    return f"{name}_{number}"


def _build_value_sql(column: SourceColumn) -> str:
    name = quote_identifier(column.column)
    if column.kind == "geometry" and column.type is None:
        return f"TRY(ST_GeomFromWKB({name}))"
    return f"{name} AT TIME ZONE 'UTC'" if column.kind == "time" and column.type else name
