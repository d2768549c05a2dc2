"""A catalogue in: footprints without pixels, from vector files or STAC items, as the rows of one event."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.operations.add.stac_catalogue import stac_items, stac_rows
from geographer.planning.user_columns import RESERVED_COLUMNS
from geographer.planning.vector_source import VectorSource, normalise_crs, open_vector_source, properties_sql
from geographer.storage.database.connection import quote_identifier
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import TABLES, make_row_table

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

COLLECTION: Final = "catalogue"
_ID_COLUMNS: Final = ("raster_id", "id")
_GIVEN: Final = ("raster_id", "outline", "crs", "acquired", "properties")
_JOINED: Final = Path(__file__).with_name("merge_antimeridian_parts.sql")
_UNFIT: Final = Path(__file__).with_name("invalid_footprint.sql")


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """How a catalogue is read: the columns of ids and of times, and a CRS that overrides what the data states."""

    id_column: str | None = None
    crs: str | None = None
    acquired: str | None = None


def plan_catalogue(revision: Revision, data: Any, options: CatalogueOptions, request: dict[str, Any]) -> EventDraft:
    """The `catalogue_added` event that adding the footprints in `data` would be.

    `data` is a vector file, GeoParquet, Arrow or a GeoDataFrame in any CRS; or a JSON file of STAC items, whose exact
    footprint is taken from the projection extension where an item has it.

    Raises:
        NotFoundError: no such file or column.
        UsageError: a footprint is missing, no polygon, invalid or out of range.
        ConflictError: ids stand twice, or are in the dataset.
    """
    items = stac_items(data)
    if items is not None:
        name, columns = str(data), _stage_items(revision, items, options)
    else:
        with open_vector_source(revision.connection, data, options.crs) as source:
            name, columns = source.name, _stage_source(revision, source, options)
    _refuse_unfit(revision, name)
    revision.connection.execute(_JOINED.read_text())
    count = revision.fetch_value("SELECT count(*) FROM given_footprint")
    payload = {"request": request, "source": name, "collection": COLLECTION, "columns": columns, "rasters": count}
    return EventDraft("catalogue_added", payload, {"raster_change": _rows(revision)} if count else {})


def _stage_items(revision: Revision, items: list[dict[str, Any]], options: CatalogueOptions) -> dict[str, str]:
    """Make the temporary table `given_footprint` from STAC items; return their own columns with types."""
    if options != CatalogueOptions():
        raise UsageError("STAC items say their id, CRS and time themselves: leave --id, --crs and --acquired out")
    columns, own = stac_rows(items, RESERVED_COLUMNS)
    known = {crs: normalise_crs(revision.connection, crs) for crs in set(columns["crs"])}
    columns["crs"] = [known[crs] for crs in columns["crs"]]
    revision.connection.register("given_items", make_row_table("raster_change", columns).select(list(_GIVEN)))
    revision.connection.execute(
        "CREATE OR REPLACE TEMP TABLE given_footprint AS "
        "SELECT * REPLACE (ST_GeomFromWKB(outline) AS outline) FROM given_items"
    )
    revision.connection.unregister("given_items")
    return own


def _stage_source(revision: Revision, source: VectorSource, options: CatalogueOptions) -> dict[str, str]:
    """Make the temporary table `given_footprint` from vector data; return its own columns with types."""
    chosen = _id_column(source, options.id_column)
    own = source.list_user_columns({chosen}, RESERVED_COLUMNS)
    time = options.acquired
    when = (
        f"{quote_identifier(source.require_column(time))}::TIMESTAMP::VARCHAR" if time is not None else "NULL::VARCHAR"
    )
    with source.translate_errors():
        revision.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE given_footprint AS SELECT {quote_identifier(chosen)}::VARCHAR AS raster_id, "  # noqa: S608
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS outline, $crs AS crs, {when} AS acquired, "
            f"{properties_sql(own)} AS properties FROM {source.relation}",
            {"crs": source.crs},
        )
    return {name: kind for name, (_, kind) in own.items()}


def _id_column(source: VectorSource, asked: str | None) -> str:
    if asked is not None:
        return source.require_column(asked)
    found = next((name for name in _ID_COLUMNS if name in source.columns), None)
    if found is None:
        names = ", ".join(source.columns) or "none"
        raise UsageError(
            f"'{source.name}' has no column 'raster_id' or 'id': pass --id COLUMN; the columns are {names}"
        )
    return found


def _rows(revision: Revision) -> str:
    """The name of a view of `given_footprint` with all columns of the log's table."""
    missing = [name for name in TABLES["raster_change"] if name not in (*_GIVEN, "collection", "storage")]
    nulls = ", ".join(f"NULL AS {quote_identifier(name)}" for name in missing)
    revision.connection.execute(
        "CREATE OR REPLACE TEMP VIEW new_footprint AS SELECT 'added' AS change, "  # noqa: S608
        "* REPLACE (ST_AsWKB(outline)::BLOB AS outline), "
        f"'{COLLECTION}' AS collection, 'catalogue' AS storage, {nulls} FROM given_footprint"
    )
    return "new_footprint"


def _refuse_unfit(revision: Revision, name: str) -> None:
    rows = revision.fetch_rows(_UNFIT.read_text())
    if rows:
        reason = rows[0][1]
        error = ConflictError if "its id" in reason else UsageError
        same = [identity for identity, why in rows if why == reason]
        raise error(f"'{name}': footprint {quote_names(same)} can't be added, because {reason}")
