"""Boxes in: the windows that a person draws, read from vector data and checked."""

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

_ID_COLUMNS: Final = ("box_id", "id")
_UNFIT: Final = Path(__file__).with_name("invalid_box.sql")


def read_boxes(
    revision: Revision, recipe: str, data: Any, id_column: str | None, crs: str | None
) -> tuple[pa.Table, str]:
    """The boxes in `data` as rows of the log's `recipe_input`, by id, and their digest.

    Their edges are straight in their own CRS; ids are the rows' numbers, from 1, where there is no column of ids.

    Raises:
        NotFoundError: no such file or column.
        UsageError: a geometry is missing, empty or no polygon, or a box has no id.
        ConflictError: an id stands twice.
    """
    with open_vector_source(revision.connection, data, crs) as source, source.translate_errors():
        revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE read_box AS SELECT "  # noqa: S608
            f"{_id_sql(source, id_column)} AS object_id, "
            f"ST_Force2D({quote_identifier(source.geometry)}::GEOMETRY) AS geometry FROM {source.relation}"
        )
        _refuse_unfit(revision, source)
        rows = revision.fetch_rows("SELECT object_id, ST_AsWKB(geometry)::BLOB FROM read_box ORDER BY object_id")
    digest = hashlib.sha256(source.crs.encode())
    for name, wkb in rows:
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(bytes(wkb)).digest())
    columns = {
        "recipe": [recipe] * len(rows),
        "subject": ["box"] * len(rows),
        "object_id": [name for name, _ in rows],
        "geometry": [bytes(wkb) for _, wkb in rows],
        "crs": [source.crs] * len(rows),
    }
    return make_row_table("recipe_input", columns), digest.hexdigest()


def _id_sql(source: VectorSource, asked: str | None) -> str:
    name = (
        source.require_column(asked) if asked else next((name for name in _ID_COLUMNS if name in source.columns), None)
    )
    return f"{quote_identifier(name)}::VARCHAR" if name else "(row_number() OVER ())::VARCHAR"


def _refuse_unfit(revision: Revision, source: VectorSource) -> None:
    unfit = revision.fetch_rows(_UNFIT.read_text())
    if not revision.fetch_value("SELECT count(*) FROM read_box"):
        raise UsageError(f"'{source.name}' holds no box: give polygons")
    if unfit:
        reason = unfit[0][1]
        error = ConflictError if reason == "its id stands twice" else UsageError
        names = quote_names([name for name, why in unfit if why == reason])
        raise error(f"'{source.name}': box {names} can't be cut, because {reason}: mend it, or leave it out")
