"""Add a catalogue: read footprints without pixels from vector data or STAC items, and plan the event that adds them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from geographer.algorithms.antimeridian import cut_at_antimeridian
from geographer.base.errors import ConflictError, UsageError
from geographer.base.parameters import Parameter
from geographer.operations.add.events import CatalogueAdded
from geographer.operations.add.stac_catalogue import make_stac_columns, read_stac_items
from geographer.planning.input_problems import InputProblem, raise_first_problem
from geographer.planning.redacted_columns import reject_credentials
from geographer.planning.shared_parameters import CrsText
from geographer.planning.vectors.crs import normalise_crs
from geographer.planning.vectors.request import VectorRequest
from geographer.planning.vectors.source import VectorSource, open_vector_source
from geographer.storage.database.connection import quote_identifier, register_table
from geographer.storage.events.payload import Columns
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext

_FOLDER: Final = Path(__file__).parent
_PROBLEMS: Final = {
    "no_id": InputProblem("it has no id"),
    "no_footprint": InputProblem("it has no footprint"),
    "not_polygon": InputProblem("its footprint is not a polygon"),
    "not_finite": InputProblem("the coordinates of its footprint are not finite"),
    "invalid_footprint": InputProblem("its footprint is invalid"),
    "outside_crs": InputProblem("its footprint is out of range", remedy="Pass its CRS with --crs"),
    "unreadable_time": InputProblem("it has a date outside of the years 1 to 9999"),
    "repeated_id": InputProblem("its id occurs more than once in the file", ConflictError),
    "existing_id": InputProblem("its id is already in the dataset", ConflictError, "Change the id"),
}
"""Problems that check_footprints.sql reports."""


class AddCatalogue(VectorRequest, kw_only=True, frozen=True):
    """Add raster footprints without pixels: GeoJSON, GeoParquet or STAC items, in any CRS.

    Footprints are polygons; their edges are straight in their own CRS. The outline of a STAC item comes from its
    projection extension, if it has one.
    """

    event: ClassVar[type[CatalogueAdded]] = CatalogueAdded
    example = "add catalogue scenes.parquet --acquired datetime"

    id: Annotated[str | None, Parameter("The column of ids.", "COLUMN", "raster_id, else id")] = None
    crs: CrsText = None
    acquired: Annotated[str | None, Parameter("The column that holds the time of acquisition.", "COLUMN")] = None

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """Plan the addition of footprints. Its rows are the view `new_footprint` of the connection.

        Raises:
            NotFoundError: A file or column does not exist.
            UsageError: A footprint is missing, not a polygon, invalid or out of range.
            ConflictError: An id is repeated or already in the dataset.
        """
        if items := read_stac_items(self.data):
            name, columns = str(self.data), _stage_items(revision, items, self)
        else:
            layer, encoding = self.layer, self.encoding
            with open_vector_source(revision.connection, self.data, self.crs, layer=layer, encoding=encoding) as source:
                name, columns = source.name, _stage_vector_source(revision, source, self)
        reject_credentials(revision.connection, "input_footprint", {"raster id": "raster_id"})
        _cut_at_antimeridian(revision)
        if invalid := revision.fetch_rows((_FOLDER / "check_footprints.sql").read_text()):
            raise_first_problem("add", name, invalid, _PROBLEMS)
        revision.connection.execute((_FOLDER / "footprint_rows.sql").read_text())
        count = revision.fetch_value("SELECT count(*) FROM input_footprint")
        event = CatalogueAdded(source=name, columns=columns, rasters=count, collection="catalogue")
        return Change(event, {"raster_change": "new_footprint"} if count else {})


def _stage_items(revision: Revision, items: list[Mapping[str, Any]], request: AddCatalogue) -> Columns:
    """Make the temp table `input_footprint` from STAC items; return their user columns with types."""
    if request.id or request.crs or request.acquired:
        raise UsageError("--id, --crs and --acquired do not apply to STAC items, which state these. Omit them.")
    columns, user_columns = make_stac_columns(items)
    crs_texts = {crs: normalise_crs(revision.connection, crs) for crs in set(columns["crs"])}
    columns["crs"] = [crs_texts[crs] for crs in columns["crs"]]
    with register_table(revision.connection, "stac_item", make_row_table("raster_change", columns)):
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE input_footprint AS "
            "SELECT raster_id, ST_GeomFromWKB(outline) AS outline, crs, acquired, properties, "
            "false AS has_unreadable_time FROM stac_item"
        )
    return user_columns


def _stage_vector_source(revision: Revision, source: VectorSource, request: AddCatalogue) -> Columns:
    """Make the temp table `input_footprint` from vector data; return its user columns with types."""
    id_column = source.find_id_column(request.id, ("raster_id", "id"))
    types, properties = source.list_user_columns(revision.connection, {id_column})
    acquired = "NULL::VARCHAR"
    if request.acquired is not None:
        acquired = f"{quote_identifier(source.require_column(request.acquired))}::TIMESTAMP::VARCHAR"
    with source.translate_errors():
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE input_footprint AS SELECT "  # noqa: S608
            f"{quote_identifier(id_column)}::VARCHAR AS raster_id, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS outline, $crs AS crs, "
            f"{acquired} AS acquired, {properties} AS properties, "
            f"{source.build_unreadable_time_sql()} AS has_unreadable_time FROM {source.relation}",
            {"crs": source.crs},
        )
    return types


def _cut_at_antimeridian(revision: Revision) -> None:
    """Cut the footprints of `input_footprint` in degrees whose sides jump over the antimeridian."""
    import shapely

    wide = revision.fetch_rows(
        "SELECT rowid, raster_id, ST_AsWKB(outline)::BLOB FROM input_footprint "
        "WHERE crs = 'EPSG:4326' AND ST_XMax(outline) - ST_XMin(outline) > 180"
    )
    for row_id, raster_id, outline in wide:
        try:
            cut_outline = shapely.to_wkb(cut_at_antimeridian(shapely.from_wkb(outline)))
        except ValueError as error:
            raise UsageError(f"cannot add '{raster_id}': {error}. Correct its footprint.") from error
        revision.connection.execute(
            "UPDATE input_footprint SET outline = ST_GeomFromWKB($outline) WHERE rowid = $row_id",
            {"row_id": row_id, "outline": cut_outline},
        )
