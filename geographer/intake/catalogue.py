"""A catalogue in: footprints without pixels, from vector files or STAC items; one `catalogue_added` event."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.database.engine import identifier
from geographer.errors import ConflictError, UsageError, naming
from geographer.events import Draft
from geographer.intake.sources import opened_source, properties_sql
from geographer.log.digests import canonical_json
from geographer.log.tables import TABLES, arrow_table

if TYPE_CHECKING:
    from geographer.queries.revision import Revision

COLLECTION: Final = "catalogue"
_ID_COLUMNS: Final = ("raster_id", "id")
_RESERVED: Final = frozenset(TABLES["raster_change"]) | {"footprint"}
_REASON: Final = """CASE
    WHEN raster_id IS NULL OR raster_id = '' THEN 'it has no id'
    WHEN outline IS NULL OR ST_IsEmpty(outline) THEN 'it has no footprint'
    WHEN ST_GeometryType(outline) NOT IN ('POLYGON', 'MULTIPOLYGON') THEN 'its footprint is no polygon'
    WHEN NOT ST_IsValid(outline) THEN 'its footprint is invalid'
    WHEN crs = 'EPSG:4326' AND (abs(ST_YMin(outline)) > 90.000001 OR abs(ST_YMax(outline)) > 90.000001
         OR abs(ST_XMin(outline)) > 360 OR abs(ST_XMax(outline)) > 360)
        THEN 'its footprint is out of range: it claims longitude/latitude; pass --crs with the CRS that it is in'
    WHEN raster_id IN (SELECT raster_id FROM given_footprint GROUP BY ALL HAVING count(*) > 1)
        THEN 'its id stands twice in the file'
    WHEN raster_id IN (SELECT raster_id FROM raster_now) THEN 'its id is in the dataset already'
END"""


def plan_catalogue(
    revision: Revision,
    data: Any,
    *,
    id_column: str | None,
    crs: str | None,
    acquired: str | None,
    request: dict[str, Any],
) -> Draft:
    """The `catalogue_added` event that adding the footprints in `data` would be.

    `data` is a vector file, GeoParquet, Arrow or a GeoDataFrame in any CRS; or a JSON file of STAC items, whose exact
    footprint is taken from the projection extension where an item has it.

    Raises:
        NotFoundError: no such file or column.
        UsageError: a footprint is missing, no polygon, invalid or out of range.
        ConflictError: ids stand twice, or are in the dataset.
    """
    name, columns = _stage(revision, data, id_column, crs, acquired)
    _refuse_unfit(revision, name)
    count = revision.value("SELECT count(*) FROM given_footprint")
    payload = {
        "request": request,
        "source": name,
        "collection": COLLECTION,
        "columns": columns,
        "rasters": count,
    }
    return Draft("catalogue_added", payload, {"raster_change": "new_footprint"} if count else {})


def _stage(
    revision: Revision,
    data: Any,
    id_column: str | None,
    crs: str | None,
    acquired: str | None,
) -> tuple[str, dict[str, str]]:
    """Make the temporary tables `given_footprint` and `new_footprint`; return the source's name and its own columns."""
    items = _stac_items(data)
    if items is not None:
        revision.connection.register("given_items", _stac_rows(items))
        own: dict[str, str] = {}
        body, name = "SELECT * REPLACE (ST_GeomFromWKB(outline) AS outline) FROM given_items", str(data)
        revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE given_footprint AS {body}")
        revision.connection.unregister("given_items")
    else:
        with opened_source(revision.connection, data, crs) as source:
            chosen = (
                source.column(id_column) if id_column else next((c for c in _ID_COLUMNS if c in source.columns), None)
            )
            if chosen is None:
                names = ", ".join(source.columns)
                raise UsageError(
                    f"'{source.name}' has no column 'raster_id' or 'id': pass --id COLUMN; there are {names}"
                )
            columns = source.own_columns({chosen}, set(_RESERVED))
            when = f"{identifier(source.column(acquired))}::TIMESTAMP::VARCHAR" if acquired else "NULL::VARCHAR"
            name, own = source.name, {column: kind for column, (_, kind) in columns.items()}
            revision.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE given_footprint AS SELECT {identifier(chosen)}::VARCHAR AS raster_id, "  # noqa: S608
                f"ST_Force2D({identifier(source.geometry)}::GEOMETRY) AS outline, $crs AS crs, {when} AS acquired, "
                f"{properties_sql(columns)} AS properties FROM {source.relation}",
                {"crs": source.crs},
            )
    present = {"raster_id", "outline", "crs", "acquired", "properties"}
    nulls = ", ".join(
        f"NULL AS {identifier(c)}" for c in TABLES["raster_change"] if c not in present | {"collection", "storage"}
    )
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW new_footprint AS SELECT 'added' AS change, "  # noqa: S608
        "* REPLACE (ST_AsWKB(outline)::BLOB AS outline), "
        f"'{COLLECTION}' AS collection, 'catalogue' AS storage, {nulls} FROM given_footprint"
    )
    return name, own


def _refuse_unfit(revision: Revision, name: str) -> None:
    rows = revision.rows(
        f"SELECT coalesce(raster_id, 'one'), reason FROM (SELECT raster_id, {_REASON} AS reason FROM given_footprint) "  # noqa: S608
        "WHERE reason IS NOT NULL"
    )
    if rows:
        reason = rows[0][1]
        error = ConflictError if "its id" in reason else UsageError
        same = [identity for identity, why in rows if why == reason]
        raise error(f"'{name}': footprint {naming(same)} can't be added, because {reason}")


def _stac_items(data: Any) -> list[dict[str, Any]] | None:
    """The STAC items in a JSON file, or None when it is something else."""
    if not isinstance(data, str | Path) or Path(data).suffix.lower() not in (".json", ".geojson"):
        return None
    if not Path(data).exists():
        return None
    try:
        content = json.loads(Path(data).read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    items = content.get("features", [content]) if isinstance(content, dict) else []
    return items if items and all("stac_version" in item for item in items) else None


def _stac_rows(items: list[dict[str, Any]]) -> Any:
    """STAC items as rows: id, outline with its CRS, time and properties."""
    import shapely

    shapes = [_stac_outline(item) for item in items]
    rows = {
        "raster_id": [str(item["id"]) for item in items],
        "outline": [shapely.to_wkb(shape, output_dimension=2) for shape, _ in shapes],
        "crs": [crs for _, crs in shapes],
        "acquired": [_stac_time(item) for item in items],
        "properties": [canonical_json(_plain(item.get("properties", {}))) for item in items],
    }
    return arrow_table("raster_change", rows).select(["raster_id", "outline", "crs", "acquired", "properties"])


def _stac_time(item: dict[str, Any]) -> str | None:
    moment = item.get("properties", {}).get("datetime")
    return str(moment).removesuffix("Z").removesuffix("+00:00") if moment else None


def _stac_outline(item: dict[str, Any]) -> tuple[Any, str]:
    """An item's footprint and its CRS: exact where the projection extension has it."""
    import shapely

    properties = item.get("properties", {})
    code = properties.get("proj:code") or (f"EPSG:{properties['proj:epsg']}" if properties.get("proj:epsg") else None)
    crs = code or properties.get("proj:wkt2")
    if crs and properties.get("proj:geometry"):
        return shapely.from_geojson(json.dumps(properties["proj:geometry"])), crs
    if crs and properties.get("proj:transform") and properties.get("proj:shape"):
        a, b, c, d, e, f = properties["proj:transform"][:6]
        height, width = properties["proj:shape"]
        corners = [(0, 0), (width, 0), (width, height), (0, height)]
        return shapely.Polygon([(a * col + b * row + c, d * col + e * row + f) for col, row in corners]), crs
    if crs and properties.get("proj:bbox"):
        return shapely.box(*properties["proj:bbox"]), crs
    if not item.get("geometry"):
        return None, "EPSG:4326"
    return shapely.from_geojson(json.dumps(item["geometry"])), "EPSG:4326"


def _plain(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties that are a single text, number or truth value; `proj:` ones have become the outline."""
    return {
        name: value
        for name, value in properties.items()
        if isinstance(value, str | int | float | bool) and not name.startswith("proj:")
    }
