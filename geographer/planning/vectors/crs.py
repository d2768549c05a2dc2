"""CRS of vector data: one text for each, which the log records, and whether it has longitudes and latitudes."""

from typing import Final

import duckdb

from geographer.base.errors import UsageError
from geographer.base.text import is_unicode, quote_start

_LONLAT: Final = frozenset({"EPSG:4326", "OGC:CRS84", "EPSG:4979", "OGC:CRS84H"})
"""WGS 84 with longitude and latitude; heights, which the last two have, are not recorded."""
_TO_CRS: Final = "ST_Transform(point, 'EPSG:4326', $crs, always_xy := true)"
_FROM_CRS: Final = f"ST_Transform(TRY({_TO_CRS}), $crs, 'EPSG:4326', always_xy := true)"
_COUNT_ROUND_TRIPS: Final = (
    f"SELECT count(*) FROM (SELECT point, TRY({_FROM_CRS}) AS back FROM "  # noqa: S608
    "(SELECT ST_Point(x * 30 + 15, y * 30 + 15) AS point "
    "FROM range(-6, 6) AS longitude(x), range(-3, 3) AS latitude(y))) WHERE ST_Distance(point, back) < 1e-3"
)
"""How many points of a grid over the globe, none of them on the equator, have coordinates in the CRS that lead back."""
_RECORDED_TEXTS: Final[dict[str, str]] = {}
"""The texts that the log records for the valid CRS of this process: many files have few CRS, and one takes 10 ms."""


def normalise_crs(connection: duckdb.DuckDBPyConnection, crs: str) -> str:
    """Return a CRS as the log records it: `EPSG:4326` for longitude/latitude, `EPSG:nnnn`, or other text unchanged.

    Raises `UsageError` if PROJ cannot read it, or if no two coordinates of it have a longitude and a latitude, as in a
    geocentric, vertical or local CRS.
    """
    if crs.upper() in _LONLAT:
        return "EPSG:4326"
    if crs not in _RECORDED_TEXTS:
        _require_usable_crs(connection, crs)
        _RECORDED_TEXTS[crs] = crs.upper() if crs.upper().startswith("EPSG:") else crs
    return _RECORDED_TEXTS[crs]


def _require_usable_crs(connection: duckdb.DuckDBPyConnection, crs: str) -> None:
    name = quote_start(crs)
    if not is_unicode(crs):
        raise UsageError(f"unknown CRS '{crs}'. Use EPSG:nnnn, WKT or PROJJSON.")
    try:
        connection.execute("SELECT ST_Transform(ST_Point(0, 0), $crs, 'EPSG:4326', always_xy := true)", {"crs": crs})
    except duckdb.Error as error:
        raise UsageError(f"unknown CRS '{name}'. Use EPSG:nnnn, WKT or PROJJSON.") from error
    if not _has_longitudes(connection, crs):
        raise UsageError(
            f"the CRS '{name}' has no way to longitude and latitude by two coordinates, as a geocentric, vertical or "
            "local CRS has none. Transform the data to a geographic or projected CRS, or pass the right one with --crs."
        )


def _has_longitudes(connection: duckdb.DuckDBPyConnection, crs: str) -> bool:
    """Return whether two coordinates in a CRS lead to longitude and latitude."""
    try:
        # PROJ has no way from a vertical CRS to a geocentric one; to others it passes the numbers on.
        connection.execute("SELECT ST_Transform(ST_Point(0, 0), $crs, 'EPSG:4978', always_xy := true)", {"crs": crs})
    except duckdb.Error:
        return False
    return bool(connection.execute(_COUNT_ROUND_TRIPS, {"crs": crs}).fetchall()[0][0])
