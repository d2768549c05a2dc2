"""Read user-drawn boxes from vector data and validate them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.planning.vector_source import open_vector_source
from geographer.storage.database.connection import quote_identifier
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.planning.vector_source import VectorSource
    from geographer.storage.queries.revision import Revision

_INVALID_BOX: Final = Path(__file__).with_name("invalid_box.sql")


def read_boxes(
    revision: Revision, recipe: str, data: Any, id_column: str | None, crs: str | None
) -> tuple[pa.Table, str]:
    """Return the boxes in `data` as rows of the log's `recipe_input`, sorted by id, and the SHA-256 of all boxes.

    Box edges are straight in the boxes' own CRS. Without an id column, row numbers from 1 are the ids.

    Raises:
        NotFoundError: The file or column does not exist.
        UsageError: A geometry is missing, empty or not a polygon, a box has no id, or there are no boxes.
        ConflictError: Two boxes have the same id.
    """
    with open_vector_source(revision.connection, data, crs) as source, source.translate_errors():
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE read_box AS SELECT "  # noqa: S608
            f"{_make_id_sql(source, id_column)} AS object_id, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry FROM {source.relation}"
        )
        _reject_invalid_boxes(revision, source)
        rows = revision.fetch_rows("SELECT object_id, ST_AsWKB(geometry)::BLOB FROM read_box ORDER BY object_id")
    digest = hashlib.sha256(source.crs.encode())
    for box_id, wkb in rows:
        digest.update(hashlib.sha256(box_id.encode()).digest() + hashlib.sha256(bytes(wkb)).digest())
    columns = {
        "recipe": [recipe] * len(rows),
        "subject": ["box"] * len(rows),
        "object_id": [box_id for box_id, _ in rows],
        "geometry": [bytes(wkb) for _, wkb in rows],
        "crs": [source.crs] * len(rows),
    }
    return make_row_table("recipe_input", columns), digest.hexdigest()


def _make_id_sql(source: VectorSource, id_column: str | None) -> str:
    default = next((name for name in ("box_id", "id") if name in source.columns), None)
    column = source.require_column(id_column) if id_column else default
    return f"{quote_identifier(column)}::VARCHAR" if column else "(row_number() OVER ())::VARCHAR"


def _reject_invalid_boxes(revision: Revision, source: VectorSource) -> None:
    invalid = revision.fetch_rows(_INVALID_BOX.read_text())
    if not revision.fetch_value("SELECT count(*) FROM read_box"):
        raise UsageError(f"'{source.name}' contains no boxes. Pass polygons.")
    if invalid:
        first_problem = invalid[0][1]
        error = ConflictError if first_problem == "duplicate id" else UsageError
        box_ids = quote_names([box_id for box_id, problem in invalid if problem == first_problem])
        raise error(f"invalid box {box_ids} in '{source.name}': {first_problem}. Correct or remove it.")
