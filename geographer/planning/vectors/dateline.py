"""Dateline: geometries that cross the antimeridian without being cut there mean the short way, in every CRS."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import duckdb

from geographer.algorithms.antimeridian import cut_at_antimeridian, has_longitude_jump
from geographer.base.errors import quote_objects
from geographer.planning.vectors.source import VectorSource
from geographer.storage.database.connection import escape_literal, quote_identifier, register_table

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import shapely
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_HALF_TURN: Final = 180.0
_TURN: Final = 360.0
_ROUNDING: Final = 1e-9
"""Degrees by which sums of longitudes are wrong, such as 180.00000000000006: a tenth of a millimetre at most."""
_MAX_LATITUDE: Final = 90.0
_ROW: Final = "dateline_row"
_CUT: Final = "dateline_geometry"
_IS_DEGREES: Final = (
    "SELECT ST_Distance(ST_Point(10, 20), ST_Transform(ST_Point(10, 20), $crs, 'EPSG:4326', always_xy := true)) < 0.01"
)


def cut_at_dateline(connection: duckdb.DuckDBPyConnection, source: VectorSource, id_column: str | None) -> VectorSource:
    """Return a source whose geometries are cut at the antimeridian, if some cross it uncut; a warning names these.

    In a CRS of degrees, they have a side longer than 180 degrees of longitude that does not go round the globe, or
    longitudes up to 360. In another one, such as Web Mercator, they have a side that goes the long way round the globe;
    where coordinates are continuous over the antimeridian, as in UTM zone 60, geometries stay as they are.
    """
    import pyarrow as pa

    is_degrees = connection.execute(_IS_DEGREES, {"crs": source.crs}).fetchall()[0][0]
    condition = _build_degrees_condition(source) if is_degrees else _build_crs_condition(connection, source)
    if condition is None:
        return source
    name = "NULL" if id_column is None else f"{quote_identifier(id_column)}::VARCHAR"
    with source.translate_errors():
        # Numbering the rows takes as long again.
        query = f"SELECT bool_or({condition}) FROM {source.relation}"  # noqa: S608
        if not connection.execute(query).fetchall()[0][0]:
            return source
        candidates = connection.execute(
            f"SELECT {_ROW}, coalesce({name}, 'row ' || {_ROW}) AS name, "  # noqa: S608
            f"ST_AsWKB(ST_Force2D({quote_identifier(source.geometry)}))::BLOB AS wkb FROM {_number_rows(source)} "
            f"WHERE {condition}"
        ).to_arrow_table()
    rounded = candidates.slice(0, 0)
    if is_degrees:
        rounded, remaining = _round_bounds(candidates)
        cut = _cut_degrees(remaining)
    else:
        cut = _cut_coordinates(connection, candidates, source.crs)
    if cut.num_rows:
        logger.warning(
            "'%s': %s: the short way over the antimeridian is meant, and longitudes beyond 180 are those minus 360",
            *(source.name, quote_objects("feature", cut["name"].to_pylist())),
        )
    changed = pa.concat_tables([rounded, cut])
    return _replace_geometries(connection, source, changed) if changed.num_rows else source


def _round_bounds(candidates: "pa.Table") -> "tuple[pa.Table, pa.Table]":
    """Return the candidates that go beyond 180 degrees by rounding errors only, at 180, and the other candidates."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import shapely

    def round_longitudes(points: "NDArray[np.float64]") -> "NDArray[np.float64]":
        is_near = np.abs(np.abs(points[:, :1]) - _HALF_TURN) < _ROUNDING
        return np.where(is_near * [True, False], np.sign(points) * _HALF_TURN, points)

    geometries = shapely.from_wkb(candidates["wkb"].to_numpy(zero_copy_only=False))
    rounded = np.array([shapely.transform(geometry, round_longitudes) for geometry in geometries], object)
    west, _, east, _ = shapely.bounds(rounded).reshape(-1, 4).T
    is_inside = (west >= -_HALF_TURN) & (east <= _HALF_TURN)
    has_jump = np.array([has_longitude_jump(geometry) for geometry in rounded], bool)
    was_outside = ~shapely.equals_exact(rounded, geometries)
    selected = pa.array(is_inside & ~has_jump & was_outside, pa.bool_())
    values = candidates.set_column(2, "wkb", pa.array([shapely.to_wkb(geometry) for geometry in rounded], pa.binary()))
    return values.filter(selected), values.filter(pc.invert(selected))


def _replace_geometries(connection: duckdb.DuckDBPyConnection, source: VectorSource, cut: "pa.Table") -> VectorSource:
    with register_table(connection, "cut_row", cut):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE cut_geometry AS SELECT {_ROW}, ST_GeomFromWKB(wkb) AS {_CUT} FROM cut_row"  # noqa: S608
        )
    name = quote_identifier(source.geometry)
    relation = (
        f"(SELECT * EXCLUDE ({_ROW}, {_CUT}) REPLACE (coalesce({_CUT}, {name}) AS {name}) "  # noqa: S608
        f"FROM {_number_rows(source)} LEFT JOIN cut_geometry USING ({_ROW}) ORDER BY {_ROW})"
    )
    return replace(source, relation=relation)


def _number_rows(source: VectorSource) -> str:
    return f"(SELECT *, row_number() OVER () AS {_ROW} FROM {source.relation})"  # noqa: S608


def _build_degrees_condition(source: VectorSource) -> str:
    name = quote_identifier(source.geometry)
    west, east, south, north = (f"ST_{side}({name})" for side in ("XMin", "XMax", "YMin", "YMax"))
    is_wide = f"({east} - {west} > {_HALF_TURN} OR {east} > {_HALF_TURN} OR {west} < -{_HALF_TURN})"
    in_turn = f"{west} >= -{_TURN} AND {east} <= {_TURN} AND {south} >= -{_MAX_LATITUDE} AND {north} <= {_MAX_LATITUDE}"
    return f"{is_wide} AND {in_turn}"


def _build_crs_condition(connection: duckdb.DuckDBPyConnection, source: VectorSource) -> str | None:
    """Return SQL for whether the corners of a geometry's bounds are over 180 degrees apart; None: no geometry's are.

    None follows from a grid of points over the bounds of all geometries.
    """
    name = quote_identifier(source.geometry)
    west, east, south, north = (f"ST_{side}({name})" for side in ("XMin", "XMax", "YMin", "YMax"))
    with source.translate_errors():
        bounds = connection.execute(
            f"SELECT min({west}), max({east}), min({south}), max({north}) FROM {source.relation}"  # noqa: S608
        ).fetchall()[0]
    if None in bounds:
        return None
    grid = "ST_Point($west + x / 8 * ($east - $west), $south + y / 8 * ($north - $south))"
    names = dict(zip(("west", "east", "south", "north"), bounds, strict=True))
    longitudes = f"ST_X(TRY(ST_Transform({grid}, $crs, 'EPSG:4326', always_xy := true)))"
    query = f"SELECT max({longitudes}) - min({longitudes}) FROM range(9) AS xs(x), range(9) AS ys(y)"  # noqa: S608
    width = connection.execute(query, {**names, "crs": source.crs}).fetchall()[0][0]
    if width is None or not width > _HALF_TURN:
        return None
    crs = escape_literal(source.crs)
    first, last = (
        f"ST_X(TRY(ST_Transform(ST_Point({x}, {y}), '{crs}', 'EPSG:4326', always_xy := true)))"
        for x, y in ((west, south), (east, north))
    )
    return f"abs({first} - {last}) > {_HALF_TURN}"


def _cut_degrees(candidates: "pa.Table") -> "pa.Table":
    """Return the candidates that cross the antimeridian, with the geometries cut or moved."""
    import numpy as np
    import shapely

    geometries = shapely.from_wkb(candidates["wkb"].to_numpy(zero_copy_only=False))
    west, _, east, _ = shapely.bounds(geometries).T
    turns = np.where(west >= _HALF_TURN, 1.0, np.where(east <= -_HALF_TURN, -1.0, 0.0))
    cut = [
        shapely.transform(geometry, lambda points, turn=turn: points - [_TURN * turn, 0.0])
        if turn
        else cut_at_antimeridian(geometry, repair=True)
        for geometry, turn in zip(geometries, turns, strict=True)
    ]
    changed = np.array([new is not old for new, old in zip(cut, geometries, strict=True)], bool)
    return _select_cut(candidates, cut, changed)


def _select_cut(candidates: "pa.Table", cut: "list[shapely.Geometry]", changed: "NDArray[np.bool_]") -> "pa.Table":
    import pyarrow as pa
    import shapely

    wkbs = pa.array([shapely.to_wkb(geometry) for geometry in cut], pa.binary())
    return candidates.set_column(2, "wkb", wkbs).filter(pa.array(changed, pa.bool_()))


def _cut_coordinates(connection: duckdb.DuckDBPyConnection, candidates: "pa.Table", crs: str) -> "pa.Table":
    """Return the candidates with a side that goes the long way round the globe, cut in longitude and latitude."""
    import numpy as np
    import shapely

    geometries = shapely.from_wkb(candidates["wkb"].to_numpy(zero_copy_only=False))
    lonlat = _transform_geometries(connection, geometries, crs, "EPSG:4326")
    changed = np.array(
        [
            has_longitude_jump(there) and _goes_round(connection, here, there, crs)
            for here, there in zip(geometries, lonlat, strict=True)
        ],
        bool,
    )
    selected = np.flatnonzero(changed)
    cut = list(geometries)
    parts = [cut_at_antimeridian(lonlat[index], repair=True) for index in selected]
    for index, geometry in zip(selected, _transform_geometries(connection, parts, "EPSG:4326", crs), strict=True):
        cut[index] = geometry
    return _select_cut(candidates, cut, changed)


def _transform_geometries(
    connection: duckdb.DuckDBPyConnection, geometries: "list[shapely.Geometry]", source: str, target: str
) -> "list[shapely.Geometry]":
    import pyarrow as pa
    import shapely

    table = pa.table({"wkb": pa.array([shapely.to_wkb(geometry) for geometry in geometries], pa.binary())})
    with register_table(connection, "geometry_to_transform", table):
        rows = connection.execute(
            "SELECT ST_AsWKB(ST_Transform(ST_GeomFromWKB(wkb), $source, $target, always_xy := true))::BLOB "
            "FROM geometry_to_transform",
            {"source": source, "target": target},
        ).fetchall()
    return [shapely.from_wkb(bytes(wkb)) for (wkb,) in rows]


def _goes_round(
    connection: duckdb.DuckDBPyConnection, geometry: "shapely.Geometry", lonlat: "shapely.Geometry", crs: str
) -> bool:
    """Return whether the middle of a side that jumps in longitude lies far from the antimeridian."""
    import numpy as np
    import shapely

    points, longitudes = shapely.get_coordinates(geometry), shapely.get_coordinates(lonlat)[:, 0]
    jumps = np.flatnonzero(np.abs(np.diff(longitudes)) > _HALF_TURN)
    middles = shapely.points((points[jumps] + points[jumps + 1]) / 2)
    found = shapely.get_x(_transform_geometries(connection, list(middles), crs, "EPSG:4326"))
    return bool((np.abs(found) < _HALF_TURN / 2).any())
