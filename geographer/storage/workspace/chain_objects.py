"""Chain objects: what revisions of any chain of the log need, also of one that the state does not show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.storage.database.connection import run_script
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import Location, find_chain_of
from geographer.storage.state.update import PATH_FAULT_SQL
from geographer.storage.workspace.required_objects import RevisionSelection, iter_listings
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_SCRIPT: Final = Path(__file__).with_name("chain_objects.sql")
_TAGGED: Final = Path(__file__).with_name("tagged_digests.sql")


class ChainObjects(NamedTuple):
    """The objects of revisions: the sizes of data files by MD5, and the content of listings by address."""

    files: dict[str, int]
    listings: dict[str, bytes]


def list_chain_objects(
    connection: duckdb.DuckDBPyConnection, branch: str, head: int, selection: RevisionSelection
) -> ChainObjects:
    """Return the objects that a selection of the revisions up to position `head` of a chain needs.

    A tag that came by a merge counts, too, and with 'all' each merged revision. Withdrawn files are left
    out, unless the head has one; listings name them all the same.
    """
    run_script(connection, PATH_FAULT_SQL.read_text())
    files, listings = dict[str, int](), dict[str, bytes]()
    for chain, positions in select_positions(connection, Location(branch, head), selection).items():
        values = {"branch": chain, "positions": positions}
        run_script(connection, _SCRIPT.read_text(), values)
        versions = connection.execute("FROM chain_file ORDER BY folder, name, md5").fetchall()
        files |= {md5: size for _, _, md5, size, *_ in versions}
        listings |= {item.address: item.content for item in iter_listings(versions, positions)}
    withdrawn = list_withdrawn_md5s(connection, branch, head)
    return ChainObjects({md5: size for md5, size in files.items() if md5 not in withdrawn}, listings)


def list_withdrawn_md5s(connection: duckdb.DuckDBPyConnection, branch: str, head: int) -> set[str]:
    """Return the MD5s of the files that were withdrawn up to a position of a chain; see `list_withdrawn_files`."""
    return {*list_withdrawn_files(connection, branch, head)}


def list_merged_tags(connection: duckdb.DuckDBPyConnection, branch: str, head: int) -> list[Location]:
    """Return where the events are that tags of a chain name, and that this chain does not have."""
    return [place for place in _locate_tags(connection, branch, head) if place.branch != branch]


def select_positions(
    connection: duckdb.DuckDBPyConnection, head: Location, selection: RevisionSelection
) -> dict[str, list[int]]:
    """Return the positions of a selection of revisions by chain, in ascending order."""
    places = {head}
    if selection == "tags":
        places.update(_locate_tags(connection, *head))
    elif selection == "all":
        places.update(Location(head.branch, position) for position in range(1, head.position + 1))
        places.update(_locate_merged_events(connection, head))
    selected: dict[str, list[int]] = {}
    for chain, position in sorted(places):
        selected.setdefault(chain, []).append(position)
    return selected


def _locate_tags(connection: duckdb.DuckDBPyConnection, branch: str, head: int) -> list[Location]:
    rows = connection.execute(_TAGGED.read_text(), {"branch": branch, "head": head}).fetchall()
    own = [Location(branch, position) for _, position in rows if position is not None]
    return own + _locate_events(connection, (digest for digest, position in rows if position is None))


def _locate_merged_events(connection: duckdb.DuckDBPyConnection, head: Location) -> list[Location]:
    """Return where the events are that were merged into a chain up to a position."""
    query = (
        "SELECT digest, len(parents) > 1 FROM log.chain JOIN log.event USING (event_key) "
        "WHERE branch = $branch AND position <= $position"
    )
    rows = connection.execute(query, head._asdict()).fetchall()
    merges = [digest for digest, is_merge in rows if is_merge]
    if not merges:
        return []
    own = {digest for digest, _ in rows}
    return _locate_events(connection, sorted(read_ancestry(connection).list_ancestors(merges) - own))


def _locate_events(connection: duckdb.DuckDBPyConnection, digests: Iterable[str]) -> list[Location]:
    return [place for digest in digests if (place := find_chain_of(connection, digest)) is not None]
