"""Remove unreadable rows: record that objects whose last row cannot be used are as they were before it, or removed."""

from typing import TYPE_CHECKING, ClassVar

from geographer.operations.remove.events import UnreadableRowsRemoved
from geographer.planning.removed_rasters import make_dependent_removal_rows
from geographer.storage.events.row_tables import KEY_COLUMNS, ROW_TABLES
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext, Request
from geographer.storage.state.unreadable import build_object_sql

if TYPE_CHECKING:
    import pyarrow as pa


class RemoveUnreadable(Request, frozen=True):
    """Remove the rows of the log that cannot be read, derived or written to disk; `verify` lists them.

    Their objects get the version before, or are removed. The log keeps the rows: revisions before the removal say what
    they cannot show.
    """

    event: ClassVar[type[UnreadableRowsRemoved]] = UnreadableRowsRemoved
    example = "remove unreadable -m 'recorded in a CRS that PROJ does not know'"

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """See `Request.make_plan`."""
        query = "SELECT table_name, object FROM current_unreadable_row ORDER BY position, table_name, ordinal"
        unreadable = revision.fetch_rows(query)
        named = [(table, name) for table, name in unreadable if name is not None]
        tables = {table: _make_rows(revision, table) for table in dict.fromkeys(table for table, _ in named)}
        restored = sum(rows["change"].to_pylist().count("changed") for rows in tables.values())
        rasters = [name for table, name in named if table == "raster_change"]
        dependent = make_dependent_removal_rows(revision, rasters) if rasters else {}
        event = UnreadableRowsRemoved(rows=len(unreadable), restored=restored)
        return Change(event, {**dependent, **tables})


def _make_rows(revision: Revision, table: str) -> "pa.Table":
    """Return the rows that restore the version of the state, if there is one, or remove the object."""
    keys, view = ", ".join(KEY_COLUMNS[table]), table.replace("_change", "")
    columns = ", ".join(
        column
        if column in KEY_COLUMNS[table]
        # The value of a class is never null.
        else f"coalesce({column}, 0) AS {column}"
        if column == "value"
        else f"if(valid_from IS NULL, NULL, {column}) AS {column}"
        for column in (f'"{name}"' if name == "row" else name for name in ROW_TABLES[table])
    )
    return revision.fetch_arrow(
        f"SELECT if(valid_from IS NULL, 'removed', 'changed') AS change, {columns} "  # noqa: S608
        f"FROM (SELECT DISTINCT ON ({keys}) * FROM (SELECT *, {build_object_sql(table)} AS object FROM chain_{table}) "
        f"SEMI JOIN (FROM current_unreadable_row WHERE table_name = '{table}') USING (object) "
        f"LEFT JOIN (SELECT {keys}, valid_from FROM current_{view}) AS shown USING ({keys}) "
        f"WHERE position <= {revision.position} AND coalesce(position = valid_from, true) ORDER BY position DESC) "
        f"ORDER BY {keys}"
    )
