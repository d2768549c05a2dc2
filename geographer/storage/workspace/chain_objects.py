"""Chain objects: what revisions of any chain of the log need, also of one that the state does not show."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.storage.database.connection import run_script
from geographer.storage.state.update import PATH_FAULT_SQL
from geographer.storage.workspace.required_objects import RevisionSelection, iter_listings
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_SCRIPT: Final = Path(__file__).with_name("chain_objects.sql")


class ChainObjects(NamedTuple):
    """The objects of revisions: the sizes of data files by MD5, and the content of listings by address."""

    files: dict[str, int]
    listings: dict[str, bytes]


def list_chain_objects(
    connection: duckdb.DuckDBPyConnection, branch: str, head: int, selection: RevisionSelection
) -> ChainObjects:
    """Return the objects that a selection of the revisions up to position `head` of a chain needs.

    Withdrawn files are left out, unless the head has one; listings name them all the same.
    """
    run_script(connection, PATH_FAULT_SQL.read_text())
    run_script(connection, _SCRIPT.read_text(), {"branch": branch, "head": head, "selection": selection})
    positions = sorted(
        position for (position,) in connection.execute("SELECT position FROM selected_revision").fetchall()
    )
    versions = connection.execute("FROM chain_file ORDER BY folder, name, md5").fetchall()
    withdrawn = list_withdrawn_md5s(connection, branch, head)
    files = {md5: size for _, _, md5, size, *_ in versions if md5 not in withdrawn}
    return ChainObjects(files, {item.address: item.content for item in iter_listings(versions, positions)})


def list_withdrawn_md5s(connection: duckdb.DuckDBPyConnection, branch: str, head: int) -> set[str]:
    """Return the MD5s of the files that were withdrawn up to a position of a chain; see `list_withdrawn_files`."""
    return {*list_withdrawn_files(connection, branch, head)}
