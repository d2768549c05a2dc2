"""Comparison of branches: how many events each has that the other one lacks, merged ones included."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from geographer.storage.events import Head
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import find_chain_of, find_shared_position, is_branch_name, read_chain_head
from geographer.storage.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    import duckdb

_HAS_MERGE: Final = (
    "SELECT 1 FROM log.event WHERE event_key IN (SELECT event_key FROM log.chain WHERE branch IN ($own, $other) "
    "AND position > $common) AND len(parents) > 1 LIMIT 1"
)
"""Whether one of two chains has a merge after their last common event."""


class Distance(NamedTuple):
    """How a branch relates to a published head.

    Attributes:
        branch: The branch that is compared: the one of that name, or the one in use if there is none.
        ahead: The number of its events that do not lead to the published head.
        behind: The number of events that lead to the published head, and that it lacks.
    """

    branch: str
    ahead: int
    behind: int


def compare_with_branch(work: UnitOfWork, name: str, digest: str | None) -> Distance:
    """Compare the branch `name` with the head that was published; None: nothing was, as if the log lacks it."""
    with work.database.open_connection(log="r") as connection:
        branch = name if is_branch_name(name) and read_chain_head(connection, name).position else work.branch_name
        own = read_chain_head(connection, branch)
        if digest is None or find_chain_of(connection, digest) is None:
            return Distance(branch, own.position, 0)
        return Distance(branch, *_count_differences(connection, branch, own, digest))


def count_missing(work: UnitOfWork, digest: str, known: Collection[str]) -> int:
    """Return how many of the events that lead to one do not lead to one of the `known` ones, too."""
    with work.database.open_connection(log="r") as connection:
        ancestry = read_ancestry(connection)
    return len(ancestry.list_ancestors([digest]) - ancestry.list_ancestors(known))


def is_on_chain(work: UnitOfWork, branch: str, head: Head) -> bool:
    """Return whether a branch has an event at its position, so that the published positions keep their meaning."""
    query = "SELECT digest FROM log.chain JOIN log.event USING (event_key) WHERE branch = $1 AND position = $2"
    with work.database.open_connection(log="r") as connection:
        return connection.execute(query, [branch, head.position]).fetchall() == [(head.digest,)]


def _count_differences(connection: duckdb.DuckDBPyConnection, branch: str, own: Head, digest: str) -> tuple[int, int]:
    other = find_chain_of(connection, digest)
    assert other is not None
    common = min(find_shared_position(connection, branch, other.branch), other.position)
    values = {"own": branch, "other": other.branch, "common": common}
    if connection.execute(_HAS_MERGE, values).fetchone():
        ancestry = read_ancestry(connection)
        ours, theirs = ancestry.list_ancestors([own.digest]), ancestry.list_ancestors([digest])
        return len(ours - theirs), len(theirs - ours)
    return own.position - common, other.position - common
