"""Renamings: what had another name before, so that what was made under that name counts as the same thing's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    import duckdb

_EARLIER_VERSION: Final = (
    "SELECT {table}, valid_from FROM state.{table} WHERE raster_id = $raster_id AND valid_to = $position "
    "AND $position IN (SELECT position FROM state.renaming WHERE NOT is_merged) AND {table} = coalesce((SELECT "
    "old_name FROM state.renaming WHERE position = $position AND subject = 'recipe' AND name = $name), $name)"
)
_RENAMINGS_SQL: Final = Path(__file__).with_name("renamings.sql")
_RENAMINGS: Final = (
    "SELECT subject, old_name, name, position FROM state.renaming WHERE position <= getvariable('position') "
    "ORDER BY position"
)


class RecordedRenaming(NamedTuple):
    """A renaming of a `class`, `collection` or `recipe` (`subject`), and the position of its event."""

    subject: str
    old_name: str
    name: str
    position: int


def list_renamings(revision: Revision) -> list[RecordedRenaming]:
    """Return the renamings up to a revision, oldest first."""
    return [RecordedRenaming(*row) for row in revision.fetch_rows(_RENAMINGS)]


def find_later_name(renamings: Sequence[RecordedRenaming], subject: str, name: str, since: int) -> str | None:
    """Return the name that something has which had `name` at the position `since`; None if it was not renamed."""
    later = name
    for renaming in renamings:
        if renaming.position > since and (renaming.subject, renaming.old_name) == (subject, later):
            later = renaming.name
    return later if later != name else None


def find_content_position(
    connection: duckdb.DuckDBPyConnection, table: Literal["label", "split"], name: str, raster_id: str, position: int
) -> int:
    """Return the position at which a label, or the place of a raster in a split, got its content.

    That is `position`, where its version begins, unless a renaming made that.
    """
    query = _EARLIER_VERSION.format(table=table)
    values: dict[str, Any] = {"name": name, "raster_id": raster_id, "position": position}
    while row := connection.execute(query, values).fetchone():
        values = {**values, "name": row[0], "position": row[1]}
    return int(values["position"])


def stage_renamings(revision: Revision) -> None:
    """Create temporary tables of what was renamed and of the names that recipes have had; see `renamings.sql`."""
    run_script(revision.connection, _RENAMINGS_SQL.read_text())
