"""Files of a merge: rows may only name bytes that are on this machine or on the remote."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from geographer.base.errors import CorruptError, quote_objects
from geographer.storage.dvc.store import Store
from geographer.storage.events.row_tables import KEY_COLUMNS
from geographer.storage.log.branches import Location, find_common_position, read_location_digest
from geographer.storage.queries.revision import Revision
from geographer.storage.workspace.partial.absent_files import ensure_objects

if TYPE_CHECKING:
    import duckdb

_FILES: Final = {
    "raster_change": "SELECT raster_id, md5 FROM {} WHERE change <> 'removed' AND storage = 'dvc'",
    "label_change": "SELECT label || '/' || raster_id, md5 FROM {} WHERE change <> 'removed'",
}

_LAST_ROWS: Final = (
    "SELECT * FROM log.{table} JOIN (SELECT event_key, position FROM log.chain WHERE branch = $branch "
    "AND position > $common AND position <= $position) USING (event_key) "
    "QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY position DESC, ordinal DESC) = 1"
)


def list_needed_files(revision: Revision, relations: Mapping[str, str]) -> dict[str, str]:
    """Return the MD5s of the files that rows, by row table, name: the raster or label of each."""
    queries = [query.format(relations[table]) for table, query in _FILES.items() if table in relations]
    return {md5: name for query in queries for name, md5 in revision.fetch_rows(f"{query} ORDER BY ALL")}


def list_files_of_events(connection: "duckdb.DuckDBPyConnection", location: Location) -> dict[str, str]:
    """Return the MD5s of the files that further events of a chain, up to a location, leave there: see above."""
    digest = read_location_digest(connection, location)
    values = {**location._asdict(), "common": find_common_position(connection, digest)}
    needed: dict[str, str] = {}
    for table, query in _FILES.items():
        rows = f"({_LAST_ROWS.format(table=table, keys=', '.join(KEY_COLUMNS[table]))})"
        needed |= {
            md5: name for name, md5 in connection.execute(f"{query.format(rows)} ORDER BY ALL", values).fetchall()
        }
    return needed


def fetch_needed_files(root: Path, needed: Mapping[str, str], action: str) -> None:
    """Fetch the files that the cache lacks, before anything is recorded; a partial clone asks the remote for them.

    Raises:
        CorruptError: files are nowhere; `action` is what cannot be done.
        StorageError: the remote cannot be reached.
    """
    if not needed:
        return
    with Store(root) as store:
        missing = ensure_objects(store, [*needed]).lost
    if missing:
        names = sorted(needed[md5] for md5 in missing)
        raise CorruptError(
            f"cannot {action}: the files of {quote_objects('raster', names)} are neither on this machine nor on the "
            "remote. Get them with geographer fetch, from the remote that has them."
        )
