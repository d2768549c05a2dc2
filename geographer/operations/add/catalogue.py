"""Add a catalogue: read footprints without pixels from vector data or STAC items, and plan the event that adds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import UsageError
from geographer.operations.add.input_problems import FOOTPRINT_PROBLEMS, raise_first_problem
from geographer.operations.add.stac_catalogue import make_stac_columns, read_stac_items
from geographer.planning.user_columns import RESERVED_COLUMNS
from geographer.planning.vector_source import VectorSource, make_properties_sql, normalise_crs, open_vector_source
from geographer.storage.database.connection import quote_identifier
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from geographer.storage.queries.revision import Revision

_ID_COLUMNS: Final = ("raster_id", "id")
_CHECK_FOOTPRINTS: Final = Path(__file__).with_name("check_footprints.sql")
_FOOTPRINT_ROWS: Final = Path(__file__).with_name("footprint_rows.sql")


@dataclass(frozen=True, slots=True)
class CatalogueOptions:
    """Options for adding footprints, as in `Dataset.add_catalogue`."""

    id_column: str | None = None
    crs: str | None = None
    acquired: str | None = None


def plan_catalogue_addition(
    revision: Revision, data: Any, options: CatalogueOptions, request: dict[str, Any]
) -> EventDraft:
    """Plan the `catalogue_added` event for footprints. Its rows are the view `new_footprint` of the connection.

    `data` is a vector file, an Arrow table or a GeoDataFrame in any CRS, or a JSON file of STAC items, whose outline
    comes from the projection extension if present.

    Raises:
        NotFoundError: A file or column does not exist.
        UsageError: A footprint is missing, not a polygon, invalid or out of range.
        ConflictError: An id is repeated or already in the dataset.
    """
    items = read_stac_items(data)
    if items is not None:
        name, columns = str(data), _stage_items(revision, items, options)
    else:
        with open_vector_source(revision.connection, data, options.crs) as source:
            name, columns = source.name, _stage_vector_source(revision, source, options)
    invalid = revision.fetch_rows(_CHECK_FOOTPRINTS.read_text())
    if invalid:
        raise_first_problem(name, invalid, FOOTPRINT_PROBLEMS)
    revision.connection.execute(_FOOTPRINT_ROWS.read_text())
    count = revision.fetch_value("SELECT count(*) FROM input_footprint")
    payload = {"request": request, "source": name, "collection": "catalogue", "columns": columns, "rasters": count}
    return EventDraft("catalogue_added", payload, {"raster_change": "new_footprint"} if count else {})


def _stage_items(revision: Revision, items: list[dict[str, Any]], options: CatalogueOptions) -> dict[str, str]:
    """Make the temp table `input_footprint` from STAC items; return their user columns with types."""
    if options != CatalogueOptions():
        raise UsageError("--id, --crs and --acquired do not apply to STAC items, which state these. Omit them.")
    columns, user_columns = make_stac_columns(items)
    crs_texts = {crs: normalise_crs(revision.connection, crs) for crs in set(columns["crs"])}
    columns["crs"] = [crs_texts[crs] for crs in columns["crs"]]
    revision.connection.register("stac_item", make_row_table("raster_change", columns))
    revision.connection.execute(
        "CREATE OR REPLACE TEMP TABLE input_footprint AS "
        "SELECT raster_id, ST_GeomFromWKB(outline) AS outline, crs, acquired, properties FROM stac_item"
    )
    revision.connection.unregister("stac_item")
    return user_columns


def _stage_vector_source(revision: Revision, source: VectorSource, options: CatalogueOptions) -> dict[str, str]:
    """Make the temp table `input_footprint` from vector data; return its user columns with types."""
    id_column = source.find_id_column(options.id_column, _ID_COLUMNS)
    user_columns = source.list_user_columns({id_column}, RESERVED_COLUMNS)
    acquired = "NULL::VARCHAR"
    if options.acquired is not None:
        acquired = f"{quote_identifier(source.require_column(options.acquired))}::TIMESTAMP::VARCHAR"
    with source.translate_errors():
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE input_footprint AS SELECT "  # noqa: S608
            f"{quote_identifier(id_column)}::VARCHAR AS raster_id, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS outline, $crs AS crs, "
            f"{acquired} AS acquired, {make_properties_sql(user_columns)} AS properties FROM {source.relation}",
            {"crs": source.crs},
        )
    return {name: kind for name, (_, kind) in user_columns.items()}
